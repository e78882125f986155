"""The scopes of a syntax tree: what belongs to one, which names it binds, and which ones it reads."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import TypeAlias

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
Inner: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef
Comprehension: TypeAlias = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
Loop: TypeAlias = ast.For | ast.AsyncFor
Names: TypeAlias = frozenset[str]

NOTHING: Names = frozenset()


@dataclass(frozen=True, slots=True)
class Binding:
    """A place where a name gets a value.

    Attributes:
        name: the name.
        node: the name's own node, or the statement.
        value: what it is bound to; None when that is not written there.
        is_element: it is bound to something that `value` holds or yields.
    """

    name: str
    node: ast.AST
    value: ast.expr | None = None
    is_element: bool = False


def inside(function: ast.AST) -> list[ast.AST]:
    """What runs when a function is called, or a class is made."""
    body = getattr(function, "body", [])
    return list(body) if isinstance(body, list) else [body]


def outside(function: Inner) -> list[ast.expr]:
    """What is evaluated where a function or class is defined: decorators, defaults, bases."""
    if isinstance(function, ast.ClassDef):
        return [*function.decorator_list, *function.bases, *(keyword.value for keyword in function.keywords)]
    defaults = [*function.args.defaults, *(default for default in function.args.kw_defaults if default is not None)]
    return defaults if isinstance(function, ast.Lambda) else [*function.decorator_list, *defaults]


def own(*roots: ast.AST) -> Iterator[ast.AST]:
    """All nodes of a scope in the order of the text; of functions and classes inside it only themselves and what is outside them."""
    for root in roots:
        yield root
        yield from own(*children(root))


def children(node: ast.AST) -> list[ast.AST]:
    """The children of a node that belong to the same scope."""
    return list(outside(node)) if isinstance(node, Inner) else list(ast.iter_child_nodes(node))


def parameters(function: Function) -> Names:
    """The names of a function's parameters."""
    return frozenset(argument.arg for argument in ast.walk(function.args) if isinstance(argument, ast.arg))


def declared(*roots: ast.AST) -> Names:
    """Names that a scope declares to be global or nonlocal."""
    return frozenset(name for node in own(*roots) if isinstance(node, ast.Global | ast.Nonlocal) for name in node.names)


def bindings(*roots: ast.AST) -> Iterator[Binding]:
    """All places in a scope that bind a name; the targets of comprehensions are not among them."""
    for node in own(*roots):
        yield from bindings_at(node)


def bindings_at(node: ast.AST) -> Iterator[Binding]:
    match node:
        case ast.Assign():
            yield from chain.from_iterable(unpack(target, node.value) for target in node.targets)
        case ast.AnnAssign(value=ast.expr()) | ast.NamedExpr():
            yield from unpack(node.target, node.value)
        case ast.AugAssign(target=ast.Name(id=name)):
            yield Binding(name, node, ast.BinOp(ast.Name(name, ast.Load()), node.op, node.value))
        case ast.For() | ast.AsyncFor():
            yield from unpack(node.target, node.iter, is_element=True)
        case ast.withitem(optional_vars=ast.expr() as target):
            yield from unpack(target, node.context_expr)
        case ast.Delete():
            yield from (Binding(target.id, node) for target in node.targets if isinstance(target, ast.Name))
        case ast.Match():
            yield from captures(node)
        case _:
            yield from _definitions(node)


def _definitions(node: ast.AST) -> Iterator[Binding]:
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            yield Binding(node.name, node)
        case ast.ExceptHandler(name=str()):
            yield Binding(str(node.name), node)
        case ast.Import() | ast.ImportFrom():
            yield from (Binding(alias.asname or alias.name.partition(".")[0], node) for alias in node.names)


def captures(node: ast.Match) -> Iterator[Binding]:
    for part in chain.from_iterable(ast.walk(case.pattern) for case in node.cases):
        name = part.rest if isinstance(part, ast.MatchMapping) else getattr(part, "name", None)
        if name is not None:
            yield Binding(name, part, node.subject, is_element=True)


def unpack(target: ast.expr, value: ast.expr | None, *, is_element: bool = False) -> Iterator[Binding]:
    """The names that a target binds.

    Args:
        target: what stands on the left.
        value: what is assigned to it.
        is_element: the target gets something that `value` yields.
    """
    for part, given, is_held in assigned(target, value, is_element=is_element):
        if isinstance(part, ast.Name):
            yield Binding(part.id, part, given, is_held)


def assigned(target: ast.expr, value: ast.expr | None, *, is_element: bool = False) -> Iterator[tuple[ast.expr, ast.expr | None, bool]]:
    """The single targets in a target, with what each is assigned, and whether that is an element of it."""
    if isinstance(target, ast.Starred):
        yield from assigned(target.value, value, is_element=True)
    elif isinstance(target, ast.Tuple | ast.List):
        for part, given in _pairs(target, value, is_element):
            yield from assigned(part, given, is_element=is_element or given is value)
    else:
        yield target, value, is_element


def _pairs(target: ast.Tuple | ast.List, value: ast.expr | None, is_element: bool) -> list[tuple[ast.expr, ast.expr | None]]:
    plain = not is_element and isinstance(value, ast.Tuple | ast.List) and len(value.elts) == len(target.elts)
    if plain and isinstance(value, ast.Tuple | ast.List) and not any(isinstance(one, ast.Starred) for one in (*target.elts, *value.elts)):
        return list(zip(target.elts, value.elts, strict=True))
    return [(part, value) for part in target.elts]


def uses(*nodes: ast.AST | None) -> Names:
    """The names of this scope that evaluating some nodes may read; functions inside count as run where they are defined."""
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Name):
            found |= {node.id} if isinstance(node.ctx, ast.Load) else NOTHING
        elif isinstance(node, Inner):
            found |= uses(*outside(node)) | free(node)
        elif isinstance(node, Comprehension):
            found |= uses(node.generators[0].iter) | (uses(*ast.iter_child_nodes(node)) - _targets(node))
        elif node is not None:
            found |= uses(*ast.iter_child_nodes(node))
    return frozenset(found)


def _targets(node: Comprehension) -> Names:
    return frozenset(binding.name for generator in node.generators for binding in unpack(generator.target, generator.iter))


def free(function: Inner) -> Names:
    """The names that a function or class takes from the scope around it, those included that it declares nonlocal."""
    body = inside(function)
    if isinstance(function, ast.ClassDef):
        return uses(*body)
    return (uses(*body) | declared(*body)) - local_names(function)


def local_names(function: Function) -> Names:
    """A function's parameters and the names that it binds."""
    body = inside(function)
    return (parameters(function) | {binding.name for binding in bindings(*body)}) - declared(*body)
