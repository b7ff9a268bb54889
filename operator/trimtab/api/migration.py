"""How values written for one schemaVersion become values of the next."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from trimtab.api.bounds import ATOMIC, KeyName, LongText, SchemaVersion
from trimtab.api.meta import ApiModel


class RenameStep(ApiModel):
    """Moves a value from one key to another."""

    from_key: KeyName = Field(alias="from", description="The key's old name.")
    to_key: KeyName = Field(alias="to", description="The key's new name.")


class SetStep(ApiModel):
    """Computes a value from the others."""

    key: KeyName = Field(description="The key that gets the value.")
    expression: LongText = Field(description="CEL over the old values: values.session.hours * 60.")


class MigrationStep(ApiModel):
    """One step: exactly one of rename, set and drop."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1, "maxProperties": 1})

    rename: RenameStep | None = Field(default=None, description="Move a value to another key.")
    set: SetStep | None = Field(default=None, description="Compute a value from the others.")
    drop: KeyName | None = Field(default=None, description="Forget the value of this key.")


class MigrationSpec(ApiModel):
    """The steps from one schemaVersion to the next."""

    from_version: SchemaVersion = Field(
        alias="from", description="The schemaVersion that the steps start from; they lead to the next one."
    )
    steps: list[MigrationStep] = Field(
        default_factory=list,
        max_length=200,
        description="What is done to the values, in this order.",
        json_schema_extra=ATOMIC,
    )
