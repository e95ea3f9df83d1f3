"""`python -m maa_bench.cli`: the command line without its installed script."""

import sys

from maa_bench.cli import main

if __name__ == "__main__":
    sys.exit(main())
