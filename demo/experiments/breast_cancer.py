"""Breast tumours, malignant or benign, told apart by a linear classifier of scikit-learn that learns batch by batch."""

from dataclasses import dataclass

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import accuracy_score, log_loss
from sklearn.preprocessing import StandardScaler

from kladml import Experiment, register


@register("breast_cancer")
class BreastCancer(Experiment):
    inputs = ("train", "held_out")  # setup makes them again, so checkpoints leave them out

    @dataclass
    class Hyperparams:
        epochs: int = 20
        lr: float = 0.01
        batch_size: int = 32
        penalty: float = 1e-3

    def setup(self):
        self.train, self.held_out = tumours()
        self.model = SGDClassifier(
            loss="log_loss",
            alpha=self.hyperparams.penalty,
            learning_rate="constant",
            eta0=self.hyperparams.lr,
            random_state=self.config.seed,
        )
        self.rng = np.random.default_rng(self.config.seed)

    def train_epoch(self, epoch):
        x, y = self.train
        order = self.rng.permutation(len(x))
        for rows in self.steps(np.array_split(order, len(x) // self.hyperparams.batch_size)):
            self.model.partial_fit(x[rows], y[rows], classes=[0, 1])
            self.mean("loss", log_loss(y[rows], self.model.predict_proba(x[rows]), labels=[0, 1]), weight=len(rows))

    def evaluate(self):
        x, y = self.held_out
        return {"loss": log_loss(y, self.model.predict_proba(x)), "accuracy": accuracy_score(y, self.model.predict(x))}


def tumours():
    """The measurements, scaled, in two parts: every fifth patient is held out."""
    x, y = load_breast_cancer(return_X_y=True)
    held_out = np.arange(len(x)) % 5 == 0
    scaler = StandardScaler().fit(x[~held_out])
    x = scaler.transform(x)
    return (x[~held_out], y[~held_out]), (x[held_out], y[held_out])
