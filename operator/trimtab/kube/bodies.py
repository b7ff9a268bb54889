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
"""Characters that YAML refuses in a text or folds as line breaks, in UTF-8, and their escapes."""
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+":?')
LONGEST_KEY = 1024
"""Bytes (YAML says characters) up to which YAML recognizes a key without a mark."""


def as_yaml(body: Any) -> bytes:
    """The body of a server-side apply: JSON that a reader of YAML, as the API server is one, reads as a reader of JSON
    would. Characters outside the Basic Multilingual Plane stay as they are: YAML knows no surrogate pairs."""
    made = as_json(body)
    for char, escape in _READ_OTHERWISE.items():  # kind by kind: a large text may be nothing else
        made = made.replace(char, escape)
    return _STRING.sub(_marked, made) if _has_long_key(body) else made


def _marked(found: re.Match[bytes]) -> bytes:
    is_long_key = found[0].endswith(b'":') and len(found[0]) > LONGEST_KEY
    return b"? " + found[0] if is_long_key else found[0]


def _has_long_key(value: Any) -> bool:
    if isinstance(value, dict):
        return any(6 * len(key) > LONGEST_KEY or _has_long_key(item) for key, item in value.items())
    return isinstance(value, list) and any(map(_has_long_key, value))
