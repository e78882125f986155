"""A small project in which a test makes one mistake, and what must hold after every mistake."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from support import Finished, run_kladml

SETTINGS = "tracker: none\npublisher: none\n"
HEAD = "from dataclasses import dataclass\n\nfrom kladml import Experiment, register\n\n\n"
GOOD = """
@register("good")
class Good(Experiment):
    @dataclass
    class Hyperparams:
        lr: float = 0.1

    def train_epoch(self, epoch):
        return {"loss": 1.0 / epoch}
"""


class Mistakes:
    """A project with the experiment `good` in `experiments/good.py` and an empty `config/`.

    Attributes:
        root: its folder.
    """

    def __init__(self, root: Path) -> None:
        """Make the project.

        Args:
            root: an empty folder.
        """
        self.root = root
        (root / "config").mkdir()
        self.write("kladml.yaml", SETTINGS)
        self.write("experiments/good.py", HEAD + GOOD)

    def write(self, file: str, content: str | bytes | Mapping[str, Any]) -> None:
        """Write a file of the project; a mapping as JSON."""
        path = self.root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(content) if isinstance(content, Mapping) else content
        path.write_bytes(text if isinstance(text, bytes) else text.encode())

    def run(self, *arguments: str, env: Mapping[str, str] | None = None) -> Finished:
        """Run `kladml`; a traceback on the terminal is a defect, whatever the mistake."""
        ended = run_kladml(*arguments, cwd=self.root, env=env)
        assert "Traceback (most recent call last)" not in ended.stdout + ended.stderr, ended.stderr
        return ended

    def refused(self, *arguments: str, env: Mapping[str, str] | None = None) -> str:
        """Run `kladml`, which must say what is wrong on standard error, exit with 2, and leave no trace."""
        before = self._files()
        ended = self.run(*arguments, env=env).expect(2)
        assert ended.stdout == ""
        assert self._files() == before, "nothing may have run"
        return ended.stderr

    def failed(self, name: str = "a") -> tuple[str, list[str]]:
        """Run `kladml run`, in which this experiment must fail.

        Returns:
            What the terminal showed, and the traceback in `log.txt`, line by line.
        """
        ended = self.run("run").expect(1)
        assert ended.stdout.splitlines()[1].split()[:2] == [name, "FAILED"]
        assert f"log: results/{name}/log.txt" in ended.stdout
        assert f"kladml show {name}" in ended.stderr
        log = (self.root / "results" / name / "log.txt").read_text()
        return ended.stdout + ended.stderr, [line.removeprefix("    | ") for line in log.splitlines() if line.startswith("    | ")]

    def _files(self) -> set[str]:
        return {path.relative_to(self.root).as_posix() for path in self.root.rglob("*") if "__pycache__" not in path.parts}


def faults(stderr: str) -> list[str]:
    """The faults of a report, one line each."""
    head, *lines = stderr.splitlines()
    assert head == f"Error: {len(lines)} fault{'s' if len(lines) != 1 else ''} in the configuration; nothing was run."
    return [line.removeprefix("  ") for line in lines]
