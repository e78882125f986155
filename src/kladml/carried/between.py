"""What a later loop over steps needs from the code between the loops.

When a run is continued in a later loop of an epoch, the loops before it give nothing, and the code after them runs in the state that the
epoch began with. So whatever is bound, changed or decided there must not depend on the state.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TypeGuard

from kladml.carried.loops import Body, Walk, head, start
from kladml.carried.report import Carried, Reporter
from kladml.carried.scopes import Comprehension, Loop, declared, inside, own, uses
from kladml.carried.steady import Need, Region
from kladml.carried.within import REPLACED, replaced_names

_LATER = "comes from code after an earlier loop over steps, which a resume in this loop runs again in another state"
_DECIDES = "decides between loops over steps, and a resume decides it again in another state"
_ONE_STATEMENT = "leads to several loops over steps in one statement, which cannot be continued between them"
_BEFORE = "decide or compute it before the first loop over steps, or keep it as an attribute"


def carried_between(body: Body, walk: Walk, first_line: int, reporter: Reporter) -> Iterator[Carried]:
    """What a later loop needs and a resume in it would not bring back.

    Args:
        body: the function.
        walk: the later loop, or the statement that leads to it.
        first_line: line of the first one; before the function when that was begun outside it.
        reporter: says it.
    """
    found = [*body.at(first_line), *body.leading(first_line)]
    first = min((one.statement for one in found), key=start, default=None)
    between = _Between(body, walk, Region(body, walk, first), reporter)
    yield from between.names()
    yield from between.objects()
    yield from between.decisions()
    yield from between.arguments()
    if walk.node is walk.statement:
        yield from between.statement(is_same=walk.statement is first)


def unbound_without(body: Body, loop: Loop, reporter: Reporter) -> list[Carried]:
    """Names that only a batch of a loop binds and that are read after it: a resume in a later loop would fail there."""
    reason = "has no value after this loop when a resume in a later loop skips it"
    return [reporter.say(name, loop, reason=reason) for name in sorted(body.unbound_without(loop))]


class _Between:
    """A later loop and the code between the first one and it."""

    def __init__(self, body: Body, walk: Walk, region: Region, reporter: Reporter) -> None:
        self._body, self._walk, self._region, self._reporter, self._say = body, walk, region, reporter, reporter.say
        self._read_by_closures = body.read_by(body.closures(walk.loop or walk.statement))
        self._live = self._read_by_closures | (
            body.live.before[walk.statement] if walk.loop is None else body.live.batch[walk.loop] | uses(walk.node)
        )  # at least one batch follows

    def names(self) -> Iterator[Carried]:
        """Variables bound between the loops, and read in the later one or after it."""
        for name in sorted(self._region.bound & self._live):
            if self._body.origins.is_local(name) and not self._region.is_same(name):
                node = next(one.node for one in self._region.bindings if one.name == name)
                yield self._say(name, node, reason=_LATER)
        for name in declared(*inside(self._body.place.node)) & self._region.bound:
            yield self._say(name, self._walk.node, reason=_LATER)
        yield from self._unbound()

    def _unbound(self) -> Iterator[Carried]:
        """Variables that earlier loops bind, and that are read before the later one."""
        skipped = self._body.loops if self._body.is_repeated(self._walk) else self._body.loops - {self._walk.loop}
        between = [one for one in self._region.nodes if not self._body.is_in_batch(one)]
        read = {one.id for one in between if isinstance(one, ast.Name) and not isinstance(one.ctx, ast.Store)}
        read |= {one.target.id for one in between if isinstance(one, ast.AugAssign) and isinstance(one.target, ast.Name)}
        read |= self._read_by_closures
        for loop in skipped:
            for one in unbound_without(self._body, loop, self._reporter) if loop in self._region else ():
                if one.name in read:
                    yield one

    def objects(self) -> Iterator[Carried]:
        """Objects that are changed between the loops, and names for attributes that are replaced there."""
        for name, node in self._region.changed:
            if name in self._live or not self._body.origins.is_local(name):
                yield self._say(name, node, reason=_LATER)
        for name, node in replaced_names(self._body, self._live, self._region.effects, self._region.nodes):
            yield self._say(name, node, REPLACED[1].replace("{self}", self._reporter.itself), REPLACED[0])

    def decisions(self) -> Iterator[Carried]:
        """Conditions on which it depends which loops are reached."""
        ways = [one for one in self._region.nodes if isinstance(one, ast.Break | ast.Continue | ast.Return)]
        jumps = [one for one in ways if not self._body.is_in_batch(one)]
        for node in [*jumps, self._walk.node, *(one.node for one in self._body.walks if one.node in self._region)]:
            condition = self._region.condition(node)
            if condition is not None:
                yield self._say(condition, node, _BEFORE, _DECIDES)

    def arguments(self) -> Iterator[Carried]:
        """What the later loop walks over, or what the call that leads to it is given."""
        for call in [self._walk.node] if self._walk.node is not self._walk.statement else self._calls():
            for argument in call.args if isinstance(call, ast.Call) else ():
                if not self._region.is_steady(argument, need=Need.CONTENT):
                    yield self._say(ast.unparse(argument), argument, _BEFORE, _LATER)

    def statement(self, *, is_same: bool) -> Iterator[Carried]:
        """What a statement that leads to a loop works out besides.

        Args:
            is_same: the first loop was begun in this statement too.
        """
        calls = self._calls()
        again = is_same and not self._body.is_repeated(self._walk)
        if again or len(calls) > 1 or any(isinstance(one, Comprehension) for call in calls for one in self._body.around(call)):
            yield self._say(
                ast.unparse(calls[0]) if calls else "statement", self._walk.node, "write one statement for each", _ONE_STATEMENT
            )
        inside_calls = {node for call in calls for node in own(call)}
        for node in own(*head(self._walk.statement)):
            if node not in inside_calls and self._is_worked_out(node) and not self._region.is_steady(node):
                yield self._say(ast.unparse(node), node, _BEFORE, _LATER)

    def _is_worked_out(self, node: ast.AST) -> TypeGuard[ast.expr]:
        """Whether a node is a value that may be read before the call that leads to the loop."""
        parent = self._body.parents.get(node)
        if isinstance(node, ast.Attribute | ast.Subscript):
            is_read = isinstance(node.ctx, ast.Load) or isinstance(parent, ast.AugAssign)
            return is_read and not isinstance(parent, ast.Attribute) and not (isinstance(parent, ast.Call) and parent.func is node)
        return isinstance(node, ast.Call) and not any(call in own(node) for call in self._calls())

    def _calls(self) -> list[ast.Call]:
        """The calls in a statement of which one leads to the loop."""
        calls = [one for one in own(*head(self._walk.statement)) if isinstance(one, ast.Call)]
        return [one for one in calls if self._leads(one)] or calls

    def _leads(self, call: ast.Call) -> bool:
        """Whether a call is of a method of the class that walks over steps itself."""
        method = self._body.place.methods.get(call.func.attr) if isinstance(call.func, ast.Attribute) else None
        return method is not None and any(isinstance(one, ast.Attribute) and one.attr == "steps" for one in ast.walk(method))
