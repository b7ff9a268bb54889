"""The fields of workloads and pods that their health depends on; no others are decoded. They stay plain dicts."""

from __future__ import annotations

from typing import Any, TypedDict

from trimtab.core import naming

_Annotations = TypedDict("_Annotations", {"trimtab.dev/digest": str}, total=False)
_PodLabels = TypedDict("_PodLabels", {"controller-revision-hash": str}, total=False)


class ManagedBy(TypedDict, total=False):
    manager: str
    time: str | None


class Metadata(TypedDict, total=False):
    name: str
    namespace: str
    uid: str
    resourceVersion: str
    generation: int
    deletionTimestamp: str | None
    managedFields: list[ManagedBy] | None


class TemplateMetadata(TypedDict, total=False):
    annotations: _Annotations | None


class Template(TypedDict, total=False):
    metadata: TemplateMetadata | None


class RollingUpdate(TypedDict, total=False):
    partition: int | None


class UpdateStrategy(TypedDict, total=False):
    type: str
    rollingUpdate: RollingUpdate | None


class Ordinals(TypedDict, total=False):
    start: int


class WorkloadSpec(TypedDict, total=False):
    replicas: int | None
    paused: bool
    podManagementPolicy: str
    selector: dict[str, Any] | None
    template: Template
    updateStrategy: UpdateStrategy | None
    ordinals: Ordinals | None


class Condition(TypedDict, total=False):
    type: str
    status: str
    reason: str | None
    lastUpdateTime: str | None
    lastTransitionTime: str | None


class WorkloadStatus(TypedDict, total=False):
    observedGeneration: int
    replicas: int
    updatedReplicas: int
    readyReplicas: int
    availableReplicas: int
    updateRevision: str
    desiredNumberScheduled: int
    updatedNumberScheduled: int
    numberAvailable: int
    conditions: list[Condition] | None


class WorkloadObject(TypedDict, total=False):
    """A Deployment, StatefulSet or DaemonSet."""

    metadata: Metadata
    spec: WorkloadSpec
    status: WorkloadStatus


class Owner(TypedDict, total=False):
    kind: str
    name: str
    uid: str
    controller: bool | None


class PodMetadata(TypedDict, total=False):
    name: str
    uid: str
    deletionTimestamp: str | None
    annotations: _Annotations | None
    labels: _PodLabels | None
    ownerReferences: list[Owner] | None


class Terminated(TypedDict, total=False):
    exitCode: int
    reason: str | None


class Running(TypedDict, total=False):
    startedAt: str | None


class Waiting(TypedDict, total=False):
    reason: str | None


class ContainerState(TypedDict, total=False):
    waiting: Waiting | None
    running: Running | None
    terminated: Terminated | None


class ContainerStatus(TypedDict, total=False):
    name: str
    ready: bool
    restartCount: int
    state: ContainerState | None
    lastState: ContainerState | None


class PodStatus(TypedDict, total=False):
    phase: str
    reason: str | None
    conditions: list[Condition] | None
    initContainerStatuses: list[ContainerStatus] | None
    containerStatuses: list[ContainerStatus] | None


class PodObject(TypedDict, total=False):
    metadata: PodMetadata
    status: PodStatus


def reduced(item: WorkloadObject) -> WorkloadObject:
    """The part that the health depends on: without the version, and of field managers only Trimtab."""
    meta = item["metadata"]
    own: list[ManagedBy] = [m for m in meta.get("managedFields") or () if m.get("manager") == naming.MANAGER]
    kept: Metadata = {**meta, "managedFields": own}
    kept.pop("resourceVersion", None)
    return {**item, "metadata": kept}
