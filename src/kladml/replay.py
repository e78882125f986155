"""What is done when the beginning of an interrupted epoch does not run again as it ran: the next attempt begins the epoch again.

Loops that were completed give nothing while it runs again, and code between loops need not bear that. The state that the epoch began with
is a commit, so that beginning again from it costs time and changes no number. It is put on record in which loops the run may be committed
from then on: only in those that were reached, so that the same is not met again and again.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from kladml import durable, rundir
from kladml.errors import ReplayFailed
from kladml.outputs import in_a_line
from kladml.records import FORMAT
from kladml.rundir import RunDirectory

if TYPE_CHECKING:
    from kladml.context import RunContext


class Astray(BaseException):
    """The beginning of an epoch does not lead to the loop in which the run was interrupted. User code does not swallow it."""


def loops_to_commit(directory: RunDirectory) -> float:
    """In how many loops of an epoch, the first ones, the run may be committed between batches.

    Args:
        directory: the run directory.
    """
    return int(rundir.read_json(directory.replays, ("loops",))["loops"]) if directory.replays.exists() else math.inf


def begin_again(context: RunContext, error: BaseException, loops: int, interrupted: int) -> ReplayFailed:
    """Have the next attempt begin the epoch again, and not meet the same.

    Args:
        context: the open run.
        error: what ended the replay.
        loops: how many loops of the epoch were reached before that.
        interrupted: the loop to find back to, counted from 0.

    Returns:
        What ends this attempt.

    Raises:
        CheckpointCorrupt: the commit that the epoch began with is damaged.
        OSError: the disk refused; the commit in the middle of the epoch is still the newest.
    """
    durable.write_json(RunDirectory(context.path).replays, {"format": FORMAT, "loops": loops})
    context.commits.go_back()
    what = str(error) if isinstance(error, Astray) else f"the code before it raised {in_a_line(error)}"
    return ReplayFailed(
        f"epoch {context.epoch} cannot be continued in loop {interrupted + 1} over steps, where it was interrupted: {what}. While the "
        "beginning of an epoch is run again, loops that were completed give nothing, and the code between them may not bear that. "
        f"The epoch begins again from commit {context.commit_number}, which costs time and changes no number. From now on this run is "
        f"committed {_where(loops)}; to have commits elsewhere too, have the code between the loops do the same when they give nothing."
    )


def _where(loops: int) -> str:
    within = {0: "", 1: "in the first loop of an epoch and "}.get(loops, f"in the first {loops} loops of an epoch and ")
    return f"{within}at the ends of epochs only"
