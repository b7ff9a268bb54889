"""The users of one pass: evaluates those that changed, and updates the group's files."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from trimtab.core.evaluate.membership import Membership, holder
from trimtab.core.evaluate.preference_status import without_sensitive
from trimtab.core.evaluate.user import Outcome, evaluate_user, evaluation_failed
from trimtab.core.resolve.preference import Preference
from trimtab.engine.groups.state import GroupState
from trimtab.engine.metrics import USERS_RESOLVED
from trimtab.engine.scheduling.failures import fault
from trimtab.engine.scheduling.time_slices import TimeSlice, TimeSlices
from trimtab.engine.store.cluster_state import ClusterState, Dirt

log = logging.getLogger(__name__)

BATCH = 500
"""Users of one pass: then the queue continues with the other namespaces."""

Evaluated = list[tuple[Preference, Outcome]]


@dataclass(frozen=True, slots=True)
class GroupUsers:
    cluster: ClusterState
    slices: TimeSlices

    async def mark_all(self, state: GroupState, dirt: Dirt) -> None:
        """Every user with files, in the order of the shards, then new ones; and every object."""
        dirt.everything = False
        state.set_view(state.served, state.view, state.revision, state.share)
        namespaces: dict[str, str] = {}
        async with self.slices.turn() as turn:
            for preference in list(self.cluster.preferences.members(state.key).values()):
                namespaces[preference.user] = preference.namespace
                await turn.over()
            for user in [*state.files.users(), *namespaces]:
                dirt.add_user(namespaces.get(user, ""), user)
                state.moving.add(user)
                await turn.over()

    async def evaluate(self, state: GroupState, dirt: Dirt) -> Evaluated:
        """Evaluate and render this pass's part of the dirty users, in time slices."""
        evaluated: Evaluated = []
        users = dirt.take(BATCH)
        if not users:
            return evaluated
        async with self.slices.turn() as turn:
            limit = await turn.run(state.limit.update(self.cluster, state.key, state.view))
            for preference in limit.changed:
                dirt.add_user(preference.namespace, preference.user)
                await turn.over()
            for user in users:
                evaluated += await self.evaluate_user(state, user, limit.membership, turn)
                await turn.over()
        state.moving.difference_update(users)
        USERS_RESOLVED.inc(len(users))
        return evaluated

    async def evaluate_user(
        self, state: GroupState, user: str, membership: Membership, turn: TimeSlice
    ) -> Evaluated:
        """Every preference for the user that names the group; the files are those of the one that holds the user."""
        key = state.key
        claimants = self.cluster.preferences.claimants(key.template_key, user)
        if not claimants and (key, user) in self.cluster.kept.users:
            return []
        self.cluster.kept.users.pop((key, user), None)
        holds = holder(self.cluster, state.view.schema, claimants)
        if holds is None or holds.group != key.group:
            state.files.drop_user(user)
        else:
            state.files.drop_objects_of_others(holds)
        evaluated = []
        for preference in [p for p in claimants if p.group == key.group]:
            outcome = await self._outcome(state, preference, holds, membership, turn)
            if preference is holds:
                state.set_user(preference, outcome)
            evaluated.append((preference, outcome))
            await turn.over()  # any number of preferences may claim one user
        return evaluated

    @staticmethod
    async def _outcome(
        state: GroupState,
        preference: Preference,
        holds: Preference | None,
        membership: Membership,
        turn: TimeSlice,
    ) -> Outcome:
        user = preference.user
        rendered = state.files.has(user)
        try:
            kept = without_sensitive(preference, state.view.schema.sensitive)
            preference.accepted, preference.history = kept
            view = state.view_of(user)
            evaluation = evaluate_user(view, preference, holds or preference, membership, rendered=rendered)
            return await turn.run(evaluation)
        except Exception as error:  # it must not keep other users from being evaluated
            names = {"preference": "/".join(preference.key), "group": str(state.key)}
            log.error("Could not evaluate a preference: %s", fault(error), extra=names)
            return evaluation_failed(preference, type(error).__name__)
