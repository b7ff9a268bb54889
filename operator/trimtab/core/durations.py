"""Go duration text ("1h30m", "250ms") to nanoseconds; the text itself is what outputs carry."""

from __future__ import annotations

import re
from fractions import Fraction

PATTERN = r"^[-+]?(0|(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+)$"
_TEXT = re.compile(PATTERN)
_PART = re.compile(r"([0-9]*\.?[0-9]*)(ns|us|µs|μs|ms|s|m|h)")
_UNITS = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "μs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_LIMIT = 2**63
_WORDS = re.compile(
    r"(?P<n>[0-9]{1,6})\s*(?P<unit>weeks?|w|days?|d|hours?|hrs?|hr|h|minutes?|mins?|min|seconds?|secs?|sec|s)?\Z",
    re.I,
)
_MEANT = {"w": "h", "d": "h", "h": "h", "m": "m", "s": "s"}
_HOURS = {"w": 168, "d": 24}
MAX_LENGTH = 64


def seconds(text: str) -> float:
    """As :func:`nanoseconds`, in seconds, rounded up to the milliseconds that status records.

    :raises ValueError: as there.
    """
    return -(-nanoseconds(text) // 10**6) / 1000


def nanoseconds(text: str) -> int:
    """Parse as Go's ``time.ParseDuration`` does (https://pkg.go.dev/time#ParseDuration).

    :raises ValueError: not a duration, or beyond 64 bits of nanoseconds (about 292 years).
    """
    if len(text) > MAX_LENGTH or not _TEXT.match(text) or text.endswith("\n"):
        raise ValueError("not a Go duration such as 1h30m or 250ms")
    total = sum(
        (
            int(Fraction(number if number[-1] != "." else number + "0") * _UNITS[unit])
            for number, unit in _PART.findall(text)
        ),
        start=0,
    )
    if text.startswith("-"):
        total = -total
    if not -_LIMIT <= total < _LIMIT:
        raise ValueError("a duration beyond 64 bits of nanoseconds (about 292 years)")
    return total


def nearest(given: str | float) -> str:
    """What was meant by ``1d``, ``5 min`` or ``300``, as a duration; with no unit, two of them; empty if unclear."""
    text = str(given).strip()
    spaced = "".join(text.split()).lower()
    if spaced != text and _TEXT.match(spaced) and spaced != "0":
        return spaced
    meant = _WORDS.match(text)
    if not meant:
        return ""
    number, unit = int(meant["n"]), (meant["unit"] or "").lower()[:1]
    if unit:
        return f"{number * _HOURS.get(unit, 1)}{_MEANT[unit]}"
    minutes = f" or {number // 60}m" if number and number % 60 == 0 else ""
    return f"{number}s{minutes}"
