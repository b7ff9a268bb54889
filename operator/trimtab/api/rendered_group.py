"""RenderedGroup: one group of one template as it is served. Trimtab alone writes it."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field

from trimtab.api.bounds import (
    ATOMIC,
    Count,
    DnsLabel,
    DnsSubdomain,
    Generation,
    SaidName,
    SaidText,
    ShortText,
    Timestamp,
    cel,
    clipped,
    list_map,
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
    """Which group of which template it is."""

    model_config = ConfigDict(
        json_schema_extra=cel("self == oldSelf", "the spec of a RenderedGroup cannot be changed")
    )

    template_ref: LocalTemplateRef = Field(description="The ConfigTemplate that the group is of.")
    group: DnsLabel = Field(description="The group's name in that template.")


class PolicyRef(StatusModel):
    """A policy that is part of a revision."""

    name: DnsSubdomain = Field(description="The PolicyRollout's name.")
    snapshot: ShortText = Field(description="The ControllerRevision that holds the policy's content.")


class RevisionEntry(StatusModel):
    """One revision of the group."""

    number: Generation = Field(description="The revision's number; it only ever grows.")
    snapshot: ShortText = Field(description="The ControllerRevision that holds the template's content.")
    policies: Annotated[list[PolicyRef], Field(max_length=500, json_schema_extra=list_map("name"))] = Field(
        default_factory=list, description="The policies that are part of it, by name."
    )
    created_at: Timestamp | None = Field(default=None, description="When it was made.")
    reason: SaidText | None = Field(default=None, description="What made it, or led to it last.")
    by: SaidName | None = Field(
        default=None,
        description="The rollout that made it, or led to it last; unset if a template without a strategy did.",
    )
    failed: Annotated[list[ShortText], Field(max_length=20, json_schema_extra=ATOMIC), clipped(20)] = Field(
        default_factory=list,
        description="Those of its snapshots that a rollback left: they stay in quarantine if their rollout's status is "
        "lost, or if it is deleted and recreated.",
    )


class ObjectRef(StatusModel):
    """A ConfigMap or a Secret."""

    kind: Literal["ConfigMap", "Secret"] = Field(description="The object's kind: ConfigMap or Secret.")
    namespace: DnsLabel = Field(description="The object's namespace.")
    name: DnsSubdomain = Field(description="The object's name.")


class OutputRef(ObjectRef):
    """An object that Trimtab wrote for the group."""

    uid: ShortText | None = Field(
        default=None, description="The object's UID: proof that Trimtab wrote it, should its mark be lost."
    )
    adopted: bool = Field(
        default=False,
        description='Whether the object is annotated trimtab.dev/adopt: "true". While it is, Trimtab takes over '
        "whatever object has this name and that annotation.",
    )


Outputs = Annotated[
    list[OutputRef],
    Field(max_length=1000, json_schema_extra=list_map("kind", "namespace", "name")),
    clipped(1000),
]


class ShareRef(StatusModel):
    """A share of the group's users who are on another revision already."""

    revision: Generation = Field(description="The revision that they are on.")
    percent: Annotated[Count, Field(le=100)] = Field(
        description="How many of a hundred, by a keyed hash of the user."
    )
    first: SaidName | None = Field(
        default=None, description="The user who is among them in any case, so that nobody is watched never."
    )


class Operation(StatusModel):
    """The rollout that moved the group last. Moves of an older epoch of the same rollout are refused."""

    kind: Literal["PolicyRollout", "ConfigTemplate"] = Field(description="The rollout's kind.")
    name: DnsSubdomain = Field(description="The rollout's name, in this namespace.")
    uid: ShortText = Field(description="The rollout's UID.")
    epoch: Generation = Field(description="The rollout's epoch.")
    back: bool = Field(default=False, description="Whether it moves the group back to what is stable.")
    failed: ShortText | None = Field(
        default=None,
        description="On the way back: the ControllerRevision of the content that is in quarantine.",
    )


class RenderedGroupStatus(ResourceStatus):
    """What is served to the group."""

    current_revision: Generation | None = Field(default=None, description="The revision that is served now.")
    stable_revision: Generation | None = Field(
        default=None, description="The last revision that went well; what a rollback returns to."
    )
    epoch: Generation | None = Field(
        default=None, description="Grows with every change of direction, so that a stale leader is noticed."
    )
    share: ShareRef | None = Field(default=None, description="The users who are on another revision already.")
    operation: Operation | None = Field(default=None, description="The rollout that moved the group last.")
    revisions: list[RevisionEntry] = Field(
        default_factory=list,
        max_length=104,
        description="The group's revisions, up to the template's revisionHistoryLimit.",
        json_schema_extra=list_map("number"),
    )
    users: Count | None = Field(default=None, description="How many users have a preference in the group.")
    invalid_users: Count | None = Field(
        default=None, description="How many of them have one that is refused, or whose files are."
    )
    shards: Count | None = Field(default=None, description="Over how many objects its users are spread.")
    outputs: Outputs = Field(
        default_factory=list,
        description="The objects that were written for the group; of users' own objects only adopted ones.",
    )
    foreign: Annotated[
        list[ObjectRef], Field(max_length=20, json_schema_extra=list_map("kind", "namespace", "name"))
    ] = Field(
        default_factory=list,
        description="Objects with the group's labels that Trimtab did not make; it leaves them alone. Take the labels "
        "off. At most 20 are listed.",
    )


class RenderedGroup(Resource):
    """One group of one ConfigTemplate as it is served: its revisions, users, shards and conditions. Trimtab
    alone writes it."""

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

    kind: Literal["RenderedGroup"] = Field(default="RenderedGroup", description="The object's kind.")
    spec: RenderedGroupSpec = Field(description="Which group of which template it is; cannot be changed.")
    status: RenderedGroupStatus | None = Field(default=None, description="What is served.")
