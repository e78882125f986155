from __future__ import annotations

import json
import math
import random
import struct
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, Flag, IntEnum
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from kladml.checkpoint import codec, nodes
from kladml.checkpoint.nodes import TooDeep
from kladml.checkpoint.store import CheckpointStore
from kladml.checkpoint.writers import register_codec
from kladml.errors import CaptureError, CheckpointCorrupt, CheckpointMismatch


class Color(Enum):
    """A choice."""

    RED = "r"
    BLUE = "b"


class Level(IntEnum):
    """A choice that is a number."""

    LOW = 1


class Rights(Flag):
    """Choices together."""

    READ = 1
    WRITE = 2


class Point(NamedTuple):
    """A tuple with names."""

    x: float
    y: Any = None


class Pair(namedtuple("Pair", "a b")):  # noqa: PYI024 - the old way is what is tested
    """A tuple with names and methods."""

    __slots__ = ()


@dataclass
class Inner:
    """A record that changes, with an attribute that is no field."""

    numbers: list[int]
    late: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        """Count beside the fields."""
        self.count = 0

    def __eq__(self, other: object) -> bool:
        """All attributes count."""
        return isinstance(other, Inner) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True, slots=True)
class Outer:
    """A record that does not change."""

    name: str
    inner: Inner
    more: tuple[int, ...] = ()


@dataclass(frozen=True)
class Key:
    """A record that can be a key."""

    name: str


class Vector:
    """A class that no codec knows."""

    def __init__(self, *items: Any) -> None:
        """Keep the items."""
        self.items = list(items)


class Broken(Vector):
    """A class with a codec that does not read what it wrote."""


class Listed(list[int]):
    """More than a list."""


@dataclass
class Odd(Listed):
    """A record that is more than its fields."""

    name: str = ""


register_codec(Vector, lambda vector: vector.items, lambda items: Vector(*items))
register_codec(Broken, lambda vector: vector.items, lambda items: items.missing)


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    """An empty store."""
    return CheckpointStore(tmp_path / "checkpoints")


def through(store: CheckpointStore, state: dict[Any, Any]) -> Any:
    """A state through its files."""
    return store.load(store.read(store.commit(state).number))


def inner(count: int) -> Inner:
    """A record with an attribute beside its fields."""
    made = Inner([1])
    made.count = count
    return made


PLAIN: list[Any] = [
    *(None, True, False, 0, -1, 2**62, 2**63, -(2**63), 2**64 + 1, -(10**5000), 7 << 100_000),
    *(1.5, -0.0, 5e-324, 1e308, 0.1, math.inf, -math.inf),
    *("", "ä\n✓\0", "\udcff", "\ud83d\ude00", "😀", "$", b"", b"\xff\x00", bytearray(b"ab"), bytearray()),
    *([], [1, [2]], (), (1, (2, [3])), {}, {"a": {"b": []}}, {1: "a", "1": "b"}, {(1, 2): 3, None: 4, 1.5: 5, True: 6}),
    *({"$": "tuple", "items": []}, {"$": {"$": 1}}, {"a.b": 1, "": 2, "ä": 3, "\udcff": 4, "keys": 5}, {10**5000: 1}),
    *(set(), {1, "a"}, frozenset({(1, 2)}), {frozenset({1}), Key("a")}, {Key("a"): [1], Color.RED: 2, b"x": 3}),
    *(OrderedDict([("b", 1), ("a", 2)]), OrderedDict([(1, [2])]), Counter("hello"), Counter({1: 2.5})),
    *(
        defaultdict(int, a=1),
        defaultdict(list, {2: [1]}),
        defaultdict(None, a=1),
        deque([1, [2]]),
        deque([1, 2], maxlen=2),
        deque(maxlen=0),
    ),
    *(1j, complex(-0.0, math.inf), range(3), range(0, -9, -2), slice(1, None, 2), SimpleNamespace(a=1, b=[2])),
    *(date(2024, 2, 29), datetime(1, 1, 1, 0, 0, 0, 1), datetime(2024, 10, 27, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Berlin"))),  # noqa: DTZ001
    *(datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 1, tzinfo=timezone(timedelta(hours=-3, seconds=1), "X")), timedelta(-1, 2, 3)),
    *(time(1, 2, 3, 4, tzinfo=UTC), timezone.utc, timezone(timedelta(hours=1)), ZoneInfo("UTC"), timedelta.max),  # noqa: UP017
    *(Decimal("-0"), Decimal("1E+400"), Decimal("0.10"), Fraction(2, 3), Fraction(10**400, 3), UUID(int=5), Path("/a/../b")),
    *(Color.RED, Level.LOW, Rights.READ, Rights.READ | Rights.WRITE, Rights(0), Point(1.0, [2]), Pair(1, (2,)), torch.bfloat16),
    *(torch.device("cpu", 0), torch.Size([2, 3]), Outer("a", inner(3), (1, 2)), [Outer("a", Inner([1])), {"b": Inner([])}]),
]


@pytest.mark.parametrize("value", PLAIN, ids=lambda value: type(value).__name__)
def test_values_keep_value_type_and_place(store: CheckpointStore, value: Any) -> None:
    digits, found = codec.digest(value), through(store, {"x": value, "y": [value]})
    assert codec.supports(value)
    for one in (found["x"], found["y"][0]):
        assert one == value
        assert type(one) is type(value)
        assert isinstance(value, set | frozenset) or _words(one) == _words(value)
    assert codec.digest(found["x"]) == digits


def _words(value: Any) -> str:
    """A value's `repr`, also where Python refuses to write so many digits."""
    return repr(value) if not isinstance(value, int | dict | Fraction) else f"{type(value)}"


def test_small_sets_are_walked_in_the_same_order(store: CheckpointStore) -> None:
    words = [f"word {number}" for number in range(300)]
    sets = [set(words[first : first + size]) for first in range(0, 300, 5) for size in (2, 3, 4, 5, 6)]
    frozen = [frozenset(list(one)) for one in sets]
    numbers = [{-1, -2}, {-2, -1, 6}, {7, 15, 23, 31}]
    found = through(store, {"sets": [*sets, *numbers], "frozen": frozen})
    assert [list(one) for one in found["sets"]] == [list(one) for one in [*sets, *numbers]]
    assert [list(one) for one in found["frozen"]] == [list(one) for one in frozen]


def test_decimals_that_are_no_numbers_keep_their_words(store: CheckpointStore) -> None:
    values = [Decimal("NaN"), Decimal("sNaN123"), Decimal("-Infinity")]
    assert list(map(str, through(store, {"x": values})["x"])) == list(map(str, values))


def test_floats_keep_every_bit(store: CheckpointStore) -> None:
    bits = [0x7FF8000000000000, 0xFFF8000000000123, 0x7FF0000000000001, 0x0000000000000001, 0x8000000000000000, 0x3FB999999999999A]
    values = [struct.unpack("<d", struct.pack("<Q", one))[0] for one in bits]
    found = through(store, {"list": values, "one": values[1], "pair": complex(values[1], values[4])})
    assert [struct.unpack("<Q", struct.pack("<d", one))[0] for one in found["list"]] == bits
    assert struct.pack("<d", found["one"]) == struct.pack("<d", values[1])
    assert [struct.pack("<d", one) for one in (found["pair"].real, found["pair"].imag)] == [struct.pack("<d", values[at]) for at in (1, 4)]


def test_zones_and_records_keep_what_equality_does_not_see(store: CheckpointStore) -> None:
    moment = datetime(2024, 3, 30, 12, tzinfo=ZoneInfo("Europe/Berlin"))
    found = through(store, {"moment": moment, "record": inner(7)})
    assert (found["moment"] + timedelta(days=1)).utcoffset() == timedelta(hours=2)
    assert (found["record"].count, found["record"].late) == (7, 0)


@pytest.mark.parametrize("key", ["$", "", "a.b", "__metadata__", "keys", 1, ("a", 2), "\udcff", Key("k"), np.int64(3), 1.5, None])
def test_any_key_may_stand_at_the_top(store: CheckpointStore, key: Any) -> None:
    state = {key: np.arange(3), "other": 1}
    found = through(store, state)
    assert list(found) == list(state)
    assert list(map(type, found)) == list(map(type, state))
    assert np.array_equal(found[key], state[key])


def test_paths_that_look_alike_are_kept_apart(store: CheckpointStore) -> None:
    one, other, third = np.arange(2), np.arange(3), np.arange(4)
    found = through(store, {"a.b": one, "a": {"b": other, 1: third, "1": one}})
    assert np.array_equal(found["a.b"], one)
    assert [found["a"][key].tolist() for key in ("b", 1, "1")] == [[0, 1, 2], [0, 1, 2, 3], [0, 1]]
    assert found["a"]["1"] is found["a.b"]
    assert len(store.commit({"a.b": 1, "a": {"b": 2}}).leaves) == 2, "each leaf has a digest"


def test_an_object_that_cannot_be_named_for_certain_is_refused() -> None:
    one: list[int] = []
    with pytest.raises(CaptureError, match="key has a dot"):
        codec.encode({"a.b": [1], "a": {"b": one}, "c": one})
    vector = Vector()
    vector.items.append(vector)
    with pytest.raises(CaptureError, match="holds itself"):
        codec.encode({"a": vector})


def test_what_is_one_object_is_one_again(store: CheckpointStore) -> None:
    shared: list[Any] = [1, {"a": deque([2])}]
    array, tensor, record, vector = np.ones(2), torch.ones(2), Inner([1]), Vector(1)
    state = {
        "list": shared,
        "again": {"list": shared, "inner": shared[1], "queue": shared[1]["a"], 5: (shared,)},
        "arrays": deque([array, tensor], maxlen=3),
        "named": OrderedDict(b=array, a=tensor),
        "counted": defaultdict(list, x=[record, vector]),
        "space": SimpleNamespace(record=record, vector=vector, array=array[:]),
        "point": Point(array, record),
        "frozen": Outer("a", record),
        "items": vector.items,
        "random": [generator := random.Random(3), generator],
        "generators": [rng := np.random.default_rng(3), {"a": rng}],
    }
    found = through(store, state)
    assert found["list"] is found["again"]["list"] is found["again"][5][0]
    assert found["again"]["inner"] is found["list"][1]
    assert found["again"]["queue"] is found["list"][1]["a"]
    assert found["arrays"][0] is found["named"]["b"] is found["space"].array is found["point"].x
    assert found["arrays"][1] is found["named"]["a"]
    assert found["counted"]["x"][0] is found["space"].record is found["point"].y is found["frozen"].inner
    assert found["counted"]["x"][1] is found["space"].vector
    assert found["items"] == [1]
    assert found["random"][0] is found["random"][1]
    assert found["generators"][0] is found["generators"][1]["a"]


@pytest.mark.parametrize("kind", [list, dict, deque, OrderedDict, defaultdict, SimpleNamespace, Inner])
def test_what_holds_itself_comes_back(store: CheckpointStore, kind: Any) -> None:
    value = kind([]) if kind is Inner else kind()
    if isinstance(value, list | deque):
        value.append((value,))
    elif isinstance(value, dict):
        value["me"] = (value,)
    else:
        value.me = (value,)
    found = through(store, {"x": value})["x"]
    assert type(found) is kind
    inside = found[0] if isinstance(found, list | deque) else found["me"] if isinstance(found, dict) else found.me
    assert inside[0] is found


DTYPES = [
    *("bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float16", "float32", "float64"),
    *("longdouble", "complex64", "complex128", "clongdouble", "<U3", ">U3", "S3", "M8[ns]", "m8[s]", ">f4", ">i8", ">c16", ">M8[D]"),
]


@pytest.mark.parametrize("dtype", DTYPES)
def test_numpy_arrays_and_scalars(store: CheckpointStore, dtype: str) -> None:
    base = np.arange(24).astype(dtype).reshape(4, 6)
    arrays = {
        "plain": base,
        "point": np.array(base[0, 0]),
        "empty": base[:0],
        "other_empty": np.zeros((0, 2, 0), dtype),
        "turned": base.T,
        "stepped": base[::2, 1::3],
        "backwards": base[::-1, ::-2],
        "spread": np.broadcast_to(base[0], (3, 6)),
        "fortran": np.asfortranarray(base),
    }
    scalar = base[1, 1]
    found = through(store, {"arrays": arrays, "scalar": scalar})
    for name, array in arrays.items():
        one = found["arrays"][name]
        assert (one.shape, one.dtype.str, type(one)) == (array.shape, array.dtype.str, np.ndarray)
        assert one.tobytes() == array.tobytes()
        assert one.flags.f_contiguous == array.flags.f_contiguous or not array.flags.forc
        one[...] = array
    assert (type(found["scalar"]), found["scalar"]) == (type(scalar), scalar)


@pytest.mark.parametrize("kind", ["PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64"])
def test_numpy_generators_go_on_with_the_same_numbers(store: CheckpointStore, kind: str) -> None:
    generator = np.random.Generator(getattr(np.random, kind)(3))
    generator.integers(9, dtype=np.uint32)  # half of a word is left over
    old = np.random.RandomState(3)
    old.normal()
    found = through(store, {"generator": generator, "old": old})
    assert found["generator"].integers(9, dtype=np.uint32, size=3).tolist() == generator.integers(9, dtype=np.uint32, size=3).tolist()
    assert found["generator"].normal(size=5).tolist() == generator.normal(size=5).tolist()
    assert found["old"].normal(size=5).tolist() == old.normal(size=5).tolist()


def test_pythons_and_torchs_generators_go_on_with_the_same_numbers(store: CheckpointStore) -> None:
    generator, other = random.Random(3), torch.Generator().manual_seed(5)
    generator.gauss()
    torch.randn(3, generator=other)
    found = through(store, {"generator": generator, "torch": other})
    assert type(found["generator"]) is random.Random
    assert [found["generator"].gauss(), found["generator"].random()] == [generator.gauss(), generator.random()]
    assert torch.equal(torch.randn(3, generator=found["torch"]), torch.randn(3, generator=other))
    assert codec.digest(generator) != codec.digest(random.Random(3)), "its digests tell it from another"


TORCH_DTYPES = [
    *("bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float16", "bfloat16", "float32", "float64"),
    *("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu", "complex32", "complex64", "complex128"),
]


def bits(tensor: Any) -> bytes:
    """The elements as bytes."""
    return tensor.detach().resolve_conj().resolve_neg().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


@pytest.mark.filterwarnings("ignore:ComplexHalf")
@pytest.mark.parametrize("dtype", TORCH_DTYPES)
def test_tensors_of_every_type(store: CheckpointStore, dtype: Any) -> None:
    dtype = vars(torch)[dtype]
    base = torch.frombuffer(bytearray(range(256)) * 16, dtype=torch.uint8)
    base = (base % 2 if dtype is torch.bool else base).view(dtype)[:48].reshape(4, 12)
    tensors = {
        "plain": base,
        "point": base[0, 0].clone(),
        "empty": base[:0],
        "turned": base.T,
        "stepped": base[::2, 1::3],
        "spread": base[0].expand(3, 12),
        "four": base.reshape(2, 2, 3, 4).permute(0, 3, 1, 2),
    }
    if dtype.is_complex and dtype is not torch.complex32:
        tensors |= {"conj": base.conj(), "imag": base.conj().imag}
    found = through(store, {"tensors": tensors, "same": [base, base.view(4, 12)]})
    for name, tensor in tensors.items():
        one = found["tensors"][name]
        assert (one.shape, one.dtype, one.requires_grad) == (tensor.shape, tensor.dtype, False), name
        assert bits(one) == bits(tensor), name
        assert not tensor.is_contiguous() or one.is_contiguous()
    assert found["tensors"]["four"].stride() == tensors["four"].stride()
    assert found["tensors"]["turned"].stride() == tensors["turned"].stride()
    assert found["same"][0] is found["same"][1] is found["tensors"]["plain"]


def test_leaves_of_a_graph_are_leaves_again(store: CheckpointStore) -> None:
    weight = torch.ones(2, requires_grad=True)
    parameters = [torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(2), requires_grad=False)]
    found = through(store, {"weight": weight, "parameters": parameters, "loss": (weight * 2).sum(), "tied": parameters[0]})
    assert (type(found["weight"]), found["weight"].requires_grad, found["loss"].requires_grad) == (torch.Tensor, True, False)
    assert [(type(one), one.requires_grad) for one in found["parameters"]] == [(torch.nn.Parameter, True), (torch.nn.Parameter, False)]
    assert found["tied"] is found["parameters"][0]
    found["weight"].sum().backward()


@pytest.mark.parametrize(
    "tensor",
    [
        torch.empty(2, device="meta"),
        torch.eye(2).to_sparse(),
        torch.nn.parameter.UninitializedParameter(),
    ],
    ids=["meta", "sparse", "uninitialized"],
)
def test_tensors_without_plain_elements_are_refused(tensor: Any) -> None:
    with pytest.raises(CaptureError, match=r"^x is a torch\.\S+, which no codec"):
        codec.encode({"x": tensor})


def test_arrays_lie_where_any_tool_reads_them(store: CheckpointStore) -> None:
    commit = store.commit({"experiment": {"model": {"0.weight": np.ones((2, 2), "f4")}, "epoch": 3}})
    assert load_file(commit.path / "arrays.safetensors")["experiment.model.0.weight"].tolist() == [[1, 1], [1, 1]]
    assert json.loads((commit.path / "state.json").read_bytes())["experiment"]["epoch"] == 3
    assert set(commit.leaves) == {"experiment.model.0.weight", "experiment.epoch"}


def test_digests_tell_values_and_types_apart() -> None:
    values: list[Any] = [
        1,
        1.0,
        True,
        "1",
        b"1",
        "MQ==",
        None,
        np.float32(1),
        np.ones(1),
        np.ones((1, 1)),
        np.ones(1, "f4"),
        [],
        (),
        {},
        [1],
    ]
    values += [torch.ones(1), set(), {"a": 1}, OrderedDict(a=1), {"b": 1}, {1: 1}]
    assert len({codec.digest(value) for value in values}) == len(values)
    assert codec.digest(np.ones(1)) == codec.digest(np.ones(1))


@pytest.mark.parametrize(
    "value",
    [
        *(object(), len, np.array([object()]), [lambda: 1], Listed([1]), Odd(), type, iter([]), np.ma.ones(2), memoryview(b"")),
        *(datetime(2024, 1, 1, tzinfo=type("Zone", (ZoneInfo,), {})("UTC")), np.zeros(1, [("a", "i4")]), np.recarray(2, [("a", "i4")])),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_has_no_codec_is_named(value: Any) -> None:
    assert not codec.supports(value)
    with pytest.raises(CaptureError, match=r"^a\.0\S* is a \S+, which no codec"):
        codec.encode({"a": [value]})


@pytest.mark.parametrize(
    "value", [defaultdict(lambda: 1), {torch.ones(1): 1}, {np.random.default_rng(): 1}, {random.Random()}, {frozenset([random.Random()])}]
)
def test_what_would_be_another_one_is_refused(value: Any) -> None:
    with pytest.raises(CaptureError, match=r"^x.* (a copy would be another one|defaultdict of)"):
        codec.encode({"x": value})


def nested(kind: Any, levels: int) -> Any:
    """A value in a value in a value …"""
    value: Any = 1
    for _ in range(levels):
        value = {"list": [value], "dict": {"a": value}, "tuple": (value,), "deque": deque([value]), "record": Outer("", value)}[kind]
    return value


@pytest.mark.parametrize("kind", ["list", "dict", "tuple", "deque", "record"])
def test_depth_has_a_limit_that_can_be_read_again(store: CheckpointStore, kind: str) -> None:
    for levels in (200, 5_000):
        with pytest.raises(TooDeep, match=r"x\S* is nested too deeply"):
            codec.encode({"x": nested(kind, levels)})
    found = through(store, {"x": nested(kind, 45)})["x"]
    assert codec.digest(found) == codec.digest(nested(kind, 45))


def test_a_registered_type_is_kept(store: CheckpointStore) -> None:
    found = through(store, {"x": Vector(1, {"a": np.ones(2)})})["x"]
    assert type(found) is Vector
    assert found.items[1]["a"].tolist() == [1, 1]


@pytest.mark.parametrize("arguments", [(5, 1, 2), (int, str, int), (deque, list, deque)])
def test_types_that_cannot_be_taught_are_refused(arguments: tuple[Any, Any, Any]) -> None:
    with pytest.raises(CaptureError, match="register_codec"):
        register_codec(*arguments)


def test_a_codec_that_fails_is_named(store: CheckpointStore) -> None:
    with pytest.raises(CheckpointMismatch, match=r"x: the codec of \S*Broken"):
        through(store, {"x": Broken(1)})


CORRUPT = [
    *("{", "[1", '{"a": {"$": "rocket"}}', '{"a": {"$": "numpy.array", "array": "x", "dtype": "f4", "shape": [1]}}', "1" * 5000),
    *('{"a": {"$": "same", "path": "b"}}', '{"a": {"$": "torch.tensor"}}', '{"a": {"$": "int", "hex": "x"}}', '{"a": {"$": []}}'),
    *("[" * 100_000, '{"a": {"$": "torch.rocket"}}', '{"a": {"$": "deque", "head": -1, "value": []}}'),
]


@pytest.mark.parametrize("text", CORRUPT, ids=lambda text: text[:20])
def test_a_state_that_no_encoder_wrote_is_corrupt(text: str) -> None:
    with pytest.raises(CheckpointCorrupt):
        codec.decode({"state.json": text.encode()}, {})


def test_an_array_of_objects_is_never_read() -> None:
    arrays = {"a": nodes.Loaded("U8", (8,), bytearray(8))}
    node = {"a": {"$": "numpy.array", "array": "a", "dtype": "|O", "shape": [1]}}
    with pytest.raises(CheckpointCorrupt, match="could run code"):
        codec.decode({"state.json": json.dumps(node).encode()}, arrays)


def test_a_class_that_is_gone_is_named(store: CheckpointStore) -> None:
    for value, word in [(Color.RED, "Enum"), (Point(1.0), "tuple"), (Key("a"), "dataclass")]:
        commit = store.commit({"x": value})
        text = (commit.path / "state.json").read_text().replace(type(value).__name__, "Gone")
        with pytest.raises(CheckpointMismatch, match=rf"of the {word} \S*Gone"):
            codec.decode({"state.json": text.encode()}, {})


def test_a_copy_shares_nothing(store: CheckpointStore) -> None:
    array, tensor = np.zeros(2), torch.zeros(2)
    copied = codec.copy_of({"a": [array, tensor], "b": array})
    array += 1
    tensor += 1
    assert (copied["a"][0].tolist(), copied["a"][1].tolist(), copied["b"] is copied["a"][0]) == ([0, 0], [0, 0], True)


LIES = {
    "every second": lambda t: t[:, ::2],
    "expanded": lambda t: t[:1].expand(5, 8),
    "one channel last": lambda t: torch.randn(2, 1, 4, 4).to(memory_format=torch.channels_last),
    "begins later": lambda t: t.reshape(-1)[3:11],
    "transposed": lambda t: t.t(),
    "overlapping": lambda t: t.reshape(-1).unfold(0, 4, 2),
    "every second double": lambda t: t.double()[::2, 1:],
    "complex": lambda t: torch.complex(t, t)[:, ::3],
}


@pytest.mark.parametrize("name", LIES)
def test_a_tensor_lies_in_memory_as_it_lay(tmp_path: Path, name: str) -> None:
    value = LIES[name](torch.randn(6, 8))
    store = CheckpointStore(tmp_path)
    found = store.load(store.commit({"value": value}))["value"]
    assert torch.equal(found, value)
    assert found.stride() == value.stride()
    assert found.data_ptr() % 64 == value.data_ptr() % 64
    assert not found._is_view()


@pytest.mark.parametrize("lie", [np.s_[:, ::2], np.s_[::-1], np.s_[::2, ::-3], np.s_[1:, 3:]], ids=str)
def test_an_array_lies_in_memory_as_it_lay(tmp_path: Path, lie: Any) -> None:
    value = np.random.default_rng(0).normal(size=(6, 8))[lie]
    store = CheckpointStore(tmp_path)
    found = store.load(store.commit({"value": value}))["value"]
    assert np.array_equal(found, value)
    assert found.strides == value.strides


def test_tensors_are_read_where_another_device_is_the_default(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    commit = store.commit({"value": torch.ones(3), "strided": torch.ones(4, 4)[:, ::2]})
    with torch.device("meta"):
        found = store.load(commit)
    assert found["value"].tolist() == [1, 1, 1]
