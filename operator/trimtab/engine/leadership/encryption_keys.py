"""The operator's keys: a Secret beside its Lease, made once, looked at every minute, rotated when somebody asks. If it
is deleted while a process knows them, that process writes them back: what it seals must be readable after it.

To rotate is to put a fresh Fernet key first: what is sealed from then on is under it, and the older keys still open
what was sealed before (a ControllerRevision's data cannot be changed). The digest key stays, as every name made with it
does.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from trimtab.core import naming
from trimtab.crypto import Keys, UnreadableError
from trimtab.kube import errors
from trimtab.kube.errors import NotLeaderError
from trimtab.kube.port import Api, Body
from trimtab.kube.resources import SECRETS

log = logging.getLogger(__name__)

KEYS_SECRET = "trimtab-keys"  # noqa: S105
LOOK_SECONDS = 60.0


@dataclass(slots=True)
class Keyring:
    """``changed`` is told of keys that were rotated."""

    api: Api
    namespace: str
    changed: Callable[[Keys], None]
    _known: Keys | None = None

    async def load(self) -> Keys:
        """The keys as they are, rotated where the Secret asks for it. Where there is no Secret it is made, of the keys
        that are known or else of fresh ones; one that somebody else has made meanwhile is taken as it is.

        :raises trimtab.kube.errors.ApiError: the Secret could not be read or written.
        :raises UnreadableError: it is malformed.
        """
        body = await self._read()
        keys = self._parse(body)
        if naming.ANNOTATION_ROTATE in (body["metadata"].get("annotations") or {}):
            keys = await self._rotate(body, keys)
        self._known = keys
        return keys

    async def run(self, leading: asyncio.Event) -> None:
        """Look now and then while ``leading``, until cancelled."""
        while True:
            await leading.wait()
            await asyncio.sleep(LOOK_SECONDS)
            before = self._known
            if not leading.is_set() or before is None:
                continue
            try:
                keys = await self.load()
            except (errors.ApiError, UnreadableError, NotLeaderError) as error:
                log.warning("the keys cannot be looked at now: %s", error)
                continue
            if keys.digest_key != before.digest_key:
                self._known = before
                log.error("the digest key of Secret %s has changed; put the old one back", self._place)
            elif keys != before:
                self.changed(keys)

    @property
    def _place(self) -> str:
        return f"{self.namespace}/{KEYS_SECRET}"

    async def _read(self) -> Body:
        try:
            return await self.api.get(SECRETS, self.namespace, KEYS_SECRET)
        except errors.NotFoundError:
            keys = self._known or Keys.fresh()
        made = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": KEYS_SECRET, "namespace": self.namespace},
            "data": keys.to_secret(),
        }
        try:
            body = await self.api.create(SECRETS, made)
            if self._known is not None:
                log.warning("Secret %s was gone; the keys are written back", self._place)
            return body
        except errors.ConflictError:
            return await self.api.get(SECRETS, self.namespace, KEYS_SECRET)

    def _parse(self, body: Body) -> Keys:
        try:
            return Keys.from_secret(body.get("data") or {})
        except UnreadableError as error:
            raise UnreadableError(f"Secret {self._place} is {error}; restore it from a backup") from None

    async def _rotate(self, body: Body, keys: Keys) -> Keys:
        rotated = keys.rotated()
        patch = {
            "metadata": {
                "resourceVersion": body["metadata"]["resourceVersion"],
                "annotations": {naming.ANNOTATION_ROTATE: None},
            },
            "data": rotated.to_secret(),
        }
        await self.api.merge_patch(SECRETS, self.namespace, KEYS_SECRET, patch)
        log.info("keys rotated", extra={"secret": self._place, "keys": len(rotated.fernet)})
        return rotated
