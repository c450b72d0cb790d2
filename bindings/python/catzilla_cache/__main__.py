"""``python -m catzilla_cache`` is the command line."""

import sys

from catzilla_cache.command.main import main

if __name__ == "__main__":
    sys.exit(main())
