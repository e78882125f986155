"""JSON Schema of config files, so that editors complete and check them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any, Literal, get_args, get_origin

from kladml.config.describe import LISTS, MAPPINGS
from kladml.config.fields import RecordField, UnreadableAnnotations, arms, is_record, record_fields, unwrap
from kladml.config.schema import ExperimentConfig, plain

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_TYPES: dict[Any, str] = {int: "integer", float: "number", str: "string", bool: "boolean", type(None): "null", None: "null"}

Schema = dict[str, Any]


def build_schema(classes: Mapping[str, type | None], config: type[ExperimentConfig] = ExperimentConfig) -> Schema:
    """JSON Schema of a config file.

    Args:
        classes: the registered names, each with the Hyperparams class that its experiment declares, or None.
        config: the class of the configs.

    Returns:
        A JSON Schema, draft 2020-12. A key that must be given may also come from the file that a config extends, so a file with `extends`
        may leave any out.
    """
    builder = _Builder()
    root = builder.record_body(config)
    root["properties"] = {
        "$schema": {"type": "string", "description": "ignored; tells the editor which schema to use"},
        "extends": {"type": "string", "minLength": 1, "description": "another file, relative to this one, whose values this one changes"},
        **root["properties"],
    }
    if classes:
        root["properties"]["model_type"]["enum"] = sorted(classes)
    branches = [builder.branch(name, declared) for name, declared in sorted(classes.items()) if declared is not None]
    complete = {"if": {"not": {"required": ["extends"]}}, "then": builder.requirements(config, without=("name",))}
    schema = {"$schema": _DIALECT, "title": "a KladML experiment", **root, "allOf": [complete, *branches]}
    return {**schema, "$defs": builder.definitions} if builder.definitions else schema


class _Builder:
    """Collects the record classes that a schema refers to.

    Attributes:
        definitions: their schemas by name.
    """

    def __init__(self) -> None:
        self.definitions: dict[str, Schema] = {}
        self._names: dict[type, str] = {}

    def record_body(self, record: type) -> Schema:
        """Properties of a record class, none of them required."""
        properties = {}
        for field in _fields(record):
            schema = self._value(field.annotation)
            if field.description:
                schema["description"] = field.description
            if not field.required and _is_json(field.default):
                schema["default"] = plain(field.default)
            properties[field.key] = schema
        return {"type": "object", "properties": properties, "additionalProperties": False}

    def branch(self, name: str, declared: type) -> Schema:
        """What holds for the hyperparams of one model type."""
        body = self.record_body(declared)
        body["properties"].setdefault("epochs", {"type": "integer", "minimum": 1, "default": 1, "description": "how many epochs to train"})
        this = {"properties": {"model_type": {"const": name}}, "required": ["model_type"]}
        needed = self.requirements(declared)
        demand = {"properties": {"hyperparams": needed}, **({"required": ["hyperparams"]} if needed.get("required") else {})}
        complete = {"if": {"not": {"required": ["extends"]}}, "then": demand}
        return {"if": this, "then": {"properties": {"hyperparams": body}, **(complete if needed else {})}}

    def requirements(self, record: type, without: tuple[str, ...] = (), outer: tuple[type, ...] = ()) -> Schema:
        """Which keys must be given, here and in the records below."""
        fields = [field for field in _fields(record) if field.key not in without]
        below = {}
        for field in fields:
            inner = next((unwrap(arm)[0] for arm in arms(unwrap(field.annotation)[0]) if is_record(unwrap(arm)[0])), None)
            needed = self.requirements(inner, outer=(*outer, record)) if inner is not None and inner not in (*outer, record) else {}
            if needed:
                below[field.key] = needed
        required = [field.key for field in fields if field.required]
        return {**({"required": required} if required else {}), **({"properties": below} if below else {})}

    def _value(self, annotation: Any) -> Schema:
        inner, rules, foreign = unwrap(annotation)
        schema = _delegated(annotation) if foreign else self._typed(inner)
        for rule in rules:
            schema.update(rule.schema())
        return schema

    def _typed(self, annotation: Any) -> Schema:
        origin, parameters = get_origin(annotation), get_args(annotation)
        if len(arms(annotation)) > 1:
            return {"anyOf": [self._value(arm) for arm in arms(annotation)]}
        if is_record(annotation):
            return self._reference(annotation)
        if origin is Literal:
            return {"enum": list(parameters)}
        if annotation in _TYPES:
            return {"type": _TYPES[annotation]}
        if origin in MAPPINGS and parameters:
            return {"type": "object", "additionalProperties": self._value(parameters[1])}
        if origin in LISTS and parameters and (origin is not tuple or parameters[-1] is Ellipsis):
            return {"type": "array", "items": self._value(parameters[0])}
        return _delegated(annotation)

    def _reference(self, record: type) -> Schema:
        if record not in self._names:
            name = record.__name__
            while name in self.definitions:
                name += "_"
            self._names[record] = name
            self.definitions[name] = {}  # a class that contains itself refers to this one
            self.definitions[name] = self.record_body(record)
        return {"$ref": f"#/$defs/{self._names[record]}"}


def _fields(record: type) -> tuple[RecordField, ...]:
    try:
        return record_fields(record)
    except UnreadableAnnotations:
        return ()


def _delegated(annotation: Any) -> Schema:
    """The schema of a leaf; anything is allowed where there is none."""
    if annotation is Any or annotation is object:
        return {}
    if isinstance(annotation, type) and issubclass(annotation, PurePath):
        return {"type": "string"}
    import msgspec

    try:
        schemas, components = msgspec.json.schema_components([annotation])
    except Exception:  # msgspec has no one error for types it cannot describe
        return {}
    return {} if components and "$ref" not in schemas[0] else _inlined(schemas[0], components)


def _inlined(schema: Schema, components: Mapping[str, Any]) -> Schema:
    if "$ref" not in schema:
        return schema
    component = components[schema["$ref"].rpartition("/")[2]]
    return {} if "$ref" in json.dumps(component) else dict(component)


def _is_json(value: Any) -> bool:
    try:
        json.dumps(plain(value), allow_nan=False)
    except (TypeError, ValueError):
        return False
    return value is not None
