"""What gates' evidence comes to: passed, failed, or nothing that anybody could decide by."""

from __future__ import annotations

from trimtab.api.rollout_status import GateStatus
from trimtab.core.rollout import reading
from trimtab.core.rollout.run import HaltReason, Run
from trimtab.core.rollout.seen import Evidence
from trimtab.core.strategy import ERROR_LIMIT

HALTS: dict[str, HaltReason] = {
    "Error": "GateError",
    "Inconclusive": "Inconclusive",
    "NoData": "NoData",
    "Pending": "NoData",
}
"""Why the rollout pauses, by what the gate says."""
SAYS = {
    "Error": "could not be measured",
    "Inconclusive": "is inconclusive",
    "NoData": "has no data",
    "Pending": "has not answered yet",
}


def follow_strategy(run: Run) -> bool:
    """An edit of the gates takes effect at once."""
    strategy = run.seen.strategy
    if strategy is None or not reading.measuring(run.progress):
        return False
    known = {status.name: status for status in run.progress.gates}
    gates = [known.get(gate.name) or GateStatus(name=gate.name) for gate in strategy.gates]
    if gates == run.progress.gates:
        return False
    run.change(gates=gates)
    return True


def take_evidence(run: Run) -> None:
    """Count what was measured in this epoch and wave; evidence of any other is refused. What follows a failure does not
    make it undone."""
    for evidence in run.seen.evidence:
        if not reading.measuring(run.progress) or failed(run):
            return
        if (evidence.epoch, evidence.wave) == (run.progress.epoch, run.progress.current_wave):
            gates = [_counted(run, s, evidence) if s.name == evidence.gate else s for s in run.progress.gates]
            if gates != run.progress.gates:
                run.change(gates=gates)


def _counted(run: Run, status: GateStatus, evidence: Evidence) -> GateStatus:
    gate = run.gate(status.name)
    result, message = evidence.result, evidence.message
    if result == "NoData" and gate is not None and gate.on_no_data != "Pause":
        result = "Failed" if gate.on_no_data == "Fail" else "Successful"
        message = f"no data{': ' if message else ''}{message}"
    if result == "Pending" or (result == "Successful" and status.result == "Successful"):
        return status  # a figure that differs is not worth a write
    failures, errors = status.failures, status.errors
    if result == "Successful":
        failures = errors = 0
    elif result == "Failed":
        failures, errors = failures + 1, 0
    else:
        errors += 1  # says nothing, so it does not end a row of failures either
    # Beyond its limit a row decides nothing more, and is not worth a write each time.
    failures = min(failures, (gate.failure_limit if gate else 0) + 1)
    errors = min(errors, (gate.error_limit if gate else ERROR_LIMIT) + 1)
    figures = result in (
        "Successful",
        "Failed",
    )  # their messages differ each time, the others' when it is news
    same = (result, failures, errors) == (status.result, status.failures, status.errors)
    if same and (figures or (message or None) == status.message):
        return status
    return GateStatus(
        name=status.name,
        result=result,
        passed=status.passed or result == "Successful",
        failures=failures,
        errors=errors,
        message=message or None,
    )


def deciding(run: Run) -> list[GateStatus]:
    """The gates that count in the present wave: none once it is promoted."""
    if run.promoted:
        return []
    rules = ((status, run.gate(status.name)) for status in run.progress.gates)
    return [status for status, rule in rules if rule is None or not rule.dry_run]


def open_gates(run: Run) -> list[GateStatus]:
    """The gates that the wave waits for."""
    return [status for status in deciding(run) if status.result != "Successful"]


def failed(run: Run) -> GateStatus | None:
    """A gate that failed more often in a row than it may."""
    for status in deciding(run):
        rule = run.gate(status.name)
        if status.failures > (rule.failure_limit if rule else 0):
            return status
    return None


def silent(run: Run) -> GateStatus | None:
    """A gate that has said nothing for longer than it may."""
    for status in deciding(run):
        rule = run.gate(status.name)
        if status.errors > (rule.error_limit if rule else ERROR_LIMIT):
            return status
    return None


def halt(run: Run) -> bool:
    """A gate without evidence pauses the rollout, until it succeeds again."""
    if not reading.measuring(run.progress):
        return False
    halted = run.progress.halt
    if halted is None:
        status = silent(run)
        if status is None:
            return False
        halt_by(run, status)
        return True
    if halted.reason in ("Action", "Failed"):
        return False
    still = next((status for status in open_gates(run) if status.name == halted.by), None)
    if still is not None:
        message = why_silent(still)
        if still.message and halted.message != message:
            run.change(halt=halted.model_copy(update={"message": message}))
        return False
    run.change(halt=None)
    run.tell("RolloutResumed", f"gate {halted.by} holds nothing back any more", f"gate/{halted.by}")
    restart(run)
    return True


def halt_by(run: Run, status: GateStatus) -> None:
    run.halt(HALTS.get(status.result, "NoData"), why_silent(status), gate=status.name)


def why_silent(status: GateStatus) -> str:
    """Why a gate without evidence holds the rollout."""
    row = f" {status.errors} times in a row" if status.errors > 1 else ""
    why = f": {status.message}" if status.message else ""
    return f"gate {status.name} {SAYS.get(status.result, SAYS['Pending'])}{row}{why}"


def restart(run: Run) -> None:
    """The wave's time counts from now."""
    run.change(wave_state="Moving", soak_started_at=None, moving_since=run.text, checked_at=run.text)
