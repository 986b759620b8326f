"""``python -m dihpose``, and ``torchrun -m dihpose``: the command line."""

import sys

from .cli import main

sys.exit(main())
