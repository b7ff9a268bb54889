"""The rules, in the order in which they apply; after one that changes something all apply again.

A rule is a small function of a :class:`Run` that returns whether it changed anything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from trimtab.api.rollout_status import RolloutProgress
from trimtab.core.rollout import gates, messages, queries, workload_notes
from trimtab.core.rollout.actions import take_requests
from trimtab.core.rollout.context import Run
from trimtab.core.rollout.failures import detect_failure
from trimtab.core.rollout.phase import phase_of, record_final_phase, record_phase
from trimtab.core.rollout.planning import plan, stable_immediately, take_target
from trimtab.core.rollout.timers import deadline, settle, soak, unheld, wake_at, watch
from trimtab.core.rollout.transitions import finish, start
from trimtab.core.rollout.types import Observation, Step

Rule = Callable[[Run], bool]

RULES: tuple[Rule, ...] = (
    take_target,
    stable_immediately,
    plan,
    detect_failure,
    gates.follow_strategy,
    gates.halt,
    workload_notes.take_notes,
    workload_notes.halt,
    unheld,
    watch,
    settle,
    soak,
    finish,
    deadline,
    start,
)
ROUNDS = 1000
"""More than the changes that one observation can lead to."""


def step(progress: RolloutProgress, observed: Observation, now: float) -> Step:
    """What follows from one observation; ``now`` is in seconds since 1970.

    The caller stores the returned progress before it acts on the rest. The same observation again changes nothing.
    """
    run = Run(progress, observed, now)
    _follow(run, (gates.follow_strategy,))
    gates.take_evidence(run)
    _follow(run, (detect_failure,))  # a failure counts, even if the same observation has new content
    _follow(run, (take_target, stable_immediately, plan, gates.follow_strategy, detect_failure, gates.halt))
    record_phase(run)
    take_requests(run)
    _follow(run, RULES)
    record_final_phase(run)
    run.change(
        message=messages.message(run, phase_of(run)),
        wave=messages.wave_of(run),
        updated=messages.updated(run),
    )
    return Step(
        progress if run.progress == progress else run.progress,
        tuple(run.transitions),
        tuple(run.results),
        queries.measuring(run.progress),
        wake_at(run),
    )


def _follow(run: Run, rules: Sequence[Rule]) -> None:
    for _ in range(ROUNDS):
        if not any(rule(run) for rule in rules):
            return
        record_phase(run)
