"""A restart changes nothing and writes nothing, and users stay where they were."""

from __future__ import annotations

from support.cluster_fixtures import Arena, Place, new_namespace
from support.fault_proxy import FaultProxy
from support.live_objects import Body, wait_for
from support.manifests import APP, KEYS, PREFS, SECRET_KEY, preference
from support.operator_process import Operator


def _assignment(place: Place, group: str = "free") -> dict[str, str]:
    """User to the shard that holds them; fails where a user is in two."""
    found: dict[str, str] = {}
    for shard in place.shards(group):
        for entry in shard["data"]:
            user = entry.split(".")[0]
            assert user not in found, f"{user} is in {found[user]} and {shard['metadata']['name']}"
            found[user] = shard["metadata"]["name"]
    return found


def _everything(place: Place, away: str) -> dict[tuple[str, ...], str]:
    """The version of every object that Trimtab might write."""
    kinds = (
        "ConfigMap",
        "Secret",
        "ConfigTemplate",
        "UserPreference",
        "PolicyRollout",
        "RenderedGroup",
        "ControllerRevision",
    )
    return {
        (kind, item["metadata"]["namespace"], item["metadata"]["name"]): item["metadata"]["resourceVersion"]
        for kind in kinds
        for namespace in (place.name, away)
        for item in place.api.list(kind, namespace)
    }


def _mixed_world(place: Place, away: str) -> None:
    """Some of everything that has a state of its own."""
    groups: list[Body] = [
        {"name": "free", "maxUsers": 40},
        {"name": "pro", "values": {"api.token": "s3cret"}},
        {"name": "away", "targetNamespace": away},
    ]
    outputs = [APP, PREFS, {"name": "creds", "kind": "Secret", "format": "TOML", "fileName": "creds.toml"}]
    place.template(keys=[*KEYS, SECRET_KEY], groups=groups, outputs=outputs)
    place.template("own", users={"delivery": "PerUser"})
    place.template("broken")
    for number in range(45):
        group = ("free", "pro", "away")[number % 3]
        place.preference(f"user-{number}", {"session.minutes": number + 1}, group=group)
    place.preference("own-1", {"session.minutes": 1}, of="own")
    place.preference("bad", {"session.minutes": 0})
    place.preference("asleep", {"session.minutes": 3}, suspend=True)
    place.preference("left", {"session.minutes": 3}, of="broken")
    place.preference("lost", of="nothing")
    place.preference("astray", group="nowhere")
    place.preference("rival", {"session.minutes": 9}, user="user-1")
    place.rendered()
    place.rendered("own")
    place.rendered("broken")
    place.accepted("left")
    place.template("broken", groups=[{"name": "free", "values": {"x": 1}}])
    place.template("never", groups=[{"name": "free", "values": {"x": 1}}])
    place.wait_verdict("ConfigTemplate", "broken", "False", "Rejected")


def test_a_restart_writes_nothing(operators: Arena, proxy: FaultProxy, place: Place) -> None:
    away = new_namespace(operators, "away", annotations={"trimtab.dev/allow-from": place.name})
    operator = operators.operator("proxied", kubeconfig=proxy.kubeconfig).start().acting()
    _mixed_world(place, away)
    operator.quiet()
    before = _everything(place, away)
    for end in (operator.stop, operator.kill):
        end()
        operators.release_lease()
        since = len(proxy.exchanges)
        operator.start().acting()
        operator.quiet()
        assert [(e.verb, e.plural, e.namespace, e.name, e.body[:500]) for e in proxy.writes(since)] == []
        assert _everything(place, away) == before


def test_a_restart_in_the_middle_of_a_flood_ends_as_if_there_was_none(
    operator: Operator, place: Place
) -> None:
    place.template()
    place.rendered()
    for number in range(120):
        place.api.apply(preference(place.name, f"user-{number}", {"session.minutes": number + 1}))
        if number in (30, 60, 90):
            operator.kill() if number != 60 else operator.stop()
            place.arena.release_lease()
            operator.start()
    operator.acting()
    for number in range(120):
        place.wait_user(f"user-{number}", {"session.minutes": number + 1})
    assert len(_assignment(place)) == 120
    place.rendered()


def test_shards_are_sticky_across_edits_and_restarts_and_only_grow(operator: Operator, place: Place) -> None:
    place.template()
    greeting = "x" * 400
    for number in range(60):
        place.preference(f"user-{number}", {"session.greeting": greeting})
    wait_for(lambda: len(_assignment(place)) == 60, "all users")
    before = _assignment(place)
    shards = set(before.values())
    assert len(shards) > 1
    for number in range(0, 60, 7):
        place.preference(f"user-{number}", {"session.greeting": greeting[:300]})
        place.wait_user(f"user-{number}", {"session.greeting": greeting[:300]})
    assert _assignment(place) == before
    operator.restart()
    operator.quiet()
    assert _assignment(place) == before
    for number in range(60, 90):
        place.preference(f"user-{number}", {"session.greeting": greeting})
    wait_for(lambda: len(_assignment(place)) == 90, "newcomers")
    after = _assignment(place)
    assert {user: after[user] for user in before} == before
    assert shards <= set(after.values())
    place.template(groups=[{"name": "free", "values": {"session.minutes": 77}}, {"name": "pro"}])
    place.wait_user("user-1", {"session.minutes": 77})
    place.rendered()
    assert _assignment(place) == after


def test_a_shard_that_outgrows_its_limit_sheds_users_and_the_rest_stay(
    operator: Operator, place: Place
) -> None:
    place.template()
    for number in range(8):
        place.preference(f"user-{number}", {"session.minutes": number + 1})
    wait_for(lambda: len(_assignment(place)) == 8, "all users")
    assert set(_assignment(place).values()) == {"app-free-users-0"}
    for number in range(8):
        place.preference(f"user-{number}", {"session.greeting": "x" * 6000})
    for number in range(8):
        place.wait_user(f"user-{number}", {"session.greeting": "x" * 6000})
    wait_for(lambda: len(set(_assignment(place).values())) > 1, "more shards")
    operator.quiet()
    before = _assignment(place)
    assert list(before.values()).count("app-free-users-0") >= 4
    operator.restart()
    operator.quiet()
    assert _assignment(place) == before


def test_one_users_change_writes_one_object(operators: Arena, proxy: FaultProxy, place: Place) -> None:
    operator = operators.operator("proxied", kubeconfig=proxy.kubeconfig).start().acting()
    place.template()
    for number in range(30):
        place.preference(f"user-{number}", {"session.greeting": "x" * 1000})
    wait_for(lambda: len(_assignment(place)) == 30, "all users")
    place.rendered()
    operator.quiet()
    since = len(proxy.exchanges)
    place.preference("user-7", {"session.greeting": "y" * 1000})
    place.wait_user("user-7", {"session.greeting": "y" * 1000})
    place.accepted("user-7")
    operator.quiet()
    writes = [(e.plural, e.name, e.subresource) for e in proxy.writes(since)]
    shard = _assignment(place)["user-7"]
    assert sorted(writes) == [("configmaps", shard, ""), ("userpreferences", "user-7", "status")]


def test_a_flood_is_few_writes_a_shard(operators: Arena, proxy: FaultProxy, place: Place) -> None:
    """Whatever arrives during a pass is one batch: far fewer writes of shards than edits."""
    operator = operators.operator("proxied", kubeconfig=proxy.kubeconfig)
    place.template()
    for number in range(200):
        place.api.apply(preference(place.name, f"user-{number}", {"session.minutes": number + 1}))
    operator.start().acting()
    wait_for(lambda: len(_assignment(place)) == 200, "all users")
    operator.quiet()
    shards = {e.name for e in proxy.writes() if e.plural == "configmaps" and "-users-" in e.name}
    writes = [e for e in proxy.writes() if e.plural == "configmaps" and e.name in shards]
    assert len(writes) == len(shards)
