"""The same surroundings for every test: no settings from the caller's environment, no terminal, and no silent skips in CI."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

LEAKS = ("NO_COLOR", "FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "COLUMNS", "LINES", "PYTHONPATH", "PYTHONHOME", "PYTHONWARNINGS")


def pytest_configure(config: pytest.Config) -> None:
    """Before any test module is imported: drop what would change how the program behaves."""
    if "KLADML_TESTS" in os.environ:  # the program takes what begins with its name for a setting
        os.environ["TESTS_OF_KLADML"] = os.environ["KLADML_TESTS"]
    for name in [*LEAKS, *(name for name in os.environ if name.startswith("KLADML_"))]:
        os.environ.pop(name, None)
    os.environ["TERM"] = "dumb"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With CI=true, a test may be skipped for a missing GPU only."""
    report = yield
    if _hidden(report) and item.get_closest_marker("gpu") is None and "wasxfail" not in vars(report):
        _fail(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """With CI=true, a whole file may not be skipped."""
    report = yield
    if _hidden(report):
        _fail(report)
    return report


def _hidden(report: pytest.TestReport | pytest.CollectReport) -> bool:
    return report.outcome == "skipped" and os.environ.get("CI") == "true"


def _fail(report: pytest.TestReport | pytest.CollectReport) -> None:
    report.outcome = "failed"
    report.longrepr = f"skipped in CI, where only a missing GPU is a reason: {report.longrepr}"
