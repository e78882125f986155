"""What writes values of each type that every checkpoint knows: the standard library's, the array libraries', the project's dataclasses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import is_dataclass
from types import ModuleType
from typing import Any

from kladml import libraries
from kladml.checkpoint import sets, values
from kladml.checkpoint.decoder import TAUGHT
from kladml.checkpoint.encoder import Encoder, Writer
from kladml.checkpoint.nodes import Part, Uncapturable
from kladml.errors import CaptureError


def find_writer(kind: type) -> Writer | None:
    """What writes values of exactly this type; None when nothing does."""
    if kind not in _WRITERS:
        _WRITERS[kind] = _search_writer(kind)
    return _WRITERS[kind]


def _search_writer(kind: type) -> Writer | None:
    library = libraries.library_of_type(kind)
    if library is not None:
        writer: Writer | None = library.writer_of(kind)
        return writer or _library_writer(library)
    if kind in values.HOLDERS:
        return _holder_writer(values.HOLDERS[kind])
    form = values.form_of(kind)
    if form is not None:
        return _form_writer(form)
    return write_record if is_dataclass(kind) and values.is_plain(kind) else None


def register_codec(kind: type, encode: Callable[[Any], Any], decode: Callable[[Any], Any]) -> None:
    """Teach checkpoints a type. For what only pickle can keep, `register_codec(Type, pickle.dumps, pickle.loads)` is the way to say so.

    Args:
        kind: the type; instances of subclasses are not meant.
        encode: gives a value that checkpoints know: numbers, text, bytes, containers, arrays.
        decode: gives the value back.

    Raises:
        CaptureError: it is no class, or values of it are kept already.
    """
    if not isinstance(kind, type):
        raise CaptureError(f"register_codec({kind!r}, …): the first argument is the class whose values are to be kept")
    if kind in _BUILT_IN:
        raise CaptureError(f"register_codec({kind.__qualname__}, …): values of {kind.__qualname__} are kept already")
    TAUGHT[f"{kind.__module__}:{kind.__qualname__}"] = (encode, decode)
    _WRITERS[kind] = _write_registered


def is_registered(kind: type) -> bool:
    """Whether the project taught us a type."""
    return _WRITERS.get(kind) is _write_registered


def _write_list(encoder: Encoder, value: list[Any], path: str) -> Any:
    return encoder.alias(id(value), value, path) or encoder.items(value, path)


def _write_tuple(encoder: Encoder, value: tuple[Any, ...], path: str) -> Any:
    return {"$": "tuple", "items": encoder.items(value, path)}


def _write_dict(encoder: Encoder, value: dict[Any, Any], path: str) -> Any:
    known = encoder.alias(id(value), value, path)
    if known is not None:
        return known
    below = f"{path}." if path else ""
    if all(type(key) is str and key for key in value) and "$" not in value:
        return {key: encoder.encode(item, below + key) for key, item in value.items()}
    pairs = []
    for index, (key, item) in enumerate(value.items()):
        with encoder.hashed():
            node = encoder.encode(key, f"{below}keys.{index}")
        pairs.append([node, encoder.encode(item, f"{below}{values.name_of(key, index)}")])
    return {"$": "dict", "items": pairs}


def _write_part(encoder: Encoder, value: Part, path: str) -> Any:
    known = encoder.alias(id(value), value, path)
    if known is not None:
        return known
    content = {key: encoder.encode(item, f"{path}.{key}") for key, item in value.content.items()}
    return {"$": "part", "kind": value.kind, "path": value.path, "content": content}


def _write_registered(encoder: Encoder, value: Any, path: str) -> Any:
    known = encoder.alias(id(value), value, path)
    if known is not None:
        return known
    name = values.class_name(value)
    with encoder.unfinished(path):
        content = encoder.encode(TAUGHT[name][0](value), f"{path}.value")
    return {"$": "registered", "type": name, "value": content}


def write_record(encoder: Encoder, value: Any, path: str) -> Any:
    known = encoder.alias(id(value), value, path)
    if known is not None:
        return known
    content = {key: encoder.encode(item, f"{path}.{key}") for key, item in values.fields(value).items()}
    return {"$": "record", "class": values.class_name(value), "fields": content}


def _form_writer(form: values.Form) -> Writer:
    def write(encoder: Encoder, value: Any, path: str) -> Any:
        content = _plainer(encoder, value, path, form.write, hashed=form.hashed)
        return {"$": form.word, "value": content, **_table(value, form.hashed)}

    return write


def _holder_writer(holder: values.Holder) -> Writer:
    def write(encoder: Encoder, value: Any, path: str) -> Any:
        encoder.refuse_key(value, path)
        known = encoder.alias(id(value), value, path)
        if known is not None:
            return known
        head = _made_plainer(value, path, holder.head)
        content = _plainer(encoder, value, path, holder.items, hashed=holder.hashed)
        node = {"$": holder.word, "value": content} if head is None else {"$": holder.word, "head": head, "value": content}
        return node | _table(value, holder.hashed)

    return write


def _table(value: Any, hashed: bool) -> dict[str, int]:
    """What says in which order a set is walked, beside its items."""
    return {"slots": sets.slots_of(value)} if hashed else {}


def _plainer(encoder: Encoder, value: Any, path: str, make: Callable[[Any], Any], *, hashed: bool) -> Any:
    plainer = _made_plainer(value, path, make)
    if not hashed:
        return encoder.encode(plainer, path)
    with encoder.hashed():
        return encoder.items(plainer, path, ordered=False)


def _made_plainer(value: Any, path: str, make: Callable[[Any], Any]) -> Any:
    try:
        return make(value)
    except TypeError as error:
        raise Uncapturable(path, value, str(error)) from None


def _library_writer(library: ModuleType) -> Writer:
    def write(encoder: Encoder, value: Any, path: str) -> Any:
        if not library.claims(value):
            raise Uncapturable(path, value)
        return library.encode(value, path, encoder)

    return write


_WRITERS: dict[type, Writer | None] = {list: _write_list, tuple: _write_tuple, dict: _write_dict, Part: _write_part}
_BUILT_IN = frozenset({*values.SCALARS, *_WRITERS, *values.FORMS, *values.HOLDERS})
