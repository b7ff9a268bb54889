"""Desired against observed: the writes that make them equal, in an order in which no user is ever without an entry."""

from __future__ import annotations

import pytest

from trimtab.core.refs import Ref
from trimtab.core.render.plan import Apply, Delete, Desired, Observed, Write, plan

LABELS = {"managed-by": "trimtab"}


def want(name: str, labels: dict[str, str] | None = None, **data: str) -> Desired:
    return Desired(Ref("ConfigMap", "ns", name), data, labels or LABELS, {})


def have(name: str, labels: dict[str, str] | None = None, **data: str) -> Observed:
    return Observed(Ref("ConfigMap", "ns", name), "uid", 1, labels or LABELS, {}, data)


def planned(
    desired: list[Desired], observed: list[Observed], last: list[Desired] | None = None
) -> list[Write]:
    by_ref = {d.ref: d for d in last} if last is not None else None
    return plan({d.ref: d for d in desired}, {o.ref: o for o in observed}, by_ref)


def told(writes: list[Write]) -> list[str]:
    return [
        f"apply {w.desired.ref.name}" if isinstance(w, Apply) else f"delete {w.observed.ref.name}"
        for w in writes
    ]


@pytest.mark.parametrize(
    ("desired", "observed", "writes"),
    [
        ([], [], []),
        ([want("a", x="1")], [], ["apply a"]),
        ([want("a", x="1")], [have("a", x="1")], []),
        ([want("a", x="1")], [have("a", x="2")], ["apply a"]),
        ([want("a", x="1")], [have("a", x="1", y="1")], ["apply a"]),
        ([want("a", x="1")], [have("a")], ["apply a"]),
        ([want("a")], [have("a")], []),
        ([want("a")], [have("a", {"managed-by": "someone"})], ["apply a"]),
        ([want("a")], [have("a", {"managed-by": "trimtab", "theirs": "x"})], []),
        ([], [have("a", x="1")], ["delete a"]),
        ([want("b", x="1")], [have("a", x="1")], ["apply b", "delete a"]),
    ],
)
def test_only_what_differs_is_written(
    desired: list[Desired], observed: list[Observed], writes: list[str]
) -> None:
    assert told(planned(desired, observed)) == writes


def test_deletions_come_last() -> None:
    desired = [want("less", x="1"), want("same-keys", x="2"), want("more", x="1", y="1"), want("new", x="1")]
    observed = [
        have("gone", x="1"),
        have("less", x="1", y="1"),
        have("same-keys", x="1"),
        have("more", x="1"),
    ]

    assert told(planned(desired, observed)) == [
        "apply less",
        "apply same-keys",
        "apply more",
        "apply new",
        "delete gone",
    ]


def test_a_strange_object_is_written_whatever_its_data() -> None:
    strange = have("a", x="1")
    strange.has_foreign_data = True

    assert told(planned([want("a", x="1")], [strange])) == ["apply a"]


@pytest.mark.parametrize(
    ("observed", "last", "drift"),
    [
        ([have("a", x="2")], None, False),
        ([have("a", x="2")], [], False),
        ([have("a", x="1")], [want("a", x="1")], False),
        ([have("a", x="9")], [want("a", x="1")], True),
        ([], [want("a", x="1")], True),
        ([], [], False),
    ],
)
def test_an_object_that_changed_since_the_last_write_has_drifted(
    observed: list[Observed], last: list[Desired] | None, drift: bool
) -> None:
    (write,) = planned([want("a", x="3")], observed, last)

    assert isinstance(write, Apply)
    assert write.drift is drift


def test_a_write_names_the_version_that_it_replaces() -> None:
    old = have("a", x="2")

    (write, deletion) = planned([want("a", x="1")], [old, have("b")])

    assert isinstance(write, Apply)
    assert write.observed is old
    assert isinstance(deletion, Delete)


def test_equal_data_is_kept_in_memory_once() -> None:
    desired, observed = want("a", x="1"), have("a", x="1")

    planned([desired], [observed])

    assert observed.data is desired.data
