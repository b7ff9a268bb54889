"""A key of a template: its type and what its values must satisfy."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from trimtab.api.bounds import ATOMIC, Count, Flag, KeyName, Limit, Number, Regex, Scalar, Text
from trimtab.api.meta import ApiModel

KeyType = Literal[
    "String", "Integer", "Number", "Boolean", "Duration", "StringList", "NumberMap", "StringMap"
]
Merge = Literal["Replace", "Merge", "Append"]
SetBy = Literal["User", "Group"]
Reload = Literal["Restart", "None"]


class ItemsSpec(ApiModel):
    """What each item of a list, or each value of a map, must be."""

    minimum: Number | None = Field(default=None, description="The least value of an item, for a NumberMap.")
    maximum: Number | None = Field(
        default=None, description="The greatest value of an item, for a NumberMap."
    )
    min_length: Count | None = Field(default=None, description="The least number of characters of an item.")
    max_length: Count | None = Field(
        default=None, description="The greatest number of characters of an item."
    )
    pattern: Regex | None = Field(default=None, description="A regular expression that each item must match.")
    enum: list[Scalar] | None = Field(
        default=None,
        max_length=500,
        description="The only values that an item may have.",
        json_schema_extra=ATOMIC,
    )


class DeprecatedSpec(ApiModel):
    """Marks a key that still works but should not be set any more."""

    message: Text | None = Field(
        default=None, description="What to do instead, shown as a warning to who sets it."
    )
    replaced_by: KeyName | None = Field(default=None, description="The key to set instead.")


class KeySpec(ApiModel):
    """One key of the configuration: its type, its default and what its values must satisfy."""

    name: KeyName = Field(
        description="The key's name: segments of letters, digits and underscores joined by dots, as "
        "agent.temperature. `a` and `a.b` may not both be keys."
    )
    type: KeyType = Field(
        description="The type of its values: String, Integer, Number, Boolean, Duration (as 5m or 1h30m), "
        "StringList, NumberMap or StringMap."
    )
    default: Any = Field(
        default=None, description="The value when no other layer sets one: the lowest layer. Unset: no value."
    )
    description: Text | None = Field(default=None, description="What the key is for, shown to who sets it.")
    enum: list[Scalar] | None = Field(
        default=None, max_length=500, description="The only values it may have.", json_schema_extra=ATOMIC
    )
    minimum: Limit | None = Field(
        default=None, description="The least value of an Integer or Number; for a Duration as text: 10s."
    )
    maximum: Limit | None = Field(
        default=None, description="The greatest value of an Integer or Number; for a Duration as text: 1h."
    )
    min_length: Count | None = Field(default=None, description="The least number of characters of a String.")
    max_length: Count | None = Field(
        default=None, description="The greatest number of characters of a String."
    )
    pattern: Regex | None = Field(
        default=None, description="A regular expression that a String must match; anchor it with ^ and $."
    )
    min_items: Count | None = Field(default=None, description="The least number of items of a list or map.")
    max_items: Count | None = Field(
        default=None, description="The greatest number of items of a list or map."
    )
    items: ItemsSpec | None = Field(
        default=None, description="What each item of a list, or each value of a map, must be."
    )
    required: Flag = Field(
        default=False,
        description="Whether every user (with setBy: Group, every group) needs a value. Default false.",
    )
    sensitive: Flag = Field(
        default=False,
        description="Whether its value is secret: written to Secrets alone, never shown. Default false.",
    )
    deprecated: DeprecatedSpec | None = Field(
        default=None, description="Set when the key should not be used any more: who sets it is warned."
    )
    set_by: SetBy = Field(
        default="User",
        description="Who may set it: User (default), or Group for profiles, groups and policies only.",
    )
    merge: Merge = Field(
        default="Replace",
        description="How a higher layer combines with a lower one: Replace (default), Merge maps by key, or "
        "Append lists.",
    )
    reload: Reload = Field(
        default="Restart",
        description="What a change of it needs: Restart (default) of the group's workloads, or None.",
    )
