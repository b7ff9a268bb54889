"""Values that YAML reads as something else than their text says, where a key wants that text.

``07030`` is read as 3608, ``no`` as false and ``2.0`` as 2, and the API server only gets what was read: there a warning
shows the value that was taken. Files still have the text, so here such a value is refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from trimtab.api.config_template import KeySpec
from trimtab.cli.files.composer import Path, Spot
from trimtab.cli.files.manifests import Manifest
from trimtab.cli.files.scalars import keeps_digits
from trimtab.core.violations import Violation, invalid
from trimtab.kube.port import Body

_TEXTS = frozenset(("String", "StringList", "StringMap"))
_NUMBERS = frozenset(("Integer", "Number", "NumberMap"))


def violations(manifest: Manifest, keys: Mapping[str, KeySpec]) -> Iterator[tuple[Violation, Spot]]:
    """What is read otherwise than it was written in an object, with its place. ``keys`` are the template's."""
    item = manifest.place.item
    for path, spot in manifest.document.misread():
        if item and path[:2] != ("items", item - 1):
            continue
        path = path[2:] if item else path
        named = _setting(manifest.body, path)
        key = keys.get(named[0]) if named is not None else None
        if named is None or key is None:
            continue
        name, layer = named
        value = _at(manifest.body, path)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        lost = is_number and not keeps_digits(spot.text, value)
        if not (key.type in _TEXTS or (key.type in _NUMBERS and lost)):
            continue
        if value is None and layer in ("default", "template"):  # a field of the declaration that is left out
            continue
        if key.sensitive:
            yield invalid(name, layer), spot
            continue
        problem = f"YAML reads {spot.text[:60]} as {json.dumps(value)}"
        remedy = "quote it, or remove the key" if value is None else "quote it"
        remedy = remedy if key.type in _TEXTS else "write no more digits than a 64-bit number keeps"
        yield Violation(name, layer, "type", problem, remedy=remedy), spot


def _setting(body: Body, path: Path) -> tuple[str, str] | None:
    """The key that a value at this path is for, and the layer that sets it; None elsewhere."""
    match path:
        case ("spec", "keys", int(), "default" | "enum" as where, *_):
            return str(_at(body, (*path[:3], "name"))), "default" if where == "default" else "template"
        case ("spec", "keys", int(), "minimum" | "maximum") | ("spec", "keys", int(), "items", *_):
            return str(_at(body, (*path[:3], "name"))), "template"
        case ("spec", "profiles" | "groups" as layers, int(), "values", str(key), *_):
            return key, f"{layers[:-1]}/{_at(body, (*path[:3], 'name'))}"
        case ("spec", "values", str(key), *_):
            return key, "user"
        case ("spec", "policy", "values", str(key), *_):
            return key, f"policy/{body['metadata']['name']}"
        case ("spec", "policy", "enforced", int(), "value", *_):
            return str(_at(body, (*path[:4], "key"))), f"enforced/{body['metadata']['name']}"
        case ("spec", "policy", "constraints", int(), "enum" | "minimum" | "maximum", *_):
            return str(_at(body, (*path[:4], "key"))), f"policy/{body['metadata']['name']}"
    return None


def _at(body: Body, path: Path) -> Any:
    node: Any = body
    for step in path:
        node = node[step]
    return node
