"""What a piece of code changes: objects in place, and attributes of the experiment."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import lru_cache

from kladml.carried import words
from kladml.carried.origins import Kind, Origins, Path, Thing, last_name
from kladml.carried.scopes import NOTHING, Function, Inner, Names, inside, local_names, own
from kladml.carried.source import Place


class How(Enum):
    """In what way something may be changed."""

    STORE = auto()  # an attribute or element of it is assigned or deleted
    AUGMENT = auto()  # `x += ...`
    METHOD = auto()
    GIVE = auto()  # an argument, or kept by another object
    LEND = auto()  # an argument of a function that changes no array or container
    CALL = auto()
    ITERATE = auto()
    NEXT = auto()
    READ = auto()


_TOUCHES = frozenset({How.METHOD, How.GIVE, How.AUGMENT, How.CALL, How.NEXT})


@dataclass(frozen=True, slots=True)
class Change:
    """Something that may be changed.

    Attributes:
        target: what is changed.
        how: in what way.
        node: where.
        method: the method that is called.
    """

    target: ast.expr
    how: How
    node: ast.AST
    method: str = ""


def everything(nodes: Iterable[ast.AST], hidden: Names = NOTHING) -> Iterator[tuple[ast.AST, Names]]:
    """Nodes, and those of the functions and classes among them, with the names that mean something else there.

    Args:
        nodes: nodes of one scope, as `own` gives them.
        hidden: names that mean something else in that scope.
    """
    for node in nodes:
        yield node, hidden
        if isinstance(node, Inner):
            yield from everything(own(*inside(node)), hidden | (local_names(node) if isinstance(node, Function) else NOTHING))


def changes(node: ast.AST, origins: Origins) -> Iterator[Change]:
    """What one node, without its children, may change."""
    match node:
        case ast.Attribute(ctx=ast.Store() | ast.Del()) | ast.Subscript(ctx=ast.Store() | ast.Del()):
            yield Change(node.value, How.STORE, node)
        case ast.AugAssign(target=ast.Name(id=name)):
            yield Change(ast.Name(name, ast.Load()), How.AUGMENT, node)
        case ast.Call():
            yield from _of_call(node, origins)
        case ast.For() | ast.AsyncFor():
            yield Change(node.iter, How.ITERATE, node)
        case ast.comprehension():
            yield Change(node.iter, How.ITERATE, node.iter)
        case ast.Starred() | ast.YieldFrom():
            yield Change(node.value, How.ITERATE, node)
        case ast.Assign() | ast.AnnAssign():
            yield from _of_assignment(node)
        case ast.Compare():
            yield from (Change(one, How.ITERATE, node) for one in node.comparators)
        case ast.Name(ctx=ast.Load()):
            yield Change(node, How.READ, node)


def _of_assignment(node: ast.Assign | ast.AnnAssign) -> Iterator[Change]:
    parts = list(own(*(node.targets if isinstance(node, ast.Assign) else [node.target])))
    if node.value is None:
        return
    if any(isinstance(part, ast.Tuple | ast.List) for part in parts) and not isinstance(node.value, ast.Tuple | ast.List):
        yield Change(node.value, How.ITERATE, node)
    if any(isinstance(part, ast.Attribute | ast.Subscript) for part in parts):
        yield from _given(node.value, How.GIVE, node)


def _of_call(node: ast.Call, origins: Origins) -> Iterator[Change]:
    if isinstance(node.func, ast.Attribute):
        yield Change(node.func.value, How.METHOD, node, node.func.attr)
    else:
        yield Change(node.func, How.CALL, node)
    name, how = origins.full_name(node.func), How.GIVE
    if name == "next":
        how = How.NEXT
    elif name in words.CONSUMES:
        how = How.ITERATE
    elif name in words.LOOKS:
        how = How.READ
    elif _is_pure(name):
        how = How.LEND
    elif _writes_to_arguments(name):
        how = How.STORE
    for argument in node.args:
        yield from () if isinstance(argument, ast.Starred) else _given(argument, how, node)
    for keyword in node.keywords:
        yield from () if keyword.arg is None else _given(keyword.value, How.STORE if keyword.arg == "out" else how, node)


def _writes_to_arguments(name: str) -> bool:
    last = name.rpartition(".")[2]
    return last in words.WRITING_FUNCTIONS or (last.endswith("_") and not last.endswith("__"))


def _is_pure(name: str) -> bool:
    """Whether a library's function leaves the arrays and lists alone that it is given: by the conventions of NumPy and torch."""
    last = name.rpartition(".")[2]
    if last in words.CLIPS:
        return True
    return words.is_library_function(name) and last not in words.KEEPING_FUNCTIONS and not _writes_to_arguments(name)


def _given(node: ast.expr, how: How, where: ast.AST) -> Iterator[Change]:
    """The objects that are passed with an expression: itself, or what a display of several holds."""
    if isinstance(node, ast.Name | ast.Attribute | ast.Subscript | ast.NamedExpr):
        yield Change(node, how, where)
    elif isinstance(node, ast.Tuple | ast.List | ast.Set | ast.Dict | ast.Starred | ast.IfExp | ast.BoolOp):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                yield from _given(child, how, where)


def is_changed(thing: Thing, change: Change, origins: Origins) -> bool:
    """Whether a change changes a thing that it may be about, so that running the loop's beginning again would not give it."""
    kind = thing.kind
    match change.how:
        case How.STORE:
            return kind not in {Kind.SELF, Kind.TUPLE, Kind.SHOWN} or "__class__" in thing.path
        case How.AUGMENT:
            return kind in {Kind.CONTAINER, Kind.ARRAY, Kind.COPY, Kind.RESULT, Kind.VALUE}
        case How.METHOD:
            return _writes(thing, change.method, origins)
        case How.CALL:
            if thing.path:
                return kind is not Kind.OUTER and _writes(thing, thing.path[-1], origins)
            return kind is Kind.RESULT and not _is_library(thing, origins) and last_name(_maker_of(thing)) not in words.WITHOUT_STATE
        case How.NEXT:
            return kind is not Kind.SELF and (kind is not Kind.OUTER or thing.path[0] in origins.place.owned)
        case How.ITERATE:
            return kind is Kind.STREAM or (kind is Kind.RESULT and not _is_library(thing, origins))
        case How.GIVE | How.LEND:
            return _is_given_away(thing, change, origins)
        case How.READ:
            return kind is Kind.ITERATOR


def is_used(thing: Thing, change: Change) -> bool:
    """Whether an object of an unknown sort is called or given away, which may change it."""
    return thing.kind is Kind.RESULT and not thing.path and change.how in {How.CALL, How.GIVE} and isinstance(change.target, ast.Name)


def _is_given_away(thing: Thing, change: Change, origins: Origins) -> bool:
    if change.how is How.LEND:
        return thing.kind is Kind.STREAM
    if thing.kind in {Kind.ARRAY, Kind.COPY} and isinstance(change.target, ast.Subscript):
        return False
    if thing.path and thing.kind in {Kind.CONTAINER, Kind.ARRAY, Kind.STREAM}:
        return _writes(thing, thing.path[-1], origins)
    if thing.path and thing.kind in {Kind.COPY, Kind.RESULT}:
        return thing.path[-1] in words.ADDS | words.MOVES
    return thing.kind in {Kind.CONTAINER, Kind.ARRAY, Kind.COPY, Kind.STREAM}


def _writes(thing: Thing, method: str, origins: Origins) -> bool:
    match thing.kind:
        case Kind.SELF | Kind.TUPLE | Kind.SHOWN:
            return False
        case Kind.OUTER:
            return thing.path[0] in origins.place.owned and method in words.ADDS | words.MOVES
        case Kind.PARAMETER:
            return method in words.ADDS | words.MOVES
        case Kind.ARRAY | Kind.VALUE:
            return method in words.ADDS | words.MOVES | words.ARRAY_WRITES or (method.endswith("_") and not method.endswith("__"))
        case Kind.CONTAINER | Kind.COPY | Kind.RESULT:
            return method not in words.READS
        case Kind.STREAM | Kind.ITERATOR:
            return True


def _maker_of(thing: Thing) -> ast.expr:
    return thing.maker.func if isinstance(thing.maker, ast.Call) else ast.Constant(None)


def _is_library(thing: Thing, origins: Origins) -> bool:
    """Whether a library's function made it, of which all give lists and arrays rather than iterators."""
    return isinstance(thing.maker, ast.Call) and origins.full_name(thing.maker.func).startswith(words.PURE_MODULES)


def root(node: ast.AST) -> str:
    """The name that an expression begins with: `rows` of `rows[0].x`."""
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Starred | ast.Call):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""


@dataclass(slots=True)
class Effects:
    """What happens to what is reachable from the experiment.

    Attributes:
        stored: ways to what is replaced by another object.
        augmented: ways to what is changed by `+=` and the like.
        touched: ways to objects that are given away, or of which a method is called.
        called: methods of the class that are called or named.
        unknown: whether methods are called that are not in the class, nor attributes that it assigns.
    """

    stored: set[Path] = field(default_factory=set)
    augmented: set[Path] = field(default_factory=set)
    touched: set[Path] = field(default_factory=set)
    called: set[str] = field(default_factory=set)
    unknown: bool = False

    def add(self, other: Effects) -> None:
        """Take over what other code does."""
        self.stored |= other.stored
        self.augmented |= other.augmented
        self.touched |= other.touched
        self.called |= other.called
        self.unknown |= other.unknown

    def replaces(self, path: Path) -> bool:
        """Whether a way may lead to another object than before."""
        return any(_begins(path, one) for one in self.stored)

    def alters(self, path: Path) -> bool:
        """Whether the value at the end of a way may be another than before."""
        changed = any(_begins((*path, "[]"), one) for one in self.stored | self.augmented)
        return changed or any(_begins(path, one) for one in self.touched)


def _begins(path: Path, start: Path) -> bool:
    return len(start) <= len(path) and all(one == other or "*" in {one, other} for one, other in zip(start, path, strict=False))


def effects(nodes: Iterable[ast.AST], origins: Origins) -> Effects:
    """What some code does to what is reachable from the experiment, the methods of the class that it calls included.

    Args:
        nodes: nodes of one scope.
        origins: what its names stand for.
    """
    found = _effects_alone(nodes, origins)
    done: set[str] = set()
    while left := found.called - done:
        done |= left
        for name in left:
            found.add(_effects_of_method(origins.place.method(name)))
    return found


def effects_of_class(place: Place) -> Effects:
    """What any method of a class may do that runs in an epoch, and methods that are not written there."""
    found = Effects(unknown=True)
    for name in place.methods.keys() - {"__init__", "setup"}:
        found.add(_effects_of_method(place.method(name)))
    return found


@lru_cache(maxsize=256)
def _effects_of_method(place: Place) -> Effects:
    return _effects_alone(own(*inside(place.node)), Origins(place))


def _effects_alone(nodes: Iterable[ast.AST], origins: Origins) -> Effects:
    found = Effects()
    everywhere = [node for node, hidden in everything(nodes) if root(node) not in hidden]
    augmented = {node.target for node in everywhere if isinstance(node, ast.AugAssign)}
    for node in everywhere:
        found.called |= _methods_called(node, origins)
        for change in changes(node, origins):
            _note(found, change, origins, is_augmented=node in augmented)
    return found


def _note(found: Effects, change: Change, origins: Origins, *, is_augmented: bool) -> None:
    for path in (thing.path for thing in origins.things(change.target) if thing.kind is Kind.SELF):
        if change.how is How.STORE:
            step = change.node.attr if isinstance(change.node, ast.Attribute) else "[]"
            (found.augmented if is_augmented else found.stored).add((*path, step))
        elif change.how is How.METHOD and change.method in words.MOVES:
            found.stored.add((*path, "[]"))
        elif change.how is How.GIVE and last_name(getattr(change.node, "func", change.target)) == "setattr":
            found.stored.add((*path, "*"))
        if change.how in _TOUCHES and change.method not in words.ITEMS and not _keeps_arguments(change.node, origins):
            is_own = path == ("self",) and change.how is How.METHOD
            found.touched.add((*path, change.method) if is_own else path)
            found.unknown |= is_own and change.method not in words.OURS | origins.place.attributes | frozenset(origins.place.methods)


def _keeps_arguments(node: ast.AST, origins: Origins) -> bool:
    """Whether a call is of `steps`, or of a method of the class that does nothing with its arguments but walk over them."""
    if not isinstance(node, ast.Call):
        return False
    if any(thing.path[-1:] == ("steps",) for thing in origins.things(node.func)):
        return True
    methods = _methods_called(node.func, origins)
    return bool(methods) and all(_only_walks(origins.place.method(name)) for name in methods)


@lru_cache(maxsize=256)
def _only_walks(place: Place) -> bool:
    origins = Origins(place)
    for node, _ in everything(own(*inside(place.node))):
        for change in changes(node, origins):
            given = change.how in {How.GIVE, How.CALL} and not (isinstance(node, ast.Call) and last_name(node.func) == "steps")
            about = [thing for thing in origins.things(change.target) if thing.kind is Kind.PARAMETER]
            if any(given or is_changed(thing, change, origins) for thing in about):
                return False
    return True


def _methods_called(node: ast.AST, origins: Origins) -> Names:
    """The method of the class that a node names, if it does."""
    if isinstance(node, ast.Attribute) and node.attr in origins.place.methods:
        return frozenset({node.attr} if any(one.path == ("self",) for one in origins.things(node.value)) else ())
    return NOTHING
