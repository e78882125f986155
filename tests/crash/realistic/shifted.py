"""Handwritten digits, shifted and blurred at random by the loader's workers."""

import random

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Dataset

from kladml import Experiment, register


class Shifted(Dataset):
    def __init__(self, images, labels):
        self.images, self.labels = images, labels
        self.rng = np.random.default_rng(8)

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        right, down = random.randint(-1, 1), int(self.rng.integers(-1, 2))
        image = torch.roll(self.images[index], (down, right), (1, 2))
        return image + 0.05 * torch.randn_like(image), self.labels[index]


@register("shifted")
class ShiftedDigits(Experiment):
    def setup(self):
        data = load_digits()
        images, labels = torch.tensor(data.images / 16, dtype=torch.float32).unsqueeze(1), torch.tensor(data.target)
        self.train = DataLoader(Shifted(images[:480], labels[:480]), 48, shuffle=True, num_workers=2, persistent_workers=True)
        self.held_out = images[-200:], labels[-200:]
        self.model = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(0.2), nn.Linear(128, 10)
        ).to(self.device)
        self.optimizer = torch.optim.SGD(self.model.parameters(), 0.05, momentum=0.9, nesterov=True)
        self.schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, 10 * self.config.epochs)

    def train_epoch(self, epoch):
        self.model.train()
        for x, y in self.steps(self.train):
            loss = cross_entropy(self.model(x.to(self.device)), y.to(self.device))
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            self.schedule.step()
            self.mean("loss", loss, weight=len(x))
            self.log_metric("pixels", x.mean())

    @torch.no_grad()
    def evaluate(self):
        self.model.eval()
        x, y = self.held_out
        scores = self.model(x.to(self.device)).cpu()
        return {"loss": cross_entropy(scores, y), "accuracy": (scores.argmax(1) == y).float().mean()}
