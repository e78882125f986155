"""What many of the experiments here share: a small regression, each part of which can be another."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from kladml import Experiment


def samples(count=48, features=8):
    x = torch.randn(count, features, generator=torch.Generator().manual_seed(1))
    return TensorDataset(x, x.sum(1, keepdim=True))


class Fit(Experiment):
    def setup(self):
        self.model = self.make_model()
        self.optimizer = self.make_optimizer()
        self.loader = self.make_loader()
        self.prepare()

    def make_model(self):
        return nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 1))

    def make_optimizer(self):
        return torch.optim.SGD(self.model.parameters(), lr=0.01)

    def make_loader(self):
        return self.load(self.make_data(), shuffle=True)

    def make_data(self):
        return samples()

    def prepare(self):
        pass

    def load(self, data, **options):
        options = {"batch_size": 8, **options}
        return DataLoader(data, num_workers=self.hyperparams["workers"], **options)

    def train_epoch(self, epoch):
        self.model.train()
        for x, y in self.steps(self.loader):
            self.learn(x, y)
        self.after(epoch)

    def learn(self, x, y):
        loss = self.loss(x, y)
        self.optimizer.zero_grad()
        loss.backward()
        self.update()
        self.log_metric("loss", loss)
        self.mean("mean_loss", loss, weight=len(x))

    def loss(self, x, y):
        return nn.functional.mse_loss(self.model(x), y)

    def update(self):
        self.optimizer.step()

    def after(self, epoch):
        pass

    @torch.no_grad()
    def evaluate(self):
        self.model.eval()
        return {"loss": self.loss(*samples(16).tensors)}
