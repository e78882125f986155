from __future__ import annotations

import json
import math
import random
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest

from kladml.checkpoint import codec
from kladml.errors import CaptureError, CheckpointCorrupt


def round_trip(state: dict[Any, Any]) -> Any:
    """A state through its files."""
    return codec.decode(codec.encode(state)[0])


@pytest.mark.parametrize(
    "value",
    [
        *(None, True, False, 0, -1, 2**100, 1.5, -0.0, 1e-320, math.inf, -math.inf, "", "ä\n✓\0", "\udcff", b"", b"\xff\x00"),
        *([], [1, [2]], (), (1, (2, [3])), {}, {"a": {"b": []}}, {1: "a", "1": "b"}, {(1, 2): 3, None: 4, 1.5: 5, True: 6}),
        *({"$": "tuple", "items": []}, set(), {1, "a"}, frozenset({(1, 2)}), OrderedDict([("b", 1), ("a", 2)])),
    ],
)
def test_plain_values_keep_value_and_type(value: object) -> None:
    found = round_trip({"x": value})["x"]
    assert found == value
    assert type(found) is type(value)
    assert repr(found) == repr(value) or isinstance(value, set), "a set has no order"


def test_nan_keeps_its_bits() -> None:
    assert math.isnan(round_trip({"x": math.nan})["x"])


@pytest.mark.parametrize("key", ["$", "", "a.b", "__metadata__", 1, ("a", 2), "\udcff"])
def test_any_key_may_stand_at_the_top(key: object) -> None:
    state = {key: np.arange(3), "other": 1}
    found = round_trip(state)
    assert list(found) == list(state)
    assert np.array_equal(found[key], state[key])


def test_paths_that_look_alike_are_kept_apart() -> None:
    one, other, third = np.arange(2), np.arange(3), np.arange(4)
    found = round_trip({"a.b": one, "a": {"b": other, 1: third, "1": one}})
    assert np.array_equal(found["a.b"], one)
    assert [found["a"][key].tolist() for key in ("b", 1, "1")] == [[0, 1, 2], [0, 1, 2, 3], [0, 1]]
    assert len(codec.encode({"a.b": 1, "a": {"b": 2}})[1]) == 2, "each leaf has a digest"


@pytest.mark.parametrize(
    "dtype",
    [
        *("bool", "int8", "uint64", "float16", "float32", "float64", "complex64", "complex128", "longdouble"),
        *("<U3", "S3", "M8[ns]", "m8[s]", ">f4", ">i8"),
    ],
)
@pytest.mark.parametrize("shape", [(), (0,), (2, 3), (0, 2)])
def test_numpy_arrays_and_scalars(dtype: str, shape: tuple[int, ...]) -> None:
    array = np.arange(math.prod(shape)).reshape(shape).astype(dtype)
    scalar = np.arange(1, 2).astype(dtype)[0]
    found = round_trip({"array": array, "scalar": scalar, "turned": array.T})
    assert (found["array"].shape, found["array"].dtype.newbyteorder("=")) == (shape, array.dtype.newbyteorder("="))
    assert np.array_equal(found["array"], array)
    assert np.array_equal(found["turned"], array.T)
    assert (type(found["scalar"]), found["scalar"]) == (type(scalar), scalar)
    if array.size:
        found["array"][...] = array


@pytest.mark.parametrize("kind", ["PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64"])
def test_numpy_generators_go_on_with_the_same_numbers(kind: str) -> None:
    generator = np.random.Generator(getattr(np.random, kind)(3))
    old = np.random.RandomState(3)
    old.normal()
    found = round_trip({"generator": generator, "old": old})
    assert found["generator"].normal(size=5).tolist() == generator.normal(size=5).tolist()
    assert found["old"].normal(size=5).tolist() == old.normal(size=5).tolist()


def test_pythons_generators_go_on_with_the_same_numbers() -> None:
    generator = random.Random(3)
    generator.gauss()
    found = round_trip({"generator": generator})["generator"]
    assert type(found) is random.Random
    assert [found.gauss(), found.random()] == [generator.gauss(), generator.random()]
    other = codec.encode({"generator": generator})[1]
    assert other != codec.encode({"generator": random.Random(3)})[1], "its digests tell it from another"


def test_torch_values() -> None:
    torch = pytest.importorskip("torch")
    dtypes = ("bool", "uint8", "int64", "float16", "bfloat16", "float64", "complex64", "float8_e4m3fn")
    tensors = {name: torch.ones(2, 3).to(getattr(torch, name)) for name in dtypes}
    others = {"device": torch.device("cpu"), "dtype": torch.bfloat16, "size": torch.Size([2, 3])}
    odd = {
        "empty": torch.empty(0, 3),
        "scalar": torch.tensor(2.5),
        "turned": torch.arange(6).reshape(2, 3).T,
        "bits": torch.tensor([math.nan]),
    }
    generator = torch.Generator().manual_seed(5)
    found = round_trip({**tensors, **others, **odd, "generator": generator, "grad": torch.ones(2, requires_grad=True)})
    for name, tensor in {**tensors, **odd}.items():
        assert found[name].dtype == tensor.dtype
        assert found[name].shape == tensor.shape
        assert (
            found[name].view(torch.uint8).tolist() == tensor.contiguous().view(torch.uint8).tolist()
            if tensor.ndim
            else found[name] == tensor
        )
    assert {name: found[name] for name in others} == others
    assert torch.equal(torch.rand(3, generator=found["generator"]), torch.rand(3, generator=generator))


def test_arrays_lie_where_any_tool_reads_them() -> None:
    from safetensors.numpy import load

    files, leaves = codec.encode({"experiment": {"model": {"0.weight": np.ones((2, 2), "f4")}, "epoch": 3}})
    assert load(files["arrays.safetensors"])["experiment.model.0.weight"].tolist() == [[1, 1], [1, 1]]
    assert json.loads(files["state.json"])["experiment"]["epoch"] == 3
    assert set(leaves) == {"experiment.model.0.weight", "experiment.epoch"}


def test_digests_tell_values_and_types_apart() -> None:
    values: list[object] = [1, 1.0, True, "1", b"1", None, np.float32(1), np.ones(1), np.ones((1, 1)), np.ones(1, "f4")]
    digests = [codec.encode({"x": value})[1]["x"] for value in values]
    assert len(set(digests)) == len(values)
    assert codec.encode({"x": values[7]})[1] == codec.encode({"x": np.ones(1)})[1]


@pytest.mark.parametrize("value", [object(), len, range(3), np.array([object()]), 1j, [lambda: 1]])
def test_what_has_no_codec_is_named(value: object) -> None:
    assert not codec.supports(value)
    with pytest.raises(CaptureError, match=r"^a\.0\S* is a \S+, which no codec"):
        codec.encode({"a": [value]})


@pytest.mark.parametrize(
    "text", ["{", "[1", '{"a": {"$": "rocket"}}', '{"a": {"$": "numpy.array", "array": "x", "dtype": "f4", "shape": [1]}}']
)
def test_a_state_that_no_encoder_wrote_is_corrupt(text: str) -> None:
    with pytest.raises(CheckpointCorrupt):
        codec.decode({"state.json": text.encode()})


def test_an_array_of_objects_is_never_read() -> None:
    files, _ = codec.encode({"a": np.zeros(1)})
    files["state.json"] = files["state.json"].replace(b'"<f8"', b'"|O"')
    with pytest.raises(CheckpointCorrupt, match="could run code"):
        codec.decode(files)
