"""scikit-learn: estimators in checkpoints and model files, by skops, which loads only types on a list.

https://skops.readthedocs.io/en/stable/persistence.html describes the file: a zip with `schema.json`, a tree of nodes that name their types,
and the elements of arrays. Two files of equal estimators differ by memory addresses; the digest is made without them.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from hashlib import sha256
from io import BytesIO
from typing import TYPE_CHECKING, Any
from zipfile import ZIP_STORED, ZipFile

from kladml.errors import CaptureError, CheckpointCorrupt, MissingExtra

if TYPE_CHECKING:
    from kladml.checkpoint.decoder import Decoder
    from kladml.checkpoint.encoder import Encoder

_BASES = {
    "sklearn.base": "BaseEstimator",
    "sklearn._loss.loss": "BaseLoss",
    "sklearn.gaussian_process.kernels": "Kernel",
    "sklearn.metrics._scorer": "_BaseScorer",
    "sklearn.model_selection._split": "GroupsConsumerMixin BaseCrossValidator BaseShuffleSplit",
    "sklearn.neural_network._stochastic_optimizers": "BaseOptimizer",
}
"""Classes whose subclasses in scikit-learn an estimator may hold."""

_SPARSE = ("bsr", "coo", "csc", "csr", "dia", "dok", "lil")
_CLASSES = frozenset(
    {
        *("numpy.dtype", "scipy.interpolate._bsplines.BSpline"),
        *(f"scipy.sparse._{kind}.{kind}_{form}" for kind in _SPARSE for form in ("array", "matrix")),
        *("sklearn.calibration._CalibratedClassifier", "sklearn.calibration._SigmoidCalibration"),
        *("sklearn.cluster._bisect_k_means._BisectingTree", "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor"),
        *("sklearn.neighbors._ball_tree.BallTree", "sklearn.neighbors._kd_tree.KDTree", "sklearn.tree._tree.Tree"),
        *("sklearn.metrics._dist_metrics.EuclideanDistance64", "sklearn.metrics._dist_metrics.EuclideanDistance"),
        *("sklearn.metrics._dist_metrics.ManhattanDistance64", "sklearn.metrics._dist_metrics.MinkowskiDistance64"),
        *("sklearn.utils._bunch.Bunch", "sklearn.utils._metadata_requests.MetadataRequest"),
        *("sklearn.utils._metadata_requests.MethodMetadataRequest", "sklearn.metrics._scorer._PassthroughScorer"),
    }
)
_FUNCTIONS = frozenset(
    {
        *("numpy.mean", "numpy.median", "scipy._lib.array_api_compat.numpy._aliases.asarray"),
        *("sklearn.cluster._kmeans._kmeans_single_lloyd", "sklearn.cluster._kmeans._kmeans_single_elkan"),
        *(f"sklearn.feature_selection._univariate_selection.{name}" for name in ("chi2", "f_classif", "f_regression")),
        *(f"sklearn.metrics._classification.{name}" for name in ("accuracy_score", "balanced_accuracy_score", "f1_score")),
    }
)
"""What estimators hold and call when they are used. A file may name them; it cannot have them called."""

_UNPACKED_RATIO, _UNPACKED_BYTES = 100, 1 << 26


def claims(value: Any) -> bool:
    """Whether this module encodes the value."""
    from sklearn.base import BaseEstimator

    return isinstance(value, BaseEstimator)


def writer_of(kind: type) -> Any:
    """What writes values of a type directly: nothing here."""
    return None


def encode(value: Any, path: str, encoder: Encoder) -> Any:
    """An estimator as a skops file beside the JSON.

    Raises:
        CaptureError: skops cannot write it, or the file would name a type that `decode` refuses.
    """
    encoder.refuse_key(value, path)
    known = encoder.alias(id(value), value, path)
    if known is not None:
        return known
    ways = "Give the experiment get_state() and restore() for it, or name the attribute in `inputs`."
    try:
        data = _dump(value)
    except MissingExtra:
        raise
    except Exception as error:
        raise CaptureError(f"{path} is a {type(value).__name__}, which skops cannot keep: {error}. {ways}") from error
    foreign = _foreign(data)
    if foreign:
        raise CaptureError(
            f"{path} is a {type(value).__name__} with {', '.join(foreign)} in it, which is not on the list of what can be kept. {ways}"
        )
    return {"$": "sklearn.estimator", "file": encoder.file(data, path, ".skops", _digest(data))}


def decode(node: dict[str, Any], decoder: Decoder) -> Any:
    """The estimator that a node of `encode` stands for.

    Raises:
        CheckpointCorrupt: the file is none that `encode` writes, or names what is not on the list.
    """
    data = decoder.files[node["file"]]
    _check_sizes(data)
    foreign = _foreign(data)
    if foreign:
        raise CheckpointCorrupt(f"an estimator's file names {', '.join(foreign)[:400]}, which is not on the list of what is loaded")
    io = _skops()
    try:
        found = io.loads(data, trusted=io.get_untrusted_types(data=data))
    except MemoryError as error:
        raise CheckpointCorrupt(f"an estimator's file claims more than there is memory for: {error}") from error
    if not claims(found):
        raise CheckpointCorrupt(f"an estimator's file holds a {type(found).__name__}")
    return found


def restore(live: Any, saved: Any) -> Any:
    """Put a saved estimator into a living one of the same class, and its parts into the parts, so that other references see it.

    Returns:
        The object to bind.
    """
    return _filled(live, saved, {})


def _filled(live: Any, saved: Any, done: dict[int, Any]) -> Any:
    import numpy as np

    if id(saved) in done or type(live) is not type(saved):
        return done.get(id(saved), saved)
    if claims(saved):
        done[id(saved)] = live
        new = {name: _filled(vars(live).get(name), item, done) for name, item in vars(saved).items()}
        vars(live).clear()
        vars(live).update(new)
        return live
    if isinstance(saved, np.random.RandomState):
        live.set_state(saved.get_state(legacy=False))
        return live
    if type(saved) in (list, tuple) and len(live) == len(saved):
        return type(saved)([_filled(one, item, done) for one, item in zip(live, saved, strict=True)])
    return saved


def export(value: Any) -> tuple[str, bytes] | None:
    """An estimator as a file that `skops.io.load` opens."""
    return (".skops", _dump(value)) if claims(value) else None


def _dump(value: Any) -> bytes:
    data: bytes = _skops().dumps(value)
    return data


def _digest(data: bytes) -> str:
    """A digest of a skops file that equal estimators have in common: without the addresses that name its objects and members."""
    with ZipFile(BytesIO(data)) as archive:
        schema = json.loads(archive.read("schema.json"))
        members = {name: _digest_of_member(archive.read(name), name) for name in archive.namelist()}
    for node in _nodes(schema):
        node.pop("__id__", None)
        if "file" in node:
            node["file"] = members[node["file"]]
    for node in reversed(list(_nodes(schema))):
        if node.get("__loader__") == "SetNode":
            node["content"].sort(key=json.dumps)
    return sha256(json.dumps(schema, sort_keys=False).encode()).hexdigest()


def _digest_of_member(data: bytes, name: str) -> str:
    import numpy as np

    if not name.endswith(".npy"):
        return sha256(data).hexdigest()
    array = np.load(BytesIO(data), allow_pickle=False)
    found = sha256(f"{array.dtype.descr}{array.shape}".encode())
    for column in [array[field] for field in array.dtype.names] if array.dtype.names else [array]:  # what is between fields is random
        found.update(column.tobytes())
    return found.hexdigest()


def _nodes(schema: Any) -> Iterator[dict[str, Any]]:
    """All nodes of a schema, outer ones first."""
    waiting = [schema]
    while waiting:
        found = waiting.pop()
        if isinstance(found, dict):
            if "__loader__" in found:
                yield found
            waiting.extend(found.values())
        elif isinstance(found, list):
            waiting.extend(found)


def _foreign(data: bytes) -> list[str]:
    """What a skops file names that is not on the list."""
    names = {name for name in _skops().get_untrusted_types(data=data) if name not in _FUNCTIONS and not _is_listed(name)}
    with ZipFile(BytesIO(data)) as archive:
        schema = json.loads(archive.read("schema.json"))
    for node in _nodes(schema):  # a function that is named as if it were a class would be called
        name = f"{node['__module__']}.{node['__class__']}"
        if name in _FUNCTIONS and node["__loader__"] != "FunctionNode":
            names.add(name)
    return sorted(names)


def _is_listed(name: str) -> bool:
    """Whether a class may be in an estimator's file. Of scikit-learn's modules only those are imported that are no tests or tools."""
    if name in _CLASSES:
        return True
    module, _, word = name.rpartition(".")
    inner = module.split(".")
    if inner[0] != "sklearn" or {"tests", "conftest", "externals", "datasets", "_testing", "_build_utils"} & {*inner}:
        return False
    try:
        found = vars(importlib.import_module(module)).get(word)
    except ImportError:
        return False
    bases = tuple(vars(importlib.import_module(at)).get(base, ()) for at, words in _BASES.items() for base in words.split())
    return isinstance(found, type) and found.__module__ == module and issubclass(found, bases)


def _check_sizes(data: bytes) -> None:
    """Refuse an archive that unpacks to much more than there is.

    Raises:
        CheckpointCorrupt: it is none that skops writes.
    """
    with ZipFile(BytesIO(data)) as archive:
        members = archive.infolist()
        if any(member.compress_type != ZIP_STORED for member in members) or sum(member.file_size for member in members) > len(data):
            raise CheckpointCorrupt("an estimator's file is packed, which it never is, or has members that overlap")
        if len({member.filename for member in members}) < len(members):
            raise CheckpointCorrupt("an estimator's file has two members of one name")
        owners: dict[str, Any] = {}
        for node in _nodes(json.loads(archive.read("schema.json"))):
            if "file" in node and owners.setdefault(node["file"], node.get("__id__")) != node.get("__id__", node):
                raise CheckpointCorrupt("an estimator's file gives one member to several objects")
        for member in members:
            if member.filename.endswith(".npz"):
                _check_unpacked(archive.read(member), member.filename)


def _check_unpacked(data: bytes, name: str) -> None:
    with ZipFile(BytesIO(data)) as archive:
        size = sum(member.file_size for member in archive.infolist())
    if size > max(_UNPACKED_BYTES, _UNPACKED_RATIO * len(data)):
        raise CheckpointCorrupt(f"an estimator's file has {name}, which unpacks to {size} bytes")


def _skops() -> Any:
    try:
        import skops.io
    except ImportError:
        raise MissingExtra("keeping a scikit-learn estimator", package="skops", extra="sklearn") from None
    return skops.io
