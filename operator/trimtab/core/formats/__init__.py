"""Output formats: resolved values to text, exactly, as each format's own readers expect it.

One module per format, each with its rules; docs/formats.md shows how to read them back. A template names
a format and keys, so whatever can be wrong with those is found before there is a value: :func:`clashes` and
:func:`compile_writer`. What can be wrong with a value is :meth:`Writer.problems` and :meth:`Writer.warnings`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from trimtab.core.formats import env, ini, json, properties, toml, yaml
from trimtab.core.formats.writer import Clash, Format, Problem, UnwritableError, Value, Writer

__all__ = [
    "FORMATS",
    "WITH_COMPACT",
    "WITH_ENTRIES",
    "WITH_PREFIX",
    "Clash",
    "Format",
    "Problem",
    "UnwritableError",
    "Value",
    "Writer",
    "clashes",
    "compile_writer",
]

FORMATS: Mapping[str, Format] = MappingProxyType(
    {module.FORMAT.name: module.FORMAT for module in (env, json, yaml, toml, properties, ini)}
)
WITH_PREFIX = frozenset({"Env"})
"""Formats that take a ``prefix``: the others name keys as the template does."""
WITH_COMPACT = frozenset({"JSON"})
"""Formats that take ``compact``: one line."""
WITH_ENTRIES = frozenset({"Env"})
"""Formats that require no ``fileName``: each key is then a data entry of its own (:meth:`Writer.entries`)."""


def clashes(format: str, keys: Sequence[str], prefix: str = "") -> list[Clash]:  # noqa: A002
    """Every key with the same name as an earlier one; a template with any is Rejected.

    :raises KeyError: no such format.
    """
    holders: dict[str, str] = {}
    found = []
    for key, name in FORMATS[format].names(keys, prefix).items():
        first = holders.setdefault(name, key)
        if first != key:
            found.append(Clash(name, first, key))
    return found


def compile_writer(
    format: str,  # noqa: A002
    keys: Sequence[str],
    *,
    prefix: str = "",
    compact: bool = False,
) -> Writer:
    """A writer of ``keys``, in their order. Safe to share between threads.

    :raises KeyError: no such format.
    :raises ValueError: keys that clash, an option that the format does not take, a prefix that is not a valid name.
    """
    if prefix and format not in WITH_PREFIX:
        raise ValueError(f"{format} takes no prefix")
    if compact and format not in WITH_COMPACT:
        raise ValueError(f"{format} takes no compact")
    for clash in clashes(format, keys, prefix):
        raise ValueError(f"{clash.first} and {clash.second} are both {clash.name}")
    return FORMATS[format].compile(keys, prefix, compact)
