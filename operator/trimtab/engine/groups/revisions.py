"""RenderedGroups: which revision each group is on. It is recorded before anything that follows from it is written."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import msgspec

from trimtab.core import naming, reasons
from trimtab.core.objects import AnyObject
from trimtab.core.refs import GroupKey, TemplateKey
from trimtab.core.rollout.revisions import (
    GroupRevisions,
    RevisionSwitch,
    SwitchContext,
    components_of,
    switched,
)
from trimtab.core.rollout.source import POLICY
from trimtab.core.status import UNKNOWN, Verdict, composed
from trimtab.engine.status.writer import StatusWriter
from trimtab.engine.store.cluster_state import ClusterState
from trimtab.engine.store.ownership import Ownership
from trimtab.kube import errors
from trimtab.kube.port import Api, Body
from trimtab.kube.resources import RENDERED_GROUPS

log = logging.getLogger(__name__)

_REVISION = re.compile(r"[0-9]{1,9}")
NONE = GroupRevisions({})


@dataclass(frozen=True, slots=True)
class Revisions:
    """Reads and switches the groups' revisions."""

    api: Api
    cluster: ClusterState
    statuses: StatusWriter
    origins: Ownership

    def of(self, key: GroupKey) -> GroupRevisions:
        """What the group's RenderedGroup records."""
        item = self.cluster.rendered_group(key)
        return GroupRevisions(item.status) if item is not None else NONE

    def of_template(self, key: TemplateKey) -> dict[str, GroupRevisions]:
        """The same of all rendered groups of a template, by name."""
        return {group.group: self.of(group) for group in self.cluster.groups_of(key)}

    async def switch(self, key: GroupKey, switch: RevisionSwitch, limit: int) -> None:
        """Record that the group moves; ``limit`` is its template's revisionHistoryLimit.

        :raises trimtab.kube.errors.ConflictError: another client moved it, or this move is of an older epoch of its
            rollout; the store has the current RenderedGroup.
        """
        item = self.cluster.rendered_group(key) or await self._create(key)
        before = GroupRevisions(item.status)
        if before.is_newer_than(switch.operation):
            raise errors.ConflictError(409, "StaleEpoch", f"{item.key} was moved by a newer epoch")
        last = 0 if before.listed else self._last_rendered(key)
        status = switched(
            before,
            switch,
            SwitchContext(self.statuses.now(), dict(self._generations(key, before, switch)), limit, last),
        )
        number = status["currentRevision"]
        verdict = Verdict(UNKNOWN, reasons.PROGRESSING, f"Writing revision {number}")
        status = composed(status, verdict, item.metadata.generation, self.statuses.now(), {})
        await self.statuses.replace(RENDERED_GROUPS, self.cluster.groups, item, status)
        log.info("revision", extra={"group": str(key), "revision": number, "snapshot": switch.content[0]})

    async def remove(self, key: GroupKey) -> None:
        """Delete the group's RenderedGroup, if there is one."""
        item = self.cluster.rendered_group(key)
        if item is None:
            return
        try:
            await self.api.delete(RENDERED_GROUPS, key.namespace, item.metadata.name, uid=item.metadata.uid)
        except errors.NotFoundError:
            log.debug("The RenderedGroup was deleted already", extra={"group": str(key)})
        self.cluster.groups.discard(item)

    def _generations(
        self, key: GroupKey, before: GroupRevisions, switch: RevisionSwitch
    ) -> Iterator[tuple[str, int]]:
        """The generations of all rollouts that may have led to the switch."""
        template = self.cluster.templates.get(key.template_key)
        if template is not None:
            yield "ConfigTemplate", template.metadata.generation
        current = before.current
        left = {name for name, _ in components_of(current)[1]} if current is not None else set[str]()
        for name in left | switch.policies():
            item = self.cluster.rollouts.get(TemplateKey(key.namespace, name))
            if item is not None:
                yield f"{POLICY} {name}", item.metadata.generation

    async def _create(self, key: GroupKey) -> AnyObject:
        name = naming.group_object(key.template, key.group)
        body: Body = {
            "metadata": {"name": name, "namespace": key.namespace, "labels": naming.group_labels(key)},
            "spec": {"templateRef": {"name": key.template}, "group": key.group},
        }
        return self._put(await self.api.apply(RENDERED_GROUPS, body))

    def _last_rendered(self, key: GroupKey) -> int:
        """The highest revision that outputs carry: numbers continue from there if the RenderedGroup is lost."""
        carried = (o.annotations.get(naming.ANNOTATION_REVISION, "") for o in self.origins.proved(key))
        return max((int(text) for text in carried if _REVISION.fullmatch(text)), default=0)

    def _put(self, body: Body) -> AnyObject:
        item = msgspec.convert(body, AnyObject)
        self.cluster.groups.put(item)
        return item


@dataclass(slots=True)
class ListedSnapshots:
    """The snapshots that revisions of a template's groups list: read once for each version of a RenderedGroup."""

    _known: dict[TemplateKey, dict[str, tuple[str, frozenset[str]]]] = field(default_factory=dict)

    def of(self, key: TemplateKey, groups: Iterable[AnyObject]) -> set[str]:
        """The names of those that these groups list; ``groups`` are all that the template has."""
        before, now = self._known.pop(key, {}), {}
        for item in groups:
            uid, version = item.metadata.uid, item.metadata.resourceVersion
            known = before.get(uid)
            if known is None or known[0] != version:
                known = version, frozenset(GroupRevisions(item.status).snapshots())
            now[uid] = known
        if now:
            self._known[key] = now
        return set[str]().union(*(names for _, names in now.values()))
