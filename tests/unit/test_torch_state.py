"""PyTorch objects through the real store: a run that is put back goes on with the same bits as one that never stopped."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations
from torch.optim import lr_scheduler
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from kladml.checkpoint import capture, surveys
from kladml.checkpoint.encoder import Encoder
from kladml.checkpoint.restore import Restorer
from kladml.checkpoint.staging import Staging
from kladml.checkpoint.store import CheckpointStore
from kladml.errors import CaptureError, CheckpointMismatch
from kladml.integrations import torch_state


class Run:
    """Attributes, as an experiment has them, and what is done to them in a step."""

    def __init__(self, model: Any, **attributes: Any) -> None:
        self.model = model
        vars(self).update(attributes)

    def step(self, number: int) -> None:
        """Train with one batch."""
        generator = torch.Generator().manual_seed(number)
        for optimizer in self._all(torch.optim.Optimizer):
            optimizer.zero_grad()
        loss = self.model(torch.rand(4, 3, generator=generator)).pow(2).sum()
        loss.backward()
        for optimizer in self._all(torch.optim.Optimizer):
            optimizer.step()
        for scheduler in self._all(lr_scheduler.LRScheduler):
            scheduler.step(*([number % 3] if isinstance(scheduler, lr_scheduler.ReduceLROnPlateau) else []))

    def _all(self, kind: Any) -> list[Any]:
        return [value for value in vars(self).values() if isinstance(value, kind)]


@pytest.fixture(autouse=True)
def every_step_counts() -> Iterator[None]:
    """Gradients are kept unless a test says otherwise."""
    torch_state.watch_steps(keep_all=True)
    torch.manual_seed(0)
    yield
    torch_state.watch_steps(keep_all=True)


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    """An empty store."""
    return CheckpointStore(tmp_path / "checkpoints")


def save(store: CheckpointStore, run: Any, built: Any = None) -> dict[str, str]:
    """Commit the attributes of an object; give the digests. `built` is what `setup` made, to check against."""
    encoder = Encoder(capture.find_writer)
    nodes, inputs = capture.write(encoder, vars(run), (), "experiment", run)
    if built is not None:
        surveys.check(encoder, inputs, vars(run), surveys.survey(vars(built), (), "experiment", built), ())
    snapshot = encoder.snapshot({"experiment": nodes}, Staging())
    return dict(store.write(snapshot, {}, store.next_number()).leaves)


def resume(store: CheckpointStore, run: Any) -> Any:
    """Put the newest commit into an object that `setup` made again."""
    found = store.latest()
    assert found is not None
    state = found[1]["experiment"]
    restorer = Restorer()
    restorer.bind(state, run)
    restorer.attributes(vars(run), state, "self")
    return run


def goes_on(store: CheckpointStore, setup: Callable[[], Any], change: Callable[[Any], None] | None = None) -> Any:
    """Train, stop, put back and train on; beside one that never stopped. All leaves must be the same."""
    torch.manual_seed(1)
    run = setup()
    for number in range(3):
        run.step(number)
    if change is not None:
        change(run)
    run.step(3)
    torch.manual_seed(2)
    before = save(store, run, setup())
    other = resume(store, setup())
    assert save(store, other) == before
    for number in range(4, 8):
        run.step(number)
        other.step(number)
    after = save(store, run)
    assert save(store, other) == after
    assert after != before
    return other


def net(*layers: Any) -> nn.Sequential:
    """A small network."""
    return nn.Sequential(nn.Linear(3, 4), *layers, nn.Linear(4, 2))


OPTIMIZERS: dict[str, Callable[[Any], Any]] = {
    "sgd": lambda parameters: torch.optim.SGD(parameters, lr=0.1, momentum=0.9, nesterov=True),
    "adam": lambda parameters: torch.optim.Adam(parameters, amsgrad=True),
    "adamw": torch.optim.AdamW,
    "rmsprop": lambda parameters: torch.optim.RMSprop(parameters, centered=True, momentum=0.5),
    "adagrad": torch.optim.Adagrad,
    "asgd": torch.optim.ASGD,
    "rprop": torch.optim.Rprop,
    "nadam": torch.optim.NAdam,
    "adafactor": torch.optim.Adafactor,
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_go_on(store: CheckpointStore, name: str) -> None:
    def setup() -> Run:
        model = net()
        return Run(model, optimizer=OPTIMIZERS[name](model.parameters()))

    goes_on(store, setup)


SCHEDULERS: dict[str, Callable[[Any], Any]] = {
    "lambda": lambda optimizer: lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step)),
    "multistep": lambda optimizer: lr_scheduler.MultiStepLR(optimizer, [2, 5]),
    "onecycle": lambda optimizer: lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=20),
    "restarts": lambda optimizer: lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 3),
    "plateau": lambda optimizer: lr_scheduler.ReduceLROnPlateau(optimizer, patience=1, factor=0.5),
    "cyclic": lambda optimizer: lr_scheduler.CyclicLR(optimizer, 0.01, 0.1, step_size_up=2, cycle_momentum=False),
    "sequential": lambda optimizer: lr_scheduler.SequentialLR(
        optimizer, [lr_scheduler.LinearLR(optimizer, 0.1), lr_scheduler.CosineAnnealingLR(optimizer, 9)], [4]
    ),
    "chained": lambda optimizer: lr_scheduler.ChainedScheduler(
        [lr_scheduler.ConstantLR(optimizer, 0.5, 3), lr_scheduler.ExponentialLR(optimizer, 0.9)]
    ),
}


@pytest.mark.parametrize("name", SCHEDULERS)
def test_schedulers_go_on(store: CheckpointStore, name: str) -> None:
    def setup() -> Run:
        model = net()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        return Run(model, scheduler=SCHEDULERS[name](optimizer), optimizer=optimizer)

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The epoch parameter", UserWarning)  # torch's SequentialLR passes it itself
        other = goes_on(store, setup)
    assert other.scheduler.optimizer is other.optimizer or name == "chained"


class Odd(nn.Module):
    """What a `state_dict` leaves out: plain attributes, a buffer, shared weights, a generator."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(3, 3)
        self.twin = self.inner
        self.tied = nn.Linear(3, 3)
        self.tied.weight = self.inner.weight
        self.register_buffer("cache", torch.zeros(3), persistent=False)
        self.register_buffer("mean", torch.zeros(3))
        self.calls, self.history, self.heat = 0, [0.0], {"a": torch.ones(())}
        self.generator = torch.Generator().manual_seed(1)
        self.activation = torch.relu

    def forward(self, rows: Any) -> Any:
        self.calls += 1
        self.history.append(float(rows.sum()))
        self.heat["a"] *= 1.01
        self.cache += rows.mean(0)
        noise = torch.rand(3, generator=self.generator)
        return self.twin(self.tied(rows + noise + self.cache)) * self.heat["a"]


class Memory(nn.Module):
    """A recurrent network that keeps its state between batches."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.LSTM(3, 4, num_layers=2, dropout=0.0)
        self.state: Any = None

    def forward(self, rows: Any) -> Any:
        out, state = self.cell(rows[:, None], self.state)
        self.state = tuple(one.detach() for one in state)
        return out


MODELS: dict[str, Callable[[], Any]] = {
    "odd": Odd,
    "memory": Memory,
    "batchnorm": lambda: net(nn.BatchNorm1d(4)),
    "spectral": lambda: nn.Sequential(parametrizations.spectral_norm(nn.Linear(3, 4)), nn.Linear(4, 2)),
    "weightnorm": lambda: nn.Sequential(parametrizations.weight_norm(nn.Linear(3, 4)), nn.Linear(4, 2)),
    "orthogonal": lambda: nn.Sequential(parametrizations.orthogonal(nn.Linear(3, 4))),
    "attention": lambda: nn.TransformerEncoderLayer(3, 1, 4, dropout=0.0, batch_first=True),
    "channels": lambda: nn.Sequential(nn.Unflatten(1, (1, 1, 3)), nn.Conv2d(1, 4, 1), nn.Flatten()).to(memory_format=torch.channels_last),
}


@pytest.mark.parametrize("name", MODELS)
def test_modules_go_on(store: CheckpointStore, name: str) -> None:
    def setup() -> Run:
        model = MODELS[name]()
        return Run(model, optimizer=torch.optim.Adam(model.parameters()))

    other = goes_on(store, setup)
    if name == "odd":
        assert other.model.twin is other.model.inner
        assert other.model.tied.weight is other.model.inner.weight
        assert (other.model.calls, len(other.model.history), other.model.activation) == (8, 9, torch.relu)


def test_a_compiled_module_goes_on(store: CheckpointStore) -> None:
    def setup() -> Run:
        inner = net(nn.BatchNorm1d(4))
        return Run(torch.compile(inner, backend="eager"), inner=inner, optimizer=torch.optim.SGD(inner.parameters(), lr=0.1))

    other = goes_on(store, setup)
    assert other.model._orig_mod is other.inner


def test_an_average_of_a_model_goes_on(store: CheckpointStore) -> None:
    class Averaged(Run):
        def step(self, number: int) -> None:
            super().step(number)
            self.average.update_parameters(self.model)  # type: ignore[attr-defined]

    def setup() -> Run:
        model = net()
        average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9))
        return Averaged(model, average=average, optimizer=torch.optim.SGD(model.parameters(), lr=0.1))

    assert goes_on(store, setup).average.n_averaged == 8


def test_a_scaler_goes_on(store: CheckpointStore) -> None:
    run = Run(net(), scaler=torch.amp.GradScaler("cpu", init_scale=8.0, growth_interval=1))
    run.scaler.scale(torch.ones(1))  # type: ignore[attr-defined]
    run.scaler.update(4.0)  # type: ignore[attr-defined]
    save(store, run)
    other: Any = resume(store, Run(net(), scaler=torch.amp.GradScaler("cpu")))
    assert other.scaler.get_scale() == 4.0


def change_modes(run: Any) -> None:
    """Freeze a part of a model in mid-training, as when its head alone is trained on."""
    run.model[1].eval()
    run.model[0].weight.requires_grad_(False)
    run.model[2].bias.requires_grad_(True)


def add_group(run: Any) -> None:
    """Train more than before."""
    run.optimizer.add_param_group({"params": [run.extra.weight], "lr": 0.5})


def change_class(run: Any) -> None:
    """Go on by another algorithm, with another rate for a part."""
    groups = [{"params": list(run.model[0].parameters()), "lr": 0.3}, {"params": list(run.model[2].parameters())}]
    run.optimizer = torch.optim.SGD(groups, lr=0.1, momentum=0.9)


def change_rates(run: Any) -> None:
    """Change a group of the optimizer."""
    run.optimizer.param_groups[0]["lr"] = 0.7
    run.optimizer.param_groups[0]["betas"] = (0.5, 0.6)


@pytest.mark.parametrize("change", [change_modes, add_group, change_class, change_rates])
def test_what_changed_in_training_is_so_again(store: CheckpointStore, change: Any) -> None:
    def setup() -> Run:
        model = net(nn.BatchNorm1d(4))
        model[2].bias.requires_grad_(False)
        return Run(model, optimizer=torch.optim.Adam(model.parameters()), extra=nn.Linear(2, 1))

    other = goes_on(store, setup, change)
    if change is change_modes:
        assert [layer.training for layer in other.model] == [True, False, True]
        assert [one.requires_grad for one in other.model.parameters()] == [False, True, True, True, True, True]
    if change is change_class:
        assert type(other.optimizer) is torch.optim.SGD
        assert other.optimizer.param_groups[0]["params"][0] is other.model[0].weight
    if change is add_group:
        assert other.optimizer.param_groups[1]["params"][0] is other.extra.weight


def test_a_lazy_module_takes_its_shape(store: CheckpointStore) -> None:
    def setup() -> Run:
        return Run(nn.Sequential(nn.LazyLinear(4), nn.LazyBatchNorm1d()))

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Lazy modules are a new feature", UserWarning)
        built, run, other = setup(), setup(), setup()
        before = save(store, run, built)
        assert not any("weight" in path for path in before), "there is nothing yet"
        resume(store, other)
        run.step(1)
        after = save(store, run, built)
        resume(store, other)
    assert save(store, other) == after
    other.step(2)
    run.step(2)
    assert save(store, other) == save(store, run)
    late = resume(store, Run(nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))))
    assert torch.equal(late.model[0].weight, run.model[0].weight)
    save(store, built)
    with pytest.raises(CheckpointMismatch, match=r"self\.model\.0\.weight: the checkpoint holds a parameter without a shape"):
        resume(store, run)


def test_a_lazy_layer_alone_becomes_another_class(store: CheckpointStore) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Lazy modules are a new feature", UserWarning)
        built, run, other = Run(nn.LazyLinear(4)), Run(nn.LazyLinear(4)), Run(nn.LazyLinear(4))
    run.step(1)
    leaves = save(store, run, built)
    assert save(store, resume(store, other)) == leaves


@pytest.mark.parametrize("keep_all", [True, False])
def test_gradients_are_kept_as_long_as_a_step_needs_them(store: CheckpointStore, keep_all: bool) -> None:
    torch_state.watch_steps(keep_all=keep_all)
    model = net()
    run = Run(model, optimizer=torch.optim.SGD(model.parameters(), lr=0.1))
    run.step(1)
    leaves = save(store, run)
    assert ("experiment.model.gradients.0.weight" in leaves) == keep_all
    model(torch.ones(4, 3)).sum().backward()
    assert "experiment.model.gradients.0.weight" in save(store, run)
    other = Run(again := net(), optimizer=torch.optim.SGD(again.parameters(), lr=0.1))
    resume(store, other)
    for one in (run, other):
        one.optimizer.step()  # type: ignore[attr-defined]
    assert torch.equal(again[0].weight, model[0].weight)
    assert again[0].weight.grad is not None
    assert again[0].weight.grad.stride() == again[0].weight.stride()


def test_tensors_beside_modules_go_on(store: CheckpointStore) -> None:
    class Plain(Run):
        def step(self, number: int) -> None:
            loss = ((self.weight - number) ** 2).sum() + (self.late * self.layout).sum()  # type: ignore[attr-defined]
            self.optimizer.zero_grad()  # type: ignore[attr-defined]
            loss.backward()
            self.optimizer.step()  # type: ignore[attr-defined]
            self.loss = loss
            self.weights.append(self.weight.detach().clone())  # type: ignore[attr-defined]

    def setup() -> Plain:
        weight = torch.ones(3, requires_grad=True)
        layout = torch.arange(6.0).reshape(2, 3)
        optimizer = torch.optim.Adam([weight], lr=0.1)
        return Plain(None, weight=weight, layout=layout, late=torch.zeros(()), weights=[], optimizer=optimizer)

    def change(run: Any) -> None:
        run.late = nn.Parameter(torch.tensor(2.0))
        run.layout = torch.arange(6.0).reshape(3, 2).T

    other = goes_on(store, setup, change)
    assert type(other.late) is nn.Parameter
    assert other.layout.stride() == (1, 2)
    assert other.optimizer.param_groups[0]["params"][0] is other.weight


def test_views_and_copies_are_filled_in_place(store: CheckpointStore) -> None:
    def setup(number: float) -> Any:
        base = torch.full((4, 4), number)
        return Run(None, row=base[1], column=base[:, 1], spread=torch.full((), number).expand(3), shape=torch.full((1, 4), number))

    save(store, setup(1))
    other = setup(0)
    row, column = other.row, other.column
    resume(store, other)
    assert other.row is row
    assert other.column is column
    assert [one.flatten().tolist() for one in (row, column, other.spread, other.shape)] == [[1] * 4, [1] * 4, [1] * 3, [1] * 4]


@pytest.mark.parametrize(
    ("live", "saved", "words"),
    [
        (nn.Linear(2, 1), nn.Linear(3, 1), r"self\.model\.weight: the checkpoint holds float32 \[1, 3\], setup\(\) built float32 \[1, 2\]"),
        (nn.Linear(2, 1).double(), nn.Linear(2, 1), r"self\.model\.weight: .* holds float32 \[1, 2\], setup\(\) built float64 \[1, 2\]"),
        (nn.Linear(2, 1, bias=False), nn.Linear(2, 1), r"self\.model: it holds bias, which setup\(\) did not build"),
        (nn.Linear(2, 1), nn.Linear(2, 1, bias=False), r"self\.model: it does not hold bias, which setup\(\) built"),
        (5, nn.Linear(2, 1), r"self\.model, but setup\(\) built a int there"),
        (None, nn.Linear(2, 1), r"self\.model, but setup\(\) built nothing there"),
    ],
)
def test_a_leaf_that_does_not_fit_is_named(store: CheckpointStore, live: Any, saved: Any, words: str) -> None:
    save(store, Run(saved))
    with pytest.raises(CheckpointMismatch, match=words):
        resume(store, Run(live))


def test_an_optimizer_that_does_not_fit_is_named(store: CheckpointStore) -> None:
    class Own(torch.optim.SGD):
        """Not torch's own, so that only `setup` can make it."""

    model = net()
    save(store, Run(model, optimizer=Own(model.parameters())))
    again = net()
    with pytest.raises(CheckpointMismatch, match=r"self\.optimizer, but setup\(\) built nothing there"):
        resume(store, Run(again))
    with pytest.raises(CaptureError, match=r"self\.optimizer is a Own that setup\(\) did not build"):
        save(store, Run(model, optimizer=Own(model.parameters())), Run(again))


def test_a_module_at_several_places_is_kept_once(store: CheckpointStore) -> None:
    def setup() -> Any:
        encoder = net()
        decoder = nn.Sequential(encoder[1], nn.ReLU())
        parts = [decoder, {"first": encoder[0]}]
        return Run(nn.ModuleDict({"a": encoder, "b": decoder}), encoder=encoder, parts=parts, weight=encoder[0].weight)

    run = setup()
    leaves = save(store, run)
    assert sum("0.weight" in path for path in leaves) == 1
    other = setup()
    resume(store, other)
    assert other.parts[1]["first"] is other.encoder[0]
    assert other.weight is other.encoder[0].weight
    assert torch.equal(other.model["b"][0].weight, run.model["b"][0].weight)
