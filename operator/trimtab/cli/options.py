"""Options that several verbs share, so that they mean the same everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from trimtab.cli.view.output import Format

Paths = Annotated[
    Optional[list[str]],  # noqa: UP045 - typer reads it at run time
    typer.Argument(
        metavar="PATH", help="Files and folders (recursively), or - for stdin.", show_default=False
    ),
]
Files = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option("--filename", "-f", metavar="PATH", help="The same, as kubectl takes it; repeatable."),
]
Strict = Annotated[
    bool, typer.Option("--strict", help="Warnings and skipped files count as violations: exit code 1.")
]


def named(paths: list[str] | None, filename: list[str] | None) -> list[str]:
    """What is to be read, however it was named."""
    return [*(paths or ()), *(filename or ())]


MaybeFiles = Annotated[
    Optional[list[str]],  # noqa: UP045 - typer reads it at run time
    typer.Option(
        "--filename", "-f", metavar="PATH", help="Work offline on these files instead of a cluster."
    ),
]


def _namespace(name: str | None) -> str | None:
    from trimtab.cli.files.metadata import is_namespace

    if name is not None and not is_namespace(name):
        raise typer.BadParameter(
            f"{name!r} is no name of a namespace: lower-case letters, digits and - (at most 63)"
        )
    return name


_HOME = "The namespace of objects in the files that name none."
FileNamespace = Annotated[str, typer.Option("--namespace", "-n", callback=_namespace, help=_HOME)]
Namespace = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "--namespace", "-n", callback=_namespace, help="Default: the context's namespace; with -f: default."
    ),
]
ClusterNamespace = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--namespace", "-n", callback=_namespace, help="Default: the context's namespace."),
]
Kubeconfig = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option(help="Default: $KUBECONFIG, the pod, ~/.kube/config."),
]
Context = Annotated[Optional[str], typer.Option(help="The kubeconfig's context to use.")]  # noqa: UP045


def _format(text: str | Format) -> Format:
    """`table` is what other verbs call it."""
    if text in ("text", Format.TABLE):
        return Format.TABLE
    try:
        return Format(text)
    except ValueError:
        raise typer.BadParameter(f"{text} is none of text, json, yaml") from None


def tabular(text: str | Format) -> Format:
    """What ``-o`` names."""
    try:
        return Format(text)
    except ValueError:
        raise typer.BadParameter(f"{text} is none of table, json, yaml") from None


Output = Annotated[
    Format,
    typer.Option(
        "--output",
        "-o",
        parser=tabular,
        metavar="table|json|yaml",
        help="table, or json or yaml for programs.",
    ),
]
TextOutput = Annotated[
    Format,
    typer.Option(
        "--output", "-o", parser=_format, metavar="text|json|yaml", help="json and yaml are for programs."
    ),
]


def _seconds(text: str | float) -> float:
    from trimtab.core import durations

    if isinstance(text, float):
        return text
    try:
        seconds = durations.nanoseconds(text) / 1e9
    except ValueError as error:
        raise typer.BadParameter(f"{text} is {error}") from None
    if seconds <= 0:
        raise typer.BadParameter("no time at all; say how long, as 10m")
    return seconds


Timeout = Annotated[
    Optional[float],  # noqa: UP045
    typer.Option("--timeout", parser=_seconds, metavar="DURATION", help="How long to wait at most, as 10m."),
]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Also say which objects were ignored.")]
