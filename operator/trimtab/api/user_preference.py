"""UserPreference: one user's own values for keys of a template."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field, StringConstraints

from trimtab.api.bounds import (
    ATOMIC,
    ATOMIC_MAP,
    Boolean,
    DnsLabel,
    DnsSubdomain,
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
from trimtab.api.unsupported import NotSupported

SecretKey = Annotated[str, StringConstraints(pattern=r"^[-._A-Za-z0-9]+$", max_length=253)]
Sealed = Annotated[str, StringConstraints(max_length=16384)]

_USER = "has({0}.spec.user) ? {0}.spec.user : {0}.metadata.name"


class TemplateRef(ApiModel):
    """A ConfigTemplate in the same or another namespace."""

    name: TemplateName = Field(description="Name of the ConfigTemplate.")
    namespace: DnsLabel | None = Field(
        default=None,
        description="Namespace of the ConfigTemplate. Defaults to the namespace of this object. For another "
        "namespace, the group's preferenceNamespaceSelector must select the namespace of this object.",
    )


class SecretRef(ApiModel):
    """A sensitive value in a Secret in the same namespace."""

    key: KeyName = Field(description="Sensitive key to set.")
    name: DnsSubdomain = Field(
        description="Name of the Secret in this namespace. The Secret must have the annotation "
        "trimtab.dev/allow-template: <template>."
    )
    secret_key: SecretKey = Field(description="Key in the Secret's data that holds the value.")


class UserPreferenceSpec(ApiModel):
    """The template, the user, the group and the user's values."""

    template_ref: TemplateRef = Field(description="ConfigTemplate whose keys are set.")
    user: UserName | None = Field(
        default=None,
        description="Name of the user. Immutable. Defaults to metadata.name. If several preferences have the same "
        "user, the oldest one applies and the others get the reason UserTaken.",
    )
    group: DnsLabel = Field(
        description="Group of the user in the template. Setting it requires the RBAC verb join on the group's "
        "RenderedGroup."
    )
    schema_version: SchemaVersion | None = Field(
        default=None,
        description="The schemaVersion of the template that the values are written for. Defaults to the template's "
        "current one.",
    )
    values: Values = Field(
        default_factory=dict,
        description="The user's values by key. Values of sensitive keys are rejected.",
    )
    sealed_values: Annotated[dict[str, Sealed], Field(max_length=200), NotSupported()] = Field(
        default_factory=dict, description="Encrypted values of sensitive keys, as printed by `trimtab seal`."
    )
    secret_refs: Annotated[list[SecretRef], NotSupported()] = Field(
        default_factory=list,
        max_length=200,
        description="Values of sensitive keys, read from Secrets in this namespace.",
        json_schema_extra=list_map("key"),
    )
    flags: Annotated[dict[str, Variant], Field(max_length=500), NotSupported()] = Field(
        default_factory=dict,
        description="Variants that the user chooses, by flag. Only flags with userOverridable are allowed.",
    )
    suspend: Boolean = Field(
        default=False,
        description="If true, the user's files stay unchanged and changes of the preference are not applied. "
        "Defaults to false.",
    )


class AcceptedPreference(StatusModel):
    """The accepted values, which are in force. Contains no sensitive values."""

    model_config = ConfigDict(json_schema_extra=ATOMIC_MAP)

    generation: Generation = Field(description="The metadata.generation that was accepted.")
    group: DnsLabel | None = Field(default=None, description="Group of the user.")
    schema_version: SchemaVersion | None = Field(
        default=None, description="The schemaVersion that the values are written for."
    )
    values: Values = Field(default_factory=dict, description="Values in force, by key.")


class PreferenceHistoryEntry(StatusModel):
    """An earlier accepted spec."""

    generation: Generation = Field(description="The metadata.generation of that spec.")
    schema_version: SchemaVersion | None = Field(
        default=None, description="The schemaVersion that the values were written for."
    )
    values: Values = Field(default_factory=dict, description="Values by key.")


class UserPreferenceStatus(ResourceStatus):
    """Observed state of the preference. It changes with the preference, not with every revision."""

    violations: Violations = Field(
        default_factory=list,
        description="Errors in the preference: key, layer, rule, message and the nearest valid value.",
    )
    warnings: Warnings = Field(
        default_factory=list,
        description="Problems that do not make the preference invalid: a clamped or converted value, a deprecated "
        "key.",
    )
    accepted: AcceptedPreference | None = Field(
        default=None,
        description="Spec that was accepted and written last. It stays in force while a newer spec is invalid.",
    )
    history: list[PreferenceHistoryEntry] = Field(
        default_factory=list,
        max_length=20,
        description="Earlier accepted specs, newest first, up to the template's users.historyLimit.",
        json_schema_extra=ATOMIC,
    )


class UserPreference(Resource):
    """One user's own values for keys of a ConfigTemplate."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                {
                    "rule": f"({_USER.format('self')}) == ({_USER.format('oldSelf')})",
                    "message": "spec.user (default: metadata.name) is immutable",
                },
                {
                    "rule": "has(self.spec.user) || self.metadata.name.matches('^[a-z0-9-]{1,63}$')",
                    "message": "metadata.name is not a valid user name ([A-Za-z0-9_-]{1,63}); set spec.user",
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

    kind: Literal["UserPreference"] = Field(default="UserPreference", description="Kind of the object.")
    spec: UserPreferenceSpec = Field(description="Template, user, group and values.")
    status: UserPreferenceStatus | None = Field(
        default=None, description="Observed state of the preference. Written by the operator."
    )

    @property
    def user(self) -> str:
        """Name of the user."""
        return self.spec.user or self.metadata.name
