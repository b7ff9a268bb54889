"""Measures the gates of every rollout that is under way, each on its interval, and tells what was measured.

Evidence is tied to what it judges: a subject is one wave of one attempt, and the next one of the same rollout ends the
measurements of the one before. Nothing is kept here that a restart would miss.
"""

from __future__ import annotations

import asyncio
import logging
import zlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from trimtab.api.strategy import GateSpec
from trimtab.gates import Measurement, http, job, prometheus
from trimtab.gates.answers import Asker, UnansweredError
from trimtab.gates.metrics import GATE_MEASUREMENTS
from trimtab.gates.urls import AllowList, RefusedUrlError
from trimtab.kube.errors import NotLeaderError
from trimtab.kube.port import Api

log = logging.getLogger(__name__)

SPREAD, LONGEST_SPREAD = 0.1, 1.0
"""Of its interval, and seconds: how much later than others a gate may be measured, so that not all are at once."""
JOB_SECONDS = 5.0
"""How often at least a Job that runs is looked at."""
JOBS_AT_ONCE = 4
"""Requests to the API server; the asker has limits of its own."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What is judged: one wave of one attempt of a rollout. ``started_at``: the wave's start, seconds since 1970.
    ``settled_at``: since when its groups are as they shall be; whenever that changes, everything is measured anew."""

    kind: str
    namespace: str
    name: str
    uid: str
    epoch: int
    wave: int
    started_at: float
    settled_at: str | None = None


class Gate(Protocol):
    """A gate with its defaults filled in; durations in seconds."""

    @property
    def name(self) -> str: ...

    @property
    def interval(self) -> float: ...

    @property
    def initial_delay(self) -> float: ...

    @property
    def timeout(self) -> float: ...

    @property
    def rule(self) -> str: ...

    @property
    def round(self) -> int: ...

    @property
    def job(self) -> str: ...

    @property
    def spec(self) -> GateSpec: ...


Measure = Callable[[Subject, Gate], Awaitable[Measurement]]
Report = Callable[[Subject, Gate, Measurement, float], None]
"""What was measured, and when that was begun, in seconds since 1970."""


@dataclass(slots=True)
class _Measured:
    """The subject that is being measured under one uid."""

    subject: Subject
    gates: dict[str, Gate] = field(default_factory=dict)
    tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)

    def drop(self, name: str) -> None:
        self.gates.pop(name, None)
        task = self.tasks.pop(name, None)
        if task is not None:
            task.cancel()

    def drop_all(self) -> None:
        for name in list(self.tasks):
            self.drop(name)


class Runner:
    """``report`` is called in the event loop and must not wait. ``clock`` gives seconds since 1970.

    ``measure`` makes one measurement; by default it asks where ``allow`` lets it, and the API server for Jobs.
    """

    def __init__(
        self,
        api: Api,
        allow: AllowList,
        report: Report,
        clock: Callable[[], float],
        digest: job.Digest,
        *,
        measure: Measure | None = None,
    ) -> None:
        self._report, self._clock = report, clock
        self._api, self._allow, self._digest = api, allow, digest
        self._asker: Asker | None = None
        self._measure = measure
        self._running: dict[str, _Measured] = {}

    def want(self, subject: Subject, gates: Sequence[Gate]) -> None:
        """Measure these gates of that subject from now on, and no others of its uid.

        May be repeated at any time: what is being measured already goes on.
        """
        running = self._running.get(subject.uid)
        if running is None or running.subject != subject:
            self.forget(subject.uid)
            running = self._running[subject.uid] = _Measured(subject)
        wanted = {gate.name: gate for gate in gates}
        for name, known in list(running.gates.items()):
            if wanted.get(name) != known:
                running.drop(name)
        for name, gate in wanted.items():
            if name not in running.gates:
                running.gates[name] = gate
                running.tasks[name] = asyncio.create_task(
                    self._follow(subject, gate), name=f"gate {subject.name}/{name}"
                )

    def forget(self, uid: str) -> None:
        """Measure nothing of that uid any more; nothing more is reported of it."""
        running = self._running.pop(uid, None)
        if running is not None:
            running.drop_all()

    async def stop(self) -> None:
        """Forget everything and close the connections."""
        for uid in list(self._running):
            self.forget(uid)
        asker, self._asker = self._asker, None
        if asker is not None:
            self._measure = None
            await asker.close()

    async def _follow(self, subject: Subject, gate: Gate) -> None:
        loop = asyncio.get_running_loop()
        since = max(self._clock() - subject.started_at, 0.0)  # less than nothing: clocks went back
        delay = gate.initial_delay - since
        due = loop.time() + max(delay, 0.0) + _spread(subject, gate)
        measurement, begun = Measurement("Pending"), self._clock()
        while True:
            await asyncio.sleep(due - loop.time())
            if not _final(gate, measurement):
                begun = self._clock()
                measurement = await self._measured(subject, gate)
                GATE_MEASUREMENTS.labels(_type(gate.spec), measurement.result).inc()
            self._tell(subject, gate, measurement, begun)
            soon = gate.spec.job is not None and measurement.result == "Pending"
            due = max(due + (min(gate.interval, JOB_SECONDS) if soon else gate.interval), loop.time())

    async def _measured(self, subject: Subject, gate: Gate) -> Measurement:
        try:
            return await self._surveyed()(subject, gate)
        except NotLeaderError:
            return Measurement("Pending")  # whoever leads now, or again, measures
        except Exception:  # a defect is no evidence, and ends no other gate
            log.exception("a gate could not be measured", extra={"gate": gate.name, "rollout": subject.name})
            return Measurement("Error", "the measurement broke; the operator's log says why")

    def _surveyed(self) -> Measure:
        if self._measure is None:
            from trimtab.gates.asker import HttpAsker

            self._asker = HttpAsker()
            self._measure = Surveyor(self._api, self._allow, self._asker, self._digest).measure
        return self._measure

    def _tell(self, subject: Subject, gate: Gate, measurement: Measurement, begun: float) -> None:
        running = self._running.get(subject.uid)
        if running is None or running.subject != subject:
            return
        try:
            self._report(subject, gate, measurement, begun)
        except Exception:
            log.exception(
                "a measurement could not be taken", extra={"gate": gate.name, "rollout": subject.name}
            )


@dataclass(slots=True)
class Surveyor:
    """Makes one measurement of any kind of gate."""

    api: Api
    allow: AllowList
    asker: Asker
    digest: job.Digest
    _made: dict[tuple[Subject, str, int], str] = field(default_factory=dict)
    """The uid of the Job of a subject, gate and round, while it runs"""
    _slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(JOBS_AT_ONCE))

    async def measure(self, subject: Subject, gate: Gate) -> Measurement:
        """What cannot be measured is an Error that says why."""
        spec = gate.spec
        try:
            if spec.prometheus is not None:
                return await prometheus.measure(spec.prometheus, self.allow, self.asker, gate.timeout)
            if spec.http is not None:
                return await http.measure(spec.http, self.allow, self.asker, gate.timeout)
            if spec.job is not None:
                return await self._job(spec.job.cron_job, subject, gate)
        except (RefusedUrlError, UnansweredError) as error:
            return Measurement("Error", str(error))
        return Measurement("Error", "the gate says none of prometheus, http and job")

    async def _job(self, cron_job: str, subject: Subject, gate: Gate) -> Measurement:
        label = job.rollout_label(subject.name)
        about = replace(subject, settled_at=None), gate.name, gate.round
        run = job.Run(
            subject.namespace,
            label,
            subject.uid,
            subject.epoch,
            subject.wave,
            gate.name,
            gate.round,
            self._made.get(about, gate.job),
        )
        async with self._slots:
            try:
                async with asyncio.timeout(gate.timeout):
                    found = await job.measure(self.api, cron_job, run, self.digest)
            except TimeoutError:
                return Measurement("Error", f"the API server gave no answer within {gate.timeout:g}s")
        if found.result in ("Successful", "Failed"):
            self._made.pop(about, None)
        elif found.job:
            self._made[about] = found.job
        return found


def _final(gate: Gate, measurement: Measurement) -> bool:
    """A Job is run once a wave: how it ended is told again, and not looked at, as it may be gone by then."""
    return gate.spec.job is not None and measurement.result in ("Successful", "Failed")


def _type(spec: GateSpec) -> str:
    if spec.prometheus is not None:
        return "prometheus"
    return "http" if spec.http is not None else "job"


def _spread(subject: Subject, gate: Gate) -> float:
    """The same for the same gate, even over all gates."""
    share = zlib.crc32(f"{subject.uid}/{gate.name}".encode()) / 2**32
    return share * min(gate.interval * SPREAD, LONGEST_SPREAD)
