"""A model of a rollout whose groups follow their intents, when and as far as a test allows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from trimtab.api.rollout_status import Content, GateStatus, Preview, RolloutProgress, WorkloadNote
from trimtab.api.strategy import StrategySpec
from trimtab.core.rollout import Evidence, GroupObservation, Intent, Observation, Request, Step, intents, step
from trimtab.core.rollout.strategy import Strategy, compile_strategy

START = 1_772_000_000.0
"""A Wednesday in February 2026, 06:13:20 UTC."""


def content(name: str) -> Content:
    return Content(hash=name * 8, snapshot=f"policy-{name}", generation=ord(name[0]))


def strategy(spec: Mapping[str, Any] | None, groups: Iterable[str] = ("a", "b", "c")) -> Strategy:
    """Compiled; the first group is labelled ``ring: canary``."""
    names = list(groups)
    labels = {name: {"ring": "canary"} if name == names[0] else {} for name in names}
    return compile_strategy(None if spec is None else StrategySpec.model_validate(spec), labels)


@dataclass
class Group:
    """What it serves: ``base``, and ``share`` to ``percent`` of its users."""

    base: str = ""
    share: str = ""
    percent: int = 0
    epoch: int = 0
    exists: bool = True
    health: str = "Healthy"
    problem: str = ""
    waits: str = ""
    notes: tuple[WorkloadNote, ...] = ()
    contested: str = ""
    by_others: bool = False
    looked_at: bool = True

    def serves(self, name: str) -> int:
        """To how many of a hundred users."""
        return 100 if self.base == name else self.percent if self.share == name else 0


@dataclass
class RolloutModel:
    """One rollout, its groups, and what is known of both. ``act`` is one pass of the operator."""

    strategy: Strategy | None
    target: Content | None = field(default_factory=lambda: content("n"))
    progress: RolloutProgress = field(default_factory=lambda: RolloutProgress(stable=content("o")))
    groups: dict[str, Group] = field(default_factory=dict)
    now: float = START
    busy: str = ""
    refusal: str = ""
    previewed: bool = True
    unprotected: bool = False
    evidence: list[Evidence] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    told: list[Any] = field(default_factory=list)
    answers: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.groups and self.strategy is not None:
            names = [name for wave in self.strategy.waves for name in wave.groups]
            self.groups = {name: Group() for name in dict.fromkeys(names)}
        for group in self.groups.values():
            group.base = group.base or self.stable

    @property
    def stable(self) -> str:
        return self.progress.stable.hash if self.progress.stable else ""

    @property
    def phase(self) -> str | None:
        return self.progress.phase

    # Seeing.

    def look(self) -> Observation:
        refused = self.target is None
        hashed = self.target.hash if self.target else ""
        return Observation(
            target=self.target,
            strategy=None if refused else self.strategy,
            groups=self._groups(),
            refusal=self.refusal or ("the spec is not valid" if refused else ""),
            busy=self.busy,
            preview=Preview(hash=hashed, users=10, changed_users=3) if self.previewed and hashed else None,
            evidence=tuple(self.evidence),
            requests=tuple(self.requests),
            unprotected=self.unprotected,
        )

    @staticmethod
    def seeing(seen: Observation, **fields: Any) -> Observation:
        """The look, but for what is said."""
        return replace(seen, **fields)

    def _groups(self) -> dict[str, GroupObservation]:
        wanted = intents(self.progress)
        return {
            name: GroupObservation(
                exists=group.exists,
                epoch=group.epoch,
                settled=self.settled(name, wanted.get(name)),
                health=group.health,  # type: ignore[arg-type]
                message="" if group.health == "Healthy" else "1 of 3 pods is ready",
                problem=group.problem,
                waits=group.waits,
                notes=group.notes,
                contested=group.contested,
                by_others=group.by_others,
                intent=wanted.get(name),
            )
            for name, group in self.groups.items()
            if group.looked_at
        }

    def settled(self, name: str, intent: Intent | None) -> bool:
        """A group that is held back is always as it is wanted: that must not count."""
        group = self.groups[name]
        if intent is None:
            return group.base == self.stable and not group.percent
        if intent.hold:
            return group.epoch == intent.epoch
        return group.epoch == intent.epoch and self.is_there(name, intent)

    def is_there(self, name: str, intent: Intent) -> bool:
        """Whether the group truly serves what is wanted of it."""
        group, target = self.groups[name], self.progress.target
        if intent.kind == "Stable":
            return group.base == self.stable and not group.percent
        return target is not None and group.serves(target.hash) == intent.percent

    # Doing.

    def act(self) -> Step:
        """Look, step, write, answer."""
        made = step(self.progress, self.look(), self.now)
        self.progress = made.progress
        self.told += made.transitions
        self.answers |= {answer.uid: answer for answer in made.results}
        self.requests = [r for r in self.requests if r.uid not in self.answers]
        self.evidence = []
        return made

    def follow(self, *names: str) -> None:
        """The groups (all of them) go where they are wanted now."""
        wanted = intents(self.progress)
        for name in names or list(self.groups):
            self._move(self.groups[name], wanted.get(name))

    def _move(self, group: Group, intent: Intent | None) -> None:
        if intent is None:
            group.base, group.share, group.percent = self.stable, "", 0
            return
        if intent.epoch < group.epoch:
            return
        group.epoch = intent.epoch
        if intent.hold:
            return
        target = self.progress.target.hash if self.progress.target else ""
        whole = intent.kind == "Target" and intent.percent == 100
        group.base = target if whole else self.stable
        part = intent.kind == "Target" and not whole
        group.share, group.percent = (target, intent.percent) if part else ("", 0)

    def settle(self) -> Step:
        """Act and follow until nothing moves; time stands still."""
        for _ in range(300):
            before, groups = self.progress, {name: replace(group) for name, group in self.groups.items()}
            made = self.act()
            self.follow()
            if self.progress == before and self.groups == groups:
                return made
        raise AssertionError(f"still moving: {self.progress.message}")

    def measure(self, *results: str, gate: str = "", message: str = "") -> None:
        """Each gate (or the one named) gives these results in the present wave."""
        for status in self.progress.gates:
            if not gate or status.name == gate:
                self.evidence += [self.evidence_of(status, result, message) for result in results]

    def evidence_of(self, status: GateStatus, result: Any, message: str = "") -> Evidence:
        """What a measurement in the present wave says, begun now."""
        progress = self.progress
        at = (progress.epoch or 0, progress.current_wave or 0)
        return Evidence(status.name, *at, result, message, status.rule or "", self.begun())

    def begun(self) -> float:
        """A moment in which nothing else has happened."""
        self.now = round(self.now + 0.001, 3)
        return self.now

    def ask(self, action: str, content_hash: str = "", **fields: str) -> Any:
        """Somebody asks; the answer."""
        uid = f"uid-{len(self.answers) + len(self.requests)}"
        request = Request(uid, action, content_hash, "ann@example.com")
        self.requests.append(replace(request, **fields))
        self.act()
        return self.answers[uid]

    def approve(self) -> Any:
        return self.ask("Approve", self.progress.target.hash if self.progress.target else "")

    def pass_time(self, seconds: float, every: float = 30.0, *results: str) -> None:
        """Time passes with somebody watching; each gate gives these results at each look."""
        until = self.now + seconds
        while self.now < until:
            self.now = min(self.now + every, until)
            self.measure(*results)
            self.settle()

    def reasons(self) -> list[str]:
        """What has been told, in order."""
        return [transition.reason for transition in self.told]
