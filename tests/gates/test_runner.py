"""Gates are measured at their intervals while their wave is evaluated, and results never cross to another wave."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import pytest
from cryptography.fernet import Fernet

from support import virtual_time
from support.memory_api import Memory
from trimtab.api.strategy import GateSpec, HttpGate, JobGate, PrometheusGate
from trimtab.crypto import Keys
from trimtab.gates import Gate, Measurement, Subject
from trimtab.gates.measurer import GateMeasurer
from trimtab.gates.metrics import GATE_MEASUREMENTS
from trimtab.gates.runner import JOB_SECONDS, LONGEST_SPREAD, Runner
from trimtab.gates.urls import AllowList
from trimtab.kube.resources import CRON_JOBS, JOBS, NAMESPACES

digest = partial(Keys((Fernet.generate_key(),), b"digest-key-of-the-tests").digest, "job")
GOOD = Measurement("Successful", "good")
STARTED = 1_000_000.0
SUBJECT = Subject("PolicyRollout", "music", "calmer-agents", "uid-1", 1, 1, STARTED)


@dataclass(frozen=True)
class Check:
    """A gate as the runner sees it."""

    name: str = "errors"
    interval: float = 30.0
    initial_delay: float = 0.0
    timeout: float = 10.0
    rule: str = ""
    round: int = 0
    job: str = ""
    spec: GateSpec = field(default_factory=lambda: GateSpec(name="errors", http=HttpGate(url="http://a/")))


@dataclass
class Scene:
    """A runner whose measurements are told beforehand, and all that it reported."""

    runner: Runner = field(init=False)
    told: list[tuple[float, Subject, str, Measurement]] = field(default_factory=list)
    made: list[tuple[float, str]] = field(default_factory=list)
    answer: Callable[[Subject, Gate], Awaitable[Measurement]] | None = None
    ahead: float = 0.0
    """How far the wave's start is behind the start of the scene, in seconds."""

    def __post_init__(self) -> None:
        self.runner = Runner(self, self.report, self.now)

    def now(self) -> float:
        return STARTED + self.ahead + asyncio.get_running_loop().time()

    def report(self, subject: Subject, gate: Gate, measurement: Measurement, begun: float) -> None:
        assert begun <= self.now()
        self.told.append((self.now() - STARTED, subject, gate.name, measurement))

    async def measure(self, subject: Subject, gate: Gate) -> Measurement:
        self.made.append((self.now() - STARTED, gate.name))
        return GOOD if self.answer is None else await self.answer(subject, gate)

    async def close(self) -> None:
        pass

    @property
    def times(self) -> list[float]:
        return [when for when, *_ in self.told]


def test_a_gate_is_measured_from_the_waves_start_on_its_interval() -> None:
    async def scene() -> None:
        s = Scene()
        s.runner.want(SUBJECT, [Check()])
        await asyncio.sleep(100)
        await s.runner.stop()
        await asyncio.sleep(1000)

        first = s.times[0]
        assert 0 <= first <= LONGEST_SPREAD
        assert s.times == pytest.approx([first, first + 30, first + 60, first + 90])
        assert {(subject, gate, m) for _, subject, gate, m in s.told} == {(SUBJECT, "errors", GOOD)}

    virtual_time.run(scene())


@pytest.mark.parametrize(
    ("ahead", "first"),
    [(0.0, 60.0), (45.0, 60.0), (500.0, 500.0), pytest.param(-3600.0, -3540.0, id="clocks went back")],
)
def test_the_initial_delay_counts_from_the_waves_start_whenever_we_began_to_look(
    ahead: float, first: float
) -> None:
    async def scene() -> None:
        s = Scene(ahead=ahead)
        s.runner.want(SUBJECT, [Check(initial_delay=60.0)])
        await asyncio.sleep(70)
        await s.runner.stop()

        assert first <= s.times[0] <= first + LONGEST_SPREAD

    virtual_time.run(scene())


def test_wanting_again_what_is_measured_changes_nothing() -> None:
    async def scene() -> None:
        often, once = Scene(), Scene()
        once.runner.want(SUBJECT, [Check()])
        for _ in range(100):
            often.runner.want(replace(SUBJECT), [replace(Check())])
            await asyncio.sleep(1)

        assert often.times == pytest.approx(once.times)
        await often.runner.stop()
        await once.runner.stop()

    virtual_time.run(scene())


@pytest.mark.parametrize("change", [{"epoch": 2}, {"wave": 2}, {"started_at": STARTED + 5}])
def test_a_new_subject_ends_the_measurements_of_the_old_one(change: dict[str, Any]) -> None:
    async def scene() -> None:
        async def slow(subject: Subject, gate: Gate) -> Measurement:
            await asyncio.sleep(8)
            return GOOD

        s = Scene(answer=slow)
        s.runner.want(SUBJECT, [Check()])
        await asyncio.sleep(5)
        after = replace(SUBJECT, **change)
        s.runner.want(after, [Check()])
        await asyncio.sleep(100)
        await s.runner.stop()

        assert len(s.made) > len(s.told) > 0
        assert {subject for _, subject, _, _ in s.told} == {after}

    virtual_time.run(scene())


def test_no_result_of_a_forgotten_gate_is_reported_not_even_one_in_progress() -> None:
    async def scene() -> None:
        made = asyncio.Event()

        async def answer(subject: Subject, gate: Gate) -> Measurement:
            made.set()
            return GOOD

        s = Scene(answer=answer)
        s.runner.want(SUBJECT, [Check(), Check(name="other")])
        s.runner.want(replace(SUBJECT, uid="uid-2"), [Check()])
        s.runner.forget("uid-1")
        await made.wait()
        s.runner.forget("uid-2")
        s.runner.forget("never-wanted")
        told = len(s.told)
        await asyncio.sleep(1000)

        assert len(s.told) == told
        assert {subject.uid for _, subject, _, _ in s.told} <= {"uid-2"}

    virtual_time.run(scene())


def test_only_the_gates_that_changed_restart() -> None:
    async def scene() -> None:
        s = Scene()
        s.runner.want(SUBJECT, [Check(name="stays"), Check(name="goes"), Check(name="changes")])
        await asyncio.sleep(45)
        s.runner.want(
            SUBJECT, [Check(name="stays"), Check(name="changes", interval=10.0), Check(name="comes")]
        )
        await asyncio.sleep(40)
        await s.runner.stop()

        counted = Counter(gate for _, _, gate, _ in s.told)
        assert counted == {"stays": 3, "goes": 2, "changes": 2 + 4, "comes": 2}

    virtual_time.run(scene())


def test_a_measurement_that_takes_longer_than_the_interval_is_followed_by_one_not_by_many() -> None:
    async def scene() -> None:
        async def slow(subject: Subject, gate: Gate) -> Measurement:
            await asyncio.sleep(10)
            return GOOD

        s = Scene(answer=slow)
        s.runner.want(SUBJECT, [Check(interval=1.0)])
        await asyncio.sleep(100)
        await s.runner.stop()

        assert len(s.told) == 9
        assert len(s.made) <= 10

    virtual_time.run(scene())


def test_gates_with_the_same_interval_are_not_measured_at_the_same_time() -> None:
    async def scene() -> list[float]:
        s = Scene()
        for n in range(100):
            s.runner.want(replace(SUBJECT, uid=f"uid-{n}"), [Check()])
        await asyncio.sleep(15)
        await s.runner.stop()
        return s.times

    times = virtual_time.run(scene())

    assert len({round(when, 2) for when in times}) > 50
    assert virtual_time.run(scene()) == times


def test_a_hundred_rollouts_that_soak_cost_one_measurement_an_interval_and_nothing_else() -> None:
    async def scene() -> None:
        s = Scene()
        for n in range(100):
            s.runner.want(replace(SUBJECT, uid=f"uid-{n}"), [Check()])
        loop = asyncio.get_running_loop()
        rounds = 0
        original = loop._run_once  # type: ignore[attr-defined]

        def counted() -> None:
            nonlocal rounds
            rounds += 1
            original()

        loop._run_once = counted  # type: ignore[attr-defined]
        await asyncio.sleep(3600)
        await s.runner.stop()

        assert len(s.told) == 100 * 120
        assert rounds <= 2 * len(s.told) + 100

    virtual_time.run(scene())


def test_a_defect_is_an_error_and_ends_no_gate(caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> None:
        async def broken(subject: Subject, gate: Gate) -> Measurement:
            raise RuntimeError("hunter2")

        s = Scene(answer=broken)
        s.runner.want(SUBJECT, [Check()])
        await asyncio.sleep(45)
        await s.runner.stop()

        assert [(m.result, "hunter2" in m.message) for *_, m in s.told] == [("Error", False)] * 2

    virtual_time.run(scene())
    assert "Could not measure a gate" in caplog.text


def test_a_reporter_that_fails_ends_no_gate(caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> None:
        s = Scene()

        def report(subject: Subject, gate: str, measurement: Measurement) -> None:
            raise RuntimeError

        runner = Runner(s, report, s.now)
        runner.want(SUBJECT, [Check()])
        await asyncio.sleep(45)
        await runner.stop()

        assert len(s.made) == 2

    virtual_time.run(scene())
    assert "Could not report a measurement" in caplog.text


def test_a_running_job_is_read_often_and_only_its_end_is_reported() -> None:
    async def scene() -> None:
        results = iter(["Error", "Pending", "Pending", "Pending", "Successful"])

        async def answer(subject: Subject, gate: Gate) -> Measurement:
            return Measurement(next(results))  # type: ignore[arg-type]

        s = Scene(answer=answer)
        s.runner.want(SUBJECT, [Check(spec=GateSpec(name="e2e", job=JobGate(cron_job="e2e")))])
        await asyncio.sleep(1000)
        s.runner.want(SUBJECT, [Check(spec=GateSpec(name="e2e", job=JobGate(cron_job="e2e")))])
        await asyncio.sleep(1000)
        await s.runner.stop()

        times = [when for when, _ in s.made]
        gaps = [round(b - a, 6) for a, b in itertools.pairwise(times)]
        assert gaps == [30.0, JOB_SECONDS, JOB_SECONDS, JOB_SECONDS]
        assert [m.result for *_, m in s.told[:4]] == ["Error", "Pending", "Pending", "Pending"]
        assert {m.result for *_, m in s.told[4:]} == {"Successful"}
        assert len(s.told) > 60

    virtual_time.run(scene())


def test_a_measurement_is_counted_by_type_and_result() -> None:
    async def scene() -> None:
        s = Scene()
        s.runner.want(SUBJECT, [Check()])
        await asyncio.sleep(10)
        await s.runner.stop()

    counter = GATE_MEASUREMENTS.labels("http", "Successful")
    before = counter._value.get()
    virtual_time.run(scene())

    assert counter._value.get() == before + 1


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (HttpGate(url="http://evil.example/x?token=hunter2"), "http://evil.example/x is not allowed"),
        (HttpGate(url="http://ann:hunter2@evil.example/"), "user info"),
        (
            PrometheusGate(address="http://evil.example", query="up", success_condition="result < 1"),
            "--allow-gate-url http://evil.example",
        ),
    ],
)
def test_a_host_that_is_not_allowed_is_an_error(spec: HttpGate | PrometheusGate, said: str) -> None:
    async def scene() -> None:
        s = Scene()
        kind = {"http": spec} if isinstance(spec, HttpGate) else {"prometheus": spec}
        runner = Runner(GateMeasurer(Memory(), AllowList(), digest), s.report, s.now)
        runner.want(SUBJECT, [Check(spec=GateSpec(name="errors", **kind))])
        await asyncio.sleep(10)
        await runner.stop()

        assert [m.result for *_, m in s.told] == ["Error"]
        assert said in s.told[0][3].message
        assert "hunter2" not in s.told[0][3].message

    virtual_time.run(scene())


def test_a_job_gate_runs_a_job_for_its_wave() -> None:
    async def scene() -> None:
        s = Scene()
        api = Memory()
        api.put(NAMESPACES, {"metadata": {"name": "music"}})
        api.put(
            CRON_JOBS,
            {"metadata": {"name": "e2e", "namespace": "music"}, "spec": {"suspend": True, "jobTemplate": {}}},
        )
        runner = Runner(GateMeasurer(api, AllowList(), digest), s.report, s.now)
        runner.want(SUBJECT, [Check(spec=GateSpec(name="e2e", job=JobGate(cron_job="e2e")))])
        await asyncio.sleep(10)
        made = api.objects(JOBS)[0]
        made["status"] = {"conditions": [{"type": "Complete", "status": "True"}]}
        api.put(JOBS, made)
        await asyncio.sleep(10)
        runner.want(replace(SUBJECT, wave=2), [Check(spec=GateSpec(name="e2e", job=JobGate(cron_job="e2e")))])
        await asyncio.sleep(2)
        await runner.stop()

        assert [m.result for *_, m in s.told] == ["Pending", "Pending", "Successful", "Pending"]
        assert len(api.objects(JOBS)) == 2

    virtual_time.run(scene())


def test_a_gate_of_the_api_servers_that_hangs_ends_with_its_timeout() -> None:
    async def scene() -> None:
        class Hanging(Memory):
            async def get(self, *_: object) -> Any:
                await asyncio.Event().wait()

        s = Scene()
        runner = Runner(GateMeasurer(Hanging(), AllowList(), digest), s.report, s.now)
        runner.want(SUBJECT, [Check(spec=GateSpec(name="e2e", job=JobGate(cron_job="e2e")))])
        await asyncio.sleep(15)
        await runner.stop()

        assert [m.message for *_, m in s.told] == ["the API server sent no response within 10s"]

    virtual_time.run(scene())
