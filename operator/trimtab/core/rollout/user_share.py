"""Which users belong to a share of a group: by a keyed hash, so that a share that grows never loses anybody."""

from __future__ import annotations

DIGITS = 8


def place_of(digest: str) -> float:
    """A place in 0..1 from a keyed hash's hex digits: who is below a tenth belongs to every share of 10 percent or
    more."""
    return int(digest[:DIGITS], 16) / float(16**DIGITS)
