"""What is said of a loop over steps."""

from __future__ import annotations

import ast
import os
from dataclasses import dataclass

from kladml.carried.changes import root
from kladml.carried.scopes import Binding, own

_CONTAINERS = (ast.List, ast.Tuple, ast.ListComp, ast.Set, ast.JoinedStr)
_IN_A_LOCAL = "is carried from batch to batch in a local variable"
OUTSIDE = "is a variable of the module or of a function around, which a checkpoint does not keep"


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """Something that a loop over steps carries from batch to batch, and that a resume in its middle would not bring back.

    Attributes:
        name: the variable; for a loop in another form what stands around it, as `enumerate`.
        line: the 1-based line where it is changed.
        file: the source file.
        function: the function's qualified name.
        remedy: what to write instead.
        reason: what is wrong with it.
    """

    name: str
    line: int
    file: str
    function: str
    remedy: str
    reason: str = _IN_A_LOCAL

    @property
    def outside(self) -> bool:
        """Whether it is in no checkpoint at all, at the ends of epochs neither."""
        return self.reason == OUTSIDE

    def __str__(self) -> str:
        """One line for people."""
        inside = os.path.relpath(self.file) if self.file.startswith(os.getcwd() + os.sep) else self.file
        return f"{inside}:{self.line}: `{self.name}` {self.reason}; {self.remedy}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the source says about checkpoints in a loop over steps.

    Attributes:
        carried: what stands against checkpoints between two batches; empty: they are exact.
        reads_after: whether a name that the loop binds may be read after it, so that on a resume at least one batch must run again.
        unbound: what stands against checkpoints in any loop of the epoch that is begun after this function has returned: names that the
            code after this loop reads and that have no value when a resume skips the loop.
    """

    carried: tuple[Carried, ...]
    reads_after: bool
    unbound: tuple[Carried, ...] = ()


@dataclass(frozen=True, slots=True)
class Reporter:
    """Says what a function carries.

    Attributes:
        file: its source file.
        function: its qualified name.
        itself: its name for the experiment, as `self`.
    """

    file: str
    function: str
    itself: str = "self"

    def say(self, name: str, node: ast.AST | int, remedy: str = "", reason: str = _IN_A_LOCAL) -> Carried:
        """Something is carried.

        Args:
            name: the variable.
            node: where it is changed, or the line.
            remedy: what to write instead; by default an attribute.
            reason: what is wrong with it.
        """
        line = node if isinstance(node, int) else getattr(node, "lineno", 0)
        remedy = remedy or f"keep it as an attribute: {self.itself}.{name}"
        return Carried(name=name, line=line, file=self.file, function=self.function, remedy=remedy, reason=reason)

    def say_bound(self, binding: Binding) -> Carried:
        """A variable is carried that is bound in a loop."""
        return self.say(binding.name, binding.node, _remedy(binding.name, binding.value, self.itself))


def _remedy(name: str, value: ast.expr | None, itself: str) -> str:
    """What to write instead of `x += ...` and `x = x + ...`."""
    match value:
        case ast.BinOp(op=ast.Add(), left=ast.Name(id=left), right=ast.Constant()) if left == name:
            return f"use {itself}.step, or an attribute that counts: {itself}.{name}"
        case ast.BinOp(op=ast.Add(), left=ast.Name(id=left), right=right) if left == name and not isinstance(right, _CONTAINERS):
            return f"use {itself}.mean({_key(name, right, itself)!r}, value), or keep it as an attribute: {itself}.{name}"
        case _:
            return ""


def _key(name: str, added: ast.expr, itself: str) -> str:
    """A name for the mean: `loss` for `loss.item() * len(x)`, else that of the variable."""
    first = added.left if isinstance(added, ast.BinOp) and isinstance(added.op, ast.Mult) else added
    if isinstance(first, ast.Call) and isinstance(first.func, ast.Name) and first.args:
        first = first.args[0]
    plain = all(isinstance(node, ast.Name | ast.Attribute | ast.Call | ast.expr_context) for node in own(first))
    found = root(first)
    return found if plain and found not in {"", itself} else name
