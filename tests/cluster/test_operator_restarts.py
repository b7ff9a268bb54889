"""A restart changes nothing and writes nothing, and users stay where they were."""

from __future__ import annotations

from support.fault_proxy import FaultProxy
from support.live_objects import Body, wait_for
from support.manifests import APP, KEYS, PREFS, SECRET_KEY, preference
from support.namespace import Namespace
from support.operator_cluster import OperatorCluster
from support.operator_process import Operator


def _assignment(ns: Namespace, group: str = "free") -> dict[str, str]:
    """User to the shard that holds them; fails where a user is in two."""
    found: dict[str, str] = {}
    for shard in ns.shards(group):
        for entry in shard["data"]:
            user = entry.split(".")[0]
            assert user not in found, f"{user} is in {found[user]} and {shard['metadata']['name']}"
            found[user] = shard["metadata"]["name"]
    return found


def _everything(ns: Namespace, away: str) -> dict[tuple[str, ...], str]:
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
        for namespace in (ns.name, away)
        for item in ns.api.list(kind, namespace)
    }


def _mixed_world(ns: Namespace, away: str) -> None:
    """Some of everything that has a state of its own."""
    groups: list[Body] = [
        {"name": "free", "maxUsers": 40},
        {"name": "pro", "values": {"api.token": "s3cret"}},
        {"name": "away", "targetNamespace": away},
    ]
    outputs = [APP, PREFS, {"name": "creds", "kind": "Secret", "format": "TOML", "fileName": "creds.toml"}]
    ns.template(keys=[*KEYS, SECRET_KEY], groups=groups, outputs=outputs)
    ns.template("own", users={"delivery": "PerUser"})
    ns.template("broken")
    for number in range(45):
        group = ("free", "pro", "away")[number % 3]
        ns.preference(f"user-{number}", {"session.minutes": number + 1}, group=group)
    ns.preference("own-1", {"session.minutes": 1}, of="own")
    ns.preference("bad", {"session.minutes": 0})
    ns.preference("asleep", {"session.minutes": 3}, suspend=True)
    ns.preference("left", {"session.minutes": 3}, of="broken")
    ns.preference("lost", of="nothing")
    ns.preference("astray", group="nowhere")
    ns.preference("rival", {"session.minutes": 9}, user="user-1")
    ns.rendered()
    ns.rendered("own")
    ns.rendered("broken")
    ns.accepted("left")
    ns.template("broken", groups=[{"name": "free", "values": {"x": 1}}])
    ns.template("never", groups=[{"name": "free", "values": {"x": 1}}])
    ns.wait_verdict("ConfigTemplate", "broken", "False", "Rejected")


def test_a_restart_writes_nothing(operators: OperatorCluster, proxy: FaultProxy, ns: Namespace) -> None:
    away = operators.new_namespace("away", annotations={"trimtab.dev/allow-from": ns.name})
    operator = operators.operator("proxied", kubeconfig=proxy.kubeconfig).start().acting()
    _mixed_world(ns, away)
    operator.quiet()
    before = _everything(ns, away)
    for end in (operator.stop, operator.kill):
        end()
        operators.release_lease()
        since = len(proxy.exchanges)
        operator.start().acting()
        operator.quiet()
        assert [(e.verb, e.plural, e.namespace, e.name, e.body[:500]) for e in proxy.writes(since)] == []
        assert _everything(ns, away) == before


def test_a_restart_in_the_middle_of_a_flood_ends_as_if_there_was_none(
    operator: Operator, ns: Namespace
) -> None:
    ns.template()
    ns.rendered()

    for number in range(120):
        ns.api.apply(preference(ns.name, f"user-{number}", {"session.minutes": number + 1}))
        if number in (30, 60, 90):
            operator.kill() if number != 60 else operator.stop()
            ns.operator_cluster.release_lease()
            operator.start()
    operator.acting()
    for number in range(120):
        ns.wait_user(f"user-{number}", {"session.minutes": number + 1})
    assert len(_assignment(ns)) == 120

    ns.rendered()


def test_shards_are_sticky_across_edits_and_restarts_and_only_grow(operator: Operator, ns: Namespace) -> None:
    ns.template()
    greeting = "x" * 400
    for number in range(60):
        ns.preference(f"user-{number}", {"session.greeting": greeting})
    wait_for(lambda: len(_assignment(ns)) == 60, "all users")
    before = _assignment(ns)
    shards = set(before.values())
    assert len(shards) > 1

    for number in range(0, 60, 7):
        ns.preference(f"user-{number}", {"session.greeting": greeting[:300]})
        ns.wait_user(f"user-{number}", {"session.greeting": greeting[:300]})
    assert _assignment(ns) == before

    operator.restart()
    operator.quiet()
    assert _assignment(ns) == before

    for number in range(60, 90):
        ns.preference(f"user-{number}", {"session.greeting": greeting})
    wait_for(lambda: len(_assignment(ns)) == 90, "newcomers")
    after = _assignment(ns)
    assert {user: after[user] for user in before} == before
    assert shards <= set(after.values())

    ns.template(groups=[{"name": "free", "values": {"session.minutes": 77}}, {"name": "pro"}])
    ns.wait_user("user-1", {"session.minutes": 77})
    ns.rendered()

    assert _assignment(ns) == after


def test_a_shard_that_outgrows_its_limit_sheds_users_and_the_rest_stay(
    operator: Operator, ns: Namespace
) -> None:
    ns.template()
    for number in range(8):
        ns.preference(f"user-{number}", {"session.minutes": number + 1})
    wait_for(lambda: len(_assignment(ns)) == 8, "all users")
    assert set(_assignment(ns).values()) == {"app-free-users-0"}

    for number in range(8):
        ns.preference(f"user-{number}", {"session.greeting": "x" * 6000})
    for number in range(8):
        ns.wait_user(f"user-{number}", {"session.greeting": "x" * 6000})
    wait_for(lambda: len(set(_assignment(ns).values())) > 1, "more shards")
    operator.quiet()
    before = _assignment(ns)
    assert list(before.values()).count("app-free-users-0") >= 4

    operator.restart()
    operator.quiet()
    assert _assignment(ns) == before


def test_one_users_change_writes_one_object(
    operators: OperatorCluster, proxy: FaultProxy, ns: Namespace
) -> None:
    operator = operators.operator("proxied", kubeconfig=proxy.kubeconfig).start().acting()
    ns.template()
    for number in range(30):
        ns.preference(f"user-{number}", {"session.greeting": "x" * 1000})
    wait_for(lambda: len(_assignment(ns)) == 30, "all users")
    ns.rendered()

    operator.quiet()
    since = len(proxy.exchanges)
    ns.preference("user-7", {"session.greeting": "y" * 1000})
    ns.wait_user("user-7", {"session.greeting": "y" * 1000})
    ns.accepted("user-7")
    operator.quiet()
    writes = [(e.plural, e.name, e.subresource) for e in proxy.writes(since)]
    shard = _assignment(ns)["user-7"]

    assert sorted(writes) == [("configmaps", shard, ""), ("userpreferences", "user-7", "status")]


def test_a_flood_is_few_writes_a_shard(operators: OperatorCluster, proxy: FaultProxy, ns: Namespace) -> None:
    """Whatever arrives during a pass is one batch: far fewer writes of shards than edits."""
    operator = operators.operator("proxied", kubeconfig=proxy.kubeconfig)
    ns.template()
    for number in range(200):
        ns.api.apply(preference(ns.name, f"user-{number}", {"session.minutes": number + 1}))
    operator.start().acting()
    wait_for(lambda: len(_assignment(ns)) == 200, "all users")
    operator.quiet()
    shards = {e.name for e in proxy.writes() if e.plural == "configmaps" and "-users-" in e.name}
    writes = [e for e in proxy.writes() if e.plural == "configmaps" and e.name in shards]

    assert len(writes) == len(shards)
