"""How far a rollout is: the part of status that a PolicyRollout and a ConfigTemplate share.

It is also the whole memory of the state machine (`trimtab.core.rollout`): what is not here is not remembered, so that
any process may die at any time. It is written before anything that follows from it.
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
    SaidName,
    SaidText,
    ShortText,
    Timestamp,
    Whole,
    clipped,
    list_map,
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
    """Content that is, was or shall be served: of a template or a policy, without its strategy."""

    hash: ContentHash = Field(description="A keyed hash of it; equal content has an equal hash.")
    snapshot: ShortText | None = Field(
        default=None, description="The ControllerRevision that holds it; unset: nothing, as before a policy."
    )
    generation: Generation | None = Field(
        default=None, description="The metadata.generation that said it first."
    )


class PlannedWave(StatusModel):
    """One wave of the plan, frozen when the attempt started."""

    name: DnsLabel = Field(description="The wave's name.")
    groups: GroupNames = Field(default_factory=list, description="The groups that move in it.")
    percent: Annotated[Whole, Field(ge=1, le=100)] = Field(
        default=100, description="The share of each group's users that has moved when it ends."
    )
    soak: Duration = Field(default="0", description="How long it is watched before the next one.")
    approval: bool = Field(default=False, description="Whether somebody must approve it before it starts.")


class GateStatus(StatusModel):
    """One gate's evidence in the present wave."""

    name: DnsLabel = Field(description="The gate's name.")
    result: Literal["Pending", "Successful", "Failed", "Error", "Inconclusive", "NoData"] = Field(
        default="Pending", description="What its last measurement said."
    )
    passed: bool = Field(default=False, description="Whether it has succeeded in this wave.")
    rule: ShortText | None = Field(
        default=None,
        description="A hash of what it asks: an edit of that is a gate that has not been measured.",
    )
    counted_until: Timestamp | None = Field(
        default=None,
        description="Measurements that were begun until then have been counted, or do not count any more.",
    )
    round: Count = Field(
        default=0, description="How many times its Job has failed and somebody has asked for another one."
    )
    job: ShortText | None = Field(
        default=None, description="The uid of the Job that was created for it: no other one is evidence."
    )
    failure_limit: Count = Field(default=0, description="How many failures in a row it may have.")
    error_limit: Count = Field(default=4, description="How many measurements in a row may say nothing.")
    dry_run: bool = Field(default=False, description="Whether it decides nothing.")
    failures: Count = Field(default=0, description="Failed measurements in a row.")
    errors: Count = Field(
        default=0, description="Measurements in a row that could not be made or said nothing certain."
    )
    message: SaidText | None = Field(default=None, description="What it measured, for people.")


class Halt(StatusModel):
    """Why the rollout stands still until somebody, or a gate's evidence, lets it go on."""

    reason: Literal["Action", "GateError", "NoData", "Inconclusive", "Failed", "ChangedBack"] = Field(
        description="Action: a RolloutAction paused it; Failed: a failure with onFailure Pause; ChangedBack: "
        "others keep changing a workload's pod template back; else a gate without evidence."
    )
    message: SaidText | None = Field(default=None, description="Why, for people.")
    by: SaidName | None = Field(default=None, description="Who paused it, or the gate.")
    since: Timestamp = Field(description="Since when.")


class Failure(StatusModel):
    """Why the attempt went back."""

    reason: Literal[
        "GateFailed",
        "WorkloadFailed",
        "WriteFailed",
        "ProgressDeadlineExceeded",
        "Aborted",
        "Superseded",
        "Undone",
    ] = Field(description="Why, in one word.")
    message: SaidText | None = Field(default=None, description="Why, for people.")
    at: Timestamp = Field(description="When it was decided.")


class Quarantined(StatusModel):
    """Content that failed: it does not start again until it changes or somebody retries."""

    hash: ContentHash = Field(description="The content's keyed hash.")
    reason: SaidText | None = Field(default=None, description="Why it failed.")
    at: Timestamp | None = Field(default=None, description="When it failed.")


class WorkloadNote(StatusModel):
    """What to know about one workload of the rollout."""

    workload: SaidName = Field(description="The workload, as Deployment namespace/name.")
    reason: Literal["ChangedBack", "OnDelete"] = Field(
        description="ChangedBack: its pod template was changed back by others; OnDelete: its pods restart only when "
        "they are deleted."
    )
    message: SaidText = Field(description="What happened and what to do, for people.")


class Transition(StatusModel):
    """One thing that happened to the rollout; each is an Event and an audit line too."""

    number: Generation = Field(description="Counts them; it only ever grows.")
    at: Timestamp = Field(description="When.")
    reason: ShortText = Field(description="What, in one word, as WaveStarted.")
    message: SaidText | None = Field(default=None, description="What, for people.")
    by: SaidName | None = Field(default=None, description="Who asked for it, if somebody did.")
    phase: Phase | None = Field(default=None, description="The phase that it led to.")
    warning: bool = Field(default=False, description="Whether it is bad news.")
    before: ContentHash | None = Field(default=None, description="The hash of the content from before.")
    after: ContentHash | None = Field(default=None, description="The hash of the content from then on.")


class KeyChange(StatusModel):
    """A sample of what would change."""

    group: DnsLabel = Field(description="The group.")
    user: SaidName | None = Field(default=None, description="The user; unset for the group's own document.")
    key: SaidName = Field(description="The key.")
    old: SaidText | None = Field(
        default=None, description="The value now, as JSON; a sensitive one is redacted."
    )
    new: SaidText | None = Field(
        default=None, description="The value then, as JSON; a sensitive one is redacted."
    )
    by: SaidName | None = Field(default=None, description="The layer that sets it then.")
    effect: Literal["Changed", "Clamped", "Dropped", "Locked"] = Field(
        default="Changed", description="How the policy acts on it."
    )


class Preview(StatusModel):
    """What the rollout would change, worked out before its first wave."""

    hash: ContentHash = Field(description="The content that it is about; an approval names it.")
    basis: ShortText | None = Field(
        default=None, description="A hash of what it was worked out from: groups, template, other policies."
    )
    at: Timestamp | None = Field(
        default=None, description="When it was worked out; what users change later is not in it."
    )
    groups: Count = Field(default=0, description="How many groups are in its scope.")
    changed_groups: Count = Field(default=0, description="How many groups' own documents change.")
    users: Count = Field(default=0, description="How many users are in its scope.")
    changed_users: Count = Field(default=0, description="How many users' documents change.")
    clamped_users: Count = Field(
        default=0,
        description="How many users get a value clamped, dropped or locked that is not so now, or otherwise.",
    )
    keys: Annotated[list[SaidName], Field(max_length=50, json_schema_extra=ATOMIC), clipped(50)] = Field(
        default_factory=list, description="The keys that change, at most 50 of them."
    )
    samples: Annotated[list[KeyChange], Field(max_length=20, json_schema_extra=ATOMIC), clipped(20)] = Field(
        default_factory=list, description="Some of the changes."
    )
    restarts: Annotated[list[SaidName], Field(max_length=50, json_schema_extra=ATOMIC), clipped(50)] = Field(
        default_factory=list, description="Workloads that would restart, as kind namespace/name, at most 50."
    )


class RolloutProgress(StatusModel):
    """How far the rollout is."""

    phase: Phase | None = Field(default=None, description="Where the rollout is, in one word.")
    message: SaidText | None = Field(default=None, description="Where the rollout is, for people.")
    wave: ShortText | None = Field(default=None, description="Which wave it is in, of how many: 2/4.")
    updated: ShortText | None = Field(
        default=None, description="How many planned groups serve the target, of how many: 3/10."
    )
    underway: Literal["Forward", "Back"] | None = Field(
        default=None, description="Whether groups are being moved: Forward to the target, or Back to stable."
    )
    attempt: Generation | None = Field(
        default=None, description="Counts starts; each has timestamps and evidence of its own."
    )
    epoch: Generation | None = Field(
        default=None, description="Rises with every change of direction; groups refuse moves of an older one."
    )
    target: Content | None = Field(default=None, description="The content that is rolled out.")
    stable: Content | None = Field(
        default=None, description="The content that succeeded last; what a rollback returns to."
    )
    previous: Content | None = Field(
        default=None, description="The content that was stable before; what an Undo returns to."
    )
    waves: Annotated[
        list[PlannedWave], Field(max_length=PLANNED_WAVES, json_schema_extra=list_map("name"))
    ] = Field(default_factory=list, description="The plan, frozen when the attempt started.")
    current_wave: Count | None = Field(
        default=None, description="The number of the present wave, from 1; 0 before the first one."
    )
    wave_state: Literal["Held", "Moving", "Soaking"] | None = Field(
        default=None,
        description="Held: not started yet; Moving: groups follow; Soaking: all healthy, watched.",
    )
    started_at: Timestamp | None = Field(default=None, description="When the attempt started.")
    wave_started_at: Timestamp | None = Field(default=None, description="When the present wave started.")
    moving_since: Timestamp | None = Field(
        default=None,
        description="Since when the wave has not been well, all such times of it put together; the progress deadline "
        "counts from here.",
    )
    settled_at: Timestamp | None = Field(
        default=None,
        description="Since when every group of the wave serves what it shall and is well: only what gates measure from "
        "then on lets it soak.",
    )
    soak_started_at: Timestamp | None = Field(
        default=None, description="Since when all evidence of the present wave has been good without a gap."
    )
    checked_at: Timestamp | None = Field(
        default=None, description="When the evidence was last looked at; written about once a minute."
    )
    approved: Annotated[list[DnsLabel], Field(max_length=PLANNED_WAVES, json_schema_extra=SET)] = Field(
        default_factory=list, description="The waves of this attempt that were approved."
    )
    promoted: Annotated[list[DnsLabel], Field(max_length=PLANNED_WAVES, json_schema_extra=SET)] = Field(
        default_factory=list,
        description="The waves of this attempt that were promoted: they wait for nothing but their groups.",
    )
    gates: Annotated[list[GateStatus], Field(max_length=20, json_schema_extra=list_map("name"))] = Field(
        default_factory=list, description="The gates' evidence in the present wave."
    )
    halt: Halt | None = Field(default=None, description="Why it stands still.")
    on_failure: Literal["Rollback", "Pause"] | None = Field(
        default=None, description="What the strategy says of failures; unset: Rollback."
    )
    failure: Failure | None = Field(default=None, description="Why the last attempt went back.")
    quarantine: Annotated[
        list[Quarantined], Field(max_length=QUARANTINED, json_schema_extra=list_map("hash"))
    ] = Field(default_factory=list, description="Content that failed and does not start again by itself.")
    handled: Annotated[list[ShortText], Field(max_length=HANDLED, json_schema_extra=ATOMIC)] = Field(
        default_factory=list,
        description="The RolloutActions that were answered last: UID, accepted or refused, and why.",
    )
    preview: Preview | None = Field(default=None, description="What it would change.")
    workload_notes: Annotated[list[WorkloadNote], Field(max_length=NOTES, json_schema_extra=ATOMIC)] = Field(
        default_factory=list, description="What to know about workloads of the last attempt."
    )
    transitions: Annotated[
        list[Transition], Field(max_length=TRANSITIONS, json_schema_extra=list_map("number"))
    ] = Field(default_factory=list, description="What happened last, newest first.")
