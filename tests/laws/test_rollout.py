"""Laws of the rollout machine, whatever is seen, asked and edited, whenever, and however groups follow."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

from hypothesis import event, given
from hypothesis import strategies as st

from follower import START, Group, Place, content, strategy
from trimtab.api.rollout_status import Phase, RolloutProgress
from trimtab.core import rollout, times
from trimtab.core.durations import nanoseconds
from trimtab.core.rollout import Answer, Evidence, Request, Seen, Step, intents, step
from trimtab.core.rollout.reading import same as same_content
from trimtab.core.strategy import Strategy

NAMES = ("a", "b", "c")
GATE = {"name": "errors", "http": {"url": "http://errors"}, "consecutiveErrorLimit": 1}
JOB = {"name": "smoke", "job": {"cronJob": "smoke"}}
WAVES = [
    {"name": "canary", "groups": ["a"], "percent": 10, "soak": "5m"},
    {"name": "half", "groups": ["a", "b"], "percent": 50, "approval": True},
    {"name": "all", "soak": "90s"},
]
FRIDAYS = [{"schedule": "0 * * * *", "duration": "30m", "reason": "each hour"}]
STRATEGIES: tuple[Strategy, ...] = tuple(
    strategy(spec, NAMES)
    for spec in (
        {},
        {"gates": [GATE]},
        {"waves": WAVES, "gates": [GATE, JOB]},
        {"waves": WAVES[:1], "gates": [GATE], "onFailure": "Pause"},
        {"waves": WAVES[:2], "gates": [GATE | {"failureLimit": 2, "onNoData": "Fail"}], "paused": True},
        {"waves": WAVES[2:], "gates": [GATE | {"dryRun": True}, JOB], "freezes": FRIDAYS},
        {"waves": WAVES[1:], "progressDeadline": "2m", "gates": [JOB | {"onNoData": "Pass"}]},
    )
)
ACTIONS = ("Approve", "Promote", "Pause", "Resume", "Abort", "Retry", "Undo", "Explode")
FAILURES = {"GateFailed", "WorkloadFailed", "WriteFailed", "ProgressDeadlineExceeded"}
ENDS = {"Succeeded", "RolledBack", "AwaitingApproval", "Paused"}

CHOICES: tuple[tuple[int, tuple[tuple[Any, ...], ...]], ...] = (
    (9, (("well",), (1.0, 30.0, 60.0, 110.0), (1, 2, 3, 6))),
    (4, (("act",), ("Approve", "Promote"), ("target",))),
    (4, (("act",), ACTIONS, ("target", "target", "", "other"))),
    (
        5,
        (
            ("evidence",),
            ("errors", "errors", "smoke", "unknown"),
            ("Successful", "Failed", "Failed", "Error", "Error", "Inconclusive", "NoData", "Pending"),
            (0, 0, 0, 0, -1, 1),
            (0, 0, 0, 0, -1, 1),
        ),
    ),
    (2, (("time",), (-4000.0, -1.0, 0.0004, 1.0, 59.0, 60.0, 100.0, 119.0, 121.0, 600.0, 3600.0))),
    (2, (("follow",), (*NAMES, "", ""))),
    (2, (("health",), NAMES, ("Healthy", "Progressing", "Failed"))),
    (2, (("problem",), NAMES, ("", "the quota is exceeded"))),
    (1, (("exists",), NAMES, (True, True, False))),
    (1, (("looked_at",), NAMES, (True, True, False))),
    (1, (("join",), ("d", "e"))),
    (1, (("edit",), ("o", "n", "n", "m", "m", "p", ""))),
    (1, (("strategy",), range(len(STRATEGIES)))),
    (1, (("busy",), ("", "", "another rollout is under way"))),
    (1, (("previewed",), (True, True, False))),
    (2, (("stall",), (8, 25))),
    (2, (("old",), (1, 2, 3, 5, 8))),
    (2, (("die",),)),
    (2, (("deliver",),)),
)
"""What may happen: how often, and the words of the command, each one of several."""


def walk(seed: int, length: int) -> list[tuple[Any, ...]]:
    """A long way through everything that may happen, which Hypothesis alone would seldom go."""
    chosen = random.Random(seed)
    weights = [weight for weight, _ in CHOICES]
    found = [chosen.choices(CHOICES, weights)[0][1] for _ in range(length)]
    return [tuple(chosen.choice(words) for words in choice) for choice in found]


COMMANDS = st.sampled_from([words for weight, words in CHOICES for _ in range(weight)]).flatmap(
    lambda choice: st.tuples(*(st.sampled_from(words) for words in choice))
)
SCENES = st.tuples(
    st.integers(0, len(STRATEGIES) - 1),
    st.one_of(
        st.lists(COMMANDS, max_size=30),
        st.builds(walk, st.integers(0, 10**6), st.integers(1, 60)),
        st.builds(walk, st.integers(0, 10**6), st.just(40)),
    ),
    st.booleans(),
)


@dataclass
class Story(Place):
    """A place to which anything happens. Every step is held against the laws."""

    laws: list[Callable[[Story, RolloutProgress, Seen, Step], None]] = field(default_factory=list)
    well_for: float = -1.0
    """How long, as the story itself knows, all of the present wave has been well without a gap; -1: it is not."""
    last_look: float = START
    looks: list[Any] = field(default_factory=list)
    old: int = 0
    """How many looks ago the groups were looked at that the next step sees."""
    asked: int = 0
    undelivered: list[Request] = field(default_factory=list)
    verdicts: dict[str, Answer] = field(default_factory=dict)
    latest: dict[str, str] = field(default_factory=dict)
    """The last word of each gate in the present wave."""

    def happen(self, command: tuple[Any, ...]) -> None:
        getattr(self, f"on_{command[0]}")(*command[1:])
        self.once()

    def once(self) -> Step:
        """One look, one step, and what the laws say of it. What is written is the progress alone."""
        before, seen = self.progress, self.look()
        self.looks = [*self.looks[-8:], seen.groups]
        groups, self.old = self.looks[max(-len(self.looks), -1 - self.old)], 0
        seen = replace(seen, requests=tuple(self.undelivered), groups=groups)
        made = step(before, seen, self.now)
        self._know(before, seen)
        for law in self.laws:
            law(self, before, seen, made)
        self.progress, self.evidence = made.progress, []
        self.told += made.transitions
        for answer in made.answers:
            assert self.verdicts.setdefault(answer.uid, answer) == answer
        if (before.epoch, before.current_wave, before.underway) != (
            made.progress.epoch,
            made.progress.current_wave,
            made.progress.underway,
        ):
            self.latest, self.well_for = {}, -1.0
        return made

    def _know(self, before: RolloutProgress, seen: Seen) -> None:
        """What the story knows of the present wave, from what is and not from what status says."""
        for evidence in seen.evidence:
            if (evidence.epoch, evidence.wave) == (before.epoch, before.current_wave):
                self.latest[evidence.gate] = evidence.result
        passed = times.rounded(self.now) - self.last_look
        self.last_look += passed
        if passed > 120 or not self.is_well(before, seen):
            self.well_for = -1.0
        if self.is_well(before, seen):
            self.well_for = 0.0 if self.well_for < 0 else self.well_for + max(passed, 0.0)

    def is_well(self, progress: RolloutProgress, seen: Seen) -> bool:
        if progress.underway != "Forward" or progress.wave_state == "Held" or seen.strategy is None:
            return False
        wave = progress.waves[(progress.current_wave or 1) - 1]
        wanted = intents(progress)
        for name in wave.groups:
            found = seen.groups.get(name)
            there = self.is_there(name, wanted[name]) and self.groups[name].epoch == progress.epoch
            if found is None or (found.exists and not (there and found.health == "Healthy")):
                return False
        for gate in seen.strategy.gates:
            passes = ("Successful", "NoData") if gate.on_no_data == "Pass" else ("Successful",)
            if not gate.dry_run and self.latest.get(gate.name) not in (*passes, "Pending"):
                return False
        return not seen.strategy.paused

    # What happens.

    def on_well(self, seconds: float, looks: int = 1) -> None:
        """All is well, at some looks."""
        for look in range(looks):
            self.now += seconds
            for found in self.groups.values():
                found.health, found.problem = "Healthy", ""
            self.follow()
            self.measure("Successful")
            if look < looks - 1:
                self.once()

    def on_stall(self, looks: int) -> None:
        """Somebody watches, and nothing follows."""
        for _ in range(looks):
            self.now += 60
            self.once()

    def on_follow(self, name: str) -> None:
        self.follow(*([name] if name else []))

    def on_time(self, seconds: float) -> None:
        self.now += seconds

    def on_health(self, name: str, health: str) -> None:
        self.groups[name].health = health

    def on_problem(self, name: str, problem: str) -> None:
        self.groups[name].problem = problem

    def on_exists(self, name: str, exists: bool) -> None:
        self.groups[name].exists = exists

    def on_looked_at(self, name: str, looked_at: bool) -> None:
        self.groups[name].looked_at = looked_at

    def on_join(self, name: str) -> None:
        self.groups.setdefault(name, Group(base=self.stable))

    def on_evidence(self, gate: str, result: Any, epoch: int, wave: int) -> None:
        progress = self.progress
        at = ((progress.epoch or 0) + epoch, (progress.current_wave or 0) + wave)
        self.evidence.append(Evidence(gate, *at, result, "a figure"))

    def on_edit(self, name: str) -> None:
        self.target = content(name) if name else None

    def on_strategy(self, index: int) -> None:
        self.strategy = STRATEGIES[index]

    def on_old(self, looks: int) -> None:
        """A cache is behind."""
        self.old = looks

    def on_busy(self, busy: str) -> None:
        self.busy = busy

    def on_previewed(self, previewed: bool) -> None:
        self.previewed = previewed

    def on_act(self, action: str, which: str) -> None:
        self.asked += 1
        target = self.progress.target.hash if self.progress.target else ""
        hashed = {"target": target, "other": "elsewhere", "": ""}[which]
        self.undelivered.append(Request(f"uid-{self.asked}", action, hashed, "ann", "because"))

    def on_die(self) -> None:
        """The process dies between deciding and writing: everything that was decided is forgotten."""
        step(self.progress, replace(self.look(), requests=tuple(self.undelivered)), self.now)
        self.evidence = []

    def on_deliver(self) -> None:
        """The answers arrive."""
        self.undelivered = [r for r in self.undelivered if r.uid not in self.verdicts]

    def quiet(self) -> None:
        """From now on all is well and nobody asks for anything."""
        self.on_deliver()
        self.busy, self.previewed, self.target = "", True, self.target or content("n")
        for found in self.groups.values():
            found.looked_at = True


def told(scene: tuple[int, list[tuple[Any, ...]], bool], *laws: Any) -> Story:
    """The story from its begin to its end."""
    index, commands, fresh = scene
    progress = RolloutProgress() if fresh else RolloutProgress(stable=content("o"))
    story = Story(
        STRATEGIES[index], progress=progress, groups={name: Group() for name in NAMES}, laws=list(laws)
    )
    for command in commands:
        story.happen(command)
    return story


def started(progress: RolloutProgress) -> int:
    if progress.underway != "Forward":
        return 0
    return (progress.current_wave or 0) - (progress.wave_state == "Held")


@given(SCENES)
def test_a_paused_rollout_never_advances(scene: Any) -> None:
    def law(_: Story, before: RolloutProgress, seen: Seen, made: Step) -> None:
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
def test_the_epoch_never_decreases_and_rises_before_anything_turns_round(scene: Any) -> None:
    def law(_: Story, before: RolloutProgress, __: Seen, made: Step) -> None:
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
    def law(story: Story, _: RolloutProgress, seen: Seen, made: Step) -> None:
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
    def law(story: Story, _: RolloutProgress, __: Seen, made: Step) -> None:
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
    def law(story: Story, before: RolloutProgress, seen: Seen, made: Step) -> None:
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
def test_evidence_of_another_epoch_or_wave_says_nothing(scene: Any) -> None:
    def law(_: Story, before: RolloutProgress, seen: Seen, made: Step) -> None:
        present = [e for e in seen.evidence if (e.epoch, e.wave) == (before.epoch, before.current_wave)]
        assert step(before, replace(seen, evidence=tuple(present)), _.now) == made

    told(scene, law)


@given(SCENES)
def test_a_soak_really_elapsed_with_continuous_evidence(scene: Any) -> None:
    def law(story: Story, before: RolloutProgress, _: Seen, made: Step) -> None:
        completed = [t for t in made.transitions if t.reason == "WaveCompleted"]
        promoted = any(t.reason == "WavePromoted" for t in made.transitions)
        if not completed or promoted or before.underway != "Forward" or before.wave_state == "Held":
            return
        wave = before.waves[(before.current_wave or 1) - 1]
        if wave.name in before.promoted:
            return
        assert story.well_for >= nanoseconds(wave.soak) / 1e9 - 1e-6

    told(scene, law)


@given(SCENES)
def test_every_failure_ends_in_a_rollback_or_a_pause(scene: Any) -> None:
    def law(_: Story, __: RolloutProgress, seen: Seen, made: Step) -> None:
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
        assert (story.strategy and story.strategy.paused) or (halt and halt.reason in ("Action", "Failed"))
    if story.phase == "AwaitingApproval":
        assert any(wave.approval for wave in story.progress.waves)
    if story.phase in ("Succeeded", "RolledBack"):
        served = {group.base for group in story.groups.values() if group.exists}
        assert served <= {story.stable}
    event(str(story.phase))


@given(SCENES)
def test_from_every_state_it_ends_also_when_no_group_follows_and_no_gate_answers(scene: Any) -> None:
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

    def law(_: Story, before: RolloutProgress, seen: Seen, made: Step) -> None:
        for evidence in seen.evidence:
            if (evidence.epoch, evidence.wave) == (before.epoch, before.current_wave) and before.halt is None:
                row = rows.get(evidence.gate, 0)
                rows[evidence.gate] = {"Failed": row + 1, "Successful": 0}.get(evidence.result, row)
        gates = seen.strategy.gates if seen.strategy and seen.target else ()
        deciding = [gate for gate in gates if not gate.dry_run]
        if any(rows.get(gate.name, 0) > gate.failure_limit for gate in deciding) and made.measure:
            wave = made.progress.waves[(made.progress.current_wave or 1) - 1]
            assert made.progress.halt is not None or wave.name in made.progress.promoted
        if before.halt or not made.measure or made.progress.current_wave != before.current_wave:
            rows.clear()
        if [g.name for g in made.progress.gates] != [g.name for g in before.gates]:
            rows.clear()

    told(scene, law)


@given(SCENES)
def test_each_action_is_answered_once_and_always_in_the_same_words(scene: Any) -> None:
    story = told(scene)  # the story itself holds repeated answers against the first one

    story.happen(("deliver",))

    assert len(story.verdicts) == story.asked
    assert story.undelivered == []


@given(SCENES)
def test_the_same_look_again_changes_nothing(scene: Any) -> None:
    def law(story: Story, _: RolloutProgress, seen: Seen, made: Step) -> None:
        again = step(made.progress, replace(seen, evidence=(), requests=()), story.now)
        assert again.progress == made.progress
        assert again.transitions == ()
        assert again.measure == made.measure

    told(scene, law)


@given(SCENES, st.floats(0.001, 5000))
def test_nothing_changes_before_the_time_at_which_it_wants_to_be_woken(scene: Any, later: float) -> None:
    def law(story: Story, _: RolloutProgress, seen: Seen, made: Step) -> None:
        seen = replace(seen, evidence=(), requests=())
        then = story.now + later
        if made.wake_at is None or then < made.wake_at - 0.001:
            assert step(made.progress, seen, then).progress == made.progress

    told(scene, law)


@given(SCENES)
def test_progress_survives_status_and_is_within_the_bounds_of_the_crd(scene: Any) -> None:
    def law(_: Story, __: RolloutProgress, ___: Seen, made: Step) -> None:
        assert RolloutProgress.model_validate(made.progress.to_dict()) == made.progress

    told(scene, law)


@given(SCENES)
def test_status_says_what_the_machine_does(scene: Any) -> None:
    def law(_: Story, __: RolloutProgress, seen: Seen, made: Step) -> None:
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
