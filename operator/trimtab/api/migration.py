"""Steps that convert values of one schemaVersion to the next."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from trimtab.api.bounds import ATOMIC, KeyName, LongText, SchemaVersion
from trimtab.api.meta import ApiModel


class RenameStep(ApiModel):
    """Moves a value to another key."""

    from_key: KeyName = Field(alias="from", description="Old name of the key.")
    to_key: KeyName = Field(alias="to", description="New name of the key.")


class SetStep(ApiModel):
    """Computes a value from other values."""

    key: KeyName = Field(description="Key to set.")
    expression: LongText = Field(
        description="CEL expression over the old values, for example values.session.hours * 60."
    )


class MigrationStep(ApiModel):
    """One step: exactly one of rename, set and drop."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1, "maxProperties": 1})

    rename: RenameStep | None = Field(default=None, description="Moves a value to another key.")
    set: SetStep | None = Field(default=None, description="Computes a value from other values.")
    drop: KeyName | None = Field(default=None, description="Key whose value is deleted.")


class MigrationSpec(ApiModel):
    """Steps from one schemaVersion to the next."""

    from_version: SchemaVersion = Field(
        alias="from",
        description="The schemaVersion that the steps convert from. They convert to the next version.",
    )
    steps: list[MigrationStep] = Field(
        default_factory=list,
        max_length=200,
        description="Steps, executed in this order.",
        json_schema_extra=ATOMIC,
    )
