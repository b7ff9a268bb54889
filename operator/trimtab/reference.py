"""Generates docs/reference.md: every field, its meaning, and whether this version implements it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from trimtab import crd
from trimtab.api import KINDS, Resource
from trimtab.api.meta import UNSUPPORTED

PATH = "docs/reference.md"

_HEAD = """\
# Reference

Every field of `trimtab.dev/v1alpha1`, generated from the models by `make crds`; `kubectl explain` shows the same text.
This version does not implement the fields that are marked `NotSupported`: an object that sets one gets `Ready=False`
with reason `NotSupported` and a message that names the field. For the terms, see the [glossary](glossary.md).
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table of a kind."""

    path: str
    type: str
    state: str
    meaning: str


def text() -> str:
    """The whole page."""
    return "\n".join([_HEAD, *(_section(model) for model in KINDS)])


def rows(model: type[Resource]) -> list[Row]:
    """Every field of a kind's spec and status."""
    properties = crd.structural(model)["properties"]
    return [row for name in ("spec", "status") for row in _field(properties[name], name)]


def _section(model: type[Resource]) -> str:
    info = model.info
    lines = [f"## {info.kind} (`{info.short_name}`)\n", " ".join((model.__doc__ or "").split()), ""]
    lines += ["| field | type | state | meaning |", "|---|---|---|---|"]
    lines += [
        f"| `{row.path}` | {_cell(row.type)} | {row.state} | {_cell(row.meaning)} |" for row in rows(model)
    ]
    return "\n".join([*lines, ""])


def _field(schema: dict[str, Any], path: str, *, built: bool = True) -> Iterator[Row]:
    mark = schema.get(UNSUPPORTED)
    built = built and mark is not True
    state = "supported" if built else "NotSupported"
    if built and mark:
        state = f"supported; {', '.join(mark)}: NotSupported"
    yield Row(path, _type(schema), state, schema["description"])
    inside, path = _contents(schema, path)
    for name, part in inside.get("properties", {}).items():
        yield from _field(part, f"{path}.{name}", built=built)


def _contents(schema: dict[str, Any], path: str) -> tuple[dict[str, Any], str]:
    """Schema and path of the entries of a list or map."""
    if "items" in schema:
        return schema["items"], f"{path}[]"
    if "additionalProperties" in schema:
        return schema["additionalProperties"], f"{path}.*"
    return schema, path


def _type(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return " | ".join(str(choice) for choice in schema["enum"])
    if "items" in schema:
        return f"list of {_type(schema['items'])}"
    if "additionalProperties" in schema:
        return f"map of {_type(schema['additionalProperties'])}"
    if schema.get("format") == "date-time":
        return "time"
    return str(schema.get("type", "any"))


def _cell(content: str) -> str:
    return content.replace("|", "\\|").replace("<", "&lt;")
