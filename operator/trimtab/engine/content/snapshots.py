"""ControllerRevisions: content that was accepted once, under a name made of its keyed hash, until no revision lists it.

``data`` holds the public part (``spec`` of a template, ``policy`` of a policy), what is sensitive as a Fernet token in
``sealed``, and in ``digests`` a keyed digest of each sensitive part by its path, so that a change of it can be told.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from trimtab.core import naming
from trimtab.core.objects import MetaOnly
from trimtab.core.refs import TemplateKey
from trimtab.core.resolve.snapshot import Part, Spec, Taken
from trimtab.crypto import UnreadableError
from trimtab.engine.content.sealing import Content, NotStoredError, TooLargeError, Vault
from trimtab.engine.leadership.encryption_keys import Keyring
from trimtab.engine.metrics import SNAPSHOTS_ALTERED
from trimtab.engine.scheduling.failures import independent_parts
from trimtab.engine.scheduling.retry import SNAPSHOTS
from trimtab.engine.store.cluster_state import ClusterState
from trimtab.kube import errors
from trimtab.kube.port import Api, Body
from trimtab.kube.resources import CONTROLLER_REVISIONS

log = logging.getLogger(__name__)

FRESH_SECONDS = 20.0
UNREAD_SECONDS = 30.0
"""How long a snapshot that could not be read is not asked for again."""
PATIENCE_SECONDS = 10.0
"""How long what may pass keeps a snapshot from being stored before whoever asks for it is refused."""
SEEN_SECONDS = 600.0
"""How long the word of a look at a stored snapshot is taken."""


@dataclass(frozen=True, slots=True)
class _Refused:
    """A snapshot that could not be stored ``tries`` times in a row, the first time at ``since``, and is not tried
    before ``due``."""

    said: str
    tries: int
    since: float
    due: float


@dataclass(slots=True)
class Snapshots:
    """``keyring`` has its keys loaded. ``trusting`` as of :class:`Vault`."""

    api: Api
    cluster: ClusterState
    keyring: Keyring
    trusting: bool = False
    _in_use: Counter[str] = field(default_factory=Counter)
    _fresh: dict[str, float] = field(default_factory=dict)
    """Snapshots that were asked for, and when by the event loop's time."""
    _known: dict[TemplateKey, Content] = field(default_factory=dict)
    """What this process has stored or read: it is written back where it is deleted and needed."""
    _seen: dict[TemplateKey, tuple[str, float]] = field(default_factory=dict)
    """The uid of those that were looked at and found well, and when by the event loop's time."""
    _unlisted: set[TemplateKey] = field(default_factory=set)
    """Those that are there and not listed, as their managed-by label was taken off."""
    _unread: dict[TemplateKey, tuple[float, bool]] = field(default_factory=dict)
    """Those that could not be read: when, and whether they were there."""
    _foreign: dict[TemplateKey, str] = field(default_factory=dict)
    """The uid of those with Trimtab's labels that Trimtab did not make."""
    _refused: dict[TemplateKey, _Refused] = field(default_factory=dict)
    """Those that the API server refuses to store."""
    _leaving: set[TemplateKey] = field(default_factory=set)
    """Snapshots whose deletion is under way."""

    def hash(self, part: Part, namespace: str, stem: str, whole: Spec, status: Mapping[str, Any]) -> str:
        """The content's keyed hash. Content that ``status`` knows by the hash that earlier versions gave it keeps that:
        what is served, was approved or is in quarantine stays so over an upgrade."""
        vault, known = self._vault(), hashes_in(status)
        hashed = vault.hash(part, namespace, stem, whole)
        if hashed not in known and any(map(naming.is_unbound, known)):
            before = vault.keys.unbound(whole)
            return before if before in known else hashed
        return hashed

    def position(self, seed: str, user: str) -> str:
        """A keyed hash of a user, by which they belong to a share of a group; the same as in earlier versions, so that
        an upgrade moves nobody."""
        return self._vault().keys.unbound({"seed": seed, "user": user})

    def has(self, place: TemplateKey) -> bool:
        """Whether the snapshot is stored, as far as is known."""
        return place in self._unlisted or self.cluster.snapshots.get(place) is not None

    async def store(
        self,
        place: TemplateKey,
        part: Part,
        content: tuple[Spec, Taken],
        labels: dict[str, str],
        generation: int,
    ) -> None:
        """Make sure that the snapshot is there; ``content`` is split already.

        For :data:`FRESH_SECONDS` it is not pruned: whoever asks for it still has to write down that it is needed.

        :raises trimtab.kube.errors.ApiError: it could not be stored, and that may pass.
        :raises NotStoredError: the API server refuses it.
        :raises TooLargeError: it never can be.
        """
        self._fresh[place.name] = _now()
        if place in self._leaving:
            raise errors.UnavailableError(
                0, "Leaving", f"snapshot {place} is being deleted; it is made again"
            )
        wanted = Content(part, *content, labels, generation)
        known = self._known.get(place)
        uid, at = self._seen.get(place, ("", 0.0))
        same = known is not None and known.sealed == wanted.sealed
        if same and _now() - at < SEEN_SECONDS and self.has(place) and self._uid(place) in (uid, ""):
            return
        refused = self._refused.get(place)
        if refused is not None and refused.due > _now():
            raise NotStoredError(place, refused.said, refused.due - _now())
        try:
            await self._ensure(place, wanted)
        except errors.ApiError as error:
            self._refuse(place, error)
            raise
        self._refused.pop(place, None)
        if self._unread.pop(place, None) is not None:  # groups may have waited for it
            for group in self.cluster.groups_of(TemplateKey(place.namespace, wanted.owner)):
                self.cluster.enqueue_group(group)

    def _refuse(self, place: TemplateKey, error: errors.ApiError) -> None:
        """:raises NotStoredError: it is refused for good, or has been for long."""
        before, now = self._refused.get(place), _now()
        tries, since = (before.tries + 1, before.since) if before is not None else (0, now)
        lasts = errors.lasts(error) or now - since > PATIENCE_SECONDS
        delay = SNAPSHOTS.after(tries + 1) if lasts else 0.0
        self._refused[place] = _Refused(str(error), tries if lasts else 0, since, now + delay)
        if lasts:
            raise NotStoredError(place, str(error), delay) from None

    async def restore(self, key: TemplateKey, needed: Container[str]) -> None:
        """Write back what is needed of a template and was deleted or replaced, as far as its content is known here.

        :raises trimtab.kube.errors.ApiError: one could not be stored; all others were.
        """
        with independent_parts() as part:
            for place, content in list(self._known.items()):
                if (
                    (place.namespace, content.owner) != key
                    or place.name not in needed
                    or place in self._leaving
                ):
                    continue
                uid, _ = self._seen.get(place, ("", 0.0))
                if place in self._unlisted or self._uid(place) == uid:
                    continue
                with part():
                    try:
                        await self._ensure(place, content)
                    except TooLargeError as error:
                        log.error(
                            "a snapshot cannot be written back: %s", error, extra={"snapshot": str(place)}
                        )

    async def read(self, place: TemplateKey, part: Part) -> Spec | None:
        """The content, or None if it is gone, unreadable, or not what its name says (which is logged).

        :raises trimtab.kube.errors.ApiError: it could not be read now.
        """
        at, listed = self._unread.get(place, (float("-inf"), False))
        if _now() - at < UNREAD_SECONDS and listed == self.has(place):
            return None
        try:
            body = await self.api.get(CONTROLLER_REVISIONS, *place)
            content = self._vault().opened(place, part, body)
        except errors.NotFoundError:
            log.error("a snapshot is gone", extra={"snapshot": str(place)})
        except UnreadableError as error:
            SNAPSHOTS_ALTERED.inc()
            log.error("a snapshot is not used: %s", error, extra={"snapshot": str(place)})
        else:
            self._known.setdefault(place, content)
            if self._vault().is_current(place, body, content):  # else it is replaced in time
                self._noted(place, body)
            self._unread.pop(place, None)
            return content.whole
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
        """Delete the template's snapshots whose name is not needed by now, unless they are new: fresh, as somebody may
        just be about to point there, if the template is not ``gone``. Only what holds what its name says is deleted.
        Whether all of it is done.

        :raises trimtab.kube.errors.ApiError: one could not be looked at or deleted; all others were.
        """
        done, kept = True, needed()
        self._forget(key, kept)
        with independent_parts() as part:
            for stored in list(self.cluster.snapshots):
                place = TemplateKey(stored.metadata.namespace, stored.metadata.name)
                label = (stored.metadata.labels or {}).get(naming.LABEL_TEMPLATE)
                if (place.namespace, label) != key or place in self._leaving:
                    continue
                if self._in_use[place.name] > 0 or place.name in kept:
                    continue
                if place.name in self._fresh and not gone:
                    done = False
                    continue
                self._leaving.add(place)
                try:
                    with part():
                        ours = await self._is_ours(place, stored.metadata.uid, key.name)
                        if ours and not self._in_use[place.name] and place.name not in needed():
                            with contextlib.suppress(errors.NotFoundError):
                                await self.api.delete(CONTROLLER_REVISIONS, *place, uid=stored.metadata.uid)
                            self.cluster.snapshots.drop(stored)
                finally:
                    self._leaving.discard(place)
        return done

    # One snapshot.

    async def _ensure(self, place: TemplateKey, content: Content) -> None:
        """Have the snapshot stored with this content. What else stands under its name, which only Trimtab's keys lead
        to, takes its place, and is replaced."""
        if self.has(place) and await self._stands(place, content):
            return
        gone = self._known.get(place) is not None
        body = self._vault().body(place, content)
        try:
            stored = await self._create(body)
        except errors.ConflictError as error:
            if error.reason != "AlreadyExists":  # admission answers 409 as well, a ResourceQuota's for one
                raise
            if await self._stands(place, content):
                return
            stored = await self._create(body)
        if gone:
            log.warning("a snapshot is written back", extra={"snapshot": str(place)})
        self._known[place] = content
        self._noted(place, stored)

    async def _create(self, body: Body) -> Body:
        try:
            return await self.api.create(CONTROLLER_REVISIONS, body)
        except errors.ApiError as error:
            if error.status == 413 or "too large" in error.message or "larger than max" in error.message:
                raise TooLargeError(
                    f"the API server cannot store its snapshot: {error.message[:200]}"
                ) from None
            raise

    async def _stands(self, place: TemplateKey, content: Content) -> bool:
        """Whether the snapshot is stored as it should be; one that is not is deleted."""
        try:
            body = await self.api.get(CONTROLLER_REVISIONS, *place)
        except errors.NotFoundError:
            self._unlisted.discard(place)
            return False
        except errors.ApiError:
            if self._stood(place, content):
                return True  # only this look has failed
            raise
        why = "it is sealed again"
        try:
            self._vault().opened(place, content.part, body)
            if self._vault().is_current(place, body, content):
                self._known[place] = content
                self._noted(place, body)
                return True
        except UnreadableError as error:
            SNAPSHOTS_ALTERED.inc()
            why = str(error)
        self._vault().body(place, content)  # never deleted before it is sure that it can be stored again
        with contextlib.suppress(errors.NotFoundError):
            await self.api.delete(CONTROLLER_REVISIONS, *place, uid=body["metadata"]["uid"])
        log.warning("a snapshot is replaced: %s", why, extra={"snapshot": str(place)})
        return False

    def _stood(self, place: TemplateKey, content: Content) -> bool:
        """Whether it was well when it was last looked at, and has not been replaced since."""
        known, seen = self._known.get(place), self._seen.get(place)
        return (
            known is not None
            and known.sealed == content.sealed
            and seen is not None
            and seen[0] == self._uid(place)
        )

    async def _is_ours(self, place: TemplateKey, uid: str, template: str) -> bool:
        """Whether the object with the template's labels holds what its name says, and is of that template: labels alone
        are copied easily, to a StatefulSet's ControllerRevisions for one."""
        if self._foreign.get(place) == uid:
            return False
        try:
            body = await self.api.get(CONTROLLER_REVISIONS, *place)
            part: Part = "policy" if "policy" in (body.get("data") or {}) else "spec"
            if self._vault().opened(place, part, body).owner != template:
                raise UnreadableError(f"it is not of template {template}, as its labels say")
        except errors.NotFoundError:
            return True
        except UnreadableError as error:
            self._foreign[place] = uid
            log.warning("a ControllerRevision is left alone: %s", error, extra={"snapshot": str(place)})
            return False
        return True

    def _noted(self, place: TemplateKey, body: Body) -> None:
        """The snapshot is there and well."""
        self._seen[place] = body["metadata"]["uid"], _now()
        if (body["metadata"].get("labels") or {}).get(naming.LABEL_MANAGED_BY) != naming.MANAGER:
            self._unlisted.add(place)
        else:
            self._unlisted.discard(place)
            self.cluster.snapshots.put(msgspec.convert(body, MetaOnly))

    def _uid(self, place: TemplateKey) -> str:
        stored = self.cluster.snapshots.get(place)
        return stored.metadata.uid if stored is not None else ""

    def _forget(self, key: TemplateKey, needed: set[str]) -> None:
        """Drop what is old, and what was known of the template's snapshots that nothing needs and are gone."""
        now = _now()
        self._fresh = {name: at for name, at in self._fresh.items() if now - at < FRESH_SECONDS}
        self._unread = {
            place: tried for place, tried in self._unread.items() if now - tried[0] < UNREAD_SECONDS
        }
        self._refused = {
            p: refused for p, refused in self._refused.items() if now - refused.due < FRESH_SECONDS
        }
        self._foreign = {place: uid for place, uid in self._foreign.items() if self._uid(place) == uid}
        for place, content in list(self._known.items()):
            mine = (place.namespace, content.owner) == key
            if mine and place.name not in needed and place.name not in self._fresh and not self.has(place):
                del self._known[place]
                self._seen.pop(place, None)

    def _vault(self) -> Vault:
        return Vault(self.keyring.keys, self.trusting)


def hashes_in(status: Mapping[str, Any]) -> set[str]:
    """The hashes of content that the status of a template or policy names."""
    said = [status.get(name) for name in ("target", "stable", "previous")]
    found = {str(entry["hash"]) for entry in (*said, *(status.get("quarantine") or ())) if entry}
    if status.get("snapshot"):
        found.add(naming.stem_and_hash(status["snapshot"])[1])
    return found


def _now() -> float:
    return asyncio.get_running_loop().time()
