"""What counts as a failure, and whether it rolls back or pauses."""

from __future__ import annotations

from trimtab.api.rollout_status import Failure
from trimtab.core.rollout import gates, queries
from trimtab.core.rollout.context import FailureReason, Run


def detect_failure(run: Run) -> bool:
    """A failure is final: a rollback or a pause follows, whatever is observed later."""
    progress = run.progress
    if progress.underway != "Forward":
        return False
    if progress.halt is not None and progress.halt.reason == "Failed":
        return _roll_back_after_pause(run)
    if run.wave is None:  # another client deleted the plan, and without it the rollout would never end
        fail(run, "ProgressDeadlineExceeded", "status no longer lists the groups of the rollout")
        return True
    return _workload_failure(run) or _gate_failure(run)


def _roll_back_after_pause(run: Run) -> bool:
    """``onFailure`` was Pause when it failed, and is Rollback now."""
    failure = run.progress.failure
    if run.observed.strategy is None or not run.rolls_back or failure is None:
        return False
    run.roll_back(failure.reason, failure.message or failure.reason)
    return True


def _workload_failure(run: Run) -> bool:
    for name in observed_groups(run):
        group = run.group(name)
        if group is not None and group.health == "Failed" and moved(run, name):
            fail(run, "WorkloadFailed", f"group {name}: {group.message or 'its workloads failed'}")
            return True
    return False


def _gate_failure(run: Run) -> bool:
    status = gates.failed(run) if queries.measuring(run.progress) else None
    if status is None:
        return False
    why = f": {status.message}" if status.message else ""
    fail(run, "GateFailed", f"gate {status.name} failed{why}", f"gate/{status.name}")
    return True


def observed_groups(run: Run, *, promoted: bool = False) -> list[str]:
    """The groups of the waves that have started; those of promoted waves only if ``promoted``."""
    waves = [w for w in queries.started(run.progress) if promoted or w.name not in run.progress.promoted]
    return list(dict.fromkeys(name for wave in waves for name in wave.groups))


def moved(run: Run, name: str) -> bool:
    """Whether the group was observed on its way to the target, in this attempt."""
    group = run.group(name)
    epoch = run.progress.epoch
    return (
        group is not None
        and group.epoch == epoch
        and group.intent is not None
        and (group.intent.kind, group.intent.epoch) == ("Target", epoch)
    )


def fail(run: Run, reason: FailureReason, message: str, by: str = "") -> None:
    run.record(reason, message, by, warning=True)
    if run.rolls_back:
        run.roll_back(reason, message, by)
    else:
        run.change(failure=Failure(reason=reason, message=message, at=run.text))
        run.halt("Failed", message)


def unsettled(run: Run) -> list[str]:
    names = run.wave.groups if run.wave else []
    settled = run.settled_groups
    return [name for name in run.existing(names) if name not in settled]


def unhealthy(run: Run) -> list[str]:
    """Groups of the present wave whose workloads are not healthy."""
    names = run.wave.groups if run.wave and not run.promoted else []
    return [name for name in names if (group := run.group(name)) is not None and group.health != "Healthy"]
