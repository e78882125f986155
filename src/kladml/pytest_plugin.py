"""The fixture `crashtest` for the tests of other projects: `def test_resume(crashtest): crashtest("config/exp1.json")`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from kladml.crashtest.report import Report


@pytest.fixture
def crashtest(tmp_path: Path) -> Callable[..., Report]:
    """Kill an experiment again and again, and fail the test unless it arrives at the bits of an undisturbed run every time.

    Called with a config file and, if need be, `overrides` (changes to it), `kills` (10), `steps` (as planned) and `seed` (0). It gives the
    report.
    """

    def prove(config: str | Path, overrides: tuple[str, ...] = (), *, kills: int = 10, steps: int | None = None, seed: int = 0) -> Report:
        from kladml.crashtest.report import crashtest as tried
        from kladml.crashtest.trials import Subject

        folder = tmp_path / "crashtest"
        folder.mkdir()
        report = tried(Subject.of(Path(config), overrides, steps), folder, kills, seed)
        if not report.clean:
            pytest.fail(report.to_text(), pytrace=False)
        return report

    return prove
