"""Text for messages: values cut short, invisible characters escaped, remedies for what YAML misreads."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

_IGNORED = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
"""Characters that Unicode counts as letters or marks and that are invisible."""
_YAML_WORDS = {True: "y, yes, on and true as true", False: "n, no, off and false as false"}


def visible(text: str) -> str:
    r"""``text`` with every invisible, control or bidirectional character as an escape such as ``\u200b``."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_escaped, text))


def invisible(text: str) -> str:
    """The first invisible character of ``text``, for example ``U+200B``; empty if there is none."""
    return next((f"U+{ord(char):04X}" for char in text if _escaped(char) != char), "")


def _escaped(char: str) -> str:
    if char.isprintable() and not _IGNORED.match(char):
        return char
    code = ord(char)
    if char in "\n\r\t":
        return {"\n": "\\n", "\r": "\\r", "\t": "\\t"}[char]
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def short(value: object, length: int = 60) -> str:
    """A value as JSON, cut short: how messages show it. Never for a sensitive key."""
    if isinstance(value, str) and len(value) > length:
        value = value[: length + 1]  # so that a long text costs no more than what is shown of it
    return cut(visible(json.dumps(value, ensure_ascii=False, default=str)), length)


def cut(text: str, length: int) -> str:
    """``text`` of at most ``length`` characters; a longer one ends in ``...``."""
    return text if len(text) <= length else text[: length - 3] + "..."


def quote_it(value: Any) -> str:
    """The remedy for a scalar that was meant as text and that YAML has read as something else."""
    if isinstance(value, bool):
        return f"quote it: YAML reads {_YAML_WORDS[value]} unless quoted"
    return "quote it: YAML reads unquoted digits as a number"


def plural(count: int, noun: str, nouns: str = "") -> str:
    """``1 entry``, ``2 entries``."""
    return f"{count} {noun if count == 1 else nouns or noun + 's'}"


def listed(names: Sequence[str], most: int = 3) -> str:
    """``a, b, c and 4 more``."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")


def capitalized(text: str) -> str:
    """The text with a capital first letter, unless it starts with the name of a field, for example contentHash."""
    first = text.partition(" ")[0].rstrip(":,;")
    return text[:1].upper() + text[1:] if first.isalpha() and first.islower() else text
