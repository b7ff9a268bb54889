"""Which shard holds which user: small shards, in which users stay.

A shard's size is the latency of its users (a write costs about 2 ms at 4 KiB and 3.5 ms at 16 KiB), so shards
are kept near :data:`TARGET` bytes. A user stays where it is for as long as its shard is not too big; a shard that has
grown beyond :data:`LIMIT` sheds its latest users into others. Numbers are never reused while their shard lives.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

TARGET = 8 * 1024
"""Bytes up to which a shard accepts new users."""
LIMIT = 4 * TARGET
"""Bytes beyond which a shard sheds users; the files of a single user may be larger."""


class Move(NamedTuple):
    """A user that an overgrown shard shed."""

    user: str
    source: int
    target: int


class Placement(NamedTuple):
    """Where a user now is (before any move of its own), and who moved because of it."""

    number: int
    moves: tuple[Move, ...] = ()


@dataclass(slots=True)
class Shards:
    """The assignment of one group's users: mutable, owned by one reconcile at a time, deterministic."""

    of: dict[str, int] = field(default_factory=dict)
    members: dict[int, dict[str, int]] = field(default_factory=dict)
    """shard -> user -> bytes"""
    bytes: dict[int, int] = field(default_factory=dict)
    roomy: set[int] = field(default_factory=set)

    def adopt(self, user: str, number: int, size: int) -> None:
        """Record an assignment that the cluster already has."""
        self._put(user, number, size)

    def place(self, user: str, size: int) -> Placement:
        """Assign or resize one user; an overgrown shard then sheds others."""
        number = self.of.get(user)
        if number is None:
            number = self._room(size)
            self._put(user, number, size)
            return Placement(number)
        self._put(user, number, size)
        return Placement(number, tuple(self._shed(number)))

    def remove(self, user: str) -> set[int]:
        """Forget one user; its shard's number."""
        number = self.of.pop(user, None)
        if number is None:
            return set()
        self.bytes[number] -= self.members[number].pop(user)
        if not self.members[number]:
            del self.members[number], self.bytes[number]
            self.roomy.discard(number)
        elif self.bytes[number] < TARGET:
            self.roomy.add(number)
        return {number}

    def _put(self, user: str, number: int, size: int) -> None:
        members = self.members.setdefault(number, {})
        self.bytes[number] = self.bytes.get(number, 0) + size - members.get(user, 0)
        members[user] = size
        self.of[user] = number
        if self.bytes[number] < TARGET:
            self.roomy.add(number)
        else:
            self.roomy.discard(number)

    def _room(self, size: int) -> int:
        for number in sorted(self.roomy):
            if self.bytes[number] + size <= LIMIT:
                return number
        return max(self.members, default=-1) + 1

    def _shed(self, number: int) -> Iterator[Move]:
        """Move the latest users of an overgrown shard out until it fits; at least one stays."""
        while self.bytes[number] > LIMIT and len(self.members[number]) > 1:
            user, size = next(reversed(self.members[number].items()))
            self.remove(user)
            self.roomy.discard(number)
            target = self._room(size)
            self._put(user, target, size)
            yield Move(user, number, target)
        if self.bytes[number] < TARGET:
            self.roomy.add(number)


def adopted(held: Mapping[int, Iterable[tuple[str, int]]]) -> Shards:
    """The assignment that the cluster has: shard -> (user, bytes).

    A user in two shards (a move that was interrupted) belongs to the higher one.
    """
    shards = Shards()
    for number in sorted(held):
        for user, size in held[number]:
            if user in shards.of:
                shards.remove(user)
            shards.adopt(user, number, size)
    return shards
