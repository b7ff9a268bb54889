"""Moments as status writes them (RFC 3339, UTC, milliseconds) and as the core counts them (seconds since 1970)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EARLIEST, _LATEST = -62_135_596_800_000, 253_402_300_799_999
"""The years 1 to 9999, in milliseconds."""


def text(seconds: float) -> str:
    """``2026-03-29T01:00:00.000Z``; to the nearest millisecond, within the years 1 to 9999."""
    clamped = min(max(seconds * 1000, _EARLIEST), _LATEST)
    moment = _EPOCH + timedelta(milliseconds=round(clamped))
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def seconds(text: str) -> float:
    """The moment that a status names; any offset and any number of decimals are understood.

    :raises ValueError: not a moment with a date, a time and an offset.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a moment without an offset from UTC")
    return (moment - _EPOCH) / timedelta(seconds=1)


def rounded(moment: float) -> float:
    """The moment as it comes back from text, so that what was written is never later than it was."""
    return seconds(text(moment))


def read(text: str | None) -> float | None:
    """As :func:`seconds`; None for what is no moment."""
    try:
        return None if text is None else seconds(text)
    except (ValueError, OverflowError):
        return None
