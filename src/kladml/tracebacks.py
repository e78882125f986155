"""Exceptions as text for the person whose code raised them: their own lines first, and where it happened."""

from __future__ import annotations

import traceback

from kladml.project import is_foreign


def describe(error: BaseException) -> str:
    """An exception as text: what it is, then the frames of the user's code, then the others, each part outermost first.

    Args:
        error: an exception that was raised.

    Returns:
        Several lines.
    """
    lines = []
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        lines += ["caused by:"] if len(seen) > 1 else []
        lines += _describe_one(current)
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    return "\n".join(lines)


def _describe_one(error: BaseException) -> list[str]:
    head = "".join(traceback.format_exception_only(error)).rstrip().splitlines()
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not is_foreign(frame.filename)]
    others = [frame for frame in frames if is_foreign(frame.filename)]
    lines = [*head, *_format(own)]
    if others:
        lines += ["in libraries:" if own else "frames:", *_format(others)]
    return lines


def place_of(error: BaseException) -> str:
    """Where an exception comes from: `file:line` of the innermost frame of the user's code, or of the text that is no Python.

    Args:
        error: an exception that was raised.

    Returns:
        The place, or nothing when no frame is the user's.
    """
    if isinstance(error, SyntaxError):
        return f"{error.filename}:{error.lineno}"
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if not is_foreign(frame.filename)]
    return f"{own[-1].filename}:{own[-1].lineno}" if own else ""


def _format(frames: list[traceback.FrameSummary]) -> list[str]:
    return "".join(traceback.format_list(frames)).rstrip().splitlines()
