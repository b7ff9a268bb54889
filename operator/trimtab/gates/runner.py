"""Measures the gates of every rollout in progress, each at its interval, and reports the measurements.

A measurement belongs to a subject, which is one wave of one attempt. The next subject of the same rollout ends the
measurements of the previous one. The runner keeps no state that a restart would lose.
"""

from __future__ import annotations

import asyncio
import logging
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from trimtab.api.strategy import GateSpec
from trimtab.gates import Gate, Measurement, Subject, is_final
from trimtab.gates.metrics import GATE_MEASUREMENTS
from trimtab.kube.errors import NotLeaderError

log = logging.getLogger(__name__)

SPREAD, LONGEST_SPREAD = 0.1, 1.0
"""Share of the interval, and seconds: the longest delay of a gate, so that not all gates are measured concurrently."""
JOB_SECONDS = 5.0
"""The longest interval at which a running Job is observed."""

Report = Callable[[Subject, Gate, Measurement, float], None]
"""A measurement, and when it began, in seconds since 1970."""


class Measurer(Protocol):
    """Makes measurements; see :class:`trimtab.gates.measurer.GateMeasurer`."""

    async def measure(self, subject: Subject, gate: Gate) -> Measurement: ...

    async def close(self) -> None: ...


@dataclass(slots=True)
class _Measured:
    """The subject that is being measured for one uid."""

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
    """``report`` is called in the event loop and must not wait. ``clock`` returns seconds since 1970."""

    def __init__(self, measurer: Measurer, report: Report, clock: Callable[[], float]) -> None:
        self._measurer, self._report, self._clock = measurer, report, clock
        self._running: dict[str, _Measured] = {}

    def want(self, subject: Subject, gates: Sequence[Gate]) -> None:
        """Measure these gates of that subject from now on, and no others of its uid.

        May be repeated at any time: gates that are being measured already are not affected.
        """
        running = self._running.get(subject.uid)
        if running is None or running.subject != subject:
            self.forget(subject.uid)
            running = self._running[subject.uid] = _Measured(subject)
        desired = {gate.name: gate for gate in gates}
        for name, known in list(running.gates.items()):
            if desired.get(name) != known:
                running.drop(name)
        for name, gate in desired.items():
            if name not in running.gates:
                running.gates[name] = gate
                running.tasks[name] = asyncio.create_task(
                    self._follow(subject, gate), name=f"gate {subject.name}/{name}"
                )

    def forget(self, uid: str) -> None:
        """Stop measuring and reporting that uid."""
        running = self._running.pop(uid, None)
        if running is not None:
            running.drop_all()

    async def stop(self) -> None:
        """Forget everything and close the connections."""
        for uid in list(self._running):
            self.forget(uid)
        await self._measurer.close()

    async def _follow(self, subject: Subject, gate: Gate) -> None:
        loop = asyncio.get_running_loop()
        since = max(self._clock() - subject.started_at, 0.0)  # negative if the clock was set back
        delay = gate.initial_delay - since
        due = loop.time() + max(delay, 0.0) + _spread(subject, gate)
        measurement, begun = Measurement("Pending"), self._clock()
        while True:
            await asyncio.sleep(due - loop.time())
            if not is_final(gate, measurement):
                begun = self._clock()
                measurement = await self._measure(subject, gate)
                GATE_MEASUREMENTS.labels(_type(gate.spec), measurement.result).inc()
            self._report_current(subject, gate, measurement, begun)
            soon = gate.spec.job is not None and measurement.result == "Pending"
            due = max(due + (min(gate.interval, JOB_SECONDS) if soon else gate.interval), loop.time())

    async def _measure(self, subject: Subject, gate: Gate) -> Measurement:
        try:
            return await self._measurer.measure(subject, gate)
        except NotLeaderError:
            return Measurement("Pending")  # the next leader measures
        except Exception:  # a defect is no evidence and does not affect other gates
            log.exception("Could not measure a gate", extra={"gate": gate.name, "rollout": subject.name})
            return Measurement("Error", "the measurement failed unexpectedly; see the operator's log")

    def _report_current(self, subject: Subject, gate: Gate, measurement: Measurement, begun: float) -> None:
        running = self._running.get(subject.uid)
        if running is None or running.subject != subject:
            return
        try:
            self._report(subject, gate, measurement, begun)
        except Exception:
            log.exception(
                "Could not report a measurement", extra={"gate": gate.name, "rollout": subject.name}
            )


def _type(spec: GateSpec) -> str:
    if spec.prometheus is not None:
        return "prometheus"
    return "http" if spec.http is not None else "job"


def _spread(subject: Subject, gate: Gate) -> float:
    """The same delay for the same gate, evenly distributed over all gates."""
    share = zlib.crc32(f"{subject.uid}/{gate.name}".encode()) / 2**32
    return share * min(gate.interval * SPREAD, LONGEST_SPREAD)
