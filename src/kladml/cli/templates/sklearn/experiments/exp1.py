"""Two classes, told apart by a linear classifier of scikit-learn that learns batch by batch. Replace the data and the model by your own."""

from dataclasses import dataclass

import numpy as np
from sklearn.datasets import make_classification
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import accuracy_score, log_loss

from kladml import Experiment, register


@register("classifier")
class Classifier(Experiment):
    inputs = ("train", "held_out")  # setup makes them again, so checkpoints leave them out

    @dataclass
    class Hyperparams:
        epochs: int = 20
        lr: float = 0.001
        batch_size: int = 32

    def setup(self):
        x, y = make_classification(2000, n_informative=10, class_sep=1.5, random_state=0)
        self.train, self.held_out = (x[400:], y[400:]), (x[:400], y[:400])
        self.model = SGDClassifier(loss="log_loss", learning_rate="constant", eta0=self.hyperparams.lr, random_state=self.config.seed)
        self.rng = np.random.default_rng(self.config.seed)

    def train_epoch(self, epoch):
        x, y = self.train
        order = self.rng.permutation(len(x))
        for rows in self.steps(np.array_split(order, len(x) // self.hyperparams.batch_size)):
            self.model.partial_fit(x[rows], y[rows], classes=[0, 1])
            self.mean("loss", log_loss(y[rows], self.model.predict_proba(x[rows]), labels=[0, 1]))

    def evaluate(self):
        x, y = self.held_out
        return {"loss": log_loss(y, self.model.predict_proba(x)), "accuracy": accuracy_score(y, self.model.predict(x))}
