"""What people ask for by RolloutActions: each is answered once, and again in the same words if it is seen again.

=========  ================================================  ========================================================
action     taken in                                          does
=========  ================================================  ========================================================
Approve    AwaitingApproval                                  lets the next wave start; names the content's hash
Promote    Progressing, Soaking, Waiting (freeze), Paused    ends what the present wave waits for, but not its groups
Pause      everything before and during the way forward      stands still until Resume
Resume     Paused (by a halt)                                goes on; the present wave is judged anew
Abort      everything before and during the way forward      goes back, or does not start; quarantines the content
Retry      RolledBack                                        takes the content out of quarantine: a new attempt
Undo       Succeeded                                         back to the content before; quarantines the present one
=========  ================================================  ========================================================
"""

from __future__ import annotations

from collections.abc import Callable

from trimtab.api.rollout_status import HANDLED, Failure
from trimtab.core.rollout import gates, queries
from trimtab.core.rollout.context import Run
from trimtab.core.rollout.phase import phase_of, tell_phase
from trimtab.core.rollout.planning import plan
from trimtab.core.rollout.types import Answer, Request

ENTRY = 256
"""What status holds of an answer, with its UID."""
POSSIBLE = {
    "Pending": "Pause or Abort",
    "Waiting": "Promote in spite of a freeze, Pause or Abort",
    "AwaitingApproval": "Approve, Pause or Abort",
    "Progressing": "Pause, Abort, or Promote once the wave's groups are updated",
    "Soaking": "Promote, Pause or Abort",
    "Paused": "Resume, Promote or Abort",
    "Succeeded": "Undo",
    "RollingBack": "nothing until all groups are back",
    "RolledBack": "Retry, or new content",
    "RollbackFailed": "nothing until all groups are back",
}


class _RefusedError(Exception):
    """Why an action is not taken, and what would be possible."""


def take_requests(run: Run) -> None:
    """Answer what is asked. When status has no room left for more answers, the rest waits until some are delivered."""
    asked = {request.uid for request in run.seen.requests}
    for request in run.seen.requests:
        answer = _remembered(run.progress.handled, request.uid)
        if answer is None:
            kept = _room(run.progress.handled, asked)
            if kept is None:
                return
            answer = _answer(run, request)
            run.change(handled=[*kept, _entry(answer)])
            answer = _remembered([_entry(answer)], request.uid) or answer
        run.answers.append(answer)


def _answer(run: Run, request: Request) -> Answer:
    try:
        verb = _VERBS.get(request.action)
        if verb is None:
            raise _RefusedError(f"no such action; there are {', '.join(_VERBS)}")
        _same_content(run, request)
        message = verb(run, request)
    except _RefusedError as refusal:
        return Answer(request.uid, False, str(refusal))
    tell_phase(run)
    return Answer(request.uid, True, message)


def _same_content(run: Run, request: Request) -> None:
    """What is named is what the action would be about: an Undo takes back what is stable, the others the target."""
    undoes = request.action == "Undo"
    content = run.progress.stable if undoes else run.progress.target
    if request.content_hash and (content is None or content.hash != request.content_hash):
        which = "stable content" if undoes else "content"
        look_at = "status.preview" if request.action == "Approve" else "it"
        raise _RefusedError(
            f"contentHash {request.content_hash[:12]} is not this rollout's {which}, which is "
            f"{queries.short(content)}: the rollout has moved on, or the hash is mistyped; look at {look_at} again"
        )


def _refuse(run: Run, why: str = "") -> _RefusedError:
    phase = phase_of(run)
    possible = POSSIBLE.get(phase) or (
        "Pause or Abort" if run.progress.underway == "Forward" else "nothing until the spec is corrected"
    )
    return _RefusedError(f"{why}{'; ' if why else ''}the rollout is {phase}: possible now: {possible}")


def _approve(run: Run, request: Request) -> str:
    wave = run.wave
    if phase_of(run) != "AwaitingApproval" or wave is None:
        raise _refuse(run, "nothing waits for an approval")
    if not request.content_hash:
        raise _RefusedError(
            "an approval names the content that was looked at: set contentHash to status.preview.hash"
        )
    run.change(approved=[*run.progress.approved, wave.name])
    run.tell("RolloutApproved", _said(f"wave {wave.name} is approved", request), request.requester)
    return f"wave {wave.name} is approved"


def _promote(run: Run, request: Request) -> str:
    wave, strategy = run.wave, run.seen.strategy
    phase = phase_of(run)
    if phase not in ("Progressing", "Soaking", "Waiting", "Paused") or wave is None:
        raise _refuse(run, "there is nothing to promote")
    if strategy is not None and strategy.paused:
        raise _RefusedError("spec.strategy.paused is true: set it to false first")
    if run.seen.busy and not queries.measuring(run.progress):
        raise _RefusedError(f"it has to wait: {run.seen.busy}")
    if queries.measuring(run.progress):
        waited = [name for name in run.existing(wave.groups) if not _updated(run, name)]
        if waited:
            raise _RefusedError(
                f"{len(waited)} groups of wave {wave.name} are not updated yet: wait for them, or Abort"
            )
        run.change(promoted=[*(n for n in run.progress.promoted if n != wave.name), wave.name])
    elif run.needs_approval:
        raise _RefusedError(
            f"wave {wave.name} needs an approval: {'Resume, then ' if run.progress.halt else ''}Approve"
        )
    else:
        run.ignore_freeze = True  # of this wave alone: a freeze may hold the next one
    if run.progress.halt is not None:
        run.change(halt=None, failure=None)
        gates.again(run)
    run.tell("WavePromoted", _said(f"wave {wave.name} is promoted", request), request.requester)
    return f"wave {wave.name} is promoted"


def _updated(run: Run, name: str) -> bool:
    """While it is held, the word of who looked; the wave waits for the group in any case."""
    group = run.group(name)
    return run.settled(name) or (run.held and group is not None and group.settled)


def _pause(run: Run, request: Request) -> str:
    halt = run.progress.halt
    if run.progress.underway != "Forward" and not run.coming:
        raise _refuse(run, "there is nothing to pause")
    if halt is not None and halt.reason in ("Action", "Failed"):
        raise _refuse(run, "it stands still already")
    run.halt("Action", request.reason, request.requester)
    return "paused"


def _resume(run: Run, request: Request) -> str:
    if run.progress.halt is None:
        if phase_of(run) == "Paused":
            raise _RefusedError("spec.strategy.paused is true: set it to false")
        raise _refuse(run, "nothing is paused")
    run.change(halt=None)
    if run.progress.underway == "Forward":
        run.change(failure=None)
        gates.again(run)
    run.tell("RolloutResumed", _said("resumed", request), request.requester)
    also = run.seen.strategy is not None and run.seen.strategy.paused
    return "resumed; but spec.strategy.paused is true as well: set it to false" if also else "resumed"


def _abort(run: Run, request: Request) -> str:
    said = _said(f"aborted{' by ' if request.requester else ''}{request.requester}", request)
    if run.progress.underway == "Forward":
        run.tell("RolloutAborted", said, request.requester, warning=True, back=True)
        run.go_back("Aborted", said, request.requester)
        return "aborted: every group goes back to the stable content"
    if not run.coming:
        raise _refuse(run, "there is nothing to abort")
    run.tell("RolloutAborted", said, request.requester, warning=True, back=True)
    run.change(
        failure=Failure(reason="Aborted", message=said, at=run.text), halt=None, wave_state=None, approved=[]
    )
    run.quarantine(said)
    return "aborted before it started"


def _retry(run: Run, request: Request) -> str:
    target = run.progress.target
    if phase_of(run) != "RolledBack" or target is None:
        raise _refuse(run, "there is nothing to retry")
    run.change(
        quarantine=[q for q in run.progress.quarantine if q.hash != target.hash],
        approved=[],
        promoted=[],
        halt=None,
    )
    plan(run)
    run.tell("RolloutRetried", _said("a new attempt", request), request.requester)
    return "out of quarantine: a new attempt"


def _undo(run: Run, request: Request) -> str:
    progress, strategy = run.progress, run.seen.strategy
    previous = progress.previous
    if phase_of(run) != "Succeeded" or strategy is None:
        raise _refuse(run, "only what has succeeded can be undone")
    if previous is None:
        raise _RefusedError("nothing is known of the time before: there is no content to return to")
    if run.quarantined(previous):
        raise _RefusedError(
            f"the content before, {queries.short(previous)}, has failed since: roll out new content"
        )
    said = _said(f"undone{' by ' if request.requester else ''}{request.requester}", request)
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
    run.tell("RolloutUndone", said, request.requester, back=True)
    run.go_back("Undone", said, request.requester)
    return f"every group goes back to {queries.called(previous)}"


_VERBS: dict[str, Callable[[Run, Request], str]] = {
    "Approve": _approve,
    "Promote": _promote,
    "Pause": _pause,
    "Resume": _resume,
    "Abort": _abort,
    "Retry": _retry,
    "Undo": _undo,
}


def _said(what: str, request: Request) -> str:
    return f"{what}: {request.reason}" if request.reason else what


def _entry(answer: Answer) -> str:
    return f"{answer.uid} {'accepted' if answer.accepted else 'refused'}: {answer.message}"[:ENTRY]


def _remembered(handled: list[str], uid: str) -> Answer | None:
    for entry in handled:
        known, _, rest = entry.partition(" ")
        if known == uid:
            verdict, _, message = rest.partition(": ")
            return Answer(uid, verdict == "accepted", message)
    return None


def _room(handled: list[str], asked: set[str]) -> list[str] | None:
    """The entries to keep beside a new one: what is still asked is never forgotten. None: there is no room."""
    kept = list(handled)
    for entry in handled:
        if len(kept) < HANDLED:
            break
        if entry.partition(" ")[0] not in asked:
            kept.remove(entry)
    return kept if len(kept) < HANDLED else None
