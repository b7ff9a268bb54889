"""RenderedGroup: the state of one group of one template. Only the operator writes it."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field

from trimtab.api.bounds import (
    ATOMIC,
    Count,
    DnsLabel,
    DnsSubdomain,
    Generation,
    ShortText,
    StatusName,
    StatusText,
    Timestamp,
    cel,
    list_map,
    truncated,
)
from trimtab.api.meta import (
    AGE,
    MESSAGE,
    READY,
    REASON,
    ApiModel,
    Column,
    LocalTemplateRef,
    Resource,
    ResourceInfo,
    ResourceStatus,
    StatusModel,
)


class RenderedGroupSpec(ApiModel):
    """The template and the group."""

    model_config = ConfigDict(json_schema_extra=cel("self == oldSelf", "spec is immutable"))

    template_ref: LocalTemplateRef = Field(description="ConfigTemplate that the group belongs to.")
    group: DnsLabel = Field(description="Name of the group in the template.")


class PolicyRef(StatusModel):
    """A policy that is part of a revision."""

    name: DnsSubdomain = Field(description="Name of the PolicyRollout.")
    snapshot: ShortText = Field(description="ControllerRevision that holds the policy's content.")


class RevisionEntry(StatusModel):
    """One revision of the group."""

    number: Generation = Field(description="Number of the revision. Numbers only increase.")
    snapshot: ShortText = Field(description="ControllerRevision that holds the template's content.")
    policies: Annotated[list[PolicyRef], Field(max_length=500, json_schema_extra=list_map("name"))] = Field(
        default_factory=list, description="Policies that are part of the revision, by name."
    )
    created_at: Timestamp | None = Field(default=None, description="Time of creation.")
    reason: StatusText | None = Field(
        default=None, description="Why the revision was created, or why the group last returned to it."
    )
    by: StatusName | None = Field(
        default=None,
        description="Rollout that created the revision or last moved the group to it. Unset if a template without a "
        "strategy did.",
    )
    failed: Annotated[list[ShortText], Field(max_length=20, json_schema_extra=ATOMIC), truncated(20)] = Field(
        default_factory=list,
        description="Snapshots of this revision that were rolled back. Their content stays in quarantine if the "
        "status of their rollout is lost or the rollout is recreated.",
    )


class ObjectRef(StatusModel):
    """A ConfigMap or Secret."""

    kind: Literal["ConfigMap", "Secret"] = Field(description="Kind of the object: ConfigMap or Secret.")
    namespace: DnsLabel = Field(description="Namespace of the object.")
    name: DnsSubdomain = Field(description="Name of the object.")


class OutputRef(ObjectRef):
    """An object that the operator wrote for the group."""

    uid: ShortText | None = Field(
        default=None,
        description="UID of the object. It proves that the operator wrote the object if the annotation "
        "trimtab.dev/mark is lost.",
    )
    adopted: bool = Field(
        default=False,
        description='Whether the object has the annotation trimtab.dev/adopt: "true". While it does, the operator '
        "replaces the content of any object with this name and annotation.",
    )


Outputs = Annotated[
    list[OutputRef],
    Field(max_length=1000, json_schema_extra=list_map("kind", "namespace", "name")),
    truncated(1000),
]


class ShareRef(StatusModel):
    """The share of the group's users that a wave has moved to another revision."""

    revision: Generation = Field(description="Revision that these users have.")
    percent: Annotated[Count, Field(le=100)] = Field(
        description="Percentage of the group's users, selected by an HMAC of the user."
    )
    first: StatusName | None = Field(
        default=None, description="User who is always included, so the share is never empty."
    )


class Operation(StatusModel):
    """The rollout that last moved the group. The group rejects moves of an older epoch of the same
    rollout."""

    kind: Literal["PolicyRollout", "ConfigTemplate"] = Field(description="Kind of the rollout.")
    name: DnsSubdomain = Field(description="Name of the rollout, in this namespace.")
    uid: ShortText = Field(description="UID of the rollout.")
    epoch: Generation = Field(description="Epoch of the rollout.")
    back: bool = Field(default=False, description="Whether the rollout is rolling the group back.")
    failed: ShortText | None = Field(
        default=None,
        description="ControllerRevision of the content in quarantine. Set during a rollback.",
    )


class RenderedGroupStatus(ResourceStatus):
    """Observed state of the group."""

    current_revision: Generation | None = Field(default=None, description="Revision in use.")
    stable_revision: Generation | None = Field(
        default=None, description="Last revision that rolled out successfully. A rollback returns to it."
    )
    epoch: Generation | None = Field(
        default=None,
        description="Increases with every change of direction, so that writes of a former leader are detected.",
    )
    share: ShareRef | None = Field(
        default=None, description="Share of the users that a wave has moved to another revision."
    )
    operation: Operation | None = Field(default=None, description="Rollout that last moved the group.")
    revisions: list[RevisionEntry] = Field(
        default_factory=list,
        max_length=104,
        description="Revisions of the group, up to the template's revisionHistoryLimit.",
        json_schema_extra=list_map("number"),
    )
    users: Count | None = Field(
        default=None, description="Number of users with a preference in the group, valid or not."
    )
    invalid_users: Count | None = Field(
        default=None,
        description="Number of users whose preference is rejected or whose files the API server refused.",
    )
    shards: Count | None = Field(default=None, description="Number of shards that hold the user documents.")
    outputs: Outputs = Field(
        default_factory=list,
        description="Objects that the operator wrote for the group. Of the objects for single users, only adopted "
        "ones are listed.",
    )
    foreign: Annotated[
        list[ObjectRef], Field(max_length=20, json_schema_extra=list_map("kind", "namespace", "name"))
    ] = Field(
        default_factory=list,
        description="Objects that have the group's labels and that the operator did not create. The operator does "
        "not modify them; remove the labels from them. At most 20 are listed.",
    )


class RenderedGroup(Resource):
    """State of one group of a ConfigTemplate: its revisions, users, shards and conditions. Only the
    operator writes it."""

    info: ClassVar[ResourceInfo] = ResourceInfo(
        kind="RenderedGroup",
        plural="renderedgroups",
        singular="renderedgroup",
        short_name="rgroup",
        columns=(
            Column("Template", ".spec.templateRef.name"),
            Column("Group", ".spec.group"),
            READY,
            REASON,
            Column("Revision", ".status.currentRevision", "integer"),
            Column("Users", ".status.users", "integer"),
            Column("Invalid", ".status.invalidUsers", "integer"),
            Column("Stable", ".status.stableRevision", "integer", wide=True),
            Column("Shards", ".status.shards", "integer", wide=True),
            MESSAGE,
            AGE,
        ),
        selectable=(".spec.templateRef.name", ".spec.group"),
    )

    kind: Literal["RenderedGroup"] = Field(default="RenderedGroup", description="Kind of the object.")
    spec: RenderedGroupSpec = Field(description="Template and group. Immutable.")
    status: RenderedGroupStatus | None = Field(
        default=None, description="Observed state of the group. Written by the operator."
    )
