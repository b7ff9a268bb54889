"""Options that several verbs share, so that they mean the same everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from trimtab.cli.output import Format

Files = Annotated[
    list[str],
    typer.Option(
        "--filename", "-f", metavar="PATH", help="A file, a folder (recursively) or - for stdin; repeatable."
    ),
]
MaybeFiles = Annotated[
    Optional[list[str]],  # noqa: UP045 - typer reads it at run time
    typer.Option(
        "--filename", "-f", metavar="PATH", help="Work offline on these files instead of a cluster."
    ),
]
FileNamespace = Annotated[
    str, typer.Option("--namespace", "-n", help="The namespace of objects in the files that name none.")
]
Namespace = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--namespace", "-n", help="Default: the context's namespace; with -f: default."),
]
Kubeconfig = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option(help="Default: $KUBECONFIG, the pod, ~/.kube/config."),
]
Context = Annotated[Optional[str], typer.Option(help="The kubeconfig's context to use.")]  # noqa: UP045
Output = Annotated[Format, typer.Option("--output", "-o", help="table, or json or yaml for programs.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Also say which objects were ignored.")]
