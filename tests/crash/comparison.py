"""Whether two runs of one config are the same in every bit, and whether a run left its folder clean."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from kladml import journal
from kladml.checkpoint.store import MANIFEST, CheckpointStore
from kladml.rundir import RunDirectory


def differences(calm: Path, shot: Path) -> list[str]:
    """What a run that was killed has other than one that was not; empty for nothing.

    Args:
        calm: directory of the run that nobody disturbed.
        shot: directory of the other.
    """
    one, other = RunDirectory(calm), RunDirectory(shot)
    found = _leaves(one, other) + _metrics(one, other) + _untidy(other)
    before, after = one.read_result() or {}, other.read_result() or {}
    found += [
        f"result.json: {key}: {before.get(key)} -> {after.get(key)}"
        for key in ("metrics", "epochs", "steps", "best", "status")
        if before.get(key) != after.get(key)
    ]
    run = other.read_run()
    if not (run["exact"] and after.get("exact")):
        found.append(f"not exact: {run['inexact_because']}, {after.get('inexact_because')}")
    models = [{file.name: _content(file) for file in folder.glob("model_*")} for folder in (calm, shot)]
    found += [f"{name} differs" for name in sorted({*models[0], *models[1]}) if models[0].get(name) != models[1].get(name)]
    return found


def points(directory: RunDirectory) -> list[tuple[str, int, int, str]]:
    """Key, epoch, step, and the bits of the value of every metric in the journal."""
    return [(one.key, one.epoch, one.step, one.value.hex()) for one in journal.metrics(directory.journal)]


def leaves(directory: RunDirectory) -> dict[str, Any]:
    """Digest of every value of the last commit, but for the remark that something may be inexact."""
    store = CheckpointStore(directory.checkpoints)
    newest = store.read(store.numbers()[-1])  # not loaded, since the project's classes are not known here
    return {path: digest for path, digest in newest.leaves.items() if not path.startswith("loop.inexact_because")}


def _content(file: Path) -> bytes:
    """What a model's file holds. Those of skops name objects by their addresses; what they hold is a leaf of the last commit."""
    return b"" if file.suffix == ".skops" else file.read_bytes()


def _leaves(one: RunDirectory, other: RunDirectory) -> list[str]:
    before, after = leaves(one), leaves(other)
    assert before, f"{one.path}: an empty commit compares as equal to anything"
    return [f"leaf {path} differs" for path in sorted({*before, *after}) if before.get(path) != after.get(path)]


def _metrics(one: RunDirectory, other: RunDirectory) -> list[str]:
    before, after = points(one), points(other)
    twice = [f"metric {key} of step {step} stands {count} times" for (key, step), count in _counts(after).items() if count > 1]
    if before != after:
        pairs = zip([*before, None], [*after, None], strict=False)
        first = next((pair for pair in pairs if pair[0] != pair[1]), None)
        twice.append(f"metrics differ ({len(before)}, {len(after)}): {first}")
    return twice


def _counts(found: list[tuple[str, int, int, str]]) -> Counter[tuple[str, int]]:
    return Counter((key, step) for key, _, step, _ in found)


def _untidy(directory: RunDirectory) -> list[str]:
    left = [f"left behind: {file}" for file in directory.path.rglob(".*.tmp")]
    return left + [f"no manifest: {folder}" for folder in directory.checkpoints.iterdir() if not (folder / MANIFEST).exists()]
