"""Attributes through the real store and back into living objects."""

from __future__ import annotations

import random
from collections import Counter, OrderedDict, defaultdict, deque
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from kladml.checkpoint import capture, surveys
from kladml.checkpoint.encoder import Encoder
from kladml.checkpoint.restore import Restorer
from kladml.checkpoint.staging import Staging
from kladml.checkpoint.store import CheckpointStore, Commit
from kladml.errors import CheckpointMismatch


class Owner:
    """Whose attributes are kept, as an experiment."""

    def __init__(self, **attributes: Any) -> None:
        vars(self).update(attributes)


class Meter:
    """Something with a state."""

    def __init__(self, number: int = 0) -> None:
        self.number = number

    def state_dict(self) -> dict[str, int]:
        return {"number": self.number}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.number = state["number"]


class Helper:
    """An object of the project's own: weights, a generator, and who owns it."""

    def __init__(self, seed: int = 0, owner: Any = None) -> None:
        self.weights = np.full(2, float(seed))
        self.random = random.Random(seed)
        self.meter = Meter(seed)
        self.owner = owner
        self.function = len


class Slim:
    """An object of the project's own without a dict."""

    __slots__ = ("__hidden", "total")

    def __init__(self, total: float = 0.0) -> None:
        self.total = total
        self.__hidden = total

    @property
    def hidden(self) -> float:
        """What only it knows."""
        return self.__hidden


@dataclass
class Record:
    """Values with a name, and one that is no field."""

    numbers: list[int]
    meter: Any = None
    late: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.count = 0


@dataclass(frozen=True, slots=True)
class Fixed:
    """Values that do not change."""

    numbers: list[int]


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    """An empty store."""
    return CheckpointStore(tmp_path / "checkpoints")


def save(store: CheckpointStore, owner: Any, survey: surveys.Survey | None = None) -> Commit:
    """Commit the attributes of an object."""
    encoder = Encoder(capture.find_writer, survey.fixed if survey else {})
    nodes, _ = capture.write(encoder, vars(owner), (), "experiment", owner)
    snapshot = encoder.snapshot({"experiment": nodes}, Staging())
    return store.write(snapshot, {}, store.next_number())


def resume(store: CheckpointStore, owner: Any) -> Any:
    """Put the newest commit into an object that `setup` made again."""
    found = store.latest()
    assert found is not None
    state = found[1]["experiment"]
    restorer = Restorer()
    restorer.bind(state, owner)
    restorer.attributes(vars(owner), state, "self")
    return owner


def through(store: CheckpointStore, live: Any, value: Any) -> Any:
    """What is bound after a value was saved and put back in place of a living one."""
    save(store, Owner(x=value))
    return resume(store, Owner(x=live)).x


def test_things_with_a_state_are_filled_in_place_wherever_they_stand(store: CheckpointStore) -> None:
    meters = [Meter(), {"a": (Meter(),)}, deque([Meter()]), SimpleNamespace(m=Meter()), Record([], Meter())]
    found = through(store, meters, [Meter(1), {"a": (Meter(2),)}, deque([Meter(3)]), SimpleNamespace(m=Meter(4)), Record([], Meter(5))])
    assert found is meters
    living: Any = [meters[0], meters[1]["a"][0], meters[2][0], meters[3].m, meters[4].meter]  # type: ignore[index, attr-defined]
    assert [one.number for one in living] == [1, 2, 3, 4, 5]


def test_objects_of_the_projects_own_are_filled_in_place(store: CheckpointStore) -> None:
    live = Helper()
    weights, generator = live.weights, live.random
    expected = random.Random(3).random()
    slim = Slim()
    assert through(store, [live, slim], [Helper(3), Slim(2.5)]) == [live, slim]
    assert live.weights is weights
    assert live.random is generator
    assert (weights.tolist(), generator.random(), live.meter.number, live.function) == ([3.0, 3.0], expected, 3, len)
    assert (slim.total, slim.hidden) == (2.5, 2.5)


def test_objects_that_know_each_other_are_kept_once(store: CheckpointStore) -> None:
    def circle(seed: int) -> Owner:
        owner = Owner()
        top = Helper(seed, owner)
        child = Helper(seed, top)
        top.owner = {"children": [child], "all": [top, child], "owner": owner}
        owner.top = top  # type: ignore[attr-defined]
        return owner

    save(store, circle(5))
    owner: Any = circle(0)
    live, child = owner.top, owner.top.owner["children"][0]
    assert resume(store, owner).top is live
    assert (live.weights.tolist(), child.weights.tolist()) == ([5.0, 5.0], [5.0, 5.0])
    assert live.owner["children"][0] is child
    assert child.owner is live.owner["all"][0] is live
    assert live.owner["owner"] is owner


@pytest.mark.parametrize(
    ("live", "value"),
    [
        *(([1, 2], [3, 4]), ([1, 2], [3]), ([1], [2, [3]]), ({"a": 1}, {"b": 2}), (defaultdict(int, a=1), defaultdict(list, b=[2]))),
        *((Counter("a"), Counter("bb")), (OrderedDict(a=1), OrderedDict(b=2)), (np.zeros(3), np.ones(3)), ({1, 2}, {3, "a"})),
        *((deque([1], maxlen=3), deque([2, 3], maxlen=3)), (bytearray(b"a"), bytearray(b"bcd")), (Slim(), Slim(2.0))),
        *((SimpleNamespace(a=1, b=2), SimpleNamespace(a=[3])), (Record([1]), Record([2])), (Fixed([1]), Fixed([2]))),
        *(
            (np.zeros((2, 2), order="F"), np.ones((2, 2), order="F")),
            (np.zeros(4)[::2], np.ones(4)[::2]),
            (random.Random(), random.Random(1)),
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_can_change_is_filled_in_place(store: CheckpointStore, live: Any, value: Any) -> None:
    words = repr(value)
    found = through(store, live, value)
    assert found is live
    assert type(found) is type(value)
    if isinstance(value, Slim | random.Random):
        assert (found.total == value.total) if isinstance(value, Slim) else (found.getstate() == value.getstate())
    else:
        assert repr(found) == words or found == value
    if isinstance(value, defaultdict):
        assert found.default_factory is value.default_factory


@pytest.mark.parametrize(
    ("live", "value"),
    [
        *((None, [1, 2]), ((1,), (1, 2)), (np.zeros(2), np.ones(3)), (np.zeros(2), np.ones(2, "f4")), (5, 6), (None, {"state_dict": 1})),
        *(([1], deque([1])), ({"a": 1}, OrderedDict(a=1)), (OrderedDict(a=1), {"a": 1}), (deque([1]), deque([1], maxlen=2))),
        *((None, bytearray(b"abc")), (None, {1, 2}), (None, SimpleNamespace(a=1)), (None, Record([1])), (None, deque([[1]]))),
        *((np.zeros((2, 2)), np.ones((2, 2), order="F")), ([1], 5), (Meter(), None), (np.broadcast_to(1.0, 3), np.ones(3))),
        *((Fixed([1]), [1]), (None, random.Random(1)), ({}, "text"), (1.0, 2), (True, 1)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_cannot_be_filled_is_bound_anew(store: CheckpointStore, live: object, value: Any) -> None:
    found = through(store, live, value)
    assert type(found) is type(value)
    if isinstance(value, np.ndarray):
        assert (found.tolist(), found.dtype, found.flags.f_contiguous) == (value.tolist(), value.dtype, value.flags.f_contiguous)
    elif isinstance(value, random.Random):
        assert found.getstate() == value.getstate()
    else:
        assert found == value


@pytest.mark.parametrize("at_setup", [True, False])
def test_what_is_one_object_is_one_again(store: CheckpointStore, at_setup: bool) -> None:
    def attributes(number: int) -> Owner:
        shared, array, record = [number], np.full(2, number), Record([number])
        return Owner(a=shared, b=(shared, array), c={"x": array, "y": record}, d=deque([record, record.numbers]), e=Helper(number))

    one = attributes(1)
    one.again = one.e.random  # type: ignore[attr-defined]
    save(store, one)
    found: Any = resume(store, attributes(0) if at_setup else Owner(e=Helper()))
    assert found.a is found.b[0] == [1]
    assert found.b[1] is found.c["x"]
    assert found.b[1].tolist() == [1, 1]
    assert found.c["y"] is found.d[0]
    assert found.d[1] is found.c["y"].numbers == [1]
    assert found.again is found.e.random


def test_objects_that_were_one_at_setup_are_two_when_they_were_saved_so(store: CheckpointStore) -> None:
    save(store, Owner(a=[1], b=[2]))
    shared: list[int] = []
    found = resume(store, Owner(a=shared, b=shared))
    assert (found.a, found.b) == ([1], [2])


@pytest.mark.parametrize("kind", [list, dict, deque, OrderedDict, SimpleNamespace, Record, Helper])
@pytest.mark.parametrize("at_setup", [True, False])
def test_what_holds_itself_comes_back(store: CheckpointStore, kind: Any, at_setup: bool) -> None:
    def made(number: int) -> Any:
        value = kind([number]) if kind is Record else Helper(number) if kind is Helper else kind()
        if isinstance(value, list | deque):
            value.append((value, number))
        elif isinstance(value, dict):
            value["me"] = (value, number)
        else:
            value.me = (value, number)
        return value

    found = through(store, made(0) if at_setup or kind is Helper else None, made(1))
    inside = found[0] if isinstance(found, list | deque) else found["me"] if isinstance(found, dict) else found.me
    assert inside[0] is found
    assert inside[1] == 1


def test_records_keep_what_is_no_field(store: CheckpointStore) -> None:
    value = Record([1])
    value.count, value.late = 7, 8
    for live in (Record([0]), None):
        found = through(store, live, value)
        assert (found.count, found.late, found.numbers) == (7, 8, [1])


def test_generators_go_on_in_place(store: CheckpointStore) -> None:
    live, old, other = np.random.default_rng(1), np.random.RandomState(1), np.random.Generator(np.random.MT19937(1))
    expected = np.random.default_rng(2).random(3).tolist()
    found = through(store, [live, old, other], [np.random.default_rng(2), np.random.RandomState(2), np.random.default_rng(3)])
    assert found[0] is live
    assert live.random(3).tolist() == expected
    assert found[1] is old
    assert type(found[2].bit_generator) is np.random.PCG64


@pytest.mark.parametrize(
    ("live", "value", "message"),
    [
        (None, Meter(1), r"self\.x, but setup\(\) built nothing there"),
        ([Meter()], [Meter(1), Meter(2)], r"self\.x\.1, but setup\(\) built nothing there"),
        ({}, {"a": Meter(1)}, r"self\.x\.a, but setup\(\) built nothing there"),
        (None, Helper(), r"self\.x, but setup\(\) built nothing there"),
        (5, Meter(1), r"self\.x, but setup\(\) built a int there"),
        ([Helper()], [Helper(), Helper()], r"self\.x\.1, but setup\(\) built nothing there"),
        (deque(), deque([Meter(1)]), r"self\.x\.0, but setup\(\) built nothing there"),
    ],
)
def test_a_state_without_its_object_is_refused(store: CheckpointStore, live: object, value: object, message: str) -> None:
    with pytest.raises(CheckpointMismatch, match=message):
        through(store, live, value)


def test_an_object_that_does_not_take_its_state_is_named(store: CheckpointStore) -> None:
    class Strict(Meter):
        def load_state_dict(self, state: dict[str, int]) -> None:
            raise KeyError("missing")

    with pytest.raises(CheckpointMismatch, match=r"does not fit self\.x \(Strict\): 'missing'"):
        through(store, Strict(), Meter(1))


@pytest.mark.parametrize("change", ["value", "shape", "type", "gone"])
def test_other_data_at_a_resume_are_refused(store: CheckpointStore, change: str) -> None:
    data = np.arange(200_000, dtype="f8")
    owner = Owner(data=data, number=1)
    commit = save(store, owner, surveys.survey(vars(owner), (), "experiment", owner))
    assert commit.rebuilt == ("experiment.data",)
    assert resume(store, Owner(data=data.copy(), number=0)).number == 1
    other = data.copy()
    other[777] += 1e-9
    wrong = {"value": other, "shape": data.reshape(2, -1), "type": data.astype("f4"), "gone": None}[change]
    with pytest.raises(CheckpointMismatch, match=r"setup\(\) gave other values for self\.data"):
        resume(store, Owner(data=wrong, number=0))
