"""`python -m cut3r` is the command `cut3r`."""

import sys

from cut3r.run.command import main

sys.exit(main())
