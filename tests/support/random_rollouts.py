"""Anything that may happen to a rollout, in any order, each step held against laws."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from hypothesis import strategies as st

from support.rollout_follower import START, Group, RolloutModel, content, strategy
from trimtab.api.rollout_status import RolloutProgress, WorkloadNote
from trimtab.core import times
from trimtab.core.rollout import ActionResult, Evidence, Observation, Request, Step, intents, step
from trimtab.core.rollout.strategy import Strategy

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
    (9, (("well",), (1.0, 30.0, 59.9997, 60.0, 110.0), (1, 2, 3, 6))),
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
    (
        2,
        (
            ("time",),
            (-4000.0, -1.0, 0.0004, 0.0007, 1.0, 59.0, 59.9996, 60.0, 100.0, 119.0, 121.0, 600.0, 3600.0),
        ),
    ),
    (2, (("follow",), (*NAMES, "", ""))),
    (2, (("health",), NAMES, ("Healthy", "Progressing", "Failed"))),
    (2, (("note",), NAMES, ("ChangedBack", "OnDelete", ""), (1, 2))),
    (1, (("contested",), NAMES, ("", "", "changed back 5 times in a row"))),
    (1, (("by_others",), NAMES, (True, False))),
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
        st.builds(walk, st.integers(0, 10**6), st.integers(1, 40)),
        st.builds(walk, st.integers(0, 10**6), st.just(30)),
    ),
    st.booleans(),
)


@dataclass
class Story(RolloutModel):
    """A rollout to which anything may happen. Every step is checked against the laws."""

    laws: list[Callable[[Story, RolloutProgress, Observation, Step], None]] = field(default_factory=list)
    well_for: float = -1.0
    """How long, as the story itself knows, all of the present wave has been well without a gap; -1: it is not."""
    last_look: float = START
    looks: list[Any] = field(default_factory=list)
    old: int = 0
    """How many looks ago the groups were looked at that the next step sees."""
    asked: int = 0
    undelivered: list[Request] = field(default_factory=list)
    verdicts: dict[str, ActionResult] = field(default_factory=dict)
    latest: dict[str, str] = field(default_factory=dict)
    """The last word of each gate in the present wave."""
    proved: dict[str, float] = field(default_factory=dict)
    """When the last measurement of each gate was begun that succeeded in the present wave."""
    settled_since: float | None = None
    """Since when the wave's groups have been seen to be as they shall, and never not to be."""

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
        for answer in made.results:
            assert self.verdicts.setdefault(answer.uid, answer) == answer
        if (before.epoch, before.current_wave, before.underway) != (
            made.progress.epoch,
            made.progress.current_wave,
            made.progress.underway,
        ):
            self.latest, self.well_for, self.proved, self.settled_since = {}, -1.0, {}, None
        return made

    def _know(self, before: RolloutProgress, seen: Observation) -> None:
        """What the story knows of the present wave, from what is and not from what status says."""
        for evidence in seen.evidence:
            if (evidence.epoch, evidence.wave) == (before.epoch, before.current_wave):
                self.latest[evidence.gate] = evidence.result
                if evidence.result in ("Successful", "NoData"):
                    self.proved[evidence.gate] = evidence.at
        self._know_groups(before, seen)
        passed = times.rounded(self.now) - self.last_look
        self.last_look += passed
        if (
            passed < 0 and self.settled_since is not None
        ):  # clocks went back, and what is measured now is later
            self.settled_since = min(self.settled_since, self.last_look)
        if passed > 120 or not self.is_well(before, seen):
            self.well_for = -1.0
        if self.is_well(before, seen):
            self.well_for = 0.0 if self.well_for < 0 else self.well_for + max(passed, 0.0)

    def _know_groups(self, before: RolloutProgress, seen: Observation) -> None:
        if before.underway != "Forward" or before.wave_state == "Held" or seen.target is None:
            return
        wanted = intents(before)
        names = before.waves[(before.current_wave or 1) - 1].groups
        found = [seen.groups.get(name) for name in names]
        if any(g is not None and g.exists and g.health != "Healthy" for g in found):
            self.settled_since = None
        elif self.settled_since is None and all(
            g is not None
            and (not g.exists or (g.settled and g.intent == wanted[name] and g.epoch == before.epoch))
            for name, g in zip(names, found, strict=True)
        ):
            self.settled_since = times.rounded(self.now)

    def is_well(self, progress: RolloutProgress, seen: Observation) -> bool:
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
                found.notes, found.contested, found.by_others = (), "", False
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

    def on_note(self, name: str, reason: Any, times: int) -> None:
        said = f"changed back {times} times" if reason == "ChangedBack" else f"{times} of 3 pods run it"
        note = (
            WorkloadNote(workload=f"Deployment music/{name}", reason=reason, message=said) if reason else None
        )
        self.groups[name].notes = (note,) if note else ()

    def on_contested(self, name: str, contested: str) -> None:
        self.groups[name].contested = contested

    def on_by_others(self, name: str, by_others: bool) -> None:
        self.groups[name].by_others = by_others

    def on_exists(self, name: str, exists: bool) -> None:
        self.groups[name].exists = exists

    def on_looked_at(self, name: str, looked_at: bool) -> None:
        self.groups[name].looked_at = looked_at

    def on_join(self, name: str) -> None:
        self.groups.setdefault(name, Group(base=self.stable))

    def on_evidence(self, gate: str, result: Any, epoch: int, wave: int) -> None:
        progress = self.progress
        at = ((progress.epoch or 0) + epoch, (progress.current_wave or 0) + wave)
        rule = next((s.rule for s in progress.gates if s.name == gate), None) or ""
        self.evidence.append(Evidence(gate, *at, result, "a figure", rule, self.begun()))

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
