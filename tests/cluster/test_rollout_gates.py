"""Gates judge a wave by what they measure, with a real Prometheus: failures go back, silence only pauses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from support import prometheus
from support.cluster_fixtures import Arena, Place
from support.live_objects import Body, wait_for
from support.manifests import minutes, wave, waves
from support.operator_process import Operator
from support.prometheus import Metrics, Prometheus
from support.rollout_scenes import NEW, OLD_FREE, OLD_PRO, given

pytestmark = pytest.mark.timeout(300)


@dataclass
class World:
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
def world(arena: Arena, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    if arena.shared.running:
        arena.shared.stop()
    with (
        prometheus.metrics_server(errors=0.0) as metrics,
        prometheus.prometheus(tmp_path_factory.mktemp("prometheus"), {"app": metrics.address}) as server,
    ):
        allowed = ("--allow-gate-url", server.url, "--allow-gate-url", f"http://{metrics.address}/health")
        operator = arena.operator("gated", *allowed).start().acting()
        server.wait_for("errors", 0.0)
        yield World(operator, server, metrics)
        arena.stop_others()
        arena.release_lease()


def gate(name: str, **spec: Any) -> Body:
    return {"name": name, "interval": "1s", "timeout": "5s", **spec}


def gated(*gates: Body, soak: str = "1h", **strategy: Any) -> Body:
    return waves(wave("canary", "free", soak=soak), gates=list(gates), **strategy)


def of(status: Body, name: str = "errors") -> Body:
    """What status says of a gate."""
    return dict(next((g for g in status.get("gates") or () if g["name"] == name), {}))


def test_a_query_that_fails_brings_back_what_was_by_itself(world: World, place: Place) -> None:
    given(place, users=2)
    before = place.one("ConfigMap", "app-pro")
    place.policy(strategy=gated(world.gate("errors", failureLimit=1)))
    assert of(place.reach("Soaking"))["result"] == "Successful"
    place.serves(NEW, "free")
    world.measures(errors=0.9)
    status = place.reach("RolledBack")
    assert status["failure"]["reason"] == "GateFailed"
    assert "gate errors failed: 0.9: result < 0.5 does not hold" in status["failure"]["message"]
    place.serves(OLD_FREE, "free")
    place.wait_user("user-0", OLD_FREE)
    assert place.one("ConfigMap", "app-pro") == before, "no other group was touched"
    # what it measures now starts nothing that failed
    world.measures(errors=0.0)
    world.operator.quiet()
    place.reach("RolledBack", attempt=1)
    place.act("retry")
    place.reach("Soaking", attempt=2)
    place.act("promote")
    place.reach("Succeeded")
    place.serves(NEW, "free", "pro")


def test_a_gate_is_measured_anew_in_each_wave_and_one_that_fails_at_once_stops_the_first(
    world: World, place: Place
) -> None:
    given(place)
    strategy = waves(wave("one", "free"), wave("two", "pro"), gates=[world.gate("errors")])
    place.policy(strategy=strategy)
    place.reach("Succeeded")
    place.serves(NEW, "free", "pro")
    place.policy(says=minutes(26), strategy={**strategy, "gates": [world.gate("errors + 1")]})
    status = place.reach("RolledBack")
    assert status["wave"] == "1/2"
    place.serves(NEW, "free", "pro")


def test_no_data_pauses_and_is_no_failure(world: World, place: Place) -> None:
    given(place)
    place.policy(strategy=gated(world.gate("latency", consecutiveErrorLimit=0)))
    status = place.reach("Paused")
    assert (status["halt"]["reason"], status["halt"]["by"]) == ("NoData", "errors")
    assert "the query gives no series" in status["message"]
    assert "it goes on when the gate succeeds again" in status["message"]
    place.serves(NEW, "free")
    place.serves(OLD_PRO, "pro")
    # when: there is some, it goes on; when there is none any more, it pauses again
    world.measures(latency=0.1)
    place.reach("Soaking")
    world.measures(latency=None)
    place.reach("Paused")
    place.act("promote")
    place.reach("Paused", wave="2/2")
    world.measures(latency=0.1)
    place.reach("Succeeded")
    place.serves(NEW, "free", "pro")
    # and where that is to be a failure, it is
    failing = world.gate("no_such_metric", onNoData="Fail")
    place.policy(says=minutes(26), strategy=gated(failing))
    assert "no data" in place.reach("RolledBack")["failure"]["message"]
    place.serves(NEW, "free", "pro")


def test_a_prometheus_that_dies_pauses_and_one_that_is_back_goes_on(world: World, place: Place) -> None:
    given(place)
    place.policy(strategy=gated(world.gate("vector(0.1)", consecutiveErrorLimit=1)))
    place.reach("Soaking")
    world.prometheus.stop()
    status = place.reach("Paused")
    assert status["halt"]["reason"] == "GateError"
    assert "could not be measured 2 times in a row" in status["message"]
    assert "cannot be connected to" in status["message"]
    place.serves(NEW, "free")
    place.serves(OLD_PRO, "pro")
    assert not status.get("quarantine"), "nothing has failed"
    world.prometheus.start()
    place.reach("Soaking", attempt=1)
    place.act("promote")
    place.reach("Succeeded")
    assert "RollbackStarted" not in place.told()


def test_a_gate_asks_only_where_the_admin_allows(world: World, place: Place) -> None:
    given(place)
    here = f"http://{world.metrics.address}"
    forbidden = gate("smoke", http={"url": f"{here}/secret?token=x"}, consecutiveErrorLimit=0)
    place.policy(strategy=gated(forbidden))
    said = place.reach("Paused")["message"]
    assert f"{here}/secret is not allowed" in said
    assert f"`trimtab run --allow-gate-url {here}`" in said
    assert "token" not in said
    # a gate that may ask is edited in, in mid-flight
    place.policy(strategy=gated(gate("smoke", http={"url": f"{here}/health/ready"})))
    status = place.reach("Soaking")
    assert of(status, "smoke")["result"] == "Successful"
    place.act("promote")
    place.reach("Succeeded")
    refusing = gate("smoke", http={"url": f"{here}/health", "expectStatus": [204]})
    place.policy(says=minutes(26), strategy=gated(refusing))
    assert "200" in place.reach("RolledBack")["failure"]["message"]
    place.serves(NEW, "free", "pro")


def test_a_failure_that_is_to_pause_pauses_and_people_decide(world: World, place: Place) -> None:
    given(place)
    place.policy(strategy=gated(world.gate("errors + 0.9"), onFailure="Pause"))
    status = place.reach("Paused")
    assert status["halt"]["reason"] == "Failed"
    assert "Resume tries again, Promote goes on regardless, Abort goes back" in status["message"]
    place.serves(NEW, "free")
    place.act("resume")
    wait_for(lambda: place.told().count("GateFailed") == 2, "it is tried again, and fails again")
    place.reach("Paused")
    # an edit of the gate is heeded, and so is one of what a failure leads to
    place.policy(strategy=gated(world.gate("errors"), onFailure="Pause"))
    place.act("resume")
    place.reach("Soaking")
    place.policy(strategy=gated(world.gate("errors + 0.9"), onFailure="Pause"))
    place.reach("Paused")
    place.serves(OLD_PRO, "pro")
    place.policy(strategy=gated(world.gate("errors + 0.9"), onFailure="Rollback"))
    place.reach("RolledBack")
    place.serves(OLD_FREE, "free")


def cron_job(place: Place, *, fails: bool = False, suspend: bool = True) -> None:
    """A CronJob whose pods kwok ends at once, well or badly."""
    behaviour = {"sandbox.trimtab.dev/pod": "Failed"} if fails else {}
    pod = {
        "metadata": {"annotations": behaviour},
        "spec": {"restartPolicy": "Never", "containers": [{"name": "e2e", "image": "e2e"}]},
    }
    job = {"spec": {"backoffLimit": 0, "template": pod}}
    place.api.apply(
        {
            "apiVersion": "batch/v1",
            "kind": "CronJob",
            "metadata": {"name": "e2e", "namespace": place.name},
            "spec": {"schedule": "0 0 1 1 *", "suspend": suspend, "jobTemplate": job},
        }
    )


def test_a_job_is_run_once_a_wave_of_a_suspended_cronjob(world: World, place: Place) -> None:
    def jobs() -> list[Body]:
        return place.api.list("Job", place.name)

    given(place)
    once = gate("e2e", job={"cronJob": "e2e"}, consecutiveErrorLimit=0)
    strategy = waves(wave("one", "free", soak="2s"), wave("two", "pro"), gates=[once])
    # one that is not there, or would run by itself, pauses with what to do
    place.policy(strategy=strategy)
    assert "there is no CronJob e2e" in place.reach("Paused")["message"]
    cron_job(place, suspend=False)
    wait_for(lambda: "set spec.suspend: true" in str(of(place.progress(), "e2e")), "the gate says what to do")
    assert jobs() == []
    # one that completes lets each wave go on
    cron_job(place)
    place.reach("Succeeded")
    place.serves(NEW, "free", "pro")
    assert len(jobs()) == 2
    assert {job["metadata"]["labels"]["trimtab.dev/rollout"] for job in jobs()} == {"calmer"}
    # one that fails goes back
    cron_job(place, fails=True)
    place.policy(says=minutes(26), strategy=strategy)
    status = place.reach("RolledBack")
    assert status["failure"]["reason"] == "GateFailed"
    assert "gate e2e failed: Job e2e-" in status["failure"]["message"]
    place.serves(NEW, "free", "pro")
    assert len(jobs()) == 3


def test_a_dry_run_decides_nothing_and_says_what_it_measured(world: World, place: Place) -> None:
    given(place)
    gates = [
        world.gate("errors + 1", dryRun=True),
        gate("smoke", http={"url": "http://10.0.0.1/"}, dryRun=True),
    ]
    place.policy(strategy=gated(*gates))
    wait_for(
        lambda: (
            of(place.progress()).get("result") == "Failed"
            and of(place.progress(), "smoke").get("result") == "Error"
        ),
        lambda: str(place.progress()),
    )
    place.reach("Soaking")
    place.act("promote")
    place.reach("Succeeded")
