"""The operator converges whatever the API server and the network do to it (see fault_proxy)."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from support.fault_proxy import (
    Cut,
    CutStream,
    Effect,
    ErrorEvent,
    Exchange,
    Fault,
    FaultProxy,
    LoseAnswer,
    Refuse,
    Slow,
)
from support.live_objects import wait_for
from support.manifests import preference
from support.namespace import Namespace
from support.operator_cluster import OperatorCluster
from support.operator_process import Operator

USERS = 24
When = Callable[[Exchange], bool]


@pytest.fixture
def proxied(operators: OperatorCluster, proxy: FaultProxy) -> Operator:
    """An operator behind the proxy, not started; quick to notice what its watches lost."""
    return operators.operator(
        "proxied", "--relist", "5", "--lease-duration", "5", kubeconfig=proxy.kubeconfig
    )


def _ours(exchange: Exchange) -> bool:
    """What the engine and kopf ask, the Lease apart: losing that is test_leadership's subject."""
    return exchange.plural != "leases"


def _write(exchange: Exchange) -> bool:
    return exchange.write


def _list(exchange: Exchange) -> bool:
    return exchange.verb == "list" and exchange.plural != "leases"


def _watch(exchange: Exchange) -> bool:
    return exchange.verb == "watch"


def _of(*plurals: str) -> When:
    return lambda exchange: exchange.plural in plurals and exchange.plural != "leases"


def _both(*conditions: When) -> When:
    return lambda exchange: all(condition(exchange) for condition in conditions)


def _work(ns: Namespace) -> None:
    """Some life: made, edited, moved, drifted, deleted."""
    ns.template()
    for number in range(USERS):
        ns.preference(f"user-{number}", {"session.minutes": number + 1})
    ns.preference("user-0", {"session.minutes": 99})
    ns.preference("user-1", {"session.minutes": 98}, group="pro")
    ns.preference("bad", {"session.minutes": 0})
    ns.template(groups=[{"name": "free", "values": {"session.greeting": "moved"}}, {"name": "pro"}])
    ns.drop("UserPreference", "user-2")


def _converged(ns: Namespace) -> None:
    ns.wait_user("user-0", {"session.minutes": 99, "session.greeting": "moved"})
    ns.wait_user("user-1", {"session.minutes": 98}, group="pro")
    for number in range(3, USERS):
        ns.wait_user(f"user-{number}", {"session.minutes": number + 1, "session.greeting": "moved"})
    ns.wait_user("bad", {"session.minutes": 30})
    for gone in ("user-1", "user-2"):
        wait_for(lambda gone=gone: ns.user(gone) is None, f"{gone} left free")
    ns.rendered()
    ns.invalid("bad")
    for number in (0, 1, 3, USERS - 1):
        ns.accepted(f"user-{number}")
    entries = [entry for shard in ns.shards() for entry in shard["data"]]
    assert len(entries) == len(set(entries)) == USERS - 1


CLASSES: dict[str, tuple[When, Effect, int]] = {
    "409 on writes": (_write, Refuse(409, "Conflict"), 12),
    "429 on writes": (_write, Refuse(429, "TooManyRequests", retry_after=1), 10),
    "429 on everything": (_ours, Refuse(429, "TooManyRequests", retry_after=1), 25),
    "500 on writes": (_write, Refuse(500), 20),
    "503 on everything": (_ours, Refuse(503, "ServiceUnavailable"), 25),
    "403 on writes": (_write, Refuse(403, "Forbidden"), 10),
    "500 after the write": (_write, LoseAnswer(500), 25),
    "504 after the write": (_write, LoseAnswer(504), 25),
    "answers of writes lost": (_write, LoseAnswer(), 25),
    "connections cut": (_ours, Cut(), 40),
    "slow answers": (_write, Slow(0.5), 30),
    "410 on watches": (_watch, Refuse(410, "Expired"), 20),
    "410 in the stream": (_watch, ErrorEvent(410, "Expired", after=1), 25),
    "500 in the stream": (_watch, ErrorEvent(500, "InternalError", after=1), 25),
    "429 in the stream": (_watch, ErrorEvent(429, "TooManyRequests"), 25),
    "watches cut in the middle of an event": (_watch, CutStream(after=2), 15),
    "watches cut at their first event": (_watch, CutStream(), 12),
    "lists refused": (_list, Refuse(500), 25),
    "410 on lists": (_list, Refuse(410, "Expired"), 12),
}


@pytest.mark.parametrize("what", CLASSES)
def test_it_converges_under(proxied: Operator, proxy: FaultProxy, ns: Namespace, what: str) -> None:
    when, effect, times = CLASSES[what]
    started = Fault(when, effect, times)
    with proxy.failing(started):
        proxied.start()
        _work(ns)
        _converged(ns)
    assert started.hits > 0, "the fault never struck"

    again = Fault(when, effect, times)
    with proxy.failing(again):
        proxy.cut_watches()
        ns.preference("user-5", {"session.minutes": 77})
        ns.api.patch("ConfigMap", ns.name, "app-free", {"data": {"extra": "drift"}})
        ns.wait_user("user-5", {"session.minutes": 77})
        wait_for(lambda: "extra" not in ns.data("app-free"), "drift is put back")
        ns.accepted("user-5")

    assert proxied.stop() == 0


def test_a_list_in_chunks_whose_continue_token_expired_is_begun_again(
    proxied: Operator, proxy: FaultProxy, ns: Namespace
) -> None:
    ns.template()
    for number in range(520):
        ns.api.apply(preference(ns.name, f"user-{number}", {"session.minutes": number + 1}))
    no_streams = Fault(_both(_watch, lambda e: "sendInitialEvents" in e.query), Refuse(400, "BadRequest"))
    expired = Fault(lambda e: "continue" in e.query, Refuse(410, "Expired"), times=2)
    with proxy.failing(no_streams, expired):
        proxied.start().acting()
        for number in (0, 499, 500, 519):
            ns.wait_user(f"user-{number}", {"session.minutes": number + 1})
        ns.rendered()

    assert expired.hits == 2


def test_objects_that_were_deleted_while_watches_were_down_are_noticed(
    proxied: Operator, proxy: FaultProxy, ns: Namespace
) -> None:
    """kopf's watch of templates says nothing of deletions in a gap (410); comparing lists does."""
    _work(ns)
    ns.template("other")
    proxied.start().acting()
    _converged(ns)
    ns.rendered("other")

    with proxy.failing(Fault(_watch, Refuse(410, "Expired"))):
        proxy.cut_watches()
        ns.drop("ConfigTemplate", "other")
        ns.drop("UserPreference", "user-4")
    wait_for(lambda: ns.get("ConfigMap", "other-free") is None, "what the other template rendered is gone")
    wait_for(lambda: ns.user("user-4") is None, "user-4 is gone")
    proxied.quiet()

    assert ns.get("ConfigMap", "app-free") is not None


def test_nothing_is_deleted_based_on_an_incomplete_list(
    proxied: Operator, proxy: FaultProxy, ns: Namespace
) -> None:
    """Lists that fail at any page, streams that are cut before their end: what is rendered stays."""
    ns.template()
    for number in range(USERS):
        ns.preference(f"user-{number}", {"session.minutes": number + 1})
    proxied.start().acting()
    ns.rendered()

    for number in range(USERS):
        ns.wait_user(f"user-{number}", {"session.minutes": number + 1})
    proxied.quiet()
    before = ns.outputs()
    proxied.kill()
    ns.operator_cluster.release_lease()
    since = len(proxy.exchanges)
    for effect in (CutStream(after=3), CutStream(after=7), ErrorEvent(500, "InternalError", after=5)):
        with proxy.failing(Fault(_both(_watch, _of("userpreferences", "renderedgroups")), effect, times=2)):
            proxied.start().acting()
            proxied.quiet()
            proxied.kill()
            ns.operator_cluster.release_lease()

    assert [(e.verb, e.name) for e in proxy.writes(since)] == []
    assert ns.outputs() == before


def test_kopf_may_end_again_and_again_and_templates_are_still_seen(
    proxied: Operator, proxy: FaultProxy, ns: Namespace
) -> None:
    """ERROR events end kopf's operator; it is started again, and nothing else is hurt by that."""
    proxied.start().acting()
    broken = Fault(_both(_watch, _of("configtemplates")), ErrorEvent(500, "InternalError"), times=3)
    with proxy.failing(broken):
        proxy.cut_watches("configtemplates")
        _work(ns)
        _converged(ns)
        wait_for(lambda: broken.hits == 3, "kopf tried again each time")
    assert proxied.metrics()["trimtab_kopf_restarts_total"] >= 1

    ns.template(groups=[{"name": "free", "values": {"session.greeting": "after"}}])
    ns.wait_user("user-7", {"session.greeting": "after"})


def test_writes_under_way_survive_the_end_of_kopf(
    proxied: Operator, proxy: FaultProxy, ns: Namespace
) -> None:
    """kopf cancels tasks when it ends, some seconds later; it must not find the engine's among them."""
    proxied.start().acting()
    slow = Fault(_both(_write, _of("configmaps")), Slow(8), times=6)
    broken = Fault(
        _both(_watch, _of("configtemplates", "policyrollouts")), ErrorEvent(500, "InternalError"), times=2
    )
    with proxy.failing(slow, broken):
        for name in ("app", "one", "two", "three"):
            ns.template(name)
        wait_for(lambda: slow.hits >= 4, "writes are under way")
        proxy.cut_watches("configtemplates")
        for name in ("app", "one", "two", "three"):
            ns.rendered(name)
    for name in ("app", "one", "two", "three"):
        ns.preference(f"{name}-alice", {"session.minutes": 5}, of=name)
    for name in ("app", "one", "two", "three"):
        ns.wait_user(f"{name}-alice", {"session.minutes": 5}, of=name)


def test_a_write_whose_response_is_lost_is_not_repeated(
    proxied: Operator, proxy: FaultProxy, ns: Namespace
) -> None:
    """The same apply again changes nothing, and a revision that was begun is not begun anew."""
    with proxy.failing(Fault(_write, LoseAnswer(), times=60)):
        proxied.start().acting()
        ns.template()
        ns.preference("alice", {"session.minutes": 5})
        ns.wait_user("alice", {"session.minutes": 5})
    ns.rendered()
    revisions = ns.one("RenderedGroup", "app-free")["status"]["revisions"]
    assert [entry["number"] for entry in revisions] == [1]
    assert len(ns.api.list("ControllerRevision", ns.name)) == 1


def test_a_foreign_object_made_between_look_and_write_is_not_overwritten(
    proxied: Operator, proxy: FaultProxy, ns: Namespace
) -> None:
    """Trimtab looks, finds nothing, and applies: what appeared in between must survive."""
    foreign = {"mine": "yes"}

    def race(exchange: Exchange) -> None:
        if exchange.verb == "patch" and exchange.name == "app-free" and exchange.plural == "configmaps":
            proxy.faults.remove(race)
            ns.api.create(
                {
                    "apiVersion": "v1",
                    "kind": "ConfigMap",
                    "metadata": {"name": "app-free", "namespace": ns.name},
                    "data": foreign,
                }
            )

    proxy.faults.append(race)
    proxied.start().acting()
    ns.template()
    ns.wait_verdict("ConfigTemplate", "app", "False", "Conflict")
    assert ns.data("app-free") == foreign


def test_a_namespace_that_refuses_writes_does_not_delay_others(
    proxied: Operator, proxy: FaultProxy, operators: OperatorCluster, ns: Namespace
) -> None:
    other = Namespace(operators, operators.new_namespace("other"))
    refused = Fault(
        lambda e: e.write and e.namespace == ns.name and e.plural == "configmaps", Refuse(403, "Forbidden")
    )
    with proxy.failing(refused):
        proxied.start().acting()
        ns.template()
        ns.preference("alice", {"session.minutes": 5})
        ns.wait_verdict("ConfigTemplate", "app", "False", "WriteFailed")
        other.template()
        other.preference("bob", {"session.minutes": 6})
        other.wait_user("bob", {"session.minutes": 6})
        other.rendered()
        struck = refused.hits
        proxied.quiet()

        assert refused.hits < struck + 50, "it backs off"
    ns.wait_user("alice", {"session.minutes": 5})
    ns.rendered()
    ns.accepted("alice")


@pytest.mark.parametrize("seed", [1, 2])
def test_it_converges_under_a_random_mix(
    proxied: Operator, proxy: FaultProxy, ns: Namespace, seed: int
) -> None:
    chance = random.Random(seed)
    writes: list[Effect] = [
        Refuse(409, "Conflict"), Refuse(500), Refuse(503), Refuse(429, "TooManyRequests", retry_after=0),
        LoseAnswer(), LoseAnswer(500), Cut(), Slow(0.2),
    ]  # fmt: skip
    reads: list[Effect] = [
        Refuse(500),
        Refuse(429, "TooManyRequests"),
        Refuse(410, "Expired"),
        Cut(),
        Slow(0.2),
    ]
    watches: list[Effect] = [
        CutStream(), CutStream(3), CutStream(9), ErrorEvent(410, "Expired", 2), ErrorEvent(500, "InternalError", 4),
        Refuse(410, "Expired"), Cut(),
    ]  # fmt: skip

    struck: list[int] = []

    def mixed(exchange: Exchange) -> Effect | None:
        if exchange.plural == "leases" or chance.random() > 0.3:
            return None
        struck.append(exchange.number)
        return chance.choice(watches if exchange.verb == "watch" else writes if exchange.write else reads)

    with proxy.failing(mixed):
        proxied.start()
        _work(ns)
        wait_for(lambda: ns.get("ConfigMap", "app-pro"), "the first outputs")
        for turn in range(8):
            proxy.cut_watches()
            greeting = {"session.greeting": f"turn {turn}"}
            ns.template(groups=[{"name": "free", "values": greeting}, {"name": "pro"}])
            ns.api.patch("ConfigMap", ns.name, "app-pro", {"data": {"extra": "drift"}})
            for number in range(9, 14):
                ns.preference(f"user-{number}", {"session.minutes": turn + number})
            ns.drop("UserPreference", "user-14")
            ns.wait_user("user-9", {"session.minutes": turn + 9, **greeting})
            wait_for(lambda: "extra" not in ns.data("app-pro"), "drift is put back")
            ns.preference("user-14", {"session.minutes": 15})
        _work(ns)
        _converged(ns)
    print(f"{len(struck)} of {len(proxy.exchanges)} exchanges failed")
    assert len(struck) > 20
    ns.preference("user-6", {"session.minutes": 66})
    ns.wait_user("user-6", {"session.minutes": 66})
    ns.accepted("user-6")
    assert proxied.stop() == 0
