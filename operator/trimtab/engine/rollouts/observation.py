"""Observes a rollout's groups, each under its present intent: a group that has not followed it is not settled."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from trimtab.core.refs import GroupKey, Ref, TemplateKey
from trimtab.core.rollout import GroupObservation, Intent
from trimtab.core.rollout.assignment import Assignment
from trimtab.core.rollout.source import TEMPLATE, RolloutSource
from trimtab.core.status import FALSE, TRUE, Verdict
from trimtab.engine.groups.delivery import CHUNK
from trimtab.engine.groups.reconcile import Groups
from trimtab.engine.groups.state import GroupState
from trimtab.engine.rollouts.evidence import EvidenceCollector
from trimtab.engine.workloads.restart_history import notes


@dataclass(slots=True)
class GroupObserver:
    groups: Groups
    evidence: EvidenceCollector

    async def of(
        self, key: TemplateKey, source: RolloutSource, scope: Iterable[str]
    ) -> dict[str, GroupObservation]:
        """Each planned group, and each of the scope.

        :raises trimtab.kube.errors.ApiError: some content could not be read now.
        """
        planned = (name for wave in source.progress.waves for name in wave.groups)
        found: dict[str, GroupObservation] = {}
        for number, name in enumerate(dict.fromkeys([*planned, *scope]), 1):
            group = GroupKey(*key, name)
            if source.progress.underway is None and self.groups.revisions.of(group).current is not None:
                found[name] = GroupObservation()  # without an intent only its existence counts
            else:
                found[name] = await self._observed(group, source)
            if number % CHUNK == 0:
                await asyncio.sleep(0)
        return found

    def complete(self, key: TemplateKey, source: RolloutSource) -> bool:
        """Whether every planned group that is rendered has been compared with its desired state."""
        groups = self.groups
        return all(
            groups.outcomes.get(group) is not None or groups.revisions.of(group).current is None
            for group in (GroupKey(*key, name) for name in source.intents)
        )

    async def _observed(self, key: GroupKey, source: RolloutSource) -> GroupObservation:
        intent = source.intents.get(key.group)
        assignment = await self.groups.assignments.of(key)
        if assignment is None:
            return await self._missing(key, source, intent)
        operation = self.groups.revisions.of(key).operation
        epoch = int(operation.get("epoch") or 0) if operation.get("uid") == source.uid else 0
        if not isinstance(assignment, Assignment):
            return GroupObservation(epoch=epoch, intent=intent)
        found = GroupObservation(epoch=epoch, intent=intent)
        return self._present(found, key, source, assignment)

    def _present(
        self, found: GroupObservation, key: GroupKey, source: RolloutSource, assignment: Assignment
    ) -> GroupObservation:
        """A group that exists, or is about to."""
        state = self.groups.states.get(key)
        forward = source.progress.underway == "Forward"
        if state is not None and forward and _restarts(state) and self.evidence.lost_annotation(state):
            self.groups.restarts.request(key)
        found = self._with_problems(found, key, state, forward=forward)
        if state is None or not self._is_settled(state, source, assignment):
            return found
        return self._with_health(found, state) if forward else replace(found, settled=True)

    def _with_problems(
        self, found: GroupObservation, key: GroupKey, state: GroupState | None, *, forward: bool
    ) -> GroupObservation:
        """With what is known of a group whether it has settled or not."""
        history = self.groups.workloads.history
        lost = list(history.changed_back(key)) if forward else []
        problems = state.restarts.problems if state is not None else ()
        return replace(
            found,
            problem=_problem(self.groups.outcomes.get(key), problems),
            waits=state.restarts.waiting if state is not None else "",
            notes=tuple(notes(lost)),
            contested=next((each.message for each in lost if each.given_up), ""),
            by_others=_all_of(problems, history.disturbed(key)),
        )

    def _is_settled(self, state: GroupState, source: RolloutSource, assignment: Assignment) -> bool:
        """Whether the group is where its intent requires it to be, with its objects written and workloads restarted."""
        intent, outcome = source.intents.get(state.key.group), self.groups.outcomes.get(state.key)
        if outcome is None or outcome.ready != TRUE:
            return False
        if intent is not None and intent.hold and not _has_moved(state, source, intent):
            return False
        restarted = state.restarts.done or not state.view.group.spec.workloads
        return restarted and self.groups.switcher.follows(state.key, assignment)

    def _with_health(self, found: GroupObservation, state: GroupState) -> GroupObservation:
        health, message, more, by_others = self.evidence.health(state)
        return replace(
            found,
            settled=True,
            health=health,
            message=message,
            notes=(*found.notes, *more),
            by_others=by_others,
        )

    async def _missing(self, key: GroupKey, source: RolloutSource, intent: Intent | None) -> GroupObservation:
        """A group that is not to exist at present."""
        if source.progress.underway == "Back" and self._is_rendered(key):
            return GroupObservation(intent=intent)  # it is being removed
        comes = await self._is_created(key, source)
        early = comes and intent is not None and intent.percent < 100  # it is created at 100%
        epoch = intent.epoch if intent is not None and early else 0
        return GroupObservation(exists=comes, epoch=epoch, settled=early, intent=intent)

    def _is_rendered(self, key: GroupKey) -> bool:
        return self.groups.cluster.rendered_group(key) is not None or bool(self.groups.origins.proved(key))

    async def _is_created(self, key: GroupKey, source: RolloutSource) -> bool:
        """Whether the rollout creates the group, so that its wave waits for it."""
        target = source.progress.target
        if source.progress.underway != "Forward" or target is None:
            return False
        return await self.groups.assignments.having(key, source, target.snapshot) is not None


def _restarts(state: GroupState) -> bool:
    """Whether a lost restart may be repeated: no restart of the group is in progress."""
    return state.restarts.done or bool(state.restarts.problems)


def _problem(outcome: Verdict | None, workload_problems: Collection[str]) -> str:
    if outcome is not None and outcome.ready == FALSE and outcome.message:
        return outcome.message
    return next(iter(workload_problems), "")


def _all_of(problems: Collection[str], workloads: Iterable[Ref]) -> bool:
    """Whether there are problems, and each is about one of these workloads, whose name it starts with."""
    names = tuple(f"{key}{after}" for key in workloads for after in (" ", ":"))
    return bool(problems) and all(problem.startswith(names) for problem in problems)


def _has_moved(state: GroupState, source: RolloutSource, intent: Intent) -> bool:
    """Whether a paused group has followed already: if not, the health of its workloads is no evidence of the target."""
    target = source.progress.target
    if intent.kind == "Stable":
        return True
    served = state.served if intent.percent >= 100 else (state.share.served if state.share else None)
    if served is None or target is None:
        return False
    mine = served.snapshot if source.kind == TEMPLATE else dict(served.refs).get(source.name)
    return mine == target.snapshot
