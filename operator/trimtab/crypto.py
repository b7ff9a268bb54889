"""Encryption at rest and HMACs: the form in which Trimtab stores sensitive values outside of rendered Secrets.

The keys are in a Secret of the operator's namespace. ``fernet`` contains Fernet keys, one a line, the first of which
encrypts. ``digest`` is the key of all visible digests (names of snapshots, the digest annotation), so that a hash does
not confirm a guessed value. A digest also depends on its purpose and its place, so that a guess cannot be confirmed by
giving it to Trimtab at another place (decision 024).
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
"""Fernet keys that a rotation keeps. Values that an older key sealed become unreadable."""
Purpose = Literal["template", "policy", "value", "output", "mark", "restart", "job"]
_canonical = msgspec.json.Encoder(order="deterministic").encode


class UnreadableError(ValueError):
    """No key opens a stored token, or the keys are malformed."""


@dataclass(frozen=True, slots=True)
class Keys:
    """``repr`` does not show the keys."""

    fernet: tuple[bytes, ...] = field(repr=False)
    digest_key: bytes = field(repr=False)

    @classmethod
    def fresh(cls) -> Keys:
        return cls((Fernet.generate_key(),), secrets.token_bytes(32))

    @classmethod
    def from_secret(cls, data: dict[str, str]) -> Keys:
        """From a Secret's ``data``. :raises UnreadableError: an entry is missing or malformed."""
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
        """These keys and a new one, which seals; at most :data:`KEPT`, without the oldest."""
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
            raise UnreadableError("no key of Trimtab opens this token") from None

    def digest(self, purpose: Purpose, place: Iterable[str], value: Any) -> str:
        """HMAC-SHA256 of a JSON value, as :data:`DIGITS` hex digits. Equal values have equal digests only for the same
        purpose and place."""
        key = hmac.new(self.digest_key, f"trimtab.dev/{purpose}".encode(), hashlib.sha256).digest()
        return hmac.new(key, _canonical([*place, value]), hashlib.sha256).hexdigest()[:DIGITS]

    def unbound(self, value: Any) -> str:
        """The digest of earlier versions, without purpose and place, as :data:`UNBOUND_DIGITS` hex digits. It serves to
        recognize what they wrote and to choose the users of a share; nothing else may use it."""
        return hmac.new(self.digest_key, _canonical(value), hashlib.sha256).hexdigest()[:UNBOUND_DIGITS]

    def _box(self) -> MultiFernet:
        return MultiFernet([Fernet(key) for key in self.fernet])
