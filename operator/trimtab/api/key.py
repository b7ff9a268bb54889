"""A key of a template: its type, its default and its limits."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from trimtab.api.bounds import ATOMIC, Boolean, Count, KeyName, Limit, Number, Regex, Scalar, Text
from trimtab.api.meta import ApiModel

KeyType = Literal[
    "String", "Integer", "Number", "Boolean", "Duration", "StringList", "NumberMap", "StringMap"
]
Merge = Literal["Replace", "Merge", "Append"]
SetBy = Literal["User", "Group"]
Reload = Literal["Restart", "None"]


class ItemsSpec(ApiModel):
    """Limits for each item of a list or each value of a map."""

    minimum: Number | None = Field(default=None, description="Minimum of each value of a NumberMap.")
    maximum: Number | None = Field(default=None, description="Maximum of each value of a NumberMap.")
    min_length: Count | None = Field(default=None, description="Minimum number of characters of each item.")
    max_length: Count | None = Field(default=None, description="Maximum number of characters of each item.")
    pattern: Regex | None = Field(
        default=None,
        description="Regular expression that each item must match. Use ^ and $ to match all of the text.",
    )
    enum: list[Scalar] | None = Field(
        default=None,
        max_length=500,
        description="Allowed values of each item.",
        json_schema_extra=ATOMIC,
    )


class DeprecatedSpec(ApiModel):
    """Deprecation of a key that still works."""

    message: Text | None = Field(
        default=None, description="What to do instead. Shown as a warning in objects that set the key."
    )
    replaced_by: KeyName | None = Field(default=None, description="Key to set instead.")


class KeySpec(ApiModel):
    """One configuration key: its type, its default and its limits."""

    name: KeyName = Field(
        description="Name of the key: segments of letters, digits and underscores joined by dots, for example "
        "agent.temperature. If a is a key, a.b cannot be one."
    )
    type: KeyType = Field(
        description="Type of the values: String, Integer, Number, Boolean, Duration (for example 5m or 1h30m), "
        "StringList, NumberMap or StringMap."
    )
    default: Any = Field(
        default=None, description="Value if no other layer sets one. If unset, the key has no default."
    )
    description: Text | None = Field(default=None, description="Purpose of the key. Shown to its users.")
    enum: list[Scalar] | None = Field(
        default=None, max_length=500, description="Allowed values.", json_schema_extra=ATOMIC
    )
    minimum: Limit | None = Field(
        default=None,
        description="Minimum of an Integer, Number or Duration. Write a Duration as text, for example 10s.",
    )
    maximum: Limit | None = Field(
        default=None,
        description="Maximum of an Integer, Number or Duration. Write a Duration as text, for example 1h.",
    )
    min_length: Count | None = Field(default=None, description="Minimum number of characters of a String.")
    max_length: Count | None = Field(default=None, description="Maximum number of characters of a String.")
    pattern: Regex | None = Field(
        default=None,
        description="Regular expression that a String must match. Use ^ and $ to match all of the text.",
    )
    min_items: Count | None = Field(default=None, description="Minimum number of items of a list or map.")
    max_items: Count | None = Field(default=None, description="Maximum number of items of a list or map.")
    items: ItemsSpec | None = Field(
        default=None, description="Limits for each item of a list or each value of a map."
    )
    required: Boolean = Field(
        default=False,
        description="Whether every user needs a value; with setBy: Group, whether every group does. Defaults to "
        "false.",
    )
    sensitive: Boolean = Field(
        default=False,
        description="Whether values are written only to Secrets and never shown. Defaults to false.",
    )
    deprecated: DeprecatedSpec | None = Field(
        default=None, description="Marks the key as deprecated. Objects that set it get a warning."
    )
    set_by: SetBy = Field(
        default="User",
        description="Who may set the key: User, or Group for profiles, groups and policies only. Defaults to User.",
    )
    merge: Merge = Field(
        default="Replace",
        description="How the value of a higher layer combines with that of a lower one: Replace, Merge (maps, by "
        "entry) or Append (lists). Defaults to Replace.",
    )
    reload: Reload = Field(
        default="Restart",
        description="What a changed value requires: Restart of the group's workloads, or None. Defaults to Restart.",
    )
