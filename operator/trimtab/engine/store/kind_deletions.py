"""No deletion is taken on the word of a kind that is going away.

Deleting a CustomResourceDefinition deletes all of its objects, and no person meant what was rendered for them to go
too. The API server marks a CRD as terminating before it deletes the first object, so a look at the CRD after a
deletion tells the two apart. Deletions wait in here for that look, one for all that have come since the last:

====================================  ===============================================================================
the CRD                               deletions
====================================  ===============================================================================
is established                        are taken, but for objects older than the CRD: they went with its predecessor
is terminating, absent or unreadable  are held: the stores keep the objects, so all that depends on them is in force
====================================  ===============================================================================

What is held ends when an object of its name is there again, or when a cluster admin says that the rest is meant to go:
:data:`ANNOTATION_SWEEP` on the CRD, with the CRD's own uid for a value, so that no copy of it ever says so.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from trimtab.core.objects import rendered_group_key
from trimtab.core.refs import GroupKey, TemplateKey
from trimtab.engine.metrics import DELETIONS_HELD
from trimtab.engine.store.cluster_state import ClusterState
from trimtab.engine.store.deletions import Gone
from trimtab.engine.store.reflectors import Reflectors
from trimtab.engine.store.retained import Kept
from trimtab.kube import errors
from trimtab.kube.port import Api
from trimtab.kube.resources import (
    CONFIG_TEMPLATES,
    CUSTOM_RESOURCE_DEFINITIONS,
    POLICY_ROLLOUTS,
    RENDERED_GROUPS,
    USER_PREFERENCES,
    Resource,
)

log = logging.getLogger(__name__)

ANNOTATION_SWEEP = "trimtab.dev/sweep"
LOOK_SECONDS = 2.0
"""How often a CRD is looked at while deletions are held."""
PATIENCE_SECONDS = 5.0
"""How long one look may take."""
SLICE = 100
"""Deletions taken before others get the event loop."""
_LATER = "~"
"""Later than every creation time."""


class Store(Protocol):
    """A store that hands deletions on."""

    hold: Callable[[Gone], None] | None

    def has(self, gone: Gone) -> bool:
        """Whether the store still holds that very object, not newer than its deletion."""
        ...

    def remove(self, gone: Gone) -> None: ...


@dataclass(frozen=True, slots=True)
class Standing:
    """A CRD as the API server has it. ``away`` says why no deletion counts; ``since`` is its creation, before which
    objects belong to a predecessor, or empty if they are meant to go."""

    away: str
    since: str = _LATER


@dataclass(slots=True)
class _Kind:
    resource: Resource
    store: Store
    held: dict[tuple[str, str, str], Gone] = field(default_factory=dict)
    standing: Standing = field(default_factory=lambda: Standing("", ""))
    said: tuple[str, bool] = ("", False)

    def is_older(self, gone: Gone) -> bool:
        """Whether the object belonged to the CRD's predecessor."""
        return bool(gone.created) and gone.created < self.standing.since


class Kinds:
    """When a kind exists again, its objects are listed."""

    def __init__(self, api: Api, cluster: ClusterState, reflectors: Reflectors) -> None:
        self._api, self._world, self._reflectors = api, cluster, reflectors
        self._wake = asyncio.Event()
        stores: Iterable[tuple[Resource, Store]] = (
            (CONFIG_TEMPLATES, cluster.templates),
            (USER_PREFERENCES, cluster.preferences),
            (POLICY_ROLLOUTS, cluster.rollouts),
            (RENDERED_GROUPS, cluster.groups),
        )
        self._kinds = {resource: _Kind(resource, store) for resource, store in stores}
        for kind in self._kinds.values():
            kind.store.hold = self._holder(kind)

    def _holder(self, kind: _Kind) -> Callable[[Gone], None]:
        def hold(gone: Gone) -> None:
            kind.held[gone.key] = gone
            self._wake.set()

        return hold

    async def run(self) -> None:
        """Run until cancelled."""
        while True:
            waiting = any(kind.held for kind in self._kinds.values()) or self._keeps()
            try:
                async with asyncio.timeout(LOOK_SECONDS if waiting else None):
                    await self._wake.wait()
            except TimeoutError:
                await self._look(kind for kind in self._kinds.values() if kind.held or self._keeps())
            else:
                self._wake.clear()
                await self._look(kind for kind in self._kinds.values() if kind.held)

    async def start(self) -> None:
        """This process leads from now on: look at every kind, and at what is rendered for what is missing."""
        self._world.kept = Kept()
        await self._look(self._kinds.values())
        self._world.kept = self._find()
        self._measure()
        self._wake.set()

    async def _look(self, kinds: Iterable[_Kind]) -> None:
        for kind in list(kinds):
            waiting = list(kind.held.values())  # what comes after the look begins waits for the next
            before, kind.standing = kind.standing, await self._standing(kind.resource)
            await self._take(kind, waiting)
            self._say(kind)
            if before.away and not kind.standing.away:
                self._reflectors.relist(kind.resource)
            if before != kind.standing:
                self._reconsider()
        self._measure()

    async def _standing(self, resource: Resource) -> Standing:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):  # the other kinds' deletions wait for the look
                body = await self._api.get(
                    CUSTOM_RESOURCE_DEFINITIONS, None, f"{resource.plural}.{resource.group}"
                )
        except errors.NotFoundError:
            return Standing("is not there")
        except TimeoutError:
            return Standing("cannot be read (no answer)")
        except errors.ApiError as error:
            return Standing(f"cannot be read ({error.status} {error.reason})")
        meta = body["metadata"]
        conditions = (body.get("status") or {}).get("conditions") or ()
        if meta.get("deletionTimestamp"):
            return Standing("is being deleted")
        if not any(c.get("type") == "Established" and c.get("status") == "True" for c in conditions):
            return Standing("is not established")
        swept = (meta.get("annotations") or {}).get(ANNOTATION_SWEEP) == meta["uid"]
        ours = resource == RENDERED_GROUPS  # made again from what they point to, however old
        return Standing("", "" if swept or ours else meta.get("creationTimestamp") or "")

    async def _take(self, kind: _Kind, waiting: list[Gone]) -> None:
        for index, gone in enumerate(waiting):
            if index % SLICE == SLICE - 1:
                await asyncio.sleep(0)
            superseded = not kind.store.has(gone)
            if superseded or not (kind.standing.away or kind.is_older(gone)):
                if kind.held.get(gone.key) == gone:
                    del kind.held[gone.key]
                kind.store.remove(gone)

    # After a restart, what is missing is known by what was rendered for it.

    def _find(self) -> Kept:
        since = {resource: kind.standing.since for resource, kind in self._kinds.items()}
        kept = Kept(users_before=since[USER_PREFERENCES])
        for key, created in self._rendered():
            template = key.template_key
            if created and created < since[CONFIG_TEMPLATES] and self._world.templates.get(template) is None:
                kept.templates.add(template)
        for item in self._world.groups:
            created = item.metadata.creationTimestamp or ""
            if not created or created >= since[POLICY_ROLLOUTS]:
                continue
            for revision in item.status.get("revisions") or ():
                names = {policy["name"] for policy in revision.get("policies") or ()}
                missing = {TemplateKey(item.metadata.namespace, name) for name in names}
                kept.policies |= {place for place in missing if self._world.rollouts.get(place) is None}
        return kept

    def _rendered(self) -> Iterator[tuple[GroupKey, str]]:
        outputs = self._world.outputs
        for key in outputs.groups():
            for output in outputs.of(key).values():
                yield key, output.created
        for item in self._world.groups:
            yield rendered_group_key(item), item.metadata.creationTimestamp or ""

    def _keeps(self) -> bool:
        kept = self._world.kept
        return bool(kept.templates or kept.policies or kept.users)

    def _reconsider(self) -> None:
        """Of what the start has kept, some may be meant to go by now."""
        if self._world.kept.narrow(self._find()):
            self._world.enqueue_everything()

    def _say(self, kind: _Kind) -> None:
        """One line for each state of a kind whose deletions are held."""
        away, name = kind.standing.away, f"{kind.resource.plural}.{kind.resource.group}"
        # Without a reason for all of them, the others only wait for the next look.
        held = sum(1 for gone in kind.held.values() if away or kind.is_older(gone))
        state = (away, held > 0)
        if state == kind.said:
            return
        kind.said = state
        extra = {"crd": name, "held": held}
        if away and held:
            log.warning("the CRD %s %s: what was rendered for its objects stays", name, away, extra=extra)
        elif held:
            log.warning(
                "the CRD %s was created again: what was rendered for missing objects stays until they are back, "
                "or until the CRD is annotated %s=<its uid>",
                name,
                ANNOTATION_SWEEP,
                extra=extra,
            )
        elif not away:
            log.info("no deletion is held any more", extra=extra)

    def _measure(self) -> None:
        kept = self._world.kept
        at_start = {
            CONFIG_TEMPLATES: len(kept.templates),
            POLICY_ROLLOUTS: len(kept.policies),
            USER_PREFERENCES: len(kept.users),
        }
        for resource, kind in self._kinds.items():
            DELETIONS_HELD.labels(resource.kind).set(len(kind.held) + at_start.get(resource, 0))
