"""Sets that are walked in the order in which they were. That depends on the hashes, on the size of the table, and on what came first."""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable, Sequence
from itertools import islice, permutations
from typing import TypeVar

_Change = Callable[[list[Hashable], Hashable, Hashable], list[Hashable]]
_Made = TypeVar("_Made", bound=set[Hashable] | frozenset[Hashable])
_FEW = 6
_TRIES = 100
_WORK = 1 << 21
"""So many items are added at most, over all tries."""

_EMPTY = sys.getsizeof(set())
_SLOT = 16


def slots_of(value: set[Hashable] | frozenset[Hashable]) -> int:
    """The number of slots in a set's table."""
    return max((sys.getsizeof(value) - _EMPTY) // _SLOT, 8)


def fill(made: set[Hashable], wanted: Sequence[Hashable], slots: int) -> bool:
    """Fill a set such that it is walked in an order.

    Args:
        made: the set; what it holds goes.
        wanted: the items in order.
        slots: how large the table was.

    Returns:
        Whether it is walked in that order now, and is as large, which decides where more items go; it holds the items in any case.
    """

    def refill(items: Sequence[Hashable]) -> set[Hashable]:
        _refill(made, items, slots)
        return made

    def is_right() -> bool:
        return slots_of(made) == slots and _first_wrong(made, wanted) is None

    made.clear()
    made.update(wanted)
    if is_right() or slots > 64 * max(len(wanted), 8):
        return is_right()
    refill(wanted)
    return is_right() or (_search(wanted, refill) is not None and is_right())


def frozen(wanted: Sequence[Hashable]) -> tuple[frozenset[Hashable], bool]:
    """A frozen set that is walked in an order, if there is one, and whether that is so."""
    found = _search(wanted, frozenset) or _search(wanted, lambda items: frozenset(dict.fromkeys(items)))
    return (frozenset(wanted), not wanted) if found is None else (found, True)


def _search(wanted: Sequence[Hashable], make: Callable[[Sequence[Hashable]], _Made]) -> _Made | None:
    """A set that is walked in an order: items that collide depend on which of them was added first.

    Of a few, all orders of adding them are tried. Of many, the first item that is met in the wrong place is added later, or what is met
    there instead is added after it, until all are right.
    """
    if len(wanted) <= _FEW:
        return next((made for items in permutations(wanted) if _first_wrong(made := make(items), wanted) is None), None)
    for change in (_last, _after):
        items = list(wanted)
        for _ in range(min(_TRIES, _WORK // len(wanted))):
            made = make(items)
            wrong = _first_wrong(made, wanted)
            if wrong is None:
                return made
            items = change(items, wanted[wrong], next(islice(made, wrong, None), None))
    return None


def _last(items: list[Hashable], late: Hashable, early: Hashable) -> list[Hashable]:
    """An item that is met too late is added last: its place was free only then."""
    return [*(item for item in items if item is not late), late]


def _after(items: list[Hashable], late: Hashable, early: Hashable) -> list[Hashable]:
    """An item that is met too early is added after the one whose place it took."""
    return [again for item in items if item is not early for again in ((item, early) if item is late else (item,))]


def _first_wrong(made: set[Hashable] | frozenset[Hashable], wanted: Sequence[Hashable]) -> int | None:
    """The first place at which another item is met; None when there is none."""
    return next((place for place, (item, found) in enumerate(zip(wanted, made, strict=False)) if item is not found), None)


def _refill(made: set[Hashable], items: Sequence[Hashable], slots: int) -> None:
    """Add items in order to a table of a size: a dict gives it at once, twice as many slots as items or more."""
    made.clear()
    many = max(slots // 4, 5) if slots > 8 else 0
    fillers = [object() for _ in range(many - len(items))]
    made.update(dict.fromkeys([*items[:many], *fillers]))
    for one in fillers:  # all at once would make the table smaller
        made.discard(one)
    for item in items[many:]:
        made.add(item)
