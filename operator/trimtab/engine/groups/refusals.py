"""Which users' entries the API server has refused, and when each is tried again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from trimtab.core.refs import Ref
from trimtab.engine.groups.writer import Failure
from trimtab.engine.scheduling.retry import NEVER, REFUSED_ENTRIES

SECONDS_EACH = 0.02
"""For each user who is refused: where they are many, each is tried less often."""


@dataclass(slots=True)
class Refusal:
    """``entries`` is what was refused, ``tries`` how often in a row something of the user was refused before, ``due``
    when it is tried again (the event loop's time), ``whole`` whether the object is refused whatever it holds."""

    entries: Mapping[str, str]
    failure: Failure
    tries: int
    due: float
    whole: bool = False


@dataclass(slots=True)
class Refusals:
    """One group's, by object and user. What changes is tried at once; the same again is tried when it is due."""

    _by_ref: dict[Ref, dict[str, Refusal]] = field(default_factory=dict)
    _by_user: dict[str, dict[Ref, Refusal]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self._by_ref)

    def users(self) -> Mapping[str, Mapping[Ref, Refusal]]:
        """Those who are refused, with what."""
        return self._by_user

    def at(self, ref: Ref) -> Mapping[str, Refusal]:
        """Those who are refused in an object."""
        return self._by_ref.get(ref, {})

    def of(self, user: str) -> Failure | None:
        """What a user is refused by."""
        return next((refusal.failure for refusal in self._by_user.get(user, {}).values()), None)

    def of_whole(self, user: str) -> bool:
        """Whether it is the objects themselves that are refused, not what they hold of the user."""
        return any(refusal.whole for refusal in self._by_user.get(user, {}).values())

    def add(
        self,
        ref: Ref,
        user: str,
        entries: Mapping[str, str],
        failure: Failure,
        now: float,
        *,
        whole: bool = False,
    ) -> bool:
        """Remember a refusal; whether it says anything new."""
        before = self.at(ref).get(user)
        tries = before.tries + 1 if before is not None else 0
        longest = max(REFUSED_ENTRIES.longest, SECONDS_EACH * len(self._by_user))
        due = now + REFUSED_ENTRIES._replace(longest=longest).after(tries + 1)
        refusal = Refusal(entries, failure, tries, due, whole)
        self._by_ref.setdefault(ref, {})[user] = refusal
        self._by_user.setdefault(user, {})[ref] = refusal
        return before is None or before.failure.message != failure.message

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
        """Try those in an object again not before then: something else has kept them from being tried."""
        for refusal in self.at(ref).values():
            refusal.due = max(refusal.due, due)

    def due(self, now: float) -> Iterator[Ref]:
        """Objects in which somebody's entries are to be tried again."""
        for ref, here in self._by_ref.items():
            if any(is_due(refusal, now) for refusal in here.values()):
                yield ref

    def next(self) -> float:
        """When the next one is due."""
        return min((r.due for here in self._by_ref.values() for r in here.values()), default=NEVER)


def is_due(refusal: Refusal, now: float) -> bool:
    """A little early is good enough, so that those of about the same time are tried together."""
    slack = REFUSED_ENTRIES.after(refusal.tries + 1) / 10
    return now >= refusal.due - slack
