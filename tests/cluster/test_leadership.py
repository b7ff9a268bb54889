"""One operator acts, the others wait: what happens to the Lease when the leader stops, dies, or sleeps."""

from __future__ import annotations

import json
from pathlib import Path

from support.fault_proxy import Fault, FaultProxy, Refuse
from support.live_objects import Body, wait_for
from support.namespace import Namespace
from support.operator_cluster import OperatorCluster
from support.operator_process import SYSTEM, Operator

SHORT = ("--lease-duration", "2")


def _holder(operator_cluster: OperatorCluster) -> str:
    lease = operator_cluster.api.get("Lease", SYSTEM, "trimtab") or {}
    return str((lease.get("spec") or {}).get("holderIdentity") or "")


def _identity(operator: Operator) -> str:
    return str(operator.wait_said("starting")["identity"])


def _two(operator_cluster: OperatorCluster, *options: str) -> tuple[Operator, Operator]:
    """A leader and its standby."""
    first = operator_cluster.operator("first", *options).start().acting()
    second = operator_cluster.operator("second", *options).start().standing_by()
    return first, second


def test_of_two_operators_one_leads_and_both_are_ready(operators: OperatorCluster, ns: Namespace) -> None:
    first, second = _two(operators)
    assert _holder(operators) == _identity(first)
    ns.template()
    ns.rendered()
    for operator, leads in ((first, 1), (second, 0)):
        assert operator.http("/readyz")[0] == 200
        assert operator.metrics()["trimtab_leader"] == leads
    assert not second.said("acting")
    assert second.metrics().get("trimtab_writes_total", 0) == 0


def test_a_leader_that_is_stopped_hands_over_immediately(operators: OperatorCluster, ns: Namespace) -> None:
    """With the default Lease of 15 s: the standby does not wait it out."""
    first, second = _two(operators, "--lease-duration", "3600")
    assert first.stop() == 0
    second.acting()
    assert _holder(operators) == _identity(second)
    ns.template()
    ns.preference("alice", {"session.minutes": 5})
    ns.wait_user("alice", {"session.minutes": 5})


def test_a_leader_that_is_killed_is_replaced_when_its_lease_has_run_out(
    operators: OperatorCluster, ns: Namespace
) -> None:
    first, second = _two(operators, *SHORT)
    ns.with_alice()

    before = ns.outputs()
    first.kill()
    ns.preference("alice", {"session.minutes": 6})
    second.acting()
    ns.wait_user("alice", {"session.minutes": 6})
    ns.accepted("alice")

    assert ns.outputs()["ConfigMap", "app-free"] == before["ConfigMap", "app-free"]


def test_a_leader_that_slept_past_its_lease_changes_nothing(
    operators: OperatorCluster, proxy: FaultProxy, ns: Namespace
) -> None:
    first = operators.operator("sleeper", *SHORT, kubeconfig=proxy.kubeconfig).start().acting()
    second = operators.operator("second", *SHORT).start().standing_by()
    ns.template()
    for number in range(30):
        ns.preference(f"user-{number}", {"session.minutes": 1})
    first.pause()
    for number in range(30):
        ns.preference(f"user-{number}", {"session.minutes": 2})
    second.acting()
    for number in range(30):
        ns.wait_user(f"user-{number}", {"session.minutes": 2})
    ns.rendered()

    second.quiet()
    since = len(proxy.exchanges)
    ns.preference("user-3", {"session.minutes": 3})
    ns.api.patch("ConfigMap", ns.name, "app-free", {"data": {"extra": "drift"}})
    first.resume()
    wait_for(lambda: first.metrics()["trimtab_leader"] == 0, "the sleeper knows that it leads no more")
    ns.wait_user("user-3", {"session.minutes": 3})
    wait_for(lambda: "extra" not in ns.data("app-free"), "the new leader works")
    second.quiet()
    # One that was on its way when it fell asleep may still arrive: it is over an older version, and refused.
    assert [(e.verb, e.plural, e.name, e.status) for e in proxy.writes(since) if e.status != 409] == []
    assert _holder(operators) == _identity(second)

    second.stop()
    wait_for(lambda: first.metrics()["trimtab_leader"] == 1, "it leads again when it is its turn")
    ns.preference("user-4", {"session.minutes": 4})
    ns.wait_user("user-4", {"session.minutes": 4})


def test_a_leader_that_loses_its_lease_stops(operators: OperatorCluster, ns: Namespace) -> None:
    operator = operators.operator("first", *SHORT).start().acting()
    ns.template()
    ns.rendered()

    stolen: Body = {
        "spec": {"holderIdentity": "somebody-else", "leaseDurationSeconds": 3600, "renewTime": None}
    }
    operators.api.patch("Lease", SYSTEM, "trimtab", stolen)
    wait_for(lambda: operator.metrics()["trimtab_leader"] == 0, "it stands by")
    ns.preference("alice", {"session.minutes": 5})
    operators.api.patch("Lease", SYSTEM, "trimtab", {"spec": {"holderIdentity": ""}})
    ns.wait_user("alice", {"session.minutes": 5})


def test_a_standby_knows_everything_before_it_leads(operators: OperatorCluster, ns: Namespace) -> None:
    """Changes that only the standby saw, because the leader died before acting on them, are not lost."""
    first, second = _two(operators, *SHORT)
    ns.template()
    ns.preference("alice", {"session.minutes": 5})
    ns.preference("bob", {"session.minutes": 5})
    ns.wait_user("bob", {"session.minutes": 5})
    ns.wait_user("alice", {"session.minutes": 5})
    first.pause()
    ns.drop("UserPreference", "bob")
    ns.preference("alice", {"session.minutes": 6})
    ns.preference("carl", {"session.minutes": 7})
    first.kill()
    second.acting()
    ns.wait_user("alice", {"session.minutes": 6})
    ns.wait_user("carl", {"session.minutes": 7})
    wait_for(lambda: ns.user("bob") is None, "bob is gone")
    ns.rendered()


def test_a_graceful_stop_ends_with_exit_code_0_and_gives_the_lease_back(
    operators: OperatorCluster, ns: Namespace
) -> None:
    operator = operators.operator("first").start().acting()
    ns.template()
    assert operator.stop() == 0
    assert operator.said("stopped")
    assert _holder(operators) == ""


def test_probes_and_metrics_respond_and_logs_are_json(operators: OperatorCluster, ns: Namespace) -> None:
    operator = operators.operator("first").start().acting()
    ns.template()
    ns.preference("alice", {"session.minutes": 5})
    ns.rendered()

    assert operator.http("/healthz") == (200, "ok")
    assert operator.http("/readyz") == (200, "ok")
    assert operator.http("/nothing")[0] == 404

    metrics = operator.metrics()
    for name in ("trimtab_events_total", "trimtab_writes_total", "trimtab_reconciles_total"):
        assert metrics[name] > 0, name
    assert metrics["trimtab_preferences"] >= 1

    # The cluster may hold what other tests left.
    wait_for(
        lambda: operator.metrics()["trimtab_groups"] == len(ns.api.list("RenderedGroup")) >= 2,
        lambda: (
            f"as many groups are counted, {operator.metrics()['trimtab_groups']}, as there are: "
            f"{[item['metadata']['name'] for item in ns.api.list('RenderedGroup')]}"
        ),
    )
    assert operator.stop() == 0

    for line in operator.text().splitlines():
        record = json.loads(line)
        assert {"time", "level", "logger", "message"} <= record.keys()


def test_text_logs_and_a_port_in_use_are_human_readable(operators: OperatorCluster, ns: Namespace) -> None:
    first = operators.operator("first").start().acting()
    port = first.wait_said("starting")["port"]
    second = operators.operator("second", "--port", str(port), "--log-format", "text").start()
    assert second.process.wait(60) != 0
    assert "choose another --port" in " ".join(second.text().split())


def test_without_the_crds_it_is_not_ready_and_does_not_end(
    operators: OperatorCluster, tmp_path: Path
) -> None:
    """An API server that does not know the kinds yet: it waits, says so, and acts when they are there."""
    with FaultProxy(operators.kubeconfig, tmp_path) as proxy:
        missing = Fault(lambda e: e.plural in ("userpreferences", "renderedgroups"), Refuse(404, "NotFound"))
        operator = operators.operator("early", kubeconfig=proxy.kubeconfig)
        with proxy.failing(missing):
            operator.start()
            wait_for(lambda: missing.hits >= 4, "it asks again")
            status, text = operator.http("/readyz")

            assert status == 503
            assert "userpreferences" in text
            assert operator.http("/healthz")[0] == 200
        operator.acting()

        assert operator.http("/readyz")[0] == 200
        assert operator.stop() == 0
