"""Types with bounds, and markers for how server-side apply merges a list or map.

The API server and the models enforce the same bounds. `trimtab.crd` rejects a type without one.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StringConstraints,
    WithJsonSchema,
)

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SEGMENT = r"[A-Za-z][A-Za-z0-9_]*"
_KEY = rf"{_SEGMENT}(\.{_SEGMENT})*"

DnsLabel = Annotated[str, StringConstraints(min_length=1, max_length=63, pattern=rf"^{_LABEL}$")]
DnsSubdomain = Annotated[
    str, StringConstraints(min_length=1, max_length=253, pattern=rf"^{_LABEL}(\.{_LABEL})*$")
]
TemplateName = Annotated[
    str, StringConstraints(min_length=1, max_length=63, pattern=rf"^{_LABEL}(\.{_LABEL})*$")
]
KeyName = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=rf"^{_KEY}$")]
KeyPattern = Annotated[str, StringConstraints(min_length=1, max_length=130, pattern=rf"^(\*|{_KEY}(\.\*)?)$")]
UserName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,63}$", max_length=63)]
FileName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=128)]
EnvPrefix = Annotated[str, StringConstraints(pattern=r"^([A-Za-z_][A-Za-z0-9_]*)?$", max_length=64)]
Duration = Annotated[
    str, StringConstraints(pattern=r"^(0|([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+)$", max_length=32)
]
LabelValue = Annotated[
    str, StringConstraints(pattern=r"^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$", max_length=63)
]
LabelKey = Annotated[str, StringConstraints(min_length=1, max_length=317)]
ShortText = Annotated[str, StringConstraints(max_length=256)]
Text = Annotated[str, StringConstraints(max_length=1024)]
LongText = Annotated[str, StringConstraints(max_length=4096)]
Regex = Annotated[str, StringConstraints(max_length=1024)]
Timestamp = Annotated[str, Field(max_length=40, json_schema_extra={"format": "date-time"})]
Integer = StrictInt
Boolean = StrictBool
Generation = Annotated[Integer, Field(ge=0, json_schema_extra={"format": "int64"})]
Count = Annotated[Integer, Field(ge=0, json_schema_extra={"format": "int32"})]
SchemaVersion = Annotated[Integer, Field(ge=1, le=1_000_000, json_schema_extra={"format": "int32"})]


def truncated(length: int) -> BeforeValidator:
    """Truncates text or a list before validation, so that a status is never too long for the CRD."""
    return BeforeValidator(lambda value: value[:length] if isinstance(value, str | list) else value)


# Text in a status is truncated rather than rejected.
StatusName = Annotated[str, StringConstraints(max_length=256), truncated(256)]
StatusText = Annotated[str, StringConstraints(max_length=1024), truncated(1024)]

PRESERVE: dict[str, Any] = {"x-kubernetes-preserve-unknown-fields": True}

Number = Annotated[StrictInt | StrictFloat, WithJsonSchema({"type": "number"})]
Scalar = Annotated[
    StrictBool | StrictInt | StrictFloat | LongText, WithJsonSchema(PRESERVE | {"maxLength": 4096})
]
Limit = Annotated[
    StrictInt | StrictFloat | Annotated[str, StringConstraints(max_length=32)],
    WithJsonSchema(PRESERVE | {"maxLength": 32}),
]


def _without_nulls(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


# The API server drops nulls from such a map; this does the same offline.
Values = Annotated[dict[str, Any], Field(max_length=1000), AfterValidator(_without_nulls)]
Labels = Annotated[dict[str, LabelValue], Field(max_length=64)]

ATOMIC: dict[str, Any] = {"x-kubernetes-list-type": "atomic"}
SET: dict[str, Any] = {"x-kubernetes-list-type": "set"}
ATOMIC_MAP: dict[str, Any] = {"x-kubernetes-map-type": "atomic"}


def list_map(*keys: str) -> dict[str, Any]:
    """A list with these fields as its merge key, so that two appliers can own different entries."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)}


def cel(rule: str, message: str) -> dict[str, Any]:
    """`json_schema_extra` for a model that the API server validates with this CEL rule."""
    return {"x-kubernetes-validations": [{"rule": rule, "message": message}]}
