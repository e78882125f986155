"""Kills at counted events, read from `faults/NAME`: a list of [event, number, wait], of which every attempt takes the first.

What is counted are calls of the framework by the run. With `wait`, the commit that is being written becomes durable before the kill.

    step N      the body of step N of the run is done, and the step not yet counted
    first N     the same for the N-th step of the attempt
    metric N    the N-th metric of the attempt was logged, within a step
    back N      the N-th time in this attempt that the middle of an epoch was found again
    begin N     epoch N begins: before the first line of train_epoch
    trained N   train_epoch of epoch N has returned
    epoch N     epoch N is recorded, and not committed yet
    saved N     the commit after epoch N was begun
"""

import json
import os
import signal
from collections import Counter
from functools import wraps
from pathlib import Path

from kladml.context import RunContext
from kladml.experiment import Experiment
from kladml.stepping import Stepping


def install():
    """Have the framework's calls counted, once a process."""
    if "struck" in vars(RunContext):
        return
    RunContext.struck = True
    _around(RunContext, "end_step", before=_step)
    _around(RunContext, "log_metric", after=lambda context, *_, **__: context.inside and _count(context, "metric"))
    _around(RunContext, "go_on", after=lambda context, *_: _count(context, "back"))
    _around(RunContext, "begin_epoch", after=lambda context, epoch: _strike(context, "begin", epoch))
    _around(Stepping, "end_training", after=lambda stepping: _strike(stepping._context, "trained", stepping._context.epoch))
    _around(RunContext, "end_epoch", after=lambda context, _: _strike(context, "epoch", context.epoch))
    _around(Experiment, "_run_epoch", after=lambda _, context, epoch: _strike(context, "saved", epoch))


def _around(kind, name, before=None, after=None):
    method = getattr(kind, name)

    @wraps(method)
    def wrapper(self, *arguments, **options):
        if before is not None:
            before(self, *arguments, **options)
        result = method(self, *arguments, **options)
        if after is not None:
            after(self, *arguments, **options)
        return result

    setattr(kind, name, wrapper)


def _step(context):
    _strike(context, "step", context.step)
    _count(context, "first")


def _count(context, event):
    seen = vars(context).setdefault("struck_at", Counter())
    seen[event] += 1
    _strike(context, event, seen[event])


def _strike(context, event, number):
    file = Path("faults", context.config.name)
    plan = json.loads(file.read_text()) if file.exists() else []
    if not plan or plan[0][:2] != [event, number]:
        return
    if plan[0][2]:
        context.commits.wait()
    file.write_text(json.dumps(plan[1:]))
    os.killpg(os.getpid(), signal.SIGKILL)
