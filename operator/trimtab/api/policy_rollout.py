"""PolicyRollout: values, enforced values, constraints and flags for groups, and the strategy of their
rollout."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field

from trimtab.api.bounds import (
    ATOMIC,
    SET,
    Count,
    DnsLabel,
    Integer,
    KeyName,
    Limit,
    Regex,
    Scalar,
    SchemaVersion,
    Text,
    Values,
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
from trimtab.api.unsupported import NotSupported


class EnforcedValue(ApiModel):
    """A value that users cannot override."""

    key: KeyName = Field(description="Key to lock.")
    value: Any = Field(
        default=None,
        description="Value of the key. It replaces all lower layers, whatever the key's merge is.",
    )
    reason: Text | None = Field(
        default=None, description="Reason shown to users whose own value is overridden."
    )


class Constraint(ApiModel):
    """A limit on a resolved value. For a list or map, it applies to each item."""

    key: KeyName = Field(description="Key to constrain.")
    minimum: Limit | None = Field(
        default=None, description="Minimum. Write a Duration as text, for example 10s."
    )
    maximum: Limit | None = Field(
        default=None, description="Maximum. Write a Duration as text, for example 1h."
    )
    enum: list[Scalar] | None = Field(
        default=None, max_length=500, description="Allowed values.", json_schema_extra=ATOMIC
    )
    pattern: Regex | None = Field(default=None, description="Regular expression that values must match.")
    not_pattern: Regex | None = Field(
        default=None, description="Regular expression that values must not match."
    )
    max_items: Count | None = Field(default=None, description="Maximum number of items of a list or map.")
    on_violation: Literal["Clamp", "Drop"] = Field(
        default="Clamp",
        description="What happens to a forbidden value. Clamp: it is replaced by the nearest allowed value. Drop: it "
        "is ignored and the next lower layer applies. Defaults to Clamp.",
    )
    reason: Text | None = Field(default=None, description="Reason shown to users whose value is changed.")


class PolicySpec(ApiModel):
    """Values, enforced values, constraints and flags of a policy."""

    values: Values = Field(
        default_factory=dict,
        description="Values by key. They override the group's values; users may override them.",
    )
    enforced: list[EnforcedValue] = Field(
        default_factory=list,
        max_length=500,
        description="Values that users cannot override.",
        json_schema_extra=list_map("key"),
    )
    constraints: list[Constraint] = Field(
        default_factory=list,
        max_length=500,
        description="Limits on resolved values, whichever layer set them.",
        json_schema_extra=list_map("key"),
    )
    flags: Annotated[list[PolicyFlag], NotSupported()] = Field(
        default_factory=list,
        max_length=500,
        description="Changes of the template's flags.",
        json_schema_extra=list_map("name"),
    )


class PolicyRolloutSpec(ApiModel):
    """A policy, the groups that it applies to, and the strategy of its rollout."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            "!(has(self.groups) && has(self.groupSelector))", "groups and groupSelector cannot both be set"
        )
    )
    template_ref: LocalTemplateRef = Field(
        description="ConfigTemplate that the policy applies to, in the same namespace."
    )
    schema_version: SchemaVersion | None = Field(
        default=None,
        description="The schemaVersion of the template that the policy is written for. Defaults to the template's "
        "current one.",
    )
    priority: Integer | None = Field(
        default=None,
        ge=-1_000_000,
        le=1_000_000,
        description="Precedence among policies that set the same key: the highest priority wins; of equal "
        "priorities, the first name in alphabetical order. Defaults to 0.",
    )
    groups: list[DnsLabel] | None = Field(
        default=None,
        max_length=1000,
        description="Groups that the policy applies to. Defaults to all groups.",
        json_schema_extra=SET,
    )
    group_selector: LabelSelector | None = Field(
        default=None,
        description="Selects the groups that the policy applies to by their labels in the template. Defaults to all "
        "groups.",
    )
    policy: PolicySpec = Field(
        default_factory=PolicySpec, description="Values, enforced values, constraints and flags."
    )
    strategy: StrategySpec | None = Field(
        default=None, description="How the policy rolls out. If unset, all groups change in one wave."
    )


class PolicyRolloutStatus(ResourceStatus, RolloutProgress):
    """Observed state of the policy and its rollout."""

    violations: Violations = Field(
        default_factory=list,
        description="Errors in the policy or its strategy. While there are any, no group moves except by a rollback.",
    )
    warnings: Warnings = Field(
        default_factory=list, description="Problems that do not make the policy invalid."
    )


class PolicyRollout(Resource):
    """Values, enforced values, constraints and flags for groups of users, and the strategy of their
    rollout."""

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

    kind: Literal["PolicyRollout"] = Field(default="PolicyRollout", description="Kind of the object.")
    spec: PolicyRolloutSpec = Field(
        description="Policy, the groups that it applies to, and the strategy of its rollout."
    )
    status: PolicyRolloutStatus | None = Field(
        default=None, description="Observed state of the policy and its rollout. Written by the operator."
    )
