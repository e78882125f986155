"""Points on two spirals, told apart by a small network in PyTorch. Replace the data and the model by your own."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.optim import Adam
from torch.utils.data import DataLoader, TensorDataset

from kladml import Experiment, register


@register("spiral")
class Spiral(Experiment):
    @dataclass
    class Hyperparams:
        epochs: int = 30
        lr: float = 0.003
        hidden: int = 64
        batch_size: int = 64

    def setup(self):
        self.train = DataLoader(spirals(2000), self.hyperparams.batch_size, shuffle=True)
        self.held_out = DataLoader(spirals(500), batch_size=500)
        self.model = network(self.hyperparams.hidden).to(self.device)
        self.optimizer = Adam(self.model.parameters(), self.hyperparams.lr)

    def train_epoch(self, epoch):
        self.model.train()
        for x, y in self.steps(self.train):
            x, y = x.to(self.device), y.to(self.device)
            loss = cross_entropy(self.model(x), y)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            self.mean("loss", loss)

    @torch.no_grad()
    def evaluate(self):
        self.model.eval()
        x, y = next(iter(self.held_out))
        scores = self.model(x.to(self.device)).cpu()
        return {"loss": cross_entropy(scores, y), "accuracy": (scores.argmax(dim=1) == y).float().mean()}


def network(hidden):
    """Two hidden layers of this width."""
    return nn.Sequential(nn.Linear(2, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 2))


def spirals(count):
    """Noisy points on two spirals and which of them each is on; the same ones for the same count."""
    rng = torch.Generator().manual_seed(count)
    y = torch.randint(2, (count,), generator=rng)
    radius = torch.rand(count, generator=rng)
    angle = 8 * radius + torch.pi * y
    x = torch.stack([radius * angle.cos(), radius * angle.sin()], dim=1)
    return TensorDataset(x + 0.02 * torch.randn(count, 2, generator=rng), y)
