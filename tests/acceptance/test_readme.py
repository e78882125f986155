"""The README is true: its commands run, its files work, and the make targets and extras that it names exist."""

from __future__ import annotations

import os
import re
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest

from support import REPOSITORY, run_command

README = (REPOSITORY / "README.md").read_text()
BLOCK = re.compile(r"(?:^`(?P<path>[\w./-]+)`\n\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
SET_UP = re.compile(r"^(git clone|make|pip install)\b", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """One fenced block and the file that it is said to be, if any."""

    path: str | None
    language: str
    text: str


BLOCKS = [Block(found["path"], found["language"], found["text"]) for found in BLOCK.finditer(README)]
SHELL = [block.text for block in BLOCKS if block.language == "sh"]


def run_shell(text: str, cwd: Path) -> Path:
    """Run commands as typed one after another; returns the folder that the shell ended in."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    script = f"set -eu\n{text}\npwd >&3"
    ended = cwd / ".ended"
    run_command(["bash", "-c", f"exec 3>.ended\n{script}"], cwd, {"PATH": path}).expect(0)
    folder = Path(ended.read_text().strip())
    ended.unlink()
    return folder


def test_following_the_readme_from_top_to_bottom(tmp_path: Path) -> None:
    cwd = tmp_path
    for block in BLOCKS:
        if block.path is not None:
            (cwd / block.path).write_text(block.text)
        elif block.language == "sh" and not SET_UP.search(block.text):
            cwd = run_shell(block.text, cwd)
        elif block.language == "python":
            run_command([sys.executable, "-c", block.text], cwd).expect(0)
    assert (cwd / "results" / "digits" / "result.json").is_file()


def test_the_readme_shows_what_it_is_tested_for() -> None:
    assert [block.path for block in BLOCKS if block.path] == ["experiments/digits.py", "config/digits.json"]
    assert {"sh", "python", "json"} <= {block.language for block in BLOCKS}


@pytest.mark.parametrize("target", sorted(set(re.findall(r"^make (\w+)", "\n".join(SHELL), re.MULTILINE))))
def test_make_targets_exist(target: str, tmp_path: Path) -> None:
    run_command(["make", "--dry-run", "--directory", REPOSITORY, target], tmp_path).expect(0)


def test_extras_exist() -> None:
    known = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = re.findall(r"\[([a-z,]+)\]", "\n".join(text for text in SHELL if "pip install" in text))
    assert named
    assert {extra for group in named for extra in group.split(",")} <= set(known)


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\((?!https?:)([^)#]+)", README))))
def test_links_lead_somewhere(link: str) -> None:
    assert (REPOSITORY / link).exists()
