"""`python -m fastdns`."""

import sys

from fastdns.cli import fastdns

if __name__ == "__main__":
    sys.exit(fastdns.main())
