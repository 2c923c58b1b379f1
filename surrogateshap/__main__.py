"""`python -m surrogateshap`."""

import sys

from surrogateshap.cli import main

if __name__ == "__main__":
    sys.exit(main())
