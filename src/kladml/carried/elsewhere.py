"""Variables of modules that are bound in functions of the project which a loop calls by their names: no checkpoint keeps them."""

from __future__ import annotations

import dis
import inspect
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cached_property, partial
from itertools import chain
from types import CodeType, FunctionType, ModuleType
from typing import Any, TypeAlias

from kladml.carried.report import OUTSIDE, Carried
from kladml.project import is_foreign

_BINDS = frozenset({dis.opmap["STORE_GLOBAL"], dis.opmap["DELETE_GLOBAL"]})
_WRAPPED = {property: "fget", staticmethod: "__func__", classmethod: "__func__", partial: "func", cached_property: "func"}
_REMEDY = "keep it as an attribute of the experiment"

_Space: TypeAlias = Mapping[str, Any]


def bound_by_calls(code: CodeType, lines: range, space: _Space, kind: type) -> Iterator[Carried]:
    """The module variables that functions of the project declare `global` and bind, which some lines of a function lead to.

    A function is found by its name: in the module of the code that names it, in modules named there, or in the class of the experiment.

    Args:
        code: of the function.
        lines: its lines that matter.
        space: the variables of its module.
        kind: the class of the experiment.

    Yields:
        Each place where one is bound.
    """
    steps = [one for one in dis.get_instructions(code) if one.positions and one.positions.lineno in lines]
    names = {one.argval for one in steps if one.opcode in dis.hasname}
    left = list(_reached(names, [one.argval for one in steps if isinstance(one.argval, CodeType)], space, kind))
    known = set()
    while left:
        code, space = left.pop()
        if code not in known and not is_foreign(code.co_filename):
            known.add(code)
            yield from _bound(code)
            left += _reached(code.co_names, code.co_consts, space, kind)


def _reached(names: Collection[str], constants: Iterable[object], space: _Space, kind: type) -> Iterator[tuple[CodeType, _Space]]:
    """Code that may run where some names and constants are used, each with the variables of its module."""
    yield from ((one, space) for one in constants if isinstance(one, CodeType))
    for name in names:
        value = space.get(name, sys.modules.get(name))
        parts = [vars(value).get(part) for part in names] if isinstance(value, ModuleType) else [value]
        for function in chain.from_iterable(map(_functions, (*parts, inspect.getattr_static(kind, name, None)))):
            yield function.__code__, function.__globals__


def _bound(code: CodeType) -> Iterator[Carried]:
    if _BINDS.isdisjoint(code.co_code[::2]):
        return
    for step in dis.get_instructions(code):
        if step.opcode in _BINDS:
            line = (step.positions.lineno if step.positions else None) or code.co_firstlineno
            yield Carried(name=step.argval, line=line, file=code.co_filename, function=code.co_qualname, remedy=_REMEDY, reason=OUTSIDE)


def _functions(value: object) -> Iterator[FunctionType]:
    """A function with those that it is wrapped around; of a class of the project all functions, since one of them makes its objects."""
    if isinstance(value, FunctionType):
        yield value
    elif isinstance(value, type):
        for base in value.__mro__:
            if not is_foreign(getattr(sys.modules.get(base.__module__), "__file__", None) or "<frozen"):
                yield from (one for part in vars(base).values() if not isinstance(part, type) for one in _functions(part))
    name = _WRAPPED.get(type(value))
    inner = getattr(value, name) if name else inspect.getattr_static(value, "__wrapped__", None)
    if inner is not None:
        yield from _functions(inner)
