"""Steps of a rollout: gates count each result of the current revision once, by the rules of the measured gate."""

from __future__ import annotations

from typing import Any

import pytest

from support.rollout_follower import RolloutModel, strategy
from support.rollout_phases import (
    GATE,
    JOB,
    TWO_WAVES,
    canary,
    new_rollout,
    second,
    soaking,
)
from trimtab.core.rollout import Evidence, GroupObservation, Intent, step


def test_a_wave_waits_for_groups_workloads_gates_and_its_soak() -> None:
    rollout = new_rollout({"waves": TWO_WAVES, "gates": [GATE, JOB]})
    rollout.act()
    assert rollout.progress.message == (
        "Wave 1/2 (canary): 0 of 1 group updated; waiting for gates errors, smoke"
    )

    rollout.groups["a"].health = "Progressing"
    rollout.settle()
    assert rollout.progress.message == (
        "Wave 1/2 (canary): 1 of 1 group updated; waiting for workloads of a: 1 of 3 pods is ready; waiting for "
        "gates errors, smoke"
    )

    rollout.groups["a"].health = "Healthy"
    rollout.settle()
    rollout.measure("Successful", gate="errors")
    rollout.settle()
    assert rollout.progress.message == "Wave 1/2 (canary): 1 of 1 group updated; waiting for gate smoke"
    assert rollout.progress.updated == "1/3"

    rollout.measure("Successful", gate="smoke")
    rollout.settle()
    assert rollout.phase == "Soaking"


def test_after_a_gap_every_gate_has_to_succeed_again() -> None:
    rollout = canary(gates=[GATE, JOB])
    rollout.measure("Successful")
    rollout.settle()

    rollout.now += 1000
    rollout.settle()

    assert rollout.phase == "Progressing"
    assert {gate.result for gate in rollout.progress.gates} == {"Pending"}
    assert [gate.round for gate in rollout.progress.gates] == [0, 0]  # the same Job is looked at again
    rollout.measure("Successful")
    rollout.settle()
    assert rollout.phase == "Soaking"


@pytest.mark.parametrize("result", ["Error", "NoData", "Inconclusive"])
def test_a_gate_without_results_pauses_and_its_success_resumes_with_a_new_soak(result: str) -> None:
    rollout = soaking()
    rollout.pass_time(290)
    rollout.measure(*[result] * 5, message="connection refused")
    rollout.settle()

    halt = rollout.progress.halt
    assert rollout.phase == "Paused"
    assert halt is not None
    assert (halt.reason, halt.by) == (result if result != "Error" else "GateError", "errors")
    assert "connection refused" in (rollout.progress.message or "")
    rollout.pass_time(7200)
    assert rollout.phase == "Paused"  # the deadline does not run

    rollout.measure("Successful")
    rollout.settle()
    assert (rollout.phase, rollout.progress.halt) == ("Soaking", None)
    rollout.pass_time(290)
    assert rollout.progress.current_wave == 1


def test_a_pause_ends_when_its_gate_is_removed_from_the_strategy() -> None:
    rollout = canary()
    rollout.measure(*["Error"] * 5)
    rollout.settle()
    assert rollout.phase == "Paused"

    rollout.strategy = strategy({"waves": TWO_WAVES})
    rollout.settle()

    assert rollout.phase == "Soaking"


@pytest.mark.parametrize("result", ["Failed", "Error", "NoData"])
def test_a_dry_run_measures_and_decides_nothing(result: str) -> None:
    rollout = new_rollout({"waves": TWO_WAVES, "gates": [GATE | {"dryRun": True}]})
    rollout.settle()
    rollout.measure(*[result] * 50)
    rollout.settle()

    assert (rollout.phase, rollout.progress.gates[0].result) == ("Soaking", result)


def test_a_success_before_the_groups_were_updated_starts_no_soak() -> None:
    rollout = new_rollout({"waves": TWO_WAVES, "gates": [GATE]})
    rollout.act()
    rollout.measure("Successful")
    rollout.act()
    assert rollout.progress.gates[0].result == "Successful"

    rollout.settle()

    assert (rollout.phase, rollout.progress.gates[0].result) == ("Progressing", "Pending")
    rollout.measure("Successful")
    rollout.settle()
    assert rollout.phase == "Soaking"


def test_a_failure_before_the_groups_were_updated_counts() -> None:
    rollout = new_rollout({"waves": TWO_WAVES, "gates": [GATE]})
    rollout.act()
    rollout.measure("Failed")
    rollout.settle()

    assert rollout.phase == "RolledBack"


def test_a_late_success_that_began_before_the_groups_were_updated_does_not_count() -> None:
    rollout = new_rollout({"waves": TWO_WAVES, "gates": [GATE]})
    rollout.act()
    rollout.measure("Successful")
    late, rollout.evidence = list(rollout.evidence), []
    rollout.now += 1
    rollout.settle()

    rollout.evidence = late
    rollout.settle()

    assert (rollout.phase, rollout.progress.gates[0].result) == ("Progressing", "Pending")


def test_groups_that_recover_are_measured_again() -> None:
    rollout = soaking()
    rollout.groups["a"].health = "Progressing"
    rollout.settle()
    rollout.groups["a"].health = "Healthy"
    rollout.now += 1
    rollout.settle()

    assert (rollout.phase, rollout.progress.gates[0].result) == ("Progressing", "Pending")


def test_a_measurement_counts_once_although_the_response_to_its_write_was_lost() -> None:
    rollout = canary(gates=[GATE | {"failureLimit": 1}])
    rollout.measure("Failed")
    again = list(rollout.evidence)
    rollout.act()
    assert rollout.progress.gates[0].failures == 1

    rollout.evidence = again  # the answer to the write was lost
    rollout.settle()

    assert (rollout.phase, rollout.progress.gates[0].failures) == ("Progressing", 1)


def test_a_clock_that_jumped_back_does_not_silence_a_gate() -> None:
    rollout = canary()
    status = rollout.progress.gates[0].model_copy(update={"counted_until": "2999-01-01T00:00:00.000Z"})
    rollout.progress = rollout.progress.model_copy(update={"gates": [status]})

    rollout.measure("Failed")
    rollout.settle()

    assert rollout.phase == "RolledBack"


def test_a_gate_with_another_query_has_no_results() -> None:
    rollout = soaking()
    edited = GATE | {"http": {"url": "http://elsewhere/"}}

    rollout.strategy = strategy({"waves": TWO_WAVES, "gates": [edited]})
    rollout.pass_time(400)

    assert (rollout.phase, rollout.progress.gates[0].result) == ("Progressing", "Pending")
    rollout.measure("Successful")
    rollout.settle()
    assert rollout.phase == "Soaking"


def test_evidence_of_the_gate_before_an_edit_is_refused() -> None:
    rollout = canary()
    rollout.measure("Failed")
    rollout.strategy = strategy(
        {"waves": TWO_WAVES, "gates": [GATE | {"http": {"url": "http://elsewhere/"}}]}
    )

    rollout.settle()

    assert (rollout.phase, rollout.progress.gates[0].result) == ("Progressing", "Pending")


def test_a_limit_that_is_edited_leaves_what_was_measured() -> None:
    rollout = soaking()

    rollout.strategy = strategy({"waves": TWO_WAVES, "gates": [GATE | {"failureLimit": 3}]})
    rollout.settle()

    assert (rollout.phase, rollout.progress.gates[0].failure_limit) == ("Soaking", 3)


@pytest.mark.parametrize("rules", [{"dryRun": True}, {"failureLimit": 5}])
def test_a_gate_keeps_its_rules_while_the_spec_is_rejected(rules: dict[str, object]) -> None:
    rollout = new_rollout({"waves": TWO_WAVES, "gates": [GATE | rules]})
    rollout.settle()
    rollout.target = None

    rollout.measure("Failed")
    rollout.settle()

    assert (rollout.phase, rollout.progress.underway) == ("Rejected", "Forward")


def test_a_wave_that_is_evaluated_again_is_measured_immediately() -> None:
    rollout = soaking()
    before = rollout.progress.settled_at
    rollout.now += 200

    rollout.settle()

    assert "SoakInterrupted" in rollout.reasons()
    assert rollout.progress.settled_at not in (None, before)


def test_the_health_of_the_old_revision_completes_no_wave() -> None:
    rollout = second()
    old = GroupObservation(epoch=1, settled=True, intent=Intent("Stable", 0, 1))  # before its wave started

    seen = rollout.look()
    stale = step(rollout.progress, RolloutModel.seeing(seen, groups=dict.fromkeys("abc", old)), rollout.now)
    evidence = (Evidence("errors", 1, 1, "Successful"), Evidence("errors", 0, 2, "Successful"))
    older = step(rollout.progress, RolloutModel.seeing(seen, evidence=evidence), rollout.now)
    failed = GroupObservation(epoch=1, health="Failed", intent=Intent("Stable", 0, 1))
    sick = step(rollout.progress, RolloutModel.seeing(seen, groups=dict.fromkeys("abc", failed)), rollout.now)

    assert stale.progress.wave_state == "Moving"
    assert older.progress.gates == rollout.progress.gates
    assert sick.progress.underway == "Forward"


@pytest.mark.parametrize(
    ("results", "gate", "phase"),
    [
        (["NoData"] * 5, {}, "Paused"),
        (["NoData"] * 4, {}, "Progressing"),
        (["Inconclusive"] * 5, {}, "Paused"),
        (["Error"] * 5, {}, "Paused"),
        (["Error", "Inconclusive", "NoData", "Error", "NoData"], {}, "Paused"),
        (["Error", "Error", "Successful", "Error", "Error", "Error"], {}, "Progressing"),
        (["Error"], {"consecutiveErrorLimit": 0}, "Paused"),
        (["NoData"], {"onNoData": "Fail"}, "RolledBack"),
        (["NoData"], {"onNoData": "Fail", "failureLimit": 1}, "Progressing"),
        (["NoData"], {"onNoData": "Pass"}, "Soaking"),
    ],
)
def test_a_gate_without_a_result_pauses_unless_its_rules_differ(
    results: list[str], gate: dict[str, Any], phase: str
) -> None:
    rollout = canary(gates=[GATE | gate])

    rollout.measure(*results)
    rollout.settle()

    assert rollout.phase == phase


@pytest.mark.parametrize(
    ("results", "limit", "phase"),
    [
        (["Failed"], 0, "RolledBack"),
        (["Successful", "Failed", "Successful"], 0, "RolledBack"),
        (["Failed", "Successful"] * 9, 1, "Soaking"),
        (["Failed", "Failed"], 1, "RolledBack"),
        (["Failed", "Failed", "Successful"], 1, "RolledBack"),
        (["Failed", "Error", "Failed"], 1, "RolledBack"),
        (["Failed"], 1, "Progressing"),
    ],
)
def test_a_gate_fails_after_its_limit_of_failures(results: list[str], limit: int, phase: str) -> None:
    rollout = canary(gates=[GATE | {"failureLimit": limit}])

    for result in results:
        rollout.measure(result)
        rollout.act()
    rollout.settle()

    assert rollout.phase == phase
