"""Outputs compiled: which keys each file contains, and under which names.

A sensitive key is only ever in a Secret. A ConfigMap output that names one is rejected; a wildcard, or no ``include``
at all, omits it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
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
from trimtab.core.violations import Fault, Violation

_PREFIX = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


@dataclass(frozen=True, slots=True)
class Output:
    """A compiled output; ``keys`` in the template's order, ``file_name`` empty for one entry per key."""

    name: str
    format: str
    kind: str
    scope: str
    file_name: str
    keys: tuple[str, ...]
    writer: Writer
    names: Mapping[str, str]

    def entries(self, values: Mapping[str, Value]) -> dict[str, str]:
        """The data entries of resolved values.

        :raises trimtab.core.formats.UnwritableError: a value that the format cannot hold.
        """
        if self.file_name:
            return {self.file_name: self.writer.text(values)}
        return self.writer.entries(values)

    def data_keys(self) -> tuple[str, ...]:
        """Every entry name that it can render."""
        return (self.file_name,) if self.file_name else tuple(self.names.values())


def compile_outputs(
    specs: Sequence[OutputSpec], keys: Mapping[str, Key]
) -> Steps[tuple[tuple[Output, ...], list[Violation]]]:
    """All outputs of a template, and what is wrong with them."""
    found: list[Violation] = []
    compiled: list[Output] = []
    seen: set[str] = set()
    for spec in specs:
        yield
        if spec.name in seen:
            found.append(_wrong(spec.name, "name", Fault("two outputs have this name", "rename one")))
            continue
        seen.add(spec.name)
        chosen, unknown = _included(spec, keys)
        broken = [*_shape(spec), *unknown] or _clashes(spec, chosen)
        found += broken
        if not broken:
            compiled.append(_compile(spec, chosen))
    return tuple(compiled), [*found, *_entry_collisions(compiled)]


def _wrong(output: str, rule: str, fault: Fault) -> Violation:
    return fault.at(f"outputs[{output}]", "template", rule)


def _clashes(spec: OutputSpec, keys: Sequence[str]) -> list[Violation]:
    remedy = "rename one or exclude it with include"
    return [
        _wrong(
            spec.name, "names", Fault(f"keys {c.first} and {c.second} both have the name {c.name}", remedy)
        )
        for c in clashes(spec.format, keys, spec.prefix or "")
    ]


def _compile(spec: OutputSpec, keys: tuple[str, ...]) -> Output:
    prefix, scope = spec.prefix or "", spec.scope or "Group"
    compact = scope == "User" and spec.format in WITH_COMPACT  # one line per user, so that shards stay small
    writer = compile_writer(spec.format, keys, prefix=prefix, compact=compact)
    names = {} if spec.file_name else FORMATS[spec.format].names(keys, prefix)
    return Output(
        spec.name, spec.format, spec.kind or "ConfigMap", scope, spec.file_name or "", keys, writer, names
    )


def _shape(spec: OutputSpec) -> Iterator[Violation]:
    if not spec.file_name and spec.format not in WITH_ENTRIES:
        yield _wrong(spec.name, "fileName", Fault(f"format {spec.format} needs a fileName", "set fileName"))
    if spec.prefix and spec.format not in WITH_PREFIX:
        problem = f"prefix applies to {', '.join(sorted(WITH_PREFIX))} only, not to {spec.format}"
        yield _wrong(spec.name, "prefix", Fault(problem, "remove it"))
    elif spec.prefix and not _PREFIX.match(spec.prefix):
        problem = f"prefix {short(spec.prefix)} cannot begin a variable's name"
        yield _wrong(
            spec.name, "prefix", Fault(problem, "use letters, digits and underscores, no digit first")
        )


def _included(spec: OutputSpec, keys: Mapping[str, Key]) -> tuple[tuple[str, ...], list[Violation]]:
    """The keys that the output contains, and what is wrong with its ``include``."""
    hidden = _hidden(spec, keys)
    if not spec.include:
        return tuple(name for name in keys if name not in hidden), []
    chosen: set[str] = set()
    found: list[Violation] = []
    for pattern in spec.include:
        matched = _matched(pattern, keys)
        chosen |= matched - hidden
        if not matched:
            found.append(_wrong(spec.name, "include", _unmatched(pattern, keys)))
        if pattern in hidden:
            problem = f"the sensitive key {pattern} may not be in a ConfigMap"
            found.append(_wrong(spec.name, "sensitive", Fault(problem, "set kind: Secret or remove it")))
    return tuple(name for name in keys if name in chosen), found


def _hidden(spec: OutputSpec, keys: Mapping[str, Key]) -> set[str]:
    """The keys that may not be in the output."""
    return set() if spec.kind == "Secret" else {name for name, key in keys.items() if key.sensitive}


def _matched(pattern: str, keys: Mapping[str, Key]) -> set[str]:
    """The keys that a name or a wildcard, such as ``*`` or ``agent.*``, selects."""
    if pattern == "*" or pattern.endswith(".*"):
        return {name for name in keys if name.startswith(pattern[:-1])}
    return {pattern} & keys.keys()


def _unmatched(pattern: str, keys: Mapping[str, Key]) -> Fault:
    if pattern.endswith("*"):
        sections = dict.fromkeys(name.rsplit(".", 1)[0] + ".*" for name in keys if "." in name)
        return Fault(f"include {pattern} matches no key", "correct or remove it", Guess(pattern, sections))
    return Fault(f"include names the unknown key {pattern}", "correct or remove it", Guess(pattern, keys))


def _entry_collisions(outputs: Sequence[Output]) -> Iterator[Violation]:
    """Two outputs that would write one entry of one object."""
    writers: dict[tuple[str, str], str] = {}
    for output in outputs:
        for entry in output.data_keys():
            name = entry if output.scope == "Group" else naming.data_key(naming.DEFAULT_USER, entry)
            other = writers.setdefault((output.kind, name), output.name)
            if other != output.name:
                problem = f"outputs {other} and {output.name} both write the entry {name}"
                remedy = "give one another fileName, prefix or kind"
                yield _wrong(output.name, "fileName", Fault(problem, remedy))
            if len(name) > naming.MAX_NAME - 64:
                fault = Fault(f"the entry name {name[:40]}... is too long", "shorten it")
                yield _wrong(output.name, "fileName", fault)
