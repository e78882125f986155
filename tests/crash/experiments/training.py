"""How a model is trained: optimizers, schedules, gradients, precision, modules with state of their own."""

import torch
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR, ReduceLROnPlateau, StepLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from experiments.common import Fit
from kladml import register


@register("adam")
class DropoutBatchNormAdam(Fit):
    def make_model(self):
        return nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 1))

    def make_optimizer(self):
        return torch.optim.Adam(self.model.parameters(), lr=0.01)


@register("momentum")
class MomentumStepLR(Fit):
    def make_optimizer(self):
        return torch.optim.SGD(self.model.parameters(), lr=0.02, momentum=0.9, nesterov=True, weight_decay=0.01)

    def prepare(self):
        self.scheduler = StepLR(self.optimizer, 1, gamma=0.5)

    def after(self, epoch):
        self.scheduler.step()


@register("onecycle")
class OneCycle(Fit):
    def prepare(self):
        self.scheduler = OneCycleLR(self.optimizer, max_lr=0.1, epochs=self.config.epochs, steps_per_epoch=len(self.loader))

    def update(self):
        self.optimizer.step()
        self.scheduler.step()
        self.log_metric("lr", self.scheduler.get_last_lr()[0])


@register("plateau")
class Plateau(Fit):
    def make_optimizer(self):
        return torch.optim.RMSprop(self.model.parameters(), lr=0.05)

    def prepare(self):
        self.scheduler = ReduceLROnPlateau(self.optimizer, factor=0.5, patience=0, threshold=0.5)

    def evaluate(self):
        found = super().evaluate()
        self.scheduler.step(found["loss"])
        return {**found, "lr": self.optimizer.param_groups[0]["lr"]}


@register("accumulate")
class Accumulate(Fit):
    def train_epoch(self, epoch):
        for x, y in self.steps(self.loader, accumulate=2):
            loss = self.loss(x, y) / 2
            loss.backward()
            if self.completes_group:
                self.optimizer.step()
                self.optimizer.zero_grad()
            self.log_metric("loss", loss)


@register("accumulate_by_hand")
class AccumulateByHand(Fit):
    """Gradients are in flight between most steps, and over the end of an epoch."""

    def prepare(self):
        self.batches = 0

    def learn(self, x, y):
        loss = self.loss(x, y) / 4
        loss.backward()
        self.batches += 1
        if self.batches % 4 == 0:
            self.optimizer.step()
            self.optimizer.zero_grad()
        self.log_metric("loss", loss)


@register("clip_ema")
class ClipEma(Fit):
    def make_optimizer(self):
        return torch.optim.AdamW(self.model.parameters(), lr=0.01, amsgrad=True)

    def prepare(self):
        self.average = AveragedModel(self.model, multi_avg_fn=get_ema_multi_avg_fn(0.9), use_buffers=True)

    def update(self):
        self.log_metric("norm", nn.utils.clip_grad_norm_(self.model.parameters(), 0.5))
        self.optimizer.step()
        self.average.update_parameters(self.model)

    @torch.no_grad()
    def evaluate(self):
        return {"loss": self.loss(torch.ones(1, 8), torch.ones(1, 1)), "average": self.average(torch.ones(1, 8)).sum()}


@register("amp")
class Amp(Fit):
    def prepare(self):
        self.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=3)

    def learn(self, x, y):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = self.loss(x, y)
        self.optimizer.zero_grad()
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimizer)
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.log_metric("loss", loss)
        self.log_metric("scale", self.scaler.get_scale())


@register("spectral")
class Spectral(Fit):
    def make_model(self):
        norm = nn.utils.parametrizations.spectral_norm
        return nn.Sequential(norm(nn.Linear(8, 8)), nn.Tanh(), nn.utils.parametrizations.weight_norm(nn.Linear(8, 1)))


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.encode, self.decode, self.last = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 1)
        self.decode.weight = self.encode.weight

    def forward(self, x):
        return self.last(self.decode(torch.relu(self.encode(x))))


@register("tied")
class TiedWeights(Fit):
    def make_model(self):
        return Tied()

    def make_optimizer(self):
        return torch.optim.Adagrad(self.model.parameters(), lr=0.05)

    def after(self, epoch):
        assert self.model.decode.weight is self.model.encode.weight


@register("unfreeze")
class Unfreeze(Fit):
    """The first layer is frozen, and learns from the second epoch on, in a group of its own."""

    def make_model(self):
        model = super().make_model()
        model[0].requires_grad_(False)
        return model

    def make_optimizer(self):
        return torch.optim.Adam(self.model[2].parameters(), lr=0.01)

    def train_epoch(self, epoch):
        if epoch == 2:
            self.model[0].requires_grad_(True)
            self.optimizer.add_param_group({"params": list(self.model[0].parameters()), "lr": 0.001})
        super().train_epoch(epoch)


@register("replaced")
class Replaced(Fit):
    """Another optimizer takes over in the middle of the second epoch."""

    def update(self):
        if self.step == 9:
            self.optimizer = torch.optim.Adam(self.model.parameters(), lr=0.003)
        self.optimizer.step()


class Hidden(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.calls, self.temperature = nn.Linear(8, 1), 0, 1.0
        self.history = []
        self.register_buffer("running", torch.zeros(8), persistent=False)

    def forward(self, x):
        if self.training:
            self.calls += 1
            self.temperature *= 0.99
            self.history.append(self.calls)
            self.running.mul_(0.9).add_(x.detach().mean(0))
        return self.layer(x - self.running) / self.temperature


@register("hidden")
class HiddenState(Fit):
    """Buffers that no state dict holds, and plain counters on a module."""

    def make_model(self):
        return Hidden()


@register("lstm")
class Lstm(Fit):
    """The hidden state goes on from batch to batch, and from epoch to epoch."""

    def make_model(self):
        return nn.ModuleDict({"lstm": nn.LSTM(8, 6, num_layers=2, dropout=0.2, batch_first=True), "head": nn.Linear(6, 1)})

    def prepare(self):
        self.state = None

    def loss(self, x, y):
        out, state = self.model["lstm"](x.view(-1, 1, 8), self.state if self.model.training else None)
        if self.model.training:
            self.state = tuple(part.detach() for part in state)
        return nn.functional.mse_loss(self.model["head"](out[:, -1]), y)


@register("compiled")
class Compiled(Fit):
    def make_model(self):
        model = nn.Sequential(nn.Linear(8, 8), nn.Dropout(0.2), nn.BatchNorm1d(8), nn.Linear(8, 1))
        return torch.compile(model, backend="eager")


@register("own_state")
class OwnState(Fit):
    """Says itself what its state is."""

    def prepare(self):
        self.counter = {"batches": 0}
        self.cache = object()

    def update(self):
        self.optimizer.step()
        self.counter["batches"] += 1
        self.log_metric("batches", self.counter["batches"])

    def get_state(self):
        model = {name: value.clone() for name, value in self.model.state_dict().items()}
        return {"model": model, "optimizer": self.optimizer.state_dict(), "batches": self.counter["batches"]}

    def restore(self, state):
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.counter["batches"] = state["batches"]


@register("early")
class EarlyStop(Fit):
    """The best model is kept, and the run ends before its last epoch. The learning rate is such that it gets worse."""

    def make_optimizer(self):
        return torch.optim.SGD(self.model.parameters(), lr=0.02, momentum=0.95)

    def after(self, epoch):
        if epoch >= 2:
            with torch.no_grad():
                self.model[0].weight.mul_(1.5)
