"""What is repeated from one commit to the next must be what would have been written anew."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import nn

from kladml.checkpoint import capture, codec
from kladml.checkpoint.encoder import Encoder
from kladml.checkpoint.repeats import Repeats
from kladml.checkpoint.staging import Staging


@dataclass
class Holder:
    """The attributes of an experiment."""

    values: dict[str, Any]

    def train(self) -> None:
        model = self.values["model"]
        model(torch.randn(3, 4)).sum().backward()
        self.values["optimizer"].step()
        self.values["optimizer"].zero_grad()


def holder(kind: type[torch.optim.Optimizer] = torch.optim.Adam, **options: Any) -> Holder:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 4))
    made: Any = kind
    return Holder({"model": model, "optimizer": made(model.parameters(), lr=0.1, **options)})


def written(values: dict[str, Any], repeats: Repeats, staging: Staging) -> tuple[Any, ...]:
    encoder = Encoder(capture.find_writer, {}, repeats)
    nodes, inputs = capture.write(encoder, values, (), "experiment", values)
    snapshot = encoder.snapshot({"experiment": nodes}, staging)
    staged = snapshot.staged
    return snapshot.structure, codec.leaves_of(snapshot), staged.header, bytes(staged.data), inputs, encoder.parts, encoder.insides


def moments(found: Holder) -> dict[str, Any]:
    kept: dict[str, Any] = found.values["optimizer"].state[found.values["model"][0].weight]
    return kept


def replace_data(found: Holder) -> None:
    found.values["model"][0].weight.data = torch.randn(4, 4)


def transpose_data(found: Holder) -> None:
    weight = found.values["model"][0].weight
    weight.data = weight.data.t()


def freeze(found: Holder) -> None:
    found.values["model"][0].weight.requires_grad_(False)


def tie(found: Holder) -> None:
    found.values["model"][2].weight = found.values["model"][0].weight


def use_elsewhere(found: Holder) -> None:
    found.values["first"] = found.values["model"][0].weight


def refer_to_moments(found: Holder) -> None:
    found.values["first"] = next(iter(moments(found).values()), None)


def refer_to_a_dict_of_moments(found: Holder) -> None:
    found.values["first"] = moments(found)


def forget_moments(found: Holder) -> None:
    found.values["optimizer"].state.pop(found.values["model"][0].weight, None)


def add_to_moments(found: Holder) -> None:
    moments(found)["more"] = torch.ones(2)


def add_a_number_to_moments(found: Holder) -> None:
    moments(found)["more"] = 3


def set_lr(found: Holder) -> None:
    found.values["optimizer"].param_groups[0]["lr"] = 0.5


def halve(found: Holder) -> None:
    found.values["model"].half()


def another_buffer(found: Holder) -> None:
    found.values["model"][1].register_buffer("running_mean", torch.ones(4, dtype=torch.float64))


def no_elements(found: Holder) -> None:
    found.values["model"][1].register_buffer("running_mean", torch.ones(0))


def another_optimizer(found: Holder) -> None:
    found.values["optimizer"] = torch.optim.SGD(found.values["model"].parameters(), lr=0.1, momentum=0.9)


def swap(found: Holder) -> None:
    first, last = found.values["model"][0], found.values["model"][2]
    first.weight, last.weight = last.weight, first.weight


CHANGES: list[Callable[[Holder], None]] = [
    Holder.train,
    *(replace_data, transpose_data, freeze, tie, use_elsewhere, refer_to_moments, refer_to_a_dict_of_moments, forget_moments),
    *(add_to_moments, add_a_number_to_moments, set_lr, halve, another_buffer, no_elements, another_optimizer, swap),
]


@pytest.mark.parametrize("change", CHANGES)
def test_after_a_change_the_same_is_written_as_anew(change: Callable[[Holder], None]) -> None:
    found, repeats, staging = holder(), Repeats(), Staging()
    for _ in range(2):
        found.train()
        assert written(found.values, repeats, staging) == written(found.values, Repeats(), Staging())
    change(found)
    for _ in range(2):
        assert written(found.values, repeats, staging) == written(found.values, Repeats(), Staging())


@pytest.mark.parametrize("first", CHANGES[1:])
@pytest.mark.parametrize("second", CHANGES[1:])
def test_after_two_changes_the_same_is_written_as_anew(first: Callable[[Holder], None], second: Callable[[Holder], None]) -> None:
    found, repeats, staging = holder(torch.optim.Adam, amsgrad=True), Repeats(), Staging()
    found.train()
    written(found.values, repeats, staging)
    for change in (first, second):
        change(found)
        assert written(found.values, repeats, staging) == written(found.values, Repeats(), Staging())


def test_a_state_that_is_written_keeps_no_tensor_alive() -> None:
    found, repeats, staging = holder(), Repeats(), Staging()
    found.train()
    encoder = Encoder(capture.find_writer, {}, repeats)
    nodes, _ = capture.write(encoder, found.values, (), "experiment", found)
    encoder.snapshot({"experiment": nodes}, staging)
    assert [array.source for array in encoder.arrays.values()] == [None] * len(encoder.arrays)
