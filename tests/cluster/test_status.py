"""Status: what kubectl, GitOps tools and people read of every object."""

from __future__ import annotations

import json

import pytest

from support.cluster_fixtures import Arena, Place
from support.live_objects import Body, wait_for
from support.operator_process import Operator

CONDITIONS = {"Ready", "Reconciling", "Stalled"}


def _conditions(found: Body) -> dict[str, Body]:
    return {c["type"]: c for c in found["status"]["conditions"]}


def test_every_kind_carries_kstatus_conditions_of_its_present_generation(
    operator: Operator, place: Place
) -> None:
    place.template()
    place.preference("alice", {"session.minutes": 5})
    place.preference("bad", {"session.minutes": 0})
    place.rendered()
    place.accepted("alice")
    place.invalid("bad")
    place.wait_verdict("RenderedGroup", "app-free", "True", "Rendered")
    for kind, name, ready in (
        ("ConfigTemplate", "app", True),
        ("UserPreference", "alice", True),
        ("UserPreference", "bad", False),
        ("RenderedGroup", "app-free", True),
    ):
        found = place.one(kind, name)
        conditions = _conditions(found)
        assert set(conditions) == CONDITIONS
        assert found["status"]["observedGeneration"] == found["metadata"]["generation"]
        for condition in conditions.values():
            assert condition["observedGeneration"] == found["metadata"]["generation"]
            assert condition["lastTransitionTime"]
            assert condition["reason"]
        assert conditions["Ready"]["status"] == str(ready)
        assert conditions["Stalled"]["status"] == str(not ready)
        assert conditions["Reconciling"]["status"] == "False"


def test_kubectl_wait_for_ready_works_on_every_kind(operator: Operator, arena: Arena, place: Place) -> None:
    place.template()
    place.preference("alice", {"session.minutes": 5})
    wait_for(lambda: place.get("RenderedGroup", "app-free"), "the RenderedGroup")
    for what in ("configtemplate/app", "userpreference/alice", "renderedgroup/app-free"):
        arena.kubectl("wait", "--for=condition=Ready", what, "-n", place.name, "--timeout=60s")
    place.template(keys=[{"name": "a", "type": "Integer", "default": "x"}])
    arena.kubectl("wait", "--for=condition=Stalled", "configtemplate/app", "-n", place.name, "--timeout=60s")
    columns = arena.kubectl("get", "configtemplate,userpreference,renderedgroup", "-n", place.name).stdout
    for word in ("READY", "REASON", "Rejected", "Accepted", "Rendered"):
        assert word in columns


def test_counts_follow_groups_and_users(operator: Operator, place: Place) -> None:
    place.template()
    place.preference("alice", {"session.minutes": 5})
    place.preference("bob", {"session.minutes": 0}, group="pro")

    def look() -> bool:
        template = place.one("ConfigTemplate", "app").get("status") or {}
        free = place.one("RenderedGroup", "app-free").get("status") or {}
        pro = place.one("RenderedGroup", "app-pro").get("status") or {}
        return (
            (template.get("groups"), template.get("users"), template.get("invalidUsers")) == (2, 2, 1)
            and (free.get("users"), free.get("invalidUsers"), free.get("shards")) == (1, 0, 1)
            and (pro.get("users"), pro.get("invalidUsers")) == (1, 1)
        )

    wait_for(look, lambda: str(place.one("ConfigTemplate", "app")["status"]))
    listed = place.one("RenderedGroup", "app-free")["status"]["outputs"]
    assert {entry["name"] for entry in listed} == {"app-free", "app-free-users-0"}
    place.preference("bob", {"session.minutes": 1}, group="pro")
    place.drop("UserPreference", "alice")
    wait_for(
        lambda: (
            (status := place.one("ConfigTemplate", "app")["status"])["users"] == 1
            and status["invalidUsers"] == 0
        ),
        lambda: str(place.one("ConfigTemplate", "app")["status"]),
    )


def test_what_was_accepted_is_kept_with_a_bounded_history(operator: Operator, place: Place) -> None:
    place.template(users={"historyLimit": 2})
    for minutes in (1, 2, 3, 4):
        place.preference("alice", {"session.minutes": minutes})
        place.accepted("alice")
    status = place.accepted("alice")["of"]
    assert status["accepted"]["values"] == {"session.minutes": 4}
    assert status["accepted"]["generation"] == 4
    assert [entry["values"]["session.minutes"] for entry in status["history"]] == [3, 2]
    assert [entry["generation"] for entry in status["history"]] == [3, 2]


def test_history_grows_only_by_what_was_accepted(operator: Operator, place: Place) -> None:
    place.template()
    for minutes in (1, 0, 2):
        place.preference("alice", {"session.minutes": minutes})
        place.accepted("alice") if minutes else place.invalid("alice")
    status = place.accepted("alice")["of"]
    assert [entry["values"] for entry in status["history"]] == [{"session.minutes": 1}]


def test_a_users_status_is_not_written_when_only_the_template_moves_on(
    operator: Operator, place: Place
) -> None:
    place.template()
    place.preference("alice", {"session.minutes": 5})
    place.preference("bad", {"session.minutes": 0})
    place.accepted("alice")
    place.invalid("bad")
    operator.quiet()
    before = {name: place.one("UserPreference", name) for name in ("alice", "bad")}
    place.template(groups=[{"name": "free", "values": {"session.greeting": "new"}}])
    place.wait_user("alice", {"session.greeting": "new"})
    place.rendered()
    operator.quiet()
    assert {name: place.one("UserPreference", name) for name in before} == before


def test_labels_and_annotations_of_a_preference_cost_no_write(operator: Operator, place: Place) -> None:
    place.template()
    place.preference("alice", {"session.minutes": 5})
    place.accepted("alice")
    place.rendered()
    operator.quiet()
    outputs = place.outputs()
    labelled = {"metadata": {"labels": {"a": "b"}, "annotations": {"c": "d"}}}
    after = place.api.patch("UserPreference", place.name, "alice", labelled)
    operator.quiet()
    assert place.one("UserPreference", "alice") == after
    assert place.outputs() == outputs


def test_revisions_are_numbered_listed_and_bounded_and_their_snapshots_pruned(
    operator: Operator, place: Place
) -> None:
    for number in (1, 2, 3, 4, 5):
        place.template(
            revisionHistoryLimit=3, groups=[{"name": "free", "values": {"session.minutes": number}}]
        )
        wait_for(
            lambda number=number: f'"minutes": {number}' in place.data("app-free").get("app.json", ""),
            f"revision {number}",
        )
    place.rendered()
    status = place.wait_verdict("RenderedGroup", "app-free", "True", "Rendered")["of"]
    assert [entry["number"] for entry in status["revisions"]] == [5, 4, 3]
    assert status["currentRevision"] == 5
    listed = {entry["snapshot"] for entry in status["revisions"]}
    wait_for(
        lambda: {r["metadata"]["name"] for r in place.api.list("ControllerRevision", place.name)} == listed,
        lambda: (
            f"{listed}; {[r['metadata']['name'] for r in place.api.list('ControllerRevision', place.name)]}"
        ),
    )
    assert place.one("ConfigMap", "app-free")["metadata"]["annotations"]["trimtab.dev/revision"] == "5"
    assert place.one("ConfigTemplate", "app")["status"]["snapshot"] in listed


def test_content_that_returns_is_the_old_revision_again(operator: Operator, place: Place) -> None:
    for minutes, current in ((1, 1), (2, 2), (1, 1)):
        place.template(groups=[{"name": "free", "values": {"session.minutes": minutes}}])
        place.rendered()
        status = place.one("RenderedGroup", "app-free")["status"]
        assert status["currentRevision"] == current
    revisions = status["revisions"]
    assert [entry["number"] for entry in revisions] == [2, 1]
    assert revisions[0]["snapshot"] != revisions[1]["snapshot"]
    assert json.loads(place.data("app-free")["app.json"])["session"] == {"minutes": 1, "greeting": "hello"}


@pytest.mark.parametrize(
    "edit",
    [
        {"conditions": [{"type": "Ready", "status": "False", "reason": "ByHand", "message": "no",
                         "lastTransitionTime": "2020-01-01T00:00:00Z"}]},
        {"currentRevision": 99},
        {"users": 4711},
        {"revisions": []},
        None,
    ],
    ids=["conditions", "pointer", "counts", "revisions", "all"],
)  # fmt: skip
def test_a_rendered_groups_status_edited_by_hand_is_mended(
    operator: Operator, place: Place, edit: Body | None
) -> None:
    place.template()
    place.preference("alice", {"session.minutes": 5})
    place.wait_user("alice", {"session.minutes": 5})
    place.rendered()
    operator.quiet()
    outputs = {name: body["data"] for name, body in place.outputs().items()}
    patch: Body = {"status": edit}
    place.api.patch("RenderedGroup", place.name, "app-free", patch, "status")

    def mended() -> bool:
        status = place.one("RenderedGroup", "app-free").get("status") or {}
        revisions = status.get("revisions") or []
        return (
            any(c["type"] == "Ready" and c["reason"] == "Rendered" for c in status.get("conditions", ()))
            and any(r["number"] == status.get("currentRevision") for r in revisions)
            and status.get("users") == 1
        )

    wait_for(mended, lambda: str(place.one("RenderedGroup", "app-free").get("status")), patience=30)
    place.rendered()
    operator.quiet()
    assert {name: body["data"] for name, body in place.outputs().items()} == outputs


def test_a_rendered_group_deleted_by_hand_comes_back_and_no_output_changes(
    operator: Operator, place: Place
) -> None:
    place.template()
    place.preference("alice", {"session.minutes": 5})
    place.wait_user("alice", {"session.minutes": 5})
    place.rendered()
    before = {name: body["data"] for name, body in place.outputs().items()}
    place.drop("RenderedGroup", "app-free")
    wait_for(lambda: place.get("RenderedGroup", "app-free"), "it is back")
    place.wait_verdict("RenderedGroup", "app-free", "True", "Rendered")
    operator.quiet()
    assert {name: body["data"] for name, body in place.outputs().items()} == before


def test_a_status_somebody_wrote_on_a_preference_is_replaced(operator: Operator, place: Place) -> None:
    place.template()
    place.preference("alice", {"session.minutes": 5})
    place.accepted("alice")
    place.api.patch(
        "UserPreference", place.name, "alice", {"status": {"conditions": None, "accepted": None}}, "status"
    )
    status = place.accepted("alice")["of"]
    assert status["accepted"]["values"] == {"session.minutes": 5}
