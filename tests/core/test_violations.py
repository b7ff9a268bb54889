"""Violations: counted beyond a limit, summarized, and with the nearest known name."""

from __future__ import annotations

import pytest

from trimtab.core.suggestion import nearest
from trimtab.core.violations import REPORTED, RejectedError, Violation, bounded, summary


def test_many_violations_are_counted_in_the_last_entry() -> None:
    items = tuple(Violation(str(n), "", "", "") for n in range(REPORTED + 5))

    made = bounded(items)

    assert len(made) == REPORTED
    assert made[-1].message == "and 6 more violations"
    assert bounded(items[:REPORTED]) == items[:REPORTED]


def test_a_summary_names_three() -> None:
    items = tuple(Violation(str(n), "", "", "m") for n in range(5))

    assert summary(items) == "0: m; 1: m; 2: m; and 2 more"
    assert summary(items[:2]) == "0: m; 1: m"
    assert str(RejectedError(items)) == "0: m; 1: m; 2: m"


@pytest.mark.parametrize(
    ("word", "known", "found"),
    [
        ("tempreature", ["temperature", "top"], "temperature"),
        ("xyz", ["temperature"], ""),
        ("", ["a"], ""),
        ("a" * 100_000, ["a"], ""),
        ("agent.temp", [], ""),
    ],
)
def test_the_nearest_known_name_is_found_or_none(word: str, known: list[str], found: str) -> None:
    assert nearest(word, known) == found
