"""What went wrong in other systems of progressive rollouts: one test for each case, named after it."""

from __future__ import annotations

from typing import Any

import pytest

from support.rollout_follower import Group, Place, content, strategy
from support.rollout_phases import (
    GATE,
    TWO_WAVES,
    canary,
    rolled_back,
    second,
    soaking,
    succeeded,
)
from trimtab.core import times
from trimtab.core.rollout import Evidence, GroupObservation, Intent, intents, step


def test_stale_cache_completed_a_wave_on_the_old_revisions_health() -> None:
    made = second()
    old = GroupObservation(epoch=1, settled=True, intent=Intent("Stable", 0, 1))  # before its wave started

    seen = made.look()
    stale = step(made.progress, Place.seeing(seen, groups=dict.fromkeys("abc", old)), made.now)
    evidence = (Evidence("errors", 1, 1, "Successful"), Evidence("errors", 0, 2, "Successful"))
    older = step(made.progress, Place.seeing(seen, evidence=evidence), made.now)
    failed = GroupObservation(epoch=1, health="Failed", intent=Intent("Stable", 0, 1))
    sick = step(made.progress, Place.seeing(seen, groups=dict.fromkeys("abc", failed)), made.now)

    assert stale.progress.wave_state == "Moving"
    assert older.progress.gates == made.progress.gates
    assert sick.progress.underway == "Forward"


def test_soak_inherited_from_before() -> None:
    made = soaking()
    soaked = made.progress.soak_started_at
    made.pass_time(200)
    made.ask("Abort")
    made.settle()

    made.ask("Retry")
    made.settle()

    assert made.progress.attempt == 2
    assert made.progress.soak_started_at is None
    assert made.progress.gates[0].passed is False
    made.measure("Successful")
    made.settle()
    assert made.progress.soak_started_at is not None
    assert made.progress.soak_started_at != soaked
    made.pass_time(290)
    assert made.phase == "Soaking"


def test_a_freeze_traps_bad_config() -> None:
    noon = {"schedule": "0 7 * * *", "duration": "1h", "reason": "lunch"}
    made = soaking(freezes=[noon])
    made.now = times.seconds("2026-02-25T07:10:00Z")
    made.settle()

    made.measure("Failed")
    made.settle()

    assert made.phase == "RolledBack"
    assert {group.base for group in made.groups.values()} == {"o" * 8}


def test_edit_in_mid_rollout() -> None:
    made = second()
    made.target = content("m")

    made.act()
    assert (made.phase, made.progress.epoch) == ("RollingBack", 2)
    assert made.progress.target == content("n")  # until its groups are back
    made.settle()

    assert (made.progress.attempt, made.progress.current_wave) == (2, 1)
    assert made.progress.target == content("m")
    assert made.progress.quarantine == []
    assert [group.base[0] for group in made.groups.values()] == ["m", "o", "o"]


def test_edit_in_mid_rollout_back_to_what_is_stable_is_a_fast_rollback() -> None:
    made = second()
    made.target = content("o")

    made.settle()

    assert (made.phase, made.progress.attempt) == ("Succeeded", 1)
    assert [group.base[0] for group in made.groups.values()] == ["o", "o", "o"]


def test_read_error_taken_for_a_change() -> None:
    made = soaking()
    made.target, made.refusal = None, "the template could not be read"

    made.settle()
    assert (made.phase, made.progress.underway) == ("Rejected", "Forward")
    made.target, made.groups["a"].looked_at = content("n"), False
    made.settle()
    assert (made.phase, made.progress.attempt) == ("Progressing", 1)
    made.groups["a"].looked_at = True
    made.settle()

    assert (made.phase, made.progress.epoch) == ("Soaking", 1)


def test_membership_changes_in_mid_rollout() -> None:
    made = second()
    plan = made.progress.waves
    made.groups["d"] = Group(base="o" * 8)
    made.groups["b"].exists = False
    made.strategy = strategy({"waves": TWO_WAVES, "gates": [GATE]}, ["a", "c", "d"])

    made.measure("Successful")
    made.settle()
    made.pass_time(300)

    assert (made.phase, made.progress.waves) == ("Succeeded", plan)
    assert made.progress.updated == "2/2"
    assert "d" not in {name for wave in made.progress.waves for name in wave.groups}


@pytest.mark.parametrize("state", ["unmoved", "moved", "soaking", "between", "second", "paused", "refused"])
def test_partial_promotion(state: str) -> None:
    made = canary() if state in ("unmoved", "moved") else soaking()
    if state == "unmoved":
        made.groups["a"].base = "o" * 8
    if state == "between":
        made.busy = "PolicyRollout other is under way"
        made.pass_time(300)
        assert made.progress.wave_state == "Held"
    if state == "second":
        made.pass_time(300)
    if state == "paused":
        made.ask("Pause")
    if state == "refused":
        made.target = None
        made.settle()

    made.groups["a"].health = "Failed"
    made.settle()

    assert made.progress.failure is not None
    assert made.progress.failure.reason == "WorkloadFailed"
    assert made.progress.underway is None
    assert [group.base[0] for group in made.groups.values()] == ["o", "o", "o"]
    assert {group.epoch for group in made.groups.values()} == {2}  # the untouched ones too


def test_rollback_fails_for_ever() -> None:
    made = second()
    made.measure("Failed")
    made.act()
    made.follow("a", "c")
    made.groups["b"].problem = "the quota is exceeded"

    for _ in range(10):
        made.now += 60
        made.act()
    assert made.phase == "RollbackFailed"
    assert "still waiting for b (b: the quota is exceeded)" in (made.progress.message or "")
    assert all(intent.kind == "Stable" for intent in intents(made.progress).values())
    made.now += 86_400
    made.act()
    assert made.phase == "RollbackFailed"

    made.follow("b")
    made.act()
    assert made.phase == "RolledBack"
    assert made.reasons()[-3:] == ["RollbackStarted", "RevisionQuarantined", "RollbackFailed"] or (
        made.reasons()[-2:] == ["RollbackFailed", "RollbackCompleted"]
    )


def test_old_config_pruned() -> None:
    made = second()
    made.target = content("m")
    made.act()

    for progress in (made.progress, succeeded().progress, rolled_back().progress):
        assert progress.stable is not None  # names what it may still serve, so that nobody prunes it
        assert progress.stable.snapshot
        assert progress.target is not None
        assert progress.target.snapshot
    assert made.progress.stable == content("o")
    assert succeeded().progress.previous == content("o")


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
def test_no_data_inconclusive(results: list[str], gate: dict[str, Any], phase: str) -> None:
    made = canary(gates=[GATE | gate])

    made.measure(*results)
    made.settle()

    assert made.phase == phase


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
def test_flapping(results: list[str], limit: int, phase: str) -> None:
    made = canary(gates=[GATE | {"failureLimit": limit}])

    for result in results:
        made.measure(result)
        made.act()
    made.settle()

    assert made.phase == phase


@pytest.mark.parametrize(
    ("jump", "waits"),
    [(-86_400.0, True), (121.0, True), (86_400.0, True), (119.0, False)],
)
def test_clocks(jump: float, waits: bool) -> None:
    made = soaking()
    made.pass_time(240)

    made.now += jump
    made.settle()

    assert (made.progress.current_wave == 1) == waits
    if waits:
        made.measure("Successful")
        made.settle()
        made.pass_time(270)
        assert made.progress.current_wave == 1
        made.pass_time(60)
        assert made.progress.current_wave == 2


def test_retry_after_abort_by_the_next_sync() -> None:
    made = rolled_back()

    made.pass_time(3600)
    made.strategy = strategy({"waves": TWO_WAVES, "gates": [GATE], "progressDeadline": "1h"})
    made.settle()
    assert (made.phase, made.progress.attempt) == ("RolledBack", 1)
    made.target = None
    made.settle()
    made.target = content("n")
    made.settle()
    assert (made.phase, made.progress.attempt) == ("RolledBack", 1)

    made.target = content("m")
    made.settle()
    assert (made.phase, made.progress.attempt) == ("Progressing", 2)
