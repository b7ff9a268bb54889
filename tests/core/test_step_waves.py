"""Steps of a rollout: it starts, its waves follow each other, and each group gets an intent."""

from __future__ import annotations

from typing import Any

import pytest

from support.rollout_follower import Group, RolloutModel, content, strategy
from support.rollout_phases import (
    GATE,
    JOB,
    TWO_WAVES,
    canary,
    new_rollout,
    rolled_back,
    second,
    soaking,
    succeeded,
)
from trimtab.api.rollout_status import Halt, Quarantined, RolloutProgress
from trimtab.core import times
from trimtab.core.rollout import Intent, intents, step


def test_no_group_is_claimed_before_the_first_wave_starts() -> None:
    rollout = new_rollout({"waves": [{"name": "all", "approval": True}]})

    rollout.settle()

    assert (rollout.phase, rollout.progress.wave, rollout.progress.updated) == (
        "AwaitingApproval",
        "0/1",
        "0/3",
    )
    assert (rollout.progress.underway, rollout.progress.attempt) == (None, None)
    assert intents(rollout.progress) == {}


@pytest.mark.parametrize(
    ("change", "phase"),
    [
        ({"previewed": False}, "Pending"),
        ({"busy": "PolicyRollout other is in progress in group a"}, "Waiting"),
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
    rollout = RolloutModel(**({"strategy": strategy({"freezes": [weekend]})} | change))

    rollout.settle()

    assert rollout.phase == phase
    assert rollout.progress.attempt is None


def test_a_preview_of_other_content_starts_nothing() -> None:
    rollout = new_rollout()
    other = RolloutModel.seeing(
        rollout.look(), preview=RolloutModel(rollout.strategy, target=content("m")).look().preview
    )

    assert step(rollout.progress, other, rollout.now).progress.phase == "Pending"


def test_a_start_has_its_own_attempt_epoch_times_and_evidence() -> None:
    rollout = rolled_back()
    rollout.target = content("m")
    rollout.now += 1000

    rollout.act()

    progress = rollout.progress
    assert (progress.attempt, progress.epoch, progress.current_wave) == (2, 3, 1)
    assert progress.started_at == progress.wave_started_at == times.text(rollout.now)
    assert [(gate.result, gate.passed, gate.failures) for gate in progress.gates] == [("Pending", False, 0)]
    assert progress.failure is None


def test_a_wave_that_starts_forgets_what_was_measured_before() -> None:
    rollout = second()

    assert [(gate.result, gate.passed) for gate in rollout.progress.gates] == [("Pending", False)]
    assert rollout.progress.soak_started_at is None


def test_the_first_content_reaches_all_groups_without_waves() -> None:
    rollout = new_rollout({"waves": TWO_WAVES}, unprotected=True, progress=RolloutProgress())

    rollout.settle()

    assert (rollout.phase, rollout.progress.stable) == ("Succeeded", content("n"))
    assert (rollout.progress.waves, rollout.progress.previous) == ([], None)
    assert not rollout.ask("Undo").accepted


def test_a_freeze_delays_the_start_of_a_wave_and_ends_automatically() -> None:
    noon = {"schedule": "0 7 * * *", "duration": "1h", "reason": "lunch"}
    rollout = soaking(freezes=[noon])
    rollout.now = times.seconds("2026-02-25T06:58:00Z")
    rollout.settle()
    rollout.measure("Successful")
    rollout.settle()
    rollout.pass_time(310)

    rollout.settle()
    wake = rollout.act().wake_at

    assert (rollout.phase, rollout.progress.wave) == ("Waiting", "2/2")
    assert rollout.progress.message == (
        "Wave 2/2 (all) is waiting: freeze until 2026-02-25T08:00:00.000Z: lunch"
    )
    assert wake == times.seconds("2026-02-25T08:00:00Z")
    rollout.now = wake
    rollout.settle()
    assert rollout.phase == "Progressing"


def test_waves_update_their_groups_to_their_percent_and_others_get_the_epoch() -> None:
    waves = [
        {"name": "few", "groups": ["a"], "percent": 10},
        {"name": "half", "groups": ["a", "b"], "percent": 50},
    ]
    rollout = new_rollout({"waves": waves})

    rollout.act()
    first = dict(intents(rollout.progress))
    rollout.follow()
    rollout.act()
    later = dict(intents(rollout.progress))

    assert first == {"a": Intent("Target", 10, 1), "b": Intent("Stable", 0, 1), "c": Intent("Stable", 0, 1)}
    assert later == {"a": Intent("Target", 50, 1), "b": Intent("Target", 50, 1), "c": Intent("Stable", 0, 1)}


def test_a_paused_rollout_updates_no_further_group() -> None:
    rollout = second(paused=False)
    rollout.ask("Pause")

    assert intents(rollout.progress) == {name: Intent("Target", 100, 1, hold=True) for name in "abc"}


def test_a_rollback_gives_every_planned_group_the_next_epoch() -> None:
    rollout = canary()
    rollout.ask("Abort")

    assert intents(rollout.progress) == {name: Intent("Stable", 0, 2) for name in "abc"}


def test_every_transition_has_its_requester_and_both_phases() -> None:
    rollout = second()
    rollout.ask("Abort", reason="wrong numbers")
    told = {transition.reason: transition for transition in rollout.told}

    start, back = told["WaveStarted"], told["RolloutAborted"]
    assert (start.before, start.after, start.by, start.warning) == ("o" * 8, "n" * 8, "", False)
    assert (back.before, back.after, back.by, back.warning) == ("n" * 8, "o" * 8, "ann@example.com", True)
    assert (back.from_phase, back.to_phase) == ("Progressing", "RollingBack")
    assert back.message == "Aborted by ann@example.com: wrong numbers"


def test_the_transitions_of_a_rollout_that_succeeds() -> None:
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


def test_a_message_is_one_line_within_its_limit_whatever_others_report() -> None:
    rollout = canary()
    rollout.measure("Failed", message="500\nserver error " + "x" * 5000)
    rollout.settle()

    assert "GateFailed" in rollout.reasons()
    assert "500 server error" in (rollout.progress.message or "")
    assert len(rollout.progress.message or "") <= 1024
    assert RolloutProgress.model_validate(rollout.progress.to_dict()) == rollout.progress


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
def test_a_status_that_was_edited_manually_breaks_nothing(fields: dict[str, Any]) -> None:
    rollout = soaking()
    rollout.progress = rollout.progress.model_copy(update=fields)

    for _ in range(5):
        rollout.now += 30
        rollout.act()

    assert rollout.progress.phase is not None


@pytest.mark.parametrize("trouble", ["health", "gate", "group", "problem"])
def test_an_interrupted_soak_restarts_with_a_new_deadline(trouble: str) -> None:
    rollout = soaking(gates=[GATE | {"failureLimit": 1}], progressDeadline="250s")
    rollout.pass_time(200)

    if trouble == "health":
        rollout.groups["a"].health = "Progressing"
    if trouble == "gate":
        rollout.measure("Failed")
    if trouble == "group":
        rollout.groups["a"].base = "o" * 8
    if trouble == "problem":
        rollout.groups["a"].looked_at = False
    rollout.act()
    assert (rollout.phase, rollout.progress.soak_started_at) == ("Progressing", None)
    rollout.now += 100
    rollout.act()
    assert rollout.phase == "Progressing"

    rollout.groups["a"].health, rollout.groups["a"].looked_at = "Healthy", True
    rollout.follow()
    rollout.settle()
    rollout.measure("Successful")
    rollout.settle()
    rollout.pass_time(290)
    assert (rollout.phase, rollout.progress.current_wave) == ("Soaking", 1)


def test_an_idle_soak_is_written_about_once_a_minute() -> None:
    rollout = soaking()
    writes = 0

    for _ in range(280):
        rollout.now += 1
        before = rollout.progress
        rollout.measure("Successful", message=f"figure {rollout.now}")
        rollout.act()
        writes += rollout.progress != before

    assert rollout.phase == "Soaking"
    assert writes == 4


def test_a_strategy_edit_takes_effect_immediately_and_keeps_the_plan() -> None:
    rollout = canary()
    plan = rollout.progress.waves

    rollout.strategy = strategy({"gates": [JOB], "progressDeadline": "1m"})
    rollout.settle()
    assert [gate.name for gate in rollout.progress.gates] == ["smoke"]
    assert rollout.progress.waves == plan
    rollout.strategy = strategy({"paused": True})
    rollout.settle()
    assert (rollout.phase, rollout.progress.epoch, rollout.progress.attempt) == ("Paused", 1, 1)


def test_a_short_soak_that_was_not_observed_restarts() -> None:
    rollout = new_rollout({"waves": [{"name": "all", "soak": "1m"}], "gates": [GATE]})
    rollout.settle()
    rollout.measure("Successful")
    rollout.settle()
    rollout.now += 50
    rollout.settle()

    assert (rollout.phase, rollout.progress.gates[0].result) == ("Progressing", "Pending")
    assert "SoakInterrupted" in rollout.reasons()


def test_a_short_soak_that_is_observed_completes() -> None:
    rollout = new_rollout({"waves": [{"name": "all", "soak": "1m"}], "gates": [GATE]})
    rollout.settle()
    rollout.measure("Successful")
    rollout.settle()

    for _ in range(200):
        wake = step(rollout.progress, rollout.look(), rollout.now).wake_at
        if wake is None:
            break
        rollout.now = wake
        rollout.settle()

    assert rollout.phase == "Succeeded"
    assert "SoakInterrupted" not in rollout.reasons()


def test_a_retry_inherits_no_soak() -> None:
    rollout = soaking()
    soaked = rollout.progress.soak_started_at
    rollout.pass_time(200)
    rollout.ask("Abort")
    rollout.settle()

    rollout.ask("Retry")
    rollout.settle()

    assert rollout.progress.attempt == 2
    assert rollout.progress.soak_started_at is None
    assert rollout.progress.gates[0].passed is False
    rollout.measure("Successful")
    rollout.settle()
    assert rollout.progress.soak_started_at is not None
    assert rollout.progress.soak_started_at != soaked
    rollout.pass_time(290)
    assert rollout.phase == "Soaking"


def test_the_plan_of_waves_ignores_groups_that_come_and_go() -> None:
    rollout = second()
    plan = rollout.progress.waves
    rollout.groups["d"] = Group(base="o" * 8)
    rollout.groups["b"].exists = False
    rollout.strategy = strategy({"waves": TWO_WAVES, "gates": [GATE]}, ["a", "c", "d"])

    rollout.measure("Successful")
    rollout.settle()
    rollout.pass_time(300)

    assert (rollout.phase, rollout.progress.waves) == ("Succeeded", plan)
    assert rollout.progress.updated == "2/2"
    assert "d" not in {name for wave in rollout.progress.waves for name in wave.groups}


@pytest.mark.parametrize(
    ("jump", "waits"),
    [(-86_400.0, True), (121.0, True), (86_400.0, True), (119.0, False)],
)
def test_a_jump_of_the_clock_restarts_the_soak(jump: float, waits: bool) -> None:
    rollout = soaking()
    rollout.pass_time(240)

    rollout.now += jump
    rollout.settle()

    assert (rollout.progress.current_wave == 1) == waits
    if waits:
        rollout.measure("Successful")
        rollout.settle()
        rollout.pass_time(270)
        assert rollout.progress.current_wave == 1
        rollout.pass_time(60)
        assert rollout.progress.current_wave == 2
