"""Status: what kubectl, GitOps tools and people read of every object."""

from __future__ import annotations

import json

import pytest

from support.live_objects import Body, wait_for
from support.namespace import Namespace
from support.operator_cluster import OperatorCluster
from support.operator_process import Operator

CONDITIONS = {"Ready", "Reconciling", "Stalled"}


def _conditions(found: Body) -> dict[str, Body]:
    return {c["type"]: c for c in found["status"]["conditions"]}


def test_every_kind_carries_kstatus_conditions_of_its_present_generation(
    operator: Operator, ns: Namespace
) -> None:
    ns.template()
    ns.preference("alice", {"session.minutes": 5})
    ns.preference("bad", {"session.minutes": 0})
    ns.rendered()
    ns.accepted("alice")

    ns.invalid("bad")
    ns.wait_verdict("RenderedGroup", "app-free", "True", "Rendered")
    for kind, name, ready in (
        ("ConfigTemplate", "app", True),
        ("UserPreference", "alice", True),
        ("UserPreference", "bad", False),
        ("RenderedGroup", "app-free", True),
    ):
        found = ns.one(kind, name)
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


def test_kubectl_wait_for_ready_works_on_every_kind(
    operator: Operator, operator_cluster: OperatorCluster, ns: Namespace
) -> None:
    ns.template()
    ns.preference("alice", {"session.minutes": 5})
    wait_for(lambda: ns.get("RenderedGroup", "app-free"), "the RenderedGroup")
    for what in ("configtemplate/app", "userpreference/alice", "renderedgroup/app-free"):
        operator_cluster.kubectl("wait", "--for=condition=Ready", what, "-n", ns.name, "--timeout=60s")
    ns.template(keys=[{"name": "a", "type": "Integer", "default": "x"}])
    operator_cluster.kubectl(
        "wait", "--for=condition=Stalled", "configtemplate/app", "-n", ns.name, "--timeout=60s"
    )
    columns = operator_cluster.kubectl(
        "get", "configtemplate,userpreference,renderedgroup", "-n", ns.name
    ).stdout

    for word in ("READY", "REASON", "Rejected", "Accepted", "Rendered"):
        assert word in columns


def test_counts_follow_groups_and_users(operator: Operator, ns: Namespace) -> None:
    ns.template()
    ns.preference("alice", {"session.minutes": 5})
    ns.preference("bob", {"session.minutes": 0}, group="pro")

    def look() -> bool:
        template = ns.one("ConfigTemplate", "app").get("status") or {}
        free = (ns.get("RenderedGroup", "app-free") or {}).get("status") or {}
        pro = (ns.get("RenderedGroup", "app-pro") or {}).get("status") or {}
        return (
            (template.get("groups"), template.get("users"), template.get("invalidUsers")) == (2, 2, 1)
            and (free.get("users"), free.get("invalidUsers"), free.get("shards")) == (1, 0, 1)
            and (pro.get("users"), pro.get("invalidUsers")) == (1, 1)
        )

    wait_for(look, lambda: str(ns.one("ConfigTemplate", "app")["status"]))
    listed = ns.one("RenderedGroup", "app-free")["status"]["outputs"]
    assert {entry["name"] for entry in listed} == {"app-free", "app-free-users-0"}
    ns.preference("bob", {"session.minutes": 1}, group="pro")
    ns.drop("UserPreference", "alice")
    wait_for(
        lambda: (
            (status := ns.one("ConfigTemplate", "app")["status"])["users"] == 1
            and status["invalidUsers"] == 0
        ),
        lambda: str(ns.one("ConfigTemplate", "app")["status"]),
    )


def test_what_was_accepted_is_kept_with_a_bounded_history(operator: Operator, ns: Namespace) -> None:
    ns.template(users={"historyLimit": 2})
    for minutes in (1, 2, 3, 4):
        ns.preference("alice", {"session.minutes": minutes})
        ns.accepted("alice")
    status = ns.accepted("alice")["of"]
    assert status["accepted"]["values"] == {"session.minutes": 4}
    assert status["accepted"]["generation"] == 4
    assert [entry["values"]["session.minutes"] for entry in status["history"]] == [3, 2]
    assert [entry["generation"] for entry in status["history"]] == [3, 2]


def test_history_grows_only_by_what_was_accepted(operator: Operator, ns: Namespace) -> None:
    ns.template()
    for minutes in (1, 0, 2):
        ns.preference("alice", {"session.minutes": minutes})
        ns.accepted("alice") if minutes else ns.invalid("alice")
    status = ns.accepted("alice")["of"]
    assert [entry["values"] for entry in status["history"]] == [{"session.minutes": 1}]


def test_a_users_status_is_not_written_when_only_the_template_moves_on(
    operator: Operator, ns: Namespace
) -> None:
    ns.template()
    ns.preference("alice", {"session.minutes": 5})
    ns.preference("bad", {"session.minutes": 0})
    ns.accepted("alice")

    ns.invalid("bad")
    operator.quiet()
    before = {name: ns.one("UserPreference", name) for name in ("alice", "bad")}
    ns.template(groups=[{"name": "free", "values": {"session.greeting": "new"}}])
    ns.wait_user("alice", {"session.greeting": "new"})
    ns.rendered()
    operator.quiet()

    assert {name: ns.one("UserPreference", name) for name in before} == before


def test_labels_and_annotations_of_a_preference_cost_no_write(operator: Operator, ns: Namespace) -> None:
    ns.template()
    ns.preference("alice", {"session.minutes": 5})
    ns.accepted("alice")
    ns.rendered()

    operator.quiet()
    outputs = ns.outputs()
    labelled = {"metadata": {"labels": {"a": "b"}, "annotations": {"c": "d"}}}
    after = ns.api.patch("UserPreference", ns.name, "alice", labelled)
    operator.quiet()

    assert ns.one("UserPreference", "alice") == after
    assert ns.outputs() == outputs


def test_revisions_are_numbered_listed_and_bounded_and_their_snapshots_pruned(
    operator: Operator, ns: Namespace
) -> None:
    for number in (1, 2, 3, 4, 5):
        ns.template(revisionHistoryLimit=3, groups=[{"name": "free", "values": {"session.minutes": number}}])
        wait_for(
            lambda number=number: f'"minutes": {number}' in ns.data("app-free").get("app.json", ""),
            f"revision {number}",
        )
    ns.rendered()

    status = ns.wait_verdict("RenderedGroup", "app-free", "True", "Rendered")["of"]
    assert [entry["number"] for entry in status["revisions"]] == [5, 4, 3]
    assert status["currentRevision"] == 5

    listed = {entry["snapshot"] for entry in status["revisions"]}
    wait_for(
        lambda: {r["metadata"]["name"] for r in ns.api.list("ControllerRevision", ns.name)} == listed,
        lambda: f"{listed}; {[r['metadata']['name'] for r in ns.api.list('ControllerRevision', ns.name)]}",
    )
    assert ns.one("ConfigMap", "app-free")["metadata"]["annotations"]["trimtab.dev/revision"] == "5"
    assert ns.one("ConfigTemplate", "app")["status"]["snapshot"] in listed


def test_content_that_returns_is_the_old_revision_again(operator: Operator, ns: Namespace) -> None:
    for minutes, current in ((1, 1), (2, 2), (1, 1)):
        ns.template(groups=[{"name": "free", "values": {"session.minutes": minutes}}])
        ns.rendered()
        status = ns.one("RenderedGroup", "app-free")["status"]
        assert status["currentRevision"] == current
    revisions = status["revisions"]
    assert [entry["number"] for entry in revisions] == [2, 1]
    assert revisions[0]["snapshot"] != revisions[1]["snapshot"]
    assert json.loads(ns.data("app-free")["app.json"])["session"] == {"minutes": 1, "greeting": "hello"}


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
def test_a_manually_edited_status_of_a_rendered_group_is_repaired(
    operator: Operator, ns: Namespace, edit: Body | None
) -> None:
    ns.with_alice()
    operator.quiet()
    outputs = {name: body["data"] for name, body in ns.outputs().items()}
    patch: Body = {"status": edit}
    ns.api.patch("RenderedGroup", ns.name, "app-free", patch, "status")

    def mended() -> bool:
        status = ns.one("RenderedGroup", "app-free").get("status") or {}
        revisions = status.get("revisions") or []
        return (
            any(c["type"] == "Ready" and c["reason"] == "Rendered" for c in status.get("conditions", ()))
            and any(r["number"] == status.get("currentRevision") for r in revisions)
            and status.get("users") == 1
        )

    wait_for(mended, lambda: str(ns.one("RenderedGroup", "app-free").get("status")), patience=30)
    ns.rendered()
    operator.quiet()
    assert {name: body["data"] for name, body in ns.outputs().items()} == outputs


def test_a_manually_deleted_rendered_group_is_recreated_and_no_output_changes(
    operator: Operator, ns: Namespace
) -> None:
    ns.with_alice()

    before = {name: body["data"] for name, body in ns.outputs().items()}
    ns.drop("RenderedGroup", "app-free")
    wait_for(lambda: ns.get("RenderedGroup", "app-free"), "it is back")
    ns.wait_verdict("RenderedGroup", "app-free", "True", "Rendered")
    operator.quiet()

    assert {name: body["data"] for name, body in ns.outputs().items()} == before


def test_a_manually_written_status_of_a_preference_is_replaced(operator: Operator, ns: Namespace) -> None:
    ns.template()
    ns.preference("alice", {"session.minutes": 5})
    ns.accepted("alice")
    ns.api.patch(
        "UserPreference", ns.name, "alice", {"status": {"conditions": None, "accepted": None}}, "status"
    )
    status = ns.accepted("alice")["of"]
    assert status["accepted"]["values"] == {"session.minutes": 5}
