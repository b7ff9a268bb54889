"""When a freeze holds: a cron schedule says when it begins, in a time zone; its duration is real elapsed time.

Schedules are as Debian's cron reads them (https://manpages.debian.org/crontab.5): a time that the clocks skip in
spring begins when they have been put forward, one that they repeat in autumn begins once, at its first occurrence. So
a freeze of 62h from Friday 18:00 ends on Monday at 08:00, at 09:00 when the clocks went forward in between, and at
07:00 when they went back.

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
"""No clock is put back by more."""
LINKS = 100
"""How many occurrences that run into each other are followed to find the end."""
_DAYS = 366 * 5
_MIDNIGHT = datetime(2024, 1, 1, tzinfo=UTC)
_EARLIEST, _LATEST = 0.0, 220_000_000_000.0  # 1970 to 8941: cronsim looks 50 years ahead


@dataclass(frozen=True, slots=True)
class FreezeRule:
    """A freeze that recurs. ``duration`` is in seconds."""

    schedule: str
    zone: tzinfo
    duration: float
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Freeze:
    """A freeze that holds now. ``ends_at`` is when to look again; ``message`` is the same for as long as it holds."""

    reason: str
    message: str
    ends_at: float


def compile_freeze(schedule: str, time_zone: str | None, duration: float, reason: str) -> FreezeRule:
    """What a FreezeSpec says, once its duration is seconds.

    :raises ValueError: for people: what is wrong and what to write instead.
    """
    if len(schedule.split()) != 5:
        raise ValueError("a schedule is five fields, minute hour day month weekday, as 0 18 * * 5")
    if duration <= 0:
        raise ValueError("a freeze lasts longer than 0, as 62h")
    rule = FreezeRule(schedule, zone_of(time_zone), duration, reason)
    try:
        first = next(CronSim(schedule, _MIDNIGHT), None)
    except (CronSimError, ValueError, OverflowError, AssertionError) as error:
        raise ValueError(
            f"{error or 'not a cron schedule'}: write minute hour day month weekday, as 0 18 * * 5"
        ) from None
    if first is None:
        raise ValueError("the schedule never comes; write minute hour day month weekday, as 0 18 * * 5")
    if not _ends(rule):
        raise ValueError(
            "each freeze lasts until the next one begins, so nothing could ever start: shorten duration"
        )
    return rule


def zone_of(name: str | None) -> tzinfo:
    """:raises ValueError: no time zone is called so."""
    if not name or name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # of a folder, or a name too long for a file
        raise ValueError(
            f"there is no time zone {name[:64]}; use an IANA name such as Europe/Berlin"
        ) from None


def frozen(rules: Sequence[FreezeRule], now: float) -> Freeze | None:
    """The freeze that holds now; of several the one that ends last. ``now`` is seconds since 1970."""
    holding = [freeze for rule in rules if (freeze := _holds(rule, now)) is not None]
    return max(holding, key=lambda freeze: freeze.ends_at, default=None)


def next_change(rules: Sequence[FreezeRule], now: float) -> float | None:
    """When :func:`frozen` may say something else next: the end of the freeze that holds, else the next one's begin."""
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
        until = ""  # a long chain of short ones, whose end would be another one at each look
    why = f": {rule.reason}" if rule.reason else ""
    return Freeze(rule.reason, f"a freeze holds{until}{why}", end)


def _begin_before(rule: FreezeRule, now: float) -> float | None:
    """The last begin that is not after ``now``."""
    here = _local(rule, now)
    moved = here.utcoffset() != _local(rule, now - REPEATED.total_seconds()).utcoffset()
    # Where the clocks were put back, a time that comes once may lie before now and yet be later by the clock.
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
    """Whether some time is left between one and the next, were there no changes of clocks."""
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
