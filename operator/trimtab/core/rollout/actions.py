"""RolloutActions: each is processed once; if it is observed again, its recorded result is returned again.

=========  ================================================  ========================================================
action     allowed in                                        effect
=========  ================================================  ========================================================
Approve    AwaitingApproval                                  starts the next wave; requires the content's hash
Promote    Progressing, Soaking, Waiting (freeze), Paused    skips gates, soak and freeze of the current wave
Pause      before and during the rollout                     pauses until Resume
Resume     Paused (by a halt)                                continues; the current wave is measured again
Abort      before and during the rollout                     rolls back, or does not start; quarantines the content
Retry      RolledBack                                        removes the quarantine and starts a new attempt
Undo       Succeeded                                         rolls back to the previous content; quarantines
=========  ================================================  ========================================================
"""

from __future__ import annotations

from collections.abc import Callable

from trimtab.api.rollout_status import HANDLED, Failure, PlannedWave
from trimtab.core.rollout import gates, queries
from trimtab.core.rollout.context import Run
from trimtab.core.rollout.phase import phase_of, record_phase
from trimtab.core.rollout.planning import plan
from trimtab.core.rollout.types import ActionResult, Request
from trimtab.core.text import capitalized

ENTRY = 256
"""The characters that status holds of a result, with its UID."""
POSSIBLE = {
    "Pending": "Pause or Abort",
    "Waiting": "Promote despite a freeze, Pause or Abort",
    "AwaitingApproval": "Approve, Pause or Abort",
    "Progressing": "Pause, Abort, or Promote once the wave's groups are updated",
    "Soaking": "Promote, Pause or Abort",
    "Paused": "Resume, Promote or Abort",
    "Succeeded": "Undo",
    "RollingBack": "none until all groups are rolled back",
    "RolledBack": "Retry, or new content",
    "RollbackFailed": "none until all groups are rolled back",
}


class _RefusedError(Exception):
    """Why an action is refused, and which ones are allowed."""


def take_requests(run: Run) -> None:
    """Process the requests. If status has no room for more results, the rest waits until some are delivered."""
    open_requests = {request.uid for request in run.observed.requests}
    for request in run.observed.requests:
        result = _remembered(run.progress.handled, request.uid)
        if result is None:
            kept = _room(run.progress.handled, open_requests)
            if kept is None:
                return
            result = _processed(run, request)
            run.change(handled=[*kept, _entry(result)])
            result = _remembered([_entry(result)], request.uid) or result
        run.results.append(result)


def _processed(run: Run, request: Request) -> ActionResult:
    try:
        verb = _VERBS.get(request.action)
        if verb is None:
            raise _RefusedError(f"unknown action; must be one of {', '.join(_VERBS)}")
        _same_content(run, request)
        message = verb(run, request)
    except _RefusedError as refusal:
        return ActionResult(request.uid, False, capitalized(str(refusal)))
    record_phase(run)
    return ActionResult(request.uid, True, capitalized(message))


def _same_content(run: Run, request: Request) -> None:
    """Refuse a hash of other content than the action concerns: Undo concerns the stable content, others the target."""
    undoes = request.action == "Undo"
    content = run.progress.stable if undoes else run.progress.target
    if request.content_hash and (content is None or content.hash != request.content_hash):
        which = "stable content" if undoes else "content"
        field = {"Approve": "status.preview.hash", "Undo": "status.stable.hash"}.get(
            request.action, "status.target.hash"
        )
        raise _RefusedError(
            f"contentHash {request.content_hash[:12]} is not this rollout's {which}, which is "
            f"{queries.short(content)}: the content has changed or the hash is mistyped; set it to {field}"
        )


def _refuse(run: Run, why: str) -> _RefusedError:
    phase = phase_of(run)
    possible = POSSIBLE.get(phase) or (
        "Pause or Abort" if run.progress.underway == "Forward" else "none until the spec is corrected"
    )
    return _RefusedError(f"{why}; the rollout is {phase}, allowed actions: {possible}")


def _approve(run: Run, request: Request) -> str:
    wave = run.wave
    if phase_of(run) != "AwaitingApproval" or wave is None:
        raise _refuse(run, "no wave is waiting for an approval")
    if not request.content_hash:
        raise _RefusedError("Approve requires contentHash; set it to status.preview.hash")
    run.change(approved=[*run.progress.approved, wave.name])
    run.record("RolloutApproved", _with_reason(f"wave {wave.name} is approved", request), request.requester)
    return f"wave {wave.name} is approved"


def _promote(run: Run, request: Request) -> str:
    wave, strategy = run.wave, run.observed.strategy
    if phase_of(run) not in ("Progressing", "Soaking", "Waiting", "Paused") or wave is None:
        raise _refuse(run, "there is no wave to promote")
    if strategy is not None and strategy.paused:
        raise _RefusedError("spec.strategy.paused is true; set it to false first")
    if queries.measuring(run.progress):
        _promote_started(run, wave)
    elif run.observed.busy:
        raise _RefusedError(f"{run.observed.busy}; wait for it")
    elif run.needs_approval:
        raise _RefusedError(
            f"wave {wave.name} requires an approval; {'Resume, then ' if run.progress.halt else ''}Approve"
        )
    else:
        run.ignore_freeze = True  # only of this wave: a freeze may block the next one
    if run.progress.halt is not None:
        run.change(halt=None, failure=None)
        gates.measure_again(run)
    run.record("WavePromoted", _with_reason(f"wave {wave.name} is promoted", request), request.requester)
    return f"wave {wave.name} is promoted"


def _promote_started(run: Run, wave: PlannedWave) -> None:
    """A wave that has started still waits for its groups."""
    waited = [name for name in run.existing(wave.groups) if not _updated(run, name)]
    if waited:
        raise _RefusedError(
            f"{len(waited)} groups of wave {wave.name} are not updated yet; wait for them, or Abort"
        )
    run.change(promoted=[*(name for name in run.progress.promoted if name != wave.name), wave.name])


def _updated(run: Run, name: str) -> bool:
    """While the rollout is paused, an observation under an older intent counts; the wave waits for the group later."""
    group = run.group(name)
    return run.settled(name) or (run.held and group is not None and group.settled)


def _pause(run: Run, request: Request) -> str:
    halt = run.progress.halt
    if run.progress.underway != "Forward" and not run.coming:
        raise _refuse(run, "there is no rollout to pause")
    if halt is not None and halt.reason in ("Action", "Failed"):
        raise _refuse(run, "it is paused already")
    run.halt("Action", request.reason, request.requester)
    return "paused"


def _resume(run: Run, request: Request) -> str:
    if run.progress.halt is None:
        if phase_of(run) == "Paused":
            raise _RefusedError("spec.strategy.paused is true; set it to false")
        raise _refuse(run, "it is not paused")
    run.change(halt=None)
    if run.progress.underway == "Forward":
        run.change(failure=None)
        gates.measure_again(run)
    run.record("RolloutResumed", _with_reason("resumed", request), request.requester)
    also = run.observed.strategy is not None and run.observed.strategy.paused
    return "resumed; spec.strategy.paused is true as well, set it to false" if also else "resumed"


def _abort(run: Run, request: Request) -> str:
    message = _with_reason(f"aborted{' by ' if request.requester else ''}{request.requester}", request)
    if run.progress.underway == "Forward":
        run.record("RolloutAborted", message, request.requester, warning=True, back=True)
        run.roll_back("Aborted", message, request.requester)
        return "aborted; all groups roll back to the stable content"
    if not run.coming:
        raise _refuse(run, "there is no rollout to abort")
    run.record("RolloutAborted", message, request.requester, warning=True, back=True)
    run.change(
        failure=Failure(reason="Aborted", message=message, at=run.text),
        halt=None,
        wave_state=None,
        approved=[],
    )
    run.quarantine(message)
    return "aborted before it started"


def _retry(run: Run, request: Request) -> str:
    target = run.progress.target
    if phase_of(run) != "RolledBack" or target is None:
        raise _refuse(run, "there is no failed content to retry")
    run.change(
        quarantine=[q for q in run.progress.quarantine if q.hash != target.hash],
        approved=[],
        promoted=[],
        halt=None,
    )
    plan(run)
    run.record("RolloutRetried", _with_reason("retried", request), request.requester)
    return "no longer quarantined; a new attempt starts"


def _undo(run: Run, request: Request) -> str:
    progress, strategy = run.progress, run.observed.strategy
    previous = progress.previous
    if phase_of(run) != "Succeeded" or strategy is None:
        raise _refuse(run, "only a succeeded rollout can be undone")
    if previous is None:
        raise _RefusedError("no previous content is known")
    if run.quarantined(previous):
        raise _RefusedError(
            f"the previous content, {queries.short(previous)}, is quarantined; roll out new content"
        )
    message = _with_reason(f"undone{' by ' if request.requester else ''}{request.requester}", request)
    run.change(
        stable=previous,
        previous=None,
        waves=list(strategy.waves),
        current_wave=len(strategy.waves),
        wave_state="Moving",
        gates=[],
        approved=[],
        promoted=[],
    )
    run.record("RolloutUndone", message, request.requester, back=True)
    run.roll_back("Undone", message, request.requester)
    return f"all groups roll back to {queries.described(previous)}"


_VERBS: dict[str, Callable[[Run, Request], str]] = {
    "Approve": _approve,
    "Promote": _promote,
    "Pause": _pause,
    "Resume": _resume,
    "Abort": _abort,
    "Retry": _retry,
    "Undo": _undo,
}


def _with_reason(what: str, request: Request) -> str:
    return f"{what}: {request.reason}" if request.reason else what


def _entry(result: ActionResult) -> str:
    return f"{result.uid} {'accepted' if result.accepted else 'refused'}: {result.message}"[:ENTRY]


def _remembered(handled: list[str], uid: str) -> ActionResult | None:
    for entry in handled:
        known, _, rest = entry.partition(" ")
        if known == uid:
            verdict, _, message = rest.partition(": ")
            return ActionResult(uid, verdict == "accepted", message)
    return None


def _room(handled: list[str], open_requests: set[str]) -> list[str] | None:
    """The entries to keep with a new one: results of open requests are never dropped. None: there is no room."""
    kept = list(handled)
    for entry in handled:
        if len(kept) < HANDLED:
            break
        if entry.partition(" ")[0] not in open_requests:
            kept.remove(entry)
    return kept if len(kept) < HANDLED else None
