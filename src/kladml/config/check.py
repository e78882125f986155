"""The collector: turns plain values into what annotations ask for, and finds every problem, not only the first.

msgspec alone would stop at the first error and accept unknown keys in dataclasses, so records and containers are walked here and
msgspec converts only the leaves that are more than text, numbers, booleans, null and literals.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any, Literal, get_args, get_origin

from kladml.config.describe import LISTS, MAPPINGS, describe, meant_for, remedy
from kladml.config.fields import RecordField, UnreadableAnnotations, arms, is_record, record_fields, unwrap
from kladml.config.words import Path, Problem, show, suggest, with_hint


class Checker:
    """Checks one document.

    Attributes:
        problems: what was found so far.
    """

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def value(self, value: Any, annotation: Any, path: Path) -> Any:
        """Check one value.

        Args:
            value: a plain value, or one that is of the declared type already.
            annotation: what is declared.
            path: where it stands.

        Returns:
            The converted value; meaningless when a problem was added.
        """
        inner, rules, foreign = unwrap(annotation)
        before = len(self.problems)
        result = self._leaf(value, annotation, path) if foreign else self._typed(value, inner, path)
        if len(self.problems) == before:
            for rule in rules:
                self.problems += [problem.below(path) for problem in rule.check(result)]
        return result

    def record(self, value: Any, record: type, path: Path) -> Any:
        """Check a mapping against a record class and build it, when there is no problem in it."""
        if isinstance(value, record):
            return value
        if not isinstance(value, Mapping):
            return self._wrong(value, record, path)
        before = len(self.problems)
        arguments = self.arguments(value, record, path)
        if len(self.problems) > before:
            return value
        try:
            return record(**arguments)
        except Exception as error:  # a check that the class itself makes; whatever it raises is its verdict on the values
            reason = " ".join(str(error).split()) or type(error).__name__
            self._add(path, f"refused by {record.__name__}: {reason}")
            return value

    def arguments(self, values: Mapping[str, Any], record: type, path: Path) -> dict[str, Any]:
        """Check all fields of a record class.

        Args:
            values: by key.
            record: the class.
            path: where the record stands.

        Returns:
            Converted values by argument name, for those that were given.
        """
        try:
            fields = {field.key: field for field in record_fields(record)}
        except UnreadableAnnotations as error:
            self._add(path, str(error))
            return {}
        for key in values:
            if key not in fields:
                self._unknown(key, fields, path)
        self._missing(values, fields, path)
        given = [field for field in fields.values() if field.key in values]
        return {field.name: self.value(values[field.key], field.annotation, (*path, field.key)) for field in given}

    def _unknown(self, key: str, fields: Mapping[str, RecordField], path: Path) -> None:
        hint = suggest(key, fields)
        if not hint and "hyperparams" in fields:
            hint = "values for the experiment itself go under hyperparams"
        self._add((*path, key), with_hint("unknown key", hint, f"allowed: {', '.join(fields) or 'none'}"))

    def _missing(self, values: Mapping[str, Any], fields: Mapping[str, RecordField], path: Path) -> None:
        for field in fields.values():
            if field.required and field.key not in values:
                meaning = f": {field.description}" if field.description else ""
                self._add((*path, field.key), f"missing; give {describe(field.annotation)}{meaning}")

    def _typed(self, value: Any, annotation: Any, path: Path) -> Any:
        if annotation is Any or annotation is object:
            return value
        if is_record(annotation):
            return self.record(value, annotation, path)
        alternatives = arms(annotation)
        if len(alternatives) > 1:
            return self._union(value, annotation, alternatives, path)
        origin, parameters = get_origin(annotation), get_args(annotation)
        if origin in MAPPINGS and parameters:
            return self._mapping(value, annotation, path)
        if origin in LISTS and parameters:
            return self._list(value, annotation, path)
        return self._leaf(value, annotation, path)

    def _union(self, value: Any, annotation: Any, alternatives: tuple[Any, ...], path: Path) -> Any:
        """The first alternative that fits. When none does, the problems of the only one that comes near."""
        if value is None and type(None) in alternatives:
            return None
        near: list[list[Problem]] = []
        for arm in sorted(alternatives, key=lambda arm: not meant_for(value, arm)):
            attempt = Checker()
            result = attempt.value(value, arm, path)
            if not attempt.problems:
                return result
            if meant_for(value, arm):
                near.append(attempt.problems)
        if len(near) != 1:
            return self._wrong(value, annotation, path)
        self.problems += near[0]
        return value

    def _list(self, value: Any, annotation: Any, path: Path) -> Any:
        if not isinstance(value, (list, tuple, set, frozenset)):
            return self._wrong(value, annotation, path)
        before, origin, types = len(self.problems), get_origin(annotation), get_args(annotation)
        if origin is not tuple or types[-1] is Ellipsis:
            types = (types[0],) * len(value)
        if len(types) != len(value):
            self._add(path, f"found a list of {len(value)}; allowed: a list of {len(types)}")
            return value
        items = [self.value(item, types[index], (*path, index)) for index, item in enumerate(value)]
        if len(self.problems) > before:
            return value
        if origin is tuple:
            return tuple(items)
        return self._converted(items, annotation, path) if origin in (set, frozenset) else items

    def _mapping(self, value: Any, annotation: Any, path: Path) -> Any:
        if not isinstance(value, Mapping):
            return self._wrong(value, annotation, path)
        item_type = get_args(annotation)[1]
        return {key: self.value(item, item_type, (*path, str(key))) for key, item in value.items()}

    def _leaf(self, value: Any, annotation: Any, path: Path) -> Any:
        if annotation is float and isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 1023:
            return float(value)
        if annotation in (int, float, str, bool, None, type(None)) or get_origin(annotation) is Literal:
            return value if _fits(value, annotation) else self._wrong(value, annotation, path)
        if isinstance(annotation, type) and isinstance(value, annotation):
            return value
        if isinstance(annotation, type) and issubclass(annotation, PurePath):
            return annotation(value) if isinstance(value, str) else self._wrong(value, annotation, path)
        return self._converted(value, annotation, path)

    def _converted(self, value: Any, annotation: Any, path: Path) -> Any:
        import msgspec

        try:
            return msgspec.convert(value, annotation)
        except msgspec.ValidationError as error:
            expected = str(error).replace("`", "").split(", got ")[0].split(" - at ")[0]
            limit = f" ({expected.removeprefix('Expected ')})" if expected.startswith("Expected ") else ""
            self._add(path, with_hint(f"found {show(value)}; allowed: {describe(annotation)}{limit}", remedy(value, annotation)))
        except Exception as error:  # an annotation that msgspec has no conversion for, or a class whose own check refuses the value
            self._add(path, f"found {show(value)}, which cannot be made {describe(annotation)}: {error}")
        return value

    def _wrong(self, value: Any, annotation: Any, path: Path) -> Any:
        self._add(path, with_hint(f"found {show(value)}; allowed: {describe(annotation)}", remedy(value, annotation)))
        return value

    def _add(self, path: Path, message: str) -> None:
        self.problems.append(Problem(path, message))


def _fits(value: Any, annotation: Any) -> bool:
    if get_origin(annotation) is Literal:
        return any(type(choice) is type(value) and choice == value for choice in get_args(annotation))
    if annotation is None or value is None:
        return value is None and annotation in (None, type(None))
    return isinstance(value, annotation) and (annotation is bool or not isinstance(value, bool))
