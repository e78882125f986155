"""What worker processes take with them when they begin: the data as it was then. Later changes in this process do not reach them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from types import MethodType
from typing import Any

from kladml.checkpoint import capture, codec, digests
from kladml.checkpoint.encoder import Encoder, Writer
from kladml.checkpoint.nodes import LARGE_BYTES
from kladml.checkpoint.staging import Array, Staging
from kladml.errors import CaptureError
from kladml.integrations.generators import is_generator

_PARTS = ("dataset", "collate_fn", "worker_init_fn")


def taken_from(loader: Any, left_out: Iterable[Any], *, thorough: bool) -> Mapping[str, str]:
    """What the workers of a loader would take with them now.

    Args:
        loader: the user's.
        left_out: objects that are not looked into.
        thorough: whether large arrays are digested whole; else a few of their elements are.

    Returns:
        A digest of every value that can be kept, by path; without generators, since workers seed them anew for every batch.
    """
    encoder = Encoder(_find)
    for number, value in enumerate(left_out):
        encoder.alias(id(value), value, f"left out {number}")
    for name in _PARTS:
        value = vars(loader).get(name)
        mark = encoder.mark()
        try:
            encoder.encode(value.__self__ if isinstance(value, MethodType) else value, name)
        except CaptureError:
            encoder.rollback(mark)
    large = {} if thorough else {name: array for name, array in encoder.arrays.items() if array.size >= LARGE_BYTES}
    for name in large:
        del encoder.arrays[name]
    return codec.leaves_of(encoder.snapshot(None, Staging())) | {name: _glance(array) for name, array in large.items()}


def _glance(array: Array) -> str:
    """A few elements, and how often torch changed it."""
    try:
        version = getattr(array.source, "_version", 0)
    except RuntimeError:  # made in inference mode, which counts nothing
        version = 0
    return repr((digests.sample(array), version))


def _find(kind: type) -> Writer | None:
    writer = capture.find_writer(kind)
    return None if writer is None else partial(_write, writer)


def _write(writer: Writer, encoder: Encoder, value: Any, path: str) -> Any:
    return None if is_generator(value) else writer(encoder, value, path)
