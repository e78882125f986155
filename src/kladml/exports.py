"""Model files for people: `model_last.*` and `model_best.*`. Nothing of ours reads them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kladml import durable, libraries, rundir
from kladml.checkpoint import rng
from kladml.checkpoint.encoder import Encoder
from kladml.checkpoint.staging import Array, Staging
from kladml.checkpoint.store import CheckpointStore
from kladml.checkpoint.writers import find_writer
from kladml.errors import CheckpointError, ExperimentError
from kladml.records import FORMAT
from kladml.rundir import RunDirectory
from kladml.saves import put_back

if TYPE_CHECKING:
    from kladml.context import RunContext
    from kladml.experiment import Experiment

_ARRAYS = ("numpy.array", "torch.tensor")
_BYTES = ("u1", "uint8")
"""NumPy's and torch's words for the element type that safetensors calls `U8`."""


def export(experiment: Experiment, name: str) -> Path | None:
    """Have the experiment write its model as a file for people, and put that in its place: the old file is there or the new one.

    Args:
        experiment: the experiment.
        name: the file's name without its suffix.

    Returns:
        The file, or None when there is no model that can be written.

    Raises:
        ExperimentError: its `export_model` did not do what it should.
        OSError: the disk refused.
    """
    if experiment.context is None:
        return None
    directory = experiment.context.path
    with durable.temporary_directory(directory) as folder:
        written = _written(experiment, folder, name)
        return None if written is None else _put_in_place(folder, written, directory)


def export_best(experiment: Experiment) -> None:
    """Write `model_best.*`, and say first which epoch it is of.

    A run may be killed after this and before the epoch is committed. `mend_best` finds that out from what was said.

    Args:
        experiment: the experiment, at the end of its best epoch.

    Raises:
        ExperimentError: its `export_model` did not do what it should.
        OSError: the disk refused.
    """
    context = experiment.context
    if context is None or context.best is None:
        return
    directory = RunDirectory(context.path)
    before = _exported(directory)
    with durable.temporary_directory(context.path) as folder:
        written = _written(experiment, folder, "model_best")
        if written is None:
            return
        files = sorted(entry.name for entry in folder.iterdir())
        known = sorted({*files, *filter(_is_of_best, before["files"])})
        durable.write_json(directory.best_model, {"format": FORMAT, "epoch": context.best.epoch, "files": known})
        _put_in_place(folder, written, context.path)
    for name in set(known) - set(files):
        durable.remove(context.path / name)


def mend_best(experiment: Experiment) -> None:
    """Have `model_best.*` be of the best epoch that the run has now: an attempt that was killed may have left that of a later one.

    Args:
        experiment: set up, its run open, nothing restored yet. Afterwards its attributes are those of the best commit, if that was needed.

    Raises:
        ExperimentError: its `export_model` did not do what it should.
        OSError: the disk refused.
    """
    context = experiment.context
    assert context is not None
    directory = RunDirectory(context.path)
    before = _exported(directory)
    epoch = None if context.best is None else context.best.epoch
    if before["epoch"] == epoch:
        return
    state = None if epoch is None else _state_of_best(context, directory, epoch)
    if state is not None:
        generators = rng.capture()
        gone = put_back(experiment, state)
        export_best(experiment)
        vars(experiment).update(gone)  # the state that the run continues from may have them
        rng.restore(generators)
        return
    for name in filter(_is_of_best, before["files"]):
        durable.remove(directory.path / name)
    durable.remove(directory.best_model)
    if epoch is not None:
        experiment.logger.warning("model_best of epoch %d cannot be made again, since that epoch was not committed", epoch)


def _is_of_best(name: object) -> bool:
    """Whether a name may be of a file that we wrote: what the record says is removed, and the record may come from elsewhere."""
    return isinstance(name, str) and name.startswith("model_best") and "/" not in name and "\0" not in name


def _state_of_best(context: RunContext, directory: RunDirectory, epoch: int) -> Any:
    number = context.saved["loop"]["best_commit"]
    store = CheckpointStore(directory.checkpoints)
    try:
        commit = store.read(number)
        return store.load(commit) if commit.info["progress"]["epoch"] == epoch else None
    except CheckpointError:
        return None


def _exported(directory: RunDirectory) -> dict[str, Any]:
    """The epoch of `model_best.*`, and the names of its files."""
    if not directory.best_model.exists():
        return {"epoch": None, "files": []}
    return rundir.read_json(directory.best_model, ("epoch", "files"))


def write_model(model: Any, path: Path) -> Path | None:
    """Write a model as a file that its own library opens: `.pth`, `.skops`, `.npy`, and `.safetensors` for a mapping of arrays.

    Args:
        model: any object.
        path: the file without its suffix.

    Returns:
        The file, or None when there is no format for the object.
    """
    made = _as_file(model)
    if made is None:
        return None
    file = path.with_name(path.name + made[0])
    durable.write_new(file, made[1])
    return file


def _as_file(model: Any) -> tuple[str, list[durable.Buffer]] | None:
    if isinstance(model, Mapping):
        weights = _as_safetensors(model)
        return None if weights is None else (".safetensors", weights)
    library = libraries.library_of(model)
    made = None if library is None else library.export(model)
    return None if made is None else (made[0], [made[1]])


def _as_safetensors(model: Mapping[Any, Any]) -> list[durable.Buffer] | None:
    """The content of a safetensors file; None when a value is no array, or of a type that the format has no word for."""
    arrays: dict[str, Array] = {}
    for name, value in model.items():
        library = libraries.library_of(value, libraries.ARRAYS)
        if library is None or type(name) is not str or name == "__metadata__" or not library.claims(value):
            return None
        encoder = Encoder(find_writer)
        node = encoder.encode(value, "array")
        array = encoder.arrays.get("array")
        if array is None or node["$"] not in _ARRAYS or (array.dtype == "U8" and not node["dtype"].endswith(_BYTES)):
            return None
        arrays[name] = array
    if not arrays:
        return None
    staged = Staging().fill(arrays)
    return [staged.header, staged.data]


def _written(experiment: Experiment, folder: Path, name: str) -> Path | None:
    """What an experiment writes into a folder, checked."""
    path: object = experiment.export_model(folder / name)
    if path is None:
        return None
    rule = f"export_model(path) writes to path with a suffix of its own, here {folder / name}.*, and returns what it wrote, or None"
    if not isinstance(path, str | os.PathLike):
        raise ExperimentError(f"export_model() returned {path!r:.60}; {rule}")
    file = Path(os.path.abspath(path))
    if not file.is_relative_to(folder) or file == folder:
        raise ExperimentError(f"export_model() returned {file}, which does not lie where the path leads; {rule}")
    if not file.exists():
        raise ExperimentError(f"export_model() returned {file}, but there is no such file; {rule}")
    other = [entry.name for entry in folder.iterdir() if not entry.name.startswith(name)]
    if other:
        raise ExperimentError(f"export_model() wrote {other[0]!r}, a name that does not begin with {name!r}; {rule}")
    return file


def _put_in_place(folder: Path, written: Path, directory: Path) -> Path:
    """Move what was written to the run directory, the file that was named last."""
    named = written.relative_to(folder)
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name == named.parts[0]):
        durable.place(entry, directory / entry.name)
    return directory / named
