"""What one loop over steps carries from batch to batch: names bound in its body, and objects changed there."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from kladml.carried import words
from kladml.carried.changes import Effects, changes, effects, everything, is_changed, is_used, root
from kladml.carried.loops import Body, Walk, end, head, start
from kladml.carried.origins import ALIASES, Kind, Origins, Path, Thing, is_clock
from kladml.carried.report import OUTSIDE, Carried, Reporter
from kladml.carried.scopes import Binding, Inner, Loop, Names, assigned, bindings, declared, inside, own

FORMS = {
    "enumerate": ("counts from 0 again when the loop is continued", "use {self}.step, or an attribute that counts"),
    "zip": ("cannot be continued in its middle", "walk over the pairs: for a, b in {self}.steps(zip(...))"),
}
REPLACED = ("keeps an object that the loop replaces", "copy it before the loop, or use the attribute of {self} itself")
OTHER_FORM = ("takes the batches out of the loop, which cannot be continued in its middle", "write: for batch in {self}.steps(...)")


def carried_within(body: Body, walk: Walk, reporter: Reporter) -> Iterator[Carried]:
    """What a loop over steps carries in local variables, whatever came before it.

    Args:
        body: the function.
        walk: where it walks over steps.
        reporter: says it.
    """
    if walk.wrapper:
        reason, remedy = FORMS.get(walk.wrapper, OTHER_FORM)
        yield reporter.say(walk.wrapper, walk.node, remedy.replace("{self}", reporter.itself), reason)
    if walk.loop is not None:
        part = Part(body, walk.loop, reporter)
        yield from part.names()
        yield from part.outer_names()
        yield from part.objects()
        yield from part.replaced()


def changed_by_call(body: Body, statement: ast.stmt, reporter: Reporter) -> Iterator[Carried]:
    """What a statement that leads to a loop may change in this function: by functions made here, and by replacing attributes.

    Args:
        body: the function.
        statement: the statement.
        reporter: says it.
    """
    closures = body.closures(statement)
    part = list(own(*head(statement)))
    done = effects([*part, *closures], body.origins)
    live = body.live.before[statement] | body.read_by(closures)
    for name, node in replaced_names(body, live, done, part):
        yield reporter.say(name, node, REPLACED[1].replace("{self}", reporter.itself), REPLACED[0])
    for name, node in changed_objects(body, closures, body.origins, statement):
        yield reporter.say(name, node)
    for closure in closures:
        yield from (reporter.say(one.name, one.node) for one in _assigned_outside(closure))


def _assigned_outside(closure: Inner) -> Iterator[Binding]:
    for node, _ in everything([closure]):
        if isinstance(node, Inner):
            yield from (one for one in bindings(*inside(node)) if one.name in declared(*inside(node)))


class Part:
    """The body of a loop over steps, with the functions made before it that it may call."""

    def __init__(self, body: Body, loop: Loop, reporter: Reporter) -> None:
        """Look at a loop.

        Args:
            body: the function.
            loop: the loop.
            reporter: says what it carries.
        """
        self._body, self._loop, self._say, self._say_bound = body, loop, reporter.say, reporter.say_bound
        self.nodes = list(own(*loop.body))
        self.target = list(own(loop.target))
        self.closures = body.closures(loop, self.nodes)
        bound = {node.id for node in self.target if isinstance(node, ast.Name)}
        self.live: Names = body.live.batch[loop] | (body.read_by(self.closures) - bound)
        self.origins = Origins(body.place, body.origins, frozenset([*self.nodes, *self.target]), self.live)

    def names(self) -> Iterator[Carried]:
        """Names bound in the body that may be read before that in the next round, or after the loop."""
        for binding in bindings(*self._loop.body):
            name = binding.name
            if name in self.live and self.origins.is_local(name) and not is_for_display(self._body, name):
                yield self._say_bound(binding)

    def outer_names(self) -> Iterator[Carried]:
        """Global and nonlocal names that the body, or a function that it may call, binds."""
        names = declared(*inside(self._body.place.node))
        for binding in bindings(*self._loop.body, *self.target):
            if binding.name in names:
                yield self._say(binding.name, binding.node, reason=OUTSIDE)
        for closure in [*self.closures, *(node for node in self.nodes if isinstance(node, Inner))]:
            yield from (self._say(one.name, one.node) for one in _assigned_outside(closure))

    def objects(self) -> Iterator[Carried]:
        """Objects that were made before the loop and that the body changes in place."""
        nodes = [*self.nodes, *self.target, *self.closures]
        for name, node in changed_objects(self._body, nodes, self.origins, self._loop):
            is_global = "." not in name and not self.origins.is_local(name)
            yield self._say(name, node, reason=OUTSIDE) if is_global else self._say(name, node)

    def replaced(self) -> Iterator[Carried]:
        """Names for what is reachable from the experiment, of which the body puts another object in its place."""
        done = effects([*self.nodes, *self.target, *self.closures], self.origins)
        for name, node in replaced_names(self._body, self.live, done, self.nodes):
            yield self._say(name, node, REPLACED[1].replace("{self}", self._body.place.first or "self"), REPLACED[0])


def changed_objects(body: Body, nodes: Sequence[ast.AST], origins: Origins, loop: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """Objects that some code changes and that running again does not bring back.

    Args:
        body: the function.
        nodes: the code.
        origins: what names stand for in it.
        loop: the loop over steps; an object of an unknown sort counts as changed when it is looked at in it or after it.

    Yields:
        The variable and where it is changed.
    """
    used: list[tuple[Thing, ast.AST]] = []
    for node, hidden in everything(nodes):
        for change in changes(node, origins):
            for thing in origins.things(change.target) if root(change.target) not in hidden else ():
                name = ".".join(thing.path[: None if thing.kind is Kind.SELF else 1]) if thing.kind in ALIASES else thing.name
                if name and is_changed(thing, change, origins):
                    yield name, change.node
                elif thing.name and is_used(thing, change):
                    used.append((thing, change.node))
    for thing, node in used:
        if _is_looked_at(body, thing.name, loop):
            yield thing.name, node


def _is_looked_at(body: Body, name: str, loop: ast.AST) -> bool:
    """Whether an attribute of an object is used in or after a loop, or the object after it: it was not called for its value alone."""
    first, last = start(body.ordinary_loop(loop)), end(loop)
    for node in body.nodes:
        if isinstance(node, ast.Attribute) and root(node.value) == name and start(node) >= first and node.attr not in words.MOVES_ONLY:
            return True
        if isinstance(node, ast.Return | ast.Call) and start(node) > last:
            passed = [node.value] if isinstance(node, ast.Return) else [*node.args, *(keyword.value for keyword in node.keywords)]
            if any(isinstance(one, ast.Name) and one.id == name and not _is_function(body, one) for one in own(*filter(None, passed))):
                return True
    return False


def _is_function(body: Body, node: ast.AST) -> bool:
    parent = body.parents.get(node)
    return isinstance(parent, ast.Call) and parent.func is node


def replaced_names(body: Body, live: Names, done: Effects, part: Sequence[ast.AST]) -> Iterator[tuple[str, ast.AST]]:
    """Names for what is reachable from the experiment, in the place of which some code, or what stands before it, puts another object.

    The old object stays with the name; a resume restores that one in place, as if it were the new one, or not at all.

    Args:
        body: the function.
        live: names that are read afterwards.
        done: what the code does to what is reachable from the experiment.
        part: its nodes.

    Yields:
        The name and where it is bound.
    """
    skipped = set(part)
    bound = [one for name in live for one in body.origins.bindings_of(name)]
    ways = [(one.name, one.node, path) for one in bound for path in _ways_to(one, body.origins)]
    ways += [way for node in body.nodes if isinstance(node, ast.Assign) for way in _kept(node, body.origins) if way[0] in live]
    last = max(map(end, part), default=(0, 0))
    for name, node, path in ways:
        if len(path) > 1 and node not in skipped:
            then = effects([one for one in body.nodes if end(node) < start(one) <= last and one not in skipped], body.origins)
            if done.replaces(path) or then.replaces(path):
                yield name, node


def _ways_to(binding: Binding, origins: Origins) -> list[Path]:
    """Ways below the experiment to what a name is bound to, or to what that holds."""
    things = list(origins.bound(binding))
    held = [part for thing in things if thing.kind in {Kind.CONTAINER, Kind.TUPLE} for part in origins.parts(thing, "[]")]
    return [thing.path for thing in (*things, *held) if thing.kind is Kind.SELF]


def _kept(node: ast.Assign, origins: Origins) -> Iterator[tuple[str, ast.AST, Path]]:
    """Names whose values an assignment also keeps below the experiment, and where."""
    names = [target.id for target in node.targets if isinstance(target, ast.Name)]
    for target in node.targets:
        for part, value, is_element in assigned(target, node.value):
            also = [value.id] if isinstance(value, ast.Name) and not is_element else []
            for thing in origins.things(part) if isinstance(part, ast.Attribute | ast.Subscript) else ():
                if thing.kind is Kind.SELF:
                    yield from ((name, node, thing.path) for name in (*also, *names))


def is_for_display(body: Body, name: str) -> bool:
    """Whether a variable only holds times and progress bars, and is bound in any case."""
    found = body.origins.bindings_of(name)
    return name not in body.live.start and bool(found) and all(_is_shown(one, body.origins) for one in found)


def _is_shown(binding: Binding, origins: Origins) -> bool:
    kinds = {thing.kind for thing in origins.things(binding.value)}
    return is_clock(binding.value) or kinds == {Kind.SHOWN}
