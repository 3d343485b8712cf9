"""`python -m lipot.cli` is `lipot`, and `lipot.cli.main` the same from Python."""

import sys

from lipot_cli import main

if __name__ == "__main__":
    sys.exit(main())
