"""An API server in memory, as far as the engine's writes need one: so that offline means the same code, not a copy."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, TypeVar

from trimtab.kube import errors
from trimtab.kube.port import Body, Event, Page
from trimtab.kube.resources import Resource

T = TypeVar("T")
_Key = tuple[str, str, str]


class Memory:
    """Implements :class:`trimtab.kube.port.Api` over a dict; ``objects`` by plural, namespace and name."""

    def __init__(self) -> None:
        self.objects: dict[_Key, Body] = {}
        self._version = 0

    def put(self, resource: Resource, body: Body) -> Body:
        """Store an object as it is, under a new version."""
        self._version += 1
        meta = body["metadata"]
        key = (resource.plural, meta.get("namespace") or "", meta["name"])
        uid = meta.get("uid") or f"uid-{self._version}"
        kept = {
            "apiVersion": resource.api_version,
            "kind": resource.kind,
            **body,
            "metadata": {"generation": 1, **meta, "uid": uid, "resourceVersion": str(self._version)},
        }
        self.objects[key] = kept
        return kept

    async def get(self, resource: Resource, namespace: str | None, name: str) -> Body:
        found = self.objects.get((resource.plural, namespace or "", name))
        if found is None:
            raise errors.NotFoundError(404, "NotFound", f"{resource.plural} {name!r} not found")
        return found

    async def create(self, resource: Resource, body: Body) -> Body:
        meta = body["metadata"]
        if (resource.plural, meta.get("namespace") or "", meta["name"]) in self.objects:
            raise errors.ConflictError(409, "AlreadyExists", f"{resource.plural} {meta['name']!r} exists")
        return self.put(resource, body)

    async def apply(
        self, resource: Resource, body: Body, *, force: bool = True, subresource: str = ""
    ) -> Body:
        meta = body["metadata"]
        old = self.objects.get((resource.plural, meta.get("namespace") or "", meta["name"]), {})
        kept = {name: value for name, value in old.items() if name == "status"}
        return self.put(resource, {**kept, **body, "metadata": {**old.get("metadata", {}), **meta}})

    async def merge_patch(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        patch: Mapping[str, Any],
        *,
        subresource: str = "",
    ) -> Body:
        found = await self.get(resource, namespace, name)
        return self.put(resource, _merged(found, patch))

    async def replace_status(
        self, resource: Resource, namespace: str | None, name: str, status: Body, *, version: str
    ) -> Body:
        found = await self.get(resource, namespace, name)
        return self.put(resource, {**found, "status": status})

    async def delete(
        self, resource: Resource, namespace: str | None, name: str, *, uid: str = "", version: str = ""
    ) -> None:
        await self.get(resource, namespace, name)
        del self.objects[resource.plural, namespace or "", name]

    def pages(
        self,
        resource: Resource,
        item: type[T],
        *,
        namespace: str | None = None,
        selector: str = "",
        limit: int = 500,
    ) -> AsyncIterator[Page[T]]:
        raise NotImplementedError("stores are filled by hand here")

    def watch(
        self, resource: Resource, item: type[T], *, version: str, selector: str = "", timeout: int = 300
    ) -> AsyncIterator[Event[T]]:
        raise NotImplementedError("nothing changes here")


def _merged(old: Mapping[str, Any], patch: Mapping[str, Any]) -> Body:
    made = dict(old)
    for name, value in patch.items():
        if value is None:
            made.pop(name, None)
        elif isinstance(value, Mapping) and isinstance(made.get(name), Mapping):
            made[name] = _merged(made[name], value)
        else:
            made[name] = value
    return made
