"""``trimtab validate``: every violation in files, without a cluster."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from trimtab.cli.errors import Failure
from trimtab.cli.options import FileNamespace, Files, Output, Paths, Strict, Verbose, named
from trimtab.cli.view.output import Format, notes, say, show

if TYPE_CHECKING:
    from trimtab.cli.simulate.files import Examined
    from trimtab.cli.view.report import Entry


def validate(
    paths: Paths = None,
    filename: Files = None,
    key: Annotated[Optional[str], typer.Option(help="Look at this key alone.")] = None,  # noqa: UP045
    strict: Strict = False,
    namespace: FileNamespace = "default",
    output: Output = Format.TABLE,
    verbose: Verbose = False,
) -> None:
    """Check templates, preferences, policies and actions in files, without a cluster.

    Each violation comes with its object, key, problem and remedy. The operator's own code judges, so what is
    valid here is accepted there: types, limits, groups, outputs, policies and their strategies, who holds a user,
    how full a group is. An object's fields and metadata are checked first; what they refuse hides what would be said of
    its content, and a template that is refused what would be said of its preferences and policies.

    Examples:

        trimtab validate config/

        trimtab validate --strict template.yaml alice.yaml

        trimtab validate -f template.yaml -f alice.yaml --key agent.temperature

        kubectl get ctmpl,upref -A -o yaml | trimtab validate -f - -o json

    Exit code: 0 all valid, 1 violations (with --strict also warnings), 2 wrong usage or a file that cannot be read.
    """
    from trimtab.cli.simulate.files import examine
    from trimtab.cli.view.report import report

    done = examine(named(paths, filename), namespace)
    entries = report(done)
    if key is not None:
        entries = _about(done, entries, key)
    content = {
        "valid": not any(entry.findings for entry in entries),
        "objects": [entry.to_dict() for entry in entries],
        "notes": done.notes,
    }
    show(content, output, lambda: _people(entries))
    notes([*(done.notes if output is Format.TABLE else ()), *(done.read.ignored if verbose else ())])
    if not content["valid"] or refused_as_strict(entries, done.read.skipped, strict=strict):
        raise typer.Exit(1)


def refused_as_strict(entries: Iterable[Entry], skipped: int, *, strict: bool) -> bool:
    """Whether warnings and skipped files count as violations and there are some: then it is said."""
    count = sum(len(entry.warnings) for entry in entries)
    found = [_some(n, what) for n, what in ((count, "warning"), (skipped, "skipped file")) if n]
    if strict and found:
        say(f"error: {' and '.join(found)}, and --strict takes none", stderr=True, style="bold red")
    return strict and bool(found)


def _about(done: Examined, entries: list[Entry], key: str) -> list[Entry]:
    """The entries with what concerns one key, and what keeps the object from being judged at all."""
    from trimtab.cli.view.report import Entry
    from trimtab.core.suggestion import nearest

    known = _known_keys(done)
    mentioned = {f.key for entry in entries for f in entry.findings}
    if key not in known and key not in mentioned:
        hint = nearest(key, sorted(known))
        raise Failure(
            f"no template in these files has a key {key}" + (f"; did you mean {hint}?" if hint else ""), 2
        )
    kept = []
    for entry in entries:
        findings = [f for f in entry.findings if f.key == key or f.layer == "object" or f.rule in _BARS]
        warnings = [w for w in entry.warnings if w.get("key") == key]
        kept.append(Entry(entry.place, entry.subject, findings, warnings))
    return kept


_BARS = frozenset(
    ("TemplateNotFound", "TemplateNotServed", "GroupNotFound", "AheadOfRevision", "BehindSchema", "tooLarge")
)


def _known_keys(done: Examined) -> set[str]:
    from trimtab.api import ConfigTemplate

    return {k.name for _, model in done.models if isinstance(model, ConfigTemplate) for k in model.spec.keys}


def _people(entries: Iterable[Entry]) -> None:
    listed = list(entries)
    for entry in listed:
        if entry.findings:
            say(f"{entry.place}: {entry.subject} is not valid", style="bold red")
        elif entry.warnings:
            say(f"{entry.place}: {entry.subject}", style="yellow")
        for line in entry.lines():
            say(f"  {line}")
        for warning in entry.warnings:
            say(f"  warning: {warning.get('key', '')}: {warning['message']}")
    bad = [entry for entry in listed if entry.findings]
    count = sum(len(entry.findings) for entry in bad)
    if bad:
        say(f"{_some(count, 'violation')} in {len(bad)} of {_some(len(listed), 'object')}", style="bold")
    else:
        say(f"{_some(len(listed), 'object')} valid", style="bold green")


def _some(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
