"""The engine: reflectors fill the world, the leader's workers empty its queue."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from trimtab.api.policy_rollout import PolicyRolloutSpec
from trimtab.core import naming
from trimtab.core.status import UNKNOWN, Verdict
from trimtab.crypto import Keys
from trimtab.engine.answers import Answers
from trimtab.engine.assignments import Assignments
from trimtab.engine.audit import Audit
from trimtab.engine.cases import Cases
from trimtab.engine.drafts import Drafts
from trimtab.engine.evidence import WorkloadKey
from trimtab.engine.fence import Fence
from trimtab.engine.groups import Groups
from trimtab.engine.health import HealthWatch
from trimtab.engine.keyring import Keyring
from trimtab.engine.metrics import GROUPS, LEADER, PREFERENCES, RECONCILE_SECONDS, RECONCILES
from trimtab.engine.observed import AnyObject, OutputObject
from trimtab.engine.pointers import Listed, Pointers
from trimtab.engine.policies import Policies
from trimtab.engine.preferences import GroupKey, PreferenceObject, TemplateKey
from trimtab.engine.previews import Previews
from trimtab.engine.rollouts import Rollouts
from trimtab.engine.sightings import Sightings
from trimtab.engine.snapshots import FRESH_SECONDS, Snapshots
from trimtab.engine.sources import Sources
from trimtab.engine.statuses import Statuses
from trimtab.engine.templates import Judgement, Templates, ready_verdict, rollout_verdict
from trimtab.engine.verdicts import Verdicts
from trimtab.engine.watching import Watching
from trimtab.engine.workloads import Workloads
from trimtab.engine.world import Work, World
from trimtab.engine.writer import Writer
from trimtab.gates import Measurement
from trimtab.gates.runner import Runner, Subject
from trimtab.gates.urls import AllowList
from trimtab.kube import errors
from trimtab.kube.port import Api, MetaOnly
from trimtab.kube.reflector import AnyReflector, Reflector
from trimtab.kube.resources import (
    CONFIG_MAPS,
    CONFIG_TEMPLATES,
    CONTROLLER_REVISIONS,
    NAMESPACES,
    POLICY_ROLLOUTS,
    RENDERED_GROUPS,
    ROLLOUT_ACTIONS,
    SECRETS,
    USER_PREFERENCES,
)

log = logging.getLogger(__name__)

WORKERS = 4
FEW_SECONDS = 60.0
"""How often templates and rollouts are listed: there are few, and kopf may miss a deletion."""
OURS = f"{naming.LABEL_MANAGED_BY}={naming.MANAGER}"


@dataclass(frozen=True, slots=True)
class Settings:
    """``namespace`` holds the Lease and the keys; ``relist_seconds`` is how often every store is compared whole;
    ``allow_gates`` are the addresses that gates may ask."""

    namespace: str
    relist_seconds: float = 600.0
    allow_gates: AllowList = field(default_factory=lambda: AllowList.parse(()))


class Engine:
    """One operator's engine. Reads always; writes only between :meth:`lead` and :meth:`follow`."""

    def __init__(
        self,
        api: Api,
        settings: Settings,
        may_write: Callable[[], bool],
        now: Callable[[], str],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.world = World()
        self.settings = settings
        self._api = api = Fence(api, may_write)
        self.statuses = Statuses(api, lambda: self.world.queue.busy)
        self.snapshots = Snapshots(api, self.world)
        self.keyring = Keyring(api, settings.namespace, self._rotated)
        self.templates = Templates(self.world, self.snapshots)
        self.policies = Policies(self.snapshots)
        self.sources = Sources(self.world)
        self.writer = Writer(api, self.world.outputs, self._digest)
        self.verdicts = Verdicts(self.world, self.statuses, now)
        pointers = Pointers(api, self.world, now)
        self.health = HealthWatch(api, self._workload_changed)
        workloads = Workloads(api, self._digest, self.health, self._restart_now)
        assignments = Assignments(self.templates, self.policies, self.sources, pointers)
        self.groups = Groups(
            api, self.world, self.templates, self.writer, self.verdicts, pointers, workloads, assignments
        )
        self.gates = Runner(api, settings.allow_gates, self._measured, clock)
        self.watching = Watching(self.world, workloads, self.health, self.gates)
        slices = self.groups.slices
        self.cases = Cases(self.world, self.templates, self.policies, self.sources, pointers, slices)
        self.rollouts = Rollouts(
            api=api,
            world=self.world,
            sources=self.sources,
            cases=self.cases,
            sightings=Sightings(self.groups, self.watching),
            drafts=Drafts(Previews(self.world, assignments, slices), self.world.enqueue_rollouts),
            watching=self.watching,
            audit=Audit(api),
            answers=Answers(api, self.world, self.sources, now),
            clock=clock,
            now=now,
            states=self.groups.states,
        )
        self.templates.in_force = self._in_force
        self.world.namespace_changed = self.groups.namespace_changed
        self.reflectors = self._reflectors()
        self.leading = asyncio.Event()
        self._failures: dict[Work, int] = {}
        self._listed = Listed()
        self._tidied: dict[TemplateKey, int] = {}

    def _digest(self, value: object) -> str:
        keys = self.snapshots.keys
        if keys is None:
            raise errors.NotLeaderError
        return keys.digest(value)

    def _rotated(self, keys: Keys) -> None:
        self.snapshots.keys = keys

    def _workload_changed(self, workload: WorkloadKey) -> None:
        self.watching.workload_changed(workload)
        self.groups.workloads.settle(workload)

    def _restart_now(self, group: GroupKey) -> None:
        self.groups.restart_now(group)

    def _measured(self, subject: Subject, gate: str, measurement: Measurement) -> None:
        self.watching.measured(subject, gate, measurement)

    def _reflectors(self) -> list[AnyReflector]:
        world, every = self.world, self.settings.relist_seconds

        def reflect(
            resource: Any, item: type[Any], sink: Any, *, watch: bool = True, **options: Any
        ) -> AnyReflector:
            return Reflector(
                self._api,
                resource,
                item,
                sink,
                version=lambda o: o.metadata.resourceVersion,
                relist_seconds=every if watch else min(every, FEW_SECONDS),
                watch=watch,
                **options,
            )

        return [
            reflect(NAMESPACES, MetaOnly, world.namespaces),
            reflect(CONFIG_TEMPLATES, AnyObject, world.templates, watch=False),  # kopf watches these three
            reflect(POLICY_ROLLOUTS, AnyObject, world.rollouts, watch=False),
            reflect(ROLLOUT_ACTIONS, AnyObject, world.actions, watch=False),
            reflect(RENDERED_GROUPS, AnyObject, world.groups),
            reflect(CONTROLLER_REVISIONS, MetaOnly, world.snapshots, selector=OURS),
            reflect(CONFIG_MAPS, OutputObject, world.outputs.sink("ConfigMap"), selector=OURS, limit=200),
            reflect(SECRETS, OutputObject, world.outputs.sink("Secret"), selector=OURS, limit=200),
            reflect(USER_PREFERENCES, PreferenceObject, world.preferences),
        ]

    def relist(self) -> None:
        """Whoever watches for us has started anew and may have missed deletions."""
        for reflector in self.reflectors:
            if not reflector.watches:
                reflector.ask()

    @property
    def synced(self) -> bool:
        """Whether every store has been complete once."""
        return all(reflector.synced.is_set() for reflector in self.reflectors)

    async def run(self) -> None:
        """Run until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                for reflector in self.reflectors:
                    group.create_task(reflector.run())
                group.create_task(self.statuses.run())
                group.create_task(self.keyring.run(self.leading))
                for _ in range(WORKERS):
                    group.create_task(self._work())
        finally:
            self.rollouts.drafts.keep(())
            await self.health.stop()
            await self.gates.stop()

    async def wait_synced(self) -> None:
        for reflector in self.reflectors:
            await reflector.synced.wait()

    # Leading.

    async def lead(self) -> None:
        """Start to act: load the keys, look at everything.

        :raises trimtab.kube.errors.ApiError: the keys could not be read or made.
        :raises UnreadableError: the keys' Secret is malformed.
        """
        await self.wait_synced()
        self.snapshots.keys = await self.keyring.load()
        self.templates.judged.clear()
        self.cases.reset()
        self.groups.reset()
        self.groups.workloads.reset()
        self.rollouts.reset()
        self.verdicts.clear()
        self.world.start()
        self.leading.set()
        LEADER.set(1)

    def follow(self) -> None:
        """Stop acting; stores stay warm."""
        self.leading.clear()
        self.world.stop()
        self.verdicts.clear()
        self.watching.clear()
        self.rollouts.drafts.keep(())
        LEADER.set(0)

    # Working.

    async def idle(self) -> None:
        """Wait until nothing is queued, running, or waiting to be said."""
        while True:
            await self.world.queue.idle()
            await self.statuses.idle()
            if not self.world.queue.busy and not len(self.statuses):
                return

    async def _work(self) -> None:
        queue = self.world.queue
        while True:
            await self.leading.wait()
            work = await queue.get()
            started = time.perf_counter()
            result = "ok"
            try:
                if self.leading.is_set():
                    await self._do(work)  # type: ignore[arg-type]
                    self._failures.pop(work, None)  # type: ignore[call-overload]
            except asyncio.CancelledError:
                current = asyncio.current_task()
                if current is None or current.cancelling():
                    raise
                result = "cancelled"  # a call inside was, not this worker
                self._later(work, errors.UnavailableError(0, "Cancelled", "a call was cancelled"))  # type: ignore[arg-type]
            except errors.NotLeaderError as error:
                result = "not-leading"
                # The Lease may be renewed late, and never have been another's.
                self._later(work, error)  # type: ignore[arg-type]
            except errors.ApiError as error:
                result = "delayed"
                self._later(work, error)  # type: ignore[arg-type]
            except Exception as error:
                result = "failed"
                log.exception("a pass failed", extra={"key": str(work.key)})  # type: ignore[attr-defined]
                self._later(work, error)  # type: ignore[arg-type]
            finally:
                queue.done(work)
                RECONCILES.labels(work.what, result).inc()  # type: ignore[attr-defined]
                RECONCILE_SECONDS.labels(work.what).observe(time.perf_counter() - started)  # type: ignore[attr-defined]

    def _later(self, work: Work, error: Exception) -> None:
        """Nothing was decided: whatever was dirty still is, or is looked at whole."""
        count = self._failures[work] = self._failures.get(work, 0) + 1
        delay = min(30.0, 0.05 * 2 ** min(count, 10))
        if count > 2:
            log.warning("trying again in %.1fs: %s", delay, error, extra={"key": str(work.key)})
        if isinstance(work.key, GroupKey):
            self.world.dirty(work.key).everything = True
        self.world.queue.add_after(work, work.key.namespace, delay)

    async def _do(self, work: Work) -> None:
        if work.what == "rollout" and isinstance(work.key, TemplateKey):
            await self.rollouts.reconcile(work.key)
        elif isinstance(work.key, GroupKey):
            await self.groups.reconcile(work.key)
            GROUPS.set(len(self.groups.states))
            PREFERENCES.set(len(self.world.preferences))
        else:
            await self._template(work.key)

    async def _template(self, key: TemplateKey) -> None:
        """Judge it, send its groups to work where they are not where they should be, and say how it stands."""
        before = self.templates.judged.get(key)
        judgement = await self.templates.judge(key)
        if _content(before) != _content(judgement):
            self._collisions_again(key)
        # Of a state without any object left only we know.
        left = {g for g in self.groups.states if g.template == key.name and g.namespace == key.namespace}
        known = self.world.known_groups_of(key) | left
        accepted = judgement.accepted if judgement else None
        wanted = {GroupKey(*key, name) for name in accepted.schema.groups} if accepted else set()
        by_strategy = self.sources.template(key) is not None
        for group in known | wanted:
            state = self.groups.states.get(group)
            refused = judgement is not None and accepted is None and state is not None
            if by_strategy and judgement is not None:
                changed = _content(before) != _content(judgement)
                if changed and (group not in wanted or state is None):
                    self.world.everything(group)  # who names it is told
                elif changed or state is None:
                    self.world.enqueue_group(group)  # it follows its assignment
            elif not refused and (group not in wanted or self._may_follow(group, judgement)):
                self.world.everything(group)
        gone = judgement is None
        unknown = bool(self.sources.of(key)) and key not in self.rollouts.looked
        if not unknown and not await self.snapshots.prune(key, lambda: self._needed(key), gone=gone):
            self.world.queue.add_after(Work("template", key), key.namespace, FRESH_SECONDS)
        self._tidy(key, gone=gone)
        if judgement is not None:
            self._say(key, judgement, wanted)

    def _tidy(self, key: TemplateKey, *, gone: bool) -> None:
        """Drop what is in memory of content that nobody needs, if any was deleted since the last time."""
        if gone:
            self.templates.forget(key)
        if self._tidied.get(key) != self.world.snapshots.changes:
            needed = self._needed(key)
            self.policies.forget(key, needed)
            self.groups.assignments.forget(key, needed)
        self._tidied[key] = self.world.snapshots.changes
        if gone:
            del self._tidied[key]

    def _needed(self, key: TemplateKey) -> set[str]:
        """The snapshots that somebody may still serve."""
        needed = {content.snapshot or "" for source in self.sources.of(key) for content in source.contents()}
        judgement = self.templates.judged.get(key)
        if judgement is not None and judgement.accepted is not None:
            needed.add(judgement.accepted.snapshot)
        return needed | self._listed.of(key, self.world.rendered(key))

    async def _in_force(self, key: TemplateKey) -> list[tuple[str, PolicyRolloutSpec]]:
        """The policies that a new version of the template has to go together with."""
        found = []
        for source in self.sources.policies(key):
            stable = source.progress.stable
            if stable is not None and stable.snapshot:
                spec = await self.policies.spec(TemplateKey(key.namespace, stable.snapshot))
                if spec is not None and spec.template_ref.name == key.name:
                    found.append((source.name, spec))
        return found

    def _collisions_again(self, key: TemplateKey) -> None:
        """A template changed or went: another one may have waited for its names."""
        for other, judgement in self.templates.judged.items():
            if other != key and self.templates.collided(judgement):
                self.world.enqueue_template(other)

    def _say(self, key: TemplateKey, judgement: Judgement, wanted: set[GroupKey]) -> None:
        outcomes: dict[GroupKey, Verdict | None] = {g: self.groups.outcomes.get(g) for g in wanted}
        pending = [
            g for g, v in outcomes.items() if v is None or v.ready == "Unknown" or self._behind(g, judgement)
        ]
        failing = {
            g: (v.reason, v.message) for g, v in outcomes.items() if v is not None and v.ready == "False"
        }
        source = self.sources.template(key)
        if source is not None and source.progress.phase != "Succeeded" and judgement.accepted is not None:
            verdict = rollout_verdict(source.progress, judgement.verdict.notices)
        else:
            verdict = ready_verdict(judgement, pending, failing, self._held(pending))
            if verdict.ready == UNKNOWN and self._said_already(key, judgement):
                return  # a start, not a change: its groups are being compared
        self.verdicts.template(key, judgement, verdict, lambda: self._counts(key))

    def _may_follow(self, group: GroupKey, judgement: Judgement | None) -> bool:
        """Whether a group is behind, and no rollout holds it: one that is held is sent to work when that is through."""
        held = any(group.group in source.wanted for source in self.sources.policies(group.template_key))
        return self._behind(group, judgement) and not (held and group in self.groups.states)

    def _held(self, pending: list[GroupKey]) -> str:
        """Which rollout the template's groups wait for, if they do."""
        for group in pending:
            for source in self.sources.policies(group.template_key):
                if group.group in source.wanted:
                    return f"group {group.group} follows once {source.label} is through"
        return ""

    def _said_already(self, key: TemplateKey, judgement: Judgement) -> bool:
        """Whether the template's status is about this very content already."""
        item = self.world.templates.get(key)
        accepted = judgement.accepted
        return (
            item is not None
            and accepted is not None
            and item.status.get("snapshot") == accepted.snapshot
            and item.status.get("observedGeneration") == item.metadata.generation
        )

    def _behind(self, key: GroupKey, judgement: Judgement | None) -> bool:
        state = self.groups.states.get(key)
        return (
            state is None
            or judgement is None
            or judgement.accepted is None
            or state.served.snapshot != judgement.accepted.snapshot
        )

    def _counts(self, key: TemplateKey) -> dict[str, int]:
        """Counts for status; none while groups are still being compared, so that what it says stays."""
        mine = self.world.groups_of(key)
        states = [s for k in mine if (s := self.groups.states.get(k))]
        if len(states) < len(mine) or any(self.groups.outcomes.get(k) is None for k in mine):
            return {}
        return {
            "groups": len(states),
            "users": sum(len(self.world.preferences.members(s.key)) for s in states),
            "invalidUsers": sum(self.verdicts.invalid_users(s) for s in states),
        }


def _content(judgement: Judgement | None) -> object:
    return judgement and (judgement.uid, judgement.generation)
