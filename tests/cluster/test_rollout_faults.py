"""Rollouts complete whichever operator dies, sleeps or fails meanwhile, and update each group as often as needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from support.fault_proxy import CutStream, Effect, ErrorEvent, Exchange, Fault, FaultProxy, LoseAnswer, Refuse
from support.live_objects import Body, wait_for
from support.manifests import minutes, wave, waves
from support.namespace import Namespace
from support.operator_cluster import OperatorCluster
from support.operator_process import Operator
from support.rollout_scenes import NEW, OLD_FREE, OLD_PRO, given

SHORT = ("--lease-duration", "2")
WAVES = waves(wave("some", "free", percent=50, soak="1s"), wave("canary", "free", soak="1s"))


def moves(ns: Namespace) -> dict[str, int]:
    """How many revisions each group has had."""
    return {group: len(ns.pointer(group)["revisions"]) for group in ("free", "pro")}


def told_once(ns: Namespace) -> None:
    """Every transition is an Event, and no other."""
    uid = ns.one("PolicyRollout", "calmer")["metadata"]["uid"]

    def reasons() -> list[str]:
        events = ns.api.list("Event", ns.name)
        return sorted(e["reason"] for e in events if e["involvedObject"].get("uid") == uid)

    wait_for(lambda: reasons() == sorted(ns.told()), lambda: f"{reasons()} are {sorted(ns.told())}")


# Two operators.


def test_a_standby_finishes_what_a_leader_that_was_killed_began(
    operators: OperatorCluster, ns: Namespace
) -> None:
    first = operators.operator("first", *SHORT).start().acting()
    second = operators.operator("second", *SHORT).start().standing_by()
    given(ns, users=4)

    ns.policy(strategy=waves(wave("canary", "free", soak="3s")))
    ns.reach("Soaking")
    first.kill()
    second.acting()
    ns.reach("Succeeded", attempt=1)
    ns.serves(NEW, "free", "pro")
    ns.wait_user("user-0", NEW)
    assert moves(ns) == {"free": 2, "pro": 2}

    told_once(ns)
    # and a way back, killed when it has just begun
    third = operators.operator("first", *SHORT).start().standing_by()
    ns.policy(content=minutes(26), strategy=waves())
    ns.reach("Soaking")
    ns.ask("abort")
    wait_for(lambda: ns.progress()["underway"] == "Back" or "RollbackStarted" in ns.told(), "it goes back")
    second.kill()
    third.acting()
    ns.reach("RolledBack")
    ns.serves(NEW, "free", "pro")
    ns.wait_user("user-0", NEW)


def test_a_leader_that_slept_through_a_rollout_moves_nothing(
    operators: OperatorCluster, proxy: FaultProxy, ns: Namespace
) -> None:
    sleeper = operators.operator("sleeper", *SHORT, kubeconfig=proxy.kubeconfig).start().acting()
    second = operators.operator("second", *SHORT).start().standing_by()
    given(ns, users=4)
    ns.policy(strategy=waves())
    ns.reach("Soaking")
    # when: it sleeps in mid-wave, and its successor takes everything back
    sleeper.pause()
    ns.ask("promote")
    ns.ask("abort")
    second.acting()
    wait_for(lambda: not ns.progress().get("underway"), "it has ended")
    ns.act("undo" if ns.progress()["phase"] == "Succeeded" else "retry")
    ended = ns.reach("RolledBack" if "RolloutUndone" in ns.told() else "Soaking")
    second.quiet()
    since, outputs, pointers = (
        len(proxy.exchanges),
        ns.outputs(),
        [ns.pointer(g) for g in ("free", "pro")],
    )
    sleeper.resume()
    wait_for(lambda: sleeper.metrics()["trimtab_leader"] == 0, "the sleeper knows that it leads no more")
    second.quiet()

    # then: nothing of what the sleeper had in mind happens; an Event of a transition that it had written before may
    # have been on its way, and is that transition's only one by its name
    assert [(e.verb, e.plural, e.name) for e in proxy.writes(since) if e.plural != "events"] == []
    assert ns.outputs() == outputs
    assert [ns.pointer(g) for g in ("free", "pro")] == pointers
    assert ns.progress()["epoch"] == ended["epoch"]


# A bad day.


@dataclass
class Faulty:
    """An operator behind a proxy that fails; quick to notice what its watches lost."""

    operator: Operator
    proxy: FaultProxy


@pytest.fixture(scope="module")
def faulty(operator_cluster: OperatorCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Faulty]:
    if operator_cluster.shared.running:
        operator_cluster.shared.stop()
    with FaultProxy(operator_cluster.kubeconfig, tmp_path_factory.mktemp("faulty")) as proxy:
        options = ("--relist", "5", "--lease-duration", "5")
        operator = operator_cluster.operator("faulty", *options, kubeconfig=proxy.kubeconfig).start().acting()
        yield Faulty(operator, proxy)
        operator_cluster.stop_others()
        operator_cluster.release_lease()


def _write(exchange: Exchange) -> bool:
    return exchange.write


def _rollouts(exchange: Exchange) -> bool:
    """What a rollout lives by: its own status, groups' pointers, snapshots, Events and answers."""
    plurals = ("policyrollouts", "renderedgroups", "controllerrevisions", "events", "rolloutactions")
    return exchange.write and exchange.plural in plurals


def _watch(exchange: Exchange) -> bool:
    return exchange.verb == "watch"


def _any(exchange: Exchange) -> bool:
    return exchange.plural != "leases"


CLASSES: dict[str, tuple[Callable[[Exchange], bool], Effect, int]] = {
    "409 on writes": (_write, Refuse(409, "Conflict"), 5),
    "429 on everything": (_any, Refuse(429, "TooManyRequests", retry_after=0), 20),
    "500 on writes": (_write, Refuse(500), 5),
    "503 on everything": (_any, Refuse(503, "ServiceUnavailable"), 15),
    "answers of a rollout's writes lost": (_rollouts, LoseAnswer(), 6),
    "500 after a rollout's writes": (_rollouts, LoseAnswer(500), 6),
    "410 in the stream": (_watch, ErrorEvent(410, "Expired", after=1), 25),
    "watches cut in the middle of an event": (_watch, CutStream(after=2), 15),
}


@pytest.mark.parametrize("what", CLASSES)
def test_a_rollout_and_a_rollback_end_right_under(faulty: Faulty, ns: Namespace, what: str) -> None:
    when, effect, times = CLASSES[what]
    given(ns, users=4)
    before = {name: ns.data(name) for name in ("app-free", "app-pro")}

    # when: things fail on the way there
    there = Fault(when, effect, times)
    with faulty.proxy.failing(there):
        faulty.proxy.cut_watches()
        ns.policy(strategy=WAVES)
        ns.reach("Succeeded", attempt=1)
        ns.serves(NEW, "free", "pro")
    assert there.hits > 0, "the fault never struck"
    ns.wait_user("user-0", NEW)
    assert moves(ns) == {"free": 2, "pro": 2}

    # and on the way back
    back = Fault(when, effect, times)
    ns.policy(content=minutes(26), strategy=waves())
    ns.reach("Soaking")
    with faulty.proxy.failing(back):
        faulty.proxy.cut_watches()
        ns.act("abort")
        ns.reach("RolledBack", attempt=2)
        ns.serves(NEW, "free", "pro")
    assert back.hits > 0, "the fault never struck"
    ns.wait_user("user-1", NEW, group="pro")

    # then: all is as it should be, told once, and nothing is left of it
    told_once(ns)
    with faulty.proxy.failing(Fault(when, effect, times)):
        ns.drop("PolicyRollout", "calmer")
        wait_for(lambda: {name: ns.data(name) for name in before} == before, "its policy is withdrawn")
    ns.serves(OLD_FREE, "free")
    ns.serves(OLD_PRO, "pro")


def test_a_group_that_cannot_be_written_rolls_the_rollout_back_and_reports_it(
    faulty: Faulty, ns: Namespace
) -> None:
    def of(group: str) -> Callable[[Exchange], bool]:
        return lambda e: (
            e.write and (e.namespace, e.plural, e.name) == (ns.name, "configmaps", f"app-{group}")
        )

    given(ns)
    strategy: Body = waves(wave("canary", "free", soak="1s"), progressDeadline="8s")
    with faulty.proxy.failing(Fault(of("pro"), Refuse(403, "Forbidden"))):
        ns.policy(strategy=strategy)
        status = ns.reach("RolledBack")
        assert status["failure"]["reason"] == "WriteFailed"
        assert "group pro:" in status["failure"]["message"]
        ns.serves(OLD_FREE, "free")
    # a way back that cannot be written goes on, says so, and arrives
    ns.policy(content=minutes(26), strategy=waves(progressDeadline="2s"))
    ns.reach("Soaking")
    with faulty.proxy.failing(Fault(of("free"), Refuse(403, "Forbidden"))):
        ns.act("abort")
        status = ns.reach("RollbackFailed")
        assert (
            "Rollback exceeded progressDeadline; still in progress: 1 of 2 groups rolled back"
            in status["message"]
        )
        assert ns.verdict("PolicyRollout", "calmer") == ("False", "RollbackFailed")
    ns.reach("RolledBack")
    ns.serves(OLD_FREE, "free")
