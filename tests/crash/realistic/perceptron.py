"""A network of scikit-learn that learns in batches, with a scaler that learns along."""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

from kladml import Experiment, register


@register("perceptron")
class Perceptron(Experiment):
    inputs = ("train", "held_out")

    def setup(self):
        x, y = load_digits(return_X_y=True)
        self.train, self.held_out = (x[:600], y[:600]), (x[-200:], y[-200:])
        self.scaler = StandardScaler()
        self.model = MLPClassifier((24,), learning_rate_init=0.01, batch_size=50, random_state=self.config.seed)
        self.rng = np.random.default_rng(self.config.seed)

    def train_epoch(self, epoch):
        x, y = self.train
        for rows in self.steps(np.array_split(self.rng.permutation(len(x)), 12)):
            scaled = self.scaler.partial_fit(x[rows]).transform(x[rows])
            self.model.partial_fit(scaled, y[rows], classes=np.arange(10))
            self.mean("loss", self.model.loss_, weight=len(rows))
            self.log_metric("batch_loss", self.model.loss_)

    def evaluate(self):
        x, y = self.held_out
        return {"accuracy": self.model.score(self.scaler.transform(x), y)}
