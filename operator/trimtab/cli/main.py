"""The verbs, put together. `run` and `sandbox` are only imported when they are called: they need much more."""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple

import typer
from typer.core import TyperGroup

from trimtab.cli.commands import adopt, crds, diff, explain, history, render, rollout, status, undo, validate
from trimtab.cli.view.output import PLUGIN, program

MARKUP: Literal["markdown"] = "markdown"
_CALL = re.compile(
    r"(?<![\w./-])trimtab (?=adopt|crds|diff|explain|history|render|rollout|run|sandbox|status|undo|validate)"
)


class Heavy(NamedTuple):
    """A verb that is imported when it is called. ``help`` is what the list of verbs says of it."""

    module: str
    attribute: str
    help: str


HEAVY: Mapping[str, Heavy] = {
    "run": Heavy("trimtab.cli.commands.run", "run", "Run the operator in the foreground."),
    "sandbox": Heavy(
        "trimtab.sandbox.commands", "app", "A real Kubernetes control plane on this machine, without Docker."
    ),
}


class Verbs(TyperGroup):
    """Puts a heavy verb in its stand-in's place as soon as it is asked for."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        heavy = HEAVY.get(args[0]) if args else None
        if heavy is not None:
            self.commands[args[0]] = _real(args[0], heavy)
        found = super().resolve_command(ctx, args)
        command = found[1]
        if command is not None and command.help and ctx.find_root().info_name == PLUGIN:
            command.help = _CALL.sub(f"{PLUGIN} ", command.help)
        return found


def _real(name: str, heavy: Heavy) -> Any:
    found = getattr(importlib.import_module(heavy.module), heavy.attribute)
    if not isinstance(found, typer.Typer):
        verb = typer.Typer(add_completion=False, rich_markup_mode=MARKUP)
        verb.command(name)(found)
        found = verb
    made = typer.main.get_command(found)
    made.name = name
    return made


def _stand_in(name: str, heavy: Heavy) -> None:
    def never() -> None:
        raise AssertionError(f"{name} was not replaced")

    never.__doc__ = heavy.help
    app.command(name)(never)


app = typer.Typer(
    name="trimtab",
    cls=Verbs,
    help="""Typed, layered configuration as Kubernetes resources: validated, rendered, rolled out, rolled back.

`trimtab VERB --help` explains a verb with examples. Exit code of every verb: 0 yes or done, 1 no (violations, not
ready, not found, the cluster refused), 2 wrong usage or a file that cannot be read, 130 interrupted.""",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=MARKUP,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"trimtab {version('trimtab')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """The options that stand before a verb."""


_stand_in("run", HEAVY["run"])
_stand_in("sandbox", HEAVY["sandbox"])
app.command()(render.render)
app.command()(validate.validate)
app.command()(explain.explain)
app.command()(status.status)
app.add_typer(rollout.assembled(Verbs), name="rollout")
app.command()(history.history)
app.command()(diff.diff)
app.command()(undo.undo)
app.command()(adopt.adopt)
app.command()(crds.crds)


def main() -> None:
    """Run the command line; a reader that has gone away (`trimtab ... | head`) and Ctrl-C end it quietly."""
    try:
        try:
            app(prog_name=program())
        finally:
            sys.stdout.flush()
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # What Python flushes at exit must have somewhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
