"""Key types: which ones have items, and which numbers they contain."""

from __future__ import annotations

MAPS = frozenset({"NumberMap", "StringMap"})
ITEM_TYPES = {"StringList": "String", "StringMap": "String", "NumberMap": "Number"}
INT64 = (-(2**63), 2**63 - 1)
EXACT = 2**53
"""Up to here a Number contains every whole number."""
