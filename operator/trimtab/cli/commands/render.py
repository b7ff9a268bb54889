"""``trimtab render``: what the operator would write, without a cluster."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from trimtab.cli.commands.validate import too_strict
from trimtab.cli.options import FileOptions, Output
from trimtab.cli.output import Format, Part, as_yaml, notes, say, show, table
from trimtab.cli.simulate.files import Examined, examine
from trimtab.cli.view.report import report
from trimtab.core import naming
from trimtab.core.refs import GroupKey
from trimtab.core.render.plan import Desired
from trimtab.core.schema.outputs import Output as CompiledOutput
from trimtab.core.schema.template import Schema

REDACTED = "(redacted; --show-secrets shows it)"
_DIGITS = re.compile(r"([0-9]+)")
Body = dict[str, Any]


def render(
    files: FileOptions,
    show_secrets: Annotated[
        bool, typer.Option("--show-secrets", help="Print sensitive values in clear text.")
    ] = False,
    output: Output = Format.YAML,
) -> None:
    """Print the ConfigMaps and Secrets of templates and preferences in files, without a cluster.

    The operator's own code renders them, with shards and `_default` entries, as for an empty cluster. Entries of a
    Secret that contain sensitive values are redacted unless --show-secrets is set. Secrets are printed with stringData;
    the annotations trimtab.dev/revision and trimtab.dev/digest, which depend on the cluster, are omitted. `-o json`
    prints one List, `-o table` names and sizes.

    Examples:

        trimtab render config/

        trimtab render -f template.yaml -f alice.yaml -o table

        kubectl get ctmpl,upref -o yaml | trimtab render -f - -o json

    Exit code: 0 all valid, 1 something was refused (the rest is printed), 2 wrong usage or an unreadable file.
    """
    done = examine(files.named, files.namespace)
    entries = report(done)
    objects = Objects(list(_bodies(done, show_secrets=show_secrets)))
    if output is Format.YAML:
        typer.echo(as_yaml(*objects.bodies) if objects.bodies else "", nl=False)
    else:
        show(objects, output)
    notes([*done.notes, *(done.read.ignored if files.verbose else ())])
    for entry in entries:
        for line in entry.lines():
            say(f"refused: {line.replace(': error: ', f': {entry.subject}: ', 1)}", stderr=True, style="red")
    if too_strict(files, entries, done.read.skipped) or any(entry.findings for entry in entries):
        raise typer.Exit(1)


@dataclass(frozen=True, slots=True)
class Objects:
    """ConfigMaps and Secrets."""

    bodies: list[Body]

    def content(self) -> Body:
        return {"apiVersion": "v1", "kind": "List", "items": self.bodies}

    def parts(self) -> Iterator[Part]:
        yield table("NAMESPACE KIND NAME ENTRIES BYTES", map(_cells, self.bodies))


def _cells(body: Body) -> tuple[object, ...]:
    data, meta = body.get("data") or body.get("stringData") or {}, body["metadata"]
    size = sum(len(name.encode()) + len(text.encode()) for name, text in data.items())
    shown = "-" if REDACTED in data.values() else size
    return meta["namespace"], body["kind"], meta["name"], ", ".join(data), shown


def _bodies(done: Examined, *, show_secrets: bool) -> Iterator[Body]:
    for desired in sorted(done.simulation.outputs(), key=_place):
        ref, labels, data = desired.ref, dict(desired.labels), dict(desired.data)
        kept = {name: text for name, text in desired.annotations.items() if name == naming.ANNOTATION_USER}
        meta = {"name": ref.name, "namespace": ref.namespace, "labels": labels}
        meta |= {"annotations": kept} if kept else {}
        made = {"apiVersion": "v1", "kind": ref.kind, "metadata": meta}
        if ref.kind == "ConfigMap":
            yield {**made, "data": data}
            continue
        if not show_secrets:
            schema = _schema(done, labels)
            data = {name: text if is_open(schema, name) else REDACTED for name, text in data.items()}
        yield {**made, "type": "Opaque", "stringData": data}


def _schema(done: Examined, labels: dict[str, str]) -> Schema:
    names = (naming.LABEL_TEMPLATE_NAMESPACE, naming.LABEL_TEMPLATE, naming.LABEL_GROUP)
    key = GroupKey(*(labels[name] for name in names))
    view = done.simulation.view(key)
    if view is None:
        raise LookupError(f"{key} was rendered, and has no view")
    return view.schema


def is_open(schema: Schema, entry: str) -> bool:
    """Whether a Secret's entry has no sensitive value: no output that may have written it has one."""
    found = [
        sensitive
        for output in schema.outputs
        if output.kind == "Secret"
        for name, sensitive in _written(schema, output).items()
        if entry == name or (output.scope == "User" and entry.endswith(f".{name}"))
    ]
    return bool(found) and not any(found)


def _written(schema: Schema, output: CompiledOutput) -> dict[str, bool]:
    """The entries that an output writes, and whether they have a sensitive value."""
    if output.file_name:
        return {output.file_name: any(schema.keys[key].sensitive for key in output.keys)}
    return {name: key in output.keys and schema.keys[key].sensitive for key, name in output.names.items()}


def _place(desired: Desired) -> tuple[Any, ...]:
    """By namespace, name and kind; numbers in names by their value."""
    kind, namespace, name = desired.ref
    parts = [(int(part), "") if part.isdigit() else (-1, part) for part in _DIGITS.split(name)]
    return namespace, parts, kind
