"""Steps of a rollout: progressDeadline, when it runs, and what happens when it passes."""

from __future__ import annotations

import pytest

from support.rollout_follower import content, strategy
from support.rollout_phases import (
    GATE,
    TWO_WAVES,
    canary,
    new_rollout,
    soaking,
)


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        ("unmoved", "ProgressDeadlineExceeded"),
        ("unhealthy", "ProgressDeadlineExceeded"),
        ("problem", "WriteFailed"),
    ],
)
def test_a_wave_that_exceeds_its_deadline_fails(trouble: str, reason: str) -> None:
    rollout = new_rollout()
    rollout.act()
    rollout.follow(*({"unmoved": "ab", "unhealthy": "abc", "problem": "ab"}[trouble]))
    rollout.groups["c"].health = "Progressing" if trouble == "unhealthy" else "Healthy"
    rollout.groups["c"].problem = "the quota is exceeded" if trouble == "problem" else ""

    for _ in range(19):
        rollout.now += 30
        rollout.act()
    assert rollout.phase == "Progressing"
    rollout.now += 30
    rollout.act()

    assert rollout.phase == "RollingBack"
    assert rollout.progress.failure is not None
    assert rollout.progress.failure.reason == reason
    assert "group" in (rollout.progress.failure.message or "")


@pytest.mark.parametrize(
    ("results", "phase"), [([], "Paused"), (["Error"], "Paused"), (["Failed"], "RolledBack")]
)
def test_a_deadline_pauses_if_only_a_gates_result_is_missing(results: list[str], phase: str) -> None:
    rollout = canary(gates=[GATE | {"failureLimit": 5}])
    rollout.measure(*results)

    rollout.pass_time(630)

    assert rollout.phase == phase


@pytest.mark.parametrize("held", ["Pause", "paused", "refused", "silent"])
def test_a_deadline_does_not_run_while_the_rollout_is_paused(held: str) -> None:
    rollout = new_rollout({"waves": TWO_WAVES, "gates": [GATE]})
    rollout.act()
    rollout.now += 100
    rollout.act()
    if held == "Pause":
        rollout.ask("Pause")
    if held == "paused":
        rollout.strategy = strategy({"waves": TWO_WAVES, "gates": [GATE], "paused": True})
    if held == "refused":
        rollout.target = None
    if held == "silent":
        rollout.measure(*["Error"] * 5)
    rollout.act()
    for _ in range(200):
        rollout.now += 60
        rollout.act()
    assert rollout.phase in ("Paused", "Rejected")

    rollout.target = content("n")
    rollout.strategy = strategy({"waves": TWO_WAVES, "gates": [GATE]})
    rollout.act()
    if rollout.progress.halt:
        rollout.ask("Resume")
    for _ in range(9):
        rollout.now += 60
        rollout.act()
        assert rollout.phase == "Progressing"
    rollout.now += 60
    rollout.act()
    assert rollout.phase == "RollingBack"


def test_a_deadline_does_not_run_while_the_operator_does_not_observe() -> None:
    rollout = new_rollout()
    rollout.act()

    rollout.now += 86_400
    rollout.act()
    assert rollout.phase == "Progressing"

    rollout.settle()
    assert rollout.phase == "Succeeded"


def test_a_wave_that_keeps_failing_reaches_its_deadline() -> None:
    rollout = soaking()

    for _ in range(30):
        rollout.groups["a"].health = "Progressing"
        rollout.pass_time(60)
        rollout.groups["a"].health = "Healthy"
        rollout.settle()
        rollout.measure("Successful")
        rollout.pass_time(180)

    assert rollout.phase == "RolledBack"
    assert rollout.progress.failure is not None
    assert rollout.progress.failure.reason == "ProgressDeadlineExceeded"


def test_a_soak_does_not_count_towards_the_deadline() -> None:
    rollout = new_rollout({"waves": [{"name": "all", "soak": "2h"}], "gates": [GATE]})
    rollout.settle()
    rollout.measure("Successful")
    rollout.settle()
    rollout.pass_time(3600, 30)
    rollout.groups["a"].health = "Progressing"
    rollout.pass_time(300)
    assert rollout.phase == "Progressing"

    rollout.groups["a"].health = "Healthy"
    rollout.pass_time(60, 30, "Successful")

    assert rollout.phase == "Soaking"


def test_the_deadline_does_not_run_while_another_rollout_rolls_back_in_its_groups() -> None:
    rollout = new_rollout({"waves": TWO_WAVES, "gates": [GATE]})
    rollout.act()
    rollout.busy = "PolicyRollout other is in progress in group a"

    for _ in range(100):
        rollout.now += 60
        rollout.act()
    assert rollout.phase == "Progressing"
    assert "PolicyRollout other" in (rollout.progress.message or "")

    rollout.busy = ""
    rollout.settle()
    rollout.measure("Successful")
    rollout.settle()
    assert rollout.phase == "Soaking"


def test_the_deadline_does_not_run_while_a_group_waits_for_a_restart_slot() -> None:
    rollout = new_rollout({"waves": TWO_WAVES, "gates": [GATE]})
    rollout.act()
    rollout.groups["a"].waits = "waits for a slot to restart Deployment web"

    for _ in range(100):
        rollout.now += 60
        rollout.act()
    assert rollout.phase == "Progressing"
    assert "group a: waits for a slot to restart Deployment web" in (rollout.progress.message or "")

    rollout.groups["a"].waits = ""
    rollout.groups["a"].problem = "no rights"
    for _ in range(11):
        rollout.now += 60
        rollout.act()
    assert rollout.phase == "RollingBack"


def test_the_deadline_runs_if_a_restarted_group_is_unhealthy_while_others_wait_for_slots() -> None:
    rollout = new_rollout({"waves": [{"name": "all"}]})
    rollout.act()
    rollout.follow("a", "b")
    rollout.groups["a"].health = "Progressing"
    rollout.groups["c"].waits = "waits for a slot to restart Deployment web"

    for _ in range(11):
        rollout.now += 60
        rollout.act()

    assert rollout.phase == "RollingBack"
