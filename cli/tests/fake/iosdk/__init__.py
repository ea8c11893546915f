"""The package as the daemon's tests see it: the real fork server, and the worker next to this file."""

import os

__path__.append(os.environ["IOSDK_TEST_PACKAGE"])
