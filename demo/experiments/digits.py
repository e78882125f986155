"""Handwritten digits, 8 x 8 pixels, told apart by a small convolutional network in PyTorch."""

from dataclasses import dataclass

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy
from torch.optim import Adam
from torch.utils.data import DataLoader, TensorDataset

from kladml import Experiment, register


@register("digits")
class Digits(Experiment):
    @dataclass
    class Hyperparams:
        epochs: int = 15
        lr: float = 2e-3
        batch_size: int = 64
        channels: int = 16
        dropout: float = 0.25

    def setup(self):
        train, held_out = digits()
        self.train = DataLoader(train, self.hyperparams.batch_size, shuffle=True)
        self.held_out = DataLoader(held_out, batch_size=len(held_out))
        self.model = nn.Sequential(
            nn.Conv2d(1, self.hyperparams.channels, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(self.hyperparams.channels, 2 * self.hyperparams.channels, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Dropout(self.hyperparams.dropout),
            nn.Linear(32 * self.hyperparams.channels, 10),
        ).to(self.device)
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


def digits():
    """The images in two parts: every fifth one is held out."""
    data = load_digits()
    x = torch.tensor(data.images / 16, dtype=torch.float32).unsqueeze(1)
    y = torch.tensor(data.target)
    held_out = torch.arange(len(x)) % 5 == 0
    return TensorDataset(x[~held_out], y[~held_out]), TensorDataset(x[held_out], y[held_out])
