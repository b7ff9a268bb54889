"""Whether a workload runs one revision of its configuration well: a verdict on objects as the API server holds them.

Evidence counts only if it is of the revision that is judged: the pod template carries that revision's digest
(``trimtab.dev/digest``) and the workload's controller has seen that template (``status.observedGeneration``). Then:

=============  =============================================================================================
Healthy        every wanted replica is of the new template and available, and no old one is left; or none is wanted
Failed         a pod of this very revision cannot run, or the workload's own controller has given it up
Progressing    anything else, always with a message that says what is missing: the deadline decides
=============  =============================================================================================

When a workload is done is as in ``kubectl rollout status`` (pkg/polymorphichelpers/rollout_status.go of
https://github.com/kubernetes/kubectl) and, for ``OnDelete``, as in kstatus (pkg/kstatus/status/core.go of
https://github.com/kubernetes-sigs/cli-utils).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from trimtab.core import naming
from trimtab.core.workload.digest_annotation import carries
from trimtab.core.workload.pods import Object, belongs, digest_in, partition, word, worst

State = Literal["Healthy", "Progressing", "Failed"]

_TIMED_OUT = "ProgressDeadlineExceeded"


@dataclass(frozen=True, slots=True)
class Health:
    """``generation`` is the workload's that was judged; ``known`` is false while nobody has looked.

    ``seen_at`` (seconds of the event loop's clock) is when the evidence was current for certain.
    """

    state: State
    message: str
    generation: int = 0
    known: bool = True
    seen_at: float = 0.0
    note: str = ""
    """What people have to do themselves."""
    by_others: bool = False
    """Whether it is not well because somebody deleted or paused it, which says nothing of the revision."""


def judge(kind: str, found: Object, pods: Sequence[Object], digest: str | None) -> Health:
    """The health of a Deployment, StatefulSet or DaemonSet at the revision of ``digest`` (None: whichever it has), as
    :func:`trimtab.core.workload.digest_annotation.mark` gives it.

    ``found`` is empty where there is no such workload; ``pods`` are those that its selector selects, or the
    :func:`~trimtab.core.workload.pods.troubled` ones among them. Messages name pods, containers
    and reasons, never values.
    """
    if not found:
        return Health("Progressing", "does not exist", by_others=True)
    meta = found["metadata"]
    generation = meta.get("generation") or 0
    status = found.get("status") or {}
    if meta.get("deletionTimestamp"):
        return Health("Progressing", "is being deleted", generation, by_others=True)
    if digest is not None and not carries(digest_in(_spec(found).get("template") or {}), digest):
        return Health("Progressing", "its pod template is not of this revision yet", generation)
    if (status.get("observedGeneration") or 0) < generation:
        return Health("Progressing", "its controller has not seen the change yet", generation)
    progress = _PROGRESS[kind](_spec(found), status)
    if progress.done:
        return Health("Healthy", progress.message, generation, note=_by_hand(kind, _spec(found), status))
    mine = (pod for pod in pods if belongs(kind, found, pod))
    trouble = worst([pod for pod in mine if digest is None or carries(digest_in(pod), digest)])
    if trouble and trouble.fatal:
        return Health("Failed", trouble.message, generation)
    given_up = _given_up(found)
    if given_up:
        return Health("Failed", given_up, generation)
    paused = bool(_spec(found).get("paused"))
    hints = ["is paused (spec.paused), so its pods do not change"] if paused else []
    hints += [progress.message, *([trouble.message] if trouble else [])]
    return Health("Progressing", "; ".join(hints), generation, by_others=paused)


class _Progress(NamedTuple):
    done: bool
    message: str


def _deployment(spec: Object, status: Object) -> _Progress:
    wanted, updated = _wanted(spec), _count(status, "updatedReplicas")
    old, available = _count(status, "replicas") - updated, _count(status, "availableReplicas")
    if updated < wanted:
        return _Progress(False, f"{updated} of {wanted} replicas are updated")
    if old > 0:
        return _Progress(False, f"{old} old {'replica is' if old == 1 else 'replicas are'} still there")
    if available < updated:
        return _Progress(False, f"{available} of {updated} updated replicas are available")
    return _Progress(True, _all(wanted))


def _stateful_set(spec: Object, status: Object) -> _Progress:
    wanted, updated = _wanted(spec), _count(status, "updatedReplicas")
    by_hand = (spec.get("updateStrategy") or {}).get("type") == "OnDelete"
    kept = min(wanted, partition(spec))
    due = 0 if by_hand else wanted - kept
    ready = _count(status, "readyReplicas")
    available = min(ready, status.get("availableReplicas", ready) or 0)  # not counted before Kubernetes 1.22
    if updated < due:
        return _Progress(False, f"{updated} of {due} replicas are updated")
    if available < wanted:
        return _Progress(False, f"{available} of {wanted} replicas are available")
    if by_hand:
        return _Progress(True, f"all {wanted} replicas are available")
    if kept:
        rest = f"{due} of them updated (partition {partition(spec)})"
        return _Progress(True, f"all {wanted} replicas are available, {rest}")
    return _Progress(True, _all(wanted))


def _daemon_set(spec: Object, status: Object) -> _Progress:
    wanted = _count(status, "desiredNumberScheduled")
    updated, available = _count(status, "updatedNumberScheduled"), _count(status, "numberAvailable")
    by_hand = (spec.get("updateStrategy") or {}).get("type") == "OnDelete"
    if not by_hand and updated < wanted:
        return _Progress(False, f"{updated} of {wanted} pods are updated")
    if available < wanted:
        return _Progress(False, f"{available} of {wanted} pods are available")
    if by_hand:
        return _Progress(True, f"all {wanted} pods are available")
    return _Progress(True, f"all {wanted} pods are updated and available" if wanted else "no node wants it")


def _by_hand(kind: str, spec: Object, status: Object) -> str:
    """How far a workload is of whose pods all, or those below a partition, restart only when they are deleted."""
    if kind == "Deployment":
        return ""
    if (spec.get("updateStrategy") or {}).get("type") != "OnDelete":
        kept = min(_wanted(spec), partition(spec)) if kind == "StatefulSet" else 0
        where = f"updateStrategy.rollingUpdate.partition {partition(spec)}"
        return f"{kept} of {_wanted(spec)} pods restart only when they are deleted ({where})" if kept else ""
    daemons = kind == "DaemonSet"
    wanted = _count(status, "desiredNumberScheduled") if daemons else _wanted(spec)
    updated = _count(status, "updatedNumberScheduled" if daemons else "updatedReplicas")
    return (
        f"its pods restart only when they are deleted (updateStrategy OnDelete): {updated} of {wanted} are of this "
        "revision"
    )


_PROGRESS: dict[str, Callable[[Object, Object], _Progress]] = {
    "Deployment": _deployment,
    "StatefulSet": _stateful_set,
    "DaemonSet": _daemon_set,
}


def _given_up(found: Object) -> str:
    """Why the workload's own controller has given up, if it has.

    A Deployment's conditions do not say which revision they are about, and its controller carries one over from the
    last revision until the new one makes progress (syncRolloutStatus in pkg/controller/deployment/progress.go). So one
    that is older than our own change of the pod template is about what was before. Its deadline runs for a second at
    least, so that clocks that differ by less do not matter.
    """
    entries = found["metadata"].get("managedFields") or ()
    stamped = max((e.get("time") or "" for e in entries if e.get("manager") == naming.MANAGER), default="")
    for condition in (found.get("status") or {}).get("conditions") or ():
        kind, status = condition.get("type"), condition.get("status")
        at = condition.get("lastUpdateTime") or ""
        if stamped and at and at <= stamped:
            continue
        if kind == "Progressing" and status == "False" and condition.get("reason") == _TIMED_OUT:
            return f"its own progress deadline has passed ({_TIMED_OUT})"
        if kind == "ReplicaFailure" and status == "True":
            return f"its pods cannot be made ({word(condition.get('reason'))})"
    return ""


def _all(wanted: int) -> str:
    return f"all {wanted} replicas are updated and available" if wanted else "is scaled to zero"


def _spec(found: Object) -> Object:
    return found.get("spec") or {}


def _wanted(spec: Object) -> int:
    replicas = spec.get("replicas")
    return 1 if replicas is None else int(replicas)


def _count(status: Object, name: str) -> int:
    return int(status.get(name) or 0)
