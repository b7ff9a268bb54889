"""Which users belong to a share of a group: by an HMAC of the user, so that a growing share keeps all of its users."""

from __future__ import annotations

from dataclasses import dataclass

from trimtab.core.resolve.content import Components

DIGITS = 8


@dataclass(frozen=True, slots=True)
class UserShare:
    """The share of a group's users that is on other content. ``first`` is always included: it is never empty."""

    content: Components
    percent: int
    first: str


def position_of(digest: str) -> float:
    """A position from 0 to 1 by an HMAC's hex digits: a share of 10 percent and every larger one include the users
    below 0.1."""
    return int(digest[:DIGITS], 16) / float(16**DIGITS)


def is_included(user: str, position: float, percent: int, first: str) -> bool:
    """Whether a share of ``percent`` includes the user."""
    return user == first or position * 100 < percent
