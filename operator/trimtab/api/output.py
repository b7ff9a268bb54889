"""An output: a file or a set of environment variables that is rendered from resolved values."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from trimtab.api.bounds import SET, DnsLabel, EnvPrefix, FileName, KeyPattern
from trimtab.api.meta import ApiModel
from trimtab.api.unsupported import NotSupported

Format = Literal["Env", "JSON", "YAML", "TOML", "Properties", "INI", "Text", "Flagd"]
OutputKind = Literal["ConfigMap", "Secret"]
Scope = Literal["Group", "User"]


class OutputSpec(ApiModel):
    """One file, or one set of environment variables, rendered from the resolved values."""

    name: DnsLabel = Field(description="Name of the output, unique in the template.")
    format: Annotated[Format, NotSupported(("Text", "Flagd"))] = Field(
        description="Format of the output: Env, JSON, YAML, TOML, Properties, INI, Text or Flagd."
    )
    kind: OutputKind = Field(
        default="ConfigMap",
        description="Kind of the object that holds the output: ConfigMap, or Secret for sensitive keys. Defaults to "
        "ConfigMap.",
    )
    scope: Scope = Field(
        default="Group",
        description="Whether the output is rendered once per group (Group) or once per user (User). Defaults to "
        "Group.",
    )
    file_name: FileName | None = Field(
        default=None,
        description="Key in the object's data, which is the file name when mounted. Format Env without a file name "
        "writes one entry per key.",
    )
    prefix: EnvPrefix | None = Field(
        default=None, description="Prefix of the variable names for format Env, for example APP_."
    )
    include: list[KeyPattern] | None = Field(
        default=None,
        max_length=1000,
        description="Keys to write: names, or a prefix such as agent.*. Defaults to all keys. For a ConfigMap, a "
        "prefix and the default skip sensitive keys.",
        json_schema_extra=SET,
    )
    template: Annotated[Annotated[str, Field(max_length=65536)] | None, NotSupported()] = Field(
        default=None, description="Text template for format Text."
    )
