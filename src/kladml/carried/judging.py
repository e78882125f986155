"""Verdicts about running code, and about classes before they run."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import CodeType, FunctionType
from typing import Any

from kladml.carried.between import carried_between, unbound_without
from kladml.carried.elsewhere import bound_by_calls
from kladml.carried.loops import Body, Walk
from kladml.carried.report import Carried, Reporter, Verdict
from kladml.carried.scopes import Comprehension
from kladml.carried.source import Place, find_place, is_generator
from kladml.carried.within import carried_within, changed_by_call

NO_SOURCE = ("cannot be read, or is not the one that runs, so what the loop carries is not known", "put the class into a file")
NO_RETURN = ("cannot be entered again in its middle", "walk over the batches in a plain for loop of a method, without yield")


def judge(code: CodeType, line: int, first_line: int | None = None) -> Verdict:
    """What a function carries through a loop over steps that it runs, or that it leads to by a call.

    Args:
        code: of the function.
        line: where it is now: at the call of `steps`, or of what leads to one.
        first_line: None when no loop over steps was begun in this epoch before; else where in this function the first one was begun (which
            may be the same line); 0 when that was before this function was called.

    Returns:
        What it carries, each once, in the order of the lines.
    """
    return _judge(code, code.co_filename, line, first_line)  # code is equal to a copy of it in another file


@lru_cache(maxsize=512)
def _judge(code: CodeType, file: str, line: int, first_line: int | None) -> Verdict:
    place = find_place(code)
    reporter = Reporter(file, code.co_qualname, place.first or "self" if isinstance(place, Place) else "self")
    if place is None:
        return Verdict((reporter.say("<source>", line, NO_SOURCE[1], NO_SOURCE[0]),), reads_after=True)
    if not isinstance(place, Place) or isinstance(place.node, ast.Lambda):
        return _judge_expression(place.node if isinstance(place, Place) else place, line, first_line, reporter)
    body = _body(place)
    walks = body.at(line)
    found = [*_walked(body, walks, reporter), *_led(body, line if not walks else None, reporter)]
    if first_line is not None:
        found += [one for walk in walks or body.leading(line) for one in carried_between(body, walk, first_line, reporter)]
    if is_generator(place.node) and (walks or first_line is not None):
        found.append(reporter.say("yield", line, NO_RETURN[1], NO_RETURN[0]))
    loops = [walk.loop for walk in walks if walk.loop is not None]
    reads_after = len(loops) < len(walks) or any(body.read_after(loop) for loop in loops)
    return Verdict(_in_order(found), reads_after, _in_order(one for loop in loops for one in unbound_without(body, loop, reporter)))


@lru_cache(maxsize=64)
def _body(place: Place) -> Body:
    return Body(place)


def _judge_expression(node: ast.AST, line: int, first_line: int | None, reporter: Reporter) -> Verdict:
    """A lambda or a comprehension, which can lead to the first loop only."""
    walks = any(isinstance(one, ast.Attribute) and one.attr == "steps" for one in ast.walk(node))
    if not walks and first_line is None:
        return Verdict((), reads_after=False)
    name = "lambda" if isinstance(node, ast.Lambda) else "comprehension"
    return Verdict((reporter.say(name, line, NO_RETURN[1], NO_RETURN[0]),), reads_after=True)


def bound_elsewhere(code: CodeType, line: int, space: Mapping[str, Any], kind: type) -> tuple[Carried, ...]:
    """The module variables that are bound by functions of the project which a loop over steps leads to.

    Args:
        code: of the function that the loop is in.
        line: where it calls `steps`.
        space: the variables of its module.
        kind: the class of the experiment.
    """
    place = find_place(code)
    loops = [walk.loop for walk in _body(place).at(line)] if isinstance(place, Place) else []
    lines = [range(loop.lineno, (loop.end_lineno or loop.lineno) + 1) for loop in loops if loop is not None]
    return _in_order(one for some in lines for one in bound_by_calls(code, some, space, kind))


def _walked(body: Body, walks: list[Walk], reporter: Reporter) -> Iterator[Carried]:
    for walk in walks:
        yield from carried_within(body, walk, reporter)


def _led(body: Body, line: int | None, reporter: Reporter) -> Iterator[Carried]:
    for walk in body.leading(line) if line is not None else ():
        yield from changed_by_call(body, walk.statement, reporter)


def _in_order(found: Iterable[Carried]) -> tuple[Carried, ...]:
    """Each name once, where it is carried first."""
    first: dict[tuple[str, str, str], Carried] = {}
    for one in sorted(found, key=lambda one: (one.file, one.line)):
        first.setdefault((one.file, one.function, one.name), one)
    return tuple(first.values())


def find(kind: type) -> list[Carried]:
    """What the methods of a class carry through loops over steps, as far as its text says.

    Args:
        kind: a subclass of Experiment.

    Returns:
        What they carry, each once, in the order of files and lines.
    """
    functions = list(_functions(kind))
    codes = [code for function in functions for code in _codes(function.__code__)]
    places = [(code, find_place(code)) for code in codes]
    bodies = [(code, _body(place)) for code, place in places if isinstance(place, Place)]
    leading = [(code, sites, order) for code, sites, order in _in_class(bodies) if sites]
    found = [one for code, sites, order in leading for one in _verdicts(code, sites, order)]
    spaces = {code: function.__globals__ for function in functions for code in _codes(function.__code__)}
    found += [one for code, sites, _ in leading for site in sites for one in bound_elsewhere(code, site.line, spaces[code], kind)]
    for code, place in places:
        if place is None and "steps" in code.co_names:
            found += judge(code, code.co_firstlineno).carried
    return list(_in_order(found))


def _functions(kind: type) -> Iterator[FunctionType]:
    for base in kind.__mro__:
        if base.__module__.split(".")[0] == "kladml":
            return
        for value in vars(base).values():
            function = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
            function = inspect.unwrap(function) if callable(function) else function
            if isinstance(function, FunctionType):
                yield function


def _codes(code: CodeType) -> Iterator[CodeType]:
    """A function's code, and that of the functions in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


@dataclass(frozen=True, slots=True)
class _Site:
    """A line that walks over steps, or calls methods that do."""

    line: int
    is_repeated: bool
    methods: frozenset[str]


@dataclass(slots=True)
class _Order:
    """Methods that are called after the first loop over steps of an epoch was begun, and those that return before the last one is."""

    late: set[str] = field(default_factory=set)
    early: set[str] = field(default_factory=set)


def _in_class(bodies: list[tuple[CodeType, Body]]) -> list[tuple[CodeType, list[_Site], _Order]]:
    """The functions of a class with their lines that lead to loops over steps."""
    leading: set[str] = set()
    order, known = _Order(), None
    while known != (len(leading), len(order.late), len(order.early)):
        known = (len(leading), len(order.late), len(order.early))
        sites = [(code, _sites(body, leading)) for code, body in bodies]
        leading |= {code.co_name for code, found in sites if found}
        for code, found in sites:
            for at, site in enumerate(found):
                order.late |= site.methods if at or site.is_repeated or code.co_name in order.late else set()
                order.early |= site.methods if site is not found[-1] or site.is_repeated or code.co_name in order.early else set()
    return [(code, found, order) for code, found in sites]


def _sites(body: Body, leading: set[str]) -> list[_Site]:
    nodes = {node: "" for node in body.mentions if body.is_certain(node)}
    for node in body.nodes:
        called = node.func if isinstance(node, ast.Call) else None
        if isinstance(called, ast.Attribute) and called.attr in leading and body.is_self(called.value):
            nodes[node] = called.attr
    lines = sorted({getattr(node, "lineno", 0) for node in nodes})
    return [_site(body, line, {node: name for node, name in nodes.items() if getattr(node, "lineno", 0) == line}) for line in lines]


def _site(body: Body, line: int, nodes: dict[ast.AST, str]) -> _Site:
    methods = [name for name in nodes.values() if name]
    is_repeated = any(body.is_repeated(walk) for walk in body.at(line) or body.leading(line))
    is_repeated |= len(methods) > 1 or any(isinstance(one, Comprehension) for node in nodes if nodes[node] for one in body.around(node))
    return _Site(line, is_repeated, frozenset(methods))


def _verdicts(code: CodeType, sites: list[_Site], order: _Order) -> Iterator[Carried]:
    for site in sites:
        firsts = {None if site is sites[0] else sites[0].line, *([sites[0].line] * site.is_repeated), *([0] * (code.co_name in order.late))}
        for first in firsts:
            verdict = judge(code, site.line, first)
            yield from verdict.carried
            yield from verdict.unbound if code.co_name in order.early else ()
