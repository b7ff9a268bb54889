"""Options of several commands. A command takes a dataclass of them as one parameter (`trimtab.cli.group.flat`)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from trimtab.cli.files.metadata import is_namespace
from trimtab.cli.output import Format
from trimtab.core import durations


def _namespace(name: str | None) -> str | None:
    if name is not None and not is_namespace(name):
        raise typer.BadParameter(
            f"{name!r} is not a valid name of a namespace: use lower-case letters, digits and - (at most 63)"
        )
    return name


def _format(text: str | Format) -> Format:
    try:
        return Format.TABLE if text == "text" else Format(text)
    except ValueError:
        raise typer.BadParameter(f"{text} is not a valid format; use table, json or yaml") from None


def _seconds(text: str | float) -> float:
    if isinstance(text, float):
        return text
    try:
        seconds = durations.nanoseconds(text) / 1e9
    except ValueError as error:
        raise typer.BadParameter(f"{text} is {error}") from None
    if seconds <= 0:
        raise typer.BadParameter("must be greater than 0, for example 10m")
    return seconds


def name(metavar: str, text: str) -> Any:
    """A positional argument."""
    return typer.Argument(metavar=metavar, help=text, show_default=False)


_FORMATS = "For humans (table) or for programs (json, yaml)."
Output = Annotated[
    Format, typer.Option("--output", "-o", parser=_format, metavar="table|json|yaml", help=_FORMATS)
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not prompt.")]
Template = Annotated[str, name("TEMPLATE", "The ConfigTemplate's name.")]
Timeout = Annotated[
    float | None, typer.Option(parser=_seconds, metavar="DURATION", help="How long to wait, for example 10m.")
]


@dataclass(frozen=True, kw_only=True)
class ClusterOptions:
    """Which cluster, which context, and which namespace."""

    namespace: Annotated[
        str | None,
        typer.Option("--namespace", "-n", callback=_namespace, help="Default: the context's namespace."),
    ] = None
    kubeconfig: Annotated[
        Path | None, typer.Option(help="Default: $KUBECONFIG, the pod's credentials, ~/.kube/config.")
    ] = None
    context: Annotated[str | None, typer.Option(help="The kubeconfig's context to use.")] = None


@dataclass(frozen=True, kw_only=True)
class FileOptions:
    """Which files to read, and how strictly."""

    paths: Annotated[list[str] | None, name("PATH", "Files and folders (recursively), or - for stdin.")] = (
        None
    )
    filename: Annotated[
        list[str] | None,
        typer.Option("--filename", "-f", metavar="PATH", help="The same, as in kubectl; repeatable."),
    ] = None
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit code 1 also for warnings and skipped files.")
    ] = False
    namespace: Annotated[
        str,
        typer.Option(
            "--namespace",
            "-n",
            callback=_namespace,
            help="The namespace of objects in the files that name none.",
        ),
    ] = "default"
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Also list ignored objects.")] = False

    @property
    def named(self) -> list[str]:
        """What to read, as arguments or by ``-f``."""
        return [*(self.paths or ()), *(self.filename or ())]
