"""A line through noisy points, by gradient descent in plain NumPy. Replace the data and the model by your own."""

from dataclasses import dataclass

import numpy as np

from kladml import Experiment, register


@register("line")
class Line(Experiment):
    inputs = ("train", "held_out")  # setup makes them again, so checkpoints leave them out

    @dataclass
    class Hyperparams:
        epochs: int = 20
        lr: float = 0.1
        batch_size: int = 32

    def setup(self):
        self.rng = np.random.default_rng(self.config.seed)
        self.train, self.held_out = points(400), points(100)
        self.model = np.zeros(2)

    def train_epoch(self, epoch):
        x, y = self.train
        order = self.rng.permutation(len(x))
        for rows in self.steps(np.array_split(order, len(x) // self.hyperparams.batch_size)):
            error = x[rows] @ self.model - y[rows]
            self.model -= self.hyperparams.lr * x[rows].T @ error / len(rows)
            self.mean("loss", np.mean(error**2))

    def evaluate(self):
        x, y = self.held_out
        return {"loss": np.mean((x @ self.model - y) ** 2)}


def points(count):
    """Points near the line y = 3 x + 2, with a column of ones for the intercept; the same ones for the same count."""
    rng = np.random.default_rng(count)
    x = rng.uniform(-1, 1, count)
    return np.column_stack([x, np.ones(count)]), 3 * x + 2 + rng.normal(0, 0.1, count)
