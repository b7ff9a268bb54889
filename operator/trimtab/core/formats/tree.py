"""Keys nested by their dots, once for the structured formats: JSON, YAML and TOML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Leaf:
    """A key, under the last segment of its name."""

    name: str
    key: str


@dataclass(frozen=True, slots=True)
class Branch:
    """A segment that contains others, in the order in which the keys were given."""

    name: str
    children: tuple[Leaf | Branch, ...]


def nest(keys: Sequence[str]) -> Branch:
    """``["a.b", "c", "a.d"]`` to a nameless root with a branch ``a`` (leaves ``b``, ``d``) and a leaf ``c``.

    :raises ValueError: one key is given twice, or is also a part of another (``a`` and ``a.b``).
    """
    root: dict[str, object] = {}
    for key in keys:
        *parents, last = key.split(".")
        node = root
        for part in parents:
            below = node.setdefault(part, {})
            if not isinstance(below, dict):
                raise ValueError(f"{below} and {key} cannot both be keys")
            node = below
        if last in node:
            raise ValueError(f"{key} is given twice, or is also a section")
        node[last] = key
    return _branch("", root)


def _branch(name: str, node: dict[str, object]) -> Branch:
    return Branch(
        name,
        tuple(
            _branch(part, below) if isinstance(below, dict) else Leaf(part, str(below))
            for part, below in node.items()
        ),
    )


def dotted(keys: Sequence[str], prefix: str) -> dict[str, str]:
    """The names in a format that keeps the dots, or nests by them: the keys themselves."""
    return {key: key for key in keys}
