"""What sound libraries write to the error stream stays away from the user."""

import subprocess
import sys

import pytest

from edge_app.stream.quiet import quiet_libraries

NOISY = """
import os, sys
from edge_app.stream.quiet import quiet_libraries
print("before", file=sys.stderr)
quiet_libraries()
quiet_libraries()
os.write(2, b"a library\\n")
print("after", file=sys.stderr)
raise ValueError("an error")
"""


def test_only_python_is_heard() -> None:
    err = subprocess.run([sys.executable, "-c", NOISY], capture_output=True, text=True).stderr
    lines = err.splitlines()
    assert lines[:3] == ["before", "after", "Traceback (most recent call last):"]
    assert lines[-1] == "ValueError: an error"


@pytest.mark.parametrize("close", ["import os; os.close(2)", "import sys; sys.stderr = None"])
def test_a_process_without_an_error_stream_goes_on(close: str) -> None:
    code = f"{close}\nfrom edge_app.stream.quiet import quiet_libraries\nquiet_libraries(); print('on')"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "on\n"


def test_a_caught_error_stream_is_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    quiet_libraries()
    print("caught", file=sys.stderr)
    assert capsys.readouterr().err == "caught\n"
