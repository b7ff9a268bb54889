"""What tests of rollouts share: a template with two rings, policies for it, and accessors of their state."""

from __future__ import annotations

import asyncio
from typing import Any

from support.in_memory import HOME, Cluster, spec
from support.memory_api import Memory
from trimtab.kube.port import Body
from trimtab.kube.resources import CONFIG_TEMPLATES, EVENTS, POLICY_ROLLOUTS, RENDERED_GROUPS, Resource

APP = ("app", CONFIG_TEMPLATES)
REST = 30.0
"""Seconds, by clockwork, in which everybody has followed."""
LOCK: Body = {"enforced": [{"key": "agent.voice", "value": "bright", "reason": "SEC-12"}]}
DARK: Body = {"enforced": [{"key": "agent.voice", "value": "dark"}]}
CLAMP: Body = {"constraints": [{"key": "agent.temperature", "maximum": 1, "reason": "COST-7"}]}


def calm(**more: Any) -> Body:
    """The small template, its groups labelled by ring; with ``strategy`` and so on if given."""
    made = spec(
        groups=[
            {"name": "free", "labels": {"ring": "canary"}, "values": {"session.minutes": 20}},
            {"name": "paid", "labels": {"ring": "main"}},
        ]
    )
    return {**made, **more}


def loud(**more: Any) -> Body:
    """The same template with another voice."""
    made = calm(**more)
    return {**made, "keys": [*made["keys"][:2], {"name": "agent.voice", "type": "String", "default": "loud"}]}


def broken(**more: Any) -> Body:
    """An edit of it that is refused."""
    return calm(keys=[{"name": "broken", "type": "Number", "default": "x"}], **more)


def waves(*, soak: str = "10m", **more: Any) -> Body:
    canary = {"name": "canary", "groupSelector": {"matchLabels": {"ring": "canary"}}, "soak": soak}
    return {"waves": [canary, {"name": "all"}], **more}


def share(percent: int, *names: str, soak: str = "10m") -> Body:
    """A strategy that begins with a share of some groups' users, or of all groups'."""
    wave: Body = {"name": "some", "percent": percent, "soak": soak}
    return {"waves": [{**wave, "groups": list(names)} if names else wave]}


def progress(cluster: Cluster, name: str = "lock", resource: Resource = POLICY_ROLLOUTS) -> Body:
    """A rollout's status."""
    body = cluster.find(resource, name)
    assert body is not None
    return body.get("status") or {}


def revisions(cluster: Cluster, group: str) -> tuple[int, int | None]:
    """(current, stable) revision of a group."""
    body = cluster.find(RENDERED_GROUPS, f"app-{group}")
    assert body is not None
    return body["status"]["currentRevision"], body["status"].get("stableRevision")


def all_revisions(cluster: Cluster) -> list[tuple[int, int | None]]:
    """Of both groups."""
    return [revisions(cluster, group) for group in ("free", "paid")]


def voice(cluster: Cluster, group: str, template: str = "app") -> str:
    text = cluster.documents()["ConfigMap", HOME, f"{template}-{group}", "config.yaml"]
    return text.split("voice: ")[1].split("\n")[0].strip("\"'")


def voices(cluster: Cluster, template: str = "app") -> list[str]:
    """Of both groups."""
    return [voice(cluster, group, template) for group in ("free", "paid")]


def users_with(cluster: Cluster, said: str, users: int) -> set[str]:
    """Which of user-0, user-1, ... of the group free have that voice."""
    names = (f"user-{number}" for number in range(users))
    return {name for name in names if f'"{said}"' in (cluster.file(name) or "")}


def event_reasons(cluster: Cluster, name: str = "lock") -> list[str]:
    """The reasons of the rollout's Events, in the order in which they were made."""
    found = [e for e in cluster.memory.objects(EVENTS) if e["regarding"]["name"] == name]
    return [e["reason"] for e in sorted(found, key=lambda e: int(e["metadata"]["resourceVersion"]))]


def write_status(
    cluster: Cluster, status: Body, name: str = "lock", resource: Resource = POLICY_ROLLOUTS
) -> None:
    """Somebody writes a rollout's status by hand."""
    cluster.memory.put(resource, {**(cluster.find(resource, name) or {}), "status": status})


async def until(
    cluster: Cluster,
    phase: str,
    name: str = "lock",
    resource: Resource = POLICY_ROLLOUTS,
) -> Body:
    """Wait, by clockwork, for a phase."""
    for _ in range(4000):
        status = progress(cluster, name, resource)
        if status.get("phase") == phase:
            return status
        await asyncio.sleep(1)
    raise AssertionError(f"{status.get('phase')}: {status.get('message')}, never {phase}")


class Port:
    """The API server in memory behind a port that a test may disturb."""

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self.reads: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.memory, name)

    async def get(self, resource: Resource, namespace: str | None, name: str) -> Body:
        self.reads.append(resource.kind)
        return await self.memory.get(resource, namespace, name)
