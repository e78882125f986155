"""The source of a code object: the function in its file, and what of the file matters to it."""

from __future__ import annotations

import ast
import linecache
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from types import CodeType

from kladml.carried.scopes import Comprehension, Function, Names, bindings, inside, own


@dataclass(frozen=True)
class Place:
    """A function in its file.

    Attributes:
        node: the function.
        around: all that it lies in, the file first.
    """

    node: Function
    around: tuple[ast.AST, ...]

    @cached_property
    def first(self) -> str:
        """The name of the first parameter, as `self`; of a function without parameters nothing."""
        return first_parameter(self.node)

    @cached_property
    def outer_selves(self) -> Names:
        """Names of the first parameters of the functions around."""
        return frozenset(first_parameter(node) for node in self.around if isinstance(node, Function)) - {""}

    @cached_property
    def methods(self) -> dict[str, Function]:
        """The functions of the class that it belongs to."""
        classes = [node for node in self.around if isinstance(node, ast.ClassDef)]
        return {node.name: node for node in inside(classes[-1]) if isinstance(node, ast.FunctionDef)} if classes else {}

    @cached_property
    def attributes(self) -> Names:
        """Attributes that the methods of the class assign."""
        nodes = (node for method in self.methods.values() for node in ast.walk(method))
        return frozenset(node.attr for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store))

    @cached_property
    def imports(self) -> dict[str, str]:
        """Full names of what the file imports, by the names that it has there."""
        found: dict[str, str] = {}
        for node in ast.walk(self.around[0]):
            if isinstance(node, ast.Import):
                found |= {one.asname: one.name for one in node.names if one.asname}
                found |= {root: root for one in node.names if not one.asname for root in [one.name.partition(".")[0]]}
            elif isinstance(node, ast.ImportFrom):
                found |= {one.asname or one.name: f"{node.module}.{one.name}" for one in node.names}
        return found

    @cached_property
    def owned(self) -> Names:
        """Names that the file, or a function around, binds to values of its own: no modules, functions or classes."""
        scopes = [node for node in self.around if not isinstance(node, ast.ClassDef)]
        return frozenset(binding.name for scope in scopes for binding in bindings(*inside(scope)) if binding.value is not None)

    def method(self, name: str) -> Place:
        """Another function of the same class."""
        return Place(self.methods[name], self.around)


def first_parameter(function: Function) -> str:
    """The name of a function's first parameter, or nothing."""
    names = [argument.arg for argument in (*function.args.posonlyargs, *function.args.args)]
    return names[0] if names else ""


def find_place(code: CodeType) -> Place | Comprehension | None:
    """Where the source of a code object is.

    Args:
        code: of a function, a lambda or a comprehension.

    Returns:
        The function; a comprehension that is run by a code object of its own; None when there is no source, when it is not that of the
        code, or when there are several functions that it may be.
    """
    tree = _parse("".join(linecache.getlines(code.co_filename)))
    if tree is None:
        return None
    found = [(node, around) for node, around in _nodes(tree, ()) if _fits(node, code)]
    if len(found) != 1:
        return None
    node, around = found[0]
    return Place(node, around) if isinstance(node, Function) else node if isinstance(node, Comprehension) else None


@lru_cache(maxsize=16)
def _parse(text: str) -> ast.Module | None:
    try:
        return ast.parse(text) if text else None
    except (SyntaxError, ValueError):
        return None


def _nodes(node: ast.AST, around: tuple[ast.AST, ...]) -> Iterator[tuple[ast.AST, tuple[ast.AST, ...]]]:
    for child in ast.iter_child_nodes(node):
        within = (*around, node) if isinstance(node, ast.Module | ast.ClassDef | Function) else around
        yield child, within
        yield from _nodes(child, within)


_CODE_NAMES: dict[type[ast.AST], str] = {
    ast.Lambda: "<lambda>",
    ast.ListComp: "<listcomp>",
    ast.SetComp: "<setcomp>",
    ast.DictComp: "<dictcomp>",
    ast.GeneratorExp: "<genexpr>",
}


def _fits(node: ast.AST, code: CodeType) -> bool:
    """Whether the code may be that of a node: name, first line and variables are the same."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        line = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
        return node.name == code.co_name and line == code.co_firstlineno and _has_names(node, code)
    if _CODE_NAMES.get(type(node)) != code.co_name:
        return False
    return getattr(node, "lineno", 0) == code.co_firstlineno and _has_names(node, code)


def _has_names(node: ast.AST, code: CodeType) -> bool:
    """Whether the variables of the code occur: else the file was changed after it was loaded."""
    known = {part.arg for part in ast.walk(node) if isinstance(part, ast.arg)}
    known |= {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
    known |= {binding.name for binding in bindings(*inside(node))}
    return all(name in known or "__" in name or name.startswith(".") for name in code.co_varnames)


def is_generator(function: Function) -> bool:
    """Whether calling a function gives a generator."""
    return any(isinstance(node, ast.Yield | ast.YieldFrom) for node in own(*inside(function)))
