"""From what a violation names, a key or a path, to where that is in an object as it was written."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from trimtab.cli.loading.composer import Path

_TOKEN = re.compile(r"\[([^\]]*)\]|([^.\[\]]+)")
_NAMED = {"group": "groups", "profile": "profiles"}

Token = tuple[str, bool]
"""A part of a path, and whether it stood in brackets."""


def path_of(body: dict[str, Any], key: str, layer: str) -> Path:
    """The way from the object's root, as far as it is there."""
    tokens = [(found[1] or found[2] or "", found[1] is not None) for found in _TOKEN.finditer(key[:512])]
    return max((_follow(body, [*start, *tokens]) for start in _starts(key, layer)), key=len)


def _starts(key: str, layer: str) -> Iterator[list[Token]]:
    """Where what is named may begin; the first of equally long ways is taken."""
    spec = ("spec", False)
    yield []
    kind, _, name = layer.partition("/")
    if kind in _NAMED:
        yield [spec, (_NAMED[kind], False), (name, True), ("values", False)]
    elif layer == "user":
        yield [spec, ("values", False)]
    yield [spec]
    if layer in ("default", "template"):
        yield [spec, ("keys", False), (key, True), ("default", False)]
    yield [spec, ("policy", False), ("values", False)]
    yield [spec, ("policy", False)]
    yield [spec, ("strategy", False)]


def _follow(node: Any, tokens: list[Token]) -> Path:
    """A name may hold dots, so the longest that is there is taken."""
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
    names = (i for i, each in enumerate(node) if isinstance(each, dict) and each.get("name") == text)
    return next(names, None)
