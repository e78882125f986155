"""An evolution strategy with a covariance of its own, in NumPy: every step is a generation."""

from dataclasses import dataclass, field

import numpy as np

from kladml import Experiment, register


@dataclass
class Population:
    mean: np.ndarray
    covariance: np.ndarray
    sigma: float = 0.6
    path: np.ndarray = field(default_factory=lambda: np.zeros(6))
    archive: list = field(default_factory=list)


@register("strategy")
class Strategy(Experiment):
    def setup(self):
        self.rng = np.random.default_rng(self.config.seed)
        self.population = Population(self.rng.uniform(-2, 2, 6), np.eye(6))

    def train_epoch(self, epoch):
        for generation in self.steps(range(10)):
            self.evolve(generation)
        self.model = self.population.mean.copy()

    def evolve(self, generation):
        now = self.population
        children = self.rng.multivariate_normal(now.mean, now.sigma**2 * now.covariance, size=14)
        values = np.array([rosenbrock(child) for child in children])
        better = children[np.argsort(values)[:5]]
        shift = (better.mean(axis=0) - now.mean) / now.sigma
        now.path = 0.7 * now.path + 0.7 * shift
        now.covariance = 0.8 * now.covariance + 0.1 * np.outer(now.path, now.path) + 0.1 * np.cov(((better - now.mean) / now.sigma).T)
        now.mean = better.mean(axis=0)
        now.sigma *= np.exp(0.2 * (np.linalg.norm(now.path) / np.sqrt(6) - 1))
        now.archive.append((generation, float(values.min()), tuple(better[0])))
        del now.archive[:-5]
        self.log_metric("best", values.min())
        self.mean("value", values.mean())


def rosenbrock(x):
    return float((100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum())
