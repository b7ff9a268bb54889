"""A compiled strategy: waves with their groups, gates and freezes with durations in seconds.

All violations are found together; see :class:`trimtab.core.violations.RejectedError`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal

from trimtab.api.rollout_status import PlannedWave
from trimtab.api.strategy import GateSpec, PrometheusGate, StrategySpec
from trimtab.core import durations
from trimtab.core.cel import Condition, can_pass
from trimtab.core.rollout.freezes import FreezeRule, compile_freeze
from trimtab.core.rollout.waves import planning
from trimtab.core.steps import Steps, finished
from trimtab.core.violations import RejectedError, Violation

PROGRESS_DEADLINE = 600.0
INTERVAL, TIMEOUT = 30.0, 10.0
SHORTEST_INTERVAL, LONGEST_TIMEOUT = 1.0, 60.0
ERROR_LIMIT = 4

OnNoData = Literal["Pause", "Fail", "Pass"]


@dataclass(frozen=True, slots=True)
class Gate:
    """One check, with its defaults filled in. Durations are seconds."""

    name: str
    spec: GateSpec
    interval: float = INTERVAL
    initial_delay: float = 0.0
    timeout: float = TIMEOUT
    failure_limit: int = 0
    error_limit: int = ERROR_LIMIT
    dry_run: bool = False
    on_no_data: OnNoData = "Pause"
    rule: str = ""
    """A hash of its query. It is not secret: a URL with user info is refused."""
    round: int = 0
    """The number of Jobs that were created for the wave before."""
    job: str = field(default="", compare=False)
    """The uid of the Job that status records"""

    @property
    def once(self) -> bool:
        """Whether it is measured once a wave rather than every interval."""
        return self.spec.job is not None


@dataclass(frozen=True, slots=True)
class Strategy:
    """How a change reaches the groups of its scope, if it started now."""

    waves: tuple[PlannedWave, ...]
    gates: tuple[Gate, ...] = ()
    progress_deadline: float = PROGRESS_DEADLINE
    on_failure: Literal["Rollback", "Pause"] = "Rollback"
    paused: bool = False
    freezes: tuple[FreezeRule, ...] = ()


def compile_strategy(
    spec: StrategySpec | None,
    groups: Mapping[str, Mapping[str, str]],
    template_groups: Collection[str] = (),
) -> Strategy:
    """:func:`compiling_strategy`, in one call."""
    return finished(compiling_strategy(spec, groups, template_groups))


def compiling_strategy(
    spec: StrategySpec | None,
    groups: Mapping[str, Mapping[str, str]],
    template_groups: Collection[str] = (),
) -> Steps[Strategy]:
    """``groups`` are those of the scope, name to labels, in the template's order; ``template_groups`` are all of the
    template's, so that a message states whether a group is unknown or only out of scope.

    :raises RejectedError: all violations.
    """
    spec = spec or StrategySpec()
    wrong: list[Violation] = []
    waves = yield from planning(spec.waves, groups, template_groups, wrong)
    deadline = _seconds(spec.progress_deadline, PROGRESS_DEADLINE, "spec.strategy.progressDeadline", wrong)
    if deadline < 1:
        wrong.append(_bad("spec.strategy.progressDeadline", "minimum", "must be at least 1s", "raise it"))
    gates = _gates(spec, deadline, wrong)
    freezes = _freezes(spec, wrong)
    if wrong:
        raise RejectedError(wrong)
    return Strategy(waves, gates, deadline, spec.on_failure or "Rollback", bool(spec.paused), freezes)


def _gates(spec: StrategySpec, deadline: float, wrong: list[Violation]) -> tuple[Gate, ...]:
    seen: set[str] = set()
    made = []
    for gate in spec.gates:
        path = f"spec.strategy.gates[{gate.name}]"
        if gate.name in seen:
            wrong.append(_bad(f"{path}.name", "unique", f"two gates have the name {gate.name}", "rename one"))
        seen.add(gate.name)
        _examine(gate, path, wrong)
        made.append(_gate(gate, path, deadline, wrong))
    return tuple(made)


def _gate(gate: GateSpec, path: str, deadline: float, wrong: list[Violation]) -> Gate:
    interval = _seconds(gate.interval, INTERVAL, f"{path}.interval", wrong)
    delay = _seconds(gate.initial_delay, 0.0, f"{path}.initialDelay", wrong)
    timeout = _seconds(gate.timeout, TIMEOUT, f"{path}.timeout", wrong)
    if interval < SHORTEST_INTERVAL:
        wrong.append(_bad(f"{path}.interval", "minimum", "must be at least 1s", "raise it"))
    if not 0 < timeout <= LONGEST_TIMEOUT:
        wrong.append(
            _bad(
                f"{path}.timeout",
                "maximum",
                "must be more than 0s and at most 1m",
                "correct it",
            )
        )
    elif 1 <= deadline < delay + timeout:
        wrong.append(
            _bad(
                f"{path}.initialDelay",
                "deadline",
                f"the gate can never pass: initialDelay plus timeout is {delay + timeout:g}s, more than "
                f"progressDeadline ({deadline:g}s)",
                "lower them or raise progressDeadline",
            )
        )
    return Gate(
        gate.name,
        gate,
        interval,
        delay,
        timeout,
        gate.failure_limit or 0,
        ERROR_LIMIT if gate.consecutive_error_limit is None else gate.consecutive_error_limit,
        bool(gate.dry_run),
        gate.on_no_data or "Pause",
        _rule(gate),
    )


def _rule(gate: GateSpec) -> str:
    asks = gate.model_dump_json(include={"prometheus", "http", "job"}, exclude_none=True)
    return hashlib.sha256(asks.encode()).hexdigest()[:12]


def _examine(gate: GateSpec, path: str, wrong: list[Violation]) -> None:
    """A gate requires exactly one query, and one that can pass."""
    kinds = [kind for kind in (gate.prometheus, gate.http, gate.job) if kind is not None]
    if len(kinds) != 1:
        count = "none" if not kinds else f"{len(kinds)}"
        wrong.append(_bad(path, "exactlyOne", f"sets {count} of prometheus, http and job", "set exactly one"))
    if gate.prometheus is not None:
        _examine_conditions(
            gate.prometheus, f"{path}.prometheus", wrong, empty_passes=gate.on_no_data == "Pass"
        )
    if gate.http is not None and gate.http.expect_status == []:
        wrong.append(
            _bad(
                f"{path}.http.expectStatus",
                "empty",
                "no response can pass",
                "list a status code, or remove the field for 200",
            )
        )


def _examine_conditions(
    query: PrometheusGate, path: str, wrong: list[Violation], *, empty_passes: bool
) -> None:
    success = _condition(query.success_condition, f"{path}.successCondition", wrong)
    failure = _condition(query.failure_condition, f"{path}.failureCondition", wrong)
    if success is None or empty_passes or can_pass(success, failure):
        return
    why = "failureCondition is true for the same results" if can_pass(success) else "it is true for no number"
    problem = f"the gate can never pass: {why}"
    wrong.append(_bad(f"{path}.successCondition", "condition", problem, "correct it"))


def _condition(text: str | None, path: str, wrong: list[Violation]) -> Condition | None:
    """The condition, if it is set and valid."""
    if text is None:
        return None
    try:
        made = Condition.compile(text)
    except ValueError as error:
        wrong.append(_bad(path, "condition", str(error)))
        return None
    if not made.mentions_result:
        problem = "it does not use result, so it is the same for all measurements"
        wrong.append(_bad(path, "condition", problem, "compare result, for example result < 0.01"))
        return None
    return made


def _freezes(spec: StrategySpec, wrong: list[Violation]) -> tuple[FreezeRule, ...]:
    made = []
    for index, freeze in enumerate(spec.freezes):
        path = f"spec.strategy.freezes[{index}]"
        before = len(wrong)
        duration = _seconds(freeze.duration, 0.0, f"{path}.duration", wrong)
        if len(wrong) > before:
            continue
        try:
            made.append(compile_freeze(freeze.schedule, freeze.time_zone, duration, freeze.reason or ""))
        except ValueError as error:
            wrong.append(_bad(path, "freeze", str(error)))
    return tuple(made)


def _seconds(text: str | None, default: float, path: str, wrong: list[Violation]) -> float:
    """The duration, or its default, also where it is refused."""
    if text is None:
        return default
    try:
        return durations.seconds(text)
    except ValueError as error:
        wrong.append(_bad(path, "duration", f"{error}", "write one such as 10m"))
        return default


def _bad(path: str, rule: str, problem: str, remedy: str = "") -> Violation:
    return Violation(path, "", rule, problem, remedy=remedy)
