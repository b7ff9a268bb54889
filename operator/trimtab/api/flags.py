"""Feature flags of a template, and changes that a policy makes to them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StrictFloat, StringConstraints

from trimtab.api.bounds import ATOMIC, SET, Boolean, UserName
from trimtab.api.meta import ApiModel

FlagName = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$", max_length=128)
]
Variant = Annotated[str, StringConstraints(min_length=1, max_length=63)]
Percent = Annotated[StrictFloat, Field(ge=0, le=100)]
Shares = Annotated[dict[str, Percent], Field(max_length=50)]


class FlagTarget(ApiModel):
    """Users who get one variant regardless of percentages."""

    users: list[UserName] = Field(
        max_length=1000, description="Users that get the variant.", json_schema_extra=SET
    )
    variant: Variant = Field(description="Name of the variant.")


class FlagSpec(ApiModel):
    """A feature flag: its variants and which users get them."""

    name: FlagName = Field(description="Name of the flag, unique in the template.")
    state: Literal["Enabled", "Disabled"] = Field(
        default="Enabled",
        description="Enabled, or Disabled: all users get the default value in the application's code. Defaults to "
        "Enabled.",
    )
    variants: Annotated[dict[str, Any], Field(max_length=50)] = Field(
        default_factory=dict, description="Values by variant name, all of the same type."
    )
    default_variant: Variant = Field(
        description="Variant for users who are in no target and in no percentage."
    )
    rollout: Shares = Field(
        default_factory=dict,
        description="Percentages of users by variant. All other users get the default variant.",
    )
    targets: list[FlagTarget] = Field(
        default_factory=list,
        max_length=100,
        description="Users who get one variant regardless of percentages. The first entry that lists a user applies.",
        json_schema_extra=ATOMIC,
    )
    user_overridable: Boolean = Field(
        default=False, description="Whether a UserPreference may choose the variant. Defaults to false."
    )


class PolicyFlag(ApiModel):
    """A change of a template's flag by a policy."""

    name: FlagName = Field(description="Name of the template's flag.")
    rollout: Shares = Field(
        default_factory=dict,
        description="Percentages of users by variant. They replace those of the template.",
    )
