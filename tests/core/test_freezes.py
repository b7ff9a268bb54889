"""Freezes: when they hold, to the second, also where the clocks change; and moments as text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.core import times
from trimtab.core.rollout.freezes import FreezeRule, compile_freeze, frozen, next_change

HOUR = 3600.0
WEEKEND = compile_freeze("0 18 * * 5", "Europe/Berlin", 62 * HOUR, "weekend")


def at(text: str) -> float:
    return times.seconds(text)


def rule(schedule: str, hours: float, zone: str | None = None, reason: str = "") -> FreezeRule:
    return compile_freeze(schedule, zone, hours * HOUR, reason)


# In winter, Berlin is an hour ahead of UTC.


@pytest.mark.parametrize(
    ("moment", "holds"),
    [
        ("2026-02-27T16:59:59.999Z", False),
        ("2026-02-27T17:00:00Z", True),
        ("2026-02-28T12:00:00Z", True),
        ("2026-03-02T06:59:59.999Z", True),
        ("2026-03-02T07:00:00Z", False),
        ("2026-03-04T12:00:00Z", False),
    ],
)
def test_a_freeze_holds_from_its_begin_until_its_duration_has_passed(moment: str, holds: bool) -> None:
    assert (frozen([WEEKEND], at(moment)) is not None) == holds


def test_a_freeze_reports_its_reason_and_its_end() -> None:
    found = frozen([WEEKEND], at("2026-02-28T12:00:00Z"))

    assert found is not None
    assert found.ends_at == at("2026-03-02T07:00:00Z")
    assert found.reason == "weekend"
    assert found.message == "freeze until 2026-03-02T07:00:00.000Z: weekend"


@pytest.mark.parametrize(
    ("begin", "end"),
    [
        ("2026-03-27T17:00:00Z", "2026-03-30T07:00:00Z"),  # forward on Sunday: 18:00 to 09:00 by the clock
        ("2026-10-23T16:00:00Z", "2026-10-26T06:00:00Z"),  # back on Sunday: 18:00 to 07:00 by the clock
    ],
)
def test_a_freeze_over_a_change_of_clocks_lasts_as_long_as_any_other(begin: str, end: str) -> None:
    assert frozen([WEEKEND], at(begin) - 1) is None
    assert next_change([WEEKEND], at(begin) - 1) == at(begin)
    found = frozen([WEEKEND], at(begin))
    assert found is not None
    assert found.ends_at == at(end)
    assert frozen([WEEKEND], at(end) - 0.001) is not None
    assert frozen([WEEKEND], at(end)) is None


def test_a_time_that_the_clocks_skip_begins_when_they_have_been_put_forward() -> None:
    night = rule("30 2 * * *", 1, "Europe/Berlin")  # on 29 March there is no 02:30

    assert frozen([night], at("2026-03-29T00:59:59Z")) is None
    found = frozen([night], at("2026-03-29T01:00:00Z"))
    assert found is not None
    assert found.ends_at == at("2026-03-29T02:00:00Z")


def test_a_time_that_the_clocks_repeat_begins_once_at_its_first_occurrence() -> None:
    night = rule("30 2 * * *", 1.5, "Europe/Berlin")  # on 25 October there are two, at 00:30 and 01:30 UTC

    assert frozen([night], at("2026-10-25T00:29:59Z")) is None
    for moment in ("2026-10-25T00:30:00Z", "2026-10-25T01:15:00Z", "2026-10-25T01:59:59Z"):
        found = frozen([night], at(moment))
        assert found is not None
        assert found.ends_at == at("2026-10-25T02:00:00Z")
    assert frozen([night], at("2026-10-25T02:00:00Z")) is None
    assert next_change([night], at("2026-10-25T02:00:00Z")) == at("2026-10-26T01:30:00Z")


def test_every_hour_is_every_hour_of_the_longest_day_too() -> None:
    hourly = rule("0 * * * *", 0.5, "Europe/Berlin")

    for hour in range(26):
        begin = at("2026-10-24T22:00:00Z") + hour * HOUR
        assert frozen([hourly], begin) is not None
        assert frozen([hourly], begin + 0.5 * HOUR) is None


def test_of_several_freezes_that_hold_the_one_that_ends_last_counts() -> None:
    rules = [rule("0 12 * * *", 2, reason="noon"), rule("0 13 * * *", 4, reason="tea"), rule("0 12 * * *", 1)]

    found = frozen(rules, at("2026-02-25T13:30:00Z"))

    assert found is not None
    assert (found.reason, found.ends_at) == ("tea", at("2026-02-25T17:00:00Z"))


def test_freezes_of_one_schedule_that_run_into_each_other_are_one() -> None:
    weekdays = rule("0 18 * * 1-5", 24)

    for moment in ("2026-02-23T18:00:00Z", "2026-02-25T17:59:59Z", "2026-02-28T17:59:59Z"):
        found = frozen([weekdays], at(moment))
        assert found is not None
        assert found.ends_at == at("2026-02-28T18:00:00Z")
    assert frozen([weekdays], at("2026-02-28T18:00:00Z")) is None


def test_the_message_of_a_long_chain_of_short_freezes_does_not_change_each_minute() -> None:
    chain = rule("* * * * 1-5", 1 / 60)

    first = frozen([chain], at("2026-02-25T12:00:30Z"))
    second = frozen([chain], at("2026-02-25T12:01:30Z"))

    assert first is not None
    assert second is not None
    assert first.message == second.message


def test_the_next_change_is_the_end_of_what_holds_else_the_next_begin() -> None:
    rules = [rule("0 12 * * *", 2), rule("0 20 * * *", 1)]

    assert next_change(rules, at("2026-02-25T11:00:00Z")) == at("2026-02-25T12:00:00Z")
    assert next_change(rules, at("2026-02-25T12:00:00Z")) == at("2026-02-25T14:00:00Z")
    assert next_change(rules, at("2026-02-25T14:00:00Z")) == at("2026-02-25T20:00:00Z")
    assert next_change([], at("2026-02-25T14:00:00Z")) is None


@pytest.mark.parametrize(
    ("schedule", "zone", "hours", "message"),
    [
        ("", None, 1, "must have five fields"),
        ("0 18 * *", None, 1, "must have five fields"),
        ("0 0 18 * * 5", None, 1, "must have five fields"),
        ("@weekly", None, 1, "must have five fields"),
        ("61 18 * * 5", None, 1, "Bad minute"),
        ("0 18 * * FRYDAY", None, 1, "Bad day-of-week"),
        ("0 0 30 2 *", None, 1, "Bad day-of-month"),
        ("* * */20 * 1L", None, 1, "never occurs"),
        ("0 18 * * 5", "Europe/Berlyn", 1, "Europe/Berlyn is not a time zone"),
        ("0 18 * * 5", "Europe", 1, "Europe is not a time zone"),
        ("0 18 * * 5", "../../etc/passwd", 1, "is not a time zone"),
        ("0 18 * * 5", "x" * 256, 1, "is not a time zone"),
        ("0 18 * * 5", "a\0b", 1, "is not a time zone"),
        ("0 18 * * 5", None, 0, "must be more than 0"),
        ("0 18 * * 5", None, 168, "until the next one starts"),
        ("* * * * *", None, 1 / 60, "until the next one starts"),
        ("0 0 * * *", None, 24, "until the next one starts"),
        ("0 0 1 * *", None, 31 * 24, "until the next one starts"),
    ],
)
def test_a_freeze_that_cannot_be_is_refused_with_what_to_write(
    schedule: str, zone: str | None, hours: float, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        rule(schedule, hours, zone)


@pytest.mark.parametrize(
    ("schedule", "hours"),
    [
        ("0 18 * * 5", 167.99),
        ("* * * * *", 0.99 / 60),
        ("0 0 1 * *", 31 * 24 - 0.01),
        ("0 9-17 * * *", 10),
        ("* * * 1-11 *", 24),
        ("0 0 29 2 *", 24 * 366),
        ("0 0 L * *", 24),
    ],
)
def test_a_freeze_that_leaves_any_time_at_all_is_accepted(schedule: str, hours: float) -> None:
    assert rule(schedule, hours).duration == hours * HOUR


MOMENTS = st.floats(0, 4_000_000_000)
RULES = st.sampled_from(
    [
        WEEKEND,
        rule("30 2 * * *", 1, "Europe/Berlin"),
        rule("0 18 * * 1-5", 24, "America/New_York"),
        rule("15 1,2,3 * * 0", 2.5, "Australia/Lord_Howe"),
        rule("0 0 1 */3 *", 72, "Pacific/Apia"),
        rule("*/20 * * 10,3 *", 0.2, "Europe/Berlin"),
    ]
)


@given(st.lists(RULES, max_size=3), MOMENTS)
def test_nothing_changes_before_the_next_change(rules: list[FreezeRule], now: float) -> None:
    change = next_change(rules, now)
    assert (change is None) == (not rules)
    if change is not None:
        assert change > now
        middle = frozen(rules, (now + change) / 2)
        assert (middle is None) == (frozen(rules, now) is None)


@given(st.floats(-1e13, 1e13))
def test_a_moment_survives_text_to_the_millisecond(moment: float) -> None:
    once = times.rounded(moment)

    assert times.rounded(once) == once
    assert times.text(once) == times.text(moment)
    if -62_135_596_800 < moment < 253_402_300_799:
        assert abs(once - moment) < 0.001


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:00:00Z", 0.0),
        ("1970-01-01T01:00:00.500+01:00", 0.5),
        ("2026-02-25T06:13:20.000Z", 1_772_000_000.0),
        ("yesterday", None),
        ("2026-02-25T06:13:20", None),
        ("", None),
        (None, None),
    ],
)
def test_a_time_is_read_in_every_notation(text: str | None, seconds: float | None) -> None:
    assert times.read(text) == seconds
