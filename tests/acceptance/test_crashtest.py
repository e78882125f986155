"""`kladml crashtest`: experiments that continue exactly pass, and those that do not are found out, by name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

GOOD = """
import random

from kladml import Experiment, register


@register("sums")
class Sums(Experiment):
    def setup(self):
        self.total, self.seen = 0.0, []

    def train_epoch(self, epoch):
        for number in self.steps(range(8)):
            self.total += random.random() * number
            self.seen.append(number)
            self.log_metric("total", self.total)
        return {"loss": -self.total}
"""
MODULE = GOOD.replace("\n\n@register", "\n\nPOSITION = [0]\n\n\n@register").replace(
    "            self.seen", "            POSITION[0] += 1\n            self.total += POSITION[0]\n            self.seen"
)
CLOCK = GOOD.replace("import random\n", "import random\nimport time\n").replace("random.random()", "time.perf_counter()")
FILE = GOOD.replace("import random\n", "import random\nfrom pathlib import Path\n").replace(
    "            self.seen",
    "            place = self.context.path / 'count'\n"
    "            count = int(place.read_text()) + 1 if place.exists() else 1\n"
    "            place.write_text(str(count))\n"
    "            self.total += count\n"
    "            self.seen",
)


OUTSIDE = {
    "a generator of the module": ("RNG = random.Random(3)\n", "self.total += RNG.random()"),
    "a function's dict": ("CALLS = {'n': 0}\ndef call():\n    CALLS['n'] += 1\n    return CALLS['n']\n", "self.total += call()"),
    "a default": ("def call(memo=[]):\n    memo.append(1)\n    return len(memo)\n", "self.total += call()"),
}
"""What lies outside an experiment: at the top of its module, and in the loop."""


def project(folder: Path, source: str) -> Path:
    """A project with one experiment."""
    (folder / "experiments").mkdir(parents=True)
    (folder / "experiments" / "__init__.py").touch()
    (folder / "experiments" / "sums.py").write_text(source)
    (folder / "kladml.yaml").write_text("log_level: WARNING\n")
    (folder / "sums.json").write_text(json.dumps({"model_type": "sums", "hyperparams": {"epochs": 3}}))
    return folder


def crashtest(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command, in a project."""
    command = [sys.executable, "-m", "kladml", "crashtest", "sums.json", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)


def test_an_experiment_that_continues_exactly_passes(tmp_path: Path) -> None:
    folder = project(tmp_path, GOOD)
    ended = crashtest(folder, "--kills", "12", "--json")
    report = json.loads(ended.stdout)
    assert ended.returncode == 0, ended
    assert report["clean"]
    assert len(report["trials"]) == 12
    assert len({tuple(trial["kills"]) for trial in report["trials"]}) > 8
    assert any(len(trial["kills"]) == 2 for trial in report["trials"])
    assert not (folder / "results").exists()


def test_the_same_seed_kills_at_the_same_events(tmp_path: Path) -> None:
    folder = project(tmp_path, GOOD)
    kills = []
    for seed in ("7", "7", "8"):
        report = json.loads(crashtest(folder, "--kills", "4", "--seed", seed, "--json").stdout)
        assert report["clean"]
        kills.append([trial["kills"] for trial in report["trials"]])
    assert kills[0] == kills[1] != kills[2]


def test_a_position_in_a_variable_of_the_module_is_found_and_named(tmp_path: Path) -> None:
    ended = crashtest(project(tmp_path, MODULE), "--kills", "6")
    assert ended.returncode == 1, ended
    assert "experiments.sums.POSITION changes while the experiment runs" in ended.stdout
    assert "killed at step" in ended.stdout


@pytest.mark.parametrize("name", OUTSIDE)
def test_what_lies_outside_the_experiment_is_kept_or_said_to_be_not_exact(tmp_path: Path, name: str) -> None:
    top, inside = OUTSIDE[name]
    source = GOOD.replace("\n\n@register", f"\n\n{top}\n\n@register").replace("self.seen.append(number)", inside)
    report = json.loads(crashtest(project(tmp_path, source), "--kills", "4", "--json").stdout)
    assert report["not_deterministic"] == []
    for trial in report["trials"]:
        assert trial["failure"] is None
        said = [text for text in trial["differences"] if text.startswith("marked not exact: resumed:")]
        assert trial["clean"] or said
    assert report["clean"] == (name == "a generator of the module")


def test_a_position_in_a_file_is_found(tmp_path: Path) -> None:
    ended = crashtest(project(tmp_path, FILE), "--kills", "6")
    assert ended.returncode == 1, ended
    assert "experiment.total: differs from step" in ended.stdout
    assert "metric total: " in ended.stdout
    assert "a file" in ended.stdout


def test_what_differs_without_a_kill_is_not_blamed_on_one(tmp_path: Path) -> None:
    ended = crashtest(project(tmp_path, CLOCK), "--kills", "6")
    assert ended.returncode == 1, ended
    assert "Two undisturbed runs differ, without any kill:" in ended.stdout
    assert "experiment.total: differs from step 3" in ended.stdout
    assert "killed at" not in ended.stdout


def test_steps_end_runs_early(tmp_path: Path) -> None:
    folder = project(tmp_path, GOOD)
    ended = crashtest(folder, "--kills", "2", "--steps", "9", "--keep", "kept", "--json")
    assert json.loads(ended.stdout)["clean"], ended
    (run,) = (folder / "kept" / "trial-1" / "results").glob("*")
    assert json.loads((run / "result.json").read_text())["steps"] == 16


@pytest.mark.parametrize("arguments", [(), ("other.json",)])
def test_one_config_is_to_be_named(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    folder = project(tmp_path, GOOD)
    command = [sys.executable, "-m", "kladml", "crashtest", *arguments]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2, ended


def test_the_fixture_for_other_projects_tests(tmp_path: Path) -> None:
    folder = project(tmp_path, MODULE)
    (folder / "test_resume.py").write_text('def test_resume(crashtest):\n    crashtest("sums.json", kills=4)\n')
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "kladml.pytest_plugin", "test_resume.py"]
    ended = subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
    )
    assert ended.returncode == 1, ended
    assert "experiments.sums.POSITION changes while the experiment runs" in ended.stdout
