"""The rollout machine: what it does with good and bad evidence, with actions, freezes, pauses and edits.

The first part is what went wrong elsewhere, one test for each case.
"""

from __future__ import annotations

from typing import Any

import pytest

from follower import Group, Place, content, strategy
from trimtab.api.rollout_status import Halt, Quarantined, RolloutProgress
from trimtab.core import times
from trimtab.core.rollout import NOTHING, Evidence, GroupSeen, Intent, Request, intents, step

GATE = {"name": "errors", "interval": "30s", "http": {"url": "http://errors"}}
JOB = {"name": "smoke", "job": {"cronJob": "smoke"}}
TWO_WAVES = [{"name": "canary", "groups": ["a"], "soak": "5m"}, {"name": "all", "soak": "5m"}]


def place(spec: dict[str, Any] | None = None, **fields: Any) -> Place:
    return Place(strategy(spec or {}), **fields)


def canary(**fields: Any) -> Place:
    """Its first wave (group a, 5m of soak) has started and its group has followed; one gate."""
    made = place({"waves": TWO_WAVES, "gates": [GATE], **fields})
    made.settle()
    assert (made.phase, made.progress.current_wave) == ("Progressing", 1)
    return made


def soaking(**fields: Any) -> Place:
    """As :func:`canary`, once its gate has passed."""
    made = canary(**fields)
    made.measure("Successful")
    made.settle()
    assert made.phase == "Soaking"
    return made


def second(**fields: Any) -> Place:
    """The second wave has started and its groups have followed."""
    made = soaking(**fields)
    made.pass_time(300)
    assert (made.phase, made.progress.current_wave) == ("Progressing", 2)
    return made


def succeeded(**fields: Any) -> Place:
    made = second(**fields)
    made.measure("Successful")
    made.settle()
    made.pass_time(300)
    assert made.phase == "Succeeded"
    return made


def rolled_back(**fields: Any) -> Place:
    made = canary(**fields)
    made.measure("Failed")
    made.settle()
    assert made.phase == "RolledBack"
    return made


# What went wrong elsewhere


def test_stale_cache_completed_a_wave_on_the_old_revisions_health() -> None:
    made = second()
    old = GroupSeen(epoch=1, settled=True, intent=Intent("Stable", 0, 1))  # before its wave started

    seen = made.look()
    stale = step(made.progress, Place.seeing(seen, groups=dict.fromkeys("abc", old)), made.now)
    evidence = (Evidence("errors", 1, 1, "Successful"), Evidence("errors", 0, 2, "Successful"))
    older = step(made.progress, Place.seeing(seen, evidence=evidence), made.now)
    failed = GroupSeen(epoch=1, health="Failed", intent=Intent("Stable", 0, 1))
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


# Starting


def test_nothing_is_claimed_before_the_first_wave_starts() -> None:
    made = place({"waves": [{"name": "all", "approval": True}]})

    made.settle()

    assert (made.phase, made.progress.wave, made.progress.updated) == ("AwaitingApproval", "0/1", "0/3")
    assert (made.progress.underway, made.progress.attempt) == (None, None)
    assert intents(made.progress) == {}


@pytest.mark.parametrize(
    ("change", "phase"),
    [
        ({"previewed": False}, "Pending"),
        ({"busy": "PolicyRollout other is under way in group a"}, "Waiting"),
        ({"target": None}, "Rejected"),
        ({"strategy": strategy({"paused": True})}, "Paused"),
        ({"strategy": strategy({"waves": [{"name": "all", "approval": True}]})}, "AwaitingApproval"),
        ({"now": times.seconds("2026-02-27T18:00:00Z")}, "Waiting"),
        ({"unprotected": True, "progress": RolloutProgress()}, "Succeeded"),
        ({"target": content("o")}, "Succeeded"),
        ({"progress": RolloutProgress(quarantine=[Quarantined(hash="n" * 8)])}, "RolledBack"),
    ],
)
def test_what_keeps_a_rollout_from_starting(change: dict[str, Any], phase: str) -> None:
    weekend = {"schedule": "0 18 * * 5", "duration": "62h", "reason": "weekend"}
    made = Place(**({"strategy": strategy({"freezes": [weekend]})} | change))

    made.settle()

    assert made.phase == phase
    assert made.progress.attempt is None


def test_a_preview_of_other_content_starts_nothing() -> None:
    made = place()
    other = Place.seeing(made.look(), preview=Place(made.strategy, target=content("m")).look().preview)

    assert step(made.progress, other, made.now).progress.phase == "Pending"


def test_a_start_has_its_own_attempt_epoch_times_and_evidence() -> None:
    made = rolled_back()
    made.target = content("m")
    made.now += 1000

    made.act()

    progress = made.progress
    assert (progress.attempt, progress.epoch, progress.current_wave) == (2, 3, 1)
    assert progress.started_at == progress.wave_started_at == times.text(made.now)
    assert [(gate.result, gate.passed, gate.failures) for gate in progress.gates] == [("Pending", False, 0)]
    assert progress.failure is None


def test_a_wave_that_starts_forgets_what_was_measured_before() -> None:
    made = second()

    assert [(gate.result, gate.passed) for gate in made.progress.gates] == [("Pending", False)]
    assert made.progress.soak_started_at is None


def test_where_nothing_is_served_all_groups_get_it_at_once() -> None:
    made = place({"waves": TWO_WAVES}, unprotected=True, progress=RolloutProgress())

    made.settle()

    assert (made.phase, made.progress.stable) == ("Succeeded", content("n"))
    assert (made.progress.waves, made.progress.previous) == ([], None)
    assert not made.ask("Undo").accepted


def test_a_freeze_holds_the_start_of_a_wave_and_ends_by_itself() -> None:
    noon = {"schedule": "0 7 * * *", "duration": "1h", "reason": "lunch"}
    made = soaking(freezes=[noon])
    made.now = times.seconds("2026-02-25T06:58:00Z")
    made.settle()
    made.measure("Successful")
    made.settle()
    made.pass_time(310)

    made.settle()
    wake = made.act().wake_at

    assert (made.phase, made.progress.wave) == ("Waiting", "2/2")
    assert made.progress.message == (
        "wave 2/2 (all) waits: a freeze holds until 2026-02-25T08:00:00.000Z: lunch"
    )
    assert wake == times.seconds("2026-02-25T08:00:00Z")
    made.now = wake
    made.settle()
    assert made.phase == "Progressing"


# Intents


def test_waves_move_their_groups_to_their_share_and_the_others_are_stamped() -> None:
    waves = [
        {"name": "few", "groups": ["a"], "percent": 10},
        {"name": "half", "groups": ["a", "b"], "percent": 50},
    ]
    made = place({"waves": waves})

    made.act()
    first = dict(intents(made.progress))
    made.follow()
    made.act()
    later = dict(intents(made.progress))

    assert first == {"a": Intent("Target", 10, 1), "b": Intent("Stable", 0, 1), "c": Intent("Stable", 0, 1)}
    assert later == {"a": Intent("Target", 50, 1), "b": Intent("Target", 50, 1), "c": Intent("Stable", 0, 1)}


def test_a_held_rollout_moves_nobody_who_is_not_there() -> None:
    made = second(paused=False)
    made.ask("Pause")

    assert intents(made.progress) == {name: Intent("Target", 100, 1, hold=True) for name in "abc"}


def test_a_way_back_stamps_every_planned_group_with_the_risen_epoch() -> None:
    made = canary()
    made.ask("Abort")

    assert intents(made.progress) == {name: Intent("Stable", 0, 2) for name in "abc"}


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


def test_after_a_gap_what_is_measured_every_interval_has_to_succeed_again() -> None:
    made = canary(gates=[GATE, JOB])
    made.measure("Successful")
    made.settle()

    made.now += 1000
    made.settle()

    assert made.phase == "Progressing"
    assert {gate.name: gate.result for gate in made.progress.gates} == {
        "errors": "Pending",
        "smoke": "Successful",  # a Job runs once a wave
    }
    made.measure("Successful", gate="errors")
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


# Actions


def awaiting() -> Place:
    made = place({"waves": [{"name": "all", "approval": True}], "gates": [GATE]})
    made.settle()
    return made


def waiting() -> Place:
    made = place({"freezes": [{"schedule": "0 6 * * *", "duration": "3h"}], "gates": [GATE]})
    made.settle()
    return made


def rejected() -> Place:
    made = place(target=None)
    made.settle()
    return made


def rejected_midway() -> Place:
    made = canary()
    made.target = None
    made.settle()
    return made


def paused() -> Place:
    made = canary()
    made.ask("Pause")
    return made


def paused_by_spec() -> Place:
    return place({"paused": True, "gates": [GATE]})


def pending() -> Place:
    made = place(previewed=False)
    made.settle()
    return made


def rolling_back() -> Place:
    made = second()
    made.ask("Abort")
    return made


def rollback_failed() -> Place:
    made = rolling_back()
    for _ in range(11):
        made.now += 60
        made.act()
    return made


def moving() -> Place:
    made = place({"gates": [GATE]})
    made.act()
    return made


STATES = {
    "Pending": pending,
    "Waiting": waiting,
    "AwaitingApproval": awaiting,
    "Rejected": rejected,
    "Rejected, midway": rejected_midway,
    "Progressing": canary,
    "Progressing, groups not updated": moving,
    "Soaking": soaking,
    "Paused": paused,
    "Paused by the spec": paused_by_spec,
    "Succeeded": succeeded,
    "RollingBack": rolling_back,
    "RolledBack": rolled_back,
    "RollbackFailed": rollback_failed,
}
TAKEN = {
    "Pending": {"Pause": "Pending", "Abort": "RolledBack"},
    "Waiting": {"Promote": "Progressing", "Pause": "Paused", "Abort": "RolledBack"},
    "AwaitingApproval": {"Approve": "Progressing", "Pause": "Paused", "Abort": "RolledBack"},
    "Rejected": {},
    "Rejected, midway": {"Pause": "Rejected", "Abort": "Rejected"},
    "Progressing": {"Promote": "Progressing", "Pause": "Paused", "Abort": "RolledBack"},
    "Progressing, groups not updated": {"Pause": "Paused", "Abort": "RolledBack"},
    "Soaking": {"Promote": "Progressing", "Pause": "Paused", "Abort": "RolledBack"},
    "Paused": {"Promote": "Progressing", "Resume": "Progressing", "Abort": "RolledBack"},
    "Paused by the spec": {"Pause": "Paused", "Abort": "RolledBack"},
    "Succeeded": {"Undo": "RolledBack"},
    "RollingBack": {},
    "RolledBack": {"Retry": "Progressing"},
    "RollbackFailed": {},
}
VERBS = ["Approve", "Promote", "Pause", "Resume", "Abort", "Retry", "Undo"]


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("verb", VERBS)
def test_each_action_is_taken_in_its_states_and_refused_in_the_others_with_what_is_possible(
    state: str, verb: str
) -> None:
    made = STATES[state]()
    made.act()
    phase, before = made.phase, made.progress
    hashed = before.target.hash if before.target else ""

    answer = made.ask(verb, hashed)

    assert answer.accepted == (verb in TAKEN[state]), answer.message
    if answer.accepted:
        made.settle()
        assert made.phase == TAKEN[state][verb]
    else:
        assert made.phase == phase
        assert made.progress.model_copy(update={"handled": before.handled}) == before
        assert answer.message


@pytest.mark.parametrize(
    "state", [state for state in STATES if state not in ("Rejected", "Paused by the spec")]
)
@pytest.mark.parametrize("verb", VERBS)
def test_an_action_on_what_has_moved_on_is_refused(state: str, verb: str) -> None:
    made = STATES[state]()

    answer = made.ask(verb, "0123456789abcdef")

    assert not answer.accepted
    assert "the rollout has moved on: its content is nnnnnnnn, not 0123456789ab" in answer.message


@pytest.mark.parametrize(
    ("state", "verb", "message"),
    [
        (
            "Soaking",
            "Retry",
            "there is nothing to retry; the rollout is Soaking: possible now: Promote, Pause or Abort",
        ),
        (
            "Progressing",
            "Approve",
            "nothing waits for an approval; the rollout is Progressing: possible now: Pause, ",
        ),
        ("RolledBack", "Abort", "possible now: Retry, or new content"),
        ("Paused by the spec", "Resume", "spec.strategy.paused is true: set it to false"),
        ("Paused by the spec", "Promote", "spec.strategy.paused is true: set it to false first"),
        ("Progressing, groups not updated", "Promote", "3 groups of wave all are not updated yet"),
        ("Rejected", "Pause", "possible now: nothing until the spec is corrected"),
    ],
)
def test_a_refusal_says_what_would_be_possible(state: str, verb: str, message: str) -> None:
    made = STATES[state]()
    made.act()

    assert message in made.ask(verb).message


def test_an_approval_names_the_content_and_lets_one_wave_start() -> None:
    made = place({"waves": [TWO_WAVES[0] | {"approval": True}, TWO_WAVES[1] | {"approval": True}]})
    made.settle()
    assert "set contentHash" in made.ask("Approve").message

    assert made.approve().accepted
    made.settle()
    made.pass_time(300)

    assert (made.phase, made.progress.current_wave) == ("AwaitingApproval", 2)
    assert made.progress.approved == ["canary"]
    made.approve()
    made.settle()
    made.pass_time(300)
    assert made.phase == "Succeeded"


@pytest.mark.parametrize("edit", ["content", "waves"])
def test_an_approval_is_void_once_what_was_approved_has_changed(edit: str) -> None:
    made = awaiting()
    made.busy = "PolicyRollout other is under way"
    assert made.approve().accepted
    assert made.phase == "Waiting"

    if edit == "content":
        made.target = content("m")
    else:
        made.strategy = strategy({"waves": [{"name": "all", "percent": 5, "approval": True}]})
    made.busy = ""
    made.settle()

    assert (made.phase, made.progress.approved) == ("AwaitingApproval", [])


def test_promote_ends_one_wait_at_a_time_and_approves_nothing() -> None:
    made = place(
        {
            "waves": [TWO_WAVES[0], {"name": "second", "groups": ["b"]}, {"name": "third", "approval": True}],
            "freezes": [{"schedule": "0 6 * * *", "duration": "3h"}],
            "gates": [GATE],
        }
    )
    made.settle()
    assert made.phase == "Waiting"
    assert made.ask("Promote").accepted
    made.settle()
    assert (made.phase, made.progress.current_wave) == ("Progressing", 1)
    assert made.ask("Promote").accepted
    made.settle()
    assert (made.phase, made.progress.wave) == ("Waiting", "2/3")
    made.ask("Promote")
    made.settle()
    made.ask("Promote")
    made.settle()

    assert (made.phase, made.progress.wave) == ("AwaitingApproval", "3/3")
    assert "possible now: Approve" in made.ask("Promote").message


def test_a_promoted_wave_that_was_held_still_waits_for_its_groups() -> None:
    made = moving()
    made.ask("Pause")
    made.follow()
    assert made.ask("Promote").accepted  # who looks at a held group finds it as it is wanted: where it is
    assert made.phase == "Progressing"
    assert made.progress.stable == content("o")

    made.settle()

    assert made.phase == "Succeeded"


def test_resume_judges_the_wave_anew() -> None:
    made = soaking(gates=[GATE | {"failureLimit": 1}, JOB | {"dryRun": True}])
    made.measure("Failed", gate="errors")
    made.act()
    made.ask("Pause")
    assert made.ask("Resume").accepted

    assert made.progress.gates[0].failures == 0
    made.measure("Failed", gate="errors")
    made.settle()
    assert made.phase == "Progressing"


def test_a_pause_outlives_new_content() -> None:
    made = second()
    made.ask("Pause", reason="an incident")
    made.target = content("m")

    made.settle()

    assert (made.phase, made.progress.underway) == ("Paused", None)
    assert {group.base for group in made.groups.values()} == {"o" * 8}
    assert "an incident" in (made.progress.message or "")
    made.ask("Resume")
    made.settle()
    assert made.phase == "Progressing"


def test_an_abort_before_the_start_moves_nothing() -> None:
    made = awaiting()

    assert made.ask("Abort", reason="not today").accepted

    assert (made.phase, made.progress.epoch, made.progress.underway) == ("RolledBack", None, None)
    assert made.progress.quarantine[0].reason == "aborted by ann@example.com: not today"


def test_undo_returns_to_the_content_before_and_quarantines_the_present_one() -> None:
    made = succeeded()

    assert made.ask("Undo").accepted
    assert (made.phase, made.progress.epoch) == ("RollingBack", 2)
    made.settle()

    assert (made.phase, made.progress.stable) == ("RolledBack", content("o"))
    assert {group.base for group in made.groups.values()} == {"o" * 8}
    made.target = content("o")
    made.settle()
    assert made.phase == "Succeeded"


def test_undo_of_the_first_policy_returns_to_nothing() -> None:
    made = place(progress=RolloutProgress())
    made.settle()
    assert (made.phase, made.progress.previous) == ("Succeeded", NOTHING)

    made.ask("Undo")
    made.settle()

    assert (made.phase, made.progress.stable) == ("RolledBack", NOTHING)
    assert RolloutProgress.model_validate(made.progress.to_dict()) == made.progress


def test_undo_does_not_return_to_what_has_failed_since() -> None:
    made = succeeded()
    made.target = content("o")
    made.settle()
    made.measure("Failed")
    made.settle()
    made.target = content("n")
    made.settle()
    assert (made.phase, made.progress.previous) == ("Succeeded", content("o"))

    answer = made.ask("Undo")

    assert not answer.accepted
    assert "has failed since" in answer.message


def test_an_action_is_taken_once_and_answered_in_the_same_words_ever_after() -> None:
    made = canary()
    seen = Place.seeing(made.look(), requests=(Request("u1", "Pause", requester="ann", reason="lunch"),))

    first = step(made.progress, seen, made.now)
    resumed = step(first.progress, Place.seeing(made.look(), requests=(Request("u2", "Resume"),)), made.now)
    again = step(resumed.progress, seen, made.now + 1)

    assert first.answers == again.answers
    assert first.progress.phase == "Paused"
    assert again.progress.phase == "Progressing"
    assert again.transitions == ()


def test_a_refused_action_stays_refused_when_it_would_be_possible_later() -> None:
    made = soaking(waves=[TWO_WAVES[0], {"name": "all", "approval": True}])
    early = Request("early", "Approve", "n" * 8)
    first = step(made.progress, Place.seeing(made.look(), requests=(early,)), made.now)
    made.progress = first.progress
    made.pass_time(300)
    assert made.phase == "AwaitingApproval"

    again = step(made.progress, Place.seeing(made.look(), requests=(early,)), made.now)

    assert again.answers == first.answers
    assert not again.answers[0].accepted
    assert again.progress.phase == "AwaitingApproval"


def test_answers_that_nobody_delivers_are_never_forgotten() -> None:
    made = canary()
    requests = tuple(Request(f"u{n}", "Approve") for n in range(150))

    first = step(made.progress, Place.seeing(made.look(), requests=requests), made.now)
    stuck = step(first.progress, Place.seeing(made.look(), requests=requests), made.now)
    rest = step(first.progress, Place.seeing(made.look(), requests=requests[100:]), made.now)

    assert [answer.uid for answer in first.answers] == [f"u{n}" for n in range(100)]
    assert stuck.answers == first.answers
    assert stuck.progress == first.progress
    assert [answer.uid for answer in rest.answers] == [f"u{n}" for n in range(100, 150)]
    assert len(rest.progress.handled) == 100


def test_an_action_that_does_not_exist_is_refused() -> None:
    assert "no such action; there are Approve, Promote" in canary().ask("Explode").message


# What is told


def test_every_transition_says_who_from_what_to_what() -> None:
    made = second()
    made.ask("Abort", reason="wrong numbers")
    told = {transition.reason: transition for transition in made.told}

    start, back = told["WaveStarted"], told["RolloutAborted"]
    assert (start.before, start.after, start.by, start.warning) == ("o" * 8, "n" * 8, "", False)
    assert (back.before, back.after, back.by, back.warning) == ("n" * 8, "o" * 8, "ann@example.com", True)
    assert (back.from_phase, back.to_phase) == ("Progressing", "RollingBack")
    assert back.message == "aborted by ann@example.com: wrong numbers"


def test_the_story_of_a_good_rollout() -> None:
    assert succeeded().reasons() == [
        "RevisionCreated",
        "PreviewReady",
        "WaveStarted",
        "SoakStarted",
        "WaveCompleted",
        "WaveStarted",
        "SoakStarted",
        "WaveCompleted",
        "RolloutCompleted",
    ]


def test_a_message_is_one_line_within_its_bound_whatever_others_say() -> None:
    made = canary()
    made.groups["a"].health = "Failed"
    made.measure("Failed", message="x" * 5000)
    made.settle()

    assert len(made.progress.message or "") <= 1024
    assert RolloutProgress.model_validate(made.progress.to_dict()) == made.progress


@pytest.mark.parametrize(
    "fields",
    [
        {"moving_since": "yesterday", "checked_at": "x" * 40, "soak_started_at": ""},
        {"moving_since": None, "checked_at": None},
        {"current_wave": 7},
        {"waves": []},
        {"halt": Halt(reason="NoData", by="unknown", since="never")},
        {"gates": []},
    ],
)
def test_a_status_that_somebody_has_edited_breaks_nothing(fields: dict[str, Any]) -> None:
    made = soaking()
    made.progress = made.progress.model_copy(update=fields)

    for _ in range(5):
        made.now += 30
        made.act()

    assert made.progress.phase is not None
