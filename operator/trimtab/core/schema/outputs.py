"""Outputs compiled: which keys each file carries, under which names, and who may see them.

The sensitive rule: a sensitive key is only ever in a Secret. A ConfigMap output that names one is refused; a
wildcard, or no ``include`` at all, passes over it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trimtab.api.config_template import OutputSpec
from trimtab.core import naming
from trimtab.core.formats import (
    FORMATS,
    WITH_COMPACT,
    WITH_ENTRIES,
    WITH_PREFIX,
    Writer,
    clashes,
    compile_writer,
)
from trimtab.core.schema.key import Key, Value
from trimtab.core.steps import Steps
from trimtab.core.suggestion import Guess
from trimtab.core.text import short
from trimtab.core.violations import Violation

_PREFIX = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


@dataclass(frozen=True, slots=True)
class Output:
    """A compiled output; ``keys`` in the template's order, ``file_name`` empty for one entry a key."""

    name: str
    format: str
    kind: str
    scope: str
    file_name: str
    keys: tuple[str, ...]
    writer: Writer
    names: Mapping[str, str]

    def entries(self, values: Mapping[str, Value]) -> dict[str, str]:
        """The data entries that this output makes of resolved values.

        :raises trimtab.core.formats.UnwritableError: a value that the format cannot hold.
        """
        if self.file_name:
            return {self.file_name: self.writer.text(values)}
        return self.writer.entries(values)

    def data_keys(self) -> tuple[str, ...]:
        """Every entry name that it could ever make."""
        return (self.file_name,) if self.file_name else tuple(self.names.values())


def compile_outputs(
    specs: Sequence[OutputSpec], keys: Mapping[str, Key]
) -> Steps[tuple[tuple[Output, ...], list[Violation]]]:
    """All outputs of a template, or what is wrong with them."""
    found: list[Violation] = []
    compiled: list[Output] = []
    seen: set[str] = set()
    for spec in specs:
        yield
        if spec.name in seen:
            found.append(_wrong(spec, "name", "two outputs have this name", "rename one"))
            continue
        seen.add(spec.name)
        broken = _shape(spec)
        chosen, unknown = _included(spec, keys)
        broken += unknown
        if not broken:
            broken = [
                _wrong(
                    spec,
                    "names",
                    f"keys {clash.first} and {clash.second} meet in the name {clash.name}",
                    "rename one or leave it out by include",
                )
                for clash in clashes(spec.format, chosen, spec.prefix or "")
            ]
        if broken:
            found += broken
            continue
        compiled.append(_compile(spec, chosen))
    found += _entry_collisions(compiled)
    return tuple(compiled), found


def _wrong(spec: OutputSpec, rule: str, problem: str, remedy: str, suggestion: str | Guess = "") -> Violation:
    path = f"outputs[{spec.name}]"
    return Violation(path, "template", rule, problem, remedy=remedy, suggestion=suggestion)


def _compile(spec: OutputSpec, keys: tuple[str, ...]) -> Output:
    prefix, scope = spec.prefix or "", spec.scope or "Group"
    compact = scope == "User" and spec.format in WITH_COMPACT  # a line a user: shards stay small
    writer = compile_writer(spec.format, keys, prefix=prefix, compact=compact)
    names = {} if spec.file_name else FORMATS[spec.format].names(keys, prefix)
    return Output(
        spec.name, spec.format, spec.kind or "ConfigMap", scope, spec.file_name or "", keys, writer, names
    )


def _shape(spec: OutputSpec) -> list[Violation]:
    found = []
    if not spec.file_name and spec.format not in WITH_ENTRIES:
        found.append(_wrong(spec, "fileName", f"format {spec.format} needs a fileName", "set fileName"))
    if spec.prefix and spec.format not in WITH_PREFIX:
        problem = f"prefix is for {', '.join(sorted(WITH_PREFIX))} only, not {spec.format}"
        found.append(_wrong(spec, "prefix", problem, "remove it"))
    elif spec.prefix and not _PREFIX.match(spec.prefix):
        problem = f"prefix {short(spec.prefix)} cannot begin a variable's name"
        remedy = "use letters, digits and underscores, no digit first"
        found.append(_wrong(spec, "prefix", problem, remedy))
    return found


def _included(spec: OutputSpec, keys: Mapping[str, Key]) -> tuple[tuple[str, ...], list[Violation]]:
    open_kind = (spec.kind or "ConfigMap") == "ConfigMap"
    if not spec.include:
        return tuple(n for n, k in keys.items() if not (open_kind and k.sensitive)), []
    chosen: set[str] = set()
    found: list[Violation] = []
    for pattern in spec.include:
        if pattern == "*" or pattern.endswith(".*"):
            stem = pattern[:-1]
            matched = {n for n in keys if n.startswith(stem)}
            if not matched:
                problem = f"include {pattern} matches no key"
                found.append(_wrong(spec, "include", problem, "correct or remove it", _stem(stem, keys)))
            chosen |= {n for n in matched if not (open_kind and keys[n].sensitive)}
        elif pattern not in keys:
            problem = f"include names the unknown key {pattern}"
            found.append(_wrong(spec, "include", problem, "correct or remove it", Guess(pattern, keys)))
        elif open_kind and keys[pattern].sensitive:
            found.append(
                _wrong(
                    spec,
                    "sensitive",
                    f"the sensitive key {pattern} may not be in a ConfigMap",
                    "set kind: Secret or leave it out",
                )
            )
        else:
            chosen.add(pattern)
    return tuple(n for n in keys if n in chosen), found


def _stem(stem: str, keys: Mapping[str, Key]) -> Guess:
    stems = dict.fromkeys(name.rsplit(".", 1)[0] + ".*" for name in keys if "." in name)
    return Guess(stem + "*", stems)


def _entry_collisions(outputs: Sequence[Output]) -> list[Violation]:
    """Two outputs that would write one entry of one object."""
    found = []
    taken: dict[tuple[str, str], str] = {}
    for output in outputs:
        for entry in output.data_keys():
            name = entry if output.scope == "Group" else naming.data_key(naming.DEFAULT_USER, entry)
            other = taken.setdefault((output.kind, name), output.name)
            if other != output.name:
                problem = f"outputs {other} and {output.name} both write the entry {name}"
                found.append(_entry(output, problem, "give one another fileName, prefix or kind"))
            if len(name) > naming.MAX_NAME - 64:
                found.append(_entry(output, f"the entry name {name[:40]}... is too long", "shorten it"))
    return found


def _entry(output: Output, problem: str, remedy: str) -> Violation:
    return Violation(f"outputs[{output.name}]", "template", "fileName", problem, remedy=remedy)
