"""The health of real workloads on kwok's nodes: what crashes has failed, what comes back is healthy."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from support.crashing_pods import BadConfig, PodCrashes, crashes
from support.live_objects import Api
from trimtab.api.config_template import ConfigTemplateSpec
from trimtab.core.refs import GroupKey, Ref
from trimtab.core.resolve.resolve import GroupView, group_view
from trimtab.core.schema.template import compile_template
from trimtab.core.workload.health import Health
from trimtab.crypto import Keys
from trimtab.engine.workloads.health import HealthWatch
from trimtab.engine.workloads.restarts import Workloads, restart_digest
from trimtab.kube.client import Client
from trimtab.kube.credentials import from_kubeconfig

pytestmark = pytest.mark.cluster
KINDS = ("Deployment", "StatefulSet", "DaemonSet")
PATIENCE = 90


def manifest(key: Ref, **spec: Any) -> dict[str, Any]:
    labels = {"app": key.name}
    pod = {"terminationGracePeriodSeconds": 0, "containers": [{"name": "main", "image": "main"}]}
    replicas = {} if key.kind == "DaemonSet" else {"replicas": 2}
    template = {"metadata": {"labels": labels}, "spec": pod}
    return {
        "apiVersion": "apps/v1",
        "kind": key.kind,
        "metadata": {"name": key.name, "namespace": key.namespace},
        "spec": {"selector": {"matchLabels": labels}, "template": template, **replicas, **spec},
    }


def group_of(key: Ref, values: dict[str, Any] | None = None) -> GroupView:
    group = {"name": "free", "workloads": [{"kind": key.kind, "name": key.name}], "values": values or {}}
    outputs = [{"name": "app", "format": "JSON", "fileName": "app.json"}]
    spec = {"keys": [{"name": "port", "type": "Integer"}], "groups": [group], "outputs": outputs}
    return group_view(compile_template("app", ConfigTemplateSpec.model_validate(spec), key.namespace), "free")


class Watched:
    """What an operator does with workloads, and every verdict that it ever comes to."""

    def __init__(self, client: Client) -> None:
        self.digest = ""
        self.watch = HealthWatch(client, self._look)
        self.verdicts: list[Health] = []
        self._workloads = Workloads(client, lambda _values: self.digest, self.watch)
        self._told = asyncio.Event()

    def _look(self, key: Ref) -> None:
        verdict = self.watch.state(key, self.digest)
        if verdict.known:
            self.verdicts.append(verdict)
        self._told.set()

    async def move(self, key: Ref, digest: str) -> None:
        """As a rollout that serves another revision."""
        self.digest = digest
        self.verdicts.clear()
        assert (
            await self._workloads.restart(
                group_of(key), key.namespace, GroupKey(key.namespace, "app", key.name)
            )
            == []
        )

    async def until(self, key: Ref, state: str, says: str = "") -> Health:
        """Wait for a verdict about the present digest."""
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    self._told.clear()
                    found = self.watch.state(key, self.digest)
                    if found.known and found.state == state and says in found.message:
                        return found
                    await self._told.wait()
        except TimeoutError:
            pytest.fail(f"{key} never became {state}; verdicts: {self.verdicts}")


@pytest.fixture
async def watched(cluster: Any) -> AsyncIterator[Watched]:
    async with Client(from_kubeconfig(cluster.kubeconfig)) as client:
        made = Watched(client)
        yield made
        await made.watch.stop()


@pytest.fixture
def bad(cluster: Any) -> Iterator[tuple[PodCrashes, str]]:
    """A digest whose pods crash."""
    on, digest = crashes(cluster.kubectl), secrets.token_hex(8)
    on.start(digest)
    yield on, digest
    on.stop(digest)


@pytest.mark.parametrize("kind", KINDS)
async def test_what_crashes_has_failed_and_what_comes_back_is_healthy(
    kind: str, cluster: Any, namespace: str, watched: Watched, bad: tuple[PodCrashes, str]
) -> None:
    key, good = Ref(kind, namespace, "web"), secrets.token_hex(8)
    cluster.kubectl("apply", "-f", "-", input=json.dumps(manifest(key)))
    watched.watch.want([key])
    await watched.move(key, good)
    healthy = await watched.until(key, "Healthy")
    assert healthy.generation == 2

    # when: a revision is served with which pods crash
    await watched.move(key, bad[1])
    failed = await watched.until(key, "Failed")

    # then: a pod of that revision is named, with the reason
    pods = json.loads(cluster.kubectl("get", "pods", "-n", namespace, "-o", "json").stdout)["items"]
    broken = [
        p["metadata"]["name"] for p in pods if p["metadata"]["annotations"]["trimtab.dev/digest"] == bad[1]
    ]
    assert failed.message.startswith(f"pod {min(broken)}: container main is in CrashLoopBackOff after ")
    assert failed.generation == 3
    assert not any(v.state == "Healthy" for v in watched.verdicts), "nothing of before was taken for it"

    # when: the revision of before is served again
    await watched.move(key, good)
    await watched.until(key, "Healthy")

    # then: it is, wholly, and was never taken for failed
    pods = json.loads(cluster.kubectl("get", "pods", "-n", namespace, "-o", "json").stdout)["items"]
    assert {p["metadata"]["annotations"]["trimtab.dev/digest"] for p in pods} == {good}
    assert not any(v.state == "Failed" for v in watched.verdicts)


async def test_a_passed_deadline_of_before_is_not_held_against_the_revision_that_comes_back(
    cluster: Any, namespace: str, watched: Watched, bad: tuple[PodCrashes, str]
) -> None:
    key, good = Ref("Deployment", namespace, "web"), secrets.token_hex(8)
    spec = manifest(key, replicas=1, progressDeadlineSeconds=1)
    cluster.kubectl("apply", "-f", "-", input=json.dumps(spec))
    watched.watch.want([key])
    await watched.move(key, good)
    await watched.until(key, "Healthy")
    await watched.move(key, bad[1])
    reason = 'jsonpath={.status.conditions[?(@.type=="Progressing")].reason}=ProgressDeadlineExceeded'
    waiting = ("wait", "deployment/web", "-n", namespace, f"--for={reason}", "--timeout=60s")
    await asyncio.to_thread(cluster.kubectl, *waiting)

    await watched.move(key, good)
    await watched.until(key, "Healthy")

    assert not any(v.state == "Failed" for v in watched.verdicts)


async def test_pods_that_never_start_are_a_failure_with_their_reason(
    cluster: Any, namespace: str, watched: Watched
) -> None:
    key, digest = Ref("Deployment", namespace, "web"), secrets.token_hex(8)
    crashes(cluster.kubectl).start(digest, reason="CreateContainerConfigError")
    cluster.kubectl("apply", "-f", "-", input=json.dumps(manifest(key)))
    watched.watch.want([key])
    await watched.move(key, digest)

    failed = await watched.until(key, "Failed")

    assert "container main is in CreateContainerConfigError" in failed.message
    crashes(cluster.kubectl).stop(digest)
    await watched.until(key, "Healthy")


async def test_the_digest_of_content_can_be_computed_with_the_keys(cluster: Any, namespace: str) -> None:
    keys, api = Keys.fresh(), Api(cluster.kubeconfig)
    meta = {"name": "trimtab-keys", "namespace": namespace}
    api.create({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": keys.to_secret()})
    view = group_of(Ref("Deployment", namespace, "web"), {"port": 0})
    config = BadConfig(api, cluster.kubectl, namespace)

    digest = config.crash({"port": 0}, namespace, "free")

    assert digest == restart_digest(keys, view)
    config.mend({"port": 0}, namespace, "free")


async def test_a_workload_comes_changes_scale_and_goes(
    cluster: Any, namespace: str, watched: Watched
) -> None:
    key = Ref("StatefulSet", namespace, "web")
    watched.digest = secrets.token_hex(8)
    watched.watch.want([key])
    await watched.until(key, "Progressing", "does not exist")
    body = manifest(key)
    body["spec"]["template"]["metadata"]["annotations"] = {"trimtab.dev/digest": watched.digest}
    cluster.kubectl("apply", "-f", "-", input=json.dumps(body))
    await watched.until(key, "Healthy")

    cluster.kubectl("scale", "statefulset/web", "-n", namespace, "--replicas=0")
    await watched.until(key, "Healthy", "is scaled to zero")
    cluster.kubectl("delete", "statefulset/web", "-n", namespace)
    await watched.until(key, "Progressing", "does not exist")
