"""An API server in memory: the port without a cluster, for tests and walks that run the engine.

It does what the engine relies on: a new resourceVersion for each change, consistent paged lists, watches that resume
from any version that is not compacted, optimistic locking, a status subresource, and server-side apply with ownership
by leaf field for a single manager. It validates nothing: it accepts what the CRDs refuse.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, NamedTuple, TypeVar

import msgspec

from support.object_rules import (
    applied,
    check_immutable,
    check_version,
    is_new_generation,
    is_selected,
    requested,
    selected_or_none,
    stored,
)
from trimtab.kube import errors
from trimtab.kube.fields import Path, merged_with
from trimtab.kube.port import Body, Event, Page
from trimtab.kube.resources import (
    CONFIG_TEMPLATES,
    CUSTOM_RESOURCE_DEFINITIONS,
    GROUP,
    NAMESPACES,
    POLICY_ROLLOUTS,
    RENDERED_GROUPS,
    ROLLOUT_ACTIONS,
    USER_PREFERENCES,
    Resource,
)

T = TypeVar("T")
Place = tuple[str, str]

EPOCH = "2026-01-01T00:00:00Z"
INSTALLED = "1970-01-01T00:00:00Z"
"""When the kinds that every server in memory has were created: before all objects."""
KINDS = (CONFIG_TEMPLATES, USER_PREFERENCES, POLICY_ROLLOUTS, ROLLOUT_ACTIONS, RENDERED_GROUPS)
_encode = msgspec.json.encode


class Write(NamedTuple):
    """One write that changed something."""

    verb: str
    kind: str
    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class _Change:
    """One entry of the log that watches read. ``before`` is None for a new object, ``after`` for a deleted one."""

    version: int
    resource: Resource
    before: Body | None
    after: Body | None

    def event(self, namespace: str | None, selector: str) -> tuple[str, Body] | None:
        """The event of a watch, for which an object that is no longer selected is deleted. None: there is none."""
        if self.before is None and self.after is None:
            return "BOOKMARK", {"metadata": {"resourceVersion": str(self.version)}}
        before = selected_or_none(self.before, namespace, selector)
        after = selected_or_none(self.after, namespace, selector)
        if after is not None:
            return ("ADDED" if before is None else "MODIFIED"), after
        if before is None:
            return None
        last = self.after or before
        return "DELETED", {**last, "metadata": {**last["metadata"], "resourceVersion": str(self.version)}}


@dataclass(slots=True)
class _Stored:
    body: Body
    owned: set[Path] = field(default_factory=set)
    """The leaf fields that the last apply set."""


class Memory:
    """Implements :class:`trimtab.kube.port.Api`. ``now`` returns creation times.

    ``writes`` lists all writes through the port that changed an object; :meth:`put` and :meth:`remove` simulate other
    clients. With ``streams`` off, the server supports only paged lists.
    """

    def __init__(self, now: Callable[[], str] = lambda: EPOCH) -> None:
        self.version = 0
        self.writes: list[Write] = []
        self.streams = True
        self._now = now
        self._stored: dict[Resource, dict[Place, _Stored]] = {
            CUSTOM_RESOURCE_DEFINITIONS: {("", _crd(kind)): _Stored(_definition(kind)) for kind in KINDS}
        }
        self._log: list[_Change] = []
        self._compacted = 0
        self._epoch = 0
        self._changed = asyncio.Event()

    # Other clients, and the server itself.

    def put(self, resource: Resource, body: Body) -> Body:
        """Create or replace an object, and its status if given. May set the uid and the creation time."""
        meta = body["metadata"]
        place = (meta.get("namespace") or "", meta["name"])
        old = self._of(resource).get(place)
        desired = {**body}
        if "status" not in body and old is not None and "status" in old.body:
            desired["status"] = old.body["status"]
        return self._store("put", resource, place, desired, old)

    def remove(self, resource: Resource, namespace: str, name: str) -> None:
        """:raises NotFoundError: the object does not exist."""
        self._drop("remove", resource, (namespace, name))

    def uninstall(self, kind: Resource) -> None:
        """Delete a kind: it becomes terminating, and its objects are deleted."""
        place = ("", _crd(kind))
        body = _copy(self._find(CUSTOM_RESOURCE_DEFINITIONS, place).body)
        body["metadata"]["deletionTimestamp"] = self._now()
        self._of(CUSTOM_RESOURCE_DEFINITIONS)[place] = _Stored(body)
        for where in list(self._of(kind)):
            self.remove(kind, *where)

    def uninstalled(self, kind: Resource) -> None:
        """The kind no longer exists."""
        self.remove(CUSTOM_RESOURCE_DEFINITIONS, "", _crd(kind))
        self.break_watches()

    def install(self, kind: Resource, created: str, **annotations: str) -> None:
        """Recreate the kind, without objects."""
        definition = _definition(kind)
        definition["metadata"] = {
            "name": _crd(kind),
            "creationTimestamp": created,
            "annotations": annotations,
        }
        self.put(CUSTOM_RESOURCE_DEFINITIONS, definition)

    def objects(self, resource: Resource) -> list[Body]:
        """Copies of all objects of a kind, by namespace and name."""
        return [_copy(body) for body in self._selected(resource)]

    def bookmark(self, resource: Resource) -> None:
        """Send the current version to every watch of this kind."""
        self.version += 1
        self._append(_Change(self.version, resource, None, None))

    def compact(self) -> None:
        """Drop the log: watches and lists of earlier versions get a 410."""
        self._compacted = self.version + 1
        self.version += 1
        self._log.clear()
        self._wake()

    def break_watches(self) -> None:
        """End every open watch as a broken connection does."""
        self._epoch += 1
        self._wake()

    # Reading.

    async def pages(
        self,
        resource: Resource,
        item: type[T],
        *,
        namespace: str | None = None,
        selector: str = "",
        limit: int = 500,
    ) -> AsyncIterator[Page[T]]:
        """A consistent list in chunks. :raises GoneError: compacted between two chunks."""
        self._check_known(resource)
        version = self.version
        found = self._selected(resource, namespace, selector)
        for start in range(0, max(1, len(found)), limit):
            await asyncio.sleep(0)
            if start and self._compacted > version:
                raise errors.GoneError(410, "Expired", "the continue token is too old")
            more = str(start + limit) if start + limit < len(found) else ""
            chunk = {
                "metadata": {"resourceVersion": str(version), "continue": more},
                "items": found[start : start + limit],
            }
            yield msgspec.json.decode(_encode(chunk), type=Page[item])  # type: ignore[valid-type]

    async def watch(
        self,
        resource: Resource,
        item: type[T],
        *,
        version: str,
        namespace: str | None = None,
        selector: str = "",
        timeout: int = 300,
    ) -> AsyncIterator[Event[T]]:
        """Events after ``version`` for ``timeout`` seconds. :raises GoneError: ``version`` is compacted."""
        self._check_known(resource)
        position, epoch = int(version or 0), self._epoch
        until = asyncio.get_running_loop().time() + timeout
        while True:
            self._check_watch(epoch, position)
            for change in self._changes_after(position):
                position = change.version
                event = change.event(namespace, selector) if change.resource == resource else None
                if event is not None:
                    yield Event(event[0], msgspec.json.decode(_encode(event[1]), type=item))
            latest = self._log[-1].version if self._log else 0
            if latest <= position and not await self._change_until(until):
                return

    def _changes_after(self, version: int) -> list[_Change]:
        return [change for change in self._log if change.version > version]

    def _check_watch(self, epoch: int, position: int) -> None:
        if epoch != self._epoch:
            raise errors.UnavailableError(0, "WatchBroken", "the connection was lost")
        if position < self._compacted:
            raise errors.GoneError(410, "Expired", "too old resource version")

    async def _change_until(self, deadline: float) -> bool:
        """Waits for the next change; False if there is none."""
        try:
            async with asyncio.timeout_at(deadline):  # wait_for of Python 3.11 may swallow a cancellation
                await self._changed.wait()
        except TimeoutError:
            return False
        return True

    async def stream(
        self,
        resource: Resource,
        item: type[T],
        *,
        namespace: str | None = None,
        selector: str = "",
        timeout: int = 300,
    ) -> AsyncIterator[Event[T]]:
        """:raises InvalidError: ``streams`` is off."""
        self._check_known(resource)
        if not self.streams:
            raise errors.InvalidError(422, "Invalid", "sendInitialEvents is forbidden")
        version = self.version
        for body in self._selected(resource, namespace, selector):
            yield Event("ADDED", msgspec.json.decode(_encode(body), type=item))
        synced = {"metadata": {"resourceVersion": str(version)}}
        yield Event("SYNCED", msgspec.json.decode(_encode(synced), type=item))
        async for event in self.watch(
            resource, item, version=str(version), namespace=namespace, selector=selector, timeout=timeout
        ):
            yield event

    async def get(self, resource: Resource, namespace: str | None, name: str) -> Body:
        await asyncio.sleep(0)
        return _copy(self._find(resource, (namespace or "", name)).body)

    # Writing.

    async def create(self, resource: Resource, body: Body) -> Body:
        await asyncio.sleep(0)
        meta = body["metadata"]
        place = (meta.get("namespace") or "", meta["name"])
        if place in self._of(resource):
            raise errors.ConflictError(409, "AlreadyExists", f"{resource.plural} {place[1]} already exists")
        return self._store("create", resource, place, {k: v for k, v in body.items() if k != "status"}, None)

    async def apply(
        self, resource: Resource, body: Body, *, force: bool = True, subresource: str = ""
    ) -> Body:
        await asyncio.sleep(0)
        meta = body["metadata"]
        place = (meta.get("namespace") or "", meta["name"])
        old = self._of(resource).get(place)
        body_before = None if old is None else old.body
        check_version(meta.get("resourceVersion"), body_before)
        result = _copy(body_before) if body_before is not None else {"metadata": {}}
        owned = set() if old is None else old.owned
        owned = applied(result, owned, requested(body, subresource), force=force)
        if body_before is not None:
            check_immutable(body_before, result)
        response = self._store("apply", resource, place, result, old)
        self._find(resource, place).owned = owned
        return response

    async def merge_patch(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        patch: Mapping[str, Any],
        *,
        subresource: str = "",
    ) -> Body:
        await asyncio.sleep(0)
        old = self._find(resource, (namespace or "", name))
        check_version((patch.get("metadata") or {}).get("resourceVersion"), old.body)
        merged: Body = merged_with(old.body, requested(patch, subresource))
        check_immutable(old.body, merged)
        return self._store("patch", resource, (namespace or "", name), merged, old)

    async def replace_status(
        self, resource: Resource, namespace: str | None, name: str, status: Body, *, version: str
    ) -> Body:
        await asyncio.sleep(0)
        old = self._find(resource, (namespace or "", name))
        check_version(version, old.body)
        return self._store("status", resource, (namespace or "", name), {**old.body, "status": status}, old)

    async def delete(
        self, resource: Resource, namespace: str | None, name: str, *, uid: str = "", version: str = ""
    ) -> None:
        await asyncio.sleep(0)
        old = self._find(resource, (namespace or "", name))
        if uid and uid != old.body["metadata"]["uid"]:
            raise errors.ConflictError(409, "Conflict", "the uid in the precondition is another object's")
        check_version(version, old.body)
        self._drop("delete", resource, (namespace or "", name))

    # The store.

    def _of(self, resource: Resource) -> dict[Place, _Stored]:
        return self._stored.setdefault(resource, {})

    def _selected(self, resource: Resource, namespace: str | None = None, selector: str = "") -> list[Body]:
        """All objects of a kind, by namespace and name."""
        found = (entry.body for _, entry in sorted(self._of(resource).items(), key=itemgetter(0)))
        return [body for body in found if is_selected(body, namespace, selector)]

    def _check_known(self, resource: Resource) -> None:
        if resource.group == GROUP and ("", _crd(resource)) not in self._of(CUSTOM_RESOURCE_DEFINITIONS):
            raise errors.NotFoundError(404, "NotFound", "the server could not find the requested resource")

    def _find(self, resource: Resource, place: Place) -> _Stored:
        found = self._of(resource).get(place)
        if found is None:
            raise errors.NotFoundError(404, "NotFound", f"{resource.plural} {place[1]} not found")
        return found

    def _store(self, verb: str, resource: Resource, place: Place, body: Body, old: _Stored | None) -> Body:
        """Store a body, under a new version if that changes the object."""
        namespace, name = place
        self._check_known(resource)
        if resource.namespaced and ("", namespace) not in self._of(NAMESPACES):
            raise errors.NotFoundError(404, "NotFound", f"namespaces {namespace!r} not found")
        body = _copy(body)
        body["metadata"] |= {"name": name, **({"namespace": namespace} if resource.namespaced else {})}
        before = old.body if old is not None else None
        after = stored(resource, body, before, uid=f"uid-{self.version + 1:08d}", now=self._now())
        if after == before:
            return _copy(after)
        if is_new_generation(resource, before, after):
            after["metadata"]["generation"] += 1
        self.version += 1
        after["metadata"]["resourceVersion"] = str(self.version)
        self._of(resource)[place] = _Stored(after, old.owned if old is not None else set())
        self._record(verb, resource, place, before, after)
        return _copy(after)

    def _drop(self, verb: str, resource: Resource, place: Place) -> None:
        old = self._find(resource, place)
        del self._of(resource)[place]
        self.version += 1
        self._record(verb, resource, place, old.body, None)

    def _record(
        self, verb: str, resource: Resource, place: Place, before: Body | None, after: Body | None
    ) -> None:
        if verb not in ("put", "remove"):
            self.writes.append(Write(verb, resource.kind, *place))
        self._append(_Change(self.version, resource, before, after))

    def _append(self, change: _Change) -> None:
        self._log.append(change)
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def _crd(kind: Resource) -> str:
    return f"{kind.plural}.{kind.group}"


def _definition(kind: Resource) -> Body:
    meta = {"name": _crd(kind), "uid": f"uid-{kind.plural}", "creationTimestamp": INSTALLED}
    return {"metadata": meta, "status": {"conditions": [{"type": "Established", "status": "True"}]}}


def _copy(body: Body) -> Body:
    copied: Body = msgspec.json.decode(_encode(body))
    return copied
