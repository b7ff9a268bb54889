"""What every kind shares: the base models, and the parts that Kubernetes itself defines."""

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
    WHOLE,
    Generation,
    LabelKey,
    Labels,
    LabelValue,
    SaidName,
    SaidText,
    TemplateName,
    Timestamp,
    clipped,
    list_map,
)

GROUP = "trimtab.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

ApiVersion = Literal["trimtab.dev/v1alpha1"]

UNSUPPORTED = "x-trimtab-not-supported"
"""Marks a schema that this version reads but does not build: true, or the values that are not."""


class ApiModel(BaseModel):
    """camelCase outside, snake_case inside, frozen; a null is an unset field, as it is for the API server.

    Errors do not show what was written: it may be secret.
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
    """True on a model that this version reads but does not build; see `trimtab.api.support`."""

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
        """As written: camelCase, and only what was set."""
        return self.model_dump(by_alias=True, exclude_unset=True)


class StatusModel(ApiModel):
    """What Trimtab writes. Fields of another version are ignored rather than refused."""

    model_config = ConfigDict(extra="ignore")

    def to_dict(self) -> dict[str, Any]:
        """As the API server keeps it: camelCase, without what is unset."""
        return self.model_dump(by_alias=True, exclude_none=True)


class ObjectMeta(ApiModel):
    """The part of Kubernetes' ObjectMeta that Trimtab reads."""

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
    """Where an object is."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of `kubectl get`; a wide one shows with `-o wide` alone."""

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
    """How the API server names, lists and selects a kind."""

    kind: str
    plural: str
    singular: str
    short_name: str
    columns: tuple[Column, ...]
    selectable: tuple[str, ...] = ()


class Resource(ApiModel):
    """Any object of Trimtab's: `info` says how the API server serves its kind."""

    info: ClassVar[ResourceInfo]

    api_version: ApiVersion = Field(
        default="trimtab.dev/v1alpha1", description="The API's group and version."
    )
    kind: str = Field(description="The object's kind.")
    metadata: ObjectMeta = Field(default_factory=ObjectMeta, description="Kubernetes' own object metadata.")
    spec: ApiModel = Field(description="What is wanted.")
    status: StatusModel | None = Field(default=None, description="What Trimtab makes of it.")

    def to_dict(self) -> dict[str, Any]:
        """The object as YAML: only what was set, and its kind."""
        manifest = {
            "apiVersion": self.api_version,
            "kind": self.kind,
            "metadata": self.metadata.to_dict(),
            "spec": self.spec.to_dict(),
        }
        return manifest if self.status is None else manifest | {"status": self.status.to_dict()}

    @property
    def namespaced_name(self) -> NamespacedName:
        """Its place; an object read without a namespace counts as one of `default`."""
        return NamespacedName(self.metadata.namespace or "default", self.metadata.name)


class LabelSelectorRequirement(ApiModel):
    """One requirement of a label selector."""

    key: LabelKey = Field(description="The label that the requirement is about.")
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"] = Field(
        description="How the label relates to the values: In, NotIn, Exists or DoesNotExist."
    )
    values: list[LabelValue] = Field(
        default_factory=list,
        max_length=100,
        description="The label's values: some for In and NotIn, none for Exists and DoesNotExist.",
        json_schema_extra=ATOMIC,
    )


class LabelSelector(ApiModel):
    """Kubernetes' label selector: all of its requirements must hold; an empty one selects everything."""

    model_config = ConfigDict(json_schema_extra=WHOLE)

    match_labels: Labels = Field(
        default_factory=dict, description="Labels that must be there with exactly these values."
    )
    match_expressions: list[LabelSelectorRequirement] = Field(
        default_factory=list,
        max_length=20,
        description="Requirements that must all hold.",
        json_schema_extra=ATOMIC,
    )


class Condition(StatusModel):
    """One observation of an object's state, as in Kubernetes' metav1.Condition."""

    type: Annotated[str, StringConstraints(max_length=316)] = Field(
        description="What is observed: Ready, Reconciling or Stalled."
    )
    status: Literal["True", "False", "Unknown"] = Field(
        description="Whether it holds: True, False or Unknown."
    )
    reason: Annotated[str, StringConstraints(max_length=128)] = Field(
        description="Why, in one CamelCase word that programs may rely on."
    )
    message: Annotated[str, StringConstraints(max_length=32768), clipped(32768)] = Field(
        default="", description="Why, for people, with what to do about it."
    )
    observed_generation: Generation | None = Field(
        default=None, description="The metadata.generation that this was observed on."
    )
    last_transition_time: Timestamp = Field(
        description="When the status last changed from one value to another."
    )


Conditions = Annotated[list[Condition], Field(max_length=16, json_schema_extra=list_map("type"))]


class Violation(StatusModel):
    """One thing that is wrong with what was written."""

    key: SaidName | None = Field(
        default=None, description="The key whose value is wrong, if it is about one."
    )
    path: SaidName | None = Field(
        default=None, description="The field that is wrong, as spec.keys[3].default, if it is about one."
    )
    layer: SaidName | None = Field(
        default=None,
        description="The layer that set the value: default, profile, group, policy, user or enforced.",
    )
    rule: SaidName = Field(
        description="The rule that is broken: type, maximum, pattern, unknown or a rule's name."
    )
    message: SaidText = Field(description="What is wrong, for people. Never shows a sensitive value.")
    nearest: Any = Field(
        default=None, description="The nearest value or name that would be valid, if one is known."
    )


Violations = Annotated[list[Violation], Field(max_length=100, json_schema_extra=ATOMIC), clipped(100)]


class StatusWarning(StatusModel):
    """Something that was accepted, but that its author should know."""

    key: SaidName | None = Field(
        default=None, description="The key that the warning is about, if it is about one."
    )
    reason: SaidName = Field(description="Why, in one CamelCase word that programs may rely on.")
    message: SaidText = Field(description="What to know, for people. Never shows a sensitive value.")


Warnings = Annotated[list[StatusWarning], Field(max_length=100, json_schema_extra=ATOMIC), clipped(100)]


class ResourceStatus(StatusModel):
    """What the status of every kind says."""

    observed_generation: Generation | None = Field(
        default=None, description="The metadata.generation that this status is about."
    )
    conditions: Conditions = Field(
        default_factory=list,
        description="Ready, Reconciling and Stalled, as kstatus and `kubectl wait` understand them.",
    )


class LocalTemplateRef(ApiModel):
    """A ConfigTemplate of the same namespace."""

    name: TemplateName = Field(description="The ConfigTemplate's name, in this object's namespace.")
