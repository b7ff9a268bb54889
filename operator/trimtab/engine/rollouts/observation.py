"""What a rollout sees of its groups, each under what is wanted of it now: one that has not followed is not settled."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from trimtab.api.rollout_status import WorkloadNote
from trimtab.core.refs import GroupKey, TemplateKey, WorkloadKey
from trimtab.core.rollout import GroupObservation, Intent
from trimtab.core.rollout.assignment import Assignment
from trimtab.core.rollout.source import TEMPLATE, RolloutSource
from trimtab.core.status import FALSE, TRUE
from trimtab.core.workload.health import State
from trimtab.engine.groups.reconcile import CHUNK, Groups
from trimtab.engine.groups.state import GroupState
from trimtab.engine.rollouts.evidence import Watching
from trimtab.engine.scheduling.retry import NEVER
from trimtab.engine.workloads.restart_stamps import notes


@dataclass(slots=True)
class Sightings:
    groups: Groups
    watching: Watching

    async def of(
        self, key: TemplateKey, source: RolloutSource, scope: Iterable[str]
    ) -> dict[str, GroupObservation]:
        """Each planned group, and each of the scope, as it is.

        :raises trimtab.kube.errors.ApiError: some content could not be read now.
        """
        planned = (name for wave in source.progress.waves for name in wave.groups)
        found: dict[str, GroupObservation] = {}
        for number, name in enumerate(dict.fromkeys([*planned, *scope]), 1):
            group = GroupKey(*key, name)
            if source.progress.underway is None and self.groups.revisions.of(group).current is not None:
                found[name] = (
                    GroupObservation()
                )  # nothing is wanted of it: that it is there is all that counts
            else:
                found[name] = await self._one(group, source)
            if number % CHUNK == 0:
                await asyncio.sleep(0)
        return found

    def complete(self, key: TemplateKey, source: RolloutSource) -> bool:
        """Whether every planned group that is served has been compared with what it should be."""
        groups = self.groups
        return all(
            groups.outcomes.get(group) is not None or groups.revisions.of(group).current is None
            for group in (GroupKey(*key, name) for name in source.intents)
        )

    async def _one(self, key: GroupKey, source: RolloutSource) -> GroupObservation:
        intent = source.intents.get(key.group)
        assignment = await self.groups.assignments.of(key)
        if assignment is None:
            if source.progress.underway == "Back" and self._is_left(key):
                return GroupObservation(intent=intent)  # it is to go, and is served still
            comes = await self._comes(key, source)
            early = comes and intent is not None and intent.percent < 100  # it is made at 100
            return GroupObservation(
                exists=comes, epoch=intent.epoch if intent and early else 0, settled=early, intent=intent
            )
        operation = self.groups.revisions.of(key).operation
        epoch = int(operation.get("epoch") or 0) if operation.get("uid") == source.uid else 0
        if not isinstance(assignment, Assignment):
            return GroupObservation(epoch=epoch, intent=intent)
        state, outcome = self.groups.states.get(key), self.groups.outcomes.get(key)
        forward = source.progress.underway == "Forward"
        if state is not None and forward and self._may_restart(state) and self.watching.lost_stamp(state):
            self.groups.restart_now(key)
        settled = (
            state is not None
            and not (intent is not None and intent.hold and not _moved(state, source, intent))
            and outcome is not None
            and outcome.ready == TRUE
            and self.groups.switcher.follows(key, assignment)
            and (state.restarts.at == NEVER or not state.view.group.spec.workloads)
        )
        problem = outcome.message if outcome is not None and outcome.ready == FALSE else ""
        if state is not None:
            problem = problem or next(iter(state.workload_problems), "")
        health: State = "Healthy"
        message, noted, stamps = "", list[WorkloadNote](), self.groups.workloads.stamps
        by_others = state is not None and _all_of(state.workload_problems, stamps.disturbed(key))
        if settled and state is not None and forward:
            health, message, noted, by_others = self.watching.health(state)
        lost = list(stamps.lost(key)) if forward else []
        return GroupObservation(
            epoch=epoch,
            settled=settled,
            health=health,
            message=message,
            problem=problem,
            waits=state.turn if state is not None else "",
            notes=(*notes(lost), *noted),
            contested=next((each.message for each in lost if each.given_up), ""),
            by_others=by_others,
            intent=intent,
        )

    @staticmethod
    def _may_restart(state: GroupState) -> bool:
        """Whether its workloads are all restarted, or one of them could not be: else that is under way."""
        return state.restarts.at == NEVER or bool(state.workload_problems)

    def _is_left(self, key: GroupKey) -> bool:
        """Whether a group that is to go is still served."""
        return self.groups.cluster.rendered_group(key) is not None or bool(self.groups.origins.proved(key))

    async def _comes(self, key: GroupKey, source: RolloutSource) -> bool:
        """Whether a group that is not there is made by what rolls out: then it is waited for."""
        target = source.progress.target
        if source.progress.underway != "Forward" or target is None:
            return False
        return await self.groups.assignments.having(key, source, target.snapshot) is not None


def _all_of(problems: Collection[str], workloads: Iterable[WorkloadKey]) -> bool:
    """Whether there are problems, and each is one of these workloads, with which it begins."""
    names = tuple(f"{key}{after}" for key in workloads for after in (" ", ":"))
    return bool(problems) and all(problem.startswith(names) for problem in problems)


def _moved(state: GroupState, source: RolloutSource, intent: Intent) -> bool:
    """Whether a group that is held has followed already: if not, how its workloads are is no news of the target."""
    target = source.progress.target
    if intent.kind == "Stable":
        return True
    served = state.served if intent.percent >= 100 else (state.share.served if state.share else None)
    if served is None or target is None:
        return False
    mine = served.snapshot if source.kind == TEMPLATE else dict(served.refs).get(source.name)
    return mine == target.snapshot
