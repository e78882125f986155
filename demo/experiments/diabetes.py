"""The progression of diabetes after a year, predicted by a linear model in plain NumPy: gradient descent with momentum."""

from dataclasses import dataclass

import numpy as np
from sklearn.datasets import load_diabetes

from kladml import Experiment, register


@register("diabetes")
class Diabetes(Experiment):
    inputs = ("train", "held_out")  # setup makes them again, so checkpoints leave them out

    @dataclass
    class Hyperparams:
        epochs: int = 30
        lr: float = 0.02
        batch_size: int = 32
        momentum: float = 0.9

    def setup(self):
        self.train, self.held_out = patients()
        self.model = np.zeros(self.train[0].shape[1])
        self.velocity = np.zeros_like(self.model)
        self.rng = np.random.default_rng(self.config.seed)

    def train_epoch(self, epoch):
        x, y = self.train
        order = self.rng.permutation(len(x))
        for rows in self.steps(np.array_split(order, len(x) // self.hyperparams.batch_size)):
            error = x[rows] @ self.model - y[rows]
            gradient = x[rows].T @ error / len(rows)
            self.velocity = self.hyperparams.momentum * self.velocity - self.hyperparams.lr * gradient
            self.model += self.velocity
            self.mean("loss", np.mean(error**2), weight=len(rows))

    def evaluate(self):
        x, y = self.held_out
        mse = np.mean((x @ self.model - y) ** 2)
        return {"loss": mse, "r2": 1 - mse / np.var(y)}


def patients():
    """Ten measurements and a constant, and the progression, scaled, in two parts: every fifth patient is held out."""
    x, y = load_diabetes(return_X_y=True)
    held_out = np.arange(len(x)) % 5 == 0
    x = np.column_stack([x / x[~held_out].std(axis=0), np.ones(len(x))])
    y = (y - y[~held_out].mean()) / y[~held_out].std()
    return (x[~held_out], y[~held_out]), (x[held_out], y[held_out])
