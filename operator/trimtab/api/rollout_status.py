"""Progress of a rollout: the part of the status that a PolicyRollout and a ConfigTemplate share.

It holds the whole state of the state machine (`trimtab.core.rollout`), and the operator writes it before it acts on it.
So a process may stop at any time, and the next leader continues from the status.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from trimtab.api.bounds import (
    ATOMIC,
    SET,
    Count,
    DnsLabel,
    Duration,
    Generation,
    Integer,
    ShortText,
    StatusName,
    StatusText,
    Timestamp,
    list_map,
    truncated,
)
from trimtab.api.meta import StatusModel

Phase = Literal[
    "Pending",
    "Waiting",
    "Rejected",
    "AwaitingApproval",
    "Progressing",
    "Soaking",
    "Paused",
    "Succeeded",
    "RollingBack",
    "RolledBack",
    "RollbackFailed",
]

PLANNED_GROUPS, PLANNED_WAVES = 1000, 51
QUARANTINED, HANDLED, TRANSITIONS, NOTES = 20, 100, 20, 20

ContentHash = Annotated[str, Field(max_length=64)]
GroupNames = Annotated[list[DnsLabel], Field(max_length=PLANNED_GROUPS, json_schema_extra=SET)]


class Content(StatusModel):
    """Content of a template or policy: its spec without the strategy."""

    hash: ContentHash = Field(description="HMAC of the content. Equal content has an equal hash.")
    snapshot: ShortText | None = Field(
        default=None,
        description="ControllerRevision that holds the content. Unset for no content, the state before a policy's "
        "first rollout.",
    )
    generation: Generation | None = Field(
        default=None, description="First metadata.generation with this content."
    )


class PlannedWave(StatusModel):
    """One wave of the plan. It does not change after the attempt has started."""

    name: DnsLabel = Field(description="Name of the wave.")
    groups: GroupNames = Field(default_factory=list, description="Groups that the wave moves.")
    percent: Annotated[Integer, Field(ge=1, le=100)] = Field(
        default=100, description="Percentage of each group's users that has moved when the wave ends."
    )
    soak: Duration = Field(default="0", description="How long the wave soaks before the next wave starts.")
    approval: bool = Field(
        default=False, description="Whether the wave requires an approval before it starts."
    )


class GateStatus(StatusModel):
    """Results of one gate in the current wave."""

    name: DnsLabel = Field(description="Name of the gate.")
    result: Literal["Pending", "Successful", "Failed", "Error", "Inconclusive", "NoData"] = Field(
        default="Pending", description="Result of the last measurement."
    )
    passed: bool = Field(default=False, description="Whether the gate has succeeded in this wave.")
    rule: ShortText | None = Field(
        default=None,
        description="Hash of the gate's check. If it changes, earlier measurements no longer count.",
    )
    counted_until: Timestamp | None = Field(
        default=None,
        description="Measurements that started at this time or earlier are already counted or ignored.",
    )
    round: Count = Field(
        default=0,
        description="Number of new Jobs that were requested after a Job had failed.",
    )
    job: ShortText | None = Field(
        default=None,
        description="UID of the Job that the operator created for the gate. Other Jobs are ignored.",
    )
    failure_limit: Count = Field(default=0, description="Maximum number of consecutive failures.")
    error_limit: Count = Field(
        default=4, description="Maximum number of consecutive measurements without a result."
    )
    dry_run: bool = Field(
        default=False, description="Whether the gate is measured without affecting the rollout."
    )
    failures: Count = Field(default=0, description="Number of consecutive failures.")
    errors: Count = Field(
        default=0, description="Number of consecutive measurements that had no result or an inconclusive one."
    )
    message: StatusText | None = Field(
        default=None, description="Human-readable result of the last measurement."
    )


class Halt(StatusModel):
    """Why the rollout is paused."""

    reason: Literal["Action", "GateError", "NoData", "Inconclusive", "Failed", "ChangedBack"] = Field(
        description="Action: a RolloutAction paused it. Failed: a failure with onFailure: Pause. ChangedBack: "
        "another client keeps reverting a workload's pod template. GateError, NoData, Inconclusive: a "
        "gate has no usable result."
    )
    message: StatusText | None = Field(default=None, description="Human-readable reason for the pause.")
    by: StatusName | None = Field(default=None, description="Requester who paused the rollout, or the gate.")
    since: Timestamp = Field(description="Time at which the rollout was paused.")


class Failure(StatusModel):
    """Why the last attempt was rolled back."""

    reason: Literal[
        "GateFailed",
        "WorkloadFailed",
        "WriteFailed",
        "ProgressDeadlineExceeded",
        "Aborted",
        "Superseded",
        "Undone",
    ] = Field(description="Reason in CamelCase, for programs.")
    message: StatusText | None = Field(default=None, description="Human-readable reason.")
    at: Timestamp = Field(description="Time at which the rollback started.")


class Quarantined(StatusModel):
    """Content that failed. It does not roll out again until it changes or a Retry releases it."""

    hash: ContentHash = Field(description="HMAC of the content.")
    reason: StatusText | None = Field(default=None, description="Why the content failed.")
    at: Timestamp | None = Field(default=None, description="Time of the failure.")


class WorkloadNote(StatusModel):
    """A note about one workload of the rollout."""

    workload: StatusName = Field(description="Workload, as kind namespace/name.")
    reason: Literal["ChangedBack", "OnDelete"] = Field(
        description="ChangedBack: another client reverted the pod template. OnDelete: the pods restart only when "
        "they are deleted."
    )
    message: StatusText = Field(description="Human-readable message: what happened and what to do.")


class Transition(StatusModel):
    """One step of the rollout. Each is also an Event and an audit log line."""

    number: Generation = Field(description="Number of the transition. Numbers only increase.")
    at: Timestamp = Field(description="Time of the transition.")
    reason: ShortText = Field(description="Reason in CamelCase, for example WaveStarted.")
    message: StatusText | None = Field(default=None, description="Human-readable description.")
    by: StatusName | None = Field(
        default=None, description="Requester of the transition, if a RolloutAction caused it."
    )
    phase: Phase | None = Field(default=None, description="Phase after the transition.")
    warning: bool = Field(
        default=False, description="Whether the transition is a problem. Its Event has type Warning."
    )
    before: ContentHash | None = Field(default=None, description="Hash of the content before the transition.")
    after: ContentHash | None = Field(default=None, description="Hash of the content after the transition.")


class KeyChange(StatusModel):
    """One sample of the changes that a rollout would make."""

    group: DnsLabel = Field(description="Name of the group.")
    user: StatusName | None = Field(
        default=None, description="Name of the user. Unset for the group's own document."
    )
    key: StatusName = Field(description="Name of the key.")
    old: StatusText | None = Field(
        default=None, description="Current value, as JSON. Sensitive values are redacted."
    )
    new: StatusText | None = Field(
        default=None, description="New value, as JSON. Sensitive values are redacted."
    )
    by: StatusName | None = Field(default=None, description="Layer that sets the new value.")
    effect: Literal["Changed", "Clamped", "Dropped", "Locked"] = Field(
        default="Changed", description="Effect of the policy on the value."
    )


class Preview(StatusModel):
    """The changes that the rollout would make, computed before its first wave."""

    hash: ContentHash = Field(description="Hash of the previewed content. An approval refers to it.")
    basis: ShortText | None = Field(
        default=None,
        description="Hash of the groups, template and other policies that the preview was computed from.",
    )
    at: Timestamp | None = Field(
        default=None, description="Time of the computation. Later changes by users are not included."
    )
    groups: Count = Field(default=0, description="Number of groups in scope.")
    changed_groups: Count = Field(default=0, description="Number of groups whose own document changes.")
    users: Count = Field(default=0, description="Number of users in scope.")
    changed_users: Count = Field(default=0, description="Number of users whose document changes.")
    clamped_users: Count = Field(
        default=0,
        description="Number of users with a clamped, dropped or locked value that is new or changes.",
    )
    keys: Annotated[list[StatusName], Field(max_length=50, json_schema_extra=ATOMIC), truncated(50)] = Field(
        default_factory=list, description="Keys that change, at most 50."
    )
    samples: Annotated[list[KeyChange], Field(max_length=20, json_schema_extra=ATOMIC), truncated(20)] = (
        Field(default_factory=list, description="Samples of the changes, at most 20.")
    )
    restarts: Annotated[list[StatusName], Field(max_length=50, json_schema_extra=ATOMIC), truncated(50)] = (
        Field(
            default_factory=list,
            description="Workloads that would restart, as kind namespace/name, at most 50.",
        )
    )


class RolloutProgress(StatusModel):
    """Progress of the rollout."""

    phase: Phase | None = Field(default=None, description="Phase of the rollout.")
    message: StatusText | None = Field(default=None, description="Human-readable state of the rollout.")
    wave: ShortText | None = Field(
        default=None, description="Current wave and number of waves, for example 2/4."
    )
    updated: ShortText | None = Field(
        default=None,
        description="Planned groups that use the target content, and number of planned groups, for example 3/10.",
    )
    underway: Literal["Forward", "Back"] | None = Field(
        default=None,
        description="Direction in which groups are moving: Forward to the target, or Back to stable. Unset if none "
        "are.",
    )
    attempt: Generation | None = Field(
        default=None,
        description="Number of the current attempt. Each attempt has its own timestamps and measurements.",
    )
    epoch: Generation | None = Field(
        default=None,
        description="Increases with every change of direction. Groups reject moves of an older epoch.",
    )
    target: Content | None = Field(default=None, description="Content that is being rolled out.")
    stable: Content | None = Field(
        default=None, description="Last content that rolled out successfully. A rollback returns to it."
    )
    previous: Content | None = Field(
        default=None, description="Stable content before the current one. Undo returns to it."
    )
    waves: Annotated[
        list[PlannedWave], Field(max_length=PLANNED_WAVES, json_schema_extra=list_map("name"))
    ] = Field(
        default_factory=list,
        description="Plan of the attempt. It does not change after the first wave has started.",
    )
    current_wave: Count | None = Field(
        default=None, description="Number of the current wave, starting at 1. 0 before the first wave."
    )
    wave_state: Literal["Held", "Moving", "Soaking"] | None = Field(
        default=None,
        description="State of the current wave. Held: not started. Moving: its groups are updating. Soaking: its "
        "groups are updated and healthy.",
    )
    started_at: Timestamp | None = Field(default=None, description="Time at which the attempt started.")
    wave_started_at: Timestamp | None = Field(
        default=None, description="Time at which the current wave started."
    )
    moving_since: Timestamp | None = Field(
        default=None,
        description="Start of the progress deadline, shifted by the times in which the wave was complete and "
        "healthy.",
    )
    settled_at: Timestamp | None = Field(
        default=None,
        description="Time since which every group of the wave is updated and healthy. Gate measurements before this "
        "time do not let the wave soak.",
    )
    soak_started_at: Timestamp | None = Field(
        default=None,
        description="Start of the soak: since then, groups, workloads and gates of the current wave have been "
        "healthy without interruption.",
    )
    checked_at: Timestamp | None = Field(
        default=None, description="Time of the last health check. Written about once a minute."
    )
    approved: Annotated[list[DnsLabel], Field(max_length=PLANNED_WAVES, json_schema_extra=SET)] = Field(
        default_factory=list, description="Approved waves of this attempt."
    )
    promoted: Annotated[list[DnsLabel], Field(max_length=PLANNED_WAVES, json_schema_extra=SET)] = Field(
        default_factory=list,
        description="Promoted waves of this attempt. They wait only for their groups to be updated.",
    )
    gates: Annotated[list[GateStatus], Field(max_length=20, json_schema_extra=list_map("name"))] = Field(
        default_factory=list, description="Results of the gates in the current wave."
    )
    halt: Halt | None = Field(default=None, description="Why the rollout is paused.")
    on_failure: Literal["Rollback", "Pause"] | None = Field(
        default=None, description="Reaction to a failure, from the strategy. Defaults to Rollback."
    )
    failure: Failure | None = Field(default=None, description="Why the last attempt was rolled back.")
    quarantine: Annotated[
        list[Quarantined], Field(max_length=QUARANTINED, json_schema_extra=list_map("hash"))
    ] = Field(
        default_factory=list,
        description="Content that failed. It does not roll out again until it changes or a Retry releases it.",
    )
    handled: Annotated[list[ShortText], Field(max_length=HANDLED, json_schema_extra=ATOMIC)] = Field(
        default_factory=list,
        description="RolloutActions that were processed last: UID, accepted or refused, and the reason.",
    )
    preview: Preview | None = Field(default=None, description="Changes that the rollout would make.")
    workload_notes: Annotated[list[WorkloadNote], Field(max_length=NOTES, json_schema_extra=ATOMIC)] = Field(
        default_factory=list, description="Notes about workloads of the last attempt."
    )
    transitions: Annotated[
        list[Transition], Field(max_length=TRANSITIONS, json_schema_extra=list_map("number"))
    ] = Field(default_factory=list, description="Last transitions, newest first.")
