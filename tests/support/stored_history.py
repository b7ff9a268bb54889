"""What a cluster keeps of the past, as the operator writes it: RenderedGroups, ControllerRevisions, preferences."""

from __future__ import annotations

from typing import Any

from support.fake_cluster import FakeCluster
from support.manifests import group_spec, preference_spec
from trimtab.core.resolve import snapshot
from trimtab.kube.resources import CONTROLLER_REVISIONS

Body = dict[str, Any]
REVISIONS: list[Body] = [
    {
        "number": 4,
        "snapshot": "app-bb",
        "policies": [{"name": "calmer", "snapshot": "calmer-policy-1"}],
        "createdAt": "2026-11-21T12:00:00Z",
        "reason": "calmer 2",
        "by": "PolicyRollout calmer",
    },
    {
        "number": 3,
        "snapshot": "app-bb",
        "createdAt": "2026-11-20T12:00:00Z",
        "reason": "app 7",
    },
    {
        "number": 1,
        "snapshot": "app-aa",
        "createdAt": "2026-11-01T12:00:00Z",
        "reason": "app 1",
    },
]


def rendered(group: str = "free", revisions: list[Body] | None = None, **status: Any) -> Body:
    listed = REVISIONS if revisions is None else revisions
    return {
        "metadata": {"name": f"app-{group}", "namespace": "music", "labels": {"trimtab.dev/template": "app"}},
        "spec": group_spec(group),
        "status": {"currentRevision": 3, "stableRevision": 3, "revisions": listed, **status},
    }


def preference(name: str = "alice", *, of: str = "app", values: Body | None = None, **more: Any) -> Body:
    spec = preference_spec(values or {"session.minutes": 9}, of=of)
    status = {
        "accepted": {"generation": 5, "group": "free", "schemaVersion": 2, "values": {"session.minutes": 9}},
        "history": [
            {"generation": 4, "schemaVersion": 2, "values": {"session.minutes": 7, "debug": True}},
            {"generation": 2},
        ],
    }
    meta = {"name": name, "namespace": "music", "generation": more.pop("generation", 5)}
    return {"metadata": meta, "spec": spec | more.pop("spec", {}), "status": status, **more}


KEYS: list[Body] = [
    {"name": "agent.temperature", "type": "Number", "default": 0.7},
    {"name": "session.minutes", "type": "Integer", "default": 30},
    {"name": "api.token", "type": "String", "sensitive": True},
]


def spec(minutes: int = 20, token: str = "hunter2", **more: Any) -> Body:
    values = {"session.minutes": minutes, "api.token": token}
    return {"keys": KEYS, "groups": [{"name": "free", "values": values}, {"name": "pro"}], **more}


def keep(cluster: FakeCluster, name: str, content: Body, part: str = "spec", *, digests: bool = True) -> None:
    """A ControllerRevision as the operator writes it."""
    public, taken = (
        snapshot.split(content) if part == "spec" else snapshot.split_policy(content, {"api.token"})
    )
    data: Body = {part: public}
    if taken:
        data["sealed"] = "gAAAAAB"
        told = {"/".join(path): f"{hash((*path, str(value))) % 16**20:020x}" for path, value in taken}
        data |= {"digests": told} if digests else {}
    cluster.put(CONTROLLER_REVISIONS, {"metadata": {"name": name, "namespace": "music"}, "data": data})
