"""The small rooms of the core: selectors, statuses, snapshots, names, problems and reasons."""

from __future__ import annotations

from typing import Any

import pytest

from trimtab.api.meta import Condition, LabelSelector, StatusWarning
from trimtab.api.meta import Violation as ViolationModel
from trimtab.core import naming, reasons
from trimtab.core.resolve import snapshot
from trimtab.core.selector import selects
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
from trimtab.core.suggestion import nearest
from trimtab.core.violations import REPORTED, Notice, RejectedError, Violation, bounded, summary

# Selectors


@pytest.mark.parametrize(
    ("selector", "labels", "selected"),
    [
        ({}, {}, True),
        ({}, {"a": "b"}, True),
        ({"matchLabels": {"a": "b"}}, {"a": "b", "c": "d"}, True),
        ({"matchLabels": {"a": "b"}}, {"a": "c"}, False),
        ({"matchLabels": {"a": ""}}, {}, False),
        ({"matchLabels": {"a": ""}}, {"a": ""}, True),
        ({"matchLabels": {"a": "b", "c": "d"}}, {"a": "b"}, False),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["b", "c"]}]}, {"a": "c"}, True),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]}, {}, False),
        ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["b"]}]}, {"a": "b"}, False),
        ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["b"]}]}, {"a": "c"}, True),
        ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["b"]}]}, {}, True),
        ({"matchExpressions": [{"key": "a", "operator": "Exists"}]}, {"a": ""}, True),
        ({"matchExpressions": [{"key": "a", "operator": "Exists"}]}, {}, False),
        ({"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}, {}, True),
        ({"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}, {"a": ""}, False),
        (
            {"matchLabels": {"a": "b"}, "matchExpressions": [{"key": "c", "operator": "Exists"}]},
            {"a": "b"},
            False,
        ),
    ],
)
def test_a_selector_selects_as_kubernetes_does(selector: Any, labels: dict[str, str], selected: bool) -> None:
    assert selects(LabelSelector.model_validate(selector), labels) is selected


# Statuses


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


# Problems


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


# Names


@pytest.mark.parametrize("group", ["users-0", "a-users-12", "u", "u-a"])
def test_a_group_name_that_could_be_a_shard_s_or_a_user_s_is_ambiguous(group: str) -> None:
    assert naming.ambiguous_group(group)


@pytest.mark.parametrize(
    "group", ["users", "users-", "users-a", "users-1a", "1-users", "ux", "au-b", "a-u-b"]
)
def test_other_group_names_are_not(group: str) -> None:
    assert naming.ambiguous_group(group) == ""


def test_objects_are_named_as_the_contract_specifies() -> None:
    assert naming.group_object("app", "free") == "app-free"
    assert naming.shard_object("app", "free", 3) == "app-free-users-3"
    assert naming.user_object("app", "ann") == "app-u-ann"
    assert naming.data_key("ann", "prefs.json") == "ann.prefs.json"


def test_every_reason_is_documented() -> None:
    named = {value for name, value in vars(reasons).items() if name.isupper()}
    documented = {line.split()[0] for line in (reasons.__doc__ or "").splitlines() if line[:1].isupper()}

    assert named <= documented


# Snapshots

SPEC: dict[str, Any] = {
    "keys": [
        {"name": "open", "type": "String", "default": "d"},
        {
            "name": "shut",
            "type": "StringList",
            "sensitive": True,
            "default": ["canary-1"],
            "items": {"enum": ["canary-1", "canary-2"], "pattern": "canary"},
            "description": "what for",
        },
        {"name": "code", "type": "String", "sensitive": True, "enum": ["canary-3"], "pattern": "canary-4"},
    ],
    "profiles": [{"name": "p", "values": {"open": "o", "code": "canary-3"}}, {"name": "q"}],
    "groups": [{"name": "g", "profile": "p", "values": {"shut": ["canary-2"], "open": "x"}}],
    "outputs": [{"name": "o", "format": "JSON", "fileName": "f"}],
}


def test_a_snapshot_s_public_part_holds_nothing_sensitive() -> None:
    public, taken = snapshot.split(SPEC)

    assert "canary" not in str(public)
    assert len(taken) == 6
    assert public["keys"][1]["description"] == "what for"


def test_a_snapshot_is_restored_unchanged() -> None:
    before = str(SPEC)

    assert snapshot.join(*snapshot.split(SPEC)) == SPEC
    assert str(SPEC) == before, "and the original is left alone"


def test_a_spec_without_secrets_is_stored_unchanged() -> None:
    spec = {"keys": [{"name": "a", "type": "String"}], "groups": [{"name": "g"}]}

    assert snapshot.split(spec) == (spec, [])
    assert snapshot.split({}) == ({}, [])


def test_how_a_change_rolls_out_is_no_part_of_its_content() -> None:
    assert snapshot.content({"keys": [], "strategy": {"paused": True}}) == {"keys": []}
