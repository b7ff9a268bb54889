"""The operator's keys: a Secret in the namespace of its Lease, created once, checked every minute, rotated on request.
If it is deleted while a leader knows the keys, the leader restores it: what is sealed must stay readable.

A rotation puts a fresh Fernet key first: it seals from then on, and the older keys still open what was sealed with them
(a ControllerRevision's data cannot be changed). The digest key stays, as do the names that depend on it.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from trimtab.core import naming
from trimtab.crypto import Keys, Purpose, UnreadableError
from trimtab.kube import errors
from trimtab.kube.errors import NotLeaderError
from trimtab.kube.port import Api, Body
from trimtab.kube.resources import SECRETS

log = logging.getLogger(__name__)

KEYS_SECRET = "trimtab-keys"  # noqa: S105
LOOK_SECONDS = 60.0


@dataclass(slots=True)
class Keyring:
    """The leader's keys, loaded when its term begins."""

    api: Api
    namespace: str
    _known: Keys | None = None

    @property
    def keys(self) -> Keys:
        """:raises NotLeaderError: they are not loaded."""
        if self._known is None:
            raise NotLeaderError
        return self._known

    def digest(self, purpose: Purpose, place: tuple[str, ...], value: object) -> str:
        """An HMAC of the value."""
        return self.keys.digest(purpose, place, value)

    async def load(self) -> Keys:
        """Read the keys, and rotate them if the Secret's annotation requests it. A Secret that does not exist is
        created, from the known keys or else from fresh ones, unless another client creates it first.

        :raises trimtab.kube.errors.ApiError: the Secret could not be read or written.
        :raises UnreadableError: it is malformed.
        """
        body = await self._read()
        keys = self._parse(body)
        if naming.ANNOTATION_ROTATE in (body["metadata"].get("annotations") or {}):
            keys = await self._rotate(body, keys)
        self._known = keys
        return keys

    async def run(self) -> None:
        """Read the Secret every :data:`LOOK_SECONDS`, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            before = self.keys
            try:
                keys = await self.load()
            except (errors.ApiError, UnreadableError, NotLeaderError) as error:
                log.warning("Could not read the keys: %s", error)
                continue
            if keys.digest_key != before.digest_key:
                self._known = before
                log.error("The digest key of Secret %s has changed; restore the previous one", self._place)

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
                log.warning("Secret %s was deleted; restored it from memory", self._place)
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
        log.info("Rotated the keys", extra={"secret": self._place, "keys": len(rotated.fernet)})
        return rotated
