"""Conditions of a verdict: kstatus, transition times, and the limits of the CRDs."""

from __future__ import annotations

from typing import Any

import pytest

from trimtab.api.meta import Condition, StatusWarning
from trimtab.api.meta import Violation as ViolationModel
from trimtab.core import reasons
from trimtab.core.status import (
    FALSE,
    TRUE,
    UNKNOWN,
    Verdict,
    accepted,
    conditions,
    notice_fields,
    refused,
    violation_fields,
)
from trimtab.core.violations import Notice, Violation


def said(verdict: Verdict, before: list[dict[str, str]] | None = None, now: str = "t2") -> dict[str, Any]:
    return {c["type"]: c for c in conditions(verdict, 7, now, before or [])}


@pytest.mark.parametrize(
    ("ready", "reconciling", "stalled"),
    [(TRUE, FALSE, FALSE), (FALSE, FALSE, TRUE), (UNKNOWN, TRUE, FALSE)],
)
def test_conditions_are_kstatus_own(ready: str, reconciling: str, stalled: str) -> None:
    made = said(Verdict(ready, "Because", "why"))

    assert {name: c["status"] for name, c in made.items()} == {
        "Ready": ready,
        "Reconciling": reconciling,
        "Stalled": stalled,
    }
    assert {c["observedGeneration"] for c in made.values()} == {7}
    assert {c["reason"] for c in made.values()} == {"Because"}


def test_a_transition_time_changes_only_with_the_status() -> None:
    first = conditions(Verdict(TRUE, "A", "a"), 1, "t1", [])

    same = said(Verdict(TRUE, "B", "b"), first)
    other = said(Verdict(FALSE, "C", "c"), first)

    assert {c["lastTransitionTime"] for c in same.values()} == {"t1"}
    assert {name: c["lastTransitionTime"] for name, c in other.items()} == {
        "Ready": "t2",
        "Stalled": "t2",
        "Reconciling": "t1",
    }


def test_a_verdict_without_end_is_cut_to_what_the_crd_allows() -> None:
    endless = Violation("k" * 999, "l" * 999, "r" * 999, "m" * 9999, "n" * 9999)
    verdict = refused(reasons.INVALID, "x" * 100_000, (endless,) * 99, (Notice("k", "R", "m" * 9999),) * 99)

    for condition in said(verdict).values():
        assert Condition.model_validate(condition).message == condition["message"]
    for item in violation_fields(verdict.violations):
        assert ViolationModel.model_validate(item).model_dump(exclude_none=True) == item
    for item in notice_fields(verdict.notices):
        assert StatusWarning.model_validate(item).model_dump() == item
    assert len(violation_fields(verdict.violations)) <= 100
    assert len(notice_fields(verdict.notices)) <= 100


def test_an_acceptance_with_warnings_counts_them() -> None:
    assert "warning" not in accepted().message
    assert "with 1 warning: a: m" in accepted((Notice("a", "R", "m"),)).message
    assert "with 2 warnings" in accepted((Notice("a", "R", "m"),) * 2).message


def test_empty_fields_of_a_violation_are_left_out() -> None:
    assert violation_fields([Violation("a", "user", "type", "m")]) == [
        {"key": "a", "layer": "user", "rule": "type", "message": "m"}
    ]
