"""`python -m edge_app` is `sedge`, also from a copied folder that was never installed."""

import sys

from edge_app.cli import main

if __name__ == "__main__":
    sys.exit(main())
