"""Start-up time as ratios of a bare interpreter: `import kladml`, `kladml --help`, and the same of peers that are installed.

Usage: python benchmarks/startup.py [repeats]
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib.util import find_spec
from statistics import median

BARE = (sys.executable, "-c", "pass")


@dataclass(frozen=True)
class Case:
    """A command to time, and the highest ratio that is allowed."""

    name: str
    command: tuple[str, ...]
    limit: float | None = None


OURS = [
    Case("import kladml", (sys.executable, "-c", "import kladml"), limit=3),
    Case("kladml --help", (sys.executable, "-m", "kladml", "--help"), limit=6),
]
PEERS = [Case(f"import {name}", (sys.executable, "-c", f"import {name}")) for name in ("submitit", "hydra", "sacred", "wandb", "mlflow")]


def seconds(command: tuple[str, ...], cwd: str) -> float:
    """Wall-clock time of a command that must succeed."""
    start = time.perf_counter()
    subprocess.run(command, cwd=cwd, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start


def measure(cases: list[Case], repeats: int) -> dict[str, float]:
    """Median ratio of each case to the bare interpreter that ran just before it."""
    ratios: dict[str, list[float]] = {case.name: [] for case in cases}
    with tempfile.TemporaryDirectory() as cwd:
        for repeat in range(repeats + 1):
            for case in cases:
                ratio = 1 / seconds(BARE, cwd) * seconds(case.command, cwd)
                if repeat > 0:  # the first round fills caches
                    ratios[case.name].append(ratio)
    return {name: median(values) for name, values in ratios.items()}


def main() -> int:
    """Print the table; 1 when a limit is missed."""
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    installed = [peer for peer in PEERS if find_spec(peer.name.split()[1])]
    absent = [peer.name.split()[1] for peer in PEERS if peer not in installed]
    cases = [*OURS, *installed]
    ratios = measure(cases, repeats)
    print(f"median of {repeats} rounds, bare interpreter = 1")
    for case in cases:
        ratio = ratios[case.name]
        verdict = "" if case.limit is None else f"limit {case.limit:g}  {'ok' if ratio <= case.limit else 'MISSED'}"
        print(f"{case.name:20} {ratio:6.2f}  {verdict}".rstrip())
    if absent:
        print(f"not installed, left out: {', '.join(absent)}")
    return int(any(case.limit is not None and ratios[case.name] > case.limit for case in cases))


if __name__ == "__main__":
    sys.exit(main())
