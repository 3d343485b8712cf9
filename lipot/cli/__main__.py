"""`python -m lipot.cli` is `lipot`."""

import sys

from lipot.cli import main

sys.exit(main())
