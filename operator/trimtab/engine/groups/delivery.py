"""One pass's writes of a group: whatever does not depend on what the API server refuses is written.

Objects are independent of each other, with one exception: an entry that moves (to another shard, to an object of the
user's own, to a Secret) leaves its old place only once it is in its new one. So additions come first.

An object of several users that is refused is written without the entries that it is refused for: they are found by
halves (decision 021). Their owners keep their last good entries there and are told; everybody else's are written.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from trimtab.core import reasons
from trimtab.core.refs import Ref
from trimtab.core.render.entries import (
    GROUP,
    Data,
    Owner,
    arriving,
    changed,
    composed,
    in_shard,
    leaving,
    of_user,
)
from trimtab.core.render.plan import Apply, Delete, Desired, Observed, differs, plan
from trimtab.engine.groups.refusals import is_due
from trimtab.engine.groups.state import GroupState, Waiting
from trimtab.engine.groups.writer import Failure, Writer
from trimtab.engine.metrics import WRITE_FAILURES
from trimtab.engine.scheduling.failures import all_of

PATIENCE = 6
"""Passes that may fail in a row for reasons that pass, before status says so and before a user's entry is suspected."""
MOST_TRIES = 32
"""Refused writes of one object in one pass; what is left is tried by the next pass."""
MOST_TRIES_OF_A_PASS = 128
POSTPONED_SECONDS = 1.0


Look = Callable[[Ref, bool], Observed | None]
"""Gives what the cluster has in a place; if it should not be there, only what is the group's."""


@dataclass(slots=True)
class Parcel:
    """An object to be made as it should be. ``owner`` is None for the group's own. ``want`` without data: a user's
    object that should not be; ``wanted``: whether one of the group's own should be."""

    want: Desired
    owner: Owner | None
    wanted: bool
    staying: Collection[str] = ()
    tries: int = 0
    turn: int = 0
    tried: bool = False

    @property
    def ref(self) -> Ref:
        return self.want.ref

    def owner_of(self, entry: str) -> str:
        return self.owner(entry) if self.owner is not None else GROUP

    def arriving(self, good: Data) -> set[str]:
        return arriving(self.want.data, good, self.owner_of)

    def leaving(self, good: Data) -> set[str]:
        return leaving(self.want.data, good, self.owner_of)


def parcel_of(state: GroupState, ref: Ref, observed: Look) -> Parcel | None:
    """The object as a pass should make it; None if it is so, and nothing of it is remembered."""
    want = state.wanted(ref)
    have = observed(ref, want is not None)
    remembered = ref in state.failed or ref in state.surplus or ref in state.lacking or state.refusals.at(ref)
    if not remembered and want is None and have is None:
        state.settle(ref, None, None)
        return None
    if not remembered and want is not None and have is not None and not differs(want, have):
        have.data = want.data  # equal, so one copy in memory is enough
        state.settle(ref, want, have)
        return None
    return Parcel(want or state.shell(ref), state.owner(ref, have), want is not None and ref in state.fixed)


@dataclass(slots=True)
class Report:
    """``failed``: whether something is to be tried again by the whole group. ``news``: users of whom something else is
    to be said than before. ``drifted``: hand edits that were put back."""

    failed: bool = False
    news: set[str] = field(default_factory=set)
    drifted: int = 0


@dataclass(slots=True)
class Delivery:
    """``observed`` gives what the cluster has of the group's; without ``removing`` no object is deleted yet."""

    writer: Writer
    state: GroupState
    observed: Look
    now: float
    removing: bool
    report: Report = field(default_factory=Report)
    _tries: int = 0
    _unmade: list[tuple[Ref, str]] = field(default_factory=list)
    """Objects that could not be made at all, by whose entries they were for"""

    async def carry_out(self, parcels: Sequence[Parcel]) -> Report:
        """All writes.

        :raises trimtab.kube.errors.NotLeaderError: the Lease was lost on the way.
        """
        lacked = dict(self.state.lacking)
        arriving_at: dict[str, set[Ref]] = {}
        for parcel in parcels:
            for user in parcel.arriving(self._good(parcel.ref)):
                arriving_at.setdefault(user, set()).add(parcel.ref)
        first: list[tuple[Parcel, Collection[str]]] = []
        second: list[Parcel] = []
        for parcel in parcels:
            good = self._good(parcel.ref)
            movers = {u for u in parcel.leaving(good) if arriving_at.get(u, set()) - {parcel.ref}}
            adds = bool(parcel.arriving(good))
            if adds:
                first.append((parcel, movers))
            if movers or not adds:
                second.append(parcel)
        await all_of(self._deliver(parcel, movers) for parcel, movers in first)
        await all_of(self._deliver(parcel, ()) for parcel in second)
        for ref, user in self._unmade:
            self.state.take_back(user, ref)
        self._look_again(lacked)
        return self.report

    def _look_again(self, lacked: Mapping[Ref, set[str]]) -> None:
        """At what is left of those who lack less than before: by now it may go."""
        state = self.state
        placed = {user for ref, users in lacked.items() for user in users - state.lacking.get(ref, set())}
        if placed:
            state.touched |= {ref for ref, users in state.surplus.items() if users & placed}

    async def _deliver(self, parcel: Parcel, movers: Collection[str]) -> None:
        have = self.observed(parcel.ref, False)
        if have is not None and have.is_immutable:
            # it is deleted to be made again: its content is still the last good one
            self.state.written.setdefault(parcel.ref, replace(parcel.want, data=have.data))
        parcel.staying = self._staying(parcel, movers)
        waiting = self.state.failed.pop(parcel.ref, None)
        if parcel.owner is None:
            failure = await self._write(parcel, ())
            if failure is not None:
                # the group's users depend on it, and status reports it only after several tries
                passes = failure.again or failure.reason != reasons.CONFLICT
                self._wait(parcel, [GROUP], replace(failure, again=passes))
                if self.observed(parcel.ref, True) is None and self._good(parcel.ref):
                    await self._write(parcel, (GROUP,))  # it was deleted to be made again
            for user in list(self.state.refusals.at(parcel.ref)) if failure is None else ():
                self._admitted(parcel.ref, user)  # of an object that is no user's any more
        else:
            await self._users(parcel)
            if waiting is not None and not parcel.tried:  # it is not due yet
                self.state.failed[parcel.ref] = waiting
        if parcel.ref not in self.state.failed:
            self.state.tries.pop(parcel.ref, None)
        self._note(parcel)

    def _staying(self, parcel: Parcel, movers: Collection[str]) -> set[str]:
        """The entries that should go, and stay for now: of those who move, or lack an entry in another object, but for
        the files that are where they belong already."""
        good = self._good(parcel.ref)
        users = parcel.leaving(good)
        waiting = {user for user in users if user in movers or self._lacks(user, parcel.ref)}
        gone = good.keys() - parcel.want.data.keys()
        return {
            name for name in gone if parcel.owner_of(name) in waiting and not self._has_moved(parcel, name)
        }

    def _has_moved(self, parcel: Parcel, entry: str) -> bool:
        """Whether the user has this very file in another object."""
        user = parcel.owner_of(entry)
        file = entry.removeprefix(f"{user}.") if parcel.owner is in_shard else entry
        for ref in self.state.refs_of(user):
            name = f"{user}.{file}" if self.state.owner(ref, None) is in_shard else file
            if ref != parcel.ref and name in self._good(ref):
                return True
        return False

    # Users' objects.

    async def _users(self, parcel: Parcel) -> None:
        ref, want = parcel.ref, parcel.want.data
        candidates = changed(want, self._good(ref), parcel.owner_of)
        known = self.state.refusals.at(ref)
        self._forget(parcel, candidates)
        suspects = [
            user
            for user in candidates
            if user in known
            and (is_due(known[user], self.now) or of_user(want, parcel.owner_of, user) != known[user].entries)
        ]
        fresh = [user for user in candidates if user not in known]
        out = set(candidates)
        if fresh or GROUP not in known or is_due(known[GROUP], self.now):
            await self._admit(parcel, fresh, out, suspected=GROUP in known and not fresh)
        if any(known[user].whole for user in suspects if user in known):
            # whose entry is what the object is refused for, and whose would mend it, shows only together
            suspects = [
                user for user in candidates if user in suspects or (user in known and known[user].whole)
            ]
        if suspects and ref not in self.state.failed:
            parcel.turn = known[suspects[0]].tries if suspects[0] in known else 0
            first = parcel.turn // 2 % len(suspects)
            await self._admit(parcel, suspects[first:] + suspects[:first], out, suspected=True)
        self._forget(parcel, candidates)

    def _forget(self, parcel: Parcel, candidates: Collection[str]) -> None:
        """Those refused before who have no other entries now than those that are there."""
        known = [user for user in self.state.refusals.at(parcel.ref) if user not in (GROUP, *candidates)]
        lost = self._lost(parcel) if known else ()
        for user in known:
            if user not in lost:
                self._admitted(parcel.ref, user)

    def _lost(self, parcel: Parcel) -> set[str]:
        """The users whose entries were changed or deleted by hand, and who have no edit of their own waiting."""
        want, good, have = parcel.want.data, self._good(parcel.ref), self.observed(parcel.ref, True)
        there = have.data if have is not None else {}
        lost = {parcel.owner_of(name) for name, text in want.items() if there.get(name) != text}
        return lost.difference(changed(want, good, parcel.owner_of)) if lost else lost

    async def _admit(self, parcel: Parcel, users: list[str], out: set[str], *, suspected: bool) -> None:
        """Write these users' entries too, but for those that the API server refuses; ``out`` are those not written."""
        stack, probed = [users], False
        while stack:
            some = stack.pop()
            failure = await self._write(parcel, out - set(some))
            if failure is None:
                out.difference_update(some)
                for user in some or [GROUP]:
                    self._admitted(parcel.ref, user)
                continue
            rest = [user for part in (some, *stack) for user in part]
            if not await self._is_final(parcel, failure, suspected=suspected):
                return self._wait(parcel, rest, failure)
            if not probed:
                probed = True
                if failure.reason == reasons.CONFLICT or not await self._takes(parcel, some, out):
                    whose = {*(rest or [GROUP]), *self._lost(parcel)}
                    return self._refuse(parcel, sorted(whose), failure, whole=True)
                some = [user for user in some if user in out]
            if len(some) == 1:
                self._refuse(parcel, some, failure)
            elif parcel.tries > MOST_TRIES or self._tries > MOST_TRIES_OF_A_PASS:
                return self._search_on(parcel, rest, failure, suspected=suspected)
            else:
                half = len(some) // 2
                stack += [part for part in (some[half:], some[:half]) if part]
        return None

    async def _takes(self, parcel: Parcel, some: Sequence[str], out: set[str]) -> bool:
        """Whether the object is not refused whatever it holds. What is not new is written by that, such as removals.

        Where that is refused as well, or nothing is there yet, a few others are tried: one of them may mend what is
        there, but not together with one who is refused. They are others at each turn.
        """
        if not some:
            return False
        half = len(some) // 2
        parts = [some[:1], some[-1:], some[half : half + 1]]
        if self.observed(parcel.ref, True) is not None or self._good(parcel.ref):
            if await self._write(parcel, out, forced=len(some) > 1 or self._is_sole(parcel, some)) is None:
                return True
            parts = [some[:1], some[1:] if parcel.turn % 2 else some[half:]]
        for part in parts if len(some) > 1 else ():
            if await self._write(parcel, out - set(part)) is None:
                out.difference_update(part)
                for user in part:
                    self._admitted(parcel.ref, user)
                return True
        return False

    async def _is_final(self, parcel: Parcel, failure: Failure, *, suspected: bool) -> bool:
        """Whether nothing but another content, or somebody's help, will get it written. An API server that answers
        nothing else either is no user's matter, nor is one who keeps writing over a shard."""
        ref, own = parcel.ref, parcel.ref in self.state.own_refs
        if failure.reason == reasons.CONFLICT:
            return own
        if not failure.again:
            return True
        if not suspected and self.state.tries[ref] < PATIENCE - 1:
            return False
        return own or (not failure.raced and (failure.status > 0 or await self.writer.answers(ref)))

    # One write.

    async def _write(self, parcel: Parcel, held: Collection[str], *, forced: bool = False) -> Failure | None:
        """Write the object with the last good entries of those who are ``held``, if that changes anything."""
        ref, state, parcel.tried = parcel.ref, self.state, True
        data = composed(parcel.want.data, self._good(ref), parcel.owner_of, held, parcel.staying)
        desired = parcel.want if data == parcel.want.data else replace(parcel.want, data=data)
        exists = bool(data) or parcel.wanted
        have = self.observed(ref, exists)
        last = {ref: state.written[ref]} if ref in state.written else {}
        (write,) = plan({ref: desired} if exists else {}, {ref: have} if have else {}, last) or (None,)
        if write is None and forced and have is not None:
            write = Apply(desired, have, drift=False)
        if isinstance(write, Delete) and not self.removing:
            state.touched.add(ref)
            return None
        if write is not None:
            failure = await self.writer.write(write)
            if failure is not None:
                parcel.tries += 1
                self._tries += 1
                return failure
            self.report.drifted += isinstance(write, Apply) and write.drift
        state.settle(ref, desired if exists else None, self.observed(ref, True))
        return None

    def _good(self, ref: Ref) -> Data:
        """What was last written there, or found there first."""
        written = self.state.written.get(ref)
        if written is not None:
            return written.data
        have = self.observed(ref, False)
        return have.data if have is not None else {}

    # What came of it.

    def _admitted(self, ref: Ref, user: str) -> None:
        if self.state.refusals.drop(ref, user):
            self.report.news.add(user)

    def _is_sole(self, parcel: Parcel, some: Sequence[str]) -> bool:
        """Whether it is the shard of the group's only user: then whose fault a refusal is, is the group's matter."""
        return parcel.ref not in self.state.own_refs and self.state.user_count == len(some) == 1

    def _refuse(self, parcel: Parcel, users: Iterable[str], failure: Failure, *, whole: bool = False) -> None:
        """These users' entries wait until they change, or for their time."""
        WRITE_FAILURES.labels(failure.reason).inc()
        failure = replace(failure, again=False)
        unmade = self.observed(parcel.ref, True) is None and not self._good(parcel.ref)
        for user in users:
            if unmade:
                self._unmade.append((parcel.ref, user))
            entries = of_user(parcel.want.data, parcel.owner_of, user)
            if self.state.refusals.add(parcel.ref, user, entries, failure, self.now, whole=whole):
                self.report.news.add(user)

    def _wait(self, parcel: Parcel, users: Iterable[str], failure: Failure) -> None:
        """The object is tried again soon, with everything."""
        WRITE_FAILURES.labels(failure.reason).inc()
        self.state.tries[parcel.ref] += 1
        self.state.failed[parcel.ref] = Waiting(failure, frozenset(users))
        self.state.refusals.postpone(parcel.ref, self.now + POSTPONED_SECONDS)
        self.report.failed = True

    def _search_on(self, parcel: Parcel, rest: Iterable[str], failure: Failure, *, suspected: bool) -> None:
        """The next passes find the others who are refused. Those who were refused before can wait for it longer."""
        if not suspected:
            passing = replace(failure, again=True)
            self.state.failed[parcel.ref] = Waiting(passing, frozenset(rest), searching=True)
            self.report.failed = True
        self.state.refusals.postpone(parcel.ref, self.now + POSTPONED_SECONDS)

    def _note(self, parcel: Parcel) -> None:
        """Remember who lacks an entry there, and who has one that should go."""
        ref, good = parcel.ref, self._good(parcel.ref)
        lack, surplus = parcel.arriving(good), parcel.leaving(good)
        self.state.lack(ref, lack)
        self.state.surplus.pop(ref, None)
        if surplus:
            self.state.surplus[ref] = surplus

    def _lacks(self, user: str, beside: Ref) -> bool:
        """Whether the user, or the group, lacks an entry in another object."""
        return self.state.lacks[user] > (user in self.state.lacking.get(beside, ()))
