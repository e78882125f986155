"""scikit-learn: estimators in checkpoints and model files, by skops, which loads only types on a list."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kladml.errors import CaptureError, CheckpointCorrupt, MissingExtra

if TYPE_CHECKING:
    from kladml.checkpoint.codec import Decoder, Encoder

_TRUSTED_PREFIXES = ("sklearn.", "numpy.", "scipy.")
"""Where the types may come from that an estimator's file may name beyond those that skops trusts by itself."""


def claims(value: Any) -> bool:
    """Whether this module encodes the value."""
    from sklearn.base import BaseEstimator

    return isinstance(value, BaseEstimator)


def encode(value: Any, path: str, encoder: Encoder) -> Any:
    """An estimator as a skops file beside the JSON.

    Raises:
        CaptureError: the file would name a type that `decode` refuses.
    """
    data = _dump(value)
    foreign = _foreign(data)
    if foreign:
        raise CaptureError(
            f"{path} is an estimator with {', '.join(foreign)} in it; only types of scikit-learn, NumPy and SciPy can be kept in a "
            f"checkpoint. "
            "Give the experiment get_state() and restore() for it."
        )
    return {"$": "sklearn.estimator", "file": encoder.file(data, path, ".skops")}


def decode(node: dict[str, Any], decoder: Decoder) -> Any:
    """The estimator that a node of `encode` stands for.

    Raises:
        CheckpointCorrupt: the file names a type that is not of scikit-learn, NumPy or SciPy.
    """
    io = _skops()
    data = decoder.files[node["file"]]
    foreign = _foreign(data)
    if foreign:
        raise CheckpointCorrupt(f"an estimator's file names {', '.join(foreign)}; only types of scikit-learn, NumPy and SciPy are loaded")
    return io.loads(data, trusted=io.get_untrusted_types(data=data))


def restore(live: Any, saved: Any) -> Any:
    """Put a saved estimator into a living one of the same class, so that other references see it.

    Returns:
        The object to bind.
    """
    if type(live) is not type(saved):
        return saved
    vars(live).clear()
    vars(live).update(vars(saved))
    return live


def export(value: Any) -> tuple[str, bytes] | None:
    """An estimator as a file that `skops.io.load` opens."""
    return (".skops", _dump(value)) if claims(value) else None


def _dump(value: Any) -> bytes:
    data: bytes = _skops().dumps(value)
    return data


def _foreign(data: bytes) -> list[str]:
    """Types in a skops file that are not loaded."""
    return [name for name in _skops().get_untrusted_types(data=data) if not name.startswith(_TRUSTED_PREFIXES)]


def _skops() -> Any:
    try:
        import skops.io
    except ImportError:
        raise MissingExtra("keeping a scikit-learn estimator", package="skops", extra="sklearn") from None
    return skops.io
