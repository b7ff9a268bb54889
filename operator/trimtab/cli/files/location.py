"""Finds the path in a manifest that a violation's key or path refers to."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from trimtab.cli.files.composer import Path
from trimtab.core.violations import Violation

_TOKEN = re.compile(r"\[([^\]]*)\]|([^.\[\]]+)")
_NAMED = {"group": "groups", "profile": "profiles"}

Token = tuple[str, bool]
"""A part of a path, and whether it was in brackets."""


def path_of(body: dict[str, Any], violation: Violation) -> Path:
    """The path from the object's root, as far as it exists."""
    tokens = [
        (found[1] or found[2] or "", found[1] is not None) for found in _TOKEN.finditer(violation.key[:512])
    ]
    return max((_follow(body, way) for way in _ways(violation, tokens)), key=len)


def _ways(violation: Violation, tokens: list[Token]) -> Iterator[list[Token]]:
    """The candidate paths; of those that exist equally far, the first is used."""
    layer, rule = violation.layer, violation.rule
    key = [(violation.key, True)]
    value = [*tokens, *((part, True) for part in violation.entry)]
    kind, _, name = layer.partition("/")
    if kind == "policy" and violation.section:
        field = "value" if violation.section == "enforced" else rule
        yield [*_plain("spec", "policy", violation.section), *key, (field, False)]
        return
    yield tokens
    if kind in _NAMED:
        yield [*_plain("spec", _NAMED[kind]), (name, True), *_plain("values"), *value]
    elif layer == "user":
        yield [*_plain("spec", "values"), *value]
    yield [*_plain("spec"), *tokens]
    if layer == "default":
        yield [*_plain("spec", "keys"), *key, *_plain("default"), *value[len(tokens) :]]
    elif layer == "template":
        yield [*_plain("spec", "keys"), *key, *_plain(rule)]
        yield [*_plain("spec", "keys"), *key, *_plain("items", rule)]
    elif kind == "enforced":
        yield [*_plain("spec", "policy", "enforced"), *key, *_plain("value"), *value[len(tokens) :]]
    yield [*_plain("spec", "policy", "values"), *value]
    yield [*_plain("spec", "policy"), *tokens]
    yield [*_plain("spec", "strategy"), *tokens]


def _plain(*parts: str) -> Iterator[Token]:
    return ((part, False) for part in parts)


def _follow(node: Any, tokens: list[Token]) -> Path:
    """The part of a path that exists. A name may contain dots, so the longest that exists is used."""
    path: list[str | int] = []
    while tokens:
        if isinstance(node, list):
            step = _entry(node, *tokens[0])
            if step is None:
                break
            path.append(step)
            node, tokens = node[step], tokens[1:]
            continue
        taken = _name(node, tokens) if isinstance(node, dict) else None
        if taken is None:
            break
        name, count = taken
        path.append(name)
        node, tokens = node[name], tokens[count:]
    return tuple(path)


def _name(node: dict[str, Any], tokens: list[Token]) -> tuple[str, int] | None:
    for count in range(len(tokens), 0, -1):
        name = ".".join(text for text, _ in tokens[:count])
        if name in node:
            return name, count
    return None


def _entry(node: list[Any], text: str, bracketed: bool) -> int | None:
    if bracketed and text.isdecimal() and len(text) < 9 and int(text) < len(node):
        return int(text)
    names = (
        i
        for i, each in enumerate(node)
        if isinstance(each, dict) and text in (each.get("name"), each.get("key"))
    )
    return next(names, None)
