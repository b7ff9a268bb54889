"""docs/reference.md: every field of the contract, what it means, and whether this version builds it."""

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

Every field of `trimtab.dev/v1alpha1`, made of the models by `make crds`; `kubectl explain` says the same.
A field that is `NotSupported` is named by the contract, but not built in this version: an object that sets it
gets `Ready=False` with reason `NotSupported` and a message that names the field.
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a kind's table."""

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


def _field(said: dict[str, Any], path: str, *, built: bool = True) -> Iterator[Row]:
    mark = said.get(UNSUPPORTED)
    built = built and mark is not True
    state = "built" if built else "NotSupported"
    if built and mark:
        state = f"built; {', '.join(mark)}: NotSupported"
    yield Row(path, _type(said), state, said["description"])
    inside, path = _contents(said, path)
    for name, part in inside.get("properties", {}).items():
        yield from _field(part, f"{path}.{name}", built=built)


def _contents(said: dict[str, Any], path: str) -> tuple[dict[str, Any], str]:
    """What the entries of a list or map are, and how their path is written."""
    if "items" in said:
        return said["items"], f"{path}[]"
    if "additionalProperties" in said:
        return said["additionalProperties"], f"{path}.*"
    return said, path


def _type(said: dict[str, Any]) -> str:
    if "enum" in said:
        return " | ".join(str(choice) for choice in said["enum"])
    if "items" in said:
        return f"list of {_type(said['items'])}"
    if "additionalProperties" in said:
        return f"map of {_type(said['additionalProperties'])}"
    if said.get("format") == "date-time":
        return "time"
    return str(said.get("type", "any"))


def _cell(content: str) -> str:
    return content.replace("|", "\\|").replace("<", "&lt;")
