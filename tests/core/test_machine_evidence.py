"""Gates, workloads, soaks and deadlines: what is waited for, what has failed, and what follows."""

from __future__ import annotations

from typing import Any

import pytest

from support.rollout_follower import content, strategy
from support.rollout_phases import (
    GATE,
    JOB,
    TWO_WAVES,
    canary,
    place,
    rolled_back,
    second,
    soaking,
)

# Gates and workloads


def test_a_wave_waits_for_groups_workloads_gates_and_its_soak() -> None:
    made = place({"waves": TWO_WAVES, "gates": [GATE, JOB]})
    made.act()
    assert made.progress.message == (
        "wave 1/2 (canary): 0 of 1 group updated; waiting for gates errors, smoke"
    )
    made.groups["a"].health = "Progressing"
    made.settle()
    assert made.progress.message == (
        "wave 1/2 (canary): 1 of 1 group updated; waiting for the workloads of a: 1 of 3 pods is ready; waiting for "
        "gates errors, smoke"
    )
    made.groups["a"].health = "Healthy"
    made.settle()
    made.measure("Successful", gate="errors")
    made.settle()
    assert made.progress.message == "wave 1/2 (canary): 1 of 1 group updated; waiting for gate smoke"
    assert made.progress.updated == "1/3"
    made.measure("Successful", gate="smoke")
    made.settle()
    assert made.phase == "Soaking"


@pytest.mark.parametrize("trouble", ["health", "gate", "group", "problem"])
def test_a_soak_that_is_broken_starts_again_with_a_new_deadline(trouble: str) -> None:
    made = soaking(gates=[GATE | {"failureLimit": 1}], progressDeadline="250s")
    made.pass_time(200)

    if trouble == "health":
        made.groups["a"].health = "Progressing"
    if trouble == "gate":
        made.measure("Failed")
    if trouble == "group":
        made.groups["a"].base = "o" * 8
    if trouble == "problem":
        made.groups["a"].looked_at = False
    made.act()
    assert (made.phase, made.progress.soak_started_at) == ("Progressing", None)
    made.now += 100
    made.act()
    assert made.phase == "Progressing"

    made.groups["a"].health, made.groups["a"].looked_at = "Healthy", True
    made.follow()
    made.settle()
    made.measure("Successful")
    made.settle()
    made.pass_time(290)
    assert (made.phase, made.progress.current_wave) == ("Soaking", 1)


def test_an_idle_soak_is_written_about_once_a_minute() -> None:
    made = soaking()
    writes = 0

    for _ in range(280):
        made.now += 1
        before = made.progress
        made.measure("Successful", message=f"figure {made.now}")
        made.act()
        writes += made.progress != before

    assert made.phase == "Soaking"
    assert writes == 4


def test_after_a_gap_every_gate_has_to_succeed_again() -> None:
    made = canary(gates=[GATE, JOB])
    made.measure("Successful")
    made.settle()

    made.now += 1000
    made.settle()

    assert made.phase == "Progressing"
    assert {gate.result for gate in made.progress.gates} == {"Pending"}
    assert [gate.round for gate in made.progress.gates] == [0, 0]  # the same Job is looked at again
    made.measure("Successful")
    made.settle()
    assert made.phase == "Soaking"


@pytest.mark.parametrize("result", ["Error", "NoData", "Inconclusive"])
def test_a_silent_gate_pauses_and_its_success_goes_on_with_a_new_soak(result: str) -> None:
    made = soaking()
    made.pass_time(290)
    made.measure(*[result] * 5, message="connection refused")
    made.settle()

    halt = made.progress.halt
    assert made.phase == "Paused"
    assert halt is not None
    assert (halt.reason, halt.by) == (result if result != "Error" else "GateError", "errors")
    assert "connection refused" in (made.progress.message or "")
    made.pass_time(7200)
    assert made.phase == "Paused"  # the deadline does not run

    made.measure("Successful")
    made.settle()
    assert (made.phase, made.progress.halt) == ("Soaking", None)
    made.pass_time(290)
    assert made.progress.current_wave == 1


def test_a_gate_that_pauses_ends_with_its_place_in_the_strategy() -> None:
    made = canary()
    made.measure(*["Error"] * 5)
    made.settle()
    assert made.phase == "Paused"

    made.strategy = strategy({"waves": TWO_WAVES})
    made.settle()

    assert made.phase == "Soaking"


def test_a_strategy_edit_takes_effect_at_once_and_leaves_the_plan() -> None:
    made = canary()
    plan = made.progress.waves

    made.strategy = strategy({"gates": [JOB], "progressDeadline": "1m"})
    made.settle()
    assert [gate.name for gate in made.progress.gates] == ["smoke"]
    assert made.progress.waves == plan
    made.strategy = strategy({"paused": True})
    made.settle()
    assert (made.phase, made.progress.epoch, made.progress.attempt) == ("Paused", 1, 1)


# Failures and deadlines


@pytest.mark.parametrize(
    ("break_it", "reason"),
    [
        (lambda made: made.measure("Failed", message="status 500"), "GateFailed"),
        (lambda made: setattr(made.groups["a"], "health", "Failed"), "WorkloadFailed"),
    ],
)
def test_a_failure_rolls_back_and_quarantines(break_it: Any, reason: str) -> None:
    made = canary()

    break_it(made)
    made.settle()

    progress = made.progress
    assert (made.phase, progress.underway, progress.wave) == ("RolledBack", None, "1/2")
    assert progress.failure is not None
    assert (progress.failure.reason, progress.quarantine[0].hash) == (reason, "n" * 8)
    assert made.reasons()[-4:] == [reason, "RollbackStarted", "RevisionQuarantined", "RollbackCompleted"]
    assert progress.updated == "0/3"
    assert (progress.failure.message or "?") in (progress.message or "")


def test_a_failure_with_on_failure_pause_stands_still_until_somebody_decides() -> None:
    made = canary(onFailure="Pause")
    made.measure("Failed")
    made.settle()
    assert (made.phase, made.progress.quarantine) == ("Paused", [])
    made.measure("Successful")
    made.settle()
    assert made.phase == "Paused"  # a failure latches

    assert made.ask("Resume").accepted
    made.settle()
    assert (made.phase, made.progress.gates[0].failures) == ("Progressing", 0)
    made.measure("Successful")
    made.settle()
    assert made.phase == "Soaking"


def test_a_failed_workload_that_somebody_promotes_is_not_judged_again() -> None:
    made = canary(onFailure="Pause")
    made.groups["a"].health = "Failed"
    made.settle()
    assert made.phase == "Paused"

    assert made.ask("Promote").accepted
    made.settle()

    assert (made.phase, made.progress.current_wave) == ("Progressing", 2)
    made.measure("Successful")
    made.settle()
    made.pass_time(300)
    assert made.phase == "Succeeded"


def test_on_failure_that_becomes_rollback_rolls_back_what_stands_still() -> None:
    made = canary(onFailure="Pause")
    made.measure("Failed")
    made.settle()
    made.target = None
    made.settle()
    assert (made.phase, made.progress.underway) == ("Rejected", "Forward")

    made.target, made.strategy = content("n"), strategy({"waves": TWO_WAVES, "gates": [GATE]})
    made.settle()

    assert made.phase == "RolledBack"


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        ("unmoved", "ProgressDeadlineExceeded"),
        ("unhealthy", "ProgressDeadlineExceeded"),
        ("problem", "WriteFailed"),
    ],
)
def test_a_wave_that_is_not_well_in_time_has_failed(trouble: str, reason: str) -> None:
    made = place()
    made.act()
    made.follow(*({"unmoved": "ab", "unhealthy": "abc", "problem": "ab"}[trouble]))
    made.groups["c"].health = "Progressing" if trouble == "unhealthy" else "Healthy"
    made.groups["c"].problem = "the quota is exceeded" if trouble == "problem" else ""

    for _ in range(19):
        made.now += 30
        made.act()
    assert made.phase == "Progressing"
    made.now += 30
    made.act()

    assert made.phase == "RollingBack"
    assert made.progress.failure is not None
    assert made.progress.failure.reason == reason
    assert "group" in (made.progress.failure.message or "")


@pytest.mark.parametrize(
    ("results", "phase"), [([], "Paused"), (["Error"], "Paused"), (["Failed"], "RolledBack")]
)
def test_a_deadline_with_nothing_missing_but_a_gates_word_pauses(results: list[str], phase: str) -> None:
    made = canary(gates=[GATE | {"failureLimit": 5}])
    made.measure(*results)

    made.pass_time(630)

    assert made.phase == phase


@pytest.mark.parametrize("held", ["Pause", "paused", "refused", "silent"])
def test_a_deadline_does_not_run_while_it_is_held(held: str) -> None:
    made = place({"waves": TWO_WAVES, "gates": [GATE]})
    made.act()
    made.now += 100
    made.act()
    if held == "Pause":
        made.ask("Pause")
    if held == "paused":
        made.strategy = strategy({"waves": TWO_WAVES, "gates": [GATE], "paused": True})
    if held == "refused":
        made.target = None
    if held == "silent":
        made.measure(*["Error"] * 5)
    made.act()
    for _ in range(200):
        made.now += 60
        made.act()
    assert made.phase in ("Paused", "Rejected")

    made.target = content("n")
    made.strategy = strategy({"waves": TWO_WAVES, "gates": [GATE]})
    made.act()
    if made.progress.halt:
        made.ask("Resume")
    for _ in range(9):
        made.now += 60
        made.act()
        assert made.phase == "Progressing"
    made.now += 60
    made.act()
    assert made.phase == "RollingBack"


def test_a_deadline_does_not_run_while_nobody_watches() -> None:
    made = place()
    made.act()

    made.now += 86_400
    made.act()
    assert made.phase == "Progressing"

    made.settle()
    assert made.phase == "Succeeded"


def test_a_quarantine_is_bounded_and_forgets_the_oldest() -> None:
    made = place()
    for number in range(30):
        made.target = content(f"x{number}")
        made.act()
        made.ask("Abort")
        made.settle()

    assert [entry.hash for entry in made.progress.quarantine] == [
        content(f"x{n}").hash for n in range(10, 30)
    ]


def test_a_group_that_fails_after_its_wave_still_rolls_back() -> None:
    made = second()
    made.groups["a"].health = "Failed"

    made.settle()

    assert made.phase == "RolledBack"


def test_success_forgets_that_the_content_had_failed() -> None:
    made = rolled_back()
    made.target = content("m")
    made.settle()
    made.ask("Abort")
    made.settle()
    made.ask("Retry")
    made.settle()
    made.pass_time(700, 30, "Successful")

    assert (made.phase, made.progress.stable) == ("Succeeded", content("m"))
    assert [entry.hash for entry in made.progress.quarantine] == ["n" * 8]
    assert made.progress.failure is None


def test_what_follows_a_failure_does_not_make_it_undone() -> None:
    made = canary()

    made.measure("Failed", "Successful")
    made.settle()

    assert made.phase == "RolledBack"


@pytest.mark.parametrize("result", ["Failed", "Error", "NoData"])
def test_a_dry_run_measures_and_decides_nothing(result: str) -> None:
    made = place({"waves": TWO_WAVES, "gates": [GATE | {"dryRun": True}]})
    made.settle()
    made.measure(*[result] * 50)
    made.settle()

    assert (made.phase, made.progress.gates[0].result) == ("Soaking", result)
