"""Where a function walks over steps, and in which form."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from kladml.carried import words
from kladml.carried.liveness import Liveness
from kladml.carried.origins import Origins, last_name
from kladml.carried.scopes import Inner, Loop, Names, bindings, children, free, inside, own
from kladml.carried.source import Place


@dataclass(frozen=True, slots=True)
class Walk:
    """A place where a function calls `steps`, or something that leads to such a call.

    Attributes:
        node: the call, or the statement.
        statement: the statement that it is in.
        loop: the `for` loop over it.
        wrapper: what stands between the call and the loop, where that matters.
        is_certain: whether it is the experiment's own method that is called.
    """

    node: ast.AST
    statement: ast.stmt
    loop: Loop | None = None
    wrapper: str = ""
    is_certain: bool = True


_METHODS = (("self", "steps"), ("self", "context", "steps"))


class Body:
    """A function with all that is worked out about it once."""

    def __init__(self, place: Place) -> None:
        """Look at a function.

        Args:
            place: the function.
        """
        self.place = place
        self.nodes = list(own(*inside(place.node)))
        self.parents = {child: node for node in self.nodes for child in children(node)}

    @cached_property
    def origins(self) -> Origins:
        """What the names stand for, in the whole function."""
        return Origins(self.place)

    @cached_property
    def live(self) -> Liveness:
        """What may still be read, where."""
        return Liveness(self.place.node)

    @cached_property
    def mentions(self) -> list[ast.AST]:
        """All places that name a method `steps`, whosever it is."""
        return [node for node in self.nodes if self._is_steps(node)]

    @cached_property
    def walks(self) -> list[Walk]:
        """All calls of such a method; a lambda cannot hold a loop."""
        return [] if isinstance(self.place.node, ast.Lambda) else [self._walk(node) for node in self.mentions]

    @cached_property
    def loops(self) -> frozenset[Loop]:
        """The `for` loops that certainly walk over steps of the experiment."""
        return frozenset(walk.loop for walk in self.walks if walk.loop is not None and not walk.wrapper and walk.is_certain)

    def at(self, line: int) -> list[Walk]:
        """The walks that a line may be about; none when it has none.

        Args:
            line: any line of the call, or of the head of the loop.
        """
        heads = [walk for walk in self.walks if walk.loop is not None and walk.loop.lineno <= line <= (walk.loop.iter.end_lineno or line)]
        found = [walk for walk in self.walks if _spans(walk.node, line)] or heads
        found = [walk for walk in found if walk.is_certain] or found
        smallest = min((_height(walk.node) for walk in found), default=0)
        return [walk for walk in found if _height(walk.node) == smallest]

    def leading(self, line: int) -> list[Walk]:
        """The innermost statements at a line, one of which leads to a walk."""
        found = [node for node in self.nodes if isinstance(node, ast.stmt) and _spans(node, line)]
        around = {parent for node in found for parent in self.around(node)}
        return [Walk(node, node) for node in found if node not in around]

    def around(self, node: ast.AST) -> Iterator[ast.AST]:
        """What a node lies in, the innermost first."""
        while node in self.parents:
            node = self.parents[node]
            yield node

    def is_in_batch(self, node: ast.AST) -> bool:
        """Whether a node runs for each batch of a walk."""
        inner = node
        for outer in self.around(node):
            if isinstance(outer, ast.For) and outer in self.loops and inner in outer.body:
                return True
            inner = outer
        return False

    def ordinary_loop(self, node: ast.AST) -> ast.AST:
        """The outermost loop around a node that is no walk itself; without one the node."""
        loops = [one for one in self.around(node) if isinstance(one, ast.While | ast.For | ast.AsyncFor) and one not in self.loops]
        return loops[-1] if loops else node

    def bound_by(self, loop: Loop) -> Names:
        """Names that a loop binds, its target included."""
        target = (node.id for node in own(loop.target) if isinstance(node, ast.Name))
        return frozenset((*target, *(one.name for one in bindings(*loop.body))))

    def read_after(self, loop: Loop) -> Names:
        """Names that a loop binds and that may be read after it."""
        return self.bound_by(loop) & (self.live.after[loop] | self.read_by(self.closures(loop)))

    def unbound_without(self, loop: Loop) -> Names:
        """Names that are read after a loop and have no value when it and all later ones give nothing."""
        read = Liveness(self.place.node, self.loops).after[loop] | self.read_by(self.closures(loop))
        return (self.bound_by(loop) & read & self.live.start) - self.origins.parameters

    def is_repeated(self, walk: Walk) -> bool:
        """Whether a walk is inside an ordinary loop."""
        node = walk.loop or walk.statement
        return self.ordinary_loop(node) is not node

    def is_self(self, node: ast.expr) -> bool:
        """Whether an expression is the experiment."""
        return any(thing.path == ("self",) for thing in self.origins.things(node))

    def closures(self, until: ast.AST, but: Sequence[ast.AST] = ()) -> list[Inner]:
        """Functions made in this one before a node ends, which code until there may call.

        Args:
            until: the node.
            but: nodes that are left out.
        """
        left_out = set(but)
        return [node for node in self.nodes if isinstance(node, Inner) and node not in left_out and start(node) < end(until)]

    def read_by(self, closures: Sequence[Inner]) -> Names:
        """Variables of this function that functions made in it read or assign."""
        return frozenset().union(*(free(closure) for closure in closures))

    def _is_steps(self, node: ast.AST) -> bool:
        parent = self.parents.get(node)
        if isinstance(node, ast.Attribute) and node.attr == "steps" and isinstance(parent, ast.Call) and parent.func is node:
            return True
        if not isinstance(node, ast.Attribute | ast.Name) or not isinstance(node.ctx, ast.Load):
            return False
        is_kept = isinstance(parent, ast.Assign) and isinstance(parent.targets[0], ast.Name)
        return not is_kept and any(thing.path in _METHODS for thing in self.origins.things(node))

    def is_certain(self, mention: ast.AST) -> bool:
        """Whether it is the experiment's own method that is named."""
        return isinstance(mention, ast.expr) and any(thing.path == ("self", "steps") for thing in self.origins.things(mention))

    def _walk(self, mention: ast.AST) -> Walk:
        parent = self.parents.get(mention)
        node = parent if isinstance(parent, ast.Call) and parent.func is mention else mention
        statement = next((one for one in (node, *self.around(node)) if isinstance(one, ast.stmt)), None)
        assert statement is not None
        inner, parent = node, self.parents.get(node)
        while isinstance(parent, ast.Call) and inner in parent.args and last_name(parent.func) in words.BARS:
            inner, parent = parent, self.parents.get(parent)
        bar = self._loop_over(parent) if inner is not node else None
        direct = isinstance(node, ast.Call) and isinstance(parent, ast.For) and parent.iter is inner
        loop = statement if isinstance(statement, ast.For | ast.AsyncFor) and node in own(statement.iter) else bar
        return Walk(node, statement, loop, "" if direct or bar is not None else _form(node, parent), self.is_certain(mention))

    def _loop_over(self, assignment: ast.AST | None) -> ast.For | None:
        """The only loop over a variable that is otherwise used for its attributes, as a progress bar is."""
        if not isinstance(assignment, ast.Assign) or len(assignment.targets) != 1:
            return None
        bar = assignment.targets[0]
        nodes = [node for node in self.nodes if isinstance(node, ast.Name) and node is not bar and node.id == getattr(bar, "id", None)]
        parents = [self.parents.get(node) for node in nodes]
        loops = [one for one, node in zip(parents, nodes, strict=True) if isinstance(one, ast.For) and one.iter is node]
        plain = len(loops) == 1 and all(one is loops[0] or isinstance(one, ast.Attribute) for one in parents)
        return loops[0] if plain else None


def _form(node: ast.AST, parent: ast.AST | None) -> str:
    """The name of what is done with a walk instead of a `for` loop."""
    match parent:
        case _ if not isinstance(node, ast.Call):
            return "steps"
        case ast.Call():
            return last_name(parent.func) or "steps"
        case ast.AsyncFor():
            return "async for"
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.NamedExpr(target=ast.Name(id=name)):
            return name
        case ast.comprehension():
            return "comprehension"
        case ast.YieldFrom():
            return "yield from"
        case _:
            return "steps"


def head(statement: ast.stmt) -> list[ast.AST]:
    """The parts of a statement without the statements in it."""
    return [one for one in children(statement) if not isinstance(one, ast.stmt | ast.ExceptHandler | ast.match_case)]


def start(node: ast.AST) -> tuple[int, int]:
    """Where a node begins."""
    return getattr(node, "lineno", 0), getattr(node, "col_offset", 0)


def end(node: ast.AST) -> tuple[int, int]:
    """Where a node ends."""
    return getattr(node, "end_lineno", 0), getattr(node, "end_col_offset", 0)


def _spans(node: ast.AST, line: int) -> bool:
    return start(node)[0] <= line <= end(node)[0]


def _height(node: ast.AST) -> int:
    return end(node)[0] - start(node)[0]
