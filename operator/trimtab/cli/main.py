"""The verbs, put together."""

from __future__ import annotations

import typer

from trimtab.cli import crds, run
from trimtab.sandbox.cli import app as sandbox

app = typer.Typer(
    name="trimtab",
    help="Typed, layered configuration as Kubernetes resources: validated, rendered, rolled out, rolled back.",
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(run.run)
app.add_typer(sandbox, name="sandbox")
app.command()(crds.crds)
