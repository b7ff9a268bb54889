"""Fields of objects: the leaves that server-side apply owns, and merge patches (RFC 7386)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from trimtab.kube.port import Body

Path = tuple[str, ...]


def leaves(node: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every field that is not a map, with its path. All lists are treated as atomic."""
    if isinstance(node, dict):
        for name, value in node.items():
            if isinstance(value, dict):
                yield from leaves(value, (*path, name))
            else:
                yield (*path, name), value


def assign(node: Body, path: Path, value: Any) -> None:
    *parents, last = path
    for part in parents:
        node = node.setdefault(part, {})
    node[last] = value


def cut(node: Body, path: Path) -> None:
    *parents, last = path
    for part in parents:
        node = node.get(part) or {}
    node.pop(last, None)


def merged_with(target: Any, patch: Any) -> Any:
    """RFC 7386, JSON Merge Patch."""
    if not isinstance(patch, dict):
        return patch
    merged: Body = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merged_with(merged.get(name), value)
    return merged
