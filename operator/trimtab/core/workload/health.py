"""Whether a workload is healthy at one revision of its configuration, by the objects that the API server holds.

The objects are evidence only of the revision whose digest the pod template carries (``trimtab.dev/digest``), once the
workload's controller has observed that template (``status.observedGeneration``). Then:

=============  ======================================================================================================
Healthy        all desired replicas are of the new template and available, and no old one exists; or none is desired
Failed         a pod of this revision cannot run, or the workload's own controller has given up
Progressing    anything else, always with a message about what is missing: the deadline decides
=============  ======================================================================================================

When a workload is done is as in ``kubectl rollout status`` (pkg/polymorphichelpers/rollout_status.go of
https://github.com/kubernetes/kubectl) and, for ``OnDelete``, as in kstatus (pkg/kstatus/status/core.go of
https://github.com/kubernetes-sigs/cli-utils).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from trimtab.core import naming
from trimtab.core.workload.digest_annotation import carries
from trimtab.core.workload.pods import Object, belongs, digest_in, partition, word, worst

State = Literal["Healthy", "Progressing", "Failed"]

_TIMED_OUT = "ProgressDeadlineExceeded"


@dataclass(frozen=True, slots=True)
class Health:
    """``generation`` is that of the evaluated workload; ``known`` is false until it was observed.

    ``seen_at`` (seconds of the event loop's clock) is the latest time at which the evidence was certainly current.
    """

    state: State
    message: str
    generation: int = 0
    known: bool = True
    seen_at: float = 0.0
    note: str = ""
    """What the workload's owner has to do manually."""
    by_others: bool = False
    """Whether it is not healthy because another client deleted or paused it, which is no evidence of the revision."""


def health_of(kind: str, found: Object, pods: Sequence[Object], digest: str | None) -> Health:
    """The health of a Deployment, StatefulSet or DaemonSet at the revision of ``digest`` (None: whichever it has), as
    :func:`trimtab.core.workload.digest_annotation.mark` gives it.

    ``found`` is empty where there is no such workload; ``pods`` are those that its selector selects, or the
    :func:`~trimtab.core.workload.pods.troubled` ones among them. Messages name pods, containers
    and reasons, never values.
    """
    if not found:
        return Health("Progressing", "does not exist", by_others=True)
    generation = found["metadata"].get("generation") or 0
    health = _without_evidence(found, generation, digest) or _by_evidence(kind, found, pods, digest)
    return replace(health, generation=generation)


def _without_evidence(found: Object, generation: int, digest: str | None) -> Health | None:
    """The health of a workload whose objects are no evidence of the revision yet."""
    if found["metadata"].get("deletionTimestamp"):
        return Health("Progressing", "is being deleted", by_others=True)
    if digest is not None and not carries(digest_in(_spec(found).get("template") or {}), digest):
        return Health("Progressing", "its pod template is not of this revision yet")
    if (_status(found).get("observedGeneration") or 0) < generation:
        return Health("Progressing", "its controller has not seen the change yet")
    return None


def _by_evidence(kind: str, found: Object, pods: Sequence[Object], digest: str | None) -> Health:
    spec, status = _spec(found), _status(found)
    progress = _PROGRESS[kind](spec, status)
    if progress.done:
        return Health("Healthy", progress.message, note=_on_delete_note(kind, spec, status))
    trouble = worst([pod for pod in pods if belongs(kind, found, pod) and _is_of(pod, digest)])
    failure = trouble.message if trouble and trouble.fatal else _given_up(found)
    if failure:
        return Health("Failed", failure)
    paused = "is paused (spec.paused), so its pods do not change" if spec.get("paused") else ""
    hints = filter(None, (paused, progress.message, trouble and trouble.message))
    return Health("Progressing", "; ".join(hints), by_others=bool(paused))


def _is_of(pod: Object, digest: str | None) -> bool:
    return digest is None or carries(digest_in(pod), digest)


class _Progress(NamedTuple):
    done: bool
    message: str


def _deployment(spec: Object, status: Object) -> _Progress:
    desired, updated = _desired(spec), _count(status, "updatedReplicas")
    old, available = _count(status, "replicas") - updated, _count(status, "availableReplicas")
    if updated < desired:
        return _Progress(False, f"{updated} of {desired} replicas are updated")
    if old > 0:
        return _Progress(False, f"{old} old {'replica still exists' if old == 1 else 'replicas still exist'}")
    if available < updated:
        return _Progress(False, f"{available} of {updated} updated replicas are available")
    return _Progress(True, _all(desired))


def _stateful_set(spec: Object, status: Object) -> _Progress:
    desired, updated = _desired(spec), _count(status, "updatedReplicas")
    kept = min(desired, partition(spec))
    due = 0 if _is_on_delete(spec) else desired - kept
    ready = _count(status, "readyReplicas")
    available = min(ready, status.get("availableReplicas", ready) or 0)  # not counted before Kubernetes 1.22
    if updated < due:
        return _Progress(False, f"{updated} of {due} replicas are updated")
    if available < desired:
        return _Progress(False, f"{available} of {desired} replicas are available")
    if _is_on_delete(spec):
        return _Progress(True, f"all {desired} replicas are available")
    if kept:
        rest = f"{due} of them updated (partition {partition(spec)})"
        return _Progress(True, f"all {desired} replicas are available, {rest}")
    return _Progress(True, _all(desired))


def _daemon_set(spec: Object, status: Object) -> _Progress:
    desired = _count(status, "desiredNumberScheduled")
    updated, available = _count(status, "updatedNumberScheduled"), _count(status, "numberAvailable")
    if not _is_on_delete(spec) and updated < desired:
        return _Progress(False, f"{updated} of {desired} pods are updated")
    if available < desired:
        return _Progress(False, f"{available} of {desired} pods are available")
    if _is_on_delete(spec):
        return _Progress(True, f"all {desired} pods are available")
    return _Progress(
        True, f"all {desired} pods are updated and available" if desired else "no node is eligible"
    )


def _is_on_delete(spec: Object) -> bool:
    return (spec.get("updateStrategy") or {}).get("type") == "OnDelete"


def _on_delete_note(kind: str, spec: Object, status: Object) -> str:
    """The progress of a workload of which all pods, or those below a partition, restart only when they are deleted."""
    if kind == "Deployment":
        return ""
    if not _is_on_delete(spec):
        kept = min(_desired(spec), partition(spec)) if kind == "StatefulSet" else 0
        where = f"updateStrategy.rollingUpdate.partition {partition(spec)}"
        return f"{kept} of {_desired(spec)} pods restart only when they are deleted ({where})" if kept else ""
    desired, updated = _desired(spec), _count(status, "updatedReplicas")
    if kind == "DaemonSet":
        desired, updated = _count(status, "desiredNumberScheduled"), _count(status, "updatedNumberScheduled")
    return (
        f"its pods restart only when they are deleted (updateStrategy OnDelete): {updated} of {desired} are of this "
        "revision"
    )


_PROGRESS: dict[str, Callable[[Object, Object], _Progress]] = {
    "Deployment": _deployment,
    "StatefulSet": _stateful_set,
    "DaemonSet": _daemon_set,
}


def _given_up(found: Object) -> str:
    """Why the workload's own controller has given up, if it has.

    A Deployment's conditions do not show which revision they are about, and its controller keeps one of the last
    revision until the new one progresses (syncRolloutStatus in pkg/controller/deployment/progress.go). So a condition
    that is older than the operator's own change of the pod template is about the last revision. A progress deadline is
    at least one second, so that clocks that differ by less do not matter.
    """
    entries = found["metadata"].get("managedFields") or ()
    stamped = max((e.get("time") or "" for e in entries if e.get("manager") == naming.MANAGER), default="")
    conditions = [c for c in _status(found).get("conditions") or () if _is_newer(c, stamped)]
    return next(filter(None, map(_failure, conditions)), "")


def _is_newer(condition: Object, stamped: str) -> bool:
    at = condition.get("lastUpdateTime") or ""
    return not at or bool(at > stamped)


def _failure(condition: Object) -> str:
    kind, status, reason = condition.get("type"), condition.get("status"), condition.get("reason")
    if kind == "Progressing" and status == "False" and reason == _TIMED_OUT:
        return f"its own progress deadline has passed ({_TIMED_OUT})"
    if kind == "ReplicaFailure" and status == "True":
        return f"its pods cannot be created ({word(reason)})"
    return ""


def _all(desired: int) -> str:
    return f"all {desired} replicas are updated and available" if desired else "is scaled to zero"


def _spec(found: Object) -> Object:
    return found.get("spec") or {}


def _status(found: Object) -> Object:
    return found.get("status") or {}


def _desired(spec: Object) -> int:
    replicas = spec.get("replicas")
    return 1 if replicas is None else int(replicas)


def _count(status: Object, name: str) -> int:
    return int(status.get(name) or 0)
