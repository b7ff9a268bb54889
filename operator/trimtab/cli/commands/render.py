"""``trimtab render``: what the operator would write, without a cluster."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trimtab.cli.options import FileNamespace, Files, Paths, Strict, Verbose, named, tabular
from trimtab.cli.view.output import Format, as_yaml, notes, plain, print_table, row, say, show, table

if TYPE_CHECKING:
    from trimtab.cli.simulate.files import Examined
    from trimtab.core.schema.template import Schema

REDACTED = "(redacted; --show-secrets shows it)"
_ALPHA = re.compile(r"([0-9]+)")


def render(
    paths: Paths = None,
    filename: Files = None,
    show_secrets: Annotated[
        bool, typer.Option("--show-secrets", help="Print sensitive values in clear. Mind who reads along.")
    ] = False,
    strict: Strict = False,
    namespace: FileNamespace = "default",
    output: Annotated[
        Format,
        typer.Option(
            "--output",
            "-o",
            parser=tabular,
            metavar="yaml|json|table",
            help="yaml, json (one List), or table: names and sizes.",
        ),
    ] = Format.YAML,
    verbose: Verbose = False,
) -> None:
    """Print the ConfigMaps and Secrets that templates and preferences come to, without a cluster.

    It is the operator's own code, shards and `_default` entries included, on a cluster that holds nothing yet.
    Entries of a Secret that carry sensitive values are redacted, unless --show-secrets is given. Secrets are
    printed with stringData; the annotations trimtab.dev/revision and trimtab.dev/digest, which only a cluster
    knows, are left out.

    Examples:

        trimtab render config/

        trimtab render -f template.yaml -f alice.yaml -o table

        kubectl get ctmpl,upref -o yaml | trimtab render -f - -o json

    Exit code: 0 all valid, 1 something was refused (the rest is printed all the same), 2 wrong usage or a file that
    cannot be read.
    """
    from trimtab.cli.commands.validate import refused_as_strict
    from trimtab.cli.simulate.files import examine
    from trimtab.cli.view.report import report

    done = examine(named(paths, filename), namespace)
    entries = report(done)
    bodies = list(_bodies(done, show_secrets=show_secrets))
    if output is Format.YAML:
        typer.echo(as_yaml(*bodies) if bodies else "", nl=False)
    else:
        listed = {"apiVersion": "v1", "kind": "List", "items": bodies}
        show(listed, output, lambda: _people(bodies))
    notes([*done.notes, *(done.read.ignored if verbose else ())])
    for entry in entries:
        for line in entry.lines():
            say(f"refused: {line.replace(': error: ', f': {entry.subject}: ', 1)}", stderr=True, style="red")
    if refused_as_strict(entries, done.read.skipped, strict=strict) or any(
        entry.findings for entry in entries
    ):
        raise typer.Exit(1)


def _bodies(done: Examined, *, show_secrets: bool) -> Iterator[dict[str, Any]]:
    for body in sorted(done.simulation.outputs(), key=_place):
        meta = body["metadata"]
        kept = {name: text for name, text in meta["annotations"].items() if name == "trimtab.dev/user"}
        made = {
            "apiVersion": "v1",
            "kind": body["kind"],
            "metadata": {
                "name": meta["name"],
                "namespace": meta["namespace"],
                "labels": meta["labels"],
                **({"annotations": kept} if kept else {}),
            },
        }
        if body["kind"] == "ConfigMap":
            yield {**made, "data": body["data"]}
        else:
            schema = _schema(done, meta["labels"])
            data = {n: base64.b64decode(text).decode() for n, text in body["data"].items()}
            if not show_secrets:
                data = {n: text if is_open(schema, n) else REDACTED for n, text in data.items()}
            yield {**made, "type": "Opaque", "stringData": data}


def _schema(done: Examined, labels: dict[str, str]) -> Schema:
    from trimtab.core import naming
    from trimtab.core.refs import GroupKey

    key = GroupKey(
        labels[naming.LABEL_TEMPLATE_NAMESPACE], labels[naming.LABEL_TEMPLATE], labels[naming.LABEL_GROUP]
    )
    view = done.simulation.view(key)
    if view is None:
        raise LookupError(f"{key} was rendered, and has no view")
    return view.schema


def is_open(schema: Schema, entry: str) -> bool:
    """Whether a Secret's entry can hold no sensitive value: every output that may have made it has none."""
    makers = []
    for output in schema.outputs:
        if output.kind != "Secret":
            continue
        sensitive = {key for key in output.keys if schema.keys[key].sensitive}
        if output.file_name:
            names = {output.file_name: bool(sensitive)}
        else:
            names = {name: key in sensitive for key, name in output.names.items()}
        for name, hidden in names.items():
            if entry == name or (output.scope == "User" and entry.endswith(f".{name}")):
                makers.append(hidden)
    return bool(makers) and not any(makers)


def _place(body: dict[str, Any]) -> tuple[Any, ...]:
    meta = body["metadata"]
    number = [(int(part), "") if part.isdigit() else (-1, part) for part in _ALPHA.split(meta["name"])]
    return meta["namespace"], number, body["kind"]


def _people(bodies: list[dict[str, Any]]) -> None:
    made = table("NAMESPACE", "KIND", "NAME", "ENTRIES", "BYTES")
    for body in bodies:
        data = body.get("data") or body.get("stringData") or {}
        hidden = REDACTED in data.values()
        size = "-" if hidden else sum(len(name.encode()) + len(text.encode()) for name, text in data.items())
        meta = body["metadata"]
        row(made, meta["namespace"], body["kind"], meta["name"], plain(", ".join(data)), size)
    print_table(made)
