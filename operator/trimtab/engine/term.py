"""All that one term of leadership knows and does. The next term starts from the stores and the cluster.

What a leader has evaluated, rendered, measured or planned to retry is out of date once another process has led, so it
is constructed when a term begins and dropped when it ends. The stores stay filled over terms.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from trimtab.core.objects import template_of
from trimtab.core.refs import GroupKey, Ref
from trimtab.core.render.sizes import DEFAULT_OUTPUT
from trimtab.engine.content.policies import Policies
from trimtab.engine.content.snapshots import Snapshots
from trimtab.engine.content.templates import Templates
from trimtab.engine.groups.assignments import Assignments
from trimtab.engine.groups.reconcile import Groups
from trimtab.engine.groups.revisions import Revisions
from trimtab.engine.groups.status import GroupStatuses
from trimtab.engine.groups.writer import Writer
from trimtab.engine.leadership.encryption_keys import Keyring
from trimtab.engine.metrics import GROUPS, PREFERENCES
from trimtab.engine.rollouts.actions import Answers
from trimtab.engine.rollouts.events import RolloutEvents
from trimtab.engine.rollouts.evidence import EvidenceCollector
from trimtab.engine.rollouts.memory import RolloutMemories
from trimtab.engine.rollouts.observation import GroupObserver
from trimtab.engine.rollouts.preview import Previews
from trimtab.engine.rollouts.preview_tasks import PreviewTasks
from trimtab.engine.rollouts.reconcile import Rollouts
from trimtab.engine.rollouts.spec import RolloutSpecs
from trimtab.engine.rollouts.status import ProgressWriter
from trimtab.engine.scheduling.queue import Work
from trimtab.engine.scheduling.time_slices import TimeSlices
from trimtab.engine.scheduling.workers import Workers
from trimtab.engine.status.writer import StatusWriter
from trimtab.engine.store.cluster_state import ClusterState
from trimtab.engine.store.ownership import Ownership
from trimtab.engine.store.rollout_sources import RolloutSources
from trimtab.engine.templates.reconcile import TemplatePass
from trimtab.engine.templates.status import TemplateStatuses
from trimtab.engine.workloads.health import HealthWatch
from trimtab.engine.workloads.restarts import Workloads, restart_digest
from trimtab.gates.measurer import GateMeasurer
from trimtab.gates.runner import Runner
from trimtab.gates.urls import AllowList
from trimtab.kube.port import Api


@dataclass(frozen=True, slots=True)
class Settings:
    """``namespace`` contains the Lease and the keys. Every store is compared with a full list each ``relist_seconds``.
    Gates may connect to the addresses of ``allow_gates``. ``max_template_output`` limits the bytes of all files of
    one template's groups together."""

    namespace: str
    relist_seconds: float = 600.0
    allow_gates: AllowList = field(default_factory=lambda: AllowList.parse(()))
    max_template_output: int = DEFAULT_OUTPUT


@dataclass(frozen=True, slots=True)
class Clock:
    """``now`` returns RFC 3339 text, ``seconds`` the seconds since 1970."""

    now: Callable[[], str]
    seconds: Callable[[], float]


class Term:
    """``api`` lets only the leader write; ``keyring`` has its keys loaded."""

    def __init__(
        self, api: Api, cluster: ClusterState, keyring: Keyring, settings: Settings, clock: Clock
    ) -> None:
        self.cluster, self._keyring = cluster, keyring
        self.statuses = StatusWriter(api, cluster.queue, clock.now)
        slices = TimeSlices()
        self.ownership = Ownership(cluster, keyring)
        self.snapshots = Snapshots(api, cluster, keyring)
        self.sources = RolloutSources(cluster)
        self.policies = Policies(self.snapshots, self.sources)
        self.templates = Templates(
            cluster,
            self.snapshots,
            self.ownership,
            self.policies.in_force,
            slices,
            settings.max_template_output,
        )
        writer = Writer(api, cluster.outputs, partial(keyring.digest, "output"), self.ownership.is_anothers)
        revisions = Revisions(api, cluster, self.statuses, self.ownership)
        self.health = HealthWatch(api, cluster.enqueue_workload)
        self.workloads = Workloads(
            api, lambda view: restart_digest(keyring.keys, view), self.health, cluster.enqueue_group
        )
        assignments = Assignments(self.templates, self.policies, self.sources, revisions)
        self.groups = Groups(
            api=api,
            cluster=cluster,
            templates=self.templates,
            writer=writer,
            statuses=GroupStatuses(cluster, self.statuses),
            revisions=revisions,
            workloads=self.workloads,
            assignments=assignments,
            origins=self.ownership,
            slices=slices,
        )
        self.memories = RolloutMemories(cluster)
        measurer = GateMeasurer(api, settings.allow_gates, partial(keyring.digest, "job"))
        self.gates = Runner(measurer, self.memories.measured, clock.seconds)
        self.evidence = EvidenceCollector(cluster, self.workloads, self.health, self.gates, self.memories)
        self.specs = RolloutSpecs(
            cluster, self.templates, self.policies, self.sources, revisions, slices, self.memories
        )
        self.rollouts = Rollouts(
            cluster=cluster,
            sources=self.sources,
            specs=self.specs,
            observer=GroupObserver(self.groups, self.evidence),
            previews=PreviewTasks(Previews(cluster, assignments, slices), self.memories, clock.now),
            evidence=self.evidence,
            events=RolloutEvents(api, self.memories),
            answers=Answers(api, cluster, self.sources, self.statuses),
            writer=ProgressWriter(self.statuses, self.sources, clock.seconds, self.memories),
            clock=clock.seconds,
            states=self.groups.states,
            memories=self.memories,
        )
        self.template_pass = TemplatePass(
            cluster=cluster,
            templates=self.templates,
            policies=self.policies,
            sources=self.sources,
            snapshots=self.snapshots,
            groups=self.groups,
            statuses=TemplateStatuses(cluster, self.statuses, self.groups.drift),
            memories=self.memories,
        )
        self._workers = Workers(cluster.queue, self.reconcile)

    async def run(self) -> None:
        """Run until cancelled, which ends the term."""
        self.enqueue_everything()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._workers.run())
                tasks.create_task(self.statuses.run())
                tasks.create_task(self._keyring.run())
        finally:
            self.memories.keep(())
            self.workloads.stop()
            await self.health.stop()
            await self.gates.stop()

    async def idle(self) -> None:
        """Wait until nothing is queued or running and no status waits to be written."""
        while True:
            await self.cluster.queue.idle()
            await self.statuses.idle()
            if not self.cluster.queue.busy and not len(self.statuses):
                return

    def enqueue_everything(self) -> None:
        """Queue every object that exists, that existed, or that another one names."""
        cluster, groups = self.cluster, self.ownership.known_groups()
        templates = {item.key for item in cluster.templates}
        for template in templates | {group.template_key for group in groups}:
            cluster.enqueue_template(template)
        for template in templates | {template_of(rollout) for rollout in cluster.rollouts}:
            cluster.enqueue_rollouts(template)
        for action in cluster.open_actions.values():
            cluster.enqueue_target(action.item)
        for group in groups:
            cluster.everything(group)

    async def reconcile(self, work: Work) -> None:
        """One pass over an entry of the queue."""
        key = work.key
        if isinstance(key, GroupKey):
            await self._group(key)
        elif isinstance(key, Ref):
            self.evidence.workload_changed(key)
            self.workloads.settle(key)
        elif work.what == "rollout":
            await self.rollouts.reconcile(key)
        elif work.what == "template":
            await self.template_pass.reconcile(key)
        elif work.what == "namespace":
            self.groups.namespace_changed(key.name)
        else:
            self.enqueue_everything()

    async def _group(self, key: GroupKey) -> None:
        try:
            await self.groups.reconcile(key)
        except BaseException:
            self.cluster.dirty(key).everything = True  # the pass may have lost what was dirty
            raise
        GROUPS.set(len(self.groups.states))
        PREFERENCES.set(len(self.cluster.preferences))
