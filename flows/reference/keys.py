"""A pydantic model as a table of keys: type, bounds, default and meaning, sections inside it by their dotted names."""

import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple, get_args

from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo

_BOUNDS: Final = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
_TYPES: Final = {"integer": "whole number", "number": "number", "string": "text", "boolean": "`true` or `false`"}
_ATTRIBUTES: Final = re.compile(r"^Attributes:\n(?P<body>(?:[ ]{4}.*\n|\n)*)", re.MULTILINE)
_ENTRY: Final = re.compile(r"^ {4}(?P<name>\w+): (?P<text>.*(?:\n {8}.*)*)", re.MULTILINE)


class Key(NamedTuple):
    """One key of a configuration."""

    name: str  # dotted
    kind: str  # in words, bounds included
    default: str
    meaning: str


def keys(model: type[BaseModel], *, prefix: str = "", elsewhere: Mapping[str, str] | None = None) -> Iterator[Key]:
    """Every key of a model, in the order of its fields.

    Args:
        model: of a configuration.
        prefix: of the dotted names.
        elsewhere: keys that have a page of their own, and what stands in their place as a type.
    """
    elsewhere = elsewhere or {}
    known = described(model)
    for name, field in model.model_fields.items():
        section = None if name in elsewhere else section_of(field)
        if section is None:
            kind = elsewhere.get(name) or type_in_words(field)
            yield Key(f"{prefix}{name}", kind, _default(field), known.get(name, ""))
            continue
        if field.default is None:
            about = known.get(name) or first_paragraph(section)
            yield Key(f"{prefix}{name}", "section", "none", about)
        yield from keys(section, prefix=f"{prefix}{name}.", elsewhere=elsewhere)


def described(model: type[BaseModel]) -> dict[str, str]:
    """What each field says of itself, or the `Attributes:` of the class and of those that it is made of."""
    found: dict[str, str] = {}
    for kind in reversed(model.__mro__):
        if issubclass(kind, BaseModel) and (part := _ATTRIBUTES.search((inspect.getdoc(kind) or "") + "\n")):
            found |= {entry["name"]: " ".join(entry["text"].split()) for entry in _ENTRY.finditer(part["body"])}
    return found | {name: field.description for name, field in model.model_fields.items() if field.description}


def first_paragraph(documented: object) -> str:
    """Of its docstring, in one line."""
    return " ".join((inspect.getdoc(documented) or "").partition("\n\n")[0].split())


def paragraphs(model: type[BaseModel]) -> str:
    """Its docstring, but for the list of attributes."""
    parts = (inspect.getdoc(model) or first_paragraph(model)).split("\n\n")
    return "\n\n".join(" ".join(part.split()) for part in parts if not part.startswith("Attributes:"))


def section_of(field: FieldInfo) -> type[BaseModel] | None:
    """The model that a field holds, maybe optionally; None for a value or a list."""
    for kind in (field.annotation, *get_args(field.annotation)):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None


def type_in_words(field: FieldInfo) -> str:
    """What a field takes, as JSON Schema knows it."""
    annotation: Any = field.annotation
    for bound in field.metadata:
        annotation = _annotated(annotation, bound)
    return _words(TypeAdapter(annotation).json_schema())


def _annotated(annotation: Any, bound: Any) -> Any:
    from typing import Annotated

    return Annotated[annotation, bound]


def _words(schema: Mapping[str, Any]) -> str:
    if "anyOf" in schema:
        parts = [_words(part) for part in schema["anyOf"] if part.get("type") != "null"]
        return " or ".join(dict.fromkeys(parts))
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "prefixItems" in schema:
        return f"list of {len(schema['prefixItems'])}: {_words(schema['prefixItems'][0])}"
    if schema.get("type") == "array":
        least = f", at least {schema['minItems']}" if "minItems" in schema else ""
        return f"list of: {_words(schema['items'])}{least}"
    if schema.get("type") == "object":
        return "mapping"
    found = _TYPES.get(str(schema.get("type")), "text")
    bounds = [f"{sign} {schema[name]:g}" for name, sign in _BOUNDS.items() if name in schema]
    return ", ".join([found, *bounds])


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    value = field.get_default(call_default_factory=True)
    if value is None or value == "":
        return "none"
    if isinstance(value, tuple | list):
        return f"`[{', '.join(map(str, value))}]`"
    if isinstance(value, BaseModel | dict):
        return "`{}`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"
