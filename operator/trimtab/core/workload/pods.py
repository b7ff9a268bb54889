"""What keeps pods from being ready, and which of them hold an update up: names and reasons, never values or logs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from trimtab.core import naming

Object = Mapping[str, Any]

RESTARTS = 3
"""So many restarts of a container that is not ready are a crash loop, also before the kubelet calls it one."""

CANNOT_RUN = frozenset(
    # The kubelet's: pkg/kubelet/images/types.go, container/sync_result.go, kuberuntime/kuberuntime_container.go.
    (
        "CrashLoopBackOff",
        "ImagePullBackOff",
        "ErrImagePull",
        "ErrImageNeverPull",
        "ImageInspectError",
        "InvalidImageName",
        "CreateContainerConfigError",
        "CreateContainerError",
        "RunContainerError",
        "PreCreateHookError",
        "PreStartHookError",
        "PostStartHookError",
    )
)
"""Reasons for which a container waits that do not go away by waiting."""


class Trouble(NamedTuple):
    """What keeps a pod from being ready; ``fatal`` does not go away by waiting."""

    message: str
    fatal: bool


def trouble(pod: Object) -> Trouble | None:
    """What keeps a pod from being ready, if anything does. One that is being deleted is nobody's concern."""
    status = pod.get("status") or {}
    conditions = {c.get("type"): c for c in status.get("conditions") or ()}
    if pod["metadata"].get("deletionTimestamp"):
        return None
    if status.get("phase") == "Failed":
        # A workload's pod is restarted in its place, so it is mostly a node that ends one: that says nothing of the
        # revision (https://kubernetes.io/docs/concepts/workloads/pods/disruptions/#pod-disruption-conditions).
        by_node = bool(status.get("reason")) or _holds(conditions, "DisruptionTarget")
        return Trouble("was ended by its node", False) if by_node else Trouble("has failed", True)
    since = (conditions.get("Ready") or {}).get("lastTransitionTime") or ""
    for container in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        found = _cannot_run(container, since)
        if found:
            return Trouble(found, True)
    scheduled = conditions.get("PodScheduled") or {}
    if scheduled.get("status") == "False":
        return Trouble(f"is not scheduled ({word(scheduled.get('reason'))})", False)
    return None if _holds(conditions, "Ready") else Trouble("is not ready", False)


def troubled(pods: Iterable[Object], most: int = 20) -> Iterator[Object]:
    """Those in trouble, at most so many of one digest and severity."""
    taken: dict[tuple[str | None, bool], int] = {}
    for pod in pods:
        found = trouble(pod)
        if found is not None:
            key = (digest_in(pod), found.fatal)
            taken[key] = taken.get(key, 0) + 1
            if taken[key] <= most:
                yield pod


def worst(pods: Sequence[Object]) -> Trouble | None:
    """The trouble to tell of, with the pod's name."""
    found = [(pod["metadata"].get("name"), each) for pod in pods if (each := trouble(pod))]
    if not found:
        return None
    fatal = sorted((name, each) for name, each in found if each.fatal)
    name, first = fatal[0] if fatal else min(found)
    more = f" (and {len(fatal) - 1} more pods)" if len(fatal) > 1 else ""
    return Trouble(f"pod {name}: {first.message}{more}", first.fatal)


def _cannot_run(container: Object, not_ready_since: str) -> str:
    """Why a container cannot run, or an empty string."""
    state, name = container.get("state") or {}, container.get("name")
    waiting, running = state.get("waiting") or {}, state.get("running")
    restarts = container.get("restartCount") or 0
    if waiting.get("reason") in CANNOT_RUN:
        return f"container {name} is in {waiting['reason']}{_last_exit(container, restarts)}"
    if container.get("ready") or restarts < RESTARTS:
        return ""
    # One that was ready in its present run is no crash loop, whatever it did in the months before.
    if running and (running.get("startedAt") or not_ready_since) < not_ready_since:
        return ""
    if (state.get("terminated") or {}).get("exitCode") == 0:
        return ""  # an init container that is done
    return f"container {name} keeps restarting{_last_exit(container, restarts)}"


def _last_exit(container: Object, restarts: int) -> str:
    if not restarts:
        return ""
    ended = (container.get("lastState") or {}).get("terminated") or {}
    exit_code = f", last with {word(ended.get('reason'))} {ended['exitCode']}" if "exitCode" in ended else ""
    return f" after {restarts} restart{'s' if restarts > 1 else ''}{exit_code}"


# Whose a pod is.


def digest_in(holder: Object) -> str | None:
    """The digest of the configuration that a pod, or a pod template, is made for."""
    annotations = (holder.get("metadata") or {}).get("annotations") or {}
    found = annotations.get(naming.ANNOTATION_DIGEST)
    return found if isinstance(found, str) else None


def belongs(kind: str, found: Object, pod: Object) -> bool:
    """Whether the pod is this workload's own; selectors may overlap. One without an owner will be adopted."""
    owner, meta = _owner(pod), found["metadata"]
    if owner is None:
        return True
    if kind == "Deployment":
        return owner.get("kind") == "ReplicaSet" and str(owner.get("name")).startswith(f"{meta.get('name')}-")
    return bool(owner.get("kind") == kind and owner.get("uid", meta.get("uid")) == meta.get("uid"))


def stuck(kind: str, found: Object, pod: Object) -> bool:
    """Whether this pod of another digest holds a StatefulSet's update up until it is ready, if it ever will be.

    A StatefulSet with the policy OrderedReady waits for a broken pod to become ready before it replaces it, even by the
    template that would mend it: the documented way out is to delete the pod
    (https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#forced-rollback).
    """
    spec, status, meta = found.get("spec") or {}, found.get("status") or {}, pod["metadata"]
    if kind != "StatefulSet" or spec.get("podManagementPolicy", "OrderedReady") != "OrderedReady":
        return False
    strategy = spec.get("updateStrategy") or {}
    if strategy.get("type", "RollingUpdate") != "RollingUpdate" or meta.get("deletionTimestamp"):
        return False
    if (status.get("observedGeneration") or 0) < (found["metadata"].get("generation") or 0):
        return False
    revision, digest = (meta.get("labels") or {}).get("controller-revision-hash"), digest_in(pod)
    superseded = revision is not None and revision != status.get("updateRevision")
    made_by_us = digest is not None and digest != digest_in(spec.get("template") or {})
    if not superseded or not made_by_us or _owner(pod) is None or not belongs(kind, found, pod):
        return False
    number = str(meta.get("name", "")).rpartition("-")[2]
    first = (spec.get("ordinals") or {}).get("start") or 0
    return number.isdigit() and int(number) >= first + partition(spec)


def partition(spec: Object) -> int:
    """How many of a StatefulSet's lowest pods an update leaves alone."""
    return int(((spec.get("updateStrategy") or {}).get("rollingUpdate") or {}).get("partition") or 0)


def pod_selector(found: Object) -> str:
    """A workload's selector as a list request takes it; empty where it would select everything."""
    selector = (found.get("spec") or {}).get("selector") or {}
    terms = [f"{name}={value}" for name, value in sorted((selector.get("matchLabels") or {}).items())]
    for term in selector.get("matchExpressions") or ():
        key, values = term.get("key"), ",".join(term.get("values") or ())
        words = {
            "In": f"{key} in ({values})",
            "NotIn": f"{key} notin ({values})",
            "Exists": f"{key}",
            "DoesNotExist": f"!{key}",
        }
        terms.append(words[term.get("operator")])
    return ",".join(terms)


def word(reason: object) -> str:
    """A reason as one word; whatever else stands there is not for messages."""
    return reason if isinstance(reason, str) and reason.isalnum() and len(reason) <= 100 else "Unknown"


def _owner(pod: Object) -> Object | None:
    return next((o for o in pod["metadata"].get("ownerReferences") or () if o.get("controller")), None)


def _holds(conditions: Mapping[Any, Object], kind: str) -> bool:
    return (conditions.get(kind) or {}).get("status") == "True"
