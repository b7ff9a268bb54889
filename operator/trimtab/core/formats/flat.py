"""A value as one piece of text, for the formats that know nothing but text: Env, Properties and INI.

Numbers are the shortest text that reads back as the same float, an integral one without its ``.0``; booleans
are ``true`` and ``false``; lists and maps are one line of JSON (RFC 8259), map entries sorted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from trimtab.core.formats.writer import Value

_encode = msgspec.json.Encoder(order="deterministic").encode


def json_text(value: Any) -> str:
    """Compact JSON: non-ASCII characters are kept, the entries of maps sorted."""
    return _encode(value).decode()


def number_text(value: float) -> str:
    """``0.1``, ``2``, ``1e+16``, ``-0``: what ``float()`` and ``strtod`` read back exactly."""
    return repr(value).removesuffix(".0")


def boolean_text(value: bool) -> str:
    """``true`` or ``false``, as in JSON, YAML and TOML."""
    return "true" if value else "false"


_TEXT: Mapping[type, Callable[[Any], str]] = {
    str: str,
    bool: boolean_text,
    int: repr,
    float: number_text,
    list: json_text,
    dict: json_text,
}


def flat_text(value: Value) -> str:
    """``value`` as text; what type it had is the key's business.

    :raises KeyError: a type that no key has.
    """
    return _TEXT[type(value)](value)


def escaped(pattern: re.Pattern[str], text: str) -> str:
    """``text`` with every character that ``pattern`` finds as ``\\u007f``, kind by kind: there are few kinds, and
    half a million of one."""
    for char in set(pattern.findall(text)):
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text
