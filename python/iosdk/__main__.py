"""`python -m iosdk` is the command `iosdk`."""

import sys

from iosdk.cli import main

sys.exit(main())
