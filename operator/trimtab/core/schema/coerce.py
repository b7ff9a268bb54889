"""Lossless coercion: what people mean by ``"0.7"`` or ``2.0``, taken only where nothing is lost, and said aloud."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from trimtab.core.schema.key import INT64

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
    if kind in ("StringList",) and isinstance(value, list):
        return _all("String", value)
    if kind in ("NumberMap", "StringMap") and isinstance(value, dict):
        entries = _all("Number" if kind == "NumberMap" else "String", list(value.values()))
        return None if entries is None else dict(zip(value, entries, strict=True))
    return _scalar(kind, value)


def _all(kind: str, values: list[Any]) -> list[Any] | None:
    taken = [value if _is(kind, value) else _scalar(kind, value) for value in values]
    return None if any(value is None for value in taken) else taken


def _is(kind: str, value: Any) -> bool:
    if kind == "String":
        return isinstance(value, str)
    return isinstance(value, int | float) and not isinstance(value, bool)


def _scalar(kind: str, value: Any) -> Any | None:
    if kind == "Integer":
        if isinstance(value, float) and value.is_integer() and abs(value) <= 2**53:
            return int(value)
        if isinstance(value, str) and _INTEGER.match(value) and INT64[0] <= int(value) <= INT64[1]:
            return int(value)
    elif kind == "Number":
        if isinstance(value, str) and _NUMBER.match(value):
            number = float(value)
            return number if Decimal(repr(number)) == Decimal(value) else None
    elif kind == "Boolean":
        if isinstance(value, str):
            return _BOOLEANS.get(value)
    elif kind == "String":
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, int):
            return str(value)
    return None
