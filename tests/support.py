"""What many tests share: where the repository is, and running the command as a person would, without a terminal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
SOURCE = REPOSITORY / "src" / "kladml"
HANG_S = 240
"""Ends a hang; far more than any command needs."""


@dataclass(frozen=True)
class Finished:
    """How a command ended."""

    code: int
    stdout: str
    stderr: str

    def expect(self, code: int) -> Finished:
        """Itself, when the exit code is this one; else a failure that shows all that the command said."""
        assert self.code == code, f"exit code {self.code}, expected {code}\n--- stdout\n{self.stdout}\n--- stderr\n{self.stderr}"
        return self


def run_command(command: Sequence[str | Path], cwd: Path, env: Mapping[str, str] | None = None) -> Finished:
    """Run a program in a session of its own; one that hangs dumps its stacks and fails the test.

    Args:
        command: the program and its arguments.
        cwd: the folder to run it in.
        env: variables added to the environment.
    """
    process = subprocess.Popen(
        [str(part) for part in command],
        cwd=cwd,
        env={**os.environ, "PYTHONFAULTHANDLER": "1", **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        stdout, stderr = process.communicate(timeout=HANG_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGABRT)
        stdout, stderr = process.communicate()
        raise AssertionError(f"{list(command)} hung\n--- stdout\n{stdout}\n--- stderr\n{stderr}") from None
    return Finished(process.returncode, stdout, stderr)


def run_kladml(*arguments: str | Path, cwd: Path, env: Mapping[str, str] | None = None) -> Finished:
    """Run `kladml` with these arguments in a folder."""
    return run_command([sys.executable, "-m", "kladml", *arguments], cwd, env)
