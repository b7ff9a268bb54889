"""Scalars as kubectl reads them: YAML 1.1's words for booleans, octal by a leading 0, numbers as JSON holds them."""

from __future__ import annotations

import re

import yaml

PREFIX = "tag:yaml.org,2002:"
_TRUE = frozenset(["y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"])
_FALSE = frozenset(["n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"])
_NULL = frozenset(("", "~", "null", "Null", "NULL"))
_INTEGER = re.compile(r"[-+]?(0[bB][01]+|0[xX][0-9a-fA-F]+|0[oO]?[0-7]+|0|[1-9][0-9]*)\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
_UNREAL = re.compile(r"[-+]?\.(inf|Inf|INF)\Z|\.(nan|NaN|NAN)\Z")
_INT64 = range(-(2**63), 2**63)


class MalformedError(ValueError):
    """The text cannot be read at all; the message says where and what to do."""


def scalar(event: yaml.ScalarEvent, line: int) -> str | bool | int | float | None:
    """A scalar's value.

    :raises MalformedError: a tag or number that JSON has nothing for."""
    text: str = event.value
    tag = event.tag
    if tag in ("!", PREFIX + "str") or (tag is None and not event.implicit[0]):
        return text
    if tag is not None and tag not in {PREFIX + t for t in ("null", "bool", "int", "float")}:
        raise MalformedError(f"line {line}: the tag {tag[:60]} is not understood; remove it")
    if text in _NULL:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if text[0] not in "+-.0123456789":
        return text
    plain = text.replace("_", "")
    if _INTEGER.match(plain):
        return checked(whole(plain, line), line)
    if _FLOAT.match(plain):
        return checked(float(plain), line)
    if _UNREAL.match(text):
        raise MalformedError(f"line {line}: {text} is no number that JSON can hold; quote it if it is text")
    return text


def number(value: float | int) -> float | int:
    """A number as the API server keeps it: ``2.0`` is 2, beyond 64 bits is a float.

    :raises ValueError: no JSON number.
    """
    if isinstance(value, int):
        if value in _INT64:
            return value
        try:
            value = float(value)
        except OverflowError:
            raise ValueError("is too large a number; quote it if it is text") from None
        return value
    if value != value or value in (float("inf"), float("-inf")):
        raise ValueError("is no number that JSON can hold; quote it if it is text")
    return int(value) if value.is_integer() and int(value) in _INT64 else value


def checked(value: float | int, line: int) -> float | int:
    """The number as :func:`number` has it. :raises MalformedError: it is none."""
    try:
        return number(value)
    except ValueError as error:
        raise MalformedError(f"line {line}: a number {error}") from None


def whole(digits: str, line: int) -> int:
    """Digits in whatever base. :raises MalformedError: far too many of them."""
    if len(digits) > 400:  # beyond any float; and int() of such text is slow
        raise MalformedError(f"line {line}: a number of {len(digits)} digits; quote it if it is text")
    sign = -1 if digits.startswith("-") else 1
    body = digits.lstrip("+-")
    if body[:2].lower() in ("0x", "0o", "0b"):
        return sign * int(body, 0)
    return sign * int(body, 8 if len(body) > 1 and body[0] == "0" else 10)
