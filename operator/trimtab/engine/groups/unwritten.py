"""What of a group could not be written: entries that are refused, objects that wait, and when each is due again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from trimtab.core.refs import Ref
from trimtab.core.render.entries import GROUP
from trimtab.engine.groups.writer import Failure
from trimtab.engine.scheduling.retry import NEVER, REFUSED_ENTRIES, Retry

SECONDS_EACH = 0.02
"""For each refused user: the more there are, the less often each is retried."""


def is_due(refusal: Refusal, now: float) -> bool:
    """A little early is good enough, so that entries due at about the same time are tried together."""
    slack = REFUSED_ENTRIES.after(refusal.tries + 1) / 10
    return now >= refusal.due - slack


class Refused(NamedTuple):
    """A user's entries that the API server refuses in an object. ``whole``: it refuses the object whatever it holds."""

    entries: Mapping[str, str]
    failure: Failure
    whole: bool = False


@dataclass(slots=True)
class Refusal:
    """Refused entries, after ``tries`` refusals of the user in a row; they are retried when ``due`` (the event loop's
    time)."""

    entries: Mapping[str, str]
    failure: Failure
    whole: bool
    tries: int
    due: float


@dataclass(slots=True)
class Refusals:
    """One group's, by object and user. Changed entries are tried immediately, the same entries when they are due."""

    _by_ref: dict[Ref, dict[str, Refusal]] = field(default_factory=dict)
    _by_user: dict[str, dict[Ref, Refusal]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self._by_ref)

    def users(self) -> Mapping[str, Mapping[Ref, Refusal]]:
        """The refusals of each user."""
        return self._by_user

    def at(self, ref: Ref) -> Mapping[str, Refusal]:
        """The refusals in an object, by user."""
        return self._by_ref.get(ref, {})

    def of(self, user: str) -> Failure | None:
        """The failure of a user's entries."""
        return next((refusal.failure for refusal in self._by_user.get(user, {}).values()), None)

    def of_whole(self, user: str) -> bool:
        """Whether the objects are refused whatever they hold of the user."""
        return any(refusal.whole for refusal in self._by_user.get(user, {}).values())

    def add(self, ref: Ref, user: str, refused: Refused, now: float) -> bool:
        """Remember a refusal; whether its message is new."""
        before = self.at(ref).get(user)
        tries = before.tries + 1 if before is not None else 0
        longest = max(REFUSED_ENTRIES.longest, SECONDS_EACH * len(self._by_user))
        due = now + REFUSED_ENTRIES._replace(longest=longest).after(tries + 1)
        refusal = Refusal(*refused, tries, due)
        self._by_ref.setdefault(ref, {})[user] = refusal
        self._by_user.setdefault(user, {})[ref] = refusal
        return before is None or before.failure.message != refused.failure.message

    def drop(self, ref: Ref, user: str) -> bool:
        """Forget one; whether there was one."""
        here, mine = self._by_ref.get(ref, {}), self._by_user.get(user, {})
        if here.pop(user, None) is None:
            return False
        mine.pop(ref, None)
        if not here:
            self._by_ref.pop(ref)
        if not mine:
            self._by_user.pop(user)
        return True

    def postpone(self, ref: Ref, due: float) -> None:
        """Retry the refusals in an object no earlier than that."""
        for refusal in self.at(ref).values():
            refusal.due = max(refusal.due, due)

    def due(self, now: float) -> Iterator[Ref]:
        """Objects with entries that are due to be retried."""
        for ref, here in self._by_ref.items():
            if any(is_due(refusal, now) for refusal in here.values()):
                yield ref

    def next(self) -> float:
        """When the next one is due."""
        return min((r.due for here in self._by_ref.values() for r in here.values()), default=NEVER)


@dataclass(frozen=True, slots=True)
class Waiting:
    """An object that could not be written, and the ``users`` whose entries wait for that. ``searching``: more passes
    find the entries that it is refused for, and nothing else is needed."""

    failure: Failure
    users: frozenset[str]
    searching: bool = False


@dataclass(slots=True)
class Unwritten:
    waiting: dict[Ref, Waiting] = field(default_factory=dict)
    """Objects that the whole group retries"""
    retry: Retry = field(default_factory=Retry)
    """When it does"""
    attempts: Counter[Ref] = field(default_factory=Counter)
    """Passes in a row in which an object failed for a transient reason"""
    refusals: Refusals = field(default_factory=Refusals)
    """Users' entries that the API server refuses"""
    unreported: dict[str, str] = field(default_factory=dict)
    """Users who are evaluated again with the retry, as nothing is known of them yet; with their namespaces"""
    missing: dict[Ref, set[str]] = field(default_factory=dict)
    """Users that lack an entry in an object: their old entries in other objects stay"""
    surplus: dict[Ref, set[str]] = field(default_factory=dict)
    """Users that have entries in an object that should not be there"""
    _missing_in: Counter[str] = field(default_factory=Counter)
    """In how many objects a user lacks an entry"""

    def __contains__(self, ref: Ref) -> bool:
        """Whether anything is known of the object."""
        return (
            ref in self.waiting or ref in self.surplus or ref in self.missing or bool(self.refusals.at(ref))
        )

    @property
    def failing(self) -> dict[Ref, Waiting]:
        """The objects that cannot be written with any selection of entries."""
        return {ref: waiting for ref, waiting in self.waiting.items() if not waiting.searching}

    @property
    def refused(self) -> set[str]:
        """Users whose entries the API server refuses."""
        return self.refusals.users().keys() - {GROUP}

    @property
    def users_missing(self) -> set[str]:
        return set[str]().union(*self.missing.values())

    @property
    def users_surplus(self) -> set[str]:
        return set[str]().union(*self.surplus.values())

    def compared(self, ref: Ref, missing: set[str], surplus: set[str]) -> None:
        """These users, and no others, lack entries in the object, or have surplus ones."""
        before = self.missing.pop(ref, set())
        self.surplus.pop(ref, None)
        if missing:
            self.missing[ref] = missing
        if surplus:
            self.surplus[ref] = surplus
        self._missing_in.update(missing)
        self._missing_in.subtract(before)
        for user in before - missing:
            if not self._missing_in[user]:
                del self._missing_in[user]

    def is_missing_elsewhere(self, user: str, ref: Ref) -> bool:
        """Whether the user, or the group, lacks an entry in another object than this one."""
        return self._missing_in[user] > (user in self.missing.get(ref, ()))

    def removable(self, missing_before: Mapping[Ref, set[str]]) -> set[Ref]:
        """Objects with surplus entries of users who lack less than before: they can be removed by now."""
        placed = {
            user for ref, users in missing_before.items() for user in users - self.missing.get(ref, set())
        }
        return {ref for ref, users in self.surplus.items() if users & placed} if placed else set()

    def failure_of(self, user: str, refs: Iterable[Ref]) -> Failure | None:
        """The failure that the user's entries wait for; ``refs`` are the objects that hold the user's files."""
        found = (self.waiting[ref] for ref in refs if ref in self.waiting)
        return next((waiting.failure for waiting in found if user in waiting.users), None)

    def due_at(self) -> float:
        return min(self.retry.at, self.refusals.next())
