"""Which values are the same when the code between two loops over steps runs again, in the state that the epoch began with."""

from __future__ import annotations

import ast
from enum import IntEnum, auto
from functools import cached_property

from kladml.carried import words
from kladml.carried.changes import effects, effects_of_class
from kladml.carried.loops import Body, Walk, end, head, start
from kladml.carried.origins import Kind, Path
from kladml.carried.scopes import NOTHING, Binding, Names, bindings_at, children, outside, own
from kladml.carried.within import changed_objects, is_for_display

_SAME_VALUE = words.table("range len enumerate zip reversed list tuple int float str bool min max abs round sorted isinstance")
_MOVING = ("step", "context", "completes_group")
"""Attributes of every experiment that change with every step."""


class Need(IntEnum):
    """What of an expression must be the same when it is evaluated again."""

    OBJECT = auto()  # which object it is; what that holds, a resume restores in place
    CONTENT = auto()  # what it holds too, as far as the code here changes it
    VALUE = auto()  # what it holds, whatever a method may do that is not written here


class Region:
    """The code from the first loop over steps, or from around it, to a later one, or to the end of what is around that.

    Attributes:
        nodes: its nodes.
        changed: objects that it changes in place, each with where.
        effects: what it does to what is reachable from the experiment.
    """

    def __init__(self, body: Body, walk: Walk, first: ast.stmt | None) -> None:
        """Look at the code between two loops.

        Args:
            body: the function.
            walk: the later loop.
            first: where the first one is; None when it was begun before the function was called.
        """
        self._body = body
        later = walk.loop or walk.statement
        runs_after = [] if body.is_repeated(walk) else head(walk.statement) if walk.loop is None else [*walk.loop.body, walk.loop.target]
        self._left_out = frozenset(own(*runs_after))
        begin = (0, 0) if first is None else start(body.ordinary_loop(first))
        finish = end(body.ordinary_loop(later))
        self.nodes = [node for node in body.nodes if begin <= start(self._placed(node)) <= finish and node not in self._left_out]
        self._nodes = frozenset(self.nodes)
        closures = body.closures(later)
        self.effects = effects([*self.nodes, *closures], body.origins)
        if first is None:
            self.effects.add(effects_of_class(body.place))
        self.changed = list(changed_objects(body, [*self.nodes, *closures], body.origins, later))
        self._changed_names = frozenset(name for name, _ in self.changed)

    def __contains__(self, node: ast.AST) -> bool:
        """Whether a node belongs to it."""
        return node in self._nodes

    @cached_property
    def bindings(self) -> list[Binding]:
        """All places in it that bind a name."""
        return [one for node in self.nodes for one in bindings_at(node) if one.node not in self._left_out]

    @cached_property
    def bound(self) -> Names:
        """The names that it binds."""
        return frozenset(one.name for one in self.bindings)

    def _placed(self, node: ast.AST) -> ast.AST:
        """The node, or the one around it that has a place in the text."""
        return next((one for one in (node, *self._body.around(node)) if hasattr(one, "lineno")), node)

    def is_same(self, name: str, asking: Names = NOTHING) -> bool:
        """Whether a variable has the same value when the code runs again.

        Args:
            name: the variable.
            asking: names that are being looked at.
        """
        if name in asking or name in self._changed_names:
            return False
        if is_for_display(self._body, name):
            return True
        if name in self._body.live.start and name not in self._body.origins.parameters:
            return False
        return all(self._is_same_binding(one, asking | {name}) for one in self.bindings if one.name == name)

    def _is_same_binding(self, binding: Binding, asking: Names) -> bool:
        if self.condition(binding.node, asking) is not None:
            return False
        match binding.node:
            case ast.Import() | ast.ImportFrom():
                return True
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                return all(self.is_steady(one, asking) for one in outside(binding.node))
            case _:
                need = Need.CONTENT if binding.is_element else Need.OBJECT
                return binding.value is not None and self.is_steady(binding.value, asking, need)

    def is_steady(self, node: ast.expr, asking: Names = NOTHING, need: Need = Need.VALUE) -> bool:
        """Whether an expression gives the same when it is evaluated again.

        Args:
            node: the expression.
            asking: names that are being looked at.
            need: what of it matters.
        """
        match node:
            case ast.Constant():
                return True
            case ast.Name():
                return self._is_same_name(node, asking, need)
            case ast.Attribute() | ast.Subscript():
                return self._is_same_part(node, asking, need)
            case ast.Call():
                return self._is_same_call(node, asking, Need.VALUE if need is Need.OBJECT else need)
            case ast.BinOp() | ast.UnaryOp() | ast.BoolOp() | ast.Compare() | ast.IfExp() | ast.Tuple() | ast.JoinedStr() | ast.Slice():
                return self._are_steady(node, asking, Need.VALUE)
            case ast.List() if need is not Need.OBJECT:
                return self._are_steady(node, asking, need)
            case ast.FormattedValue() | ast.Starred():
                return self.is_steady(node.value, asking)
            case _:
                return False

    def _are_steady(self, node: ast.expr, asking: Names, need: Need) -> bool:
        return all(self.is_steady(one, asking, need) for one in children(node) if isinstance(one, ast.expr))

    def _is_same_name(self, node: ast.Name, asking: Names, need: Need) -> bool:
        if not self._body.origins.is_local(node.id):
            return node.id not in self.bound and node.id not in self._changed_names
        things = self._body.origins.things(node)
        altered = any(thing.kind is Kind.SELF and self._is_altered(thing.path, need) for thing in things)
        return self.is_same(node.id, asking) and not altered

    def _is_same_part(self, node: ast.Attribute | ast.Subscript, asking: Names, need: Need) -> bool:
        if isinstance(node, ast.Subscript) and not self.is_steady(node.slice, asking):
            return False
        if need is Need.OBJECT and isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice):
            need = Need.CONTENT
        for path in (thing.path for thing in self._body.origins.things(node) if thing.kind is Kind.SELF):
            if path[1] in _MOVING or self.effects.replaces(path) or path in self.effects.augmented or self._is_altered(path, need):
                return False
        base = node.value
        return self.is_steady(base, asking, Need.OBJECT) or (isinstance(base, ast.Name) and base.id == self._body.place.first)

    def _is_same_call(self, node: ast.Call, asking: Names, need: Need) -> bool:
        match node.func:
            case ast.Name(id=name) if name in _SAME_VALUE and not self._body.origins.is_local(name):
                arguments = (*node.args, *(keyword.value for keyword in node.keywords))
                return all(self.is_steady(one, asking, need) for one in arguments)
            case ast.Attribute(value=base, attr=name) if name in words.ITEMS and not node.args:
                return self.is_steady(base, asking, need)
            case _:
                return False

    def _is_altered(self, path: Path, need: Need) -> bool:
        return need is not Need.OBJECT and (self.effects.alters(path) or (need is Need.VALUE and self.effects.unknown))

    def condition(self, node: ast.AST, asking: Names = NOTHING) -> str | None:
        """On what it depends whether a node runs, when that may be otherwise when the code runs again.

        Args:
            node: a node of the function.
            asking: names that are being looked at.

        Returns:
            Its text; None when there is no such condition.
        """
        inner = node
        for outer in self._body.around(node):
            if outer in self and not self._is_certain(outer, inner, asking):
                test = getattr(outer, "test", getattr(outer, "iter", getattr(outer, "subject", None)))
                return "except" if test is None else ast.unparse(test)
            inner = outer
        return None

    def _is_certain(self, outer: ast.AST, inner: ast.AST, asking: Names) -> bool:
        match outer:
            case ast.If() | ast.While() | ast.IfExp():
                return inner is outer.test or self.is_steady(outer.test, asking)
            case ast.For() | ast.AsyncFor():
                return inner is outer.iter or (outer not in self._body.loops and self.is_steady(outer.iter, asking, Need.CONTENT))
            case ast.Match():
                return inner is outer.subject or self.is_steady(outer.subject, asking)
            case ast.ExceptHandler() | ast.comprehension() | ast.BoolOp():
                return False
            case _:
                return True
