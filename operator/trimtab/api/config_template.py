"""ConfigTemplate: the keys, layers, groups and outputs of a configuration, written by the platform team."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field

from trimtab.api.bounds import (
    Count,
    DnsLabel,
    DnsSubdomain,
    Integer,
    Labels,
    LongText,
    SchemaVersion,
    ShortText,
    Text,
    Values,
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
from trimtab.api.unsupported import NotSupported

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

    name: DnsLabel = Field(
        description="Name of the rule, unique in the template. Violations of the rule show it."
    )
    expression: LongText = Field(
        description="CEL expression over the resolved values, nested by the dots of the key names, for example "
        "values.session.minutes <= values.day.minutes."
    )
    message: Text | None = Field(default=None, description="Message shown when the expression is false.")
    severity: Severity = Field(
        default="Error",
        description="Whether a violation rejects the values (Error) or only adds a warning (Warning). Defaults to "
        "Error.",
    )


class ProfileSpec(ApiModel):
    """Named values that several groups share."""

    name: DnsLabel = Field(description="Name of the profile, unique in the template.")
    values: Values = Field(
        default_factory=dict, description="Values by key. They override the keys' defaults."
    )


class WorkloadRef(ApiModel):
    """A workload that reads a group's configuration."""

    kind: Literal["Deployment", "StatefulSet", "DaemonSet"] = Field(
        description="Kind of the workload: Deployment, StatefulSet or DaemonSet."
    )
    name: DnsSubdomain = Field(description="Name of the workload in the group's target namespace.")


class GroupSpec(ApiModel):
    """A group of users and workloads that share values and outputs."""

    name: DnsLabel = Field(
        description="Name of the group, unique in the template. The group's objects are named <template>-<group>."
    )
    labels: Labels = Field(
        default_factory=dict, description="Labels by which policies and waves select the group."
    )
    profile: DnsLabel | None = Field(
        default=None,
        description="Name of the profile that the group uses. The group's own values override it.",
    )
    values: Values = Field(
        default_factory=dict, description="Values by key. They override the values of the profile."
    )
    max_users: Count | None = Field(
        default=None,
        description="Maximum number of users. The oldest preferences take precedence; the others get the reason "
        "GroupFull. Unlimited if unset.",
    )
    preference_namespace_selector: LabelSelector | None = Field(
        default=None,
        description="Selects the namespaces whose UserPreferences may use the group. Defaults to the template's "
        "namespace only.",
    )
    target_namespace: DnsLabel | None = Field(
        default=None,
        description="Namespace of the group's outputs. Defaults to the template's namespace. Another namespace must "
        "allow it with the annotation trimtab.dev/allow-from: <namespace>[,...].",
    )
    workloads: list[WorkloadRef] = Field(
        default_factory=list,
        max_length=50,
        description="Workloads that the operator restarts when the value of a key with reload: Restart changes. A "
        "workload that several groups list restarts for each of them.",
        json_schema_extra=list_map("kind", "name"),
    )


class UsersSpec(ApiModel):
    """How user documents are delivered and how much preference history is kept."""

    delivery: Delivery = Field(
        default="Sharded",
        description="Where user documents are written. Sharded: objects that many users share, in the group's target "
        "namespace. PerUser: one object per user, in the namespace of the preference. None: no user "
        "documents. Defaults to Sharded.",
    )
    history_limit: Integer = Field(
        default=3,
        ge=0,
        le=20,
        description="Number of earlier specs that the status of a preference keeps. Defaults to 3.",
    )


class ConfigTemplateSpec(ApiModel):
    """The keys, layers, groups and outputs of a configuration."""

    schema_version: SchemaVersion = Field(
        default=1,
        description="Version of the keys. Increase it when the meaning of keys changes. Defaults to 1.",
    )
    coercion: Coercion = Field(
        default="Lossless",
        description="Whether a value of another type is converted if nothing is lost (Lossless, with a warning; for "
        'example "0.7" to the Number 0.7) or rejected (Strict). Defaults to Lossless.',
    )
    keys: list[KeySpec] = Field(
        default_factory=list,
        max_length=1000,
        description="Keys of the configuration. A value of any other key is a violation.",
        json_schema_extra=list_map("name"),
    )
    rules: Annotated[list[RuleSpec], NotSupported()] = Field(
        default_factory=list,
        max_length=200,
        description="CEL rules over several values.",
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
        description="Groups for which outputs are rendered.",
        json_schema_extra=list_map("name"),
    )
    outputs: list[OutputSpec] = Field(
        default_factory=list,
        max_length=50,
        description="Files and environment variables to render for each group and for each user.",
        json_schema_extra=list_map("name"),
    )
    users: UsersSpec = Field(
        default_factory=UsersSpec,
        description="How user documents are delivered and how much preference history is kept.",
    )
    flags: Annotated[list[FlagSpec], NotSupported()] = Field(
        default_factory=list,
        max_length=500,
        description="Feature flags, with the users who get each variant.",
        json_schema_extra=list_map("name"),
    )
    migrations: Annotated[list[MigrationSpec], NotSupported()] = Field(
        default_factory=list,
        max_length=100,
        description="Steps that convert values of an older schemaVersion to the next one.",
        json_schema_extra=list_map("from"),
    )
    strategy: StrategySpec | None = Field(
        default=None,
        description="How a change of the template rolls out. If unset, all groups change immediately.",
    )
    deletion_policy: DeletionPolicy = Field(
        default="Delete",
        description="Whether the outputs are deleted with the template (Delete) or kept without Trimtab's labels "
        "(Retain). Defaults to Delete.",
    )
    revision_history_limit: Integer = Field(
        default=10, ge=1, le=100, description="Number of revisions to keep for each group. Defaults to 10."
    )


class ConfigTemplateStatus(ResourceStatus, RolloutProgress):
    """Observed state of the template."""

    violations: Violations = Field(
        default_factory=list,
        description="Errors in the template. While there are any, the operator keeps the previous content in use.",
    )
    warnings: Warnings = Field(
        default_factory=list, description="Problems that do not make the template invalid."
    )
    snapshot: ShortText | None = Field(
        default=None, description="ControllerRevision that holds the content accepted last."
    )
    groups: Count | None = Field(default=None, description="Number of groups that are rendered.")
    users: Count | None = Field(default=None, description="Number of users with a preference, valid or not.")
    invalid_users: Count | None = Field(
        default=None,
        description="Number of users whose preference is rejected or whose files the API server refused.",
    )
    drift: Count | None = Field(
        default=None, description="Number of changes of outputs by other clients that the operator reverted."
    )


class ConfigTemplate(Resource):
    """Keys of a configuration with their types, limits and defaults, the groups that share values, and the
    ConfigMaps and Secrets that are rendered from them."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            "size(self.metadata.name) <= 63", "the name of a ConfigTemplate must have at most 63 characters"
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

    kind: Literal["ConfigTemplate"] = Field(default="ConfigTemplate", description="Kind of the object.")
    spec: ConfigTemplateSpec = Field(description="Keys, layers, groups and outputs of the configuration.")
    status: ConfigTemplateStatus | None = Field(
        default=None, description="Observed state of the template. Written by the operator."
    )
