"""Feature flags of a template, and what a policy says of them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StrictFloat, StringConstraints

from trimtab.api.bounds import ATOMIC, SET, Flag, UserName
from trimtab.api.meta import ApiModel

FlagName = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$", max_length=128)
]
Variant = Annotated[str, StringConstraints(min_length=1, max_length=63)]
Percent = Annotated[StrictFloat, Field(ge=0, le=100)]
Shares = Annotated[dict[str, Percent], Field(max_length=50)]


class FlagTarget(ApiModel):
    """Users who get one variant, whatever their share."""

    users: list[UserName] = Field(
        max_length=1000, description="The users that get the variant.", json_schema_extra=SET
    )
    variant: Variant = Field(description="The variant that they get.")


class FlagSpec(ApiModel):
    """A feature flag: its variants and who gets which."""

    name: FlagName = Field(description="The flag's name, unique in the template.")
    state: Literal["Enabled", "Disabled"] = Field(
        default="Enabled",
        description="Enabled (default), or Disabled: everybody gets what the code defaults to.",
    )
    variants: Annotated[dict[str, Any], Field(max_length=50)] = Field(
        default_factory=dict, description="The flag's values by variant name, all of one type."
    )
    default_variant: Variant = Field(description="The variant of who is in no share and no target.")
    rollout: Shares = Field(
        default_factory=dict,
        description="Percentages of users by variant; the default variant gets the rest.",
    )
    targets: list[FlagTarget] = Field(
        default_factory=list,
        max_length=100,
        description="Users who get one variant, whatever their share; the first that names a user counts.",
        json_schema_extra=ATOMIC,
    )
    user_overridable: Flag = Field(
        default=False, description="Whether a UserPreference may choose its variant. Default false."
    )


class PolicyFlag(ApiModel):
    """What a policy changes of a flag of the template."""

    name: FlagName = Field(description="The flag of the template that is changed.")
    rollout: Shares = Field(
        default_factory=dict, description="Percentages of users by variant, instead of the template's."
    )
