"""One pass's writes of a group: whatever does not depend on what the API server refuses is written.

Objects are independent of each other, with one exception: an entry that moves (to another shard, to an object of the
user's own, to a Secret) leaves its old object only once it is in its new one. So additions come before removals.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace

from trimtab.core import reasons
from trimtab.core.refs import Ref
from trimtab.core.render.entries import (
    GROUP,
    Data,
    Owner,
    arriving,
    composed,
    in_shard,
    leaving,
    of_user,
)
from trimtab.core.render.plan import Apply, Delete, Desired, Observed, Write, differs, plan_one
from trimtab.engine.groups.state import GroupState
from trimtab.engine.groups.unwritten import Refusals, Refused, Unwritten, Waiting
from trimtab.engine.groups.writer import Failure, Writer
from trimtab.engine.metrics import WRITE_FAILURES

POSTPONED_SECONDS = 1.0

Observe = Callable[[Ref, bool], Observed | None]
"""Returns what the cluster has at a location; if nothing should be there, only an object of the group's own."""


@dataclass(slots=True)
class ObjectChange:
    """An object that may need writes. ``owner`` is None if all entries are the group's own. ``want`` without data: a
    user's object that should not exist; ``required``: whether the object exists also without entries."""

    want: Desired
    owner: Owner | None
    required: bool
    staying: Collection[str] = ()
    """Entries that should be removed, and stay for now"""
    attempts: int = 0
    """Refused writes in this pass"""
    rotation: int = 0
    """Which of several refused users are tried first: others in each pass"""
    attempted: bool = False

    @property
    def ref(self) -> Ref:
        return self.want.ref

    def owner_of(self, entry: str) -> str:
        return self.owner(entry) if self.owner is not None else GROUP

    def arriving(self, good: Data) -> set[str]:
        return arriving(self.want.data, good, self.owner_of)

    def leaving(self, good: Data) -> set[str]:
        return leaving(self.want.data, good, self.owner_of)


def change_of(state: GroupState, ref: Ref, observed: Observe) -> ObjectChange | None:
    """What a pass has to do for the object; None if it is as it should be."""
    want = state.desired(ref)
    have = observed(ref, want is not None)
    if ref not in state.unwritten and _is_equal(want, have):
        if want is not None and have is not None:
            have.data = want.data  # equal, so one copy in memory is enough
        state.written.settle(ref, want, have)
        return None
    return ObjectChange(
        want or state.files.without_data(ref, state.written.uid(ref)),
        state.files.owner(ref, have),
        want is not None and ref in state.files.fixed,
    )


def _is_equal(want: Desired | None, have: Observed | None) -> bool:
    if want is None or have is None:
        return want is None and have is None
    return not differs(want, have)


@dataclass(slots=True)
class Report:
    """``failed``: whether the whole group has to retry. ``changed``: users whose preferences need another verdict than
    before. ``drifted``: manual changes that were reverted."""

    failed: bool = False
    changed: set[str] = field(default_factory=set)
    drifted: int = 0


@dataclass(slots=True)
class ObjectWrites:
    """Writes objects of one group in one pass, and records what could not be written. ``observed`` returns what the
    cluster has; without ``removing`` no object is deleted yet."""

    writer: Writer
    state: GroupState
    observed: Observe
    now: float
    removing: bool
    report: Report = field(default_factory=Report)
    attempts: int = 0
    """Refused writes of all objects"""
    uncreated: list[tuple[Ref, str]] = field(default_factory=list)
    """Objects that could not be created at all, and the users whose entries they were for"""

    @property
    def unwritten(self) -> Unwritten:
        return self.state.unwritten

    @property
    def refusals(self) -> Refusals:
        return self.state.unwritten.refusals

    def good(self, ref: Ref) -> Data:
        """What was last written there, or found there first."""
        written = self.state.written.objects.get(ref)
        if written is not None:
            return written.data
        have = self.observed(ref, False)
        return have.data if have is not None else {}

    async def write(
        self, change: ObjectChange, held: Collection[str], *, forced: bool = False
    ) -> Failure | None:
        """Write the object with the last good entries of the users that are ``held``. Equal content is not written
        unless it is ``forced``."""
        ref, change.attempted = change.ref, True
        desired, write = self._planned(change, held, forced=forced)
        if isinstance(write, Delete) and not self.removing:
            self.state.files.touched.add(ref)
            return None
        if write is not None:
            failure = await self.writer.write(write)
            if failure is not None:
                change.attempts += 1
                self.attempts += 1
                return failure
            self.report.drifted += isinstance(write, Apply) and write.drift
        self.state.written.settle(ref, desired, self.observed(ref, True))
        return None

    def _planned(
        self, change: ObjectChange, held: Collection[str], *, forced: bool
    ) -> tuple[Desired | None, Write | None]:
        """The object with those entries, None if it should not exist, and the write for it, if one is needed."""
        ref, want = change.ref, change.want
        data = composed(want.data, self.good(ref), change.owner_of, held, change.staying)
        desired = None
        if data or change.required:
            desired = want if data == want.data else replace(want, data=data)
        have, last = self.observed(ref, desired is not None), self.state.written.objects.get(ref)
        write = plan_one(desired, have, last)
        if write is None and forced and have is not None and desired is not None:
            write = Apply(desired, have, drift=False)
        return desired, write

    # Which writes come first, and which entries stay.

    def in_order(
        self, changes: Sequence[ObjectChange]
    ) -> tuple[list[tuple[ObjectChange, Collection[str]]], list[ObjectChange]]:
        """The changes that add entries, with the users who have to keep their old entries there meanwhile; and those
        that follow, which remove entries."""
        arriving_at: dict[str, set[Ref]] = {}
        for change in changes:
            for user in change.arriving(self.good(change.ref)):
                arriving_at.setdefault(user, set()).add(change.ref)
        first: list[tuple[ObjectChange, Collection[str]]] = []
        second: list[ObjectChange] = []
        for change in changes:
            good = self.good(change.ref)
            movers = {u for u in change.leaving(good) if arriving_at.get(u, set()) - {change.ref}}
            adds = bool(change.arriving(good))
            if adds:
                first.append((change, movers))
            if movers or not adds:
                second.append(change)
        return first, second

    def staying(self, change: ObjectChange, movers: Collection[str]) -> set[str]:
        """The entries that should be removed, and stay for now: those of users who move, or who lack an entry in
        another object, unless the same file is in another object already."""
        good = self.good(change.ref)
        users = change.leaving(good)
        waiting = {
            user for user in users if user in movers or self.unwritten.is_missing_elsewhere(user, change.ref)
        }
        surplus = good.keys() - change.want.data.keys()
        return {
            name for name in surplus if change.owner_of(name) in waiting and not self._has_moved(change, name)
        }

    def _has_moved(self, change: ObjectChange, entry: str) -> bool:
        """Whether the user has this very file in another object."""
        user, files = change.owner_of(entry), self.state.files
        file = entry.removeprefix(f"{user}.") if change.owner is in_shard else entry
        for ref in files.refs_of(user):
            name = f"{user}.{file}" if files.owner(ref, None) is in_shard else file
            if ref != change.ref and name in self.good(ref):
                return True
        return False

    # What was written and what was not.

    def admitted(self, ref: Ref, user: str) -> None:
        """The user's entries there are written."""
        if self.refusals.drop(ref, user):
            self.report.changed.add(user)

    def refuse(
        self, change: ObjectChange, users: Iterable[str], failure: Failure, *, whole: bool = False
    ) -> None:
        """These users' entries wait until they change, or until they are due. ``whole``: the object is refused whatever
        it holds."""
        WRITE_FAILURES.labels(failure.reason).inc()
        failure = replace(failure, again=False)
        uncreated = self.observed(change.ref, True) is None and not self.good(change.ref)
        for user in users:
            if uncreated:
                self.uncreated.append((change.ref, user))
            entries = of_user(change.want.data, change.owner_of, user)
            if self.refusals.add(change.ref, user, Refused(entries, failure, whole), self.now):
                self.report.changed.add(user)

    def wait(self, change: ObjectChange, users: Iterable[str], failure: Failure) -> None:
        """The object is retried soon, with all entries."""
        WRITE_FAILURES.labels(failure.reason).inc()
        self.unwritten.attempts[change.ref] += 1
        self._retry(change.ref, Waiting(failure, frozenset(users)))

    def search_on(self, change: ObjectChange, users: Iterable[str], failure: Failure) -> None:
        """The next passes find the other refused entries."""
        transient = replace(failure, again=True)
        self._retry(change.ref, Waiting(transient, frozenset(users), searching=True))

    def _retry(self, ref: Ref, waiting: Waiting) -> None:
        self.unwritten.waiting[ref] = waiting
        self.report.failed = True
        self.postpone(ref)

    def postpone(self, ref: Ref) -> None:
        """Retry the object's refused entries later: a transient failure or many others keep them from it now."""
        self.refusals.postpone(ref, self.now + POSTPONED_SECONDS)

    def wait_as_group(self, change: ObjectChange, failure: Failure) -> None:
        """The group's users depend on the object, and status reports a failure only after several attempts."""
        transient = failure.again or failure.reason != reasons.CONFLICT
        self.wait(change, [GROUP], replace(failure, again=transient))
