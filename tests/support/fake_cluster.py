"""An API server in memory that the command line can be pointed at: whole verbs run against it, in this process."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

from support.memory_api import Memory
from trimtab.kube import errors, resources
from trimtab.kube.client import APPLY, JSON_PATCH
from trimtab.kube.credentials import Credentials
from trimtab.kube.port import Event
from trimtab.kube.resources import CONFIG_TEMPLATES, NAMESPACES, POLICY_ROLLOUTS, ROLLOUT_ACTIONS, Resource

Body = dict[str, Any]
WHO = "ann@example.com"
_BY_PLURAL = {found.plural: found for found in vars(resources).values() if isinstance(found, Resource)}


class FakeCluster(Memory):
    """``answer`` is the operator: an action to its Ready condition, or None for no answer."""

    def __init__(self, *namespaces: str) -> None:
        super().__init__()
        self.answer: Callable[[Body], Body | None] = taken
        self.refusal: errors.ApiError | None = None
        """What the API server says to whoever creates an action."""
        self.forbidden: set[str] = set()
        """Plurals that may not be read."""
        self.applied: list[tuple[str, Body]] = []
        """Server-side applies: (force, body)."""
        self.scenes: list[Callable[[], None]] = []
        """What happens, one thing each time somebody begins to watch a rollout."""
        for name in namespaces or ("music",):
            self.put(NAMESPACES, {"metadata": {"name": name}})

    async def __aenter__(self) -> FakeCluster:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    @property
    def actions(self) -> list[Body]:
        return self.objects(ROLLOUT_ACTIONS)

    async def get(self, resource: Resource, namespace: str | None, name: str) -> Body:
        self._allow(resource)
        return await super().get(resource, namespace, name)

    async def pages(self, resource: Resource, item: type[Any], **options: Any) -> AsyncIterator[Any]:  # type: ignore[override]
        self._allow(resource)
        async for page in super().pages(resource, item, **options):
            yield page

    async def watch(  # type: ignore[override]
        self, resource: Resource, item: type[Any], *, version: str, fields: str = "", **options: Any
    ) -> AsyncIterator[Event[Any]]:
        self._allow(resource)
        if resource is ROLLOUT_ACTIONS:
            self._answer()
        if resource in (POLICY_ROLLOUTS, CONFIG_TEMPLATES) and self.scenes:
            self.scenes.pop(0)()
        name = fields.removeprefix("metadata.name=")
        async for event in super().watch(resource, item, version=version, timeout=0, **options):
            if not name or event.object["metadata"].get("name") == name:
                yield event

    def put(self, resource: Resource, body: Body) -> Body:
        """As of a server with a past: the generation is as given."""
        made = super().put(resource, body)
        given = body["metadata"].get("generation")
        if given is not None:
            stored = self._find(resource, (made["metadata"].get("namespace") or "", made["metadata"]["name"]))
            stored.body["metadata"]["generation"] = made["metadata"]["generation"] = given
        return made

    def _allow(self, resource: Resource) -> None:
        if resource.plural in self.forbidden:
            raise errors.ForbiddenError(403, "Forbidden", f'User "{WHO}" cannot read "{resource.plural}"')

    def _answer(self) -> None:
        for action in self.actions:
            ready = None if action.get("status") else self.answer(action)
            if ready is not None:
                self.put(ROLLOUT_ACTIONS, {**action, "status": {"conditions": [{"type": "Ready", **ready}]}})

    async def request(
        self, method: str, path: str, *, params: Any = None, body: Any = None, content_type: str = ""
    ) -> bytes:
        """The few requests that the port does not have."""
        if path.endswith("/selfsubjectreviews"):
            return json.dumps({"status": {"userInfo": {"username": WHO}}}).encode()
        parts = path.split("/")
        if "namespaces" not in parts:
            raise errors.InvalidError(
                400, "BadRequest", "field label not supported"
            )  # as of servers before 1.31
        namespace = parts[parts.index("namespaces") + 1]
        plural, *name = parts[parts.index("namespaces") + 2 :]
        resource = _BY_PLURAL[plural]
        self._allow(resource)
        if method == "GET":
            return json.dumps(self._matching(resource, namespace, params["fieldSelector"])).encode()
        if method == "POST":
            if self.refusal is not None:
                raise self.refusal
            return json.dumps(await self.create(resource, body)).encode()
        assert content_type in (APPLY, JSON_PATCH)
        assert params["fieldManager"] == "trimtab-cli"
        there = await super().get(resource, namespace, name[0])
        if content_type == APPLY:
            self.applied.append((params["force"], body))
            return json.dumps(there).encode()
        return json.dumps(self._patched(resource, there, body)).encode()

    def _matching(self, resource: Resource, namespace: str, selector: str) -> Body:
        path, _, value = selector.partition("=")
        group, field = path.split(".")
        found = [
            body
            for body in self.objects(resource)
            if body["metadata"]["namespace"] == namespace and body.get(group, {}).get(field) == value
        ]
        return {"metadata": {"resourceVersion": str(self.version)}, "items": found}

    def _patched(self, resource: Resource, there: Body, operations: list[Body]) -> Body:
        guard, *rest = operations
        if guard["value"] != there["metadata"]["resourceVersion"]:
            raise errors.ConflictError(409, "Conflict", "the object has been modified")
        for operation in rest:
            _, part, field = operation["path"].split("/")
            if operation["op"] == "remove":
                del there[part][field]
            else:
                there[part][field] = operation["value"]
        return self.put(resource, there)


def taken(action: Body) -> Body | None:
    return {"status": "True", "reason": "Taken", "message": f"{action['spec']['action']} it is"}


def refused(action: Body) -> Body | None:
    return {"status": "False", "reason": "Refused", "message": "the content has changed; preview it again"}


def nobody(action: Body) -> Body | None:
    return None


def credentials(namespace: str = "music") -> Credentials:
    return Credentials(server="https://fake", namespace=namespace)


# What the operator writes.

WAVES: list[Body] = [
    {"name": "canary", "groups": ["free"], "percent": 10, "soak": "10m"},
    {"name": "all", "groups": ["free", "pro"], "percent": 100, "soak": "30m", "approval": True},
]
TARGET: Body = {"hash": "3f9a51c2d07be684", "snapshot": "calmer-policy-3f9a51c2d07be684", "generation": 2}
STABLE: Body = {"hash": "81c0ffee81c0ffee", "snapshot": "calmer-policy-81c0ffee81c0ffee", "generation": 1}
PREVIEW: Body = {
    "hash": TARGET["hash"],
    "groups": 2,
    "changedGroups": 1,
    "users": 40,
    "changedUsers": 12,
    "clampedUsers": 3,
    "keys": ["session.minutes", "api.token"],
    "samples": [
        {
            "group": "free",
            "user": "ann",
            "key": "session.minutes",
            "old": "30",
            "new": "25",
            "effect": "Clamped",
        },
        {
            "group": "free",
            "key": "api.token",
            "old": "(sensitive)",
            "new": "(sensitive)",
            "effect": "Changed",
        },
    ],
    "restarts": ["Deployment music/music-agent"],
}


def policy_rollout(
    phase: str | None = None, *, generation: int = 2, seen: int | None = None, **status: Any
) -> Body:
    made: Body = {"observedGeneration": generation if seen is None else seen}
    made |= {"phase": phase, "message": f"it is {phase}"} if phase else {}
    return {
        "metadata": {"name": "calmer", "namespace": "music", "generation": generation},
        "spec": {"templateRef": {"name": "app"}, "strategy": {}},
        "status": {**made, **status} if phase or status else {},
    }


def template(name: str = "app", **more: Any) -> Body:
    return {"metadata": {"name": name, "namespace": "music", "generation": 1}, "spec": {}, **more}
