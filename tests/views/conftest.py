"""Windows of these tests are painted, but not on a screen."""

import os

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
