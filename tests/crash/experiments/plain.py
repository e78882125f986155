# ruff: noqa: NPY002 - the old global generator is one of those to be kept
"""Without torch: NumPy, scikit-learn, plain Python."""

import os
import random
import signal

import numpy as np
from sklearn.linear_model import SGDClassifier
from sklearn.neural_network import MLPClassifier

from kladml import Experiment, register


def points():
    rng = np.random.default_rng(7)
    x = rng.normal(size=(48, 4))
    return x, (x.sum(axis=1) > 0).astype(int)


@register("generators")
class Generators(Experiment):
    """Draws from every generator that Python and NumPy have."""

    def setup(self):
        self.model = np.zeros(4)
        self.rng = np.random.default_rng(self.config.seed)
        self.old = np.random.RandomState(3)
        self.own = random.Random(4)

    def train_epoch(self, epoch):
        for _ in self.steps(range(6)):
            self.model += self.rng.normal(size=4) + self.old.normal() + self.own.gauss(0, 1) + random.random() + np.random.standard_normal()
            self.log_metric("norm", np.linalg.norm(self.model))


@register("mlp")
class Mlp(Experiment):
    inputs = ("data",)

    def setup(self):
        self.data = points()
        self.model = MLPClassifier((6,), solver="adam", random_state=self.config.seed, batch_size=8)
        self.rng = np.random.default_rng(2)

    def train_epoch(self, epoch):
        x, y = self.data
        for rows in self.steps(np.array_split(self.rng.permutation(48), 6)):
            self.model.partial_fit(x[rows], y[rows], classes=[0, 1])
            self.log_metric("loss", self.model.loss_)

    def evaluate(self):
        return {"accuracy": self.model.score(*self.data)}


@register("sgd")
class Sgd(Experiment):
    """Fits again and again, each time from where it was."""

    inputs = ("data",)

    def setup(self):
        self.data = points()
        self.model = SGDClassifier(loss="log_loss", warm_start=True, max_iter=1, tol=None, random_state=np.random.RandomState(1))

    def train_epoch(self, epoch):
        x, y = self.data
        for number in self.steps(range(6)):
            self.model.fit(x[number:], y[number:])
            self.log_metric("norm", np.linalg.norm(self.model.coef_))


def batches(rng):
    for number in range(6):
        yield number + rng.normal(), np.random.normal(), random.random()


@register("function")
class GeneratorFunction(Experiment):
    """A plain generator, which cannot begin in its middle, and draws."""

    def setup(self):
        self.rng = np.random.default_rng(self.config.seed)
        self.model = np.zeros(3)

    def train_epoch(self, epoch):
        for numbers in self.steps(batches(self.rng)):
            self.model += numbers
            self.log_metric("sum", self.model.sum() + random.random())


class Rounds:
    """Counts how often it was walked over."""

    def __init__(self):
        self.rounds = 0

    def __iter__(self):
        self.rounds += 1
        for number in range(5):
            yield self.rounds * number + random.random()


@register("rounds")
class OwnIterable(Experiment):
    """Two loops over an object of the project, which counts them."""

    def setup(self):
        self.loader = Rounds()
        self.model = np.zeros(1)

    def train_epoch(self, epoch):
        for _ in range(2):
            for number in self.steps(self.loader):
                self.model += number * random.random()
                self.log_metric("sum", self.model.sum())


class Paging:
    """Knows how far it is, and takes that up when it is walked over."""

    def __init__(self):
        self.at, self.next = 0, None

    def __iter__(self):
        self.at, self.next = self.next or 0, None
        while self.at < 6:
            self.at += 1
            yield self.at + random.random()
        self.at = 0

    def state_dict(self):
        return {"at": self.at}

    def load_state_dict(self, state):
        self.next = state["at"]


@register("paging")
class StatefulIterable(Experiment):
    """A loader that can continue by itself."""

    def setup(self):
        self.loader = Paging()
        self.model = np.zeros(1)

    def train_epoch(self, epoch):
        for number in self.steps(self.loader):
            self.model += number * random.random()
            self.log_metric("sum", self.model.sum())


@register("sequences")
class Sequences(Experiment):
    """Loops over a range, a list and an array."""

    def setup(self):
        self.model = np.zeros(2)
        self.numbers = [3.5, 1.25, 2.0]
        self.rows = np.arange(6.0).reshape(3, 2)

    def train_epoch(self, epoch):
        for number in self.steps(range(3)):
            self.add(number)
        for number in self.steps(self.numbers):
            self.add(number)
        for row in self.steps(self.rows):
            self.add(row)

    def add(self, value):
        self.model += value * np.random.uniform(size=2)
        self.log_metric("sum", self.model.sum())


@register("evolution")
class Evolution(Experiment):
    """An evolution strategy: every step is a generation."""

    def setup(self):
        self.rng = np.random.default_rng(self.config.seed)
        self.model = self.rng.normal(size=5)
        self.sigma, self.best = 0.5, None

    def train_epoch(self, epoch):
        for _ in self.steps(range(8)):
            children = self.model + self.sigma * self.rng.normal(size=(12, 5))
            values = ((children - np.arange(5)) ** 2).sum(axis=1)
            better = np.argsort(values)[:3]
            self.model = children[better].mean(axis=0)
            if self.best is None or values[better[0]] < self.best[0]:
                self.best = (float(values[better[0]]), children[better[0]])
                self.sigma *= 1.1
            else:
                self.sigma *= 0.9
            self.log_metric("best", self.best[0])
            self.mean("value", values.mean())


@register("unseeded")
class Unseeded(Experiment):
    """Draws what nobody can draw again: the comparison must see it."""

    def setup(self):
        self.model = np.zeros(1)

    def train_epoch(self, epoch):
        for _ in self.steps(range(6)):
            self.model += int.from_bytes(os.urandom(4), "big") / 2**32
            self.log_metric("sum", self.model.sum())


@register("forking")
class Forking(Experiment):
    """Leaves a process behind."""

    def train_epoch(self, epoch):
        if epoch == 1 and os.fork() == 0:
            while True:
                signal.pause()
        return {"epoch": epoch}
