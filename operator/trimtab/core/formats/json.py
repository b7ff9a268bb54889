"""JSON (RFC 8259), nested by the dots: UTF-8, nothing but control characters escaped, a newline at the end.

Keys are in the template's order and map entries are sorted, so equal values give equal bytes. A Number is
always written as a float (``2.0``) and an Integer never, so readers that distinguish them see the right type.
Every Unicode string can be written, NUL included. (JavaScript rounds integers beyond 2**53.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from trimtab.core.formats.tree import dotted, nest
from trimtab.core.formats.writer import Format, Value, Writer

_encode = msgspec.json.Encoder().encode
_indented = msgspec.json.format


@dataclass(frozen=True, slots=True)
class JSONWriter(Writer):
    """``paths``: each key with the segments above its leaf, and the leaf."""

    paths: tuple[tuple[str, tuple[str, ...], str], ...]
    compact: bool

    def text(self, values: Mapping[str, Value]) -> str:
        document = _encode(self.document(values))
        return (document if self.compact else _indented(document, indent=2)).decode() + "\n"

    def document(self, values: Mapping[str, Value]) -> dict[str, Any]:
        root: dict[str, Any] = {}
        for key, parents, leaf in self.paths:
            if key not in values:
                continue
            value = values[key]
            node = root
            for part in parents:
                node = node.setdefault(part, {})
            node[leaf] = dict(sorted(value.items())) if type(value) is dict else value
        return root


def _compile(keys: Sequence[str], prefix: str, compact: bool) -> JSONWriter:
    nest(keys)  # raises on keys that cannot be nested together
    split = [key.split(".") for key in keys]
    return JSONWriter(
        tuple((key, tuple(parts[:-1]), parts[-1]) for key, parts in zip(keys, split, strict=True)), compact
    )


FORMAT = Format("JSON", dotted, _compile)
