"""UserPreference: one user's own values for some of a template's keys."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field, StringConstraints

from trimtab.api.bounds import (
    ATOMIC,
    WHOLE,
    DnsLabel,
    DnsSubdomain,
    Flag,
    Generation,
    KeyName,
    SchemaVersion,
    TemplateName,
    UserName,
    Values,
    list_map,
)
from trimtab.api.flags import Variant
from trimtab.api.meta import (
    AGE,
    MESSAGE,
    READY,
    REASON,
    ApiModel,
    Column,
    Resource,
    ResourceInfo,
    ResourceStatus,
    StatusModel,
    Violations,
    Warnings,
)
from trimtab.api.support import NotSupported

SecretKey = Annotated[str, StringConstraints(pattern=r"^[-._A-Za-z0-9]+$", max_length=253)]
Sealed = Annotated[str, StringConstraints(max_length=16384)]

_USER = "has({0}.spec.user) ? {0}.spec.user : {0}.metadata.name"


class TemplateRef(ApiModel):
    """A ConfigTemplate, perhaps of another namespace."""

    name: TemplateName = Field(description="The ConfigTemplate's name.")
    namespace: DnsLabel | None = Field(
        default=None,
        description="The ConfigTemplate's namespace. Default: this object's own. Another one must let this "
        "namespace in by the group's preferenceNamespaceSelector.",
    )


class SecretRef(ApiModel):
    """A sensitive value that a Secret of the same namespace holds."""

    key: KeyName = Field(description="The sensitive key that gets the value.")
    name: DnsSubdomain = Field(
        description="The Secret's name, in this namespace; it must carry the annotation "
        "trimtab.dev/allow-template: <template>."
    )
    secret_key: SecretKey = Field(description="The entry of the Secret's data that holds the value.")


class UserPreferenceSpec(ApiModel):
    """Whose preference it is, of which template and group, and what they prefer."""

    template_ref: TemplateRef = Field(description="The ConfigTemplate whose keys are set here.")
    user: UserName | None = Field(
        default=None,
        description="Who it is for; cannot be changed. Default: metadata.name. The oldest preference of a "
        "user holds; a later one of the same user says so and does nothing.",
    )
    group: DnsLabel = Field(
        description="The template's group that the user is in; joining needs the verb join."
    )
    schema_version: SchemaVersion | None = Field(
        default=None,
        description="The template's schemaVersion that the values are written for. Default: its own.",
    )
    values: Values = Field(
        default_factory=dict,
        description="The user's values by key. A sensitive key in clear is refused here.",
    )
    sealed_values: Annotated[dict[str, Sealed], Field(max_length=200), NotSupported()] = Field(
        default_factory=dict, description="Sensitive values by key, as `trimtab seal` prints them."
    )
    secret_refs: Annotated[list[SecretRef], NotSupported()] = Field(
        default_factory=list,
        max_length=200,
        description="Sensitive values that Secrets of this namespace hold.",
        json_schema_extra=list_map("key"),
    )
    flags: Annotated[dict[str, Variant], Field(max_length=500), NotSupported()] = Field(
        default_factory=dict, description="Variants that the user chooses, of flags that are userOverridable."
    )
    suspend: Flag = Field(
        default=False, description="True keeps what is rendered and takes no changes. Default false."
    )


class AcceptedPreference(StatusModel):
    """What was accepted last and so is in force. It holds no sensitive value in clear."""

    model_config = ConfigDict(json_schema_extra=WHOLE)

    generation: Generation = Field(description="The metadata.generation that was accepted.")
    group: DnsLabel | None = Field(default=None, description="The group that the user is served in.")
    schema_version: SchemaVersion | None = Field(
        default=None, description="The schemaVersion that the values are written for."
    )
    values: Values = Field(default_factory=dict, description="The values that are in force, by key.")


class PreferenceHistoryEntry(StatusModel):
    """A spec that was accepted once and then superseded."""

    generation: Generation = Field(description="The metadata.generation that it was.")
    schema_version: SchemaVersion | None = Field(
        default=None, description="The schemaVersion that the values were written for."
    )
    values: Values = Field(default_factory=dict, description="The values that were in force, by key.")


class UserPreferenceStatus(ResourceStatus):
    """The verdict on the preference; it never changes with a revision alone."""

    violations: Violations = Field(
        default_factory=list,
        description="Why it is not valid: key, layer, rule, message and the nearest valid value.",
    )
    warnings: Warnings = Field(
        default_factory=list,
        description="What was accepted, but the user should know: a clamp, a coercion, a deprecated key.",
    )
    accepted: AcceptedPreference | None = Field(
        default=None,
        description="What was accepted and written last; it stays in force while the spec is refused.",
    )
    history: list[PreferenceHistoryEntry] = Field(
        default_factory=list,
        max_length=20,
        description="What was accepted before, newest first, up to the template's users.historyLimit.",
        json_schema_extra=ATOMIC,
    )


class UserPreference(Resource):
    """One user's own values for some keys of a ConfigTemplate."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                {
                    "rule": f"({_USER.format('self')}) == ({_USER.format('oldSelf')})",
                    "message": "spec.user (default: metadata.name) cannot be changed",
                },
                {
                    "rule": "has(self.spec.user) || self.metadata.name.matches('^[a-z0-9-]{1,63}$')",
                    "message": "metadata.name is no user name ([A-Za-z0-9_-]{1,63}), so spec.user is needed",
                },
            ]
        }
    )
    info: ClassVar[ResourceInfo] = ResourceInfo(
        kind="UserPreference",
        plural="userpreferences",
        singular="userpreference",
        short_name="upref",
        columns=(
            Column("Template", ".spec.templateRef.name"),
            Column("Group", ".spec.group"),
            READY,
            REASON,
            Column("User", ".spec.user", wide=True),
            Column("Suspended", ".spec.suspend", "boolean", wide=True),
            MESSAGE,
            AGE,
        ),
        selectable=(".spec.templateRef.name", ".spec.group", ".spec.user"),
    )

    kind: Literal["UserPreference"] = Field(default="UserPreference", description="The object's kind.")
    spec: UserPreferenceSpec = Field(description="What the user prefers.")
    status: UserPreferenceStatus | None = Field(default=None, description="The verdict on it.")

    @property
    def user(self) -> str:
        """Who it is for."""
        return self.spec.user or self.metadata.name
