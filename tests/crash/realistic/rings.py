"""A generative adversarial network learns to put points on a ring: the judge is trained more often than the maker."""

import torch
from torch import nn
from torch.nn.functional import softplus
from torch.utils.data import DataLoader, TensorDataset

from kladml import Experiment, register


@register("rings")
class Rings(Experiment):
    def setup(self):
        angle = torch.rand(96, generator=torch.Generator().manual_seed(3)) * 6.2831853
        self.real = DataLoader(TensorDataset(torch.stack([angle.cos(), angle.sin()], dim=1)), 16, shuffle=True, drop_last=True)
        norm = nn.utils.parametrizations.spectral_norm
        self.maker = nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 2)).to(self.device)
        self.judge = nn.Sequential(norm(nn.Linear(2, 16)), nn.LeakyReLU(0.2), nn.Dropout(0.1), norm(nn.Linear(16, 1))).to(self.device)
        self.model = self.maker
        self.maker_optimizer = torch.optim.Adam(self.maker.parameters(), 2e-3, betas=(0.5, 0.9))
        self.judge_optimizer = torch.optim.Adam(self.judge.parameters(), 4e-3, betas=(0.5, 0.9))
        self.seen = torch.zeros(2)

    def train_epoch(self, epoch):
        self.maker.train()
        for _ in range(2):
            self.train_judge()
        self.train_maker()

    def train_judge(self):
        for (points,) in self.steps(self.real):
            made = self.make(len(points)).detach()
            loss = softplus(-self.judge(points)).mean() + softplus(self.judge(made)).mean()
            self.judge_optimizer.zero_grad()
            loss.backward()
            self.judge_optimizer.step()
            self.seen += points.sum(0)
            self.mean("judge", loss)

    def train_maker(self):
        for _ in self.steps(range(5)):
            loss = softplus(-self.judge(self.make(16))).mean()
            self.maker_optimizer.zero_grad()
            loss.backward()
            self.maker_optimizer.step()
            self.mean("maker", loss)
            self.log_metric("maker_loss", loss)

    def make(self, count):
        return self.maker(torch.randn(count, 4, device=self.device))

    @torch.no_grad()
    def evaluate(self):
        self.maker.eval()
        return {"radius": self.make(64).norm(dim=1).mean()}
