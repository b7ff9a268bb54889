"""Who is in a group: claims on users, limits, namespaces, suspension, schema versions, moves."""

from __future__ import annotations

import datetime

from support.live_objects import wait_for
from support.manifests import KEYS
from support.namespace import Namespace
from support.operator_cluster import OperatorCluster
from support.operator_process import Operator

TENANT = {"matchLabels": {"trimtab.dev/tenant": "true"}}


def _second_apart(ns: Namespace, kind: str, name: str) -> None:
    """creationTimestamp counts seconds: make sure that what comes next is younger than this object."""
    created = ns.one(kind, name)["metadata"]["creationTimestamp"]
    wait_for(lambda: datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ") > created, "a second")


def test_the_older_of_two_preferences_holds_the_user_until_it_is_deleted(
    operator: Operator, ns: Namespace
) -> None:
    ns.template()
    ns.preference("first", {"session.minutes": 5}, user="alice")
    ns.wait_user("alice", {"session.minutes": 5})
    _second_apart(ns, "UserPreference", "first")
    ns.preference("second", {"session.minutes": 6}, user="alice")
    ready = ns.invalid("second", "UserTaken")
    for word in ("alice", f"{ns.name}/first", "delete"):
        assert word in ready["message"]

    ns.accepted("first")

    assert ns.user("alice")["session"]["minutes"] == 5  # type: ignore[index]

    ns.drop("UserPreference", "first")
    ns.wait_user("alice", {"session.minutes": 6})
    ns.accepted("second")


def test_a_user_claimed_from_two_groups_is_rendered_only_in_the_group_of_the_older_preference(
    operator: Operator, ns: Namespace
) -> None:
    ns.template()
    ns.preference("first", {"session.minutes": 5}, user="alice", group="pro")
    ns.wait_user("alice", {"session.minutes": 5}, group="pro")
    _second_apart(ns, "UserPreference", "first")
    ns.preference("second", {"session.minutes": 6}, user="alice", group="free")
    ns.invalid("second", "UserTaken")
    assert ns.shards("free") == []

    ns.drop("UserPreference", "first")
    ns.wait_user("alice", {"session.minutes": 6}, group="free")
    wait_for(lambda: ns.shards("pro") == [], "the pro shard is empty and gone")


def test_an_invalid_older_claim_still_holds_the_user(operator: Operator, ns: Namespace) -> None:
    ns.template()
    ns.preference("first", {"nonsense": 5}, user="alice")
    ns.invalid("first")
    _second_apart(ns, "UserPreference", "first")
    ns.preference("second", {"session.minutes": 6}, user="alice")
    ns.invalid("second", "UserTaken")
    ns.wait_user("alice", {"session.minutes": 30})


def test_a_preference_that_may_not_join_claims_no_user(
    operator: Operator, operator_cluster: OperatorCluster, ns: Namespace
) -> None:
    """Else any namespace could take users away from any template."""
    stranger = Namespace(operator_cluster, operator_cluster.new_namespace("stranger"))
    ns.template()
    stranger.preference("squatter", {"session.minutes": 1}, home=ns.name, user="alice")
    stranger.preference("dangler", {"session.minutes": 1}, home=ns.name, user="bob", group="nowhere")
    stranger.invalid("squatter", "NamespaceNotAllowed")
    stranger.invalid("dangler", "GroupNotFound")
    _second_apart(stranger, "UserPreference", "dangler")
    ns.preference("alice", {"session.minutes": 5})
    ns.preference("bob", {"session.minutes": 6}, group="pro")
    ns.wait_user("alice", {"session.minutes": 5})
    ns.wait_user("bob", {"session.minutes": 6}, group="pro")
    ns.accepted("alice")
    ns.accepted("bob")

    stranger.invalid("squatter", "NamespaceNotAllowed")


def test_strangers_do_not_fill_a_group(
    operator: Operator, operator_cluster: OperatorCluster, ns: Namespace
) -> None:
    stranger = Namespace(operator_cluster, operator_cluster.new_namespace("stranger"))
    ns.template(groups=[{"name": "free", "maxUsers": 1}])
    stranger.preference("stan", {"session.minutes": 1}, home=ns.name)
    stranger.invalid("stan", "NamespaceNotAllowed")
    _second_apart(stranger, "UserPreference", "stan")
    ns.preference("alice", {"session.minutes": 5})
    ns.wait_user("alice", {"session.minutes": 5})
    ns.accepted("alice")


def test_a_user_who_moves_leaves_one_group_and_enters_the_other(operator: Operator, ns: Namespace) -> None:
    ns.template()
    ns.preference("alice", {"session.greeting": "hi"})
    ns.wait_user("alice", {"session.greeting": "hi", "session.minutes": 30})
    ns.preference("alice", {"session.greeting": "hi"}, group="pro")
    ns.wait_user("alice", {"session.greeting": "hi", "session.minutes": 120}, group="pro")
    wait_for(lambda: ns.user("alice") is None, "alice left free")
    ns.accepted("alice")
    assert ns.one("UserPreference", "alice")["status"]["accepted"]["group"] == "pro"


def test_a_full_group_refuses_new_users_and_admits_them_when_there_is_room(
    operator: Operator, ns: Namespace
) -> None:
    ns.template(groups=[{"name": "free", "maxUsers": 1}, {"name": "pro"}])
    ns.preference("alice", {"session.minutes": 5})
    ns.wait_user("alice", {"session.minutes": 5})
    _second_apart(ns, "UserPreference", "alice")
    ns.preference("bob", {"session.minutes": 6})
    ready = ns.invalid("bob", "GroupFull")
    assert "maxUsers" in ready["message"]
    assert ns.user("bob") is None

    ns.accepted("alice")

    ns.drop("UserPreference", "alice")
    ns.wait_user("bob", {"session.minutes": 6})
    ns.accepted("bob")


def test_a_raised_limit_lets_waiting_users_in(operator: Operator, ns: Namespace) -> None:
    ns.template(groups=[{"name": "free", "maxUsers": 1}])
    ns.preference("alice")
    ns.wait_user("alice", {"session.minutes": 30})
    _second_apart(ns, "UserPreference", "alice")
    ns.preference("bob")
    ns.invalid("bob", "GroupFull")
    ns.template(groups=[{"name": "free", "maxUsers": 2}])
    ns.wait_user("bob", {"session.minutes": 30})
    ns.accepted("bob")


def test_a_group_admits_preferences_only_from_the_namespaces_that_it_selects(
    operator: Operator, operator_cluster: OperatorCluster, ns: Namespace
) -> None:
    tenant = Namespace(
        operator_cluster, operator_cluster.new_namespace("tenant", labels={"trimtab.dev/tenant": "true"})
    )
    stranger = Namespace(operator_cluster, operator_cluster.new_namespace("stranger"))
    ns.template(groups=[{"name": "free", "preferenceNamespaceSelector": TENANT}, {"name": "pro"}])
    tenant.preference("tina", {"session.minutes": 5}, home=ns.name)
    stranger.preference("stan", {"session.minutes": 6}, home=ns.name)
    tenant.preference("tim", {"session.minutes": 7}, home=ns.name, group="pro")
    ns.wait_user("tina", {"session.minutes": 5})
    tenant.accepted("tina")
    for where, who in ((stranger, "stan"), (tenant, "tim")):
        ready = where.invalid(who, "NamespaceNotAllowed")
        assert where.name in ready["message"]
        assert "preferenceNamespaceSelector" in ready["message"]
    operator_cluster.api.patch(
        "Namespace", "", stranger.name, {"metadata": {"labels": {"trimtab.dev/tenant": "true"}}}
    )
    ns.wait_user("stan", {"session.minutes": 6})
    operator_cluster.api.patch(
        "Namespace", "", tenant.name, {"metadata": {"labels": {"trimtab.dev/tenant": None}}}
    )
    wait_for(lambda: ns.user("tina") is None, "tina's namespace is out")
    tenant.invalid("tina", "NamespaceNotAllowed")
    stranger.accepted("stan")


def test_a_target_namespace_must_let_the_template_in(
    operator: Operator, operator_cluster: OperatorCluster, ns: Namespace
) -> None:
    target = Namespace(operator_cluster, operator_cluster.new_namespace("target"))
    ns.template(groups=[{"name": "free", "targetNamespace": target.name}, {"name": "pro"}])
    ns.preference("alice", {"session.minutes": 5})
    ns.preference("bob", {"session.minutes": 6}, group="pro")
    ready = ns.wait_verdict("ConfigTemplate", "app", "False", "TargetNotAllowed")
    for word in (target.name, "trimtab.dev/allow-from", ns.name):
        assert word in ready["message"]

    ns.wait_user("bob", {"session.minutes": 6}, group="pro")
    assert target.outputs() == {}

    allow = {"metadata": {"annotations": {"trimtab.dev/allow-from": f"others, {ns.name}"}}}
    operator_cluster.api.patch("Namespace", "", target.name, allow)
    target.wait_data("app-free-users-0", "alice.prefs.json")
    ns.rendered()

    before = target.outputs()
    operator_cluster.api.patch(
        "Namespace", "", target.name, {"metadata": {"annotations": {"trimtab.dev/allow-from": None}}}
    )
    ns.wait_verdict("ConfigTemplate", "app", "False", "TargetNotAllowed")
    ns.preference("alice", {"session.minutes": 9})
    operator.quiet()
    assert target.outputs() == before

    operator_cluster.api.patch("Namespace", "", target.name, allow)
    wait_for(lambda: '"minutes":9' in target.data("app-free-users-0")["alice.prefs.json"], "alice's latest")
    ns.rendered()


def test_a_target_namespace_that_is_created_later_is_used_then(
    operator: Operator, operator_cluster: OperatorCluster, ns: Namespace
) -> None:
    late = f"late-{ns.name[-8:]}"
    ns.template(groups=[{"name": "free", "targetNamespace": late}])
    ready = ns.wait_verdict("ConfigTemplate", "app", "False", "TargetNotAllowed")
    assert "does not exist" in ready["message"]
    body = {"apiVersion": "v1", "kind": "Namespace"}
    meta = {"name": late, "annotations": {"trimtab.dev/allow-from": ns.name}}
    operator_cluster.api.create({**body, "metadata": meta})
    Namespace(operator_cluster, late).wait_data("app-free", "app.json")
    ns.rendered()


def test_a_suspended_preference_keeps_what_is_rendered_and_takes_no_changes(
    operator: Operator, ns: Namespace
) -> None:
    ns.template()
    ns.preference("alice", {"session.minutes": 5})
    ns.wait_user("alice", {"session.minutes": 5})
    ns.accepted("alice")

    before = ns.user("alice")
    ns.preference("alice", {"session.minutes": 9}, suspend=True)
    ns.wait_verdict("UserPreference", "alice", "True", "Suspended")
    ns.template(groups=[{"name": "free", "values": {"session.greeting": "new"}}])
    wait_for(lambda: "new" in ns.data("app-free")["app.json"], "the group moves on")
    operator.quiet()
    assert ns.user("alice") == before

    operator.restart()
    operator.quiet()
    assert ns.user("alice") == before

    ns.preference("alice", {"session.minutes": 9})
    ns.wait_user("alice", {"session.minutes": 9, "session.greeting": "new"})
    ns.accepted("alice")


def test_a_preference_ahead_of_or_behind_the_schema_keeps_what_was_accepted(
    operator: Operator, ns: Namespace
) -> None:
    ns.template(schemaVersion=2)
    ns.preference("alice", {"session.minutes": 5}, schemaVersion=2)
    ns.wait_user("alice", {"session.minutes": 5})
    ns.accepted("alice")

    ns.preference("alice", {"session.minutes": 6}, schemaVersion=3)
    ready = ns.invalid("alice", "AheadOfRevision")
    assert ready["of"]["accepted"]["values"] == {"session.minutes": 5}
    assert ns.user("alice")["session"]["minutes"] == 5  # type: ignore[index]

    ns.preference("bob", {"session.minutes": 7}, schemaVersion=1)
    ns.invalid("bob", "BehindSchema")
    ns.wait_user("bob", {"session.minutes": 30})
    ns.template(schemaVersion=3)
    ns.wait_user("alice", {"session.minutes": 6})
    ns.accepted("alice")


def test_no_user_can_have_the_name_of_the_default_entry(operator: Operator, ns: Namespace) -> None:
    ns.template()
    ns.preference("sneaky", {"session.minutes": 5}, user="_default")
    ns.invalid("sneaky", "UserReserved")
    assert ns.user("_default") is None
    assert '"minutes":30' in ns.data("app-free")["_default.prefs.json"]


def test_users_whose_names_begin_alike_do_not_touch_one_another(operator: Operator, ns: Namespace) -> None:
    ns.template(keys=KEYS)
    ns.preference("al", {"session.minutes": 5})
    ns.preference("al-ice", {"session.minutes": 6})
    ns.preference("upper", {"session.minutes": 7}, user="AL")
    for user, minutes in (("al", 5), ("al-ice", 6), ("AL", 7)):
        ns.wait_user(user, {"session.minutes": minutes})
    ns.drop("UserPreference", "al")
    wait_for(lambda: ns.user("al") is None, "al is gone")

    for user, minutes in (("al-ice", 6), ("AL", 7)):
        assert ns.user(user)["session"]["minutes"] == minutes  # type: ignore[index]
