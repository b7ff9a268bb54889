"""Delivers a pass's changes: additions first, then removals, each object as far as the API server accepts it.

An object of several users that is refused is written without the entries that it is refused for, which are found by
halves (decision 021). Their owners keep their last good entries there, and their preferences report that; all other
users' entries are written.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain, islice

from trimtab.core import reasons
from trimtab.core.refs import Ref
from trimtab.core.render.entries import GROUP, changed, of_user
from trimtab.core.render.plan import Observed
from trimtab.engine.groups.object_writes import ObjectChange, ObjectWrites, Report, change_of
from trimtab.engine.groups.state import GroupState
from trimtab.engine.groups.unwritten import Refusal, is_due
from trimtab.engine.groups.writer import Failure, Writer
from trimtab.engine.scheduling.failures import all_of
from trimtab.engine.scheduling.time_slices import TimeSlices
from trimtab.engine.store.cluster_state import ClusterState
from trimtab.engine.store.outputs import group_of
from trimtab.engine.store.ownership import Ownership

CHUNK = 50
"""Objects that are compared before other tasks get the event loop."""
PATIENCE = 6
"""Passes in a row that may fail for transient reasons, before status reports it and a user's entry is suspected."""
MOST_TRIES = 32
"""Refused writes of one object in one pass; the next pass continues."""
MOST_TRIES_OF_A_PASS = 128


@dataclass(frozen=True, slots=True)
class Delivery:
    cluster: ClusterState
    origins: Ownership
    writer: Writer
    slices: TimeSlices

    async def deliver(self, state: GroupState) -> Report:
        """Compare the touched objects with what they should be, and write those that differ.

        :raises trimtab.kube.errors.NotLeaderError: the Lease was lost meanwhile.
        """
        refs, state.files.touched = state.files.touched, set()
        observed = partial(self._observed, state)
        changes: list[ObjectChange] = []
        try:
            async with self.slices.turn() as turn:
                for chunk in _chunks(refs):
                    found = (change_of(state, ref, observed) for ref in chunk)
                    changes += [change for change in found if change is not None]
                    await turn.over()
            now = asyncio.get_running_loop().time()
            # until all users are placed, an object without users may still get some
            writes = ObjectWrites(self.writer, state, observed, now, removing=not state.moving)
            return await _deliver_all(writes, changes)
        except BaseException:
            state.files.touched |= refs
            raise

    def _observed(self, state: GroupState, ref: Ref, wanted: bool) -> Observed | None:
        """What the cluster has there; of what should not exist only the group's own objects, as they are deleted."""
        have = self.cluster.outputs.get(ref)
        state.written.foreign.discard(ref)
        if have is None or wanted:
            return have
        if group_of(have.labels) not in (None, state.key):
            return None
        if state.written.owns(have):
            return have
        state.written.foreign.add(ref)
        self.origins.report([have])
        return None


def _chunks(refs: Iterable[Ref]) -> Iterator[list[Ref]]:
    rest = iter(refs)
    while chunk := list(islice(rest, CHUNK)):
        yield chunk


async def _deliver_all(writes: ObjectWrites, changes: Sequence[ObjectChange]) -> Report:
    state, unwritten = writes.state, writes.unwritten
    missing_before = dict(unwritten.missing)
    first, second = writes.in_order(changes)
    await all_of(_deliver(writes, change, movers) for change, movers in first)
    await all_of(_deliver(writes, change, ()) for change in second)
    for ref, user in writes.uncreated:
        state.files.return_user(user, ref, [at for at, users in unwritten.surplus.items() if user in users])
    state.files.touched |= unwritten.removable(missing_before)
    return writes.report


async def _deliver(writes: ObjectWrites, change: ObjectChange, movers: Collection[str]) -> None:
    ref, unwritten = change.ref, writes.unwritten
    have = writes.observed(ref, False)
    if have is not None and have.is_immutable:
        # it is deleted and recreated: its content is still the last good one
        writes.state.written.objects.setdefault(ref, replace(change.want, data=have.data))
    change.staying = writes.staying(change, movers)
    waiting = unwritten.waiting.pop(ref, None)
    if change.owner is None:
        await _deliver_to_group(writes, change)
    else:
        await _deliver_to_users(writes, change)
        if waiting is not None and not change.attempted:  # it is not due yet
            unwritten.waiting[ref] = waiting
    if ref not in unwritten.waiting:
        unwritten.attempts.pop(ref, None)
    good = writes.good(ref)
    unwritten.compared(ref, change.arriving(good), change.leaving(good))


async def _deliver_to_group(writes: ObjectWrites, change: ObjectChange) -> None:
    ref, failure = change.ref, await writes.write(change, ())
    if failure is None:
        for user in list(writes.refusals.at(ref)):
            writes.admitted(ref, user)  # the object no longer belongs to a user
        return
    writes.wait_as_group(change, failure)
    if writes.observed(ref, True) is None and writes.good(ref):
        await writes.write(change, (GROUP,))  # it was deleted to be recreated


async def _deliver_to_users(writes: ObjectWrites, change: ObjectChange) -> None:
    """New entries first; then those that were refused before and have changed, or are due."""
    ref = change.ref
    candidates = changed(change.want.data, writes.good(ref), change.owner_of)
    known = writes.refusals.at(ref)
    _forget_reverted(writes, change, candidates)
    fresh, before = _partition(candidates, known)
    suspects = [user for user in before if _is_due(writes, change, user, known[user])]
    out, group = set(candidates), known.get(GROUP)
    if fresh or group is None or is_due(group, writes.now):
        await Search(writes, change, out, suspected=group is not None and not fresh).admit(fresh)
    suspects = _with_whole(candidates, suspects, known)
    if suspects and ref not in writes.unwritten.waiting:
        change.rotation = known[suspects[0]].tries if suspects[0] in known else 0
        await Search(writes, change, out, suspected=True).admit(_rotated(suspects, change.rotation // 2))
    _forget_reverted(writes, change, candidates)


def _partition(users: Iterable[str], known: Container[str]) -> tuple[list[str], list[str]]:
    """The users that are not known, and those that are."""
    users = list(users)
    return [user for user in users if user not in known], [user for user in users if user in known]


def _with_whole(candidates: Iterable[str], suspects: list[str], known: Mapping[str, Refusal]) -> list[str]:
    """The suspects, and where the object is refused whatever it holds, all who are refused for that: which entry it is
    refused for, and which would correct that, shows only together."""
    whole = {user for user, refusal in known.items() if refusal.whole}
    if not whole.intersection(suspects):
        return suspects
    return [user for user in candidates if user in suspects or user in whole]


def _rotated(users: list[str], by: int) -> list[str]:
    """Others come first each time."""
    first = by % len(users)
    return users[first:] + users[:first]


def _is_due(writes: ObjectWrites, change: ObjectChange, user: str, refusal: Refusal) -> bool:
    """Whether the user's entries are retried: they changed, or it is time."""
    entries = of_user(change.want.data, change.owner_of, user)
    return is_due(refusal, writes.now) or entries != refusal.entries


def _forget_reverted(writes: ObjectWrites, change: ObjectChange, candidates: Iterable[str]) -> None:
    """Forget the refusals of users whose desired entries are the ones that are there."""
    known = [user for user in writes.refusals.at(change.ref) if user not in (GROUP, *candidates)]
    lost = _lost_users(writes, change) if known else ()
    for user in known:
        if user not in lost:
            writes.admitted(change.ref, user)


@dataclass(slots=True)
class Search:
    """``out`` are the users whose new entries are not written. ``suspected``: the users were refused before."""

    writes: ObjectWrites
    change: ObjectChange
    out: set[str]
    suspected: bool
    _parts: list[list[str]] = field(default_factory=list)
    """Users whose entries are still to be tried, in parts that are tried together"""
    _probed: bool = False

    async def admit(self, users: list[str]) -> None:
        """Write these users' entries too, except those that the API server refuses."""
        self._parts = [users]
        while self._parts:
            part = self._parts.pop()
            failure = await self.writes.write(self.change, self.out - set(part))
            if failure is None:
                self._admitted(part)
            elif not await self._narrow(part, failure):
                return

    def _admitted(self, users: Sequence[str]) -> None:
        self.out.difference_update(users)
        for user in users or [GROUP]:
            self.writes.admitted(self.change.ref, user)

    async def _narrow(self, part: list[str], failure: Failure) -> bool:
        """Continue with the halves of a part that was refused; False if the search ends here."""
        rest = list(chain(part, *self._parts))
        if not await self._is_final(failure):
            self.writes.wait(self.change, rest, failure)
            return False
        if not self._probed:
            self._probed = True
            if not await self._accepts_others(part, failure):
                users = {*(rest or [GROUP]), *_lost_users(self.writes, self.change)}
                self.writes.refuse(self.change, sorted(users), failure, whole=True)
                return False
            part = list(filter(self.out.__contains__, part))
        if len(part) == 1:
            self.writes.refuse(self.change, part, failure)
            return True
        if self.change.attempts > MOST_TRIES or self.writes.attempts > MOST_TRIES_OF_A_PASS:
            self._continue_later(rest, failure)
            return False
        half = len(part) // 2
        self._parts += [users for users in (part[half:], part[:half]) if users]
        return True

    def _continue_later(self, users: list[str], failure: Failure) -> None:
        if self.suspected:  # they can wait for it longer
            self.writes.postpone(self.change.ref)
        else:
            self.writes.search_on(self.change, users, failure)

    async def _accepts_others(self, part: Sequence[str], failure: Failure) -> bool:
        """Whether the object is accepted with some other entries. That also writes what is not new, such as removals.

        If it is refused without the part as well, or does not exist yet, a few users of the part are tried: one of
        them may correct the object, but not together with one who is refused. They are others in each pass.
        """
        if not part or failure.reason == reasons.CONFLICT:
            return False
        ref, half = self.change.ref, len(part) // 2
        some = [part[:1], part[-1:], part[half : half + 1]]
        if self.writes.observed(ref, True) is not None or self.writes.good(ref):
            forced = len(part) > 1 or self._is_sole(part)
            if await self.writes.write(self.change, self.out, forced=forced) is None:
                return True
            some = [part[:1], part[1:] if self.change.rotation % 2 else part[half:]]
        return len(part) > 1 and await self._accepts_any(some)

    async def _accepts_any(self, some: Iterable[Sequence[str]]) -> bool:
        for users in some:
            if await self.writes.write(self.change, self.out - set(users)) is None:
                self._admitted(users)
                return True
        return False

    def _is_sole(self, part: Sequence[str]) -> bool:
        """Whether it is the shard of the group's only user: then a refusal is reported for the group."""
        files = self.writes.state.files
        return self.change.ref not in files.own_refs and files.user_count == len(part) == 1

    async def _is_final(self, failure: Failure) -> bool:
        """Whether only other content, or a change of the cluster, gets the object written. An API server that fails
        every request is not a user's failure, nor is another client that keeps writing to a shard."""
        ref, own = self.change.ref, self.change.ref in self.writes.state.files.own_refs
        if failure.reason == reasons.CONFLICT:
            return own
        if not failure.again:
            return True
        if not self.suspected and self.writes.unwritten.attempts[ref] < PATIENCE - 1:
            return False
        return own or (
            not failure.raced and (failure.status > 0 or await self.writes.writer.is_reachable(ref))
        )


def _lost_users(writes: ObjectWrites, change: ObjectChange) -> set[str]:
    """The users whose entries another client changed or deleted, and who have no edit of their own that waits."""
    want, good, have = change.want.data, writes.good(change.ref), writes.observed(change.ref, True)
    there = have.data if have is not None else {}
    lost = {change.owner_of(name) for name, text in want.items() if there.get(name) != text}
    return lost.difference(changed(want, good, change.owner_of)) if lost else lost
