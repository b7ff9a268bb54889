"""PolicyRollout: values, locks, constraints and flags for groups, and how carefully they roll out."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field

from trimtab.api.bounds import (
    ATOMIC,
    SET,
    Count,
    DnsLabel,
    KeyName,
    Limit,
    Regex,
    Scalar,
    SchemaVersion,
    Text,
    Values,
    Whole,
    cel,
    list_map,
)
from trimtab.api.flags import PolicyFlag
from trimtab.api.meta import (
    AGE,
    READY,
    ApiModel,
    Column,
    LabelSelector,
    LocalTemplateRef,
    Resource,
    ResourceInfo,
    ResourceStatus,
    Violations,
    Warnings,
)
from trimtab.api.rollout_status import RolloutProgress
from trimtab.api.strategy import StrategySpec
from trimtab.api.support import NotSupported


class EnforcedValue(ApiModel):
    """A value that lies over the user's own."""

    key: KeyName = Field(description="The key that is locked.")
    value: Any = Field(
        default=None, description="Its value; it replaces any other, whatever the key's merge says."
    )
    reason: Text | None = Field(default=None, description="Why, shown to every user whose value it hides.")


class Constraint(ApiModel):
    """What values must satisfy after resolution; for lists and maps it is about each item."""

    key: KeyName = Field(description="The key that is constrained.")
    minimum: Limit | None = Field(default=None, description="The least value; for a Duration as text: 10s.")
    maximum: Limit | None = Field(default=None, description="The greatest value; for a Duration as text: 1h.")
    enum: list[Scalar] | None = Field(
        default=None, max_length=500, description="The only values it may have.", json_schema_extra=ATOMIC
    )
    pattern: Regex | None = Field(default=None, description="A regular expression that values must match.")
    not_pattern: Regex | None = Field(
        default=None, description="A regular expression that values may not match."
    )
    max_items: Count | None = Field(
        default=None, description="The greatest number of items of a list or map."
    )
    on_violation: Literal["Clamp", "Drop"] = Field(
        default="Clamp", description="Clamp (default) to the nearest valid value, or Drop the value."
    )
    reason: Text | None = Field(default=None, description="Why, shown to every user whose value it changes.")


class PolicySpec(ApiModel):
    """What the policy says."""

    values: Values = Field(
        default_factory=dict, description="Values by key, over the group's and under the user's."
    )
    enforced: list[EnforcedValue] = Field(
        default_factory=list,
        max_length=500,
        description="Values that nobody can change: the layer over the user's.",
        json_schema_extra=list_map("key"),
    )
    constraints: list[Constraint] = Field(
        default_factory=list,
        max_length=500,
        description="What values must satisfy after resolution, whoever set them.",
        json_schema_extra=list_map("key"),
    )
    flags: Annotated[list[PolicyFlag], NotSupported()] = Field(
        default_factory=list,
        max_length=500,
        description="What changes of the template's flags.",
        json_schema_extra=list_map("name"),
    )


class PolicyRolloutSpec(ApiModel):
    """A policy, whom it is for, and how it gets there."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            "!(has(self.groups) && has(self.groupSelector))", "say groups or groupSelector, not both"
        )
    )
    template_ref: LocalTemplateRef = Field(description="The ConfigTemplate that it is a policy for.")
    schema_version: SchemaVersion | None = Field(
        default=None, description="The template's schemaVersion that it is written for. Default: its own."
    )
    priority: Whole | None = Field(
        default=None,
        ge=-1_000_000,
        le=1_000_000,
        description="Which policy wins where two say something: the higher one, and of equals the first by name. "
        "Default 0.",
    )
    groups: list[DnsLabel] | None = Field(
        default=None,
        max_length=1000,
        description="The groups that it is for. Default: every group.",
        json_schema_extra=SET,
    )
    group_selector: LabelSelector | None = Field(
        default=None, description="Selects the groups that it is for by their labels. Default: every group."
    )
    policy: PolicySpec = Field(default_factory=PolicySpec, description="What it says.")
    strategy: StrategySpec | None = Field(
        default=None, description="How it rolls out. Unset: all groups at once."
    )


class PolicyRolloutStatus(ResourceStatus, RolloutProgress):
    """How far the rollout is, and what is wrong with the policy."""

    violations: Violations = Field(
        default_factory=list,
        description="What is wrong with the policy or its strategy; while there is any, nothing moves.",
    )
    warnings: Warnings = Field(
        default_factory=list, description="What was accepted, but its author should know."
    )


class PolicyRollout(Resource):
    """Values, locks, constraints and flags for groups of users, and how carefully to roll them out."""

    info: ClassVar[ResourceInfo] = ResourceInfo(
        kind="PolicyRollout",
        plural="policyrollouts",
        singular="policyrollout",
        short_name="prollout",
        columns=(
            Column("Template", ".spec.templateRef.name"),
            Column("Phase", ".status.phase"),
            Column("Wave", ".status.wave"),
            Column("Updated", ".status.updated"),
            READY,
            Column("Stable", ".status.stable.snapshot", wide=True),
            Column("Target", ".status.target.snapshot", wide=True),
            Column("Priority", ".spec.priority", "integer", wide=True),
            Column("Paused", ".spec.strategy.paused", "boolean", wide=True),
            Column("Message", ".status.message", wide=True),
            AGE,
        ),
        selectable=(".spec.templateRef.name",),
    )

    kind: Literal["PolicyRollout"] = Field(default="PolicyRollout", description="The object's kind.")
    spec: PolicyRolloutSpec = Field(description="The policy, whom it is for, and how it gets there.")
    status: PolicyRolloutStatus | None = Field(default=None, description="How far it is.")
