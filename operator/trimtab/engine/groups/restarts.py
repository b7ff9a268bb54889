"""Restarts a group's workloads once its objects are written, unless an older template restarts them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from trimtab.core.evaluate.membership import may_render_into
from trimtab.core.refs import GroupKey, Ref, TemplateKey
from trimtab.engine.content.templates import Templates
from trimtab.engine.groups.state import GroupState
from trimtab.engine.scheduling.retry import CONFLICT_SECONDS, RESTARTS
from trimtab.engine.store.cluster_state import ClusterState
from trimtab.engine.store.workload_listings import message_about
from trimtab.engine.workloads.restarts import Workloads
from trimtab.kube import errors


@dataclass(frozen=True, slots=True)
class GroupRestarts:
    """``states`` are the states of all groups."""

    cluster: ClusterState
    templates: Templates
    workloads: Workloads
    states: dict[GroupKey, GroupState]

    async def restart(self, state: GroupState) -> bool:
        """Restart the workloads if that is due; whether there is anything new to report."""
        restarts, now = state.restarts, asyncio.get_running_loop().time()
        if self.workloads.may_retry(state.key):
            restarts.retry.at = 0.0
        if now < restarts.retry.at:
            return False
        waiting, before = restarts.waiting, (restarts.problems, restarts.shared)
        self.update_shared(state)
        await self._restart(state, now)
        restarts.waiting = self.workloads.waits(state.key)
        if restarts.done and (restarts.problems or restarts.waiting):
            restarts.retry.at = now + CONFLICT_SECONDS
        if restarts.done or restarts.waiting != waiting:
            self.cluster.enqueue_rollouts(state.key.template_key)
        return (restarts.problems, restarts.shared) != before

    async def _restart(self, state: GroupState, now: float) -> None:
        restarts = state.restarts
        try:
            problems = await self.workloads.restart(
                state.view, state.target, state.key, back=state.back, elsewhere=restarts.elsewhere
            )
        except errors.ApiError as error:
            restarts.problems = (f"workloads could not be restarted yet: {error.reason}",)
            restarts.retry.failed(RESTARTS, now)
        else:
            restarts.problems = tuple(problems)
            restarts.retry.succeeded()

    def update_shared(self, state: GroupState) -> None:
        """Which of the group's workloads other templates list, and which of them an older template restarts."""
        mine, elsewhere, shared = state.key.template_key, set[Ref](), list[str]()
        for workload in state.workloads:
            listing = self.listing(workload)
            if listing and listing != [mine]:
                shared.append(message_about(workload, mine, listing))
                if listing[0] != mine:
                    elsewhere.add(workload)
        state.restarts.elsewhere, state.restarts.shared = frozenset(elsewhere), tuple(shared)

    def listing(self, workload: Ref) -> list[TemplateKey]:
        """The templates that list the workload and may restart it; the first one does."""
        return self.cluster.listings.listing(workload, lambda key: self._may_restart(key, workload))

    def _may_restart(self, key: TemplateKey, workload: Ref) -> bool:
        if not may_render_into(self.cluster, workload.namespace, key.namespace):
            return False
        states = [self.states.get(group) for group in self.cluster.groups_of(key)]
        if states and None not in states:  # a revision that is not in effect takes no workload from its owner
            return any(state is not None and workload in state.workloads for state in states)
        judgement = self.templates.judged.get(key)
        return bool(self.cluster.rendered(key)) or bool(judgement and judgement.accepted)

    def request(self, key: GroupKey) -> None:
        """Have the next pass compare the group's workloads."""
        state = self.states.get(key)
        if state is not None:
            state.restarts.retry.at = 0.0
            self.cluster.requeue_group(key)
