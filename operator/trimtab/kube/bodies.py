"""Request bodies, exact to the last character (decision 020)."""

from __future__ import annotations

import re
from typing import Any

import msgspec

as_json = msgspec.json.Encoder(order="deterministic").encode

_READ_OTHERWISE = {
    char.encode(): f"\\u{ord(char):04x}".encode()
    for char in map(chr, (0x2028, 0x2029, 0xFEFF, 0xFFFE, 0xFFFF, *range(0x80, 0xA0), 0x7F))
}
"""Characters that YAML refuses in a string or folds as line breaks, in UTF-8, and their escapes."""
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+":?')
LONGEST_KEY = 1024
"""Bytes (characters in YAML) up to which YAML recognizes a key without a mark."""


def as_yaml(body: Any) -> bytes:
    """The body of a server-side apply: JSON that a YAML parser, which the API server uses, reads as a JSON parser does.
    It does not escape characters outside the Basic Multilingual Plane, because YAML has no surrogate pairs."""
    content = as_json(body)
    for (
        char,
        escape,
    ) in _READ_OTHERWISE.items():  # one kind at a time, because a large string may consist of them
        content = content.replace(char, escape)
    return _STRING.sub(_marked, content) if _has_long_key(body) else content


def _marked(found: re.Match[bytes]) -> bytes:
    is_long_key = found[0].endswith(b'":') and len(found[0]) > LONGEST_KEY
    return b"? " + found[0] if is_long_key else found[0]


def _has_long_key(value: Any) -> bool:
    if isinstance(value, dict):
        return any(6 * len(key) > LONGEST_KEY or _has_long_key(item) for key, item in value.items())
    return isinstance(value, list) and any(map(_has_long_key, value))
