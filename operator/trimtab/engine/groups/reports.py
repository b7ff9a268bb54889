"""What a pass reports of a group and of its users' preferences."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from trimtab.core import naming, reasons
from trimtab.core.evaluate.membership import accepting_groups
from trimtab.core.evaluate.preference_status import kept_after
from trimtab.core.evaluate.user import Outcome, content_unreadable, no_group, not_written
from trimtab.core.refs import GroupKey
from trimtab.core.resolve.preference import Preference
from trimtab.core.rollout.assignment import Unreadable
from trimtab.core.status import FALSE, TRUE, Verdict
from trimtab.engine.content.templates import Judgement
from trimtab.engine.groups.delivery import PATIENCE
from trimtab.engine.groups.reach import common_failure
from trimtab.engine.groups.state import GroupState
from trimtab.engine.groups.status import GroupStatuses
from trimtab.engine.groups.users import Evaluated
from trimtab.engine.scheduling.retry import CONFLICT_SECONDS, NEVER
from trimtab.engine.scheduling.time_slices import TimeSlices
from trimtab.engine.status.writer import COUNTS_SECONDS
from trimtab.engine.store.cluster_state import ClusterState, Dirt


@dataclass(slots=True)
class GroupReports:
    """``outcomes`` are the groups' latest verdicts."""

    cluster: ClusterState
    statuses: GroupStatuses
    slices: TimeSlices
    outcomes: dict[GroupKey, Verdict]
    _messages: dict[GroupKey, tuple[str, float]] = field(default_factory=dict)
    """Why a group cannot be switched or removed, and since when that is reported (the event loop's time)"""

    # Groups that are not rendered by this pass.

    async def offer(self, key: GroupKey, verdict_of: Callable[[Preference], Verdict | None]) -> None:
        """Write a verdict to each preference that names the group and that has one."""
        async with self.slices.turn() as turn:
            for preference in list(self.cluster.preferences.members(key).values()):
                verdict = verdict_of(preference)
                if verdict is not None:
                    self.statuses.offer(preference, Outcome(verdict, None))
                await turn.over()

    def steady_message(self, key: GroupKey, message: str) -> str:
        """The message to report, which is the same one for some time: a webhook may use another one each time (a
        request's number), and each status that is written leads to another pass."""
        now = asyncio.get_running_loop().time()
        reported, since = self._messages.get(key, ("", NEVER))
        if not reported or now - since >= CONFLICT_SECONDS:
            reported, _ = self._messages[key] = message, now
        return reported

    def forget_message(self, key: GroupKey) -> None:
        self._messages.pop(key, None)

    def set_outcome(self, key: GroupKey, verdict: Verdict) -> bool:
        """Whether the group's verdict has changed; then its template sums it up again."""
        changed = self.outcomes.get(key) != verdict
        self.outcomes[key] = verdict
        if changed:
            self.cluster.report(key.template_key)
        return changed

    async def report_unreadable(self, key: GroupKey, content: Unreadable, dirt: Dirt) -> None:
        """The group stays unchanged, and its users' edits wait, as its content cannot be read."""
        verdict = Verdict(FALSE, reasons.CONTENT_UNREADABLE, str(content))
        if self.set_outcome(key, verdict):
            self.statuses.unrendered(key, verdict)
        waiting = dirt.all_users()
        rendered_group = f"{key.namespace}/{naming.group_object(key.template, key.group)}"
        pending = content_unreadable(key.group, str(key.template_key), rendered_group)

        def verdict_of(preference: Preference) -> Verdict | None:
            known = preference.accepted
            in_force = known is not None and known.generation == preference.generation
            return pending if (dirt.everything or preference.user in waiting) and not in_force else None

        await self.offer(key, verdict_of)

    async def report_no_group(
        self, key: GroupKey, judgement: Judgement | None, users: set[str] | None
    ) -> None:
        """Report to these users, None for all, that their group does not exist."""
        accepted = judgement.accepted if judgement is not None else None
        schema = accepted.schema if accepted is not None else None
        served = schema is not None or judgement is None or bool(self.cluster.rendered(key.template_key))
        offers: dict[str, list[str]] = {}

        def verdict_of(preference: Preference) -> Verdict | None:
            if users is not None and preference.user not in users:
                return None
            namespace = preference.namespace
            if schema is not None and namespace not in offers:
                offers[namespace] = accepting_groups(self.cluster, schema, key.namespace, namespace)
            return no_group(
                preference,
                template=judgement is not None,
                served=served,
                groups=schema.groups if schema is not None else (),
                offered=offers.get(namespace, []),
            )

        await self.offer(key, verdict_of)

    # A pass that wrote.

    def group_verdict(self, state: GroupState, *, more: bool) -> Verdict | None:
        """The group's verdict after its writes; None while nothing new is known. ``more``: more passes follow."""
        if state.unmoved:
            return Verdict(FALSE, reasons.WRITE_FAILED, state.unmoved)
        if state.unwritten.failing:
            return self._failing(state)
        refused = not state.back and state.unwritten.refused
        failure = common_failure(self.cluster, state) if refused else None
        if failure is not None:
            return Verdict(FALSE, failure.reason, failure.message)
        if more:  # the switch of the revision has reported the progress
            return self.outcomes.get(state.key)
        return Verdict(TRUE, reasons.RENDERED, _rendered(state))

    def _failing(self, state: GroupState) -> Verdict | None:
        failing = state.unwritten.failing
        failures = [failing[ref].failure for ref in sorted(failing)]  # the same one each time
        first = next((f for f in failures if not f.again), failures[0])
        if first.again and state.unwritten.retry.failures < PATIENCE:
            return self.outcomes.get(state.key)  # the next attempt may well succeed
        return Verdict(FALSE, first.reason, first.message)

    def reportable(self, state: GroupState, evaluated: Evaluated) -> Evaluated:
        """The outcomes that can be reported by now: inputs are in force only once their files are written."""
        if not state.unwritten.waiting and not state.unwritten.refusals:
            return evaluated
        surplus = state.unwritten.users_surplus
        found = ((p, self._reportable(state, p, outcome, surplus)) for p, outcome in evaluated)
        return [(preference, outcome) for preference, outcome in found if outcome is not None]

    def _reportable(
        self, state: GroupState, preference: Preference, outcome: Outcome, surplus: set[str]
    ) -> Outcome | None:
        user, unwritten = preference.user, state.unwritten
        waits = unwritten.failure_of(user, state.files.refs_of(user))
        failure = unwritten.refusals.of(user)
        if waits is not None:  # evaluated again with the retry
            unwritten.unreported[user] = preference.namespace
            failure = failure or (None if waits.again else waits)
        if failure is not None and outcome.verdict.ready != FALSE:
            has_files = user in surplus or state.has_files(user, self.cluster.outputs.get)
            message = not_written(preference, failure.message, has_files=has_files)
            return outcome.blocked(failure.reason, message)
        return outcome if waits is None or outcome.verdict.ready == FALSE else None

    async def report(self, state: GroupState, verdict: Verdict | None, evaluated: Evaluated) -> None:
        """Put into force what was written, and write the verdicts. The group's is None while nothing new is known."""
        async with self.slices.turn() as turn:
            for preference, outcome in evaluated:
                limit = state.view_of(preference.user).schema.spec.users.history_limit
                present = self.cluster.preferences.get(*preference.key)
                if present is not None and present.uid == preference.uid:
                    present.accepted, present.history = kept_after(present, outcome, limit)
                if outcome.verdict.ready == TRUE:
                    state.invalid.discard(preference.key)
                else:
                    state.invalid.add(preference.key)
                self.statuses.offer(preference, outcome)
                await turn.over()
        if verdict is None:
            return
        changed = self.set_outcome(state.key, verdict)
        self.statuses.group(state, verdict, delay=0.0 if changed else COUNTS_SECONDS)
        if changed:
            self.cluster.enqueue_rollouts(state.key.template_key)


def _rendered(state: GroupState) -> str:
    messages = [f"Revision {state.revision} is rendered"]
    refused = len(state.unwritten.refused)
    if refused:
        messages.append(
            f"files of {refused} of {state.files.user_count} users are refused; see their UserPreferences"
        )
    return "; ".join([*messages, *state.restarts.problems, *state.restarts.shared])
