"""What is done when the beginning of an interrupted epoch does not run again as it ran: the next attempt begins the epoch again.

Loops that were completed give nothing while it runs again, and code between loops need not bear that. The state that the epoch began with
is a commit, so that beginning again from it costs time and changes no number. It is put on record in which loops the run may be committed
from then on: only in those that were reached, so that the same is not met again and again.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from types import FrameType
from typing import TYPE_CHECKING, Any
from zlib import crc32

from kladml import durable, rundir
from kladml.errors import ReplayFailed
from kladml.outputs import in_a_line
from kladml.records import FORMAT
from kladml.rundir import RunDirectory

if TYPE_CHECKING:
    from kladml.context import RunContext


class Astray(BaseException):
    """The beginning of an epoch does not lead to the loop in which the run was interrupted. User code does not swallow it.

    Attributes:
        edited: whether the code was changed meanwhile, so that the same will not be met again.
    """

    def __init__(self, message: str, *, edited: bool = False) -> None:
        """Say what was found instead."""
        self.edited = edited
        super().__init__(message)


NO_LOOP: Mapping[str, Any] = {"place": "", "places": 0, "codes": 0}
"""The trail of an epoch before its first loop."""


def follow(trail: Mapping[str, Any], chain: Sequence[FrameType]) -> Mapping[str, Any]:
    """Where an epoch comes by until a loop is begun: the places of all loops up to it, and a digest of the code that they are in.

    Args:
        trail: that of the loop before.
        chain: the project's functions that lead to the loop, the innermost first.
    """
    place = ", called by ".join(_place(frame) for frame in chain)
    codes = b"".join(frame.f_code.co_code for frame in chain)
    return {"place": place, "places": crc32(place.encode(), trail["places"]), "codes": crc32(codes, trail["codes"])}


def _place(frame: FrameType) -> str:
    """Where a function is at: its line, counted from its first one and among those with code, so that remarks do not matter."""
    code = frame.f_code
    lines = sorted({line for _, _, line in code.co_lines() if line is not None})
    return f"{os.path.basename(code.co_filename)}: {code.co_qualname}, line {lines.index(frame.f_lineno)} of code"


def check(trail: Mapping[str, Any], saved: Mapping[str, Any]) -> None:
    """Make sure that a loop is the one in which the run was interrupted.

    Args:
        trail: the loop's.
        saved: that of the one that was interrupted.

    Raises:
        Astray: it is another one, or others came before it.
    """
    if trail["places"] == saved["places"]:
        return
    what = f"it was at [{saved['place']}], and now it is at [{trail['place']}]"
    if trail["place"] == saved["place"]:
        what = "other loops came before it than did then"
    raise Astray(what, edited=trail["codes"] != saved["codes"])


def loops_to_commit(directory: RunDirectory) -> float:
    """In how many loops of an epoch, the first ones, the run may be committed between batches.

    Args:
        directory: the run directory.
    """
    loops = _told(directory)["loops"]
    return math.inf if loops is None else int(loops)


def _told(directory: RunDirectory) -> Mapping[str, Any]:
    nothing = {"loops": None, "edited": False}
    return {**nothing, **rundir.read_json(directory.replays, ("loops",))} if directory.replays.exists() else nothing


def begin_again(context: RunContext, error: BaseException, loops: float, interrupted: int) -> ReplayFailed:
    """Have the next attempt begin the epoch again, and not meet the same.

    Args:
        context: the open run.
        error: what ended the replay.
        loops: in how many loops of an epoch the run may be committed from now on.
        interrupted: the loop to find back to, counted from 0.

    Returns:
        What ends this attempt.

    Raises:
        CheckpointCorrupt: the commit that the epoch began with is damaged.
        OSError: the disk refused; the commit in the middle of the epoch is still the newest.
    """
    directory, edited = RunDirectory(context.path), isinstance(error, Astray) and error.edited
    if edited and not _told(directory)["edited"]:  # where other code is met again, it was no edit: the epoch takes several ways
        loops = loops_to_commit(directory)
    durable.write_json(directory.replays, {"format": FORMAT, "loops": None if loops == math.inf else loops, "edited": edited})
    context.commits.go_back()
    what = str(error) if isinstance(error, Astray) else f"the code before it raised {in_a_line(error)}"
    return ReplayFailed(
        f"epoch {context.epoch} cannot be continued in loop {interrupted + 1} over steps, where it was interrupted: {what}. While the "
        "beginning of an epoch is run again, loops that were completed give nothing, and the code between them may not bear that. "
        f"The epoch begins again from commit {context.commit_number}, which costs time and changes no number.{_from_now_on(loops)}"
    )


def _from_now_on(loops: float) -> str:
    if loops == math.inf:
        return ""
    within = {0: "", 1: "in the first loop of an epoch and "}.get(int(loops), f"in the first {loops} loops of an epoch and ")
    return (
        f" From now on this run is committed {within}at the ends of epochs only; to have commits elsewhere too, have the code between the "
        "loops do the same when they give nothing."
    )
