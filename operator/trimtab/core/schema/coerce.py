"""Lossless coercion: what users mean by ``"0.7"`` or ``2.0``, only if nothing is lost, and always with a warning."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from trimtab.core.schema.types import EXACT, INT64, ITEM_TYPES, MAPS

_INTEGER = re.compile(r"[+-]?[0-9]{1,19}\Z")
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]+)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?\Z")
_BOOLEANS = {"true": True, "false": False}


def lossless(kind: str, value: Any) -> Any | None:
    """``value`` as the key type ``kind``, or None where that would lose or guess something.

    ===========  ============================================================
    to           from
    ===========  ============================================================
    Integer      "42"; 42.0
    Number       "0.7", "1e3" (never digits that a float does not hold)
    Boolean      "true", "false"
    String       42, true (never a float: 1.10 has already become 1.1)
    lists, maps  each entry as above
    ===========  ============================================================
    """
    if kind == "StringList" and isinstance(value, list):
        return _all(ITEM_TYPES[kind], value)
    if kind in MAPS and isinstance(value, dict):
        entries = _all(ITEM_TYPES[kind], list(value.values()))
        return None if entries is None else dict(zip(value, entries, strict=True))
    convert = _SCALARS.get(kind)
    return convert(value) if convert else None


def _all(kind: str, values: list[Any]) -> list[Any] | None:
    converted = [value if _is(kind, value) else _SCALARS[kind](value) for value in values]
    return None if any(value is None for value in converted) else converted


def _is(kind: str, value: Any) -> bool:
    if kind == "String":
        return isinstance(value, str)
    return isinstance(value, int | float) and not isinstance(value, bool)


def _integer(value: Any) -> int | None:
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) <= EXACT else None
    if isinstance(value, str) and _INTEGER.match(value) and INT64[0] <= int(value) <= INT64[1]:
        return int(value)
    return None


def _number(value: Any) -> float | None:
    if not isinstance(value, str) or not _NUMBER.match(value):
        return None
    number = float(value)
    return number if Decimal(repr(number)) == Decimal(value) else None


def _boolean(value: Any) -> bool | None:
    return _BOOLEANS.get(value) if isinstance(value, str) else None


def _string(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else None


_SCALARS: Mapping[str, Callable[[Any], Any]] = {
    "Integer": _integer,
    "Number": _number,
    "Boolean": _boolean,
    "String": _string,
}
