"""Who is in a group: claims on users, limits, namespaces, suspension, schema versions, moves."""

from __future__ import annotations

import datetime

from support.cluster_fixtures import Arena, Place, new_namespace
from support.live_objects import wait_for
from support.manifests import KEYS
from support.operator_process import Operator

TENANT = {"matchLabels": {"trimtab.dev/tenant": "true"}}


def _second_apart(place: Place, kind: str, name: str) -> None:
    """creationTimestamp counts seconds: make sure that what comes next is younger than this object."""
    created = place.one(kind, name)["metadata"]["creationTimestamp"]
    wait_for(lambda: datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ") > created, "a second")


def test_the_older_of_two_preferences_holds_the_user_and_the_other_takes_over(
    operator: Operator, place: Place
) -> None:
    place.template()
    place.preference("first", {"session.minutes": 5}, user="alice")
    place.wait_user("alice", {"session.minutes": 5})
    _second_apart(place, "UserPreference", "first")
    place.preference("second", {"session.minutes": 6}, user="alice")
    ready = place.invalid("second", "UserTaken")
    for word in ("alice", f"{place.name}/first", "delete"):
        assert word in ready["message"]
    place.accepted("first")
    assert place.user("alice")["session"]["minutes"] == 5  # type: ignore[index]
    place.drop("UserPreference", "first")
    place.wait_user("alice", {"session.minutes": 6})
    place.accepted("second")


def test_a_user_claimed_from_two_groups_is_served_in_the_older_claims_group_alone(
    operator: Operator, place: Place
) -> None:
    place.template()
    place.preference("first", {"session.minutes": 5}, user="alice", group="pro")
    place.wait_user("alice", {"session.minutes": 5}, group="pro")
    _second_apart(place, "UserPreference", "first")
    place.preference("second", {"session.minutes": 6}, user="alice", group="free")
    place.invalid("second", "UserTaken")
    assert place.shards("free") == []
    place.drop("UserPreference", "first")
    place.wait_user("alice", {"session.minutes": 6}, group="free")
    wait_for(lambda: place.shards("pro") == [], "the pro shard is empty and gone")


def test_an_invalid_older_claim_still_holds_the_user(operator: Operator, place: Place) -> None:
    place.template()
    place.preference("first", {"nonsense": 5}, user="alice")
    place.invalid("first")
    _second_apart(place, "UserPreference", "first")
    place.preference("second", {"session.minutes": 6}, user="alice")
    place.invalid("second", "UserTaken")
    place.wait_user("alice", {"session.minutes": 30})


def test_a_preference_that_may_not_join_claims_nobody(operator: Operator, arena: Arena, place: Place) -> None:
    """Else any namespace could take users away from any template."""
    stranger = Place(arena, new_namespace(arena, "stranger"))
    place.template()
    stranger.preference("squatter", {"session.minutes": 1}, home=place.name, user="alice")
    stranger.preference("dangler", {"session.minutes": 1}, home=place.name, user="bob", group="nowhere")
    stranger.invalid("squatter", "NamespaceNotAllowed")
    stranger.invalid("dangler", "GroupNotFound")
    _second_apart(stranger, "UserPreference", "dangler")
    place.preference("alice", {"session.minutes": 5})
    place.preference("bob", {"session.minutes": 6}, group="pro")
    place.wait_user("alice", {"session.minutes": 5})
    place.wait_user("bob", {"session.minutes": 6}, group="pro")
    place.accepted("alice")
    place.accepted("bob")
    stranger.invalid("squatter", "NamespaceNotAllowed")


def test_strangers_do_not_fill_a_group(operator: Operator, arena: Arena, place: Place) -> None:
    stranger = Place(arena, new_namespace(arena, "stranger"))
    place.template(groups=[{"name": "free", "maxUsers": 1}])
    stranger.preference("stan", {"session.minutes": 1}, home=place.name)
    stranger.invalid("stan", "NamespaceNotAllowed")
    _second_apart(stranger, "UserPreference", "stan")
    place.preference("alice", {"session.minutes": 5})
    place.wait_user("alice", {"session.minutes": 5})
    place.accepted("alice")


def test_a_user_who_moves_leaves_one_group_and_enters_the_other(operator: Operator, place: Place) -> None:
    place.template()
    place.preference("alice", {"session.greeting": "hi"})
    place.wait_user("alice", {"session.greeting": "hi", "session.minutes": 30})
    place.preference("alice", {"session.greeting": "hi"}, group="pro")
    place.wait_user("alice", {"session.greeting": "hi", "session.minutes": 120}, group="pro")
    wait_for(lambda: place.user("alice") is None, "alice left free")
    place.accepted("alice")
    assert place.one("UserPreference", "alice")["status"]["accepted"]["group"] == "pro"


def test_a_full_group_refuses_newcomers_and_takes_them_when_there_is_room(
    operator: Operator, place: Place
) -> None:
    place.template(groups=[{"name": "free", "maxUsers": 1}, {"name": "pro"}])
    place.preference("alice", {"session.minutes": 5})
    place.wait_user("alice", {"session.minutes": 5})
    _second_apart(place, "UserPreference", "alice")
    place.preference("bob", {"session.minutes": 6})
    ready = place.invalid("bob", "GroupFull")
    assert "maxUsers" in ready["message"]
    assert place.user("bob") is None
    place.accepted("alice")
    place.drop("UserPreference", "alice")
    place.wait_user("bob", {"session.minutes": 6})
    place.accepted("bob")


def test_a_raised_limit_lets_waiting_users_in(operator: Operator, place: Place) -> None:
    place.template(groups=[{"name": "free", "maxUsers": 1}])
    place.preference("alice")
    place.wait_user("alice", {"session.minutes": 30})
    _second_apart(place, "UserPreference", "alice")
    place.preference("bob")
    place.invalid("bob", "GroupFull")
    place.template(groups=[{"name": "free", "maxUsers": 2}])
    place.wait_user("bob", {"session.minutes": 30})
    place.accepted("bob")


def test_a_group_takes_preferences_from_the_namespaces_that_it_selects_alone(
    operator: Operator, arena: Arena, place: Place
) -> None:
    tenant = Place(arena, new_namespace(arena, "tenant", labels={"trimtab.dev/tenant": "true"}))
    stranger = Place(arena, new_namespace(arena, "stranger"))
    place.template(groups=[{"name": "free", "preferenceNamespaceSelector": TENANT}, {"name": "pro"}])
    tenant.preference("tina", {"session.minutes": 5}, home=place.name)
    stranger.preference("stan", {"session.minutes": 6}, home=place.name)
    tenant.preference("tim", {"session.minutes": 7}, home=place.name, group="pro")
    place.wait_user("tina", {"session.minutes": 5})
    tenant.accepted("tina")
    for where, who in ((stranger, "stan"), (tenant, "tim")):
        ready = where.invalid(who, "NamespaceNotAllowed")
        assert where.name in ready["message"]
        assert "preferenceNamespaceSelector" in ready["message"]
    arena.api.patch("Namespace", "", stranger.name, {"metadata": {"labels": {"trimtab.dev/tenant": "true"}}})
    place.wait_user("stan", {"session.minutes": 6})
    arena.api.patch("Namespace", "", tenant.name, {"metadata": {"labels": {"trimtab.dev/tenant": None}}})
    wait_for(lambda: place.user("tina") is None, "tina's namespace is out")
    tenant.invalid("tina", "NamespaceNotAllowed")
    stranger.accepted("stan")


def test_a_target_namespace_must_let_the_template_in(operator: Operator, arena: Arena, place: Place) -> None:
    target = Place(arena, new_namespace(arena, "target"))
    place.template(groups=[{"name": "free", "targetNamespace": target.name}, {"name": "pro"}])
    place.preference("alice", {"session.minutes": 5})
    place.preference("bob", {"session.minutes": 6}, group="pro")
    ready = place.wait_verdict("ConfigTemplate", "app", "False", "TargetNotAllowed")
    for word in (target.name, "trimtab.dev/allow-from", place.name):
        assert word in ready["message"]
    place.wait_user("bob", {"session.minutes": 6}, group="pro")
    assert target.outputs() == {}
    allow = {"metadata": {"annotations": {"trimtab.dev/allow-from": f"others, {place.name}"}}}
    arena.api.patch("Namespace", "", target.name, allow)
    target.wait_data("app-free-users-0", "alice.prefs.json")
    place.rendered()
    before = target.outputs()
    arena.api.patch(
        "Namespace", "", target.name, {"metadata": {"annotations": {"trimtab.dev/allow-from": None}}}
    )
    place.wait_verdict("ConfigTemplate", "app", "False", "TargetNotAllowed")
    place.preference("alice", {"session.minutes": 9})
    operator.quiet()
    assert target.outputs() == before
    arena.api.patch("Namespace", "", target.name, allow)
    wait_for(lambda: '"minutes":9' in target.data("app-free-users-0")["alice.prefs.json"], "alice's latest")
    place.rendered()


def test_a_target_namespace_that_is_made_later_is_used_then(
    operator: Operator, arena: Arena, place: Place
) -> None:
    late = f"late-{place.name[-8:]}"
    place.template(groups=[{"name": "free", "targetNamespace": late}])
    ready = place.wait_verdict("ConfigTemplate", "app", "False", "TargetNotAllowed")
    assert "does not exist" in ready["message"]
    body = {"apiVersion": "v1", "kind": "Namespace"}
    meta = {"name": late, "annotations": {"trimtab.dev/allow-from": place.name}}
    arena.api.create({**body, "metadata": meta})
    Place(arena, late).wait_data("app-free", "app.json")
    place.rendered()


def test_a_suspended_preference_keeps_what_is_rendered_and_takes_no_changes(
    operator: Operator, place: Place
) -> None:
    place.template()
    place.preference("alice", {"session.minutes": 5})
    place.wait_user("alice", {"session.minutes": 5})
    place.accepted("alice")
    before = place.user("alice")
    place.preference("alice", {"session.minutes": 9}, suspend=True)
    place.wait_verdict("UserPreference", "alice", "True", "Suspended")
    place.template(groups=[{"name": "free", "values": {"session.greeting": "new"}}])
    wait_for(lambda: "new" in place.data("app-free")["app.json"], "the group moves on")
    operator.quiet()
    assert place.user("alice") == before
    operator.restart()
    operator.quiet()
    assert place.user("alice") == before
    place.preference("alice", {"session.minutes": 9})
    place.wait_user("alice", {"session.minutes": 9, "session.greeting": "new"})
    place.accepted("alice")


def test_a_preference_ahead_of_or_behind_the_schema_keeps_what_was_accepted(
    operator: Operator, place: Place
) -> None:
    place.template(schemaVersion=2)
    place.preference("alice", {"session.minutes": 5}, schemaVersion=2)
    place.wait_user("alice", {"session.minutes": 5})
    place.accepted("alice")
    place.preference("alice", {"session.minutes": 6}, schemaVersion=3)
    ready = place.invalid("alice", "AheadOfRevision")
    assert ready["of"]["accepted"]["values"] == {"session.minutes": 5}
    assert place.user("alice")["session"]["minutes"] == 5  # type: ignore[index]
    place.preference("bob", {"session.minutes": 7}, schemaVersion=1)
    place.invalid("bob", "BehindSchema")
    place.wait_user("bob", {"session.minutes": 30})
    place.template(schemaVersion=3)
    place.wait_user("alice", {"session.minutes": 6})
    place.accepted("alice")


def test_nobody_can_be_called_as_the_default_entry_is(operator: Operator, place: Place) -> None:
    place.template()
    place.preference("sneaky", {"session.minutes": 5}, user="_default")
    place.invalid("sneaky", "UserReserved")
    assert place.user("_default") is None
    assert '"minutes":30' in place.data("app-free")["_default.prefs.json"]


def test_users_whose_names_begin_alike_do_not_touch_one_another(operator: Operator, place: Place) -> None:
    place.template(keys=KEYS)
    place.preference("al", {"session.minutes": 5})
    place.preference("al-ice", {"session.minutes": 6})
    place.preference("upper", {"session.minutes": 7}, user="AL")
    for user, minutes in (("al", 5), ("al-ice", 6), ("AL", 7)):
        place.wait_user(user, {"session.minutes": minutes})
    place.drop("UserPreference", "al")
    wait_for(lambda: place.user("al") is None, "al is gone")
    for user, minutes in (("al-ice", 6), ("AL", 7)):
        assert place.user(user)["session"]["minutes"] == minutes  # type: ignore[index]
