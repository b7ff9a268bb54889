"""What evidence is worth: of what is served now, counted once, by the rules of the gate that was measured."""

from __future__ import annotations

import pytest

from support.rollout_follower import content, strategy
from support.rollout_phases import GATE, JOB, TWO_WAVES, canary, place, soaking
from trimtab.core.rollout import step


def test_what_was_measured_before_the_groups_had_moved_lets_nothing_soak() -> None:
    made = place({"waves": TWO_WAVES, "gates": [GATE]})
    made.act()
    made.measure("Successful")
    made.act()
    assert made.progress.gates[0].result == "Successful"

    made.settle()

    assert (made.phase, made.progress.gates[0].result) == ("Progressing", "Pending")
    made.measure("Successful")
    made.settle()
    assert made.phase == "Soaking"


def test_a_failure_from_before_the_groups_had_moved_counts() -> None:
    made = place({"waves": TWO_WAVES, "gates": [GATE]})
    made.act()
    made.measure("Failed")
    made.settle()

    assert made.phase == "RolledBack"


def test_what_was_begun_before_the_groups_had_moved_and_comes_late_does_not_count() -> None:
    made = place({"waves": TWO_WAVES, "gates": [GATE]})
    made.act()
    made.measure("Successful")
    late, made.evidence = list(made.evidence), []
    made.now += 1
    made.settle()

    made.evidence = late
    made.settle()

    assert (made.phase, made.progress.gates[0].result) == ("Progressing", "Pending")


def test_groups_that_were_ill_and_are_well_again_are_judged_anew() -> None:
    made = soaking()
    made.groups["a"].health = "Progressing"
    made.settle()
    made.groups["a"].health = "Healthy"
    made.now += 1
    made.settle()

    assert (made.phase, made.progress.gates[0].result) == ("Progressing", "Pending")


def test_a_measurement_counts_once_although_nobody_knows_that_it_was_written() -> None:
    made = canary(gates=[GATE | {"failureLimit": 1}])
    made.measure("Failed")
    again = list(made.evidence)
    made.act()
    assert made.progress.gates[0].failures == 1

    made.evidence = again  # the answer to the write was lost
    made.settle()

    assert (made.phase, made.progress.gates[0].failures) == ("Progressing", 1)


def test_clocks_that_went_back_do_not_silence_a_gate() -> None:
    made = canary()
    status = made.progress.gates[0].model_copy(update={"counted_until": "2999-01-01T00:00:00.000Z"})
    made.progress = made.progress.model_copy(update={"gates": [status]})

    made.measure("Failed")
    made.settle()

    assert made.phase == "RolledBack"


def test_a_gate_that_asks_something_else_now_has_not_been_measured() -> None:
    made = soaking()
    edited = GATE | {"http": {"url": "http://elsewhere/"}}

    made.strategy = strategy({"waves": TWO_WAVES, "gates": [edited]})
    made.pass_time(400)

    assert (made.phase, made.progress.gates[0].result) == ("Progressing", "Pending")
    made.measure("Successful")
    made.settle()
    assert made.phase == "Soaking"


def test_evidence_of_the_gate_before_an_edit_is_refused() -> None:
    made = canary()
    made.measure("Failed")
    made.strategy = strategy({"waves": TWO_WAVES, "gates": [GATE | {"http": {"url": "http://elsewhere/"}}]})

    made.settle()

    assert (made.phase, made.progress.gates[0].result) == ("Progressing", "Pending")


def test_a_limit_that_is_edited_leaves_what_was_measured() -> None:
    made = soaking()

    made.strategy = strategy({"waves": TWO_WAVES, "gates": [GATE | {"failureLimit": 3}]})
    made.settle()

    assert (made.phase, made.progress.gates[0].failure_limit) == ("Soaking", 3)


@pytest.mark.parametrize("rules", [{"dryRun": True}, {"failureLimit": 5}])
def test_a_gate_keeps_its_rules_while_the_spec_is_refused(rules: dict[str, object]) -> None:
    made = place({"waves": TWO_WAVES, "gates": [GATE | rules]})
    made.settle()
    made.target = None

    made.measure("Failed")
    made.settle()

    assert (made.phase, made.progress.underway) == ("Rejected", "Forward")


def test_a_failure_while_the_spec_is_refused_pauses_if_it_said_so() -> None:
    made = canary(onFailure="Pause")
    made.target = None
    made.measure("Failed")
    made.settle()
    assert (made.phase, made.progress.underway) == ("Rejected", "Forward")

    made.target = content("n")
    made.settle()

    assert made.phase == "Paused"


def test_resume_after_a_failed_job_asks_for_another_one() -> None:
    made = canary(gates=[JOB], onFailure="Pause")
    made.measure("Failed")
    made.settle()
    assert (made.phase, made.progress.gates[0].round) == ("Paused", 0)

    late = made.evidence_of(made.progress.gates[0], "Failed")
    made.now += 1
    assert made.ask("Resume").accepted
    made.evidence = [late]
    made.settle()

    assert (made.phase, made.progress.gates[0].round) == ("Progressing", 1)


def test_a_short_soak_that_nobody_watched_starts_again() -> None:
    made = place({"waves": [{"name": "all", "soak": "1m"}], "gates": [GATE]})
    made.settle()
    made.measure("Successful")
    made.settle()
    made.now += 50
    made.settle()

    assert (made.phase, made.progress.gates[0].result) == ("Progressing", "Pending")
    assert "SoakInterrupted" in made.reasons()


def test_a_short_soak_that_is_watched_completes() -> None:
    made = place({"waves": [{"name": "all", "soak": "1m"}], "gates": [GATE]})
    made.settle()
    made.measure("Successful")
    made.settle()

    for _ in range(200):
        wake = step(made.progress, made.look(), made.now).wake_at
        if wake is None:
            break
        made.now = wake
        made.settle()

    assert made.phase == "Succeeded"
    assert "SoakInterrupted" not in made.reasons()


def test_a_wave_that_breaks_again_and_again_comes_to_its_deadline() -> None:
    made = soaking()

    for _ in range(30):
        made.groups["a"].health = "Progressing"
        made.pass_time(60)
        made.groups["a"].health = "Healthy"
        made.settle()
        made.measure("Successful")
        made.pass_time(180)

    assert made.phase == "RolledBack"
    assert made.progress.failure is not None
    assert made.progress.failure.reason == "ProgressDeadlineExceeded"


def test_a_soak_does_not_count_towards_the_deadline() -> None:
    made = place({"waves": [{"name": "all", "soak": "2h"}], "gates": [GATE]})
    made.settle()
    made.measure("Successful")
    made.settle()
    made.pass_time(3600, 30)
    made.groups["a"].health = "Progressing"
    made.pass_time(300)
    assert made.phase == "Progressing"

    made.groups["a"].health = "Healthy"
    made.pass_time(60, 30, "Successful")

    assert made.phase == "Soaking"


def test_the_deadline_does_not_run_while_another_rollout_goes_back_in_its_groups() -> None:
    made = place({"waves": TWO_WAVES, "gates": [GATE]})
    made.act()
    made.busy = "PolicyRollout other is under way in group a"

    for _ in range(100):
        made.now += 60
        made.act()
    assert made.phase == "Progressing"
    assert "PolicyRollout other" in (made.progress.message or "")

    made.busy = ""
    made.settle()
    made.measure("Successful")
    made.settle()
    assert made.phase == "Soaking"


def test_the_deadline_does_not_run_while_a_group_waits_for_a_turn() -> None:
    made = place({"waves": TWO_WAVES, "gates": [GATE]})
    made.act()
    made.groups["a"].waits = "waits for a turn to restart Deployment web"

    for _ in range(100):
        made.now += 60
        made.act()
    assert made.phase == "Progressing"
    assert "group a: waits for a turn to restart Deployment web" in (made.progress.message or "")

    made.groups["a"].waits = ""
    made.groups["a"].problem = "no rights"
    for _ in range(11):
        made.now += 60
        made.act()
    assert made.phase == "RollingBack"


def test_the_deadline_runs_if_what_has_had_its_turn_is_ill_while_others_wait_for_theirs() -> None:
    made = place({"waves": [{"name": "all"}]})
    made.act()
    made.follow("a", "b")
    made.groups["a"].health = "Progressing"
    made.groups["c"].waits = "waits for a turn to restart Deployment web"

    for _ in range(11):
        made.now += 60
        made.act()

    assert made.phase == "RollingBack"


def test_what_is_judged_anew_is_measured_at_once() -> None:
    made = soaking()
    before = made.progress.settled_at
    made.now += 200

    made.settle()

    assert "SoakInterrupted" in made.reasons()
    assert made.progress.settled_at not in (None, before)


def test_new_content_in_the_look_that_shows_a_failure_does_not_save_the_old_one() -> None:
    made = canary()
    made.measure("Failed")
    made.target = content("m")
    made.settle()

    assert [entry.hash for entry in made.progress.quarantine] == ["n" * 8]


def test_new_content_after_a_failure_that_paused_does_not_save_the_old_one() -> None:
    made = canary(onFailure="Pause")
    made.measure("Failed")
    made.settle()
    made.target = content("m")
    made.settle()

    assert [entry.hash for entry in made.progress.quarantine] == ["n" * 8]
