"""Steps of a rollout: failures, new content, rollback and quarantine."""

from __future__ import annotations

from typing import Any

import pytest

from support.rollout_follower import content, strategy
from support.rollout_phases import (
    GATE,
    TWO_WAVES,
    canary,
    new_rollout,
    rolled_back,
    second,
    soaking,
    succeeded,
)
from trimtab.core import times
from trimtab.core.rollout import intents


@pytest.mark.parametrize(
    ("break_it", "reason"),
    [
        (lambda rollout: rollout.measure("Failed", message="status 500"), "GateFailed"),
        (lambda rollout: setattr(rollout.groups["a"], "health", "Failed"), "WorkloadFailed"),
    ],
)
def test_a_failure_rolls_back_and_quarantines(break_it: Any, reason: str) -> None:
    rollout = canary()

    break_it(rollout)
    rollout.settle()

    progress = rollout.progress
    assert (rollout.phase, progress.underway, progress.wave) == ("RolledBack", None, "1/2")
    assert progress.failure is not None
    assert (progress.failure.reason, progress.quarantine[0].hash) == (reason, "n" * 8)
    assert rollout.reasons()[-4:] == [reason, "RollbackStarted", "RevisionQuarantined", "RollbackCompleted"]
    assert progress.updated == "0/3"
    assert (progress.failure.message or "?") in (progress.message or "")


def test_a_failure_with_on_failure_pause_waits_for_an_action() -> None:
    rollout = canary(onFailure="Pause")
    rollout.measure("Failed")
    rollout.settle()
    assert (rollout.phase, rollout.progress.quarantine) == ("Paused", [])
    rollout.measure("Successful")
    rollout.settle()
    assert rollout.phase == "Paused"  # a failure latches

    assert rollout.ask("Resume").accepted
    rollout.settle()
    assert (rollout.phase, rollout.progress.gates[0].failures) == ("Progressing", 0)
    rollout.measure("Successful")
    rollout.settle()
    assert rollout.phase == "Soaking"


def test_a_failed_workload_is_not_evaluated_again_after_promote() -> None:
    rollout = canary(onFailure="Pause")
    rollout.groups["a"].health = "Failed"
    rollout.settle()
    assert rollout.phase == "Paused"

    assert rollout.ask("Promote").accepted
    rollout.settle()

    assert (rollout.phase, rollout.progress.current_wave) == ("Progressing", 2)
    rollout.measure("Successful")
    rollout.settle()
    rollout.pass_time(300)
    assert rollout.phase == "Succeeded"


def test_on_failure_that_becomes_rollback_rolls_back_a_paused_rollout() -> None:
    rollout = canary(onFailure="Pause")
    rollout.measure("Failed")
    rollout.settle()
    rollout.target = None
    rollout.settle()
    assert (rollout.phase, rollout.progress.underway) == ("Rejected", "Forward")

    rollout.target, rollout.strategy = content("n"), strategy({"waves": TWO_WAVES, "gates": [GATE]})
    rollout.settle()

    assert rollout.phase == "RolledBack"


def test_a_quarantine_is_bounded_and_forgets_the_oldest() -> None:
    rollout = new_rollout()
    for number in range(30):
        rollout.target = content(f"x{number}")
        rollout.act()
        rollout.ask("Abort")
        rollout.settle()

    assert [entry.hash for entry in rollout.progress.quarantine] == [
        content(f"x{n}").hash for n in range(10, 30)
    ]


def test_a_group_that_fails_after_its_wave_still_rolls_back() -> None:
    rollout = second()
    rollout.groups["a"].health = "Failed"

    rollout.settle()

    assert rollout.phase == "RolledBack"


def test_success_ends_the_quarantine_of_the_content() -> None:
    rollout = rolled_back()
    rollout.target = content("m")
    rollout.settle()
    rollout.ask("Abort")
    rollout.settle()
    rollout.ask("Retry")
    rollout.settle()
    rollout.pass_time(700, 30, "Successful")

    assert (rollout.phase, rollout.progress.stable) == ("Succeeded", content("m"))
    assert [entry.hash for entry in rollout.progress.quarantine] == ["n" * 8]
    assert rollout.progress.failure is None


def test_a_later_success_does_not_revoke_a_failure() -> None:
    rollout = canary()

    rollout.measure("Failed", "Successful")
    rollout.settle()

    assert rollout.phase == "RolledBack"


def test_a_failure_while_the_spec_is_rejected_pauses_if_on_failure_was_pause() -> None:
    rollout = canary(onFailure="Pause")
    rollout.target = None
    rollout.measure("Failed")
    rollout.settle()
    assert (rollout.phase, rollout.progress.underway) == ("Rejected", "Forward")

    rollout.target = content("n")
    rollout.settle()

    assert rollout.phase == "Paused"


def test_new_content_in_the_pass_that_shows_a_failure_does_not_save_the_old_content() -> None:
    rollout = canary()
    rollout.measure("Failed")
    rollout.target = content("m")
    rollout.settle()

    assert [entry.hash for entry in rollout.progress.quarantine] == ["n" * 8]


def test_new_content_after_a_failure_that_paused_does_not_save_the_old_content() -> None:
    rollout = canary(onFailure="Pause")
    rollout.measure("Failed")
    rollout.settle()
    rollout.target = content("m")
    rollout.settle()

    assert [entry.hash for entry in rollout.progress.quarantine] == ["n" * 8]


def test_a_rollback_ignores_freezes() -> None:
    noon = {"schedule": "0 7 * * *", "duration": "1h", "reason": "lunch"}
    rollout = soaking(freezes=[noon])
    rollout.now = times.seconds("2026-02-25T07:10:00Z")
    rollout.settle()

    rollout.measure("Failed")
    rollout.settle()

    assert rollout.phase == "RolledBack"
    assert {group.base for group in rollout.groups.values()} == {"o" * 8}


def test_an_edit_rolls_back_first_and_starts_the_next_attempt() -> None:
    rollout = second()
    rollout.target = content("m")

    rollout.act()
    assert (rollout.phase, rollout.progress.epoch) == ("RollingBack", 2)
    assert rollout.progress.target == content("n")  # until its groups are back
    rollout.settle()

    assert (rollout.progress.attempt, rollout.progress.current_wave) == (2, 1)
    assert rollout.progress.target == content("m")
    assert rollout.progress.quarantine == []
    assert [group.base[0] for group in rollout.groups.values()] == ["m", "o", "o"]


def test_an_edit_back_to_the_stable_content_is_a_fast_rollback() -> None:
    rollout = second()
    rollout.target = content("o")

    rollout.settle()

    assert (rollout.phase, rollout.progress.attempt) == ("Succeeded", 1)
    assert [group.base[0] for group in rollout.groups.values()] == ["o", "o", "o"]


def test_a_read_error_is_not_a_change() -> None:
    rollout = soaking()
    rollout.target, rollout.refusal = None, "the template could not be read"

    rollout.settle()
    assert (rollout.phase, rollout.progress.underway) == ("Rejected", "Forward")
    rollout.target, rollout.groups["a"].looked_at = content("n"), False
    rollout.settle()
    assert (rollout.phase, rollout.progress.attempt) == ("Progressing", 1)
    rollout.groups["a"].looked_at = True
    rollout.settle()

    assert (rollout.phase, rollout.progress.epoch) == ("Soaking", 1)


@pytest.mark.parametrize("state", ["unmoved", "moved", "soaking", "between", "second", "paused", "refused"])
def test_a_failure_in_any_state_rolls_back_every_group(state: str) -> None:
    rollout = canary() if state in ("unmoved", "moved") else soaking()
    if state == "unmoved":
        rollout.groups["a"].base = "o" * 8
    if state == "between":
        rollout.busy = "PolicyRollout other is under way"
        rollout.pass_time(300)
        assert rollout.progress.wave_state == "Held"
    if state == "second":
        rollout.pass_time(300)
    if state == "paused":
        rollout.ask("Pause")
    if state == "refused":
        rollout.target = None
        rollout.settle()

    rollout.groups["a"].health = "Failed"
    rollout.settle()

    assert rollout.progress.failure is not None
    assert rollout.progress.failure.reason == "WorkloadFailed"
    assert rollout.progress.underway is None
    assert [group.base[0] for group in rollout.groups.values()] == ["o", "o", "o"]
    assert {group.epoch for group in rollout.groups.values()} == {2}  # the untouched ones too


def test_a_rollback_past_its_deadline_continues_until_it_completes() -> None:
    rollout = second()
    rollout.measure("Failed")
    rollout.act()
    rollout.follow("a", "c")
    rollout.groups["b"].problem = "the quota is exceeded"

    for _ in range(10):
        rollout.now += 60
        rollout.act()
    assert rollout.phase == "RollbackFailed"
    assert "waiting for b (b: the quota is exceeded)" in (rollout.progress.message or "")
    assert all(intent.kind == "Stable" for intent in intents(rollout.progress).values())
    rollout.now += 86_400
    rollout.act()
    assert rollout.phase == "RollbackFailed"

    rollout.follow("b")
    rollout.act()
    assert rollout.phase == "RolledBack"
    assert rollout.reasons()[-3:] == ["RollbackStarted", "RevisionQuarantined", "RollbackFailed"] or (
        rollout.reasons()[-2:] == ["RollbackFailed", "RollbackCompleted"]
    )


def test_status_names_every_snapshot_that_may_be_needed() -> None:
    rollout = second()
    rollout.target = content("m")
    rollout.act()

    for progress in (rollout.progress, succeeded().progress, rolled_back().progress):
        assert progress.stable is not None  # names what it may still serve, so that nobody prunes it
        assert progress.stable.snapshot
        assert progress.target is not None
        assert progress.target.snapshot
    assert rollout.progress.stable == content("o")
    assert succeeded().progress.previous == content("o")
