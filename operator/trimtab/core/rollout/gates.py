"""Gates: their measurements are counted, and a failed or silent gate stops the rollout."""

from __future__ import annotations

from trimtab.api.rollout_status import GateStatus
from trimtab.core import times
from trimtab.core.rollout import queries
from trimtab.core.rollout.context import HaltReason, Run
from trimtab.core.rollout.strategy import Gate
from trimtab.core.rollout.types import Evidence, Result

HALTS: dict[str, HaltReason] = {
    "Error": "GateError",
    "Inconclusive": "Inconclusive",
    "NoData": "NoData",
    "Pending": "NoData",
}
"""Why the rollout pauses, by the gate's result."""
RESULTS = {
    "Error": "could not be measured",
    "Inconclusive": "is inconclusive",
    "NoData": "has no data",
    "Pending": "has no measurement yet",
}


def follow_strategy(run: Run) -> bool:
    """An edit of the gates takes effect immediately."""
    strategy = run.observed.strategy
    if strategy is None or not queries.measuring(run.progress):
        return False
    known = {(status.name, status.rule or ""): status for status in run.progress.gates}
    gates = [_limited(known.get((gate.name, gate.rule)) or fresh(gate), gate) for gate in strategy.gates]
    changed = {
        name: value
        for name, value in (("gates", gates), ("on_failure", strategy.on_failure))
        if getattr(run.progress, name) != value
    }
    run.change(**changed)
    return bool(changed)


def fresh(gate: Gate) -> GateStatus:
    """A gate that has not been measured."""
    return _limited(GateStatus(name=gate.name, rule=gate.rule or None), gate)


def _limited(status: GateStatus, gate: Gate) -> GateStatus:
    """The gate's limits, in status: they apply while a spec is refused."""
    limits = {
        "failure_limit": gate.failure_limit,
        "error_limit": gate.error_limit,
        "dry_run": gate.dry_run,
    }
    same = all(getattr(status, name) == value for name, value in limits.items())
    return status if same else status.model_copy(update=limits)


def take_evidence(run: Run) -> None:
    """Count the measurements of this epoch and wave, each one once; others are ignored. Once a gate has failed, later
    measurements do not change that."""
    for evidence in run.observed.evidence:
        if not queries.measuring(run.progress) or failed(run):
            return
        if (evidence.epoch, evidence.wave) == (run.progress.epoch, run.progress.current_wave):
            gates = [
                _counted(run, _remembering(s, evidence), evidence) if _counts(run, s, evidence) else s
                for s in run.progress.gates
            ]
            if gates != run.progress.gates:
                run.change(gates=gates)


def _counts(run: Run, status: GateStatus, evidence: Evidence) -> bool:
    """Whether it is a new measurement of that gate. A recorded time in the future dates from before a clock was set
    back."""
    if (status.name, status.rule or "") != (evidence.gate, evidence.rule):
        return False
    until = times.read(status.counted_until)
    return until is None or until > run.now or times.rounded(evidence.at) > until


def _remembering(status: GateStatus, evidence: Evidence) -> GateStatus:
    """The status with the Job that was measured: the next leader accepts no other Job of this name."""
    job = evidence.job or None
    return status if job in (None, status.job) else status.model_copy(update={"job": job})


def _counted(run: Run, status: GateStatus, evidence: Evidence) -> GateStatus:
    gate = run.gate(status.name)
    if evidence.result == "NoData" and gate is None:
        return status  # the spec is refused: onNoData is unknown
    result, message = _interpreted(gate, evidence)
    if result == "Pending" or (result == "Successful" and status.result == "Successful"):
        return status  # another figure alone is not written
    failures, errors = _series(status, result)
    counted = {
        "result": result,
        "passed": status.passed or result == "Successful",
        "failures": failures,
        "errors": errors,
        "message": message or None,
        "counted_until": times.text(evidence.at),
    }
    made = GateStatus(**{**dict(status), **counted})
    return status if _is_same(status, made) else made


def _is_same(status: GateStatus, made: GateStatus) -> bool:
    """Whether nothing worth a write has changed. The messages of figures differ each time, those of other results only
    with a new cause."""
    if (status.result, status.failures, status.errors) != (made.result, made.failures, made.errors):
        return False
    return made.result in ("Successful", "Failed") or made.message == status.message


def _interpreted(gate: Gate | None, evidence: Evidence) -> tuple[Result, str]:
    """The result and its message, by the gate's onNoData."""
    if evidence.result != "NoData" or gate is None or gate.on_no_data == "Pause":
        return evidence.result, evidence.message
    message = f"no data{': ' if evidence.message else ''}{evidence.message}"
    return "Failed" if gate.on_no_data == "Fail" else "Successful", message


def _series(status: GateStatus, result: Result) -> tuple[int, int]:
    """Consecutive failures and errors. A measurement without evidence does not end a series of failures. Above its
    limit a longer series changes nothing and is not written."""
    failures, errors = status.failures, status.errors + 1
    if result == "Successful":
        failures = errors = 0
    elif result == "Failed":
        failures, errors = failures + 1, 0
    return min(failures, status.failure_limit + 1), min(errors, status.error_limit + 1)


def unmeasured(run: Run, status: GateStatus) -> GateStatus:
    """The gate without measurements; those that have started already no longer count."""
    blank = GateStatus(name=status.name, rule=status.rule, passed=status.passed, counted_until=run.text)
    kept = {
        name: getattr(status, name) for name in ("round", "job", "failure_limit", "error_limit", "dry_run")
    }
    return blank.model_copy(update=kept)


def measure_again(run: Run) -> None:
    """Measure the current wave again: counts restart, all gates are measured immediately, and a new Job replaces one
    that failed."""
    if not queries.measuring(run.progress):
        return
    run.change(gates=[_measured_again(run, status) for status in run.progress.gates], settled_at=None)
    restart(run)


def _measured_again(run: Run, status: GateStatus) -> GateStatus:
    gate = run.gate(status.name)
    if gate is None or not gate.once:
        return unmeasured(run, status)
    if status.result == "Successful":
        return status
    failed = status.result == "Failed"
    another = {"round": status.round + 1, "job": None} if failed else {}
    return unmeasured(run, status).model_copy(update=another)


def deciding(run: Run) -> list[GateStatus]:
    """The gates that decide about the current wave: none once it is promoted."""
    if run.promoted:
        return []
    return [status for status in run.progress.gates if not status.dry_run]


def open_gates(run: Run) -> list[GateStatus]:
    """The gates that the wave waits for."""
    return [status for status in deciding(run) if status.result != "Successful"]


def failed(run: Run) -> GateStatus | None:
    """A gate with more consecutive failures than its failureLimit."""
    return next((status for status in deciding(run) if status.failures > status.failure_limit), None)


def silent(run: Run) -> GateStatus | None:
    """A gate with more consecutive measurements without evidence than its consecutiveErrorLimit."""
    return next((status for status in deciding(run) if status.errors > status.error_limit), None)


def halt(run: Run) -> bool:
    """A gate without evidence pauses the rollout, until it succeeds again."""
    if not queries.measuring(run.progress):
        return False
    halted = run.progress.halt
    if halted is None:
        status = silent(run)
        if status is None:
            return False
        halt_by(run, status)
        return True
    if halted.reason in ("Action", "Failed", "ChangedBack"):
        return False
    still = next((status for status in open_gates(run) if status.name == halted.by), None)
    if still is not None:
        message = why_silent(still)
        if still.message and halted.message != message:
            run.change(halt=halted.model_copy(update={"message": message}))
        return False
    run.change(halt=None)
    run.record("RolloutResumed", f"gate {halted.by} no longer blocks the rollout", f"gate/{halted.by}")
    restart(run)
    return True


def halt_by(run: Run, status: GateStatus) -> None:
    run.halt(HALTS.get(status.result, "NoData"), why_silent(status), gate=status.name)


def why_silent(status: GateStatus) -> str:
    """Why a gate without evidence pauses the rollout."""
    row = f" {status.errors} times in a row" if status.errors > 1 else ""
    why = f": {status.message}" if status.message else ""
    return f"gate {status.name} {RESULTS.get(status.result, RESULTS['Pending'])}{row}{why}"


def restart(run: Run, spent: float = 0.0) -> None:
    """The wave's deadline counts from now; ``spent`` seconds of it have passed."""
    since = times.text(run.now - spent)
    run.change(wave_state="Moving", soak_started_at=None, moving_since=since, checked_at=run.text)
