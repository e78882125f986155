"""Which libraries a module of the project imports as soon as it is imported itself, read from the sources without running them.

An attempt imports these first, so that random numbers are seeded and kernels deterministic also for what a module computes at its top.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator
from pathlib import Path


def libraries_of(base: Path, module: str, among: Collection[str]) -> set[str]:
    """Libraries that a module imports at once, itself or through other modules of the project.

    None when one of these modules changes the environment at its top: that is done to reach a library before it is imported.

    Args:
        base: the folder that the project's packages lie in.
        module: dotted name of the module; one that is no file there imports nothing.
        among: names of the libraries to look for.
    """
    found: set[str] = set()
    waiting, known = [module], set()
    while waiting:
        name = waiting.pop()
        file = _file(base, name)
        if name in known:
            continue
        known.add(name)
        waiting += [name.rpartition(".")[0]] if "." in name else []
        if file is not None:
            nodes = _read(file)
            if any(map(_changes_environment, nodes)):
                return set()
            waiting += _imported(base, nodes, name if file.name == "__init__.py" else name.rpartition(".")[0])
        elif name in among:
            found.add(name)
    return found


def _read(file: Path) -> list[ast.AST]:
    """All that runs when a module is imported; nothing when it cannot be read."""
    try:
        return list(_at_once(ast.parse(file.read_bytes())))
    except (OSError, SyntaxError, ValueError):
        return []


def _imported(base: Path, nodes: Collection[ast.AST], package: str) -> Iterator[str]:
    """Names of the modules that are imported."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = _absolute(node, package)
            yield source
            yield from (f"{source}.{alias.name}" for alias in node.names if _file(base, f"{source}.{alias.name}") is not None)


def _at_once(node: ast.AST) -> Iterator[ast.AST]:
    """All that runs when a module is imported: not the bodies of functions."""
    for child in ast.iter_child_nodes(node):
        yield child
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) and not _for_types(child):
            yield from _at_once(child)


def _changes_environment(node: ast.AST) -> bool:
    match node:
        case ast.Subscript(value=ast.Attribute(attr="environ") | ast.Name(id="environ"), ctx=ast.Store() | ast.Del()):
            return True
        case ast.Call(func=ast.Attribute(value=ast.Attribute(attr="environ") | ast.Name(id="environ"), attr=method)):
            return method in ("setdefault", "update", "pop", "clear")
        case ast.Call(func=ast.Attribute(attr="putenv" | "unsetenv") | ast.Name(id="putenv" | "unsetenv")):
            return True
        case _:
            return False


def _for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def _absolute(node: ast.ImportFrom, package: str) -> str:
    """The module that `from ... import` names, its leading dots resolved."""
    parts = package.split(".")
    start = parts[: len(parts) - node.level + 1] if node.level else []
    return ".".join([*start, *([node.module] if node.module else [])])


def _file(base: Path, name: str) -> Path | None:
    path = base.joinpath(*name.split("."))
    for file in (path / "__init__.py", path.with_name(f"{path.name}.py")):
        if file.is_file():
            return file
    return None
