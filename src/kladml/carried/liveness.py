"""Which variables may be read before they are assigned, at every point of a function.

A name is live at a point when some path from there reads it before it assigns it (Aho, Lam, Sethi, Ullman, "Compilers", 9.2.5). All is
worked out backwards over the tree itself: what is live after a node gives what is live before it.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from kladml.carried.scopes import NOTHING, Loop, Names, bindings_at, captures, inside, uses


@dataclass(frozen=True, slots=True)
class _Exits:
    """What is live where a statement may jump to: after the loop, at its head, in the handlers around it, after the function."""

    broken: Names = NOTHING
    continued: Names = NOTHING
    raised: Names = NOTHING
    returned: Names = NOTHING


class Liveness:
    """What may still be read, at every point of one function.

    Attributes:
        before: live before each statement.
        batch: live in each `for` loop when it has got its next element, before that is bound to the target.
        after: live when a `for` loop has no more elements.
        start: live where the function begins: what may be read without having been assigned.
    """

    def __init__(self, function: ast.AST, skipped: frozenset[Loop] = frozenset()) -> None:
        """Work it out.

        Args:
            function: a function, or a lambda.
            skipped: `for` loops that have no elements.
        """
        self._skipped = skipped
        self.before: defaultdict[ast.stmt, Names] = defaultdict(frozenset)
        self.batch: defaultdict[Loop, Names] = defaultdict(frozenset)
        self.after: defaultdict[Loop, Names] = defaultdict(frozenset)
        self.start = self._block([node for node in inside(function) if isinstance(node, ast.stmt)], NOTHING, _Exits())

    def _block(self, body: Sequence[ast.stmt], after: Names, exits: _Exits) -> Names:
        for node in reversed(body):
            after = self._simple(node, after, exits) | exits.raised  # anything may raise before it has assigned
            self.before[node] |= after
        return after

    def _simple(self, node: ast.stmt, after: Names, exits: _Exits) -> Names:
        match node:
            case ast.Return():
                return before(node.value, exits.returned)
            case ast.Raise():
                return before(node.exc, before(node.cause, exits.raised))
            case ast.Break():
                return exits.broken
            case ast.Continue():
                return exits.continued
            case ast.Assign():
                return before(node.value, _before_targets(node.targets, after))
            case ast.AnnAssign():
                return after if node.value is None else before(node.value, before_target(node.target, after))
            case ast.Expr():
                return before(node.value, after)
            case ast.AugAssign() | ast.Delete():
                return after | uses(node) | {binding.name for binding in bindings_at(node)}
            case _:
                return self._definition(node, after, exits)

    def _definition(self, node: ast.stmt, after: Names, exits: _Exits) -> Names:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef() | ast.Import() | ast.ImportFrom():
                return (after - {binding.name for binding in bindings_at(node)}) | uses(node)
            case ast.Assert():
                return before_test(node.test, after, uses(node.msg) | exits.raised)
            case _:
                return self._compound(node, after, exits)

    def _compound(self, node: ast.stmt, after: Names, exits: _Exits) -> Names:
        match node:
            case ast.If():
                return before_test(node.test, self._block(node.body, after, exits), self._block(node.orelse, after, exits))
            case ast.While():
                return self._while(node, after, exits)
            case ast.For() | ast.AsyncFor():
                return self._for(node, after, exits)
            case ast.With() | ast.AsyncWith():
                return self._with(node, after, exits)
            case ast.Try() | ast.TryStar():
                return self._try(node, after, exits)
            case ast.Match():
                return self._match(node, after, exits)
            case _:
                return after

    def _while(self, node: ast.While, after: Names, exits: _Exits) -> Names:
        leave = self._block(node.orelse, after, exits)
        head, known = NOTHING, None
        while head != known:
            known = head
            body = self._block(node.body, head, replace(exits, broken=after, continued=head))
            head = head | before_test(node.test, body, leave) | exits.raised
        return head

    def _for(self, node: Loop, after: Names, exits: _Exits) -> Names:
        leave = self._block(node.orelse, after, exits)
        head, known = leave | exits.raised, None
        while head != known:
            known = head
            body = self._block(node.body, head, replace(exits, broken=after, continued=head))
            batch = before_target(node.target, body)
            head |= batch
        self.batch[node] |= batch
        self.after[node] |= leave
        return before(node.iter, leave if node in self._skipped else head)

    def _with(self, node: ast.With | ast.AsyncWith, after: Names, exits: _Exits) -> Names:
        swallows = any("suppress" in ast.unparse(item.context_expr) for item in node.items)
        live = self._block(node.body, after, replace(exits, raised=exits.raised | after) if swallows else exits)
        for item in reversed(node.items):
            live = before(item.context_expr, live if item.optional_vars is None else before_target(item.optional_vars, live))
        return live

    def _try(self, node: ast.Try | ast.TryStar, after: Names, exits: _Exits) -> Names:
        if node.finalbody:
            ways = (exits.broken, exits.continued, exits.raised, exits.returned)
            after, *through = (self._block(node.finalbody, way, exits) for way in (after, *ways))
            exits = _Exits(*through)
        raised = exits.raised
        for handler in node.handlers:
            body = self._block(handler.body, after, exits)
            raised |= (body - {handler.name or ""}) | uses(handler.type)
        return self._block(node.body, self._block(node.orelse, after, exits), replace(exits, raised=raised))

    def _match(self, node: ast.Match, after: Names, exits: _Exits) -> Names:
        live = after
        for case in reversed(node.cases):
            captured = {binding.name for binding in captures(ast.Match(node.subject, [case]))}
            body = self._block(case.body, after, exits)
            taken = (body if case.guard is None else before_test(case.guard, body, live)) - captured
            always = case.guard is None and isinstance(case.pattern, ast.MatchAs) and case.pattern.pattern is None
            live = taken | uses(case.pattern) | (NOTHING if always else live)
        return before(node.subject, live)


def before(node: ast.AST | None, after: Names) -> Names:
    """What is live before an expression is evaluated, when `after` is live then."""
    match node:
        case None:
            return after
        case ast.NamedExpr():
            return before(node.value, before_target(node.target, after))
        case ast.BoolOp() | ast.IfExp() | ast.UnaryOp(op=ast.Not()):
            return before_test(node, after, after)
        case ast.Compare():
            for later in reversed(node.comparators[1:]):
                after |= before(later, after)
            return before(node.left, before(node.comparators[0], after))
        case ast.Name() | ast.Lambda() | ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
            return after | uses(node)
        case _:
            for child in reversed(list(ast.iter_child_nodes(node))):
                after = before(child, after)
            return after


def before_test(node: ast.expr, yes: Names, no: Names) -> Names:
    """What is live before a condition, when `yes` is live where it holds and `no` where it does not."""
    match node:
        case ast.Constant():
            return yes if node.value else no
        case ast.UnaryOp(op=ast.Not()):
            return before_test(node.operand, no, yes)
        case ast.BoolOp(op=ast.And()):
            for value in reversed(node.values):
                yes = before_test(value, yes, no)
            return yes
        case ast.BoolOp():
            for value in reversed(node.values):
                no = before_test(value, yes, no)
            return no
        case ast.IfExp():
            return before_test(node.test, before_test(node.body, yes, no), before_test(node.orelse, yes, no))
        case _:
            return before(node, yes | no)


def before_target(target: ast.expr, after: Names) -> Names:
    """What is live before something is assigned to a target, when `after` is live then."""
    if isinstance(target, ast.Name):
        return after - {target.id}
    if isinstance(target, ast.Starred):
        return before_target(target.value, after)
    if isinstance(target, ast.Tuple | ast.List):
        return _before_targets(target.elts, after)
    return after | uses(target)


def _before_targets(targets: Sequence[ast.expr], after: Names) -> Names:
    for target in reversed(targets):
        after = before_target(target, after)
    return after
