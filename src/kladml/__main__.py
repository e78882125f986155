"""`python -m kladml` is the program `kladml`."""

from __future__ import annotations

import sys

from kladml.cli import main

if __name__ == "__main__":
    sys.exit(main())
