from __future__ import annotations

import random

import pytest

from kladml.checkpoint import sets


@pytest.mark.parametrize("many", [0, 1, 5, 12, 18, 100, 3000])
def test_what_collides_is_walked_in_order(many: int) -> None:
    kept = 0
    for seed in range(20):
        made = set(random.Random(seed).sample(range(10**6), many))
        for value in (made, set(made), made | {-1}):
            again: set[object] = {"old"}
            wanted = [*value]
            in_order = sets.fill(again, wanted, sets.slots_of(value))
            assert again == value
            assert in_order == ([*again] == wanted)
            kept += in_order
    assert kept >= 30, "most of 60"


def test_an_order_that_no_set_has_is_told() -> None:
    wanted = [3, 2, 1, 0]
    made: set[object] = set()
    assert sets.fill(made, wanted, 8) is False
    assert sets.frozen(wanted) == (frozenset(wanted), False)
    assert made == {0, 1, 2, 3}
    assert sets.frozen([0, 1, 2, 3]) == (frozenset(wanted), True)


@pytest.mark.parametrize("slots", [-5, 0, 7, 1 << 60])
def test_a_size_that_no_table_has_does_no_harm(slots: int) -> None:
    made: set[object] = set()
    sets.fill(made, [3, 2, 1, 0], slots)
    assert made == {0, 1, 2, 3}


def test_a_set_goes_on_as_it_would_have_gone_on_or_is_said_to_differ() -> None:
    value = set(range(20))
    for item in range(20):
        if item not in (5, 6, 7):
            value.discard(item)
    made: set[int] = set()
    right = sets.fill(made, list(value), sets.slots_of(value))
    value.add(8)
    made.add(8)
    assert list(made) == list(value) or not right
