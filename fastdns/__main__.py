"""`python -m fastdns`."""

import sys

from fastdns.cli import entry

if __name__ == "__main__":
    sys.exit(entry.main())
