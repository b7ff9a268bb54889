"""The engine: reflectors fill the world, the leader's workers empty its queue."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from trimtab.core import naming
from trimtab.core.objects import AnyObject, MetaOnly
from trimtab.core.refs import GroupKey, Ref, TemplateKey, WorkloadKey
from trimtab.core.render.sizes import DEFAULT_OUTPUT
from trimtab.core.resolve.preference import PreferenceObject
from trimtab.core.resolve.resolve import GroupView
from trimtab.crypto import Keys
from trimtab.engine.content.policies import Policies
from trimtab.engine.content.snapshots import Snapshots
from trimtab.engine.content.templates import Templates
from trimtab.engine.groups.assignments import Assignments
from trimtab.engine.groups.reconcile import Groups
from trimtab.engine.groups.revisions import Revisions
from trimtab.engine.groups.writer import Writer
from trimtab.engine.leadership.encryption_keys import Keyring
from trimtab.engine.leadership.write_guard import Fence
from trimtab.engine.metrics import GROUPS, LEADER, PREFERENCES, RECONCILE_SECONDS, RECONCILES
from trimtab.engine.rollouts.actions import Answers
from trimtab.engine.rollouts.events import Audit
from trimtab.engine.rollouts.evidence import Watching
from trimtab.engine.rollouts.observation import Sightings
from trimtab.engine.rollouts.preview import Previews
from trimtab.engine.rollouts.preview_tasks import Drafts
from trimtab.engine.rollouts.reconcile import Rollouts
from trimtab.engine.rollouts.spec import RolloutSpecs
from trimtab.engine.rollouts.status import ProgressWriter
from trimtab.engine.scheduling.failures import fault
from trimtab.engine.scheduling.queue import SHARE
from trimtab.engine.scheduling.retry import Backoff
from trimtab.engine.scheduling.time_slices import TimeSlices
from trimtab.engine.status.verdicts import Verdicts
from trimtab.engine.status.writer import Statuses
from trimtab.engine.store.cluster_state import ClusterState, Work
from trimtab.engine.store.kind_deletions import Kinds
from trimtab.engine.store.objects import OutputObject
from trimtab.engine.store.ownership import Ownership
from trimtab.engine.store.rollout_sources import RolloutSources
from trimtab.engine.templates.reconcile import TemplatePass
from trimtab.engine.workloads.health import HealthWatch
from trimtab.engine.workloads.restarts import Workloads, restart_digest
from trimtab.gates import Gate, Measurement, Subject
from trimtab.gates.measurer import GateMeasurer
from trimtab.gates.runner import Runner
from trimtab.gates.urls import AllowList
from trimtab.kube import errors
from trimtab.kube.port import Api
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
    Resource,
)

log = logging.getLogger(__name__)

WORKERS = SHARE + 1
"""One more than a namespace may keep busy."""
FEW_SECONDS = 60.0
"""How often templates and rollouts are listed: there are few, and kopf may miss a deletion."""
OURS = f"{naming.LABEL_MANAGED_BY}={naming.MANAGER}"


@dataclass(frozen=True, slots=True)
class Settings:
    """``namespace`` holds the Lease and the keys; ``relist_seconds`` is how often every store is compared whole;
    ``allow_gates`` are the addresses that gates may ask; ``max_template_output`` bytes the files of one template's
    groups may be together."""

    namespace: str
    relist_seconds: float = 600.0
    allow_gates: AllowList = field(default_factory=lambda: AllowList.parse(()))
    max_template_output: int = DEFAULT_OUTPUT


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
        self.cluster = ClusterState()
        self.settings = settings
        self._api = api = Fence(api, may_write)
        self.statuses = Statuses(api, lambda: self.cluster.queue.busy)
        self.snapshots = Snapshots(api, self.cluster)
        self.keyring = Keyring(api, settings.namespace, self._rotated)
        slices = TimeSlices()
        self.templates = Templates(self.cluster, self.snapshots, slices, settings.max_template_output)
        self.policies = Policies(self.snapshots)
        self.sources = RolloutSources(self.cluster)
        self.origins = Ownership(self.cluster, self._keys)
        self.writer = Writer(api, self.cluster.outputs, self._output_digest, self.origins.is_anothers)
        self.verdicts = Verdicts(self.cluster, self.statuses, now)
        self.cluster.proved = self.origins.proved
        revisions = Revisions(api, self.cluster, now, self.origins)
        self.health = HealthWatch(api, self._workload_changed)
        workloads = Workloads(api, self._restart_digest, self.health, self._restart_now)
        assignments = Assignments(self.templates, self.policies, self.sources, revisions)
        self.groups = Groups(
            api=api,
            cluster=self.cluster,
            templates=self.templates,
            writer=self.writer,
            verdicts=self.verdicts,
            revisions=revisions,
            workloads=workloads,
            assignments=assignments,
            origins=self.origins,
            slices=slices,
        )
        measurer = GateMeasurer(api, settings.allow_gates, self._job_digest)
        self.gates = Runner(measurer, self._measured, clock)
        self.watching = Watching(self.cluster, workloads, self.health, self.gates)
        self.specs = RolloutSpecs(
            self.cluster, self.templates, self.policies, self.sources, revisions, slices
        )
        self.rollouts = Rollouts(
            cluster=self.cluster,
            sources=self.sources,
            specs=self.specs,
            sightings=Sightings(self.groups, self.watching),
            drafts=Drafts(Previews(self.cluster, assignments, slices), self.cluster.enqueue_rollouts, now),
            watching=self.watching,
            audit=Audit(api),
            answers=Answers(api, self.cluster, self.sources, now),
            writer=ProgressWriter(api, self.sources, clock, now),
            clock=clock,
            states=self.groups.states,
        )
        self.template_pass = TemplatePass(
            cluster=self.cluster,
            templates=self.templates,
            policies=self.policies,
            sources=self.sources,
            snapshots=self.snapshots,
            groups=self.groups,
            verdicts=self.verdicts,
            looked=self.rollouts.looked,
        )
        self.templates.in_force = self.template_pass.in_force
        self.cluster.namespace_changed = self.groups.namespace_changed
        self.reflectors = self._reflectors()
        self.kinds = Kinds(api, self.cluster, self._kind_is_back)
        self.leading = asyncio.Event()
        self._backoff = Backoff()

    def _keys(self) -> Keys:
        keys = self.snapshots.keys
        if keys is None:
            raise errors.NotLeaderError
        return keys

    def _output_digest(self, ref: Ref, data: object) -> str:
        return self._keys().digest("output", ref, data)

    def _job_digest(self, place: tuple[str, ...], text: str) -> str:
        return self._keys().digest("job", place, text)

    def _restart_digest(self, view: GroupView) -> str:
        return restart_digest(self._keys(), view)

    def _rotated(self, keys: Keys) -> None:
        self.snapshots.keys = keys

    def _workload_changed(self, workload: WorkloadKey) -> None:
        self.watching.workload_changed(workload)
        self.groups.workloads.settle(workload)

    def _restart_now(self, group: GroupKey) -> None:
        self.groups.restart_now(group)

    def _measured(self, subject: Subject, gate: Gate, measurement: Measurement, begun: float) -> None:
        self.watching.measured(subject, gate, measurement, begun)

    def _reflectors(self) -> list[AnyReflector]:
        cluster, every = self.cluster, self.settings.relist_seconds

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
            reflect(NAMESPACES, MetaOnly, cluster.namespaces),
            reflect(CONFIG_TEMPLATES, AnyObject, cluster.templates, watch=False),  # kopf watches these three
            reflect(POLICY_ROLLOUTS, AnyObject, cluster.rollouts, watch=False),
            reflect(ROLLOUT_ACTIONS, AnyObject, cluster.actions, watch=False),
            reflect(RENDERED_GROUPS, AnyObject, cluster.groups),
            reflect(CONTROLLER_REVISIONS, MetaOnly, cluster.snapshots, selector=OURS),
            reflect(CONFIG_MAPS, OutputObject, cluster.outputs.sink("ConfigMap"), selector=OURS, limit=200),
            reflect(SECRETS, OutputObject, cluster.outputs.sink("Secret"), selector=OURS, limit=200),
            reflect(USER_PREFERENCES, PreferenceObject, cluster.preferences),
        ]

    def _kind_is_back(self, resource: Resource) -> None:
        for reflector in self.reflectors:
            if reflector.resource == resource:
                reflector.ask()

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
                group.create_task(self.kinds.run())
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
        self.specs.reset()
        self.groups.reset()
        self.groups.workloads.reset()
        self.rollouts.reset()
        self.template_pass.reset()
        self.verdicts.clear()
        await self.kinds.start()
        self.cluster.start()
        self.leading.set()
        LEADER.set(1)

    def follow(self) -> None:
        """Stop acting; stores stay warm."""
        self.leading.clear()
        self.cluster.stop()
        self.verdicts.clear()
        self.watching.clear()
        self.rollouts.drafts.keep(())
        LEADER.set(0)

    # Working.

    async def idle(self) -> None:
        """Wait until nothing is queued, running, or waiting to be said."""
        while True:
            await self.cluster.queue.idle()
            await self.statuses.idle()
            if not self.cluster.queue.busy and not len(self.statuses):
                return

    async def _work(self) -> None:
        queue = self.cluster.queue
        while True:
            await self.leading.wait()
            work = await queue.get()
            started = time.perf_counter()
            result = "ok"
            try:
                if self.leading.is_set():
                    await self._do(work)  # type: ignore[arg-type]
                    self._backoff.worked(work)
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
                log.error("a pass failed: %s", fault(error), extra={"key": str(work.key)})  # type: ignore[attr-defined]
                self._later(work, error)  # type: ignore[arg-type]
            finally:
                queue.done(work)
                RECONCILES.labels(work.what, result).inc()  # type: ignore[attr-defined]
                RECONCILE_SECONDS.labels(work.what).observe(time.perf_counter() - started)  # type: ignore[attr-defined]

    def _later(self, work: Work, error: Exception) -> None:
        """Nothing was decided: whatever was dirty still is, or is looked at whole."""
        count, delay = self._backoff.failed(work, error)
        if count > 2:
            known = isinstance(error, (errors.ApiError, errors.NotLeaderError))
            said = str(error) if known else type(error).__name__
            log.warning("trying again in %.1fs: %s", delay, said, extra={"key": str(work.key)})
        if isinstance(work.key, GroupKey):
            self.cluster.dirty(work.key).everything = True
        self.cluster.queue.add_after(work, work.key.namespace, delay)

    async def _do(self, work: Work) -> None:
        if work.what == "rollout" and isinstance(work.key, TemplateKey):
            await self.rollouts.reconcile(work.key)
        elif isinstance(work.key, GroupKey):
            await self.groups.reconcile(work.key)
            GROUPS.set(len(self.groups.states))
            PREFERENCES.set(len(self.cluster.preferences))
        else:
            await self.template_pass.reconcile(work.key)
