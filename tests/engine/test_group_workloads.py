"""Workloads of groups: which values restart them, and what status reports of them."""

from __future__ import annotations

import asyncio

from support.in_memory import HOME, Cluster, Operator, settled, spec
from support.workload_controllers import workload
from trimtab.core import naming
from trimtab.core.refs import GroupKey, Ref
from trimtab.engine.leadership.write_guard import WriteGuard
from trimtab.kube import errors
from trimtab.kube.port import Body
from trimtab.kube.resources import (
    DEPLOYMENTS,
    RENDERED_GROUPS,
    USER_PREFERENCES,
    WORKLOADS,
    Resource,
)


def _deployment(cluster: Cluster) -> None:
    body = {"spec": {"template": {"metadata": {"labels": {"app": "x"}}}}}
    cluster.memory.put(DEPLOYMENTS, {"metadata": {"name": "agent", "namespace": HOME}, **body})


def _stamp(cluster: Cluster) -> str | None:
    meta = cluster.memory.objects(DEPLOYMENTS)[0]["spec"]["template"]["metadata"]
    return (meta.get("annotations") or {}).get(naming.ANNOTATION_DIGEST)


class RefusingOnce(WriteGuard):
    """The first write to a workload is refused."""

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(cluster.memory, lambda: True)
        self.refused = asyncio.Event()

    async def apply(
        self, resource: Resource, body: Body, *, force: bool = True, subresource: str = ""
    ) -> Body:
        if resource is WORKLOADS["Deployment"] and not self.refused.is_set():
            self.refused.set()
            raise errors.UnavailableError(500, "InternalError", "not now")
        return await super().apply(resource, body, force=force, subresource=subresource)


async def test_a_workload_restarts_only_for_keys_that_require_it(cluster: Cluster) -> None:
    keys = [
        {"name": "hot", "type": "Integer", "default": 1, "reload": "None"},
        {"name": "cold", "type": "Integer", "default": 1},
    ]
    workloads = [{"kind": "Deployment", "name": "agent"}]
    stamps = []
    _deployment(cluster)
    async with Operator(cluster) as operator:
        for values in ({}, {"hot": 2}, {"cold": 2}, {"cold": 2, "hot": 3}):
            group = {"name": "free", "values": values, "workloads": workloads}
            cluster.template(spec(keys=keys, groups=[group]))
            await operator.quiet()
            stamps.append(_stamp(cluster))

    assert stamps[0] is not None
    assert stamps[0] == stamps[1] != stamps[2] == stamps[3]
    assert await settled(cluster) == []


async def test_a_missing_workload_is_reported_and_blocks_no_other(cluster: Cluster) -> None:
    group = {"name": "free", "workloads": [{"kind": "Deployment", "name": "agent"}]}
    cluster.template(spec(groups=[group]))
    cluster.preference("ann")
    async with Operator(cluster) as operator:
        await operator.quiet()

    assert cluster.ready(USER_PREFERENCES, "ann") == ("True", "Accepted")
    assert "does not exist" in cluster.message(RENDERED_GROUPS, "app-free")


async def test_groups_that_share_a_workload_restart_it_only_for_their_own_values(cluster: Cluster) -> None:
    place = Ref("Deployment", HOME, "agent")
    cluster.memory.put(WORKLOADS["Deployment"], workload(place))
    workloads = [{"kind": "Deployment", "name": "agent"}]

    def said(**voices: str) -> Body:
        groups = [
            {"name": n, "workloads": workloads, "values": {"agent.voice": v}} for n, v in voices.items()
        ]
        return spec(groups=groups)

    def parts() -> dict[str, str]:
        body = cluster.find(WORKLOADS["Deployment"], "agent") or {}
        text = body["spec"]["template"]["metadata"]["annotations"]["trimtab.dev/digest"]
        return dict(part.split(":") for part in text.split(";"))

    cluster.template(said(free="calm", paid="loud"))
    await settled(cluster)
    first = parts()
    await settled(cluster)
    assert parts() == first
    cluster.template(said(free="calm", paid="soft"))
    await settled(cluster)

    assert first.keys() == parts().keys() == {"free", "paid"}
    assert (parts()["free"], parts()["paid"] != first["paid"]) == (first["free"], True)
    assert cluster.ready(RENDERED_GROUPS, "app-paid") == ("True", "Rendered")


async def test_a_refused_restart_is_retried_whatever_else_happens_meanwhile(
    cluster: Cluster,
) -> None:
    place = Ref("Deployment", HOME, "agent")
    cluster.memory.put(WORKLOADS["Deployment"], workload(place))
    workloads = [{"kind": "Deployment", "name": "agent"}]
    api = RefusingOnce(cluster)
    async with Operator(cluster, api) as operator:
        cluster.template(spec(groups=[{"name": "free", "workloads": workloads}]))
        await api.refused.wait()
        await asyncio.sleep(0.1)
        operator.engine.cluster.enqueue_group(GroupKey(HOME, "app", "free"))
        await asyncio.sleep(5)

    body = cluster.find(WORKLOADS["Deployment"], "agent") or {}
    assert "trimtab.dev/digest" in body["spec"]["template"]["metadata"].get("annotations", {})
