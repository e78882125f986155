"""A generative adversarial network: two loops, two optimizers, two loaders."""

import torch
from torch import nn
from torch.nn.functional import softplus

from experiments.common import Fit, samples
from kladml import Experiment, register


@register("gan")
class Gan(Experiment):
    load = Fit.load

    def setup(self):
        self.model = nn.ModuleDict(
            {
                "maker": nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 8)),
                "judge": nn.Sequential(nn.Linear(8, 8), nn.Dropout(0.1), nn.ReLU(), nn.Linear(8, 1)),
            }
        )
        self.optimizers = {name: torch.optim.Adam(part.parameters(), betas=(0.5, 0.9)) for name, part in self.model.items()}
        self.real = self.load(samples(), shuffle=True)
        self.more = self.load(samples(20), shuffle=True, batch_size=4)

    def train_epoch(self, epoch):
        self.train_judge()
        self.train_maker()

    def train_judge(self):
        for x, _ in self.steps(self.real):
            made = self.model["maker"](torch.randn(len(x), 3)).detach()
            loss = softplus(-self.model["judge"](x)).mean() + softplus(self.model["judge"](made)).mean()
            self.step_of("judge", loss)

    def train_maker(self):
        for x, _ in self.steps(self.more):
            self.step_of("maker", softplus(-self.model["judge"](self.model["maker"](torch.randn(len(x), 3)))).mean())

    def step_of(self, name, loss):
        self.optimizers[name].zero_grad()
        loss.backward()
        self.optimizers[name].step()
        self.log_metric(f"{name}_loss", loss)
        self.mean(name, loss)
