"""Durations as Go reads them (https://pkg.go.dev/time#ParseDuration)."""

from __future__ import annotations

import pytest

from trimtab.core.durations import nanoseconds, seconds

SECOND = 10**9


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("0", 0),
        ("+0", 0),
        ("-0", 0),
        ("0s", 0),
        ("5s", 5 * SECOND),
        ("-5s", -5 * SECOND),
        ("+5s", 5 * SECOND),
        ("1h30m", 5400 * SECOND),
        ("1h0m0.5s", 3600 * SECOND + SECOND // 2),
        ("1.5h", 5400 * SECOND),
        (".5s", SECOND // 2),
        ("5.s", 5 * SECOND),
        ("10ns", 10),
        ("11us", 11_000),
        ("12µs", 12_000),
        ("12μs", 12_000),
        ("13ms", 13_000_000),
        ("0.9ns", 0),
        ("2m1h", 3720 * SECOND),
        ("1m1m", 120 * SECOND),
        ("9223372036854775807ns", 2**63 - 1),
        ("-9223372036854775808ns", -(2**63)),
        ("2562047h47m16.854775807s", 2**63 - 1),
    ],
)
def test_what_go_reads_is_read_alike(text: str, length: int) -> None:
    assert nanoseconds(text) == length


@pytest.mark.parametrize(
    ("text", "length"), [("10m", 600.0), ("1.0000001s", 1.001), ("1ns", 0.001), ("0", 0.0), ("-1ns", 0.0)]
)
def test_seconds_are_rounded_up_to_the_milliseconds_that_status_records(text: str, length: float) -> None:
    assert seconds(text) == length


@pytest.mark.parametrize(
    "text",
    [
        "", "3", "-", "s", ".", "-.", ".s", "+.s", "1d", "1w", "1 h", " 1h", "1h ", "1h\n", "1H", "1e3s",
        "1hh", "h1", "1h-5m", "--5s", "0x1s", "1,5s", "٣s", "9223372036854775808ns", "2562047h48m", "1" * 70,
        "1h" * 40, "-9223372036854775809ns",
    ],
)  # fmt: skip
def test_what_go_refuses_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        nanoseconds(text)
