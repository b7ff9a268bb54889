"""What keeps pods from being ready, and which of them block an update: names and reasons, never values or logs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from trimtab.core import naming
from trimtab.core.text import plural

Object = Mapping[str, Any]

RESTARTS = 3
"""This many restarts of a container that is not ready are a crash loop, also before the kubelet reports one."""

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
    """What keeps a pod from being ready, if anything does. A pod that is being deleted has no trouble."""
    status = pod.get("status") or {}
    conditions = {c.get("type"): c for c in status.get("conditions") or ()}
    if pod["metadata"].get("deletionTimestamp"):
        return None
    if status.get("phase") == "Failed":
        return _failed(status, conditions)
    since = (conditions.get("Ready") or {}).get("lastTransitionTime") or ""
    broken = filter(None, (_cannot_run(container, since) for container in _containers(status)))
    if found := next(broken, ""):
        return Trouble(found, True)
    return _not_ready(conditions)


def _not_ready(conditions: Mapping[Any, Object]) -> Trouble | None:
    scheduled = conditions.get("PodScheduled") or {}
    if scheduled.get("status") == "False":
        return Trouble(f"is not scheduled ({word(scheduled.get('reason'))})", False)
    return None if _holds(conditions, "Ready") else Trouble("is not ready", False)


def _failed(status: Object, conditions: Mapping[Any, Object]) -> Trouble:
    # A workload's pod is restarted, so it is mostly a node that terminates one, which is no evidence of the revision
    # (https://kubernetes.io/docs/concepts/workloads/pods/disruptions/#pod-disruption-conditions).
    by_node = bool(status.get("reason")) or _holds(conditions, "DisruptionTarget")
    return Trouble("was terminated by its node", False) if by_node else Trouble("has failed", True)


def _containers(status: Object) -> list[Object]:
    return [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]


def troubled(pods: Iterable[Object], most: int = 20) -> Iterator[Object]:
    """Pods in trouble, at most ``most`` of each digest and severity."""
    taken: dict[tuple[str | None, bool], int] = {}
    for pod in pods:
        found = trouble(pod)
        if found is not None:
            key = (digest_in(pod), found.fatal)
            taken[key] = taken.get(key, 0) + 1
            if taken[key] <= most:
                yield pod


def worst(pods: Sequence[Object]) -> Trouble | None:
    """The trouble to report, with the pod's name."""
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
    restarts = container.get("restartCount") or 0
    reason = (state.get("waiting") or {}).get("reason")
    if reason in CANNOT_RUN:
        return f"container {name} is in {reason}{_last_exit(container, restarts)}"
    if container.get("ready") or restarts < RESTARTS or _is_running_or_done(state, not_ready_since):
        return ""
    return f"container {name} keeps restarting{_last_exit(container, restarts)}"


def _is_running_or_done(state: Object, not_ready_since: str) -> bool:
    """Whether a container was ready in its present run, so that earlier restarts are no crash loop; or is an init
    container that succeeded."""
    running = state.get("running")
    if running and (running.get("startedAt") or not_ready_since) < not_ready_since:
        return True
    return (state.get("terminated") or {}).get("exitCode") == 0


def _last_exit(container: Object, restarts: int) -> str:
    if not restarts:
        return ""
    ended = (container.get("lastState") or {}).get("terminated") or {}
    exit_code = f", last with {word(ended.get('reason'))} {ended['exitCode']}" if "exitCode" in ended else ""
    return f" after {plural(restarts, 'restart')}{exit_code}"


# Owners of pods.


def digest_in(holder: Object) -> str | None:
    """The digest of the configuration in a pod, or in a pod template."""
    annotations = (holder.get("metadata") or {}).get("annotations") or {}
    found = annotations.get(naming.ANNOTATION_DIGEST)
    return found if isinstance(found, str) else None


def belongs(kind: str, found: Object, pod: Object) -> bool:
    """Whether the workload owns the pod, as selectors may overlap. A pod without an owner will be adopted."""
    owner, meta = _owner(pod), found["metadata"]
    if owner is None:
        return True
    if kind == "Deployment":
        return owner.get("kind") == "ReplicaSet" and str(owner.get("name")).startswith(f"{meta.get('name')}-")
    return bool(owner.get("kind") == kind and owner.get("uid", meta.get("uid")) == meta.get("uid"))


def stuck(kind: str, found: Object, pod: Object) -> bool:
    """Whether this pod of another digest blocks a StatefulSet's update until it is ready, which it may never be.

    A StatefulSet with the policy OrderedReady waits for a broken pod to become ready before it replaces it, even with
    a template that would repair it: the documented remedy is to delete the pod
    (https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#forced-rollback).
    """
    if kind != "StatefulSet" or not _updates_in_order(found) or pod["metadata"].get("deletionTimestamp"):
        return False
    outdated = _is_outdated(found, pod) and _owner(pod) is not None and belongs(kind, found, pod)
    return outdated and _is_due(found.get("spec") or {}, pod)


def _is_due(spec: Object, pod: Object) -> bool:
    """Whether an update with the StatefulSet's partition replaces the pod."""
    number = str(pod["metadata"].get("name", "")).rpartition("-")[2]
    first = (spec.get("ordinals") or {}).get("start") or 0
    return number.isdigit() and int(number) >= first + partition(spec)


def _updates_in_order(found: Object) -> bool:
    """Whether a StatefulSet's controller has observed its spec and updates one pod after the other."""
    spec, status = found.get("spec") or {}, found.get("status") or {}
    strategy = (spec.get("updateStrategy") or {}).get("type", "RollingUpdate")
    ordered = (
        spec.get("podManagementPolicy", "OrderedReady") == "OrderedReady" and strategy == "RollingUpdate"
    )
    return ordered and (status.get("observedGeneration") or 0) >= (found["metadata"].get("generation") or 0)


def _is_outdated(found: Object, pod: Object) -> bool:
    """Whether the pod is of another revision and another digest than the StatefulSet's template."""
    spec, status = found.get("spec") or {}, found.get("status") or {}
    revision = (pod["metadata"].get("labels") or {}).get("controller-revision-hash")
    if revision is None or revision == status.get("updateRevision"):
        return False
    digest = digest_in(pod)
    return digest is not None and digest != digest_in(spec.get("template") or {})


def partition(spec: Object) -> int:
    """How many of a StatefulSet's lowest pods an update does not change."""
    return int(((spec.get("updateStrategy") or {}).get("rollingUpdate") or {}).get("partition") or 0)


def pod_selector(found: Object) -> str:
    """A workload's selector in the form of list requests; empty where it would select everything."""
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
    """A reason that is one word; any other text is not shown in messages."""
    return reason if isinstance(reason, str) and reason.isalnum() and len(reason) <= 100 else "Unknown"


def _owner(pod: Object) -> Object | None:
    return next((o for o in pod["metadata"].get("ownerReferences") or () if o.get("controller")), None)


def _holds(conditions: Mapping[Any, Object], kind: str) -> bool:
    return (conditions.get(kind) or {}).get("status") == "True"
