"""`python -m lipot_cli` is `lipot`."""

import sys

from lipot_cli import main

sys.exit(main())
