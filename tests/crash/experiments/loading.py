# ruff: noqa: NPY002 - the old global generator is one of those to be kept
"""Where batches come from: samplers, generators, augmentation, streams, workers."""

import random

import numpy as np
import torch
from torch.utils.data import Dataset, IterableDataset, Sampler, WeightedRandomSampler, get_worker_info

from experiments.common import Fit, samples
from kladml import register


class Noisy(Dataset):
    """Draws from every generator there is, and from two of its own."""

    def __init__(self):
        self.x, self.y = samples().tensors
        self.generator = torch.Generator().manual_seed(5)
        self.rng = np.random.default_rng(6)

    def __len__(self):
        return len(self.x)

    def __getitem__(self, index):
        noise = random.random() + np.random.normal() + torch.randn(8) + torch.rand(8, generator=self.generator) + self.rng.normal()
        return self.x[index] + 0.1 * noise.float(), self.y[index]


@register("augment")
class Augment(Fit):
    def make_data(self):
        return Noisy()


@register("persistent")
class Persistent(Augment):
    def make_loader(self):
        return self.load(self.make_data(), shuffle=True, persistent_workers=self.hyperparams["workers"] > 0)


class Rotating(Sampler):
    """Another order in every epoch, by a counter of its own."""

    def __init__(self, count):
        self.count, self.epoch = count, 0

    def __len__(self):
        return self.count

    def __iter__(self):
        self.epoch += 1
        order = list(range(self.count))
        random.Random(self.epoch).shuffle(order)
        return iter(order)


@register("sampler")
class OwnSampler(Fit):
    def make_loader(self):
        return self.load(self.make_data(), sampler=Rotating(48))


@register("sampler_twice")
class OwnSamplerTwice(OwnSampler):
    """Two loops over one loader in every epoch, each in an order of its own."""

    def train_epoch(self, epoch):
        for _ in range(2):
            for x, y in self.steps(self.loader):
                self.learn(x, y)


class Buckets(Sampler):
    """Batches of samples of like size, in an order drawn from the global generator."""

    def __init__(self, sizes):
        order = sorted(range(len(sizes)), key=lambda index: (sizes[index], index))
        self.buckets = [order[start : start + 7] for start in range(0, len(order), 7)]

    def __len__(self):
        return len(self.buckets)

    def __iter__(self):
        for number in torch.randperm(len(self.buckets)).tolist():
            bucket = list(self.buckets[number])
            random.shuffle(bucket)
            yield bucket


@register("buckets")
class OwnBatchSampler(Fit):
    def make_loader(self):
        data = self.make_data()
        return self.load(data, batch_size=1, batch_sampler=Buckets(data.tensors[1].flatten().tolist()))


@register("generator")
class OwnGenerator(Fit):
    def make_loader(self):
        return self.load(self.make_data(), shuffle=True, generator=torch.Generator().manual_seed(9))


@register("weighted")
class Weighted(Fit):
    def make_loader(self):
        return self.load(self.make_data(), sampler=WeightedRandomSampler(torch.arange(1.0, 49.0), 40))


@register("drop_last")
class DropLast(Fit):
    def make_loader(self):
        return self.load(self.make_data(), shuffle=True, batch_size=10, drop_last=True)


@register("single")
class Single(Fit):
    """No batches: one sample is one step."""

    def make_loader(self):
        return self.load(samples(10), shuffle=True, batch_size=None)


class Stream(IterableDataset):
    """Samples with noise; every worker gives its part."""

    def __iter__(self):
        info = get_worker_info()
        start, step = (0, 1) if info is None else (info.id, info.num_workers)
        for x, y in list(zip(*samples(44).tensors, strict=True))[start::step]:
            yield x + 0.1 * torch.randn(8) + random.gauss(0, 0.1), y


@register("stream")
class PlainStream(Fit):
    def make_loader(self):
        return self.load(Stream())


class Resumable(IterableDataset):
    """Knows how far it is."""

    def __init__(self):
        self.x, self.y = samples().tensors
        self.place = self.epoch = 0

    def __iter__(self):
        if self.place == 0:
            self.epoch += 1
        while self.place < 44:
            at = (self.place * 5 + self.epoch) % 48
            self.place += 1
            yield self.x[at] + 0.1 * torch.randn(8), self.y[at]
        self.place = 0

    def state_dict(self):
        return {"place": self.place, "epoch": self.epoch}

    def load_state_dict(self, state):
        self.place, self.epoch = state["place"], state["epoch"]


@register("stateful_stream")
class StatefulStream(Fit):
    def make_loader(self):
        return self.load(Resumable())


@register("two_loaders")
class TwoLoaders(Fit):
    """Two loops in one epoch, each over a loader with its own workers."""

    def setup(self):
        super().setup()
        self.second = self.load(Noisy(), shuffle=True, batch_size=12)

    def after(self, epoch):
        for x, y in self.steps(self.second):
            self.learn(x, y)


@register("nested")
class Nested(Fit):
    """A loop over steps within an ordinary one."""

    def train_epoch(self, epoch):
        for part in range(2):
            for x, y in self.steps(self.loader):
                self.learn(x * (1 + part), y)


@register("broken_off")
class BrokenOff(Fit):
    """A loop that ends early; the loader's next epoch draws anew."""

    def train_epoch(self, epoch):
        for x, y in self.steps(self.loader):
            self.learn(x, y)
            if self.step % 5 == 0:
                break


@register("several_means")
class SeveralMeans(Fit):
    def learn(self, x, y):
        super().learn(x, y)
        self.mean("plain", y.mean())
        self.mean("weighted", x.mean(), weight=self.step)
        self.mean("number", random.random(), weight=0.5)

    def make_loader(self):
        return self.load(self.make_data(), shuffle=True, batch_size=9)
