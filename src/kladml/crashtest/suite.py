"""The plain command's work with counted attempts: `python -m kladml.crashtest.suite CONFIG [KEY=VALUE]...`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from kladml import supervisor
from kladml.runner import ExperimentRunner


def main(arguments: Sequence[str]) -> int:
    """Run one config.

    Args:
        arguments: its file, then changes to it.

    Returns:
        What `kladml run` would exit with.
    """
    supervisor.ATTEMPT = "kladml.crashtest.attempt"
    return ExperimentRunner().run_all(Path(arguments[0]), arguments[1:]).exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
