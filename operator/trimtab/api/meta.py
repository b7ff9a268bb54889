"""What all kinds share: the base models, and parts that Kubernetes defines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    StringConstraints,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from trimtab.api.bounds import (
    ATOMIC,
    ATOMIC_MAP,
    Generation,
    LabelKey,
    Labels,
    LabelValue,
    StatusName,
    StatusText,
    TemplateName,
    Timestamp,
    list_map,
    truncated,
)

GROUP = "trimtab.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

ApiVersion = Literal["trimtab.dev/v1alpha1"]

UNSUPPORTED = "x-trimtab-not-supported"
"""Marks a schema that this version accepts but does not implement: true, or the values that it does not implement."""


class ApiModel(BaseModel):
    """Base model: camelCase in YAML, snake_case in Python, frozen. As for the API server, null means unset.

    Validation errors do not show the input because it may be confidential.
    """

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        protected_namespaces=(),
        hide_input_in_errors=True,
    )

    unsupported: ClassVar[bool] = False
    """True for a model that this version does not implement; see `trimtab.api.unsupported`."""

    @model_validator(mode="before")
    @classmethod
    def _null_is_unset(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and any(value is None for value in data.values()):
            return {key: value for key, value in data.items() if value is not None}
        return data

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        schema = handler(core_schema)
        if cls.unsupported:
            handler.resolve_ref_schema(schema)[UNSUPPORTED] = True
        return schema

    def to_dict(self) -> dict[str, Any]:
        """The fields that were set, in camelCase."""
        return self.model_dump(by_alias=True, exclude_unset=True)


class StatusModel(ApiModel):
    """A part of a status. Fields of other versions are ignored rather than rejected."""

    model_config = ConfigDict(extra="ignore")

    def to_dict(self) -> dict[str, Any]:
        """The fields that are not null, in camelCase, as the API server stores them."""
        return self.model_dump(by_alias=True, exclude_none=True)


class ObjectMeta(ApiModel):
    """The fields of Kubernetes' ObjectMeta that Trimtab reads."""

    model_config = ConfigDict(extra="ignore")

    name: str = ""
    generate_name: str | None = None
    namespace: str | None = None
    uid: str | None = None
    resource_version: str | None = None
    generation: int | None = None
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    finalizers: list[str] = Field(default_factory=list)
    owner_references: list[dict[str, Any]] = Field(default_factory=list)


@dataclass(frozen=True, slots=True, order=True)
class NamespacedName:
    """Namespace and name of an object."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of `kubectl get`. A wide one is shown only with `-o wide`."""

    name: str
    path: str
    type: str = "string"
    wide: bool = False


READY = Column("Ready", '.status.conditions[?(@.type=="Ready")].status')
REASON = Column("Reason", '.status.conditions[?(@.type=="Ready")].reason')
MESSAGE = Column("Message", '.status.conditions[?(@.type=="Ready")].message', wide=True)
AGE = Column("Age", ".metadata.creationTimestamp", "date")


@dataclass(frozen=True, slots=True)
class ResourceInfo:
    """Names, columns and selectable fields of a kind."""

    kind: str
    plural: str
    singular: str
    short_name: str
    columns: tuple[Column, ...]
    selectable: tuple[str, ...] = ()


class Resource(ApiModel):
    """Base of all kinds. `info` holds the names of the kind and its columns."""

    info: ClassVar[ResourceInfo]

    api_version: ApiVersion = Field(default="trimtab.dev/v1alpha1", description="API group and version.")
    kind: str = Field(description="Kind of the object.")
    metadata: ObjectMeta = Field(default_factory=ObjectMeta, description="Standard object metadata.")
    spec: ApiModel = Field(description="Desired state.")
    status: StatusModel | None = Field(default=None, description="Observed state. Written by the operator.")

    def to_dict(self) -> dict[str, Any]:
        """The manifest: apiVersion, kind and the fields that were set."""
        manifest = {
            "apiVersion": self.api_version,
            "kind": self.kind,
            "metadata": self.metadata.to_dict(),
            "spec": self.spec.to_dict(),
        }
        return manifest if self.status is None else manifest | {"status": self.status.to_dict()}

    @property
    def namespaced_name(self) -> NamespacedName:
        """Namespace and name. The namespace defaults to `default`."""
        return NamespacedName(self.metadata.namespace or "default", self.metadata.name)


class LabelSelectorRequirement(ApiModel):
    """One requirement of a label selector."""

    key: LabelKey = Field(description="Label that the requirement applies to.")
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"] = Field(
        description="Relation of the label to the values: In, NotIn, Exists or DoesNotExist."
    )
    values: list[LabelValue] = Field(
        default_factory=list,
        max_length=100,
        description="Label values. Required for In and NotIn; must be empty for Exists and DoesNotExist.",
        json_schema_extra=ATOMIC,
    )


class LabelSelector(ApiModel):
    """A Kubernetes label selector. All requirements must match. An empty selector matches everything."""

    model_config = ConfigDict(json_schema_extra=ATOMIC_MAP)

    match_labels: Labels = Field(
        default_factory=dict, description="Labels and values that must match exactly."
    )
    match_expressions: list[LabelSelectorRequirement] = Field(
        default_factory=list,
        max_length=20,
        description="Requirements, all of which must match.",
        json_schema_extra=ATOMIC,
    )


class Condition(StatusModel):
    """One condition of an object, like Kubernetes' metav1.Condition."""

    type: Annotated[str, StringConstraints(max_length=316)] = Field(
        description="Type of the condition: Ready, Reconciling or Stalled."
    )
    status: Literal["True", "False", "Unknown"] = Field(
        description="Status of the condition: True, False or Unknown."
    )
    reason: Annotated[str, StringConstraints(max_length=128)] = Field(
        description="Reason in CamelCase, for programs."
    )
    message: Annotated[str, StringConstraints(max_length=32768), truncated(32768)] = Field(
        default="", description="Human-readable message: what is wrong and what to do."
    )
    observed_generation: Generation | None = Field(
        default=None, description="The metadata.generation that the condition was set for."
    )
    last_transition_time: Timestamp = Field(
        description="Time at which the status of the condition last changed."
    )


Conditions = Annotated[list[Condition], Field(max_length=16, json_schema_extra=list_map("type"))]


class Violation(StatusModel):
    """One error in a spec."""

    key: StatusName | None = Field(
        default=None, description="Key whose value is invalid, if the violation concerns one key."
    )
    path: StatusName | None = Field(
        default=None,
        description="Invalid field, for example spec.keys[3].default, if the violation concerns one field.",
    )
    layer: StatusName | None = Field(
        default=None,
        description="Layer that set the value: default, profile, group, policy, user or enforced.",
    )
    rule: StatusName = Field(
        description="Rule that the value violates, for example type, maximum, pattern or unknown, or the name of a "
        "rule of the template."
    )
    message: StatusText = Field(
        description="Human-readable message: what is wrong and what to do. Never shows a sensitive value."
    )
    nearest: Any = Field(default=None, description="Nearest valid value or name, if known.")


Violations = Annotated[list[Violation], Field(max_length=100, json_schema_extra=ATOMIC), truncated(100)]


class StatusWarning(StatusModel):
    """One problem that does not make a spec invalid."""

    key: StatusName | None = Field(
        default=None, description="Key that the warning concerns, if it concerns one key."
    )
    reason: StatusName = Field(description="Reason in CamelCase, for programs.")
    message: StatusText = Field(description="Human-readable message. Never shows a sensitive value.")


Warnings = Annotated[list[StatusWarning], Field(max_length=100, json_schema_extra=ATOMIC), truncated(100)]


class ResourceStatus(StatusModel):
    """Fields that the status of every kind has."""

    observed_generation: Generation | None = Field(
        default=None, description="The metadata.generation that this status describes."
    )
    conditions: Conditions = Field(
        default_factory=list,
        description="Conditions Ready, Reconciling and Stalled, as defined by kstatus.",
    )


class LocalTemplateRef(ApiModel):
    """A ConfigTemplate in the same namespace."""

    name: TemplateName = Field(description="Name of the ConfigTemplate in the namespace of this object.")
