"""RenderedGroups: which revision each group is on. The pointer is written before anything that follows from it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from trimtab.core import naming, reasons
from trimtab.core.status import UNKNOWN, Verdict, conditions
from trimtab.engine.observed import AnyObject
from trimtab.engine.preferences import GroupKey, TemplateKey
from trimtab.engine.templates import Served, group_labels
from trimtab.engine.world import World, rendered_group_key
from trimtab.kube import errors
from trimtab.kube.port import Api, Body
from trimtab.kube.resources import RENDERED_GROUPS

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pointers:
    """Reads and moves the pointers. ``now`` gives RFC 3339 text."""

    api: Api
    world: World
    now: Callable[[], str]

    def rendered_group(self, key: GroupKey) -> AnyObject | None:
        """The group's RenderedGroup, unless an object of its name is about another group."""
        name = naming.group_object(key.template, key.group)
        found = self.world.groups.get(TemplateKey(key.namespace, name))
        return found if found is not None and rendered_group_key(found) == key else None

    def current(self, key: GroupKey) -> dict[str, Any] | None:
        """The entry of the group's current revision: number, snapshot, ..."""
        item = self.rendered_group(key)
        if item is None:
            return None
        number = item.status.get("currentRevision")
        return next((r for r in item.status.get("revisions") or () if r["number"] == number), None)

    async def advance(self, key: GroupKey, served: Served) -> dict[str, Any]:
        """Put a new revision on the group's list and make it the current one; its entry.

        :raises trimtab.kube.errors.ConflictError: somebody else moved it; what is there now is in the store.
        """
        item = self.rendered_group(key) or await self._create(key)
        template = self.world.templates.get(key.template_key)
        listed = item.status.get("revisions") or []
        number = max((int(r["number"]) for r in listed), default=self._rendered_last(key)) + 1
        entry = {
            "number": number,
            "snapshot": served.snapshot,
            "createdAt": self.now(),
            "reason": f"ConfigTemplate generation {template.metadata.generation if template else 0}",
        }
        generation = item.metadata.generation
        verdict = Verdict(UNKNOWN, reasons.PROGRESSING, f"revision {number} is being written")
        status = {
            **item.status,
            "observedGeneration": generation,
            "conditions": conditions(verdict, generation, self.now(), item.status.get("conditions") or ()),
            "currentRevision": number,
            "epoch": int(item.status.get("epoch") or 0) + 1,
            "revisions": sorted([*listed, entry], key=lambda r: -r["number"])[
                : served.schema.spec.revision_history_limit
            ],
        }
        name, version = item.metadata.name, item.metadata.resourceVersion
        try:
            self._take(
                await self.api.replace_status(RENDERED_GROUPS, key.namespace, name, status, version=version)
            )
        except errors.ConflictError:
            self._take(await self.api.get(RENDERED_GROUPS, key.namespace, name))
            raise
        log.info("revision", extra={"group": str(key), "revision": number, "snapshot": served.snapshot})
        return entry

    async def remove(self, key: GroupKey) -> None:
        """Delete the group's RenderedGroup, if there is one."""
        item = self.rendered_group(key)
        if item is None:
            return
        try:
            await self.api.delete(RENDERED_GROUPS, key.namespace, item.metadata.name, uid=item.metadata.uid)
        except errors.NotFoundError:
            log.debug("gone already", extra={"group": str(key)})
        self.world.groups.drop(item)

    async def _create(self, key: GroupKey) -> AnyObject:
        name = naming.group_object(key.template, key.group)
        body: Body = {
            "metadata": {"name": name, "namespace": key.namespace, "labels": group_labels(key)},
            "spec": {"templateRef": {"name": key.template}, "group": key.group},
        }
        return self._take(await self.api.apply(RENDERED_GROUPS, body))

    def _rendered_last(self, key: GroupKey) -> int:
        """The highest revision that outputs carry: numbers go on from there if the RenderedGroup is lost."""
        carried = (
            o.annotations.get(naming.ANNOTATION_REVISION, "") for o in self.world.outputs.of(key).values()
        )
        return max((int(text) for text in carried if text.isdigit()), default=0)

    def _take(self, body: Body) -> AnyObject:
        item = msgspec.convert(body, AnyObject)
        self.world.groups.put(item)
        return item
