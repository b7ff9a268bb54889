"""A file, or environment variables, that a template makes of resolved values."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from trimtab.api.bounds import SET, DnsLabel, EnvPrefix, FileName, KeyPattern
from trimtab.api.meta import ApiModel
from trimtab.api.support import NotSupported

Format = Literal["Env", "JSON", "YAML", "TOML", "Properties", "INI", "Text", "Flagd"]
OutputKind = Literal["ConfigMap", "Secret"]
Scope = Literal["Group", "User"]


class OutputSpec(ApiModel):
    """One file, or a set of environment variables, made of the resolved values."""

    name: DnsLabel = Field(description="The output's name, unique in the template.")
    format: Annotated[Format, NotSupported(("Text", "Flagd"))] = Field(
        description="How values are written: Env, JSON, YAML, TOML, Properties, INI, Text or Flagd."
    )
    kind: OutputKind = Field(
        default="ConfigMap", description="What holds it: ConfigMap (default), or Secret for sensitive keys."
    )
    scope: Scope = Field(
        default="Group", description="Whether there is one for the Group (default) or one for each User."
    )
    file_name: FileName | None = Field(
        default=None,
        description="The data key, so the file's name when mounted. Env without one: an entry a key.",
    )
    prefix: EnvPrefix | None = Field(
        default=None, description="What the names of Env variables begin with, as APP_."
    )
    include: list[KeyPattern] | None = Field(
        default=None,
        max_length=1000,
        description="Keys to write: names, or a prefix as agent.*. Unset: every key. A wildcard, or no "
        "include, skips sensitive keys in a ConfigMap.",
        json_schema_extra=SET,
    )
    template: Annotated[Annotated[str, Field(max_length=65536)] | None, NotSupported()] = Field(
        default=None, description="The text to fill in, for format Text."
    )
