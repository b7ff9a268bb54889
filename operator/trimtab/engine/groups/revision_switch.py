"""Switches groups: the RenderedGroup first records the revision, then the group's state renders it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from trimtab.core import naming
from trimtab.core.evaluate.membership import is_effective, may_render_into
from trimtab.core.refs import GroupKey, Ref
from trimtab.core.render.plan import Observed
from trimtab.core.resolve.content import CompiledContent
from trimtab.core.resolve.preference import Preference
from trimtab.core.rollout.assignment import Assignment, Parts, Undecided, Unreadable
from trimtab.core.rollout.revisions import RevisionSwitch, components_of
from trimtab.core.rollout.user_share import position_of
from trimtab.core.schema.template import Schema
from trimtab.core.status import Verdict
from trimtab.engine.content.templates import Templates
from trimtab.engine.groups.assignments import Assignments
from trimtab.engine.groups.revisions import Revisions
from trimtab.engine.groups.state import GroupState, ShareState, initial_state
from trimtab.engine.groups.writer import Writer
from trimtab.engine.scheduling.time_slices import TimeSlices
from trimtab.engine.store.cluster_state import ClusterState
from trimtab.engine.store.ownership import Ownership
from trimtab.kube import errors


@dataclass(frozen=True, slots=True)
class RevisionSwitcher:
    """``states`` and ``outcomes`` are the groups' (see :class:`trimtab.engine.groups.reconcile.Groups`)."""

    cluster: ClusterState
    templates: Templates
    revisions: Revisions
    assignments: Assignments
    slices: TimeSlices
    states: dict[GroupKey, GroupState]
    outcomes: dict[GroupKey, Verdict]
    origins: Ownership
    writer: Writer

    async def assignment(self, key: GroupKey) -> Assignment | Undecided | Unreadable | None:
        """The content that the group is to be on; where that was deleted, the content that it is on."""
        found = await self.assignments.of(key)
        judgement = self.templates.judged.get(key.template_key)
        state = self.states.get(key)
        lost = found is None or (not isinstance(found, Assignment) and self.revisions.of(key).current is None)
        if lost and judgement is not None and judgement.accepted is None and state is not None:
            return Assignment(state.served)  # the RenderedGroup was deleted: it is created again
        return found

    async def state(self, key: GroupKey, assignment: Assignment) -> GroupState:
        """The group's state, switched to the assignment; the RenderedGroup records that before anything else.

        :raises trimtab.kube.errors.ApiError: it could not be switched.
        """
        content, switch = assignment.content, assignment.switch(await self._first_user(key, assignment))
        state = self.states.get(key)
        if not self.revisions.of(key).is_on(switch):
            before = self.outcomes.pop(key, None)
            try:
                await self.revisions.switch(key, switch, content.schema.spec.revision_history_limit)
            except errors.ApiError:  # the write may have succeeded
                if before is not None:
                    self.outcomes[key] = before
                raise
        number = int((self.revisions.of(key).current or {})["number"])
        if state is None or not state.is_on(switch, number):
            if state is None:
                state = self.states[key] = await self._adopted(key, content, number)
            view = state.view if state.served.components == content.components else content.view(key.group)
            self.outcomes.pop(key, None)  # it is about the previous content
            state.set_view(content, view, number, self._share_state(key, assignment, switch))
            self.cluster.dirty(key).everything = True
        state.settled, state.back = assignment.settled, assignment.back
        return state

    async def unswitched(self, key: GroupKey) -> GroupState | None:
        """The state of a group that cannot be switched: it stays on its recorded revision. None: there is none yet."""
        state, revisions = self.states.get(key), self.revisions.of(key)
        entry = revisions.current
        if state is not None or entry is None or revisions.shared is not None:
            return state
        template, policies = components_of(entry)
        content = await self.assignments.compose(key, Parts(template, dict(policies)))
        if not isinstance(content, CompiledContent):
            return None
        number = int(entry["number"])
        state = self.states[key] = await self._adopted(key, content, number)
        state.set_view(content, state.view, number)
        state.settled = False
        self.cluster.dirty(key).everything = True
        return state

    def follows(self, key: GroupKey, assignment: Assignment) -> bool:
        """Whether the group's RenderedGroup and its state are where the assignment requires them to be."""
        state = self.states.get(key)
        if state is None:
            return False
        switch = assignment.switch(state.share.first if state.share is not None else "")
        return state.is_on(switch, state.revision) and self.revisions.of(key).is_on(switch)

    async def _adopted(self, key: GroupKey, served: CompiledContent, number: int) -> GroupState:
        """The state of a group that this process has not reconciled yet, with its objects in the cluster."""
        claims = self.origins.claims(key)
        state = initial_state(key, served, number, claims)
        outputs = dict(self.cluster.outputs.of(key))
        outputs |= await self.writer.recover(ref for ref in claims.recorded if ref not in outputs)
        targets = {
            name
            for name in (state.target, *claims.namespaces)
            if may_render_into(self.cluster, name, key.namespace)
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
        self.origins.report(outputs[ref] for ref in state.written.foreign)
        self._keep_the_unclaimed(state, outputs)
        return state

    def _is_claimed(self, key: GroupKey, user: str) -> bool:
        return bool(self.cluster.preferences.claimants(key.template_key, user))

    def _keep_the_unclaimed(self, state: GroupState, outputs: Mapping[Ref, Observed]) -> None:
        """Note the users whose preferences may have gone with their kind, unnoticed."""
        kept, key = self.cluster.kept, state.key
        if not kept.users_before:
            return
        for ref in state.files.touched & outputs.keys():
            for user in state.files.users_in(ref):
                if not self._is_claimed(key, user):
                    kept.adopt(key, user, outputs[ref].created)

    async def _first_user(self, key: GroupKey, assignment: Assignment) -> str:
        """The user whom the share is sure to include: the present one, or the one whose position is the lowest."""
        share = assignment.share
        if share is None:
            return ""
        schema = assignment.content.schema
        first = self.revisions.of(key).first_user(share.content.components, share.seed)
        claimants = self.cluster.preferences.claimants(key.template_key, first) if first else ()
        if any(p.group == key.group and self._reaches(key, schema, p) for p in claimants):
            return first
        return await self._lowest(key, schema, share.seed)

    async def _lowest(self, key: GroupKey, schema: Schema, seed: str) -> str:
        """The user with the lowest position of those who would get the share's content; empty without any."""
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
        claimants = self.cluster.preferences.claimants(key.template_key, preference.user)
        over_limit = state.limit.exceeding if state is not None else ()
        return is_effective(self.cluster, schema, preference, claimants, over_limit)

    def _share_state(
        self, key: GroupKey, assignment: Assignment, switch: RevisionSwitch
    ) -> ShareState | None:
        share, entry = assignment.share, self.revisions.of(key).shared
        if share is None or switch.share is None or entry is None:
            return None
        view, position = share.content.view(key.group), self._position(share.seed)
        number, first = int(entry["number"]), switch.share.first
        return ShareState(share.content, view, share.percent, number, first, position)

    def _position(self, seed: str) -> Callable[[str], float]:
        return lambda user: position_of(self.templates.snapshots.position(seed, user))
