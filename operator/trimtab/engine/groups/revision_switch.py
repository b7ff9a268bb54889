"""Which revision a group is on: its pointer is moved first, and its state, which renders by it, after that."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from trimtab.core import naming
from trimtab.core.refs import GroupKey, Ref
from trimtab.core.render.plan import Observed
from trimtab.core.resolve.content import CompiledContent
from trimtab.core.rollout.user_share import place_of
from trimtab.core.schema.template import Schema
from trimtab.core.status import Verdict
from trimtab.engine.content.templates import Templates
from trimtab.engine.groups.assignments import Assignment, Assignments, Undecided, Unreadable
from trimtab.engine.groups.membership import bars, reaches
from trimtab.engine.groups.revisions import Pointers, components_of
from trimtab.engine.groups.state import GroupState, ShareState, target_of
from trimtab.engine.groups.writer import Writer
from trimtab.engine.scheduling.time_slices import TimeSlices
from trimtab.engine.store.cluster_state import ClusterState
from trimtab.engine.store.ownership import Ownership
from trimtab.engine.store.preferences import Preference
from trimtab.kube import errors


@dataclass(frozen=True, slots=True)
class Placement:
    """``states`` and ``outcomes`` are the groups' (see :class:`trimtab.engine.groups.reconcile.Groups`)."""

    cluster: ClusterState
    templates: Templates
    pointers: Pointers
    assignments: Assignments
    slices: TimeSlices
    states: dict[GroupKey, GroupState]
    outcomes: dict[GroupKey, Verdict]
    origins: Ownership
    writer: Writer

    async def assignment(self, key: GroupKey) -> Assignment | Undecided | Unreadable | None:
        """What the group shall serve; where that has been lost by hand, what it does serve."""
        found = await self.assignments.of(key)
        judgement = self.templates.judged.get(key.template_key)
        state = self.states.get(key)
        lost = found is None or (not isinstance(found, Assignment) and self.pointers.current(key) is None)
        if lost and judgement is not None and judgement.accepted is None and state is not None:
            return Assignment(state.served)  # somebody deleted the pointer: it is made again
        return found

    async def state(self, key: GroupKey, assignment: Assignment) -> GroupState:
        """The group's state, moved to what it shall serve; the pointer is written before anything else.

        :raises trimtab.kube.errors.ApiError: it could not be moved.
        """
        served, share = assignment.served, await self._share(key, assignment)
        state = self.states.get(key)
        if not self._points(key, assignment, share):
            before = self.outcomes.pop(key, None)
            try:
                await self.pointers.move(key, served, share, assignment.operation, assignment.stable)
            except errors.ApiError:  # it may have been moved all the same
                if before is not None:
                    self.outcomes[key] = before
                raise
        number = int((self.pointers.current(key) or {})["number"])
        wanted = share and (share[0].components, share[1], share[2])
        if state is not None and state.serves(served, number, wanted):
            state.settled, state.back = assignment.settled, assignment.back
            return state
        if state is None:
            state = await self._taken_over(key, served, number)
            self.states[key] = state
        view = state.view if state.served.components == served.components else served.view(key.group)
        self.outcomes.pop(key, None)  # it was about what was served before
        state.set_view(served, view, number, self._share_state(key, assignment, share))
        state.settled, state.back = assignment.settled, assignment.back
        self.cluster.dirty(key).everything = True
        return state

    async def stay(self, key: GroupKey) -> GroupState | None:
        """The state of a group that cannot be moved: it serves what its pointer says. None if that is nothing yet."""
        state, entry = self.states.get(key), self.pointers.current(key)
        if state is not None or entry is None or self.pointers.shared(key) is not None:
            return state
        template, policies = components_of(entry)
        served = await self.assignments.build(key, template, dict(policies))
        if not isinstance(served, CompiledContent):
            return None
        number = int(entry["number"])
        state = self.states[key] = await self._taken_over(key, served, number)
        state.set_view(served, state.view, number)
        state.settled = False
        self.cluster.dirty(key).everything = True
        return state

    async def _taken_over(self, key: GroupKey, served: CompiledContent, number: int) -> GroupState:
        """The state of a group that this process has not looked at yet, with what the cluster has of it."""
        view, claims = served.view(key.group), self.origins.claims(key)
        state = GroupState(key, served, view, target_of(key, view), number, claims)
        outputs = dict(self.cluster.outputs.of(key))
        outputs |= await self.writer.recover(ref for ref in claims.recorded if ref not in outputs)
        targets = {
            name
            for name in (state.target, *claims.namespaces)
            if bars(self.cluster, name, key.namespace) is None
        }

        def holder(have: Observed, name: str) -> str | None:
            found = self.cluster.preferences.get(have.ref.namespace, name)
            user = have.annotations.get(naming.ANNOTATION_USER, "")
            if found is None:  # gone: the user goes too, unless their kind has gone
                return user if user and not self._is_claimed(key, user) else None
            if found.group_key != key or not self._reaches(key, served.schema, found):
                return None
            return found.user if user in ("", found.user) else None  # else the preference was another user's

        async with self.slices.turn() as turn:
            for _ in state.adopt(outputs.values(), targets, holder):
                await turn.over()
        self.origins.report(outputs[ref] for ref in state.foreign)
        self._keep_the_unclaimed(state, outputs)
        return state

    def _is_claimed(self, key: GroupKey, user: str) -> bool:
        return bool(self.cluster.preferences.claimants(key.template_key, user))

    def _keep_the_unclaimed(self, state: GroupState, outputs: Mapping[Ref, Observed]) -> None:
        """Note the users whose preferences may have gone with their kind, unnoticed."""
        kept, key = self.cluster.kept, state.key
        if not kept.users_before:
            return
        for ref in state.touched & outputs.keys():
            for user in state.users_in(ref):
                if not self._is_claimed(key, user):
                    kept.adopt(key, user, outputs[ref].created)

    def _points(
        self, key: GroupKey, assignment: Assignment, share: tuple[CompiledContent, int, str] | None
    ) -> bool:
        """Whether the group's pointer says all that already."""
        pointer, other = self.pointers.current(key), self.pointers.shared(key)
        if pointer is None or components_of(pointer) != assignment.served.components:
            return False
        said = self.pointers.share(key)
        mine = (components_of(other), said.get("percent"), said.get("first")) if other else None
        if mine != (share and (share[0].components, share[1], share[2])):
            return False
        operation = assignment.operation
        return operation is None or self.pointers.is_stamped(key, operation)

    def follows(self, key: GroupKey, assignment: Assignment) -> bool:
        """Whether the group's pointer and its state are where the assignment wants them."""
        state, share = self.states.get(key), assignment.share
        mine = state.share if state is not None else None
        if state is None or state.served.components != assignment.served.components:
            return False
        if (share is None) != (mine is None):
            return False
        if share is not None and mine is not None:
            if (mine.served.components, mine.percent) != (share.served.components, share.percent):
                return False
            return self._points(key, assignment, (share.served, share.percent, mine.first))
        return self._points(key, assignment, None)

    async def _share(self, key: GroupKey, assignment: Assignment) -> tuple[CompiledContent, int, str] | None:
        """The share and the user who belongs to it in any case: as it is, or the one whose place is the lowest."""
        share = assignment.share
        if share is None:
            return None
        first = self.pointers.share(key).get("first") or ""
        pointer = self.pointers.shared(key)
        same = pointer is not None and components_of(pointer) == share.served.components
        if self.pointers.operation(key).get("uid") != share.seed and not same:
            first = ""
        schema = assignment.served.schema
        claimants = self.cluster.preferences.claimants(key.template_key, first) if first else ()
        if not any(p.group == key.group and self._reaches(key, schema, p) for p in claimants):
            first = await self._first(key, schema, share.seed)
        return share.served, share.percent, first

    async def _first(self, key: GroupKey, schema: Schema, seed: str) -> str:
        """Of those who would be served what is new, the one whose place is the lowest; empty if there is none."""
        position = self._position(seed)
        best = (float("inf"), "")
        async with self.slices.turn() as turn:
            for preference in list(self.cluster.preferences.members(key).values()):
                place = (position(preference.user), preference.user)
                if place < best and not preference.suspend and self._reaches(key, schema, preference):
                    best = place
                await turn.over()
        return best[1]

    def _reaches(self, key: GroupKey, schema: Schema, preference: Preference) -> bool:
        state = self.states.get(key)
        return reaches(self.cluster, schema, preference, state.over_limit if state is not None else ())

    def _share_state(
        self, key: GroupKey, assignment: Assignment, share: tuple[CompiledContent, int, str] | None
    ) -> ShareState | None:
        pointer = self.pointers.shared(key)
        if share is None or assignment.share is None or pointer is None:
            return None
        served, percent, first = share
        position = self._position(assignment.share.seed)
        return ShareState(served, served.view(key.group), percent, int(pointer["number"]), first, position)

    def _position(self, seed: str) -> Callable[[str], float]:
        return lambda user: place_of(self.templates.snapshots.position(seed, user))
