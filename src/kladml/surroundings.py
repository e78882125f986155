"""What surrounds an attempt and decides its numbers beside code, config and data: numbers of threads, how texts hash, torch's switches.

It is written down at a run's first attempt and put back for the later ones, never compared: who resumes a run on another machine, or from a
terminal with other variables, wants the numbers of the run.
"""

from __future__ import annotations

import importlib
import itertools
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from kladml import journal, libraries

HASH = "PYTHONHASHSEED"
CUBLAS = "CUBLAS_WORKSPACE_CONFIG"
_WORKSPACE = ":4096:8"
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_KIND = "surroundings"
_FIRST = 10_000
"""The record is among the first of a journal; later ones are not searched."""


def of_first_attempt(seed: int, deterministic: str | bool) -> dict[str, Any]:
    """What `run.json` keeps: the variables of all attempts, and how many processors the first one could use.

    Args:
        seed: the config's seed.
        deterministic: the config's word.
    """
    workspace = os.environ.get(CUBLAS, None if deterministic is False else _WORKSPACE)
    return {
        "processors": _processors(),
        "variables": {HASH: str(seed), CUBLAS: workspace, **{name: os.environ.get(name) for name in _THREADS}},
    }


def variables(kept: Mapping[str, Any]) -> dict[str, str]:
    """The environment of an attempt's process.

    Args:
        kept: what `of_first_attempt` gave.

    Returns:
        That of this process, the variables that were kept put back. On another number of processors, the libraries are told the old one.
    """
    found = dict(os.environ)
    moved = kept["processors"] != _processors()
    for name, value in kept["variables"].items():
        value = str(kept["processors"]) if value is None and moved and name in _THREADS else value
        found.pop(name, None)
        if value is not None:
            found[name] = value
    return found


def prepare(deterministic: str | bool) -> None:
    """Ask for deterministic kernels, as far as the libraries are loaded by now.

    Args:
        deterministic: the config's word: True, False or `warn`.
    """
    if deterministic is not False:
        os.environ.setdefault(CUBLAS, _WORKSPACE)  # read when CUDA starts
    if "torch" in sys.modules:
        libraries.integration("torch_settings").set_deterministic(deterministic)


def preload(names: set[str]) -> None:
    """Import libraries, so that they can be seeded and set before the user's module is imported.

    Args:
        names: those that the module imports at once. One that cannot be imported is left to the module, whose error says more.
    """
    for name in sorted(names):
        with suppress(Exception):
            importlib.import_module(name)


class Surroundings:
    """What surrounded the attempts of one run, as its journal tells: a record that the first attempt wrote."""

    def __init__(self, path: Path) -> None:
        """Look for the record.

        Args:
            path: the journal.
        """
        records = itertools.islice(journal.read(path), _FIRST)
        self._first: Mapping[str, Any] | None = next((record.payload for record in records if record.kind == _KIND), None)

    def put_back(self) -> None:
        """Let the libraries that are loaded use as many threads as in the first attempt."""
        threads = (self._first or {}).get("torch", {}).get("threads")
        if threads is not None and "torch" in sys.modules:
            libraries.integration("torch_settings").set_threads(threads)

    def to_record(self) -> tuple[str, dict[str, Any]] | None:
        """Kind and payload of the record, for the first attempt; None for later ones."""
        return (_KIND, observed()) if self._first is None else None

    def differences(self) -> list[str]:
        """What is not as in the first attempt and cannot be put back."""
        if self._first is None or self._first["hash"] == _hash():
            return []
        cause = _cause(self._first["variables"][HASH], os.environ.get(HASH))
        return [f"resumed: texts hash differently than before ({cause}), so that a set may have another order"]


def observed() -> dict[str, Any]:
    """What surrounds this process."""
    found: dict[str, Any] = {
        "processors": _processors(),
        "hash": _hash(),
        "variables": {name: os.environ.get(name) for name in (HASH, CUBLAS, *_THREADS)},
    }
    if "torch" in sys.modules:
        found["torch"] = libraries.integration("torch_settings").observed()
    return found


def _cause(before: str | None, now: str | None) -> str:
    if before == now:
        return f"{HASH} is not set" if now is None else f"{HASH} is {now} as it was, but this is another Python"
    return f"{HASH} was {before or 'not set'} and is {now or 'not set'}"


def _hash() -> str:
    """A fingerprint of how this process hashes texts."""
    return f"{hash('kladml') & 0xFFFFFFFFFFFFFFFF:016x}"


def _processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
