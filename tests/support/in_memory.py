"""The real engine over the API server in memory: a cluster to write into, an operator to run, and the results."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Iterator
from typing import Any

from support.manifests import MINUTES, PREFS, TEMPERATURE, action_spec, policy_spec, preference_spec
from support.memory_api import EPOCH, Memory, Write
from trimtab.core import naming
from trimtab.core.objects import AnyObject
from trimtab.engine.engine import Engine
from trimtab.engine.term import Settings, Term
from trimtab.kube import errors
from trimtab.kube.port import Api, Body
from trimtab.kube.resources import (
    CONFIG_MAPS,
    CONFIG_TEMPLATES,
    NAMESPACES,
    POLICY_ROLLOUTS,
    RENDERED_GROUPS,
    ROLLOUT_ACTIONS,
    SECRETS,
    USER_PREFERENCES,
    Resource,
)

LONGEST_WAIT = 70.0
"""Seconds, by clockwork: more than any delay before something is tried again."""
BEGIN = 1_767_225_600.0
"""When the clock of the simulation starts, in seconds since 1970."""
SYSTEM = "trimtab-system"
HOME = "music"


def spec(**changes: Any) -> Body:
    """A small template: two groups, a file for the group and one for each user."""
    made: Body = {
        "keys": [
            {**TEMPERATURE},
            {**MINUTES},
            {"name": "agent.voice", "type": "String", "default": "calm"},
        ],
        "groups": [{"name": "free", "values": {"session.minutes": 20}}, {"name": "paid"}],
        "outputs": [
            {"name": "app", "format": "YAML", "fileName": "config.yaml"},
            PREFS,
        ],
    }
    return {**made, **changes}


class Cluster:
    """A memory API server, and what people do to it."""

    def __init__(self, *namespaces: str) -> None:
        self.memory = Memory()
        for name in (SYSTEM, *(namespaces or (HOME,))):
            self.namespace(name)

    def namespace(
        self, name: str, labels: dict[str, str] | None = None, annotations: dict[str, str] | None = None
    ) -> None:
        meta = {"name": name, "labels": labels or {}, "annotations": annotations or {}}
        self.memory.put(NAMESPACES, {"metadata": meta})

    def template(
        self, body: Body | None = None, name: str = "app", namespace: str = HOME, **meta: Any
    ) -> Body:
        place = {"name": name, "namespace": namespace, **meta}
        return self.memory.put(CONFIG_TEMPLATES, {"metadata": place, "spec": body or spec()})

    def preference(
        self,
        name: str,
        values: Body | None = None,
        *,
        template: str = "app",
        namespace: str = HOME,
        meta: Body | None = None,
        **fields: Any,
    ) -> Body:
        made = preference_spec(values, of=template, home=HOME, **fields)
        place = {"name": name, "namespace": namespace, **(meta or {})}
        return self.memory.put(USER_PREFERENCES, {"metadata": place, "spec": made})

    def users(self, count: int, values: Body | None = None) -> None:
        """Preferences user-0, user-1, ... in the group free."""
        for number in range(count):
            self.preference(f"user-{number}", values)

    def policy(self, name: str, policy: Body | None = None, *, template: str = "app", **fields: Any) -> Body:
        """A PolicyRollout over the template."""
        made = policy_spec(policy, of=template, **fields)
        return self.memory.put(POLICY_ROLLOUTS, {"metadata": {"name": name, "namespace": HOME}, "spec": made})

    def act(self, action: str, name: str, *, kind: str = "PolicyRollout", **fields: Any) -> str:
        """A RolloutAction on a rollout; its name."""
        spec = action_spec(action, name, kind, **{"requester": "ann", **fields})
        made = f"{action.lower()}-{self.memory.version}"
        self.memory.put(ROLLOUT_ACTIONS, {"metadata": {"name": made, "namespace": HOME}, "spec": spec})
        return made

    def remove(self, resource: Resource, name: str, namespace: str = HOME) -> None:
        self.memory.remove(resource, namespace, name)

    def find(self, resource: Resource, name: str, namespace: str = HOME) -> Body | None:
        for body in self.memory.objects(resource):
            if (body["metadata"].get("namespace", ""), body["metadata"]["name"]) == (namespace, name):
                return body
        return None

    # What came of it.

    def ready(self, resource: Resource, name: str, namespace: str = HOME) -> tuple[str, str]:
        """(status, reason) of Ready; empty while nothing is said of the present generation."""
        body = self.find(resource, name, namespace)
        assert body is not None, f"no {resource.kind} {namespace}/{name}"
        status = body.get("status") or {}
        if status.get("observedGeneration") != body["metadata"]["generation"]:
            return "", ""
        ready = next(c for c in status["conditions"] if c["type"] == "Ready")
        return ready["status"], ready["reason"]

    def find_status(self, preference: str, namespace: str = HOME) -> Body:
        """A preference's status."""
        body = self.find(USER_PREFERENCES, preference, namespace) or {}
        return body.get("status") or {}

    def message(self, resource: Resource, name: str, namespace: str = HOME) -> str:
        body = self.find(resource, name, namespace) or {}
        return next(c["message"] for c in body["status"]["conditions"] if c["type"] == "Ready")

    def outputs(self) -> Iterator[Body]:
        """Everything that says Trimtab made it, secrets decoded."""
        for resource in (CONFIG_MAPS, SECRETS):
            for body in self.memory.objects(resource):
                labels = body["metadata"].get("labels") or {}
                if labels.get(naming.LABEL_MANAGED_BY) == naming.MANAGER:
                    data = body.get("data") or {}
                    if resource is SECRETS:
                        data = {k: base64.b64decode(v).decode() for k, v in data.items()}
                    yield {**body, "data": data}

    def documents(self) -> dict[tuple[str, ...], str]:
        """Every rendered text by where a reader finds it, shard numbers apart; a user is in one shard only."""
        found: dict[tuple[str, ...], str] = {}
        for body in self.outputs():
            meta = body["metadata"]
            labels = meta["labels"]
            name = f"{labels[naming.LABEL_TEMPLATE]}-{labels[naming.LABEL_GROUP]}"
            sharded = naming.LABEL_SHARD in labels
            for entry, text in body["data"].items():
                place = (body["kind"], meta["namespace"], f"{name}-users" if sharded else meta["name"], entry)
                assert place not in found, f"{place} is in two objects"
                found[place] = text
        return found

    def file(self, user: str, group: str = "free", file: str = "prefs.json") -> str | None:
        """A sharded user's file, or None."""
        return self.documents().get(("ConfigMap", HOME, f"app-{group}-users", f"{user}.{file}"))


class Operator:
    """One engine over an API, and a stand-in for kopf's watches. Use as an async context manager: it leads inside."""

    def __init__(
        self,
        cluster: Cluster,
        api: Api | None = None,
        *,
        may_write: Callable[[], bool] = lambda: True,
        now: Callable[[], str] = lambda: EPOCH,
        relist_seconds: float = 600,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.memory = cluster.memory
        self.api: Api = api or cluster.memory
        loop = asyncio.get_running_loop()
        self.engine = Engine(
            self.api,
            Settings(SYSTEM, relist_seconds),
            may_write,
            now,
            clock=clock or (lambda: BEGIN + loop.time()),
        )
        self._tasks: list[asyncio.Task[Any]] = []

    @property
    def term(self) -> Term:
        """What it leads with."""
        assert self.engine.term is not None, "it does not lead"
        return self.engine.term

    def start(self, *, templates: bool = True) -> None:
        """Fill the stores; it does not lead yet. Without ``templates``, kopf's watch of them never says a thing."""
        cluster_state = self.engine.cluster
        self._tasks = [
            asyncio.create_task(self.engine.run()),
            asyncio.create_task(self._kopf(POLICY_ROLLOUTS, cluster_state.rollouts)),
            asyncio.create_task(self._kopf(ROLLOUT_ACTIONS, cluster_state.actions)),
        ]
        if templates:
            self._tasks.append(asyncio.create_task(self._kopf(CONFIG_TEMPLATES, cluster_state.templates)))

    async def kill(self) -> None:
        """End it at once, wherever it is."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def __aenter__(self) -> Operator:
        self.start()
        await asyncio.wait_for(self.engine.lead(), 10)
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            if task.done() and not task.cancelled() and task.exception() is not None:
                await self.kill()
                raise AssertionError("the engine ended") from task.exception()
        await self.kill()

    async def _kopf(self, resource: Resource, store: Any) -> None:
        """List, then watch, as kopf's handlers see it."""
        while True:
            version = ""
            try:
                async for page in self.memory.pages(resource, AnyObject):
                    version = page.metadata.resourceVersion
                    for item in page.items or ():
                        store.put(item)
                while True:
                    async for event in self.memory.watch(resource, AnyObject, version=version):
                        version = event.object.metadata.resourceVersion
                        if event.type == "DELETED":
                            store.drop(event.object)
                        elif event.type != "BOOKMARK":
                            store.put(event.object)
            except errors.NotFoundError:  # the kind is away
                await asyncio.sleep(1)
            except errors.ApiError:
                await asyncio.sleep(0)

    async def quiet(self) -> None:
        """Wait until nothing has changed for longer than anything waits to be tried again."""
        for _ in range(60):
            version = self.memory.version
            await asyncio.sleep(LONGEST_WAIT)
            for task in self._tasks:
                assert not task.done(), f"the engine ended: {task}"
            busy = self.engine.cluster.queue.busy or (self.engine.term and len(self.engine.term.statuses))
            if self.memory.version == version and not busy:
                return
        raise AssertionError("it never comes to rest")


async def settled(cluster: Cluster, **options: Any) -> list[Write]:
    """Run an operator until it is quiet, then end it; what it wrote."""
    before = len(cluster.memory.writes)
    async with Operator(cluster, **options) as operator:
        await operator.quiet()
    return cluster.memory.writes[before:]


async def rendered(template: Body | None = None, *, users: int = 0, **policies: Body) -> Cluster:
    """A cluster with the template, users and policies by name, all of which an operator has rendered."""
    cluster = Cluster()
    cluster.template(template)
    cluster.users(users)
    for name, policy in policies.items():
        cluster.policy(name, policy)
    await settled(cluster)
    return cluster


def groups_of(cluster: Cluster) -> list[str]:
    return [body["metadata"]["name"] for body in cluster.memory.objects(RENDERED_GROUPS)]
