"""Gates evaluate a wave by what they measure, with a real Prometheus: failures roll back, missing results only
pause."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from support import prometheus
from support.live_objects import Body, wait_for
from support.manifests import minutes, wave, waves
from support.namespace import Namespace
from support.operator_cluster import OperatorCluster
from support.operator_process import Operator
from support.prometheus import Metrics, Prometheus
from support.rollout_scenes import NEW, OLD_FREE, OLD_PRO, given

pytestmark = pytest.mark.timeout(300)


@dataclass
class Monitoring:
    """An operator that may ask this Prometheus, and the application that it scrapes."""

    operator: Operator
    prometheus: Prometheus
    metrics: Metrics

    def gate(self, query: str, condition: str = "result < 0.5", **spec: Any) -> Body:
        asked = {"address": self.prometheus.url, "query": query, "successCondition": condition}
        return gate("errors", prometheus=asked, **spec)

    def measures(self, **gauges: float | None) -> None:
        """The application says so from now on, and Prometheus knows; None: it says nothing of it."""
        for name, value in gauges.items():
            if value is None:
                self.metrics.gauges.pop(name, None)
            else:
                self.metrics.gauges[name] = value
        for name, value in gauges.items():
            wait_for(
                lambda name=name, value=value: self.prometheus.query(name) == value, f"{name} is {value}"
            )


@pytest.fixture(scope="module")
def monitoring(
    operator_cluster: OperatorCluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Monitoring]:
    if operator_cluster.shared.running:
        operator_cluster.shared.stop()
    with (
        prometheus.metrics_server(errors=0.0) as metrics,
        prometheus.prometheus(tmp_path_factory.mktemp("prometheus"), {"app": metrics.address}) as server,
    ):
        allowed = ("--allow-gate-url", server.url, "--allow-gate-url", f"http://{metrics.address}/health")
        operator = operator_cluster.operator("gated", *allowed).start().acting()
        server.wait_for("errors", 0.0)
        yield Monitoring(operator, server, metrics)
        operator_cluster.stop_others()
        operator_cluster.release_lease()


def gate(name: str, **spec: Any) -> Body:
    return {"name": name, "interval": "1s", "timeout": "5s", **spec}


def gated(*gates: Body, soak: str = "1h", **strategy: Any) -> Body:
    return waves(wave("canary", "free", soak=soak), gates=list(gates), **strategy)


def of(status: Body, name: str = "errors") -> Body:
    """What status says of a gate."""
    return dict(next((g for g in status.get("gates") or () if g["name"] == name), {}))


def test_a_query_that_fails_rolls_back_automatically(monitoring: Monitoring, ns: Namespace) -> None:
    given(ns, users=2)

    before = ns.one("ConfigMap", "app-pro")
    ns.policy(strategy=gated(monitoring.gate("errors", failureLimit=1)))
    assert of(ns.reach("Soaking"))["result"] == "Successful"

    ns.serves(NEW, "free")
    monitoring.measures(errors=0.9)
    status = ns.reach("RolledBack")
    assert status["failure"]["reason"] == "GateFailed"
    assert "gate errors failed: 0.9: result < 0.5 does not hold" in status["failure"]["message"]

    ns.serves(OLD_FREE, "free")
    ns.wait_user("user-0", OLD_FREE)
    assert ns.one("ConfigMap", "app-pro") == before, "no other group was touched"

    # what it measures now starts nothing that failed
    monitoring.measures(errors=0.0)
    monitoring.operator.quiet()
    ns.reach("RolledBack", attempt=1)
    ns.act("retry")
    ns.reach("Soaking", attempt=2)
    ns.act("promote")
    ns.reach("Succeeded")
    ns.serves(NEW, "free", "pro")


def test_a_gate_is_measured_in_each_wave_and_an_immediate_failure_stops_the_first(
    monitoring: Monitoring, ns: Namespace
) -> None:
    given(ns)
    strategy = waves(wave("one", "free"), wave("two", "pro"), gates=[monitoring.gate("errors")])
    ns.policy(strategy=strategy)
    ns.reach("Succeeded")
    ns.serves(NEW, "free", "pro")
    ns.policy(content=minutes(26), strategy={**strategy, "gates": [monitoring.gate("errors + 1")]})
    status = ns.reach("RolledBack")
    assert status["wave"] == "1/2"
    ns.serves(NEW, "free", "pro")


def test_no_data_pauses_and_is_no_failure(monitoring: Monitoring, ns: Namespace) -> None:
    given(ns)

    ns.policy(strategy=gated(monitoring.gate("latency", consecutiveErrorLimit=0)))
    status = ns.reach("Paused")
    assert (status["halt"]["reason"], status["halt"]["by"]) == ("NoData", "errors")
    assert "the query returned no series" in status["message"]
    assert "continues when the gate succeeds" in status["message"]

    ns.serves(NEW, "free")
    ns.serves(OLD_PRO, "pro")
    # when: there is some, it goes on; when there is none any more, it pauses again
    monitoring.measures(latency=0.1)
    ns.reach("Soaking")
    monitoring.measures(latency=None)
    ns.reach("Paused")
    ns.act("promote")
    ns.reach("Paused", wave="2/2")
    monitoring.measures(latency=0.1)
    ns.reach("Succeeded")
    ns.serves(NEW, "free", "pro")
    # and where that is to be a failure, it is
    failing = monitoring.gate("no_such_metric", onNoData="Fail")
    ns.policy(content=minutes(26), strategy=gated(failing))
    assert "no data" in ns.reach("RolledBack")["failure"]["message"]

    ns.serves(NEW, "free", "pro")


def test_a_prometheus_that_stops_pauses_the_rollout_and_one_that_recovers_resumes_it(
    monitoring: Monitoring, ns: Namespace
) -> None:
    given(ns)

    ns.policy(strategy=gated(monitoring.gate("vector(0.1)", consecutiveErrorLimit=1)))
    ns.reach("Soaking")
    monitoring.prometheus.stop()
    status = ns.reach("Paused")
    assert status["halt"]["reason"] == "GateError"
    assert "could not be measured 2 times in a row" in status["message"]
    assert "refused the connection or is unreachable" in status["message"]

    ns.serves(NEW, "free")
    ns.serves(OLD_PRO, "pro")
    assert not status.get("quarantine"), "nothing has failed"

    monitoring.prometheus.start()
    ns.reach("Soaking", attempt=1)
    ns.act("promote")
    ns.reach("Succeeded")
    assert "RollbackStarted" not in ns.told()


def test_a_gate_queries_only_allowed_hosts(monitoring: Monitoring, ns: Namespace) -> None:
    given(ns)

    here = f"http://{monitoring.metrics.address}"
    forbidden = gate("smoke", http={"url": f"{here}/secret?token=x"}, consecutiveErrorLimit=0)
    ns.policy(strategy=gated(forbidden))
    said = ns.reach("Paused")["message"]
    assert f"{here}/secret is not allowed" in said
    assert f"`trimtab run --allow-gate-url {here}`" in said
    assert "token" not in said

    # a gate that may ask is edited in, in mid-flight
    ns.policy(strategy=gated(gate("smoke", http={"url": f"{here}/health/ready"})))
    status = ns.reach("Soaking")
    assert of(status, "smoke")["result"] == "Successful"

    ns.act("promote")
    ns.reach("Succeeded")
    refusing = gate("smoke", http={"url": f"{here}/health", "expectStatus": [204]})
    ns.policy(content=minutes(26), strategy=gated(refusing))
    assert "200" in ns.reach("RolledBack")["failure"]["message"]

    ns.serves(NEW, "free", "pro")


def test_a_failure_that_is_to_pause_pauses_and_people_decide(monitoring: Monitoring, ns: Namespace) -> None:
    given(ns)

    ns.policy(strategy=gated(monitoring.gate("errors + 0.9"), onFailure="Pause"))
    status = ns.reach("Paused")
    assert status["halt"]["reason"] == "Failed"
    assert "Resume to retry, Promote to continue regardless, or Abort to roll back" in status["message"]

    ns.serves(NEW, "free")
    ns.act("resume")
    wait_for(lambda: ns.told().count("GateFailed") == 2, "it is tried again, and fails again")
    ns.reach("Paused")
    # an edit of the gate is heeded, and so is one of what a failure leads to
    ns.policy(strategy=gated(monitoring.gate("errors"), onFailure="Pause"))
    ns.act("resume")
    ns.reach("Soaking")
    ns.policy(strategy=gated(monitoring.gate("errors + 0.9"), onFailure="Pause"))
    ns.reach("Paused")
    ns.serves(OLD_PRO, "pro")
    ns.policy(strategy=gated(monitoring.gate("errors + 0.9"), onFailure="Rollback"))
    ns.reach("RolledBack")
    ns.serves(OLD_FREE, "free")


def cron_job(ns: Namespace, *, fails: bool = False, suspend: bool = True) -> None:
    """A CronJob whose pods kwok ends at once, well or badly."""
    behaviour = {"sandbox.trimtab.dev/pod": "Failed"} if fails else {}
    pod = {
        "metadata": {"annotations": behaviour},
        "spec": {"restartPolicy": "Never", "containers": [{"name": "e2e", "image": "e2e"}]},
    }
    job = {"spec": {"backoffLimit": 0, "template": pod}}
    ns.api.apply(
        {
            "apiVersion": "batch/v1",
            "kind": "CronJob",
            "metadata": {"name": "e2e", "namespace": ns.name},
            "spec": {"schedule": "0 0 1 1 *", "suspend": suspend, "jobTemplate": job},
        }
    )


def test_a_job_is_run_once_a_wave_of_a_suspended_cronjob(monitoring: Monitoring, ns: Namespace) -> None:
    def jobs() -> list[Body]:
        return ns.api.list("Job", ns.name)

    given(ns)
    once = gate("e2e", job={"cronJob": "e2e"}, consecutiveErrorLimit=0)
    strategy = waves(wave("one", "free", soak="2s"), wave("two", "pro"), gates=[once])
    # one that is not there, or would run by itself, pauses with what to do
    ns.policy(strategy=strategy)
    assert "CronJob e2e not found" in ns.reach("Paused")["message"]
    cron_job(ns, suspend=False)
    wait_for(lambda: "set spec.suspend: true" in str(of(ns.progress(), "e2e")), "the gate says what to do")
    assert jobs() == []
    # one that completes lets each wave go on
    cron_job(ns)
    ns.reach("Succeeded")
    ns.serves(NEW, "free", "pro")
    assert len(jobs()) == 2
    assert {job["metadata"]["labels"]["trimtab.dev/rollout"] for job in jobs()} == {"calmer"}
    # one that fails goes back
    cron_job(ns, fails=True)
    ns.policy(content=minutes(26), strategy=strategy)
    status = ns.reach("RolledBack")
    assert status["failure"]["reason"] == "GateFailed"
    assert "gate e2e failed: Job e2e-" in status["failure"]["message"]
    ns.serves(NEW, "free", "pro")
    assert len(jobs()) == 3


def test_a_dry_run_decides_nothing_and_reports_its_results(monitoring: Monitoring, ns: Namespace) -> None:
    given(ns)

    gates = [
        monitoring.gate("errors + 1", dryRun=True),
        gate("smoke", http={"url": "http://10.0.0.1/"}, dryRun=True),
    ]
    ns.policy(strategy=gated(*gates))
    wait_for(
        lambda: (
            of(ns.progress()).get("result") == "Failed"
            and of(ns.progress(), "smoke").get("result") == "Error"
        ),
        lambda: str(ns.progress()),
    )
    ns.reach("Soaking")
    ns.act("promote")
    ns.reach("Succeeded")
