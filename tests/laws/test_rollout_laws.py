"""Laws of the steps of a rollout, whatever is observed, requested and edited, whenever, and however groups follow."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from hypothesis import event, given
from hypothesis import strategies as st

from support.random_rollouts import ENDS, FAILURES, NAMES, SCENES, STRATEGIES, Story, told, walk
from trimtab.api.rollout_status import Phase, RolloutProgress
from trimtab.core import rollout, times
from trimtab.core.durations import nanoseconds
from trimtab.core.rollout import Observation, Step, intents, queries, step
from trimtab.core.rollout.freezes import frozen
from trimtab.core.rollout.queries import same as same_content
from trimtab.core.rollout.strategy import PROGRESS_DEADLINE


def started(progress: RolloutProgress) -> int:
    if progress.underway != "Forward":
        return 0
    return (progress.current_wave or 0) - (progress.wave_state == "Held")


@given(SCENES)
def test_a_paused_rollout_never_advances(scene: Any) -> None:
    def law(_: Story, before: RolloutProgress, seen: Observation, made: Step) -> None:
        after = made.progress
        asked = seen.strategy is not None and seen.strategy.paused
        halted = before.halt is not None and after.halt is not None
        if asked or halted or seen.target is None:
            assert started(after) <= started(before)
            undone = after.failure != before.failure
            same = same_content(after.stable, before.stable)
            assert same or undone
        if after.phase in ("Paused", "Rejected"):
            assert all(intent.hold for intent in intents(after).values())
            assert after.wave_state != "Soaking"

    told(scene, law)


@given(SCENES)
def test_the_epoch_never_decreases_and_rises_before_any_change_of_direction(scene: Any) -> None:
    def law(_: Story, before: RolloutProgress, __: Observation, made: Step) -> None:
        after = made.progress
        assert (after.epoch or 0) >= (before.epoch or 0)
        assert (after.attempt or 0) >= (before.attempt or 0)
        if after.underway is not None and after.underway != before.underway:
            assert (after.epoch or 0) > (before.epoch or 0)
        if (after.attempt or 0) > (before.attempt or 0):
            assert (after.epoch or 0) > (before.epoch or 0)

    told(scene, law)


@given(SCENES)
def test_what_is_stable_is_never_in_quarantine_and_after_rolled_back_nothing_else_is_served(
    scene: Any,
) -> None:
    def law(story: Story, _: RolloutProgress, seen: Observation, made: Step) -> None:
        after = made.progress
        bad = {q.hash for q in after.quarantine}
        assert after.stable is None or after.stable.hash not in bad
        if after.phase in ("RollingBack", "RolledBack", "RollbackFailed"):
            assert all(intent.kind == "Stable" for intent in intents(after).values())
        if any(t.reason == "RollbackCompleted" for t in made.transitions):
            for wave in after.waves:
                for name in wave.groups:
                    found = story.groups[name]
                    back = found.base == (after.stable.hash if after.stable else "") and not found.percent
                    assert back or not found.exists or after.current_wave == 0

    told(scene, law)


@given(SCENES)
def test_no_group_is_ever_beyond_its_waves_share(scene: Any) -> None:
    def law(story: Story, _: RolloutProgress, __: Observation, made: Step) -> None:
        after = made.progress
        for name, intent in intents(after).items():
            allowed = max((w.percent for w in after.waves[: started(after)] if name in w.groups), default=0)
            assert intent.percent == (allowed if after.underway == "Forward" else 0)
        if after.underway == "Forward" and after.target is not None:
            wanted = intents(after)
            for name, found in story.groups.items():
                if found.epoch == after.epoch and name in wanted:
                    assert found.serves(after.target.hash) <= wanted[name].percent

    told(scene, law)


@given(SCENES)
def test_waves_start_only_in_order_and_the_plan_is_frozen_once_the_first_has(scene: Any) -> None:
    def law(story: Story, before: RolloutProgress, seen: Observation, made: Step) -> None:
        after = made.progress
        moved = started(after) - (started(before) if after.epoch == before.epoch else 0)
        starts = [t for t in made.transitions if t.reason == "WaveStarted"]
        assert moved <= max(1, len(starts))
        gone = all(not g.exists for g in story.groups.values() if g.looked_at)
        assert len(starts) <= 1 or gone or len([n for n in NAMES if story.groups[n].exists]) < len(NAMES)
        if after.underway == before.underway == "Forward" and after.attempt == before.attempt:
            assert after.waves == before.waves

    told(scene, law)


@given(SCENES)
def test_evidence_of_another_epoch_or_wave_is_ignored(scene: Any) -> None:
    def law(_: Story, before: RolloutProgress, seen: Observation, made: Step) -> None:
        present = [e for e in seen.evidence if (e.epoch, e.wave) == (before.epoch, before.current_wave)]
        assert step(before, replace(seen, evidence=tuple(present)), _.now) == made

    told(scene, law)


@given(SCENES)
def test_a_soak_really_elapsed_with_continuous_evidence(scene: Any) -> None:
    def law(story: Story, before: RolloutProgress, _: Observation, made: Step) -> None:
        completed = [t for t in made.transitions if t.reason == "WaveCompleted"]
        promoted = any(t.reason == "WavePromoted" for t in made.transitions)
        if not completed or promoted or before.underway != "Forward" or before.wave_state == "Held":
            return
        wave = before.waves[(before.current_wave or 1) - 1]
        if wave.name in before.promoted:
            return
        assert story.well_for >= nanoseconds(wave.soak) / 1e9 - 1e-6

    told(scene, law)


def milliseconds(moment: str | None) -> int:
    return round(times.seconds(moment or "") * 1000)


@given(SCENES)
def test_soaks_deadlines_and_freezes_are_evaluated_by_the_times_in_status(scene: Any) -> None:
    def law(story: Story, before: RolloutProgress, seen: Observation, made: Step) -> None:
        assert {t.at for t in made.transitions} <= {times.text(story.now)}
        reasons = {t.reason for t in made.transitions}
        if not made.transitions or before.underway != "Forward":
            return
        at, wave = milliseconds(made.transitions[0].at), queries.present(before)
        promoted = "WavePromoted" in reasons or (wave and wave.name in before.promoted)
        if "WaveCompleted" in reasons and wave and before.wave_state == "Soaking" and not promoted:
            soaked = at - milliseconds(before.soak_started_at)
            assert soaked * 10**6 >= nanoseconds(wave.soak)
        if reasons & {"ProgressDeadlineExceeded", "WriteFailed"} and before.wave_state == "Moving":
            deadline = seen.strategy.progress_deadline if seen.strategy else PROGRESS_DEADLINE
            assert at - milliseconds(before.moving_since) >= round(deadline * 1000)
        if "WaveStarted" in reasons and not promoted and seen.strategy is not None:
            assert frozen(seen.strategy.freezes, at / 1000) is None

    told(scene, law)


@given(SCENES)
def test_a_wave_completes_on_what_its_gates_measured_once_its_groups_were_there(scene: Any) -> None:
    def law(story: Story, before: RolloutProgress, seen: Observation, made: Step) -> None:
        completed = any(t.reason == "WaveCompleted" for t in made.transitions)
        promoted = any(t.reason == "WavePromoted" for t in made.transitions)
        if not completed or promoted or before.wave_state == "Held" or seen.strategy is None:
            return
        if before.waves[(before.current_wave or 1) - 1].name in before.promoted:
            return
        assert story.settled_since is not None
        for gate in seen.strategy.gates:
            if not gate.dry_run:
                assert story.proved[gate.name] > story.settled_since

    told(scene, law)


@given(SCENES)
def test_every_failure_ends_in_a_rollback_or_a_pause(scene: Any) -> None:
    def law(_: Story, __: RolloutProgress, seen: Observation, made: Step) -> None:
        told = [t for t in made.transitions if t.reason in FAILURES]
        if told:
            event(f"{told[0].reason} -> {told[0].to_phase}")
            assert all(t.to_phase in ("RollingBack", "Paused", "Rejected") for t in told)
            assert made.progress.failure is not None

    told(scene, law)


@given(SCENES)
def test_from_every_state_quiet_good_evidence_leads_to_an_end(scene: Any) -> None:
    story = told(scene)
    story.quiet()

    ended = 0
    for _ in range(400):
        story.happen(("well", 30.0))
        ended = ended + 1 if story.phase in ENDS else 0
        if ended == 5:
            break

    assert story.phase in ENDS
    if story.phase == "Paused":
        halt = story.progress.halt
        by_people = halt and halt.reason in ("Action", "Failed", "ChangedBack")
        assert by_people or (story.strategy and story.strategy.paused)
    if story.phase == "AwaitingApproval":
        assert any(wave.approval for wave in story.progress.waves)
    if story.phase in ("Succeeded", "RolledBack"):
        served = {group.base for group in story.groups.values() if group.exists}
        assert served <= {story.stable}
    event(str(story.phase))


@given(SCENES)
def test_it_ends_from_every_state_also_if_no_group_follows_and_no_gate_responds(scene: Any) -> None:
    story = told(scene)
    story.quiet()

    ended = 0
    for _ in range(400):
        if story.progress.underway == "Back":
            story.follow()
        story.happen(("time", 60.0))
        ended = ended + 1 if story.phase in ENDS else 0
        if ended == 5:
            break

    assert story.phase in ENDS


@given(SCENES)
def test_more_failures_in_a_row_than_allowed_always_count(scene: Any) -> None:
    rows: dict[str, int] = {}

    def law(_: Story, before: RolloutProgress, seen: Observation, made: Step) -> None:
        for evidence in seen.evidence:
            if (evidence.epoch, evidence.wave) == (before.epoch, before.current_wave) and before.halt is None:
                row = rows.get(evidence.gate, 0)
                rows[evidence.gate] = {"Failed": row + 1, "Successful": 0}.get(evidence.result, row)
        gates = seen.strategy.gates if seen.strategy and seen.target else ()
        deciding = [gate for gate in gates if not gate.dry_run]
        same_wave = (before.epoch, before.current_wave) == (made.progress.epoch, made.progress.current_wave)
        if (
            any(rows.get(gate.name, 0) > gate.failure_limit for gate in deciding)
            and made.measure
            and same_wave
        ):
            wave = made.progress.waves[(made.progress.current_wave or 1) - 1]
            assert made.progress.halt is not None or wave.name in made.progress.promoted
        if before.halt or not made.measure or not same_wave:
            rows.clear()
        if [g.name for g in made.progress.gates] != [g.name for g in before.gates]:
            rows.clear()

    told(scene, law)


@given(SCENES)
def test_each_action_has_one_result_that_never_changes(scene: Any) -> None:
    story = told(scene)  # the story itself holds repeated answers against the first one

    story.happen(("deliver",))

    assert len(story.verdicts) == story.asked
    assert story.undelivered == []


@given(SCENES)
def test_the_same_observation_again_changes_nothing(scene: Any) -> None:
    def law(story: Story, _: RolloutProgress, seen: Observation, made: Step) -> None:
        again = step(made.progress, replace(seen, evidence=(), requests=()), story.now)
        assert again.progress == made.progress
        assert again.transitions == ()
        assert again.measure == made.measure

    told(scene, law)


@given(SCENES, st.floats(0.001, 5000))
def test_nothing_changes_before_the_time_of_the_next_pass(scene: Any, later: float) -> None:
    def law(story: Story, _: RolloutProgress, seen: Observation, made: Step) -> None:
        seen = replace(seen, evidence=(), requests=())
        then = story.now + later
        if made.wake_at is None or then < made.wake_at - 0.001:
            assert step(made.progress, seen, then).progress == made.progress

    told(scene, law)


@given(SCENES)
def test_progress_survives_status_and_is_within_the_bounds_of_the_crd(scene: Any) -> None:
    def law(_: Story, __: RolloutProgress, ___: Observation, made: Step) -> None:
        assert RolloutProgress.model_validate(made.progress.to_dict()) == made.progress

    told(scene, law)


@given(SCENES)
def test_status_describes_what_the_step_does(scene: Any) -> None:
    def law(_: Story, __: RolloutProgress, seen: Observation, made: Step) -> None:
        after = made.progress
        assert after.phase is not None
        assert after.message
        assert "\n" not in after.message
        assert made.measure == (after.underway == "Forward" and after.wave_state in ("Moving", "Soaking"))
        assert (after.underway == "Back") == (after.phase in ("RollingBack", "RollbackFailed"))
        if after.underway is None:
            assert after.phase not in ("Progressing", "Soaking")
            assert intents(after) == {}
        phases = [t.to_phase for t in made.transitions]
        assert not phases or phases[-1] == after.phase
        assert phases or after.phase == _.progress.phase

    told(scene, law)


ROW = re.compile(r"^\| (\w+) \| ([^|]+) \| ([^|]+) \|", re.MULTILINE)


def listed() -> dict[str, tuple[set[str], set[str]]]:
    """The table of states: event -> the phases that it may come from, and lead to."""
    text = (Path(rollout.__file__).parent / "STATES.md").read_text()
    rows = {event: (before, after) for event, before, after in ROW.findall(text) if event != "event"}
    return {
        event: (
            {p.strip().replace("-", "") for p in before.split(",")},
            {p.strip() for p in after.split(",")},
        )
        for event, (before, after) in rows.items()
    }


TABLE = listed()


@given(SCENES)
def test_nothing_happens_that_the_table_of_states_does_not_list(scene: Any) -> None:
    story = told(scene)
    story.quiet()
    story.on_well(60.0, 10)

    for t in story.told:
        before, after = TABLE[t.reason]
        assert t.from_phase in before or t.from_phase == t.to_phase, t
        assert t.to_phase in after, t


def test_everything_that_the_table_lists_happens() -> None:
    events: set[str] = set()
    phases: set[str] = set()

    for seed in range(1000):
        story = told((seed % len(STRATEGIES), walk(seed, 60), False))
        events.update(t.reason for t in story.told)
        phases.update(t.to_phase for t in story.told)
        if events == TABLE.keys() and phases == set(get_args(Phase)):
            return

    assert events == TABLE.keys()
    assert phases == set(get_args(Phase))
