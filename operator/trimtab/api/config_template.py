"""ConfigTemplate: what the platform team says of a configuration, its keys, layers, groups and files."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field

from trimtab.api.bounds import (
    Count,
    DnsLabel,
    DnsSubdomain,
    Labels,
    LongText,
    SchemaVersion,
    ShortText,
    Text,
    Values,
    Whole,
    cel,
    list_map,
)
from trimtab.api.flags import FlagSpec
from trimtab.api.key import DeprecatedSpec, ItemsSpec, KeySpec
from trimtab.api.meta import (
    AGE,
    MESSAGE,
    READY,
    REASON,
    ApiModel,
    Column,
    LabelSelector,
    Resource,
    ResourceInfo,
    ResourceStatus,
    Violations,
    Warnings,
)
from trimtab.api.migration import MigrationSpec
from trimtab.api.output import OutputSpec
from trimtab.api.rollout_status import RolloutProgress
from trimtab.api.strategy import StrategySpec
from trimtab.api.support import NotSupported

__all__ = [
    "ConfigTemplate",
    "ConfigTemplateSpec",
    "ConfigTemplateStatus",
    "DeprecatedSpec",
    "GroupSpec",
    "ItemsSpec",
    "KeySpec",
    "OutputSpec",
    "ProfileSpec",
    "RuleSpec",
    "UsersSpec",
    "WorkloadRef",
]

Coercion = Literal["Lossless", "Strict"]
Severity = Literal["Error", "Warning"]
Delivery = Literal["Sharded", "PerUser", "None"]
DeletionPolicy = Literal["Delete", "Retain"]


class RuleSpec(ApiModel):
    """A CEL rule over several resolved values."""

    name: DnsLabel = Field(description="The rule's name, unique in the template; shown where it is broken.")
    expression: LongText = Field(
        description="CEL over the resolved values, nested by the dots: "
        "values.session.minutes <= values.day.minutes."
    )
    message: Text | None = Field(default=None, description="What is wrong when the expression is false.")
    severity: Severity = Field(
        default="Error",
        description="Whether it refuses the values (Error, the default) or only warns (Warning).",
    )


class ProfileSpec(ApiModel):
    """Named values that several groups share."""

    name: DnsLabel = Field(description="The profile's name, unique in the template.")
    values: Values = Field(
        default_factory=dict, description="The profile's values by key: the layer above defaults."
    )


class WorkloadRef(ApiModel):
    """A workload that reads a group's configuration."""

    kind: Literal["Deployment", "StatefulSet", "DaemonSet"] = Field(
        description="The workload's kind: Deployment, StatefulSet or DaemonSet."
    )
    name: DnsSubdomain = Field(description="The workload's name, in the group's target namespace.")


class GroupSpec(ApiModel):
    """A group of users, or of services, that share values and outputs."""

    name: DnsLabel = Field(
        description="The group's name, unique in the template; outputs are <template>-<group>."
    )
    labels: Labels = Field(
        default_factory=dict, description="Labels by which policies and waves select the group."
    )
    profile: DnsLabel | None = Field(
        default=None, description="The profile whose values lie under the group's."
    )
    values: Values = Field(
        default_factory=dict, description="The group's values by key: the layer above its profile."
    )
    max_users: Count | None = Field(
        default=None, description="How many users the group takes; further ones are refused. Unset: no limit."
    )
    preference_namespace_selector: LabelSelector | None = Field(
        default=None,
        description="Which namespaces its UserPreferences may live in. Default: the template's alone.",
    )
    target_namespace: DnsLabel | None = Field(
        default=None,
        description="Where its outputs go. Default: the template's namespace; another one must carry the "
        "annotation trimtab.dev/allow-from: <namespace>[,...].",
    )
    workloads: list[WorkloadRef] = Field(
        default_factory=list,
        max_length=50,
        description="Workloads to restart when a key with reload: Restart changes. One that several groups list "
        "restarts for each of them.",
        json_schema_extra=list_map("kind", "name"),
    )


class UsersSpec(ApiModel):
    """How users get their own documents."""

    delivery: Delivery = Field(
        default="Sharded",
        description="Sharded (default): many users an object, beside the group's; PerUser: one object each, "
        "beside the preference; None: no user documents.",
    )
    history_limit: Whole = Field(
        default=3,
        ge=0,
        le=20,
        description="How many superseded specs of a preference its status keeps. Default 3.",
    )


class ConfigTemplateSpec(ApiModel):
    """What a configuration consists of and who gets which of it."""

    schema_version: SchemaVersion = Field(
        default=1, description="The version of the keys; raised when their meaning changes. Default 1."
    )
    coercion: Coercion = Field(
        default="Lossless",
        description='Lossless (default) takes "0.7" for a Number, with a warning; Strict refuses it.',
    )
    keys: list[KeySpec] = Field(
        default_factory=list,
        max_length=1000,
        description="The keys that exist. Any other key in a value map is an error.",
        json_schema_extra=list_map("name"),
    )
    rules: Annotated[list[RuleSpec], NotSupported()] = Field(
        default_factory=list,
        max_length=200,
        description="Rules over several values, in CEL.",
        json_schema_extra=list_map("name"),
    )
    profiles: list[ProfileSpec] = Field(
        default_factory=list,
        max_length=200,
        description="Named values that groups share.",
        json_schema_extra=list_map("name"),
    )
    groups: list[GroupSpec] = Field(
        default_factory=list,
        max_length=1000,
        description="The groups that outputs are made for.",
        json_schema_extra=list_map("name"),
    )
    outputs: list[OutputSpec] = Field(
        default_factory=list,
        max_length=50,
        description="What is written for each group and for each user.",
        json_schema_extra=list_map("name"),
    )
    users: UsersSpec = Field(default_factory=UsersSpec, description="How users get their own documents.")
    flags: Annotated[list[FlagSpec], NotSupported()] = Field(
        default_factory=list,
        max_length=500,
        description="Feature flags and who gets which variant of them.",
        json_schema_extra=list_map("name"),
    )
    migrations: Annotated[list[MigrationSpec], NotSupported()] = Field(
        default_factory=list,
        max_length=100,
        description="How values of an older schemaVersion become values of the next one.",
        json_schema_extra=list_map("from"),
    )
    strategy: StrategySpec | None = Field(
        default=None, description="How a change of this template rolls out. Unset: all groups at once."
    )
    deletion_policy: DeletionPolicy = Field(
        default="Delete",
        description="What becomes of outputs when the template goes: Delete (default), or Retain: they stay.",
    )
    revision_history_limit: Whole = Field(
        default=10, ge=1, le=100, description="How many revisions of each group are kept. Default 10."
    )


class ConfigTemplateStatus(ResourceStatus, RolloutProgress):
    """What Trimtab makes of the template."""

    violations: Violations = Field(
        default_factory=list,
        description="What is wrong with the template itself; while there is any, nothing changes anywhere.",
    )
    warnings: Warnings = Field(
        default_factory=list, description="What was accepted, but its author should know."
    )
    snapshot: ShortText | None = Field(
        default=None, description="The ControllerRevision that holds the content accepted last."
    )
    groups: Count | None = Field(default=None, description="How many groups are served.")
    users: Count | None = Field(default=None, description="How many users have a preference, valid or not.")
    invalid_users: Count | None = Field(
        default=None, description="How many of them have one that is refused, or whose files are."
    )
    drift: Count | None = Field(default=None, description="How many hand edits of outputs were put back.")


class ConfigTemplate(Resource):
    """Which keys a configuration has, with their types and defaults, which groups share values, and which
    ConfigMaps and Secrets are made of them."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            "size(self.metadata.name) <= 63", "a ConfigTemplate's name has at most 63 characters"
        )
    )
    info: ClassVar[ResourceInfo] = ResourceInfo(
        kind="ConfigTemplate",
        plural="configtemplates",
        singular="configtemplate",
        short_name="ctmpl",
        columns=(
            READY,
            REASON,
            Column("Groups", ".status.groups", "integer"),
            Column("Users", ".status.users", "integer"),
            Column("Invalid", ".status.invalidUsers", "integer"),
            Column("Phase", ".status.phase", wide=True),
            Column("Wave", ".status.wave", wide=True),
            Column("Schema", ".spec.schemaVersion", "integer", wide=True),
            Column("Drift", ".status.drift", "integer", wide=True),
            Column("Snapshot", ".status.snapshot", wide=True),
            MESSAGE,
            AGE,
        ),
    )

    kind: Literal["ConfigTemplate"] = Field(default="ConfigTemplate", description="The object's kind.")
    spec: ConfigTemplateSpec = Field(
        description="What the platform team says: keys, layers, groups and outputs."
    )
    status: ConfigTemplateStatus | None = Field(default=None, description="What Trimtab makes of it.")
