"""Scalars as kubectl reads them: the rules of go.yaml.in/yaml/v2, `resolve.go`, and then of JSON and the API server.

`tests/cluster/test_manifest_reading.py` compares them with a real kubectl and API server.
"""

from __future__ import annotations

import base64
import re
from decimal import Decimal, InvalidOperation

PREFIX = "tag:yaml.org,2002:"
TAGS = frozenset(PREFIX + name for name in ("str", "bool", "int", "float", "null", "timestamp", "binary"))
_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
}
_WHOLE = re.compile(r"([-+]?)(?:0[bB]([01]+)|0[xX]([0-9a-fA-F]+)|0[oO]?([0-7]+)|(0|[1-9][0-9]*))")
_OFFSET = re.compile(r"0b([-+][01]+)")
_REAL = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_POINT = re.compile(r"\.[0-9]+(?:_[0-9]+)*(?:[eE][-+]?[0-9]+(?:_[0-9]+)*)?")
_UNREAL = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_TIME = re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt ][0-9].*)?")
_INT64 = range(-(2**63), 2**63)
_UINT64 = range(2**64)

Scalar = str | bool | int | float | None


class MalformedError(ValueError):
    """The text cannot be read; the message names the line and what to do."""


def resolve(text: str, tag: str | None) -> Scalar:
    """The value of a plain scalar, or of a scalar with this tag.

    :raises ValueError: the tag does not fit the text, or JSON cannot represent the value.
    """
    if tag is None:
        return _untagged(text)
    name = tag.removeprefix(PREFIX)
    if tag == "!" or name == "str":
        return text
    if name == "binary":
        return _binary(text)
    value = _untagged(text)
    if not _fits(name, text, value):
        raise ValueError(f"the tag !!{name} does not fit its value; remove the tag")
    return number(float(value)) if name == "float" and value is not None else value


def _fits(name: str, text: str, value: Scalar) -> bool:
    whole = _whole(text.replace("_", ""))
    match value:
        case bool() | None:
            return name == ("null" if value is None else "bool")
        case str():
            return name == "timestamp" and _TIME.fullmatch(text) is not None
        case _:
            return (
                whole is not None if name == "int" else name == "float" and (whole is None or whole in _INT64)
            )


def _untagged(text: str) -> Scalar:
    if text in _WORDS:
        return _WORDS[text]
    first = text[0]
    if first == ".":
        if _UNREAL.fullmatch(text):
            raise ValueError(f"{text} is not a number in JSON; quote it if it is text")
        return _real(text.replace("_", ""), text) if _POINT.fullmatch(text) else text
    if first not in "+-0123456789":
        return text
    if _UNREAL.fullmatch(text):
        raise ValueError(f"{text} is not a number in JSON; quote it if it is text")
    plain = text.replace("_", "")
    value = _whole(plain)
    if value is not None:
        return number(value)
    return _real(plain, text) if _REAL.fullmatch(plain) else text


def _whole(plain: str) -> int | None:
    """A whole number of 64 bits, in the base of its prefix: a leading 0 is octal."""
    if len(plain) > 70:
        return None
    found = _WHOLE.fullmatch(plain)
    if found is None:
        offset = _OFFSET.fullmatch(plain)
        if offset is None:
            return None
        value = int(offset[1], 2)
        return value if value in _INT64 else None
    sign, *digits = found.groups()
    base, body = next((b, d) for b, d in zip((2, 16, 8, 10), digits, strict=True) if d is not None)
    value = int(sign + body, base)
    return value if value in (_INT64 if sign else _UINT64) else None


def _real(plain: str, text: str) -> float | int | str:
    """A number with a point or an exponent; text if it exceeds a float."""
    value = float(plain)
    return text if value in (float("inf"), float("-inf")) else number(value)


def _binary(text: str) -> str:
    try:
        return base64.b64decode(text.replace("\r", "").replace("\n", ""), validate=True).decode()
    except ValueError:
        raise ValueError("!!binary takes base64 of text; write the text itself") from None


def number(value: float | int) -> float | int:
    """A number as the API server keeps it: ``2.0`` is 2, beyond 64 bits is a float.

    :raises ValueError: JSON has no such number.
    """
    if isinstance(value, int):
        if value in _INT64:
            return value
        try:
            return float(value)
        except OverflowError:
            raise ValueError("a number is too large; quote it if it is text") from None
    if value != value or value in (float("inf"), float("-inf")):
        raise ValueError("a number is too large; quote it if it is text")
    if not value.is_integer():
        return value
    whole = int(Decimal(repr(value)))  # JSON has the shortest digits that mean the float
    return whole if whole in _INT64 else value


def is_exact(text: str, value: Scalar) -> bool:
    """Whether a plain scalar's value has all that its text has: ``07030`` is read as 3608, ``no`` as false, and a float
    keeps about 17 digits."""
    if isinstance(value, bool):
        return text in ("true", "false")
    if isinstance(value, int):
        return text == str(value)
    if value is None:
        return text == "null"
    return not isinstance(value, float) or keeps_digits(text, value)


def keeps_digits(text: str, value: float | int) -> bool:
    """Whether the number has every digit that was written, in whatever base."""
    try:
        return Decimal(text.replace("_", "")) == Decimal(repr(value))
    except InvalidOperation:
        return True  # of another base, which whole numbers keep
