"""Request bodies, exact to the last character (decision 020)."""

from __future__ import annotations

import re
from typing import Any

import msgspec

as_json = msgspec.json.Encoder(order="deterministic").encode

_READ_OTHERWISE = re.compile(rb"\x7f|\xc2[\x80-\x9f]|\xe2\x80[\xa8\xa9]|\xef\xbb\xbf|\xef\xbf[\xbe\xbf]")
"""U+007F to 009F, 2028, 2029, FEFF, FFFE, FFFF in UTF-8: YAML refuses them in a text or folds them as line breaks."""
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+":?')
LONGEST_KEY = 1024
"""Bytes (YAML says characters) up to which YAML recognizes a key without a mark."""


def as_yaml(body: Any) -> bytes:
    """The body of a server-side apply: JSON that a reader of YAML, as the API server is one, reads as a reader of JSON
    would. Characters outside the Basic Multilingual Plane stay as they are: YAML knows no surrogate pairs."""
    made = _READ_OTHERWISE.sub(_escaped, as_json(body))
    return _STRING.sub(_marked, made) if _has_long_key(body) else made


def _escaped(found: re.Match[bytes]) -> bytes:
    return b"\\u%04x" % ord(found[0].decode())


def _marked(found: re.Match[bytes]) -> bytes:
    is_long_key = found[0].endswith(b'":') and len(found[0]) > LONGEST_KEY
    return b"? " + found[0] if is_long_key else found[0]


def _has_long_key(value: Any) -> bool:
    if isinstance(value, dict):
        return any(6 * len(key) > LONGEST_KEY or _has_long_key(item) for key, item in value.items())
    return isinstance(value, list) and any(map(_has_long_key, value))
