"""When a freeze is active: a cron schedule in a time zone sets its starts; its duration is elapsed time.

Schedules are read as Debian's cron does (https://manpages.debian.org/crontab.5): a start that daylight saving time
skips in spring is when the clock was set forward, one that it repeats in autumn is its first occurrence. So a freeze of
62h from Friday 18:00 ends on Monday at 08:00, at 09:00 if the clock was set forward in between, and at 07:00 if it was
set back.

Time zones are constant data (of the system or of the package ``tzdata``), the only thing that the core reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import pairwise
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from trimtab.core import times

REPEATED = timedelta(hours=3)
"""No time zone sets its clock back by more."""
LINKS = 100
"""How many overlapping occurrences are followed to find the end."""
_DAYS = 366 * 5
_MIDNIGHT = datetime(2024, 1, 1, tzinfo=UTC)
_EARLIEST, _LATEST = 0.0, 220_000_000_000.0  # 1970 to 8941: cronsim searches 50 years ahead


@dataclass(frozen=True, slots=True)
class FreezeRule:
    """A freeze that recurs. ``duration`` is in seconds."""

    schedule: str
    zone: tzinfo
    duration: float
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Freeze:
    """An active freeze. ``ends_at`` is when to check again; ``message`` stays the same while it is active."""

    reason: str
    message: str
    ends_at: float


def compile_freeze(schedule: str, time_zone: str | None, duration: float, reason: str) -> FreezeRule:
    """A compiled FreezeSpec; its duration is in seconds.

    :raises ValueError: what is wrong and what to write instead, human-readable.
    """
    if len(schedule.split()) != 5:
        raise ValueError(
            "schedule must have five fields: minute hour day month weekday, for example 0 18 * * 5"
        )
    if duration <= 0:
        raise ValueError("duration must be more than 0, for example 62h")
    rule = FreezeRule(schedule, zone_of(time_zone), duration, reason)
    try:
        first = next(CronSim(schedule, _MIDNIGHT), None)
    except (CronSimError, ValueError, OverflowError, AssertionError) as error:
        raise ValueError(
            f"{error or 'not a cron schedule'}; write minute hour day month weekday, for example 0 18 * * 5"
        ) from None
    if first is None:
        raise ValueError(
            "the schedule never occurs; write minute hour day month weekday, for example 0 18 * * 5"
        )
    if not _ends(rule):
        raise ValueError(
            "each freeze lasts until the next one starts, so no wave can ever start; shorten duration"
        )
    return rule


def zone_of(name: str | None) -> tzinfo:
    """:raises ValueError: there is no such time zone."""
    if not name or name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # of a folder, or a name too long for a file
        raise ValueError(
            f"{name[:64]} is not a time zone; use an IANA name, for example Europe/Berlin"
        ) from None


def frozen(rules: Sequence[FreezeRule], now: float) -> Freeze | None:
    """The active freeze; of several the one that ends last. ``now`` is in seconds since 1970."""
    holding = [freeze for rule in rules if (freeze := _holds(rule, now)) is not None]
    return max(holding, key=lambda freeze: freeze.ends_at, default=None)


def next_change(rules: Sequence[FreezeRule], now: float) -> float | None:
    """When :func:`frozen` may return another result: the end of the active freeze, else the next one's start."""
    holding = frozen(rules, now)
    if holding is not None:
        return holding.ends_at
    begins = [moment for rule in rules if (moment := _begin_after(rule, now)) is not None]
    return min(begins, default=None)


def _holds(rule: FreezeRule, now: float) -> Freeze | None:
    begin = _begin_before(rule, now)
    if begin is None or begin + rule.duration <= now:
        return None
    for _ in range(LINKS):
        end = begin + rule.duration
        later = _begin_before(rule, end)
        if later is None or later <= begin:
            until = f" until {times.text(end)}"
            break
        begin = later
    else:
        until = ""  # a long chain of short freezes, whose end would differ at each check
    why = f": {rule.reason}" if rule.reason else ""
    return Freeze(rule.reason, f"freeze{until}{why}", end)


def _begin_before(rule: FreezeRule, now: float) -> float | None:
    """The last start that is not after ``now``."""
    here = _local(rule, now)
    moved = here.utcoffset() != _local(rule, now - REPEATED.total_seconds()).utcoffset()
    # After a clock was set back, an earlier time may be later by that clock.
    for begin in _begins(rule, here + (REPEATED if moved else timedelta(seconds=1)), reverse=True):
        if begin <= now:
            return begin
    return None


def _begin_after(rule: FreezeRule, now: float) -> float | None:
    for begin in _begins(rule, _local(rule, now) - REPEATED, reverse=False):
        if begin > now:
            return begin
    return None


def _begins(rule: FreezeRule, start: datetime, *, reverse: bool) -> Iterator[float]:
    for moment in CronSim(rule.schedule, start, reverse=reverse):
        yield moment.timestamp()


def _local(rule: FreezeRule, now: float) -> datetime:
    return datetime.fromtimestamp(min(max(now, _EARLIEST), _LATEST), rule.zone)


def _ends(rule: FreezeRule) -> bool:
    """Whether there is time between two freezes, without changes of the clock."""
    parsed = CronSim(rule.schedule, _MIDNIGHT)
    starts = [hour * 3600 + minute * 60 for hour in sorted(parsed.hours) for minute in sorted(parsed.minutes)]
    if any(after - before > rule.duration for before, after in pairwise(starts)):
        return True
    day = None
    for number, begin in enumerate(CronSim(_daily(rule.schedule), _MIDNIGHT)):
        if day is not None and (begin - day).total_seconds() + starts[0] - starts[-1] > rule.duration:
            return True
        if number > _DAYS:
            return False
        day = begin
    return True


def _daily(schedule: str) -> str:
    """Once on each day of the schedule, at midnight."""
    _, _, *days = schedule.split()
    return " ".join(["0", "0", *days])
