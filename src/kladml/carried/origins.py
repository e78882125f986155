"""What the names of a function stand for: something reachable from `self`, or an object that the function made.

This looks at the text alone, forgets the order of statements, and errs on the side of "may be".
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import TypeAlias

from kladml.carried import words
from kladml.carried.scopes import NOTHING, Binding, Names, bindings, declared, inside, own, parameters, unpack
from kladml.carried.source import Place

Path: TypeAlias = tuple[str, ...]
"""A way to an object: `("self", "parts", "[]")`. The step `*` may be any attribute."""


class Kind(Enum):
    """What sort of thing an expression gives."""

    SELF = auto()  # the experiment, or something reachable from it
    OUTER = auto()  # a global, a module, a variable of a function around
    PARAMETER = auto()
    CONTAINER = auto()
    TUPLE = auto()
    ARRAY = auto()
    STREAM = auto()  # a random generator, an open file
    ITERATOR = auto()
    COPY = auto()  # a copy of some object
    RESULT = auto()  # what some other call gave
    VALUE = auto()  # what arithmetic or a library for numbers gave
    SHOWN = auto()  # changes that no number depends on: progress bars, loggers; and losses, which do not change


_DEEPEST = 8
"""Longer paths are cut: `node = node.next` would make them longer for ever."""

ALIASES = frozenset({Kind.SELF, Kind.OUTER, Kind.PARAMETER})
"""What was not made in the function."""


@dataclass(frozen=True, slots=True)
class Thing:
    """What an expression may give.

    Attributes:
        kind: its sort.
        path: of a thing that was not made here, the way to it; of one made here, the attribute of it that is meant.
        name: of a thing that was made here, the variable that it was bound to first; empty when it was made in the part looked at.
        maker: the expression that made it.
    """

    kind: Kind
    path: Path = ()
    name: str = ""
    maker: ast.expr | None = None


_BY_NAME = {Kind.CONTAINER: words.CONTAINERS, Kind.STREAM: words.STREAMS, Kind.ARRAY: words.ARRAYS, Kind.COPY: words.COPIES}

Things: TypeAlias = frozenset[Thing]
NO_THINGS: Things = frozenset()


class Origins:
    """The things that the names of one function may stand for, as seen from a part of it, as the body of a loop."""

    def __init__(self, place: Place, whole: Origins | None = None, part: frozenset[ast.AST] = frozenset(), live: Names = NOTHING) -> None:
        """Note what binds which name.

        Args:
            place: the function.
            whole: what they may stand for in the whole function, when only a part is meant.
            part: the nodes of the part.
            live: names whose values from outside may be read in or after the part.
        """
        self.place = place
        self.parameters = parameters(place.node)
        self._part, self._live = part, live
        self._whole = whole or self
        self._bindings: dict[str, list[Binding]] = {}
        body = inside(place.node)
        elsewhere = declared(*body)
        for binding in (*bindings(*body), *_comprehended(body)):
            if binding.name not in elsewhere:
                self._bindings.setdefault(binding.name, []).append(binding)
        self._known: dict[str, Things] = dict.fromkeys(self._bindings, frozenset())
        self._held: dict[ast.expr, Things | None] = {}
        self._learn()

    def is_local(self, name: str) -> bool:
        """Whether a name is a variable of the function."""
        return name in self.parameters or name in self._bindings

    def bindings_of(self, name: str) -> list[Binding]:
        """All places that bind a name."""
        return self._bindings.get(name, [])

    def things(self, node: ast.expr | None) -> Things:
        """What an expression may give; nothing for what cannot be changed.

        Args:
            node: the expression.
        """
        match node:
            case ast.Name():
                return self._name(node.id)
            case ast.Attribute():
                return self._step(node.value, node.attr)
            case ast.Subscript():
                return self._step(node.value, "[]")
            case ast.Call():
                return self._call(node)
            case ast.NamedExpr() | ast.Starred() | ast.Await():
                return self.things(node.value)
            case ast.IfExp():
                return self._union([node.body, node.orelse])
            case ast.BoolOp():
                return self._union(node.values)
            case _:
                return self._made(node)

    def parts(self, thing: Thing, step: str) -> Things:
        """What an attribute (its name) or an element (`[]`) of a thing may be."""
        if thing.kind in ALIASES:
            return frozenset({replace(thing, path=(*thing.path, step)[:_DEEPEST])})
        if step != "[]":
            return frozenset({replace(thing, path=(step,))})
        held = (self._whole if thing.name else self).held(thing.maker)
        if held is None:
            return frozenset({thing})
        return frozenset(one if one.name or one.kind in ALIASES else replace(one, name=thing.name) for one in held)

    def full_name(self, function: ast.expr) -> str:
        """The name of a function with those of its modules, as `torch.nn.functional.relu`; empty when it is no chain of names."""
        steps: list[str] = []
        while isinstance(function, ast.Attribute):
            steps.insert(0, function.attr)
            function = function.value
        if not isinstance(function, ast.Name):
            return ""
        root = self.place.imports.get(function.id, function.id) if self._is_imported(function.id) else function.id
        return ".".join([root, *steps])

    def is_module(self, node: ast.expr) -> bool:
        """Whether an expression is a chain of names that begins with an import."""
        while isinstance(node, ast.Attribute):
            node = node.value
        return isinstance(node, ast.Name) and self._is_imported(node.id)

    def _is_imported(self, name: str) -> bool:
        bound = self.bindings_of(name)
        return name in self.place.imports and all(isinstance(one.node, ast.Import | ast.ImportFrom) for one in bound)

    def _union(self, nodes: Iterable[ast.expr]) -> Things:
        return frozenset(thing for node in nodes for thing in self.things(node))

    def _made(self, node: ast.expr | None) -> Things:
        match node:
            case ast.List() | ast.Set() | ast.Dict() | ast.ListComp() | ast.SetComp() | ast.DictComp():
                return frozenset({Thing(Kind.CONTAINER, maker=node)})
            case ast.Tuple():
                return frozenset({Thing(Kind.TUPLE, maker=node)})
            case ast.GeneratorExp():
                return frozenset({Thing(Kind.ITERATOR, maker=node)})
            case ast.BinOp():
                kinds = {thing.kind for thing in self._union([node.left, node.right])}
                made = Kind.CONTAINER if Kind.CONTAINER in kinds else Kind.VALUE
                return frozenset({Thing(made, maker=node)}) if kinds else frozenset()
            case ast.UnaryOp():
                return frozenset(Thing(Kind.VALUE, maker=node) for _ in self.things(node.operand))
            case _:
                return frozenset()

    def _name(self, name: str) -> Things:
        found = set(self._known.get(name, ()))
        if name == self.place.first or (name in self.place.outer_selves and not self.is_local(name)):
            found.add(Thing(Kind.SELF, ("self",)))
        elif name in self.parameters:
            found.add(Thing(Kind.PARAMETER, (name,)))
        elif not self.is_local(name):
            found.add(Thing(Kind.OUTER, (name,)))
        return frozenset(found)

    def _learn(self) -> None:
        """Find what all names stand for, and what containers hold; one may depend on any other, so until nothing new is found."""
        known: object = None
        while known != (self._known, self._held):
            known = (self._known, dict(self._held))
            self._known = {
                name: self._known[name] | frozenset(thing for binding in bound for thing in self.bound(binding))
                for name, bound in self._bindings.items()
            }
            self._held |= {maker: self._find_held(maker) for maker in list(self._held)}

    def bound(self, binding: Binding) -> Iterator[Thing]:
        """What a binding binds its name to."""
        fresh = binding.node in self._part or isinstance(binding.node, ast.comprehension)
        if self._part and not fresh and binding.name not in self._live:
            return
        if isinstance(binding.node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Import | ast.ImportFrom):
            yield Thing(Kind.OUTER, (binding.name,))
        view = self if fresh else self._whole
        for thing in view.things(binding.value):
            for one in view.parts(thing, "[]") if binding.is_element else (thing,):
                yield one if fresh or one.name or one.kind in ALIASES else replace(one, name=binding.name)

    def _step(self, base: ast.expr, step: str) -> Things:
        return frozenset(part for thing in self.things(base) for part in self.parts(thing, step))

    def held(self, maker: ast.expr | None) -> Things | None:
        """What a container holds; None when that is not written down."""
        if maker is not None and maker not in self._held:
            self._held[maker] = NO_THINGS  # it may hold itself
            self._held[maker] = self._find_held(maker)
        return None if maker is None else self._held[maker]

    def _find_held(self, maker: ast.expr) -> Things | None:
        match maker:
            case ast.List() | ast.Set() | ast.Tuple():
                return self._union(maker.elts)
            case ast.Dict():
                return self._union(maker.values)
            case ast.DictComp():
                return self.things(maker.value)
            case ast.ListComp() | ast.SetComp() | ast.GeneratorExp():
                return self.things(maker.elt)
            case ast.Call(func=ast.Name(id=name), args=[_, *_]) if name in words.KEEPS_ELEMENTS:
                return frozenset(part for argument in maker.args for part in self._step(argument, "[]"))
            case ast.Call(func=ast.Attribute(value=base, attr=name)) if name in words.MODULE_WALKS:
                return self._step(base, "[]")
            case _:
                return None

    def _call(self, node: ast.Call) -> Things:
        function, name = node.func, last_name(node.func)
        if isinstance(function, ast.Attribute) and not self.is_module(function.value):
            return self._method(node, function.value, name)
        if name == "type":
            return frozenset({Thing(Kind.OUTER, (ast.unparse(node),))})
        if name == "getattr" and len(node.args) > 1:
            attribute = node.args[1]
            return self._step(node.args[0], str(attribute.value) if isinstance(attribute, ast.Constant) else "*")
        if name in words.VIEWS:
            return self._union(node.args[:1])
        return self._function(node, name)

    def _function(self, node: ast.Call, name: str) -> Things:
        full = self.full_name(node.func)
        if is_clock(node) or (full in words.FIXED and not self.is_local(full)):
            return frozenset()
        if name in words.SHOWN or name.endswith("Loss"):
            kind = Kind.SHOWN
        elif full in words.ITERATORS or full.startswith("itertools."):
            kind = Kind.ITERATOR
        elif full == "tuple":
            kind = Kind.TUPLE
        else:
            other = Kind.VALUE if words.is_library_function(full) else Kind.RESULT
            kind = next((kind for kind, names in _BY_NAME.items() if name in names), other)
        return frozenset({Thing(kind, maker=node)})

    def _method(self, node: ast.Call, base: ast.expr, name: str) -> Things:
        if name in words.ITSELF or name in words.VIEWS:
            return self.things(base)
        if name in words.ELEMENTS:
            return self._step(base, "[]")
        if name in words.FIXED_METHODS:
            return frozenset()
        kinds = {Kind.ITERATOR: words.MODULE_WALKS, Kind.ARRAY: words.CLONES, Kind.COPY: words.COPIES}
        kind = next((kind for kind, names in kinds.items() if name in names), Kind.RESULT)
        return frozenset({Thing(kind, maker=node)})


def last_name(function: ast.expr) -> str:
    """The last name of what is called: `relu` of `F.relu`."""
    return function.attr if isinstance(function, ast.Attribute) else function.id if isinstance(function, ast.Name) else ""


def is_clock(value: ast.expr | None) -> bool:
    """Whether an expression is a call that tells the time."""
    match value:
        case ast.Call(func=ast.Attribute(value=ast.Name(id="time"))):
            return True
        case ast.Call(func=ast.Name(id=name)):
            return name in words.CLOCKS
        case _:
            return False


def _comprehended(body: list[ast.AST]) -> Iterator[Binding]:
    """What the targets of comprehensions stand for."""
    for node in own(*body):
        if isinstance(node, ast.comprehension):
            yield from (replace(one, node=node) for one in unpack(node.target, node.iter, is_element=True))
