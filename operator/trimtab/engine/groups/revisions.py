"""RenderedGroups: which revision each group is on. The pointer is written before anything that follows from it."""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from trimtab.api.rendered_group import Operation
from trimtab.core import naming, reasons
from trimtab.core.objects import AnyObject
from trimtab.core.refs import GroupKey, TemplateKey
from trimtab.core.resolve.content import CompiledContent, Components
from trimtab.core.status import UNKNOWN, Verdict, conditions
from trimtab.engine.store.cluster_state import ClusterState
from trimtab.engine.store.ownership import Ownership
from trimtab.kube import errors
from trimtab.kube.bodies import as_json
from trimtab.kube.port import Api, Body
from trimtab.kube.resources import RENDERED_GROUPS

log = logging.getLogger(__name__)

_REVISION = re.compile(r"[0-9]{1,9}")
REVISIONS_BYTES = 512 * 1024
"""Of all revisions that a RenderedGroup lists, each of which names its policies: etcd takes that and the rest."""
FAILED_LISTED = 20
"""More of one revision the CRD does not take: the write, which is a rollback's, would be refused for good."""
Entry = dict[str, Any]
"""One revision as a RenderedGroup lists it."""


@dataclass(frozen=True, slots=True)
class Pointers:
    """Reads and moves the pointers. ``now`` gives RFC 3339 text."""

    api: Api
    cluster: ClusterState
    now: Callable[[], str]
    origins: Ownership

    def rendered_group(self, key: GroupKey) -> AnyObject | None:
        """The group's RenderedGroup, unless an object of its name is about another group."""
        return self.cluster.rendered_group(key)

    def current(self, key: GroupKey) -> Entry | None:
        """The entry of the group's current revision: number, snapshot, ..."""
        item = self.rendered_group(key)
        return None if item is None else _entry(item, item.status.get("currentRevision"))

    def stable(self, key: GroupKey) -> Entry | None:
        """The entry of the revision that went well last; of the current one where none has yet."""
        item = self.rendered_group(key)
        stable = None if item is None else _entry(item, item.status.get("stableRevision"))
        return stable or self.current(key)

    def shared(self, key: GroupKey) -> Entry | None:
        """The entry of the revision that a share of the group's users are on."""
        item = self.rendered_group(key)
        share = item.status.get("share") if item is not None else None
        return None if item is None or not share else _entry(item, share.get("revision"))

    def share(self, key: GroupKey) -> dict[str, Any]:
        """The share of the group's users who are on another revision: revision, percent, first; or empty."""
        item = self.rendered_group(key)
        return (item.status.get("share") or {}) if item is not None else {}

    def percent(self, key: GroupKey) -> int:
        """How many of a hundred users are on another revision than the group's own."""
        return int(self.share(key).get("percent") or 0)

    def operation(self, key: GroupKey) -> dict[str, Any]:
        """The rollout that moved the group last: kind, name, uid, epoch, back; or empty."""
        item = self.rendered_group(key)
        return (item.status.get("operation") or {}) if item is not None else {}

    def is_stamped(self, key: GroupKey, operation: Operation) -> bool:
        """Whether the group says that this very operation has moved it."""
        return self.operation(key) == _stamp(operation)

    async def move(
        self,
        key: GroupKey,
        served: CompiledContent,
        share: tuple[CompiledContent, int, str] | None = None,
        operation: Operation | None = None,
        stable: Components | None = None,
    ) -> None:
        """Put the group on ``served``, and ``share`` (content, percent, first user) of its users on something else.

        If it is on ``stable`` up to now, that is its stable revision: one rollout may start in the very moment in which
        another one succeeds.

        Content that the group's list has already is that revision again; anything else is a new one. Whoever leads
        to a revision is kept with it; a way back makes nothing, so what it returns to stays as it was.

        :raises trimtab.kube.errors.ConflictError: somebody else moved it, or this move is of an older epoch of its
            rollout; what is there now is in the store.
        """
        item = self.rendered_group(key) or await self._create(key)
        self._refuse_stale(item, operation)
        now = _entry(item, item.status.get("currentRevision"))
        before = components_of(now) if now else None
        listed = [dict(each) for each in item.status.get("revisions") or ()]
        if operation is not None and operation.failed is not None:
            _mark_failed(listed, operation.failed)
        else:
            for each in (served, *(share[:1] if share is not None else ())):
                _serve(listed, each)
        entry = self._listed(key, listed, served, before, operation)
        other = None if share is None else self._listed(key, listed, share[0], before, operation)
        if before != served.components and not (operation and operation.back):
            self._credit(key, entry, before, operation)
        generation = item.metadata.generation
        verdict = Verdict(UNKNOWN, reasons.PROGRESSING, f"revision {entry['number']} is being written")
        status = {
            **item.status,
            "observedGeneration": generation,
            "conditions": conditions(verdict, generation, self.now(), item.status.get("conditions") or ()),
            "currentRevision": entry["number"],
            "epoch": int(item.status.get("epoch") or 0) + 1,
        }
        if now is not None and before == stable:
            status["stableRevision"] = now["number"]
        for name in ("share", "operation"):
            status.pop(name, None)
        if share is not None and other is not None:
            status["share"] = {"revision": other["number"], "percent": share[1], "first": share[2]}
        if operation is not None:
            status["operation"] = dict(_stamp(operation))
        elif item.status.get("operation"):
            status["operation"] = item.status[
                "operation"
            ]  # what was refused of its older epochs stays refused
        needed = {entry["number"], other and other["number"], status.get("stableRevision")}
        status["revisions"] = bounded(listed, served.schema.spec.revision_history_limit, needed)
        name, version = item.metadata.name, item.metadata.resourceVersion
        try:
            self._take(
                await self.api.replace_status(RENDERED_GROUPS, key.namespace, name, status, version=version)
            )
        except errors.ConflictError:
            self._take(await self.api.get(RENDERED_GROUPS, key.namespace, name))
            raise
        extra = {"group": str(key), "revision": entry["number"], "snapshot": served.snapshot}
        log.info("revision", extra=extra)

    @staticmethod
    def _refuse_stale(item: AnyObject, operation: Operation | None) -> None:
        """A leader that was stopped and goes on must not move what its successor has moved back."""
        last = item.status.get("operation") or {}
        mine = operation is not None and last.get("uid") == operation.uid
        if mine and operation is not None and int(last.get("epoch") or 0) > operation.epoch:
            raise errors.ConflictError(409, "StaleEpoch", f"{item.key} was moved by a newer epoch")

    def _listed(
        self,
        key: GroupKey,
        listed: list[Entry],
        served: CompiledContent,
        before: Components | None,
        operation: Operation | None,
    ) -> Entry:
        """The entry of this content, put on the list if it is not there."""
        found = next((e for e in listed if components_of(e) == served.components), None)
        if found is not None:
            return found
        number = max((int(e["number"]) for e in listed), default=self._rendered_last(key)) + 1
        entry: Entry = {"number": number, "snapshot": served.snapshot}
        if served.refs:
            entry["policies"] = [{"name": name, "snapshot": snapshot} for name, snapshot in served.refs]
        entry["createdAt"] = self.now()
        self._credit(key, entry, before, operation)
        listed.append(entry)
        return entry

    def _credit(
        self, key: GroupKey, entry: Entry, before: Components | None, operation: Operation | None
    ) -> None:
        """Say with the entry what led from ``before`` to it, and why."""
        who = maker(before, components_of(entry), operation)
        entry.pop("by", None)
        entry.update({"reason": self._why(key, who)}, **({"by": who} if who else {}))

    def _why(self, key: GroupKey, who: str | None) -> str:
        kind, _, name = (who or "").partition(" ")
        if kind == "PolicyRollout":
            item = self.cluster.rollouts.get(TemplateKey(key.namespace, name))
            return f"{who} generation {item.metadata.generation}" if item else f"{who} was withdrawn"
        template = self.cluster.templates.get(key.template_key)
        return f"ConfigTemplate generation {template.metadata.generation if template else 0}"

    async def remove(self, key: GroupKey) -> None:
        """Delete the group's RenderedGroup, if there is one."""
        item = self.rendered_group(key)
        if item is None:
            return
        try:
            await self.api.delete(RENDERED_GROUPS, key.namespace, item.metadata.name, uid=item.metadata.uid)
        except errors.NotFoundError:
            log.debug("gone already", extra={"group": str(key)})
        self.cluster.groups.discard(item)

    async def _create(self, key: GroupKey) -> AnyObject:
        name = naming.group_object(key.template, key.group)
        body: Body = {
            "metadata": {"name": name, "namespace": key.namespace, "labels": naming.group_labels(key)},
            "spec": {"templateRef": {"name": key.template}, "group": key.group},
        }
        return self._take(await self.api.apply(RENDERED_GROUPS, body))

    def _rendered_last(self, key: GroupKey) -> int:
        """The highest revision that outputs carry: numbers continue from there if the RenderedGroup is lost."""
        carried = (o.annotations.get(naming.ANNOTATION_REVISION, "") for o in self.origins.proved(key))
        return max((int(text) for text in carried if _REVISION.fullmatch(text)), default=0)

    def _take(self, body: Body) -> AnyObject:
        item = msgspec.convert(body, AnyObject)
        self.cluster.groups.put(item)
        return item


@functools.lru_cache(maxsize=256)  # one rollout asks it of all of its groups
def _stamp(operation: Operation) -> dict[str, Any]:
    return operation.to_dict()


@dataclass(slots=True)
class Listed:
    """The snapshots that revisions of a template's groups list: worked out once for each version of a RenderedGroup."""

    _known: dict[TemplateKey, dict[str, tuple[str, frozenset[str]]]] = field(default_factory=dict)

    def of(self, key: TemplateKey, groups: Iterable[AnyObject]) -> set[str]:
        """The names of those that these groups, which are all that the template has, list."""
        before, now = self._known.pop(key, {}), {}
        for item in groups:
            uid, version = item.metadata.uid, item.metadata.resourceVersion
            known = before.get(uid)
            if known is None or known[0] != version:
                known = version, frozenset(_snapshots(item))
            now[uid] = known
        if now:
            self._known[key] = now
        return set[str]().union(*(names for _, names in now.values()))


def _snapshots(item: AnyObject) -> Iterator[str]:
    for entry in item.status.get("revisions") or ():
        yield entry.get("snapshot", "")
        for policy in entry.get("policies") or ():
            yield policy.get("snapshot", "")


def components_of(entry: Entry) -> Components:
    """What a listed revision is made of."""
    policies = tuple(sorted((p["name"], p["snapshot"]) for p in entry.get("policies") or ()))
    return entry["snapshot"], policies


def _mark_failed(listed: list[Entry], snapshot: str) -> None:
    """A rollback leaves this content."""
    for entry in listed:
        if snapshot in _parts(entry) and snapshot not in entry.get("failed", ()):
            entry["failed"] = [*entry.get("failed", ()), snapshot][-FAILED_LISTED:]


def _serve(listed: list[Entry], served: CompiledContent) -> None:
    """What is served is in quarantine no longer."""
    parts = {served.snapshot, *(snapshot for _, snapshot in served.refs)}
    for entry in listed:
        failed = [snapshot for snapshot in entry.pop("failed", ()) if snapshot not in parts]
        if failed:
            entry["failed"] = failed


def _parts(entry: Entry) -> set[str]:
    template, policies = components_of(entry)
    return {template, *(snapshot for _, snapshot in policies)}


def failed(item: AnyObject, policy: str | None) -> set[str]:
    """The snapshots of a policy, or of the template (None), that a rollback of the group left."""
    found = set[str]()
    for entry in item.status.get("revisions") or ():
        template, policies = components_of(entry)
        part = template if policy is None else dict(policies).get(policy)
        if part is not None and part in entry.get("failed", ()):
            found.add(part)
    return found


def maker(before: Components | None, after: Components, operation: Operation | None) -> str | None:
    """Who leads a group from ``before`` to ``after``, by what differs: the rollout that moves it, or a policy that is
    no longer there. None: a change of a template that does not roll out."""
    moves = f"{operation.kind} {operation.name}" if operation else None
    if before is None or before == after:
        return moves
    if before[0] != after[0]:
        return moves if operation and operation.kind == "ConfigTemplate" else None
    changed = {f"PolicyRollout {name}" for name, _ in set(before[1]) ^ set(after[1])}
    return moves if moves in changed else min(changed)


def _entry(item: AnyObject, number: Any) -> Entry | None:
    return next((r for r in item.status.get("revisions") or () if r["number"] == number), None)


def bounded(listed: list[Entry], limit: int, needed: set[Any]) -> list[Entry]:
    """The newest ``limit`` revisions, newest first, as far as their bytes allow, and those that are needed whatever
    their age."""
    size, kept = 0, []
    for at, entry in enumerate(sorted(listed, key=lambda e: -int(e["number"]))):
        size += len(as_json(entry))
        if entry["number"] in needed or (at < limit and size <= REVISIONS_BYTES):
            kept.append(entry)
    return kept
