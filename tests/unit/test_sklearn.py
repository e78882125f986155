"""scikit-learn's estimators through the real store."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import Birch, BisectingKMeans, MiniBatchKMeans
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier, RandomForestClassifier, StackingClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.feature_selection import SelectKBest
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, SplineTransformer, StandardScaler
from sklearn.random_projection import SparseRandomProjection
from sklearn.svm import SVC

from kladml.checkpoint import capture, codec
from kladml.checkpoint.encoder import Encoder
from kladml.checkpoint.restore import Restorer
from kladml.checkpoint.staging import Staging
from kladml.checkpoint.store import CheckpointStore
from kladml.errors import CaptureError

ROWS = np.abs(np.random.default_rng(0).normal(size=(40, 4)))
CLASSES = (ROWS[:, 0] > ROWS[:, 1]).astype(int)


class Own(BaseEstimator):
    """An estimator of the project's own."""

    def __init__(self, inner: Any = None) -> None:
        self.inner = inner


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    """An empty store."""
    return CheckpointStore(tmp_path / "checkpoints")


class Run:
    """Attributes, as an experiment has them."""

    def __init__(self, **attributes: Any) -> None:
        vars(self).update(attributes)


def save(store: CheckpointStore, run: Any) -> dict[str, str]:
    """Commit the attributes of an object; give the digests."""
    encoder = Encoder(capture.find_writer)
    nodes, _ = capture.write(encoder, vars(run), (), "experiment", run)
    return dict(store.write(encoder.snapshot({"experiment": nodes}, Staging()), {}, store.next_number()).leaves)


def resume(store: CheckpointStore, run: Any) -> Any:
    """Put the newest commit into an object that `setup` made again."""
    found = store.latest()
    assert found is not None
    Restorer().attributes(vars(run), found[1]["experiment"], "self")
    return run


FITTED: dict[str, Callable[[], Any]] = {
    "forest": lambda: RandomForestClassifier(3, random_state=np.random.RandomState(1)),
    "boosting": lambda: GradientBoostingClassifier(n_estimators=3, random_state=1, warm_start=True),
    "hist": lambda: HistGradientBoostingClassifier(max_iter=3, random_state=1),
    "stack": lambda: StackingClassifier([("a", GaussianNB()), ("b", LogisticRegression())], cv=2),
    "pipeline": lambda: make_pipeline(StandardScaler(), SelectKBest(k=2), SVC(probability=False)),
    "columns": lambda: make_pipeline(ColumnTransformer([("a", FunctionTransformer(np.log1p), [1])]), GaussianNB()),
    "process": GaussianProcessClassifier,
    "neighbours": lambda: KNeighborsClassifier(3),
    "grid": lambda: GridSearchCV(LogisticRegression(), {"C": [0.1, 1]}, cv=2),
    "calibrated": lambda: CalibratedClassifierCV(GaussianNB(), cv=2),
    "projection": lambda: make_pipeline(SparseRandomProjection(2, random_state=1), GaussianNB()),
    "spline": lambda: make_pipeline(SplineTransformer(), GaussianNB()),
    "bisecting": lambda: BisectingKMeans(2, random_state=1),
    "unfitted": lambda: MLPClassifier((3,)),
}


@pytest.mark.parametrize("name", FITTED)
def test_estimators_come_back_and_equal_ones_have_equal_digests(store: CheckpointStore, name: str) -> None:
    def made() -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = FITTED[name]() if name == "unfitted" else FITTED[name]().fit(ROWS, CLASSES)
        if name == "grid":  # it measures times
            found.cv_results_, found.refit_time_ = {}, 0.0
        return found

    one, other = made(), made()
    first, second = store.commit({"x": one}), store.commit({"x": other})
    assert first.leaves == second.leaves
    found = store.load(first)["x"]
    assert store.commit({"x": found}).leaves == first.leaves
    assert type(found) is type(one)
    if name != "unfitted":
        assert found.predict(ROWS).tolist() == one.predict(ROWS).tolist()


@pytest.mark.parametrize(
    "make",
    [
        lambda: MLPClassifier((5,), random_state=1, batch_size=10),
        lambda: MLPClassifier((5,), random_state=np.random.RandomState(1), solver="sgd", batch_size=10),
        lambda: SGDClassifier(random_state=np.random.RandomState(1), average=True),
        lambda: MiniBatchKMeans(2, random_state=np.random.RandomState(1), n_init=1, batch_size=20),
        GaussianNB,
    ],
    ids=["adam", "sgd", "linear", "clusters", "bayes"],
)
def test_learning_goes_on_with_the_same_bits(store: CheckpointStore, make: Callable[[], Any]) -> None:
    def learn(estimator: Any, part: int) -> None:
        rows = slice(part * 20, part * 20 + 20)
        words = {} if isinstance(estimator, MiniBatchKMeans) else {"classes": [0, 1]}
        estimator.partial_fit(ROWS[rows], CLASSES[rows], **words)

    run = Run(model=make())
    learn(run.model, 0)  # type: ignore[attr-defined]
    before = save(store, run)
    other = resume(store, Run(model=make()))
    assert save(store, other) == before
    for one in (run, other):
        learn(one.model, 1)  # type: ignore[attr-defined]
    after = save(store, run)
    assert save(store, other) == after
    assert after != before


def test_a_stack_of_trees_grows_on(store: CheckpointStore) -> None:
    run, other = (Run(model=RandomForestClassifier(2, random_state=np.random.RandomState(1), warm_start=True)) for _ in range(2))
    run.model.fit(ROWS, CLASSES)  # type: ignore[attr-defined]
    save(store, run)
    resume(store, other)
    for one in (run, other):
        one.model.set_params(n_estimators=4).fit(ROWS, CLASSES)  # type: ignore[attr-defined]
    assert save(store, other) == save(store, run)


def test_estimators_are_filled_in_place_and_their_parts_too(store: CheckpointStore) -> None:
    def setup() -> Any:
        scaler, generator = StandardScaler(), np.random.RandomState(3)
        model = Pipeline([("scaler", scaler), ("model", SGDClassifier(random_state=generator))])
        return Run(model=model, again={"model": model}, scaler=scaler, generator=generator, own=Own(scaler))

    run, other = setup(), setup()
    run.model.fit(ROWS, CLASSES)
    save(store, run)
    model, scaler = other.model, other.scaler
    resume(store, other)
    assert other.model is other.again["model"] is model
    assert other.scaler is other.model.named_steps["scaler"] is other.own.inner is scaler
    assert other.model.named_steps["model"].random_state is other.generator
    assert other.model.predict(ROWS).tolist() == run.model.predict(ROWS).tolist()
    assert other.generator.normal() == run.generator.normal()


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (FunctionTransformer(print), r"x is a FunctionTransformer with builtins\.print in it"),
        (FunctionTransformer(lambda rows: rows), "x is a FunctionTransformer with"),
        (CountVectorizer(tokenizer=str.split), "x is a CountVectorizer"),
        (Birch(), "x is a Birch, which skops cannot keep"),
        (Own(), "x is a Own with .*Own in it"),
        (make_pipeline(Own()), "x is a Pipeline with .*Own in it"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_not_on_the_list_is_refused(value: Any, words: str) -> None:
    with pytest.raises(CaptureError, match=words):
        codec.encode({"x": value})
