"""An API server in memory: the port without a cluster, for tests and offline tools that run the real engine.

It keeps to what the engine relies on: one resourceVersion for every change, consistent paged lists, watches that
resume from any version not yet compacted away, optimistic locking, a status apart from the rest, and server-side
apply with ownership by leaf field of the one manager there is. It validates nothing: what the CRDs refuse, it takes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

import msgspec

from trimtab.kube import errors
from trimtab.kube.fields import Path, assign, cut, leaves, merged_with
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
"""When the kinds were created that every server in memory has: before all objects."""
KINDS = (CONFIG_TEMPLATES, USER_PREFERENCES, POLICY_ROLLOUTS, ROLLOUT_ACTIONS, RENDERED_GROUPS)
_encode = msgspec.json.encode
_SERVER_FIELDS = ("uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp")


class Write(NamedTuple):
    """One write that changed something."""

    verb: str
    kind: str
    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class _Change:
    """One entry of the log that watches read; ``before`` or ``after`` is None where there was, or is, nothing."""

    version: int
    resource: Resource
    before: Body | None
    after: Body | None

    def within(self, namespace: str | None) -> bool:
        """Whether a watch of that namespace hears of it; everybody hears bookmarks."""
        body = self.after or self.before
        return not namespace or body is None or body["metadata"].get("namespace") == namespace


@dataclass(slots=True)
class _Stored:
    body: Body
    owned: set[Path] = field(default_factory=set)
    """The leaf fields that the last apply set."""


class Memory:
    """Implements :class:`trimtab.kube.port.Api`. ``now`` gives creation times.

    ``writes`` lists every write that changed something; :meth:`put` and :meth:`remove` are other people's.
    With ``streams`` off it is a server that lists in pages alone.
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

    # Other people, and the server's own doings.

    def put(self, resource: Resource, body: Body) -> Body:
        """Create or replace an object whole, its status too if given; a uid and a creation time may be given."""
        meta = body["metadata"]
        place = (meta.get("namespace") or "", meta["name"])
        old = self._of(resource).get(place)
        wanted = {**body}
        if "status" not in body and old is not None and "status" in old.body:
            wanted["status"] = old.body["status"]
        return self._store("put", resource, place, wanted, old)

    def remove(self, resource: Resource, namespace: str, name: str) -> None:
        """:raises NotFoundError: it is not there."""
        self._drop("remove", resource, (namespace, name))

    def uninstall(self, kind: Resource) -> None:
        """Delete a kind: first it is terminating, then its objects go, then it does."""
        place = ("", _crd(kind))
        body = _copy(self._find(CUSTOM_RESOURCE_DEFINITIONS, place).body)
        body["metadata"]["deletionTimestamp"] = self._now()
        self._of(CUSTOM_RESOURCE_DEFINITIONS)[place] = _Stored(body)
        for where in list(self._of(kind)):
            self.remove(kind, *where)

    def uninstalled(self, kind: Resource) -> None:
        """The kind is gone: the server does not know it any more."""
        self.remove(CUSTOM_RESOURCE_DEFINITIONS, "", _crd(kind))
        self.break_watches()

    def install(self, kind: Resource, created: str, **annotations: str) -> None:
        """Create the kind again, without objects."""
        made = _definition(kind)
        made["metadata"] = {"name": _crd(kind), "creationTimestamp": created, "annotations": annotations}
        self.put(CUSTOM_RESOURCE_DEFINITIONS, made)

    def objects(self, resource: Resource) -> list[Body]:
        """Copies of all objects of a kind, by namespace and name."""
        return [_copy(stored.body) for _, stored in sorted(self._of(resource).items())]

    def bookmark(self, resource: Resource) -> None:
        """Tell every watch of this kind the present version."""
        self.version += 1
        self._append(_Change(self.version, resource, None, None))

    def compact(self) -> None:
        """Forget the past: watches and lists from before now answer 410."""
        self._compacted = self.version + 1
        self.version += 1
        self._log.clear()
        self._wake()

    def break_watches(self) -> None:
        """Every open watch ends with a broken connection."""
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
        found = [
            stored.body
            for (where, _), stored in sorted(self._of(resource).items())
            if (not namespace or where == namespace) and _selected(stored.body, selector)
        ]
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
            if epoch != self._epoch:
                raise errors.UnavailableError(0, "WatchBroken", "the connection was lost")
            if position < self._compacted:
                raise errors.GoneError(410, "Expired", "too old resource version")
            for change in [c for c in self._log if c.version > position]:
                position = change.version
                kind, body = ("", None)
                if change.resource == resource and change.within(namespace):
                    kind, body = _event(change, selector)
                if body is not None:
                    yield Event(kind, msgspec.json.decode(_encode(body), type=item))
            changed = self._changed
            if self._log and self._log[-1].version > position:
                continue
            rest = until - asyncio.get_running_loop().time()
            if rest <= 0:
                return
            try:
                async with asyncio.timeout(rest):  # wait_for of Python 3.11 may swallow a cancellation
                    await changed.wait()
            except TimeoutError:
                return

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
        found = [
            stored
            for (where, _), stored in sorted(self._of(resource).items())
            if (not namespace or where == namespace) and _selected(stored.body, selector)
        ]
        for stored in found:
            yield Event("ADDED", msgspec.json.decode(_encode(stored.body), type=item))
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
        _check_version(meta.get("resourceVersion"), old)
        wanted = dict(leaves(_applied(body, subresource)))
        before = {} if old is None else dict(leaves(old.body))
        owned = set() if old is None else old.owned
        rivals = [p for p in wanted if p in before and p not in owned and before[p] != wanted[p]]
        if rivals and not force:
            raise errors.ConflictError(409, "Conflict", f"another manager owns {'.'.join(rivals[0])}")
        made = _copy(old.body) if old is not None else {"metadata": {}}
        for path in owned - wanted.keys():
            cut(made, path)
        for path, value in wanted.items():
            assign(made, path, value)
        if old is not None:
            _check_locked(old.body, made)
        answer = self._store("apply", resource, place, made, old)
        self._find(resource, place).owned = set(wanted)
        return answer

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
        _check_version((patch.get("metadata") or {}).get("resourceVersion"), old)
        merged: Body = merged_with(old.body, _applied(patch, subresource))
        _check_locked(old.body, merged)
        return self._store("patch", resource, (namespace or "", name), merged, old)

    async def replace_status(
        self, resource: Resource, namespace: str | None, name: str, status: Body, *, version: str
    ) -> Body:
        await asyncio.sleep(0)
        old = self._find(resource, (namespace or "", name))
        _check_version(version, old)
        return self._store("status", resource, (namespace or "", name), {**old.body, "status": status}, old)

    async def delete(
        self, resource: Resource, namespace: str | None, name: str, *, uid: str = "", version: str = ""
    ) -> None:
        await asyncio.sleep(0)
        old = self._find(resource, (namespace or "", name))
        if uid and uid != old.body["metadata"]["uid"]:
            raise errors.ConflictError(409, "Conflict", "the uid in the precondition is another object's")
        _check_version(version, old)
        self._drop("delete", resource, (namespace or "", name))

    # The store.

    def _of(self, resource: Resource) -> dict[Place, _Stored]:
        return self._stored.setdefault(resource, {})

    def _check_known(self, resource: Resource) -> None:
        if resource.group == GROUP and ("", _crd(resource)) not in self._of(CUSTOM_RESOURCE_DEFINITIONS):
            raise errors.NotFoundError(404, "NotFound", "the server could not find the requested resource")

    def _find(self, resource: Resource, place: Place) -> _Stored:
        found = self._of(resource).get(place)
        if found is None:
            raise errors.NotFoundError(404, "NotFound", f"{resource.plural} {place[1]} not found")
        return found

    def _store(self, verb: str, resource: Resource, place: Place, body: Body, old: _Stored | None) -> Body:
        """Put a body in place, under a new version if that changes anything."""
        namespace, name = place
        self._check_known(resource)
        if resource.namespaced and ("", namespace) not in self._of(NAMESPACES):
            raise errors.NotFoundError(404, "NotFound", f"namespaces {namespace!r} not found")
        body = _copy(body)
        given = body["metadata"]
        known = old.body["metadata"] if old is not None else {}
        meta = {k: v for k, v in given.items() if k not in _SERVER_FIELDS and v not in (None, {})}
        kept = {k: v for k, v in body.items() if v or k not in ("data", "binaryData")}
        made = {**kept, "apiVersion": resource.api_version, "kind": resource.kind}
        made["metadata"] = meta | {
            "name": name,
            **({"namespace": namespace} if resource.namespaced else {}),
            "uid": known.get("uid") or given.get("uid") or f"uid-{self.version + 1:08d}",
            "creationTimestamp": known.get("creationTimestamp")
            or given.get("creationTimestamp")
            or self._now(),
            "resourceVersion": known.get("resourceVersion", ""),
            "generation": known.get("generation", 1),
        }
        if old is not None and made == old.body:
            return _copy(made)
        if old is not None and resource.group in (GROUP, "apps") and made.get("spec") != old.body.get("spec"):
            made["metadata"]["generation"] += 1
        self.version += 1
        made["metadata"]["resourceVersion"] = str(self.version)
        self._of(resource)[place] = _Stored(made, old.owned if old is not None else set())
        self._record(verb, resource, place, old.body if old is not None else None, made)
        return _copy(made)

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


def _check_version(version: str | None, old: _Stored | None) -> None:
    if version and (old is None or old.body["metadata"]["resourceVersion"] != version):
        raise errors.ConflictError(
            409, "Conflict", "the object has been modified; apply to the latest version"
        )


def _check_locked(old: Body, new: Body) -> None:
    """What the API server lets nobody change: an immutable object's data, and the type of a Secret."""
    fields = ("data", "binaryData", "immutable", "type") if old.get("immutable") else ("type",)
    changed = [name for name in fields if (old.get(name) or None) != (new.get(name) or None)]
    if old.get("kind") in ("ConfigMap", "Secret") and changed:
        raise errors.InvalidError(422, "Invalid", f"{changed[0]}: field is immutable")


def _applied(body: Mapping[str, Any], subresource: str) -> Body:
    """The part of a request that its endpoint takes: the status' endpoint only the status, the other all but it."""
    made = {k: v for k, v in body.items() if (k == "status") == (subresource == "status") or k == "metadata"}
    meta = {
        k: v for k, v in body.get("metadata", {}).items() if k not in (*_SERVER_FIELDS, "name", "namespace")
    }
    return {**made, "metadata": meta if not subresource else {}}


def _event(change: _Change, selector: str) -> tuple[str, Body | None]:
    """What a watch says of a change: to its selector, an object that stops matching is deleted."""
    if change.before is None and change.after is None:
        return "BOOKMARK", {"metadata": {"resourceVersion": str(change.version)}}
    was = change.before is not None and _selected(change.before, selector)
    if change.after is not None and _selected(change.after, selector):
        return ("MODIFIED" if was else "ADDED"), change.after
    if not was or change.before is None:
        return "", None
    last = change.after or change.before
    return "DELETED", {**last, "metadata": {**last["metadata"], "resourceVersion": str(change.version)}}


def _selected(body: Body, selector: str) -> bool:
    """Equality-based selectors alone: ``a=b,c=d``."""
    labels = body["metadata"].get("labels") or {}
    pairs = (term.split("=", 1) for term in selector.split(",") if term)
    return all(labels.get(name) == value for name, value in pairs)
