"""Rollouts start, their waves follow each other, and say what they want of each group."""

from __future__ import annotations

from typing import Any

import pytest

from support.rollout_follower import Place, content, strategy
from support.rollout_phases import (
    TWO_WAVES,
    canary,
    place,
    rolled_back,
    second,
    soaking,
    succeeded,
)
from trimtab.api.rollout_status import Halt, Quarantined, RolloutProgress
from trimtab.core import times
from trimtab.core.rollout import Intent, intents, step


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
    made.measure("Failed", message="500\nserver error " + "x" * 5000)
    made.settle()

    assert "GateFailed" in made.reasons()
    assert "500 server error" in (made.progress.message or "")
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
