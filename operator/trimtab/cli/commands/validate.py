"""``trimtab validate``: every violation in files, without a cluster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

import typer

from trimtab.api import ConfigTemplate
from trimtab.cli.cluster.objects import meant
from trimtab.cli.errors import Failure
from trimtab.cli.options import FileOptions, Output
from trimtab.cli.output import Format, Line, notes, say, show
from trimtab.cli.simulate.files import Examined, examine
from trimtab.cli.view.report import Entry, report
from trimtab.core import reasons
from trimtab.core.text import plural
from trimtab.core.violations import TOO_LARGE


def validate(
    files: FileOptions,
    key: Annotated[str | None, typer.Option(help="Report only this key.")] = None,
    output: Output = Format.TABLE,
) -> None:
    """Validate templates, preferences, policies and actions in files, without a cluster.

    Each violation is reported with its object, key, problem and remedy. The operator's own code validates, so what is
    valid here is accepted there: types, limits, groups, outputs, policies and their strategies, which preference holds
    a user, the size of a group. An object's fields and metadata are checked first; while they are not valid its
    content is not checked, and while a template is not valid neither are its preferences and policies.

    Examples:

        trimtab validate config/

        trimtab validate --strict template.yaml alice.yaml

        trimtab validate -f template.yaml -f alice.yaml --key agent.temperature

        kubectl get ctmpl,upref -A -o yaml | trimtab validate -f - -o json

    Exit code: 0 all valid, 1 violations (with --strict also warnings), 2 wrong usage or an unreadable file.
    """
    done = examine(files.named, files.namespace)
    entries = report(done)
    if key is not None:
        entries = _about(done, entries, key)
    found = Validation(entries, done.notes)
    show(found, output)
    notes([*(done.notes if output is Format.TABLE else ()), *(done.read.ignored if files.verbose else ())])
    if not found.valid or too_strict(files, entries, done.read.skipped):
        raise typer.Exit(1)


@dataclass(frozen=True, slots=True)
class Validation:
    """The objects of the files with what is wrong with them."""

    entries: Sequence[Entry]
    notes: Sequence[str]

    @property
    def valid(self) -> bool:
        return not any(entry.findings for entry in self.entries)

    def content(self) -> dict[str, Any]:
        objects = [entry.to_dict() for entry in self.entries]
        return {"valid": self.valid, "objects": objects, "notes": list(self.notes)}

    def parts(self) -> Iterator[Line]:
        for entry in self.entries:
            if entry.findings:
                yield Line(f"{entry.place}: {entry.subject} is not valid", "bold red")
            elif entry.warnings:
                yield Line(f"{entry.place}: {entry.subject}", "yellow")
            yield from (Line(f"  {line}") for line in entry.lines())
            yield from (Line(f"  warning: {w.get('key', '')}: {w['message']}") for w in entry.warnings)
        objects = plural(len(self.entries), "object")
        if self.valid:
            yield Line(f"{objects} valid", "bold green")
            return
        violations = plural(sum(len(entry.findings) for entry in self.entries), "violation")
        wrong = sum(bool(entry.findings) for entry in self.entries)
        yield Line(f"{violations} in {wrong} of {objects}", "bold")


def too_strict(files: FileOptions, entries: Sequence[Entry], skipped: int) -> bool:
    """Whether --strict is set and there are warnings or skipped files; prints that."""
    warnings = sum(len(entry.warnings) for entry in entries)
    counts = ((warnings, "warning"), (skipped, "skipped file"))
    found = [plural(count, what) for count, what in counts if count]
    if files.strict and found:
        say(f"error: {' and '.join(found)}, which --strict forbids", stderr=True, style="bold red")
    return files.strict and bool(found)


def _about(done: Examined, entries: Sequence[Entry], key: str) -> list[Entry]:
    """The entries with what concerns one key, and with what prevents the validation of the object."""
    specs = [model.spec for _, model in done.models if isinstance(model, ConfigTemplate)]
    known = {declared.name for spec in specs for declared in spec.keys}
    if key not in known | {finding.key for entry in entries for finding in entry.findings}:
        raise Failure(
            f"no template in these files has a key {key}; {meant(key, sorted(known), 'check its name')}", 2
        )
    return [_only(entry, key) for entry in entries]


def _only(entry: Entry, key: str) -> Entry:
    findings = [f for f in entry.findings if f.key == key or f.layer == "object" or f.rule in _BARS]
    return replace(entry, findings=findings, warnings=[w for w in entry.warnings if w.get("key") == key])


_BARS = frozenset(
    (
        reasons.TEMPLATE_NOT_FOUND,
        reasons.TEMPLATE_NOT_VALID,
        reasons.GROUP_NOT_FOUND,
        reasons.AHEAD_OF_REVISION,
        reasons.BEHIND_SCHEMA,
        TOO_LARGE,
    )
)
