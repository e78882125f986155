"""Putting a saved state back into living objects, in place, so that whatever refers to them sees it."""

from __future__ import annotations

import random
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Mapping
from dataclasses import is_dataclass
from itertools import zip_longest
from types import SimpleNamespace
from typing import Any, ClassVar

from kladml import libraries
from kladml.checkpoint import digests, sets, values
from kladml.checkpoint.capture import ATTRIBUTES, STATEFUL, Stateful, is_own
from kladml.checkpoint.encoder import Encoder
from kladml.checkpoint.nodes import GONE, WAYS, Part, Uncapturable, Unchanged
from kladml.checkpoint.writers import find_writer
from kladml.errors import CheckpointMismatch

_SCALARS = frozenset({type(None), bool, int, float, str, bytes})


class Restorer:
    """One restoring. Objects that were one when they were saved are one again, and no living object is filled twice."""

    def __init__(self) -> None:
        """Nothing was restored yet."""
        self._bound: dict[int, Any] = {}
        self._filled: dict[int, Any] = {}
        self._alive: list[Any] = []

    def restore(self, live: Any, saved: Any, path: str) -> Any:
        """Put a saved value back.

        Args:
            live: the value that is there now, or None.
            saved: the value as it was read.
            path: dotted path, for messages.

        Returns:
            The value to bind: `live` itself when it could be filled.

        Raises:
            CheckpointMismatch: the saved value does not fit what `setup` built.
        """
        kind = type(saved)
        if kind in _SCALARS:
            return saved
        if id(saved) in self._bound:
            return self._bound[id(saved)]
        if id(live) in self._filled:
            live = None
        return self._FILLERS.get(kind, Restorer._other)(self, live, saved, path)

    def bind(self, saved: Any, live: Any) -> Any:
        """Note that a living object stands for a saved one from now on.

        Returns:
            The living object.
        """
        self._bound[id(saved)] = live
        self._filled[id(live)] = live
        self._alive.append(saved)
        return live

    def knows(self, saved: Any) -> bool:
        """Whether a living object stands for a saved one already."""
        return id(saved) in self._bound

    def _list(self, live: Any, saved: list[Any], path: str) -> Any:
        target = live if type(live) is list else saved
        self.bind(saved, target)
        if _SCALARS.issuperset(map(type, saved)):
            target[:] = saved
            return target
        old = list(live[: len(saved)]) if target is live else []
        target[:] = [self.restore(one, item, f"{path}.{at}") for at, (one, item) in enumerate(zip_longest(old, list(saved)))]
        return target

    def _tuple(self, live: Any, saved: tuple[Any, ...], path: str) -> Any:
        old = live if isinstance(live, tuple) and len(live) == len(saved) else (None,) * len(saved)
        items = [self.restore(one, item, f"{path}.{at}") for at, (one, item) in enumerate(zip(old, saved, strict=True))]
        same = old is live and type(live) is type(saved) and all(one is item for one, item in zip(old, items, strict=True))
        return self.bind(saved, live if same else tuple.__new__(type(saved), items))

    def _dict(self, live: Any, saved: dict[Any, Any], path: str) -> Any:
        target = self.bind(saved, live if type(live) is type(saved) else saved)
        old = dict(live) if target is live else {}
        filled = [(key, self.restore(old.get(key), item, f"{path}.{key}")) for key, item in list(saved.items())]
        if isinstance(target, defaultdict):
            target.default_factory = saved.default_factory  # type: ignore[attr-defined]
        target.clear()
        target.update(dict(filled))
        return target

    def _deque(self, live: Any, saved: deque[Any], path: str) -> Any:
        target = self.bind(saved, live if type(live) is deque and live.maxlen == saved.maxlen else saved)
        old = [*live][: len(saved)] if target is live else []
        items = [self.restore(one, item, f"{path}.{at}") for at, (one, item) in enumerate(zip_longest(old, list(saved)))]
        target.clear()
        target.extend(items)
        return target

    def _set(self, live: Any, saved: set[Any], path: str) -> Any:
        target = self.bind(saved, live if type(live) is set else saved)
        items = [self.restore(None, item, f"{path}.{at}") for at, item in enumerate(saved)]
        sets.fill(target, items, sets.slots_of(saved))
        return target

    def _bytearray(self, live: Any, saved: bytearray, path: str) -> Any:
        target = self.bind(saved, live if type(live) is bytearray else saved)
        target[:] = bytes(saved)
        return target

    def _namespace(self, live: Any, saved: SimpleNamespace, path: str) -> Any:
        target = self.bind(saved, live if type(live) is SimpleNamespace else saved)
        self._fill(target, dict(vars(saved)), path)
        for name in vars(target).keys() - vars(saved).keys():
            del vars(target)[name]
        return target

    def _random(self, live: Any, saved: random.Random, path: str) -> Any:
        if type(live) is not random.Random:
            return self.bind(saved, saved)
        live.setstate(saved.getstate())
        return self.bind(saved, live)

    def _unchanged(self, live: Any, saved: Unchanged, path: str) -> Any:
        check_unchanged(live, saved, path)
        return self.bind(saved, live)

    def _part(self, live: Any, saved: Part, path: str) -> Any:
        if saved.kind == STATEFUL and isinstance(live, Stateful) and not isinstance(live, type):
            return self.load(live, saved, saved.content["state"], path)
        if saved.kind == ATTRIBUTES and is_own(type(live)):
            self.bind(saved, live)
            self._fill(live, {name: item for name, item in saved.content.items() if name != GONE}, path)
            remove_gone(live, saved.content)
            return live
        if saved.kind not in (STATEFUL, ATTRIBUTES):
            library = libraries.integration("torch_state")
            filled = library.restore(self, live, saved, path)
            if filled is not None:
                return filled
        found = "nothing" if live is None else f"a {type(live).__qualname__}"
        raise CheckpointMismatch(
            f"the checkpoint holds the state of an object for {path}, but setup() built {found} there, none of that kind. Build it in "
            f"setup(), which runs in every attempt. {WAYS}"
        )

    def attributes(self, attributes: dict[str, Any], saved: Mapping[str, Any], path: str) -> None:
        """Put attributes back.

        Args:
            attributes: the living ones, changed.
            saved: as they were read.
            path: where they stand.

        Raises:
            CheckpointMismatch: they do not fit what `setup` built.
        """
        try:
            for name, item in saved.items():
                attributes[name] = self.restore(attributes.get(name), item, f"{path}.{name}")
        except RecursionError:
            raise CheckpointMismatch(f"what the checkpoint holds for {path} is nested too deeply. {WAYS}") from None

    def load(self, live: Stateful, saved: Part, state: Any, path: str) -> Any:
        """Fill an object by its own `load_state_dict`.

        Args:
            live: the object.
            saved: what was kept of it.
            state: what `load_state_dict` gets.
            path: where it stands.

        Raises:
            CheckpointMismatch: it refused.
        """
        try:
            live.load_state_dict(state)
        except (RuntimeError, KeyError, ValueError, TypeError, AttributeError) as error:
            raise CheckpointMismatch(f"the checkpoint does not fit {path} ({type(live).__name__}): {error}. {WAYS}") from error
        return self.bind(saved, live)

    def _other(self, live: Any, saved: Any, path: str) -> Any:
        library = libraries.library_of(saved)
        if library is not None:
            return self.bind(saved, library.restore(live, saved))
        if isinstance(saved, tuple):
            return self._tuple(live, saved, path)
        if is_dataclass(saved) and not isinstance(saved, type):
            return self._record(live, saved, path)
        return self.bind(saved, saved)

    def _record(self, live: Any, saved: Any, path: str) -> Any:
        target = self.bind(saved, live if type(live) is type(saved) else saved)
        kept = values.fields(saved)
        self._fill(target, kept, path)
        for name in values.fields(target).keys() - kept.keys():
            values.remove_field(target, name)
        return target

    def _fill(self, target: Any, saved: Mapping[str, Any], path: str) -> Any:
        """Put the attributes of an object back, without running any of its code."""
        old = values.fields(target)
        for name, item in saved.items():
            values.set_field(target, name, self.restore(old.get(name), item, f"{path}.{name}"))
        return target

    _FILLERS: ClassVar[dict[type, Any]] = {
        list: _list,
        tuple: _tuple,
        **dict.fromkeys((dict, OrderedDict, Counter, defaultdict), _dict),
        **{set: _set, deque: _deque, bytearray: _bytearray, SimpleNamespace: _namespace, random.Random: _random},
        Unchanged: _unchanged,
        Part: _part,
    }


def remove_gone(live: Any, saved: Mapping[str, Any]) -> None:
    """Delete the attributes that `setup` made and that were not there any more when the object was saved.

    Args:
        live: the object.
        saved: what was kept of its attributes.
    """
    for name in saved.get(GONE, ()):
        values.remove_field(live, name)


def check_unchanged(live: Any, saved: Unchanged, path: str) -> None:
    """Refuse to go on with other data than those that the run began with.

    Args:
        live: the array that `setup` made in this attempt.
        saved: the digest that was kept.
        path: where it stands.

    Raises:
        CheckpointMismatch: it is another one.
    """
    encoder = Encoder(find_writer)
    try:
        encoder.encode(live, path)
        found = next((digests.live_digest(array) for array in encoder.arrays.values()), None)
    except Uncapturable:
        found = None
    if found != saved.digest:
        raise CheckpointMismatch(
            f"setup() gave other values for {path} than in the attempt that this run began with: only the digest of this large array was "
            f"kept, since it did not change then. Have setup() make the same data, or start the experiment anew."
        )
