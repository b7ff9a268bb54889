"""Rejects values whose text YAML changes, where a key requires that text.

YAML reads ``07030`` as 3608, ``no`` as false and ``2.0`` as 2. The API server only receives the value, so there a
warning shows how it was interpreted. A file still has the text, so the CLI rejects the value.
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
    """The misread values of an object, with their positions. ``keys`` are the template's."""
    item = manifest.place.item
    within: Path = ("items", item - 1) if item else ()
    for path, spot in manifest.document.misread():
        if path[: len(within)] != within:
            continue
        path = path[len(within) :]
        name, layer = _setting(manifest.body, path) or ("", "")
        key = keys.get(name)
        if key is not None and _is_misread(key, layer, value := _at(manifest.body, path), spot.text):
            yield _violation(key, layer, value, spot.text), spot


def _is_misread(key: KeySpec, layer: str, value: Any, text: str) -> bool:
    if value is None and layer in ("default", "template"):  # an unset field of the declaration
        return False
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return key.type in _TEXTS or (key.type in _NUMBERS and is_number and not keeps_digits(text, value))


def _violation(key: KeySpec, layer: str, value: Any, text: str) -> Violation:
    if key.sensitive:
        return invalid(key.name, layer)
    remedy = "write no more digits than a 64-bit number keeps"
    if key.type in _TEXTS:
        remedy = "quote it, or remove the key" if value is None else "quote it"
    return Violation(key.name, layer, "type", f"YAML reads {text[:60]} as {json.dumps(value)}", remedy=remedy)


def _setting(body: Body, path: Path) -> tuple[str, str] | None:
    """The key that the value at this path sets, and its layer; None if it sets no key."""
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
