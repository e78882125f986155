"""Best value and early stopping, and the means of an epoch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kladml import libraries
from kladml.errors import ExperimentError
from kladml.records import Best

if TYPE_CHECKING:
    from kladml.config.schema import Monitor


class Watch:
    """Follows the monitored metric over the epochs."""

    def __init__(self, monitor: Monitor | None) -> None:
        """Start without a value.

        Args:
            monitor: what to follow; None follows nothing.
        """
        self._monitor = monitor
        self.best: Best | None = None
        self.epochs_without = 0
        self._seen = False

    def update(self, metrics: Mapping[str, float], epoch: int) -> bool:
        """Look at the metrics of an epoch. NaN is never an improvement; an epoch that was not measured counts neither way.

        Args:
            metrics: the epoch's metrics.
            epoch: its 1-based number.

        Returns:
            Whether this epoch is the best so far.

        Raises:
            ExperimentError: the monitored metric is not among them and never was.
        """
        monitor = self._monitor
        if monitor is None:
            return False
        if monitor.metric not in metrics and self._seen:
            return False
        if monitor.metric not in metrics:
            known = ", ".join(sorted(metrics)) or "none"
            raise ExperimentError(
                f"monitor.metric is {monitor.metric!r}, but epoch {epoch} recorded no such metric; recorded were: {known}. Correct the "
                f"config, or return "
                "the metric from train_epoch() or evaluate() (whose keys get the prefix val_)."
            )
        self._seen = True
        value = metrics[monitor.metric]
        sign = 1.0 if monitor.mode == "max" else -1.0
        improved = not math.isnan(value) and (self.best is None or sign * (value - self.best.value) > monitor.min_delta)
        if improved:
            self.best = Best(metric=monitor.metric, value=value, epoch=epoch)
        self.epochs_without = 0 if improved else self.epochs_without + 1
        return improved

    @property
    def should_stop(self) -> bool:
        """Whether `patience` epochs in a row were no improvement."""
        patience = None if self._monitor is None else self._monitor.patience
        return patience is not None and self.epochs_without >= patience

    def get_state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        best = None if self.best is None else {"metric": self.best.metric, "value": self.best.value, "epoch": self.best.epoch}
        return {"best": best, "epochs_without": self.epochs_without, "seen": self._seen}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from what `get_state` gave."""
        self.best = None if state["best"] is None else Best(**state["best"])
        self.epochs_without = state["epochs_without"]
        self._seen = state["seen"]


class Means:
    """Weighted means of an epoch. Tensors are added up on their device and read once, at the end."""

    def __init__(self) -> None:
        """Start without values."""
        self._sums: dict[str, tuple[Any, float]] = {}

    def add(self, key: str, value: Any, weight: float) -> None:
        """Add one value.

        Args:
            key: the metric's name.
            value: a number, or a tensor or array without dimensions.
            weight: how much it counts.

        Raises:
            ExperimentError: the value is no number.
        """
        share = to_number(key, weight)
        term = _in_double(key, value) * share
        old = self._sums.get(key)
        self._sums[key] = (term, share) if old is None else (old[0] + term, old[1] + share)

    def get_state(self) -> dict[str, Any]:
        """What a checkpoint in the middle of an epoch keeps: sum and weight by key."""
        return dict(self._sums)

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from what `get_state` gave."""
        self._sums = {key: tuple(pair) for key, pair in state.items()}

    def take(self) -> dict[str, float]:
        """The means, in the order in which the keys first came; starts again without values."""
        sums, self._sums = self._sums, {}
        return {key: to_number(key, total) / weight if weight else math.nan for key, (total, weight) in sums.items()}


def to_number(key: str, value: Any) -> float:
    """A metric's value as a float.

    Args:
        key: its name, for the message.
        value: an int, float, or an array, scalar or tensor without dimensions.

    Returns:
        The float.

    Raises:
        ExperimentError: the value is something else.
    """
    if type(value) is float:
        return value
    if type(value) in (int, bool):
        return float(value)
    library = libraries.library_of(value, libraries.ARRAYS)
    number = None if library is None else library.number(value)
    if number is None:
        shape = f" of shape {tuple(value.shape)}" if library is not None and library.claims(value) else ""
        raise ExperimentError(
            f"metric {key!r} got a {type(value).__name__}{shape}; a metric is one number: int, float, or an array or tensor without "
            f"dimensions"
        )
    return float(number)


def _in_double(key: str, value: Any) -> Any:
    """A value that can be added up: a tensor stays on its device, without its graph, in a precision that does not stall."""
    library = libraries.library_of(value, libraries.ARRAYS)
    if library is None or not _is_torch(value):
        return to_number(key, value)
    if value.ndim != 0:
        to_number(key, value)
    return library.in_double(value)


def _is_torch(value: Any) -> bool:
    return type(value).__module__.partition(".")[0] == "torch"
