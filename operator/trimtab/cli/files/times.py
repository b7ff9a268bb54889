"""Times in metadata, as the API server reads them."""

from __future__ import annotations

import calendar
import re

_TIME = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{1,2}):([0-9]{2}):([0-9]{2})(?:[.,][0-9]+)?"
    r"(?:Z|[-+]([0-9]{2}):([0-9]{2}))"
)


def is_time(text: str) -> bool:
    """Whether Go's ``time.Parse`` takes it as RFC 3339: capital T and Z, and a day that the month has."""
    found = _TIME.fullmatch(text)
    if found is None:
        return False
    year, month, day, hour, minute, second, hours, minutes = (int(part or 0) for part in found.groups())
    if not 1 <= month <= 12:
        return False
    days = calendar.monthrange(year or 2000, month)[1]
    return 1 <= day <= days and hour < 24 and minute < 60 and second < 60 and hours <= 24 and minutes <= 60
