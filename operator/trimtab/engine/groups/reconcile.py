"""The pass over one group: its revision, then users, then objects, then status and restarts."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from trimtab.core import reasons
from trimtab.core.evaluate.membership import may_render_into, target_refused
from trimtab.core.refs import GroupKey, TemplateKey
from trimtab.core.render.entries import GROUP
from trimtab.core.rollout.assignment import UNDECIDED, Assignment
from trimtab.core.status import FALSE, Verdict
from trimtab.engine.content.snapshots import UNREAD_SECONDS
from trimtab.engine.content.templates import Templates
from trimtab.engine.groups.assignments import Assignments
from trimtab.engine.groups.cleanup import Removal
from trimtab.engine.groups.delivery import PATIENCE, Delivery
from trimtab.engine.groups.reports import GroupReports
from trimtab.engine.groups.restarts import GroupRestarts
from trimtab.engine.groups.revision_switch import RevisionSwitcher
from trimtab.engine.groups.revisions import Revisions
from trimtab.engine.groups.state import GroupState
from trimtab.engine.groups.status import GroupStatuses
from trimtab.engine.groups.users import Evaluated, GroupUsers
from trimtab.engine.groups.writer import Writer
from trimtab.engine.scheduling.queue import Work
from trimtab.engine.scheduling.retry import CONFLICT_SECONDS, NEVER, PASSING, REFUSED_OBJECTS, SEARCH_SECONDS
from trimtab.engine.scheduling.time_slices import TimeSlices
from trimtab.engine.store.cluster_state import ClusterState, Dirt
from trimtab.engine.store.ownership import Ownership
from trimtab.engine.workloads.restarts import Workloads
from trimtab.kube import errors
from trimtab.kube.port import Api


@dataclass(slots=True)
class Groups:
    """Every group's state and the pass over it."""

    api: Api
    cluster: ClusterState
    templates: Templates
    writer: Writer
    statuses: GroupStatuses
    revisions: Revisions
    workloads: Workloads
    assignments: Assignments
    origins: Ownership
    states: dict[GroupKey, GroupState] = field(default_factory=dict)
    outcomes: dict[GroupKey, Verdict] = field(default_factory=dict)
    drift: Counter[TemplateKey] = field(default_factory=Counter)
    """Reverted manual changes that no template's status reports yet"""
    slices: TimeSlices = field(default_factory=TimeSlices)
    switcher: RevisionSwitcher = field(init=False)
    users: GroupUsers = field(init=False)
    reports: GroupReports = field(init=False)
    restarts: GroupRestarts = field(init=False)
    delivery: Delivery = field(init=False)
    _unmoved: Counter[GroupKey] = field(default_factory=Counter)
    """Passes in a row in which a group could not be switched to its assignment"""

    def __post_init__(self) -> None:
        self.users = GroupUsers(self.cluster, self.slices)
        self.reports = GroupReports(self.cluster, self.statuses, self.slices, self.outcomes)
        self.delivery = Delivery(self.cluster, self.origins, self.writer, self.slices)
        self.restarts = GroupRestarts(self.cluster, self.templates, self.workloads, self.states)
        self.switcher = RevisionSwitcher(
            self.cluster,
            self.templates,
            self.revisions,
            self.assignments,
            self.slices,
            self.states,
            self.outcomes,
            self.origins,
            self.writer,
        )

    async def reconcile(self, key: GroupKey) -> None:
        """One pass.

        :raises trimtab.kube.errors.ApiError: nothing was lost; the caller retries.
        """
        dirt = self.cluster.dirty(key)
        state = self._current(key, dirt)
        if state is not None:
            await self._pass(state, dirt)
            return
        dirt.assignment = False
        assignment = await self.switcher.assignment(key)
        if assignment is None:
            await self._without_content(key)
        elif isinstance(assignment, Assignment):
            with self.templates.snapshots.in_use(*assignment.snapshots()):
                await self._pass(await self._follow(key, assignment), dirt)
        else:
            dirt.assignment = True
            if assignment is not UNDECIDED:  # else its rollout has its pass first, and queues the group
                self._requeue_in(key, UNREAD_SECONDS)
                await self.reports.report_unreadable(key, assignment, dirt)

    def _current(self, key: GroupKey, dirt: Dirt) -> GroupState | None:
        """The group's state, if it follows its assignment and nothing has changed that the assignment depends on. The
        assignment of a share depends on its users."""
        state = self.states.get(key)
        if dirt.everything or dirt.assignment or state is None or state.share is not None or state.unmoved:
            return None
        return state

    # The revision.

    async def _follow(self, key: GroupKey, assignment: Assignment) -> GroupState:
        """The state of the group, switched to its assignment if that is possible."""
        try:
            state = await self.switcher.state(key, assignment)
        except errors.ApiError as error:
            return await self._stay(key, error)
        self._unmoved.pop(key, None)
        self.reports.forget_message(key)
        state.unmoved = ""
        return state

    async def _stay(self, key: GroupKey, error: errors.ApiError) -> GroupState:
        """The group on its present revision: its users' edits do not wait until it can be switched.

        :raises trimtab.kube.errors.ApiError: the same, if it may be transient, or if nothing is rendered yet.
        """
        self._unmoved[key] += 1
        if not errors.lasts(error) and self._unmoved[key] < PATIENCE:
            raise error
        message = self.reports.steady_message(key, f"The group cannot be switched to its revision: {error}")
        verdict = Verdict(FALSE, reasons.WRITE_FAILED, message)
        state = await self.switcher.unswitched(key)
        if state is not None:
            state.unmoved = message
            return state
        if self.reports.set_outcome(key, verdict):
            self.cluster.enqueue_rollouts(key.template_key)
        await self.reports.offer(key, lambda _: verdict)
        raise error

    # Users, objects, status, restarts.

    async def _pass(self, state: GroupState, dirt: Dirt) -> None:
        if dirt.everything:
            await self.users.mark_all(state, dirt)
        self._take_due(state, dirt)
        state.files.touched |= dirt.outputs
        dirt.outputs.clear()
        evaluated = await self.users.evaluate(state, dirt)
        await self._write(state, dirt, evaluated)
        if dirt:
            self.cluster.requeue_group(state.key)

    def _take_due(self, state: GroupState, dirt: Dirt) -> None:
        """Include what is due to be retried."""
        unwritten, now = state.unwritten, asyncio.get_running_loop().time()
        state.files.touched.update(unwritten.refusals.due(now))
        if now >= unwritten.retry.at:
            unwritten.retry.at = NEVER
            state.files.touched |= unwritten.waiting.keys()
            _evaluate_unreported(state, dirt)

    async def _write(self, state: GroupState, dirt: Dirt, evaluated: Evaluated) -> None:
        """Write the touched objects, report that, and then restart workloads."""
        if not may_render_into(self.cluster, state.target, state.key.namespace):
            verdict = target_refused(state.target, state.key.namespace)
            blocked = [(p, o.blocked(verdict.reason, verdict.message)) for p, o in evaluated]
            await self.reports.report(state, verdict, blocked)
            return
        report = await self.delivery.deliver(state)
        if report.drifted:
            self.drift[state.key.template_key] += report.drifted
            self.cluster.report(state.key.template_key)
        reportable = self.reports.reportable(state, evaluated)
        self._evaluate_again(state, dirt, report.changed - {p.user for p, _ in evaluated} - {GROUP})
        self._plan_retry(state, dirt, failed=report.failed)
        await self._finish(state, reportable)
        self._requeue_when_due(state)
        if state.files.touched:
            self.cluster.requeue_group(state.key)

    async def _finish(self, state: GroupState, reportable: Evaluated) -> None:
        """Report what was written, then restart workloads if nothing more follows."""
        if not state.restarts.done:
            # else a start reports first that there is nothing to report, and then that there is
            self.restarts.update_shared(state)
        more = state.is_moving
        state.written.upgrading &= bool(state.unwritten.waiting) or more
        await self.reports.report(state, self.reports.group_verdict(state, more=more), reportable)
        ready = not state.unwritten.failing and not more
        if ready and state.may_restart and await self.restarts.restart(state):
            await self.reports.report(state, self.reports.group_verdict(state, more=False), [])

    def _evaluate_again(self, state: GroupState, dirt: Dirt, users: Iterable[str]) -> None:
        """Mark users whose preferences need another verdict."""
        for user in users:
            for preference in self.cluster.preferences.claimants(state.key.template_key, user):
                if preference.group == state.key.group:
                    dirt.add_user(preference.namespace, user)

    # Retries.

    def _plan_retry(self, state: GroupState, dirt: Dirt, *, failed: bool) -> None:
        unwritten = state.unwritten
        now = asyncio.get_running_loop().time()
        if failed and unwritten.failing:
            transient = any(waiting.failure.again for waiting in unwritten.waiting.values())
            unwritten.retry.failed(PASSING if transient else REFUSED_OBJECTS, now)
        elif failed:
            unwritten.retry.at = now + SEARCH_SECONDS
        elif not unwritten.waiting:
            unwritten.retry.succeeded()
            _evaluate_unreported(state, dirt)

    def _requeue_when_due(self, state: GroupState) -> None:
        """The only place where a group's retries are scheduled."""
        now = asyncio.get_running_loop().time()
        unmoved = now + CONFLICT_SECONDS if state.unmoved else NEVER
        at = min(state.unwritten.due_at(), state.restarts.due_at(now), unmoved)
        if at < NEVER:
            self._requeue_in(state.key, max(at - now, 0.05))  # with a delay, whatever is left undone

    def _requeue_in(self, key: GroupKey, seconds: float) -> None:
        self.cluster.queue.add_after(Work("group", key), key.namespace, seconds)

    # What other objects mean for groups.

    def namespace_changed(self, name: str) -> None:
        """A namespace's labels or annotations changed: queue the groups that depend on them, and all users who have a
        preference there, as other groups may hold such a user now."""
        claimed: set[tuple[TemplateKey, str]] = set()
        for key, state in self.states.items():
            if state.target == name and name != key.namespace:
                self.cluster.everything(key)
            elif state.view.group.spec.preference_namespace_selector is not None:
                members = self.cluster.preferences.members(key).values()
                claimed.update((p.template, p.user) for p in members if p.namespace == name)
        for template, user in sorted(claimed):
            self.cluster.preferences.mark(template, user, name)

    # Groups without content.

    async def _without_content(self, key: GroupKey) -> None:
        """There is no such template or group, or it has never been valid."""
        judgement = self.templates.judged.get(key.template_key)
        refused = judgement is not None and judgement.accepted is None
        removal = Removal(self.api, self.cluster, self.revisions, self.writer, self.origins)
        left = None if refused else await removal.clean_up(key, judgement)
        dirt = self.cluster.dirt.pop(key, Dirt())
        rendered = self.states.pop(key, None) is not None
        self.workloads.forget(key)
        self.outcomes.pop(key, None)
        self._unmoved.pop(key, None)
        await self.reports.report_no_group(
            key, judgement, None if rendered or dirt.everything else dirt.all_users()
        )
        if left is None:
            self.reports.forget_message(key)
            return
        message = self.reports.steady_message(
            key, f"The group was deleted, but not all of its objects could be: {left.message}"
        )
        self.statuses.unrendered(key, Verdict(FALSE, reasons.WRITE_FAILED, message))
        raise left


def _evaluate_unreported(state: GroupState, dirt: Dirt) -> None:
    for user, namespace in state.unwritten.unreported.items():
        dirt.add_user(namespace, user)
    state.unwritten.unreported.clear()
