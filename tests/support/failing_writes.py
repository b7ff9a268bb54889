"""API ports whose writes fail: at random, by the content of ConfigMaps and Secrets as admission and quotas do, or by
kind and verb."""

from __future__ import annotations

import asyncio
import base64
import random
from collections.abc import Callable, Container, Mapping
from fnmatch import fnmatch
from typing import Any

from support.in_memory import Cluster
from trimtab.core.refs import Ref
from trimtab.engine.leadership.write_guard import WriteGuard
from trimtab.kube import errors
from trimtab.kube.port import Body
from trimtab.kube.resources import CONFIG_MAPS, EVENTS, SECRETS, Resource

DENIED = errors.InvalidError(
    422, "Invalid", "ValidatingAdmissionPolicy 'scanner' denied request: looks like a secret"
)
QUOTA = errors.ForbiddenError(403, "Forbidden", "exceeded quota: q, requested: configmaps=1")
TOO_LARGE = errors.of(413, "RequestEntityTooLarge", "limit is 3145728")
BROKEN = errors.of(500, "InternalError", "failed calling webhook: EOF")
WEBHOOK = "admission webhook 'scanner' denied the request: looks like a secret"
SILENT = errors.of(0, "NoAnswer", "TimeoutError: a webhook took longer than a write may")
REFUSALS = (
    DENIED,
    QUOTA,
    TOO_LARGE,
    BROKEN,
    *(errors.of(code, "", WEBHOOK) for code in (400, 401, 404, 405, 409, 410, 418, 429, 503, 504)),
    SILENT,
)
"""A webhook denies with any code that it likes, or answers too late."""

Rule = Callable[[Ref, Body | None, dict[str, str]], errors.ApiError | None]
"""Of an object's place, what is there and what would be."""


def word(text: str, error: errors.ApiError = DENIED, kinds: Container[str] = ("ConfigMap", "Secret")) -> Rule:
    """Refuses objects that have a word in their data."""
    return lambda ref, before, data: (
        error if ref.kind in kinds and any(text in value for value in data.values()) else None
    )


def new_objects(*names: str, error: errors.ApiError = QUOTA) -> Rule:
    """Refuses to make more objects, or those of certain names."""
    return lambda ref, before, data: error if before is None and (not names or ref.name in names) else None


def named(name: str, error: errors.ApiError = DENIED) -> Rule:
    """Refuses every write of an object."""
    return lambda ref, before, data: error if ref.name == name else None


WRITES = ("create", "apply", "merge_patch", "replace_status", "delete")
FAILURES = ((503, "x", "x"), (409, "x", "x"), (0, "x", "x"), (403, "x", "x"))


class Flaky(WriteGuard):
    """Any write may fail, before or after it has taken effect, until ``calm``."""

    def __init__(self, cluster: Cluster, chance: random.Random) -> None:
        super().__init__(cluster.memory, lambda: True)
        self.chance, self.calm = chance, False

    def wrote(self, resource: Resource, answer: Body | None) -> None:
        """Something was written, and the API server answers with this."""

    def __getattribute__(self, name: str) -> Any:
        call = super().__getattribute__(name)
        if name not in WRITES:
            return call

        async def one(resource: Resource, *args: Any, **options: Any) -> Any:
            luck = 1.0 if self.calm else self.chance.random()
            for _ in range(self.chance.choice([0, 0, 3])):
                await asyncio.sleep(0)
            if luck < 0.06:
                taken_for_good = resource is EVENTS  # an Event that is forbidden is not tried again
                raise errors.of(*self.chance.choice(FAILURES[: 3 if taken_for_good else 4]))
            answer = await call(resource, *args, **options)
            self.wrote(resource, answer)
            if luck > 0.95 and not self.calm:
                raise errors.UnavailableError(0, "NoAnswer", "the answer was lost")
            return answer

        return one


class Refusing(WriteGuard):
    """``rules`` may be changed at any time; ``refused`` counts."""

    def __init__(self, cluster: Cluster, *rules: Rule) -> None:
        super().__init__(cluster.memory, lambda: True)
        self._cluster, self.rules, self.refused = cluster, list(rules), 0

    async def apply(
        self, resource: Resource, body: Body, *, force: bool = True, subresource: str = ""
    ) -> Body:
        if resource in (CONFIG_MAPS, SECRETS):
            meta = body["metadata"]
            ref = Ref(resource.kind, meta["namespace"], meta["name"])
            before = self._cluster.find(resource, ref.name, ref.namespace)
            data = dict(body.get("data") or {})
            if resource is SECRETS:
                data = {name: base64.b64decode(text).decode() for name, text in data.items()}
            for rule in self.rules:
                error = rule(ref, before, data)
                if error is not None:
                    self.refused += 1
                    raise error
        return await super().apply(resource, body, force=force, subresource=subresource)


class Denying(WriteGuard):
    """Refuses ``verbs`` on the objects of one kind whose name matches a glob, for as long as there is an ``error``;
    ``refused`` counts."""

    def __init__(
        self,
        cluster: Cluster,
        resource: Resource,
        verbs: str,
        names: str = "*",
        *,
        error: errors.ApiError | None = DENIED,
    ) -> None:
        super().__init__(cluster.memory, lambda: True)
        self.resource, self.verbs, self.names = resource, verbs.split(), names
        self.error, self.refused = error, 0

    def _deny(self, verb: str, resource: Resource, name: str) -> None:
        if (
            self.error is not None
            and verb in self.verbs
            and resource is self.resource
            and fnmatch(name, self.names)
        ):
            self.refused += 1
            raise self.error

    async def get(self, resource: Resource, namespace: str | None, name: str) -> Body:
        self._deny("get", resource, name)
        return await super().get(resource, namespace, name)

    async def create(self, resource: Resource, body: Body) -> Body:
        self._deny("create", resource, body["metadata"]["name"])
        return await super().create(resource, body)

    async def apply(
        self, resource: Resource, body: Body, *, force: bool = True, subresource: str = ""
    ) -> Body:
        self._deny("apply", resource, body["metadata"]["name"])
        return await super().apply(resource, body, force=force, subresource=subresource)

    async def merge_patch(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        patch: Mapping[str, Any],
        *,
        subresource: str = "",
    ) -> Body:
        self._deny("patch", resource, name)
        return await super().merge_patch(resource, namespace, name, patch, subresource=subresource)

    async def replace_status(
        self, resource: Resource, namespace: str | None, name: str, status: Body, *, version: str
    ) -> Body:
        self._deny("status", resource, name)
        return await super().replace_status(resource, namespace, name, status, version=version)

    async def delete(
        self, resource: Resource, namespace: str | None, name: str, *, uid: str = "", version: str = ""
    ) -> None:
        self._deny("delete", resource, name)
        await super().delete(resource, namespace, name, uid=uid, version=version)
