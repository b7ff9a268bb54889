"""ControllerRevisions: content that was accepted once, under a name made of its keyed hash, until nobody lists it.

``data`` holds the public part (``spec`` of a template, ``policy`` of a policy), what is sensitive as a Fernet token in
``sealed``, and in ``digests`` a keyed digest of each sensitive part by its path, so that a change of it can be told.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from trimtab.core import naming
from trimtab.core.snapshot import Spec, Taken
from trimtab.crypto import Keys, UnreadableError
from trimtab.engine.preferences import GroupKey, TemplateKey
from trimtab.engine.world import World
from trimtab.kube import errors
from trimtab.kube.port import Api, MetaOnly
from trimtab.kube.resources import CONTROLLER_REVISIONS

log = logging.getLogger(__name__)

FRESH_SECONDS = 20.0
UNREAD_SECONDS = 30.0
"""How long nobody asks again for a snapshot that could not be read."""
SEEN_SECONDS = 600.0
"""How long the word of a look at a stored snapshot is taken."""
DIGITS = 16
"""Hex digits of a content's keyed hash."""


@dataclass(slots=True)
class Snapshots:
    """``keys`` is set once this process leads; nothing here is called before."""

    api: Api
    world: World
    keys: Keys | None = None
    _in_use: Counter[str] = field(default_factory=Counter)
    _fresh: dict[str, float] = field(default_factory=dict)
    """Snapshots that were asked for, and when by the event loop's time."""
    _seen: dict[TemplateKey, tuple[frozenset[str], float]] = field(default_factory=dict)
    """What is sealed in those that were looked at, and when by the event loop's time."""
    _unlisted: set[TemplateKey] = field(default_factory=set)
    """Those that are there and not listed, as somebody took a label off."""
    _unread: dict[TemplateKey, tuple[float, bool]] = field(default_factory=dict)
    """Those that could not be read: when, and whether they were there."""
    _leaving: set[TemplateKey] = field(default_factory=set)
    """Snapshots whose deletion is under way."""

    def hash(self, content: Spec) -> str:
        """The content's keyed hash."""
        return self._keys().digest(content, DIGITS)

    def has(self, place: TemplateKey) -> bool:
        """Whether the snapshot is stored, as far as is known."""
        return place in self._unlisted or self.world.snapshots.get(place) is not None

    async def store(
        self,
        place: TemplateKey,
        part: str,
        content: tuple[Spec, Taken],
        labels: dict[str, str],
        generation: int,
    ) -> None:
        """Make sure that the snapshot is there; ``content`` is split already, its public half goes to ``part``.

        For :data:`FRESH_SECONDS` it is not pruned: whoever asks for it still has to write down that it is needed.

        :raises trimtab.kube.errors.ApiError: it could not be stored.
        """
        self._fresh[place.name] = _now()
        if place in self._leaving:
            raise errors.UnavailableError(
                0, "Leaving", f"snapshot {place} is being deleted; it is made again"
            )
        public, taken = content
        sealed = frozenset("/".join(path) for path, _ in taken)
        if self.has(place) and await self._is_kept(place, sealed):
            return
        keys = self._keys()
        data: dict[str, Any] = {part: public}
        if taken:
            data["sealed"] = keys.seal(taken)
            data["digests"] = {"/".join(path): keys.digest([path, value]) for path, value in taken}
        body = {
            "apiVersion": CONTROLLER_REVISIONS.api_version,
            "kind": CONTROLLER_REVISIONS.kind,
            "metadata": {"name": place.name, "namespace": place.namespace, "labels": labels},
            "data": data,
            "revision": generation,
        }
        try:
            stored = await self.api.create(CONTROLLER_REVISIONS, body)
        except errors.ConflictError as error:
            if error.reason != "AlreadyExists":  # admission answers 409 as well, a ResourceQuota's for one
                raise
            # Content-addressed: whatever has this name holds this content.
            stored = await self.api.get(CONTROLLER_REVISIONS, *place)
            if (stored["metadata"].get("labels") or {}).get(naming.LABEL_MANAGED_BY) != naming.MANAGER:
                self._unlisted.add(place)
        self.world.snapshots.put(msgspec.convert(stored, MetaOnly))
        if self._unread.pop(place, None) is not None:  # groups may have waited for it
            for group in self.world.groups_of(TemplateKey(place.namespace, labels[naming.LABEL_TEMPLATE])):
                self.world.enqueue_group(group)

    async def _is_kept(self, place: TemplateKey, sealed: frozenset[str]) -> bool:
        """Asked of the API server itself now and then: the store may not know yet of a deletion, and groups will point
        to it. What it holds in clear and has become sensitive since does not count: that one goes."""
        known, at = self._seen.get(place, (None, 0.0))
        if known == sealed and _now() - at < SEEN_SECONDS:
            return True
        try:
            body = await self.api.get(CONTROLLER_REVISIONS, *place)
        except errors.NotFoundError:
            self._unlisted.discard(place)
            return False
        if sealed <= ((body.get("data") or {}).get("digests") or {}).keys():
            self._seen[place] = sealed, _now()
            return True
        with contextlib.suppress(errors.NotFoundError):
            await self.api.delete(CONTROLLER_REVISIONS, *place, uid=body["metadata"]["uid"])
        log.info("a snapshot is sealed anew", extra={"snapshot": str(place)})
        return False

    async def read(self, place: TemplateKey, part: str) -> tuple[Spec, Taken] | None:
        """The content in its two halves, or None if it is gone or unreadable (which is logged).

        :raises trimtab.kube.errors.ApiError: it could not be read now.
        """
        at, listed = self._unread.get(place, (float("-inf"), False))
        if _now() - at < UNREAD_SECONDS and listed == self.has(place):
            return None
        try:
            body = await self.api.get(CONTROLLER_REVISIONS, *place)
            data = body["data"]
            return data[part], (self._keys().open(data["sealed"]) if "sealed" in data else [])
        except errors.NotFoundError:
            log.error("a snapshot is gone", extra={"snapshot": str(place)})
        except (UnreadableError, KeyError) as error:
            log.error("a snapshot is unreadable: %s", type(error).__name__, extra={"snapshot": str(place)})
        self._unread[place] = _now(), self.has(place)
        return None

    @contextlib.contextmanager
    def in_use(self, *names: str) -> Iterator[None]:
        """Keep snapshots from being pruned while a pass may still point to them."""
        self._in_use.update(names)
        try:
            yield
        finally:
            self._in_use.subtract(names)
            for name in names:
                if not self._in_use[name]:
                    del self._in_use[name]

    async def prune(self, key: TemplateKey, needed: Callable[[], set[str]], *, gone: bool = False) -> bool:
        """Delete this template's snapshots that nobody needs; asked anew for each, as that may change meanwhile.

        False: some may be pruned later, as somebody has asked for them a moment ago. With the template ``gone`` nobody
        will need them.
        """
        now, done = _now(), True
        self._fresh = {name: at for name, at in self._fresh.items() if now - at < FRESH_SECONDS}
        self._seen = {place: seen for place, seen in self._seen.items() if now - seen[1] < SEEN_SECONDS}
        self._unread = {
            place: tried for place, tried in self._unread.items() if now - tried[0] < UNREAD_SECONDS
        }
        kept = needed()
        for stored in list(self.world.snapshots):
            place = TemplateKey(stored.metadata.namespace, stored.metadata.name)
            label = (stored.metadata.labels or {}).get(naming.LABEL_TEMPLATE)
            if (place.namespace, label) != key or place in self._leaving:
                continue
            if self._in_use[place.name] > 0 or place.name in kept:
                continue
            if place.name in self._fresh and not gone:
                done = False
                continue
            if place.name in needed():
                continue
            self._leaving.add(place)
            try:
                with contextlib.suppress(errors.NotFoundError):
                    await self.api.delete(CONTROLLER_REVISIONS, *place, uid=stored.metadata.uid)
            finally:
                self._leaving.discard(place)
            self.world.snapshots.drop(stored)
        return done

    def _keys(self) -> Keys:
        if self.keys is None:
            raise RuntimeError("only the leader stores content, and it has loaded its keys")
        return self.keys


def _now() -> float:
    return asyncio.get_running_loop().time()


def template_labels(key: TemplateKey) -> dict[str, str]:
    """The labels of everything that is made for a template."""
    return {
        naming.LABEL_MANAGED_BY: naming.MANAGER,
        naming.LABEL_PART_OF: key.name,
        naming.LABEL_TEMPLATE: key.name,
        naming.LABEL_TEMPLATE_NAMESPACE: key.namespace,
    }


def group_labels(key: GroupKey) -> dict[str, str]:
    return {**template_labels(key.template_key), naming.LABEL_GROUP: key.group}
