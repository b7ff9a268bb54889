"""The pass over one group: its revision first, then users, then objects, then status."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import islice

from trimtab.core import naming, reasons
from trimtab.core.evaluate.membership import (
    Membership,
    accepting_groups,
    holder,
    may_render_into,
    target_problem,
)
from trimtab.core.evaluate.preference_status import kept_after, without_sensitive
from trimtab.core.evaluate.user import (
    Outcome,
    content_unreadable,
    evaluate_user,
    evaluation_failed,
    no_group,
    not_written,
)
from trimtab.core.refs import GroupKey, Ref, TemplateKey, WorkloadKey
from trimtab.core.render.entries import GROUP
from trimtab.core.render.plan import Observed
from trimtab.core.resolve.preference import Preference
from trimtab.core.rollout.assignment import UNDECIDED, Assignment, Unreadable
from trimtab.core.status import FALSE, TRUE, Verdict
from trimtab.engine.content.snapshots import UNREAD_SECONDS
from trimtab.engine.content.templates import Templates
from trimtab.engine.groups.assignments import Assignments
from trimtab.engine.groups.cleanup import Removal
from trimtab.engine.groups.delivery import PATIENCE, Delivery, Parcel, Report, parcel_of
from trimtab.engine.groups.reach import common_failure
from trimtab.engine.groups.revision_switch import RevisionSwitcher
from trimtab.engine.groups.revisions import Revisions
from trimtab.engine.groups.state import GroupState
from trimtab.engine.groups.status import GroupStatuses
from trimtab.engine.groups.user_limit import update_limit
from trimtab.engine.groups.writer import Failure, Writer
from trimtab.engine.metrics import USERS_RESOLVED
from trimtab.engine.scheduling.failures import fault
from trimtab.engine.scheduling.queue import Work
from trimtab.engine.scheduling.retry import (
    CONFLICT_SECONDS,
    NEVER,
    PASSING,
    REFUSED_OBJECTS,
    RESTARTS,
    SEARCH_SECONDS,
)
from trimtab.engine.scheduling.time_slices import TimeSlice, TimeSlices
from trimtab.engine.status.writer import COUNTS_SECONDS
from trimtab.engine.store.cluster_state import ClusterState, Dirt
from trimtab.engine.store.objects import group_of
from trimtab.engine.store.ownership import Ownership
from trimtab.engine.store.workload_listings import told
from trimtab.engine.workloads.restarts import Workloads
from trimtab.kube import errors
from trimtab.kube.port import Api

log = logging.getLogger(__name__)

BATCH = 500
"""Users that one pass takes: a group's turn ends, its next one comes after the other namespaces'."""
CHUNK = 50
"""Objects compared before others get the event loop."""

Judged = list[tuple[Preference, Outcome]]


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
    unmoved: Counter[GroupKey] = field(default_factory=Counter)
    """Times in a row that a group could not be moved to what it shall serve"""
    said: dict[GroupKey, tuple[str, float]] = field(default_factory=dict)
    """Why not, or why what is gone could not be removed, and since when that is said (the event loop's time)"""
    slices: TimeSlices = field(default_factory=TimeSlices)
    switcher: RevisionSwitcher = field(init=False)

    def __post_init__(self) -> None:
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

        :raises trimtab.kube.errors.ApiError: nothing was lost; the caller tries again later.
        """
        assignment = await self.switcher.assignment(key)
        if assignment is UNDECIDED:
            return  # its rollout looks first, and sends the group here
        if isinstance(assignment, Unreadable):
            await self._say_unreadable(key, assignment)
            return
        if assignment is None:
            await self._without_target(key)
            return
        with self.templates.snapshots.in_use(*assignment.snapshots()):
            await self._pass(key, assignment)

    async def _say_unreadable(self, key: GroupKey, content: Unreadable) -> None:
        """The group stays as it is, says so, also to users whose edits wait, and looks again before long."""
        verdict = Verdict(FALSE, reasons.CONTENT_UNREADABLE, str(content))
        if self.outcomes.get(key) != verdict:
            self.outcomes[key] = verdict
            self.statuses.unrendered(key, verdict)
            self.cluster.report(key.template_key)
        self.cluster.queue.add_after(Work("group", key), key.namespace, UNREAD_SECONDS)
        dirt = self.cluster.dirty(key)
        waiting = {user for users_there in dirt.users.values() for user in users_there}
        told = content_unreadable(
            key.group,
            str(key.template_key),
            f"{key.namespace}/{naming.group_object(key.template, key.group)}",
        )
        async with self.slices.turn() as turn:
            for preference in list(self.cluster.preferences.members(key).values()):
                known = (
                    preference.accepted is not None
                    and preference.accepted.generation == preference.generation
                )
                if (dirt.everything or preference.user in waiting) and not known:
                    self.statuses.offer(preference, Outcome(told, None))
                await turn.over()

    async def _pass(self, key: GroupKey, assignment: Assignment) -> None:
        dirt = self.cluster.dirty(key)
        try:
            state = await self.switcher.state(key, assignment)
        except errors.ApiError as error:
            state = await self._stay(key, error)
        else:
            self.unmoved.pop(key, None)
            self.said.pop(key, None)
            state.unmoved = ""
        if dirt.everything:
            await self._all_dirty(state, dirt)
        self._try_again(state, dirt)
        state.touched |= dirt.outputs
        dirt.outputs.clear()
        judged = await self._users(state, dirt)
        await self._write(state, dirt, judged)
        if dirt:
            self.cluster.enqueue_group(key)

    async def _stay(self, key: GroupKey, error: errors.ApiError) -> GroupState:
        """The group as it is: that it cannot be moved is no reason to keep its users from what they write.

        :raises trimtab.kube.errors.ApiError: the same, if it may pass, or if the group serves nothing yet.
        """
        self.unmoved[key] += 1
        if not errors.lasts(error) and self.unmoved[key] < PATIENCE:
            raise error
        said = self._said(key, f"it cannot be moved to what it shall serve: {error}")
        verdict = Verdict(FALSE, reasons.WRITE_FAILED, said)
        state = await self.switcher.unswitched(key)
        if state is not None:
            state.unmoved = verdict.message
            return state
        if self.outcomes.get(key) != verdict:
            self.outcomes[key] = verdict
            self.cluster.report(key.template_key)
            self.cluster.enqueue_rollouts(key.template_key)
        async with self.slices.turn() as turn:
            for preference in list(self.cluster.preferences.members(key).values()):
                self.statuses.offer(preference, Outcome(verdict, None))
                await turn.over()
        raise error

    def _said(self, key: GroupKey, words: str) -> str:
        """What to say of a refusal: for a while the same, as a webhook may use other words each time (a request's
        number), and each status that is written has the group looked at again."""
        now = asyncio.get_running_loop().time()
        said, since = self.said.get(key, ("", NEVER))
        if not said or now - since >= CONFLICT_SECONDS:
            said, _ = self.said[key] = words, now
        return said

    def _try_again(self, state: GroupState, dirt: Dirt) -> None:
        """Take up what is due to be tried again."""
        now = asyncio.get_running_loop().time()
        state.touched.update(state.refusals.due(now))
        if now >= state.objects.at:
            state.objects.at = NEVER
            state.touched |= state.failed.keys()
            self._judge_later(state, dirt)

    def _judge_later(self, state: GroupState, dirt: Dirt) -> None:
        for user, namespace in state.later.items():
            dirt.users.setdefault(namespace, {})[user] = None
        state.later.clear()

    # Users.

    async def _all_dirty(self, state: GroupState, dirt: Dirt) -> None:
        """Everybody that something is rendered for, in the order of the shards, then who is new."""
        dirt.everything = False
        state.set_view(state.served, state.view, state.revision, state.share)
        where: dict[str, str] = {}
        async with self.slices.turn() as turn:
            for preference in list(self.cluster.preferences.members(state.key).values()):
                where[preference.user] = preference.namespace
                await turn.over()
            for user in [*state.users(), *where]:
                dirt.users.setdefault(where.get(user, ""), {})[user] = None
                state.moving.add(user)
                await turn.over()

    async def _users(self, state: GroupState, dirt: Dirt) -> Judged:
        """Judge and render this pass's share of the dirty users, in slices."""
        judged: Judged = []
        taken = dirt.take(BATCH)
        if not taken:
            return judged
        async with self.slices.turn() as turn:
            limit = await turn.run(update_limit(self.cluster, state))
            for preference in limit.changed:
                dirt.users.setdefault(preference.namespace, {})[preference.user] = None
                await turn.over()
            for user in taken:
                judged += await self._user(state, user, limit.membership, turn)
                await turn.over()
        state.moving.difference_update(taken)
        USERS_RESOLVED.inc(len(taken))
        return judged

    async def _user(self, state: GroupState, user: str, membership: Membership, turn: TimeSlice) -> Judged:
        key = state.key
        claimants = self.cluster.preferences.claimants(key.template_key, user)
        if not claimants and (key, user) in self.cluster.kept.users:
            return []
        self.cluster.kept.users.pop((key, user), None)
        mine = [p for p in claimants if p.group == key.group]
        holds = holder(self.cluster, state.view.schema, claimants)
        if holds is None or holds.group != key.group:
            state.drop_user(user)
        else:
            state.hand_over(holds)
        judged = []
        sensitive = state.view.schema.sensitive
        for preference in mine:
            rendered = state.has(user)
            try:
                preference.accepted, preference.history = without_sensitive(preference, sensitive)
                view = state.view_of(user)
                evaluation = evaluate_user(
                    view, preference, holds or preference, membership, rendered=rendered
                )
                outcome = await turn.run(evaluation)
            except Exception as error:  # it must not keep others from being judged
                named = {"preference": "/".join(preference.key), "group": str(key)}
                log.error("Could not evaluate a preference: %s", fault(error), extra=named)
                outcome = evaluation_failed(preference, type(error).__name__)
            if preference is holds:
                state.set_user(preference, outcome)
            judged.append((preference, outcome))
            await turn.over()  # any number may claim one user
        return judged

    # Objects.

    async def _write(self, state: GroupState, dirt: Dirt, judged: Judged) -> None:
        """Make the touched objects as they should be; then say so."""
        if not may_render_into(self.cluster, state.target, state.key.namespace):
            barred = target_problem(state.target, state.key.namespace)
            told = [(p, o.blocked(reasons.TARGET_NOT_ALLOWED, barred)) for p, o in judged]
            await self._say(state, Verdict(FALSE, reasons.TARGET_NOT_ALLOWED, barred), told)
            return
        refs, state.touched = state.touched, set()
        try:
            report = await self._deliver(state, refs, removing=not state.moving)
        except BaseException:
            state.touched |= refs
            raise
        self._count_drift(state, report.drifted)
        told = self._told(state, judged)
        self._tell(state, dirt, report.news - {preference.user for preference, _ in judged} - {GROUP})
        if report.failed:
            self._retry(state)
        elif not state.failed:
            state.objects.succeeded()
            self._judge_later(state, dirt)
        if state.restarts.at != NEVER:
            # else a start says first that there is nothing to know, and then that there is
            self._share_workloads(state)
        searching = bool(state.failed) and not state.failing and not state.back
        under_way = bool(state.moving) or searching
        state.upgrading = state.upgrading and (bool(state.failed) or under_way)
        await self._say(state, self._verdict(state, more=under_way), told)
        if not state.failing and not under_way:
            await self._restart_workloads(state)
        self._wake(state)
        if state.touched:
            self.cluster.enqueue_group(state.key)

    async def _deliver(self, state: GroupState, refs: set[Ref], *, removing: bool) -> Report:
        """Compare these objects with what they should be, and write what differs."""
        observed = partial(self._observed, state)
        parcels: list[Parcel] = []
        async with self.slices.turn() as turn:
            for chunk in _chunks(refs):
                made = (parcel_of(state, ref, observed) for ref in chunk)
                parcels += [parcel for parcel in made if parcel is not None]
                await turn.over()
        now = asyncio.get_running_loop().time()
        # until all users are placed, nothing is surplus for sure
        return await Delivery(self.writer, state, observed, now, removing).carry_out(parcels)

    def _verdict(self, state: GroupState, *, more: bool) -> Verdict | None:
        if state.unmoved:
            return Verdict(FALSE, reasons.WRITE_FAILED, state.unmoved)
        if state.failing:
            return self._failing(state)
        failure = common_failure(self.cluster, state) if not state.back else None
        if failure is not None:
            return Verdict(FALSE, failure.reason, failure.message)
        if more:  # more passes follow; the pointer's move has said that it is under way
            return self.outcomes.get(state.key)
        return Verdict(TRUE, reasons.RENDERED, _rendered(state))

    def _count_drift(self, state: GroupState, drifted: int) -> None:
        if drifted:
            self.drift[state.key.template_key] += drifted
            self.cluster.report(state.key.template_key)

    def _observed(self, state: GroupState, ref: Ref, wanted: bool) -> Observed | None:
        """What the cluster has there; what is not wanted only if it is this group's own, as it will be deleted."""
        have = self.cluster.outputs.get(ref)
        state.foreign.discard(ref)
        if have is None or wanted:
            return have
        if group_of(have.labels) not in (None, state.key):
            return None
        if state.owns(have):
            return have
        state.foreign.add(ref)
        self.origins.report([have])
        return None

    async def _restart_workloads(self, state: GroupState) -> None:
        """Once what they read is written; a failure is only theirs."""
        now = asyncio.get_running_loop().time()
        if self.workloads.may_retry(state.key):
            state.restarts.at = 0.0
        if now < state.restarts.at:
            return
        turn = state.turn
        before = state.workload_problems, state.shared
        self._share_workloads(state)
        try:
            problems = await self.workloads.restart(
                state.view, state.target, state.key, back=state.back, elsewhere=state.elsewhere
            )
            state.workload_problems = tuple(problems)
            state.restarts.succeeded()
        except errors.ApiError as error:
            state.workload_problems = (f"workloads could not be restarted yet: {error.reason}",)
            state.restarts.failed(RESTARTS, now)
        state.turn = self.workloads.waits(state.key)
        if state.turn != turn:
            self.cluster.enqueue_rollouts(state.key.template_key)
        if not state.restarts.failures and (state.workload_problems or state.turn):
            state.restarts.at = now + CONFLICT_SECONDS
        elif not state.restarts.failures:
            self.cluster.enqueue_rollouts(state.key.template_key)
        if (state.workload_problems, state.shared) != before:
            await self._say(state, self._verdict(state, more=False), [])

    def _share_workloads(self, state: GroupState) -> None:
        """Which of the group's workloads an older template restarts."""
        mine, elsewhere, shared = state.key.template_key, set[WorkloadKey](), list[str]()
        for key in state.workloads:
            listing = self.listing(key)
            if listing and listing != [mine]:
                shared.append(told(key, mine, listing))
                if listing[0] != mine:
                    elsewhere.add(key)
        state.elsewhere, state.shared = frozenset(elsewhere), tuple(shared)

    def listing(self, workload: WorkloadKey) -> list[TemplateKey]:
        """The templates that list the workload and may restart it, the one that does first."""

        def counts(key: TemplateKey) -> bool:
            if not may_render_into(self.cluster, workload.namespace, key.namespace):
                return False
            states = [self.states.get(group) for group in self.cluster.groups_of(key)]
            if states and None not in states:  # what is not served takes no workload from its owner
                return any(state is not None and workload in state.workloads for state in states)
            judgement = self.templates.judged.get(key)
            return bool(self.cluster.rendered(key)) or bool(judgement and judgement.accepted)

        return self.cluster.listings.listing(workload, counts)

    def restart_now(self, key: GroupKey) -> None:
        """Restart the group's workloads in its next pass, if they need it."""
        state = self.states.get(key)
        if state is not None:
            state.restarts.at = 0.0
            self.cluster.enqueue_group(key)

    def _retry(self, state: GroupState) -> None:
        now = asyncio.get_running_loop().time()
        if not state.failing:
            state.objects.at = now + SEARCH_SECONDS
            return
        passes = any(waiting.failure.again for waiting in state.failed.values())
        state.objects.failed(PASSING if passes else REFUSED_OBJECTS, now)

    def _wake(self, state: GroupState) -> None:
        """Queue the group for when the next retry is due: the only place where its retries are scheduled."""
        now = asyncio.get_running_loop().time()
        due = [state.objects.at, state.refusals.next()]
        if state.unmoved:
            due.append(now + CONFLICT_SECONDS)
        if state.restarts.at > now and (state.workload_problems or not state.turn):
            due.append(state.restarts.at + 0.01)  # a group that waits for a slot is called
        at = min(due)
        if at < NEVER:
            delay = max(at - now, 0.05)  # never immediately, whatever is left undone
            self.cluster.queue.add_after(Work("group", state.key), state.key.namespace, delay)

    def _told(self, state: GroupState, judged: Judged) -> Judged:
        """What users may be told: whose files were not written is not told that they are in force."""
        if not state.failed and not state.refusals:
            return judged
        told: Judged = []
        leaving: set[str] = set().union(*state.surplus.values())
        for preference, outcome in judged:
            waits, failure = _waits(state, preference.user), state.refusals.of(preference.user)
            if waits is not None:  # judged again with the retry
                state.later[preference.user] = preference.namespace
                failure = failure or (None if waits.again else waits)
            if failure is not None and outcome.verdict.ready != FALSE:
                has = preference.user in leaving or state.has_files(preference.user, self.cluster.outputs.get)
                message = not_written(preference, failure.message, has_files=has)
                told.append((preference, outcome.blocked(failure.reason, message)))
            elif waits is None or outcome.verdict.ready == FALSE:
                told.append((preference, outcome))
        return told

    def _tell(self, state: GroupState, dirt: Dirt, news: Iterable[str]) -> None:
        """Judge these users again, as something else is to be said of them."""
        for user in news:
            for preference in self.cluster.preferences.claimants(state.key.template_key, user):
                if preference.group == state.key.group:
                    dirt.users.setdefault(preference.namespace, {})[user] = None

    def _failing(self, state: GroupState) -> Verdict | None:
        failures = [waiting.failure for _, waiting in sorted(state.failing.items())]  # the same one each time
        first = next((f for f in failures if not f.again), failures[0])
        if first.again and state.objects.failures < PATIENCE:
            return self.outcomes.get(state.key)  # the next try may well mend it
        return Verdict(FALSE, first.reason, first.message)

    async def _say(self, state: GroupState, verdict: Verdict | None, told: Judged) -> None:
        """Take into force what was written, and offer the verdicts. The group's is None while nothing is known yet that
        its status does not say."""
        key = state.key
        async with self.slices.turn() as turn:
            for preference, outcome in told:
                limit = state.view_of(preference.user).schema.spec.users.history_limit
                present = self.cluster.preferences.get(*preference.key)
                if present is not None and present.uid == preference.uid:
                    present.accepted, present.history = kept_after(present, outcome, limit)
                (state.invalid.discard if outcome.verdict.ready == TRUE else state.invalid.add)(
                    preference.key
                )
                self.statuses.offer(preference, outcome)
                await turn.over()
        if verdict is None:
            return
        changed = self.outcomes.get(key) != verdict
        self.outcomes[key] = verdict
        self.statuses.group(state, verdict, delay=0.0 if changed else COUNTS_SECONDS)
        if changed:
            self.cluster.report(key.template_key)
            self.cluster.enqueue_rollouts(key.template_key)

    # What other objects mean for groups.

    def namespace_changed(self, name: str) -> None:
        """A namespace's labels or annotations changed: look at the groups that they decide about, and at all who claim
        a user beside those who may join now, or no longer, as the user may be another's."""
        claimed: set[tuple[TemplateKey, str]] = set()
        for key, state in self.states.items():
            if state.target == name and name != key.namespace:
                self.cluster.everything(key)
            elif state.view.group.spec.preference_namespace_selector is not None:
                members = self.cluster.preferences.members(key).values()
                claimed.update((p.template, p.user) for p in members if p.namespace == name)
        for template, user in sorted(claimed):
            self.cluster.preferences.mark(template, user, name)

    # Groups that are no more.

    async def _without_target(self, key: GroupKey) -> None:
        """No such template or group (any more), or one that was never valid."""
        judgement = self.templates.judged.get(key.template_key)
        refused = judgement is not None and judgement.accepted is None
        left = None
        if not refused:
            removal = Removal(self.api, self.cluster, self.revisions, self.writer, self.origins)
            left = await removal.clean_up(key, judgement)
        never_valid = refused and not self.cluster.rendered(key.template_key)
        dirt = self.cluster.dirt.pop(key, Dirt())
        served_till_now = self.states.pop(key, None) is not None
        self.workloads.forget(key)
        self.outcomes.pop(key, None)
        self.unmoved.pop(key, None)
        schema = judgement.accepted.schema if judgement and judgement.accepted else None
        offers: dict[str, list[str]] = {}
        members = self.cluster.preferences.members(key).values()
        named = {user for waiting in dirt.users.values() for user in waiting}
        async with self.slices.turn() as turn:
            for preference in list(members):
                if dirt.everything or served_till_now or preference.user in named:
                    there = preference.namespace
                    if schema is not None and there not in offers:
                        offers[there] = accepting_groups(self.cluster, schema, key.namespace, there)
                    verdict = no_group(
                        preference,
                        template=judgement is not None,
                        served=not never_valid,
                        groups=schema.groups if schema is not None else (),
                        offered=offers.get(there, []),
                    )
                    self.statuses.offer(preference, Outcome(verdict, None))
                await turn.over()
        if left is None:
            self.said.pop(key, None)
        else:
            message = self._said(
                key, f"the group is gone, but not all that was rendered for it yet: {left.message}"
            )
            self.statuses.unrendered(key, Verdict(FALSE, reasons.WRITE_FAILED, message))
            raise left


def _chunks(refs: Iterable[Ref]) -> Iterator[list[Ref]]:
    rest = iter(refs)
    while chunk := list(islice(rest, CHUNK)):
        yield chunk


def _waits(state: GroupState, user: str) -> Failure | None:
    """By what the user's entries wait for the group's next try."""
    for ref in state.refs_of(user) if state.failed else ():
        waiting = state.failed.get(ref)
        if waiting is not None and user in waiting.users:
            return waiting.failure
    return None


def _rendered(state: GroupState) -> str:
    said = [f"revision {state.revision} is rendered"]
    refused = len(state.refusals.users().keys() - {GROUP})
    if refused:
        said.append(
            f"files of {refused} of {state.user_count} users are refused, as their UserPreferences say"
        )
    return "; ".join([*said, *state.workload_problems, *state.shared])
