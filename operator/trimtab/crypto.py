"""Secrets at rest and keyed digests: what Trimtab stores of sensitive values outside of rendered Secrets.

The keys live in a Secret of the operator's namespace: ``fernet`` holds Fernet keys, one a line, the first one
encrypts; ``digest`` is the key of every digest that is shown (names of snapshots, the digest annotation), so that
a guessed value cannot be confirmed by hashing it. Each digest is bound to its purpose and its place as well, so that
it cannot be confirmed by giving Trimtab the guess somewhere else either (decision 024).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec
from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from trimtab.core.naming import DIGITS, UNBOUND_DIGITS

KEPT = 20
"""Fernet keys that a rotation keeps: what was sealed under an older one cannot be opened any more."""
Purpose = Literal["template", "policy", "value", "output", "mark", "restart", "job"]
_canonical = msgspec.json.Encoder(order="deterministic").encode


class UnreadableError(ValueError):
    """A stored token that none of the keys opens, or keys that are malformed."""


@dataclass(frozen=True, slots=True)
class Keys:
    """Never shown: ``repr`` leaves the material out."""

    fernet: tuple[bytes, ...] = field(repr=False)
    digest_key: bytes = field(repr=False)

    @classmethod
    def fresh(cls) -> Keys:
        return cls((Fernet.generate_key(),), secrets.token_bytes(32))

    @classmethod
    def from_secret(cls, data: dict[str, str]) -> Keys:
        """From a Secret's ``data``. :raises UnreadableError: entries missing or malformed."""
        try:
            fernet = tuple(base64.b64decode(data["fernet"]).split())
            for key in fernet:
                Fernet(key)
            digest = base64.b64decode(data["digest"])
        except (KeyError, ValueError, binascii.Error) as error:
            raise UnreadableError(f"malformed ({type(error).__name__})") from None
        if not fernet or len(digest) < 16:
            raise UnreadableError("malformed (no fernet key, or a digest key under 16 bytes)")
        return cls(fernet, digest)

    def rotated(self) -> Keys:
        """The same keys behind a fresh one, which seals from now on; the oldest are left out beyond :data:`KEPT`."""
        return Keys((Fernet.generate_key(), *self.fernet)[:KEPT], self.digest_key)

    def to_secret(self) -> dict[str, str]:
        return {
            "fernet": base64.b64encode(b"\n".join(self.fernet)).decode(),
            "digest": base64.b64encode(self.digest_key).decode(),
        }

    def seal(self, value: Any) -> str:
        """Any JSON value as a Fernet token."""
        return self._box().encrypt(_canonical(value)).decode()

    def open(self, token: str) -> Any:
        """:raises UnreadableError: no key opens it."""
        try:
            return msgspec.json.decode(self._box().decrypt(token.encode()))
        except (InvalidToken, msgspec.DecodeError):
            raise UnreadableError("no key of Trimtab's opens this token") from None

    def digest(self, purpose: Purpose, place: Iterable[str], value: Any) -> str:
        """HMAC-SHA256 of a JSON value, as :data:`DIGITS` hex digits. Equal values have equal digests only for one
        purpose and in one place."""
        key = hmac.new(self.digest_key, f"trimtab.dev/{purpose}".encode(), hashlib.sha256).digest()
        return hmac.new(key, _canonical([*place, value]), hashlib.sha256).hexdigest()[:DIGITS]

    def unbound(self, value: Any) -> str:
        """The digest of versions before digests were bound, as :data:`UNBOUND_DIGITS` hex digits. What these versions
        wrote is recognised by it; nothing new may show it but which users belong to a share."""
        return hmac.new(self.digest_key, _canonical(value), hashlib.sha256).hexdigest()[:UNBOUND_DIGITS]

    def _box(self) -> MultiFernet:
        return MultiFernet([Fernet(key) for key in self.fernet])
