from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from kladml import Best, Monitor
from kladml.errors import ExperimentError
from kladml.monitor import Means, Watch, to_number


def follow(monitor: Monitor, *values: float) -> tuple[list[bool], Watch]:
    """Which of the values were the best so far."""
    watch = Watch(monitor)
    return [watch.update({"loss": value}, epoch) for epoch, value in enumerate(values, 1)], watch


@pytest.mark.parametrize(
    ("monitor", "values", "best"),
    [
        (Monitor("loss"), (3, 2, 2, 1), [True, True, False, True]),
        (Monitor("loss", mode="max"), (1, 3, 2, 4), [True, True, False, True]),
        (Monitor("loss", min_delta=0.5), (3, 2.6, 2.4, 1), [True, False, True, True]),
        (Monitor("loss"), (math.nan, 2, math.nan, 1), [False, True, False, True]),
        (Monitor("loss"), (math.inf, 2, -math.inf), [True, True, True]),
    ],
)
def test_best(monitor: Monitor, values: tuple[float, ...], best: list[bool]) -> None:
    assert follow(monitor, *values)[0] == best


def test_patience_counts_epochs_in_a_row_and_survives_a_resume() -> None:
    monitor = Monitor("loss", patience=2)
    _, watch = follow(monitor, 3, 4, 2, 5)
    assert not watch.should_stop
    again = Watch(monitor)
    again.restore(watch.get_state())
    assert again.best == Best(metric="loss", value=2, epoch=3)
    again.update({"loss": 2}, 5)
    assert again.should_stop
    assert not Watch(None).update({"loss": 1}, 1)
    assert not Watch(None).should_stop


def test_a_missing_metric_is_named_with_the_known_ones() -> None:
    with pytest.raises(ExperimentError, match=r"'val_loss'.*recorded were: acc, loss.*prefix val_"):
        Watch(Monitor("val_loss")).update({"loss": 1, "acc": 2}, 1)


def test_means_are_weighted_and_start_again() -> None:
    means = Means()
    for value, weight in ((1.0, 3), (np.float32(5), 1)):
        means.add("loss", value, weight)
    means.add("count", 2, 1)
    means.add("nothing", 7, 0)
    taken = means.take()
    assert (taken["loss"], taken["count"], math.isnan(taken["nothing"])) == (2.0, 2.0, True)
    assert list(taken) == ["loss", "count", "nothing"]
    assert means.take() == {}


def test_a_tensor_loses_its_graph_and_is_read_at_the_end() -> None:
    torch = pytest.importorskip("torch")
    means = Means()
    loss = torch.tensor(2.0, requires_grad=True) * 3
    means.add("loss", loss, 2)
    assert not means._sums["loss"][0].requires_grad
    means.add("loss", 3.0, 2)
    assert means.take() == {"loss": 4.5}


@pytest.mark.parametrize("weight", [np.int64(3), np.float32(3), np.array(3)])
def test_a_weight_may_be_an_array_and_the_mean_is_a_float(weight: Any) -> None:
    means = Means()
    means.add("loss", 1.0, weight)
    means.add("loss", np.float32(5), 1)
    taken = means.take()
    assert (taken, type(taken["loss"])) == ({"loss": 2.0}, float)


def test_a_weight_may_be_a_tensor() -> None:
    torch = pytest.importorskip("torch")
    means = Means()
    means.add("loss", torch.tensor(1.0), torch.tensor(3))
    means.add("loss", 5.0, torch.tensor(1.0, requires_grad=True))
    taken = means.take()
    assert (taken, type(taken["loss"])) == ({"loss": 2.0}, float)


@pytest.mark.parametrize(
    ("dtype", "value", "count", "mean"), [("bfloat16", 1.0, 1000, 1.0), ("float16", 1000.0, 100, 1000.0), ("float32", 1.0, 100, 1.0)]
)
def test_sums_of_small_types_neither_stall_nor_overflow(dtype: str, value: float, count: int, mean: float) -> None:
    torch = pytest.importorskip("torch")
    means = Means()
    means.add("loss", torch.tensor(value, dtype=getattr(torch, dtype)), 2.0**24)
    for _ in range(count - 1):
        means.add("loss", torch.tensor(value, dtype=getattr(torch, dtype)), 1)
    assert means.take() == {"loss": mean}


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_sums_of_numpys_small_types_neither_stall_nor_overflow(dtype: str) -> None:
    means = Means()
    for weight in (2.0**24, *[1.0] * 1000):
        means.add("loss", np.dtype(dtype).type(1000), weight)
    assert means.take() == {"loss": 1000.0}


def test_a_metric_that_is_not_measured_every_epoch_counts_neither_way() -> None:
    watch = Watch(Monitor("loss", patience=1))
    assert watch.update({"loss": 1}, 1)
    assert not watch.update({"acc": 1}, 2)
    assert not watch.should_stop
    again = Watch(Monitor("loss", patience=1))
    again.restore(watch.get_state())
    assert not again.update({}, 3)
    assert again.update({"loss": 0}, 4)


@pytest.mark.parametrize("value", [1, True, 1.0, np.float64(1), np.int8(1), np.array(1.0), np.bool_(True)])
def test_numbers(value: object) -> None:
    number = to_number("x", value)
    assert (number, type(number)) == (1.0, float)


@pytest.mark.parametrize("value", ["1", None, [1], np.ones(1), 1j, np.complex64(1), object()])
def test_what_is_no_number_is_refused_by_name(value: object) -> None:
    with pytest.raises(ExperimentError, match=r"metric 'x' got a .*; a metric is one number"):
        to_number("x", value)
