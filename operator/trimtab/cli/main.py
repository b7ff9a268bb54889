"""The program: its commands by name, each imported when it is called."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple

import typer

from trimtab.cli.group import MARKUP, Group, flat, program


class Command(NamedTuple):
    """A command before its module is imported. ``help`` is the first sentence of its own help."""

    help: str
    module: str = ""


COMMANDS: Mapping[str, Command] = {
    "run": Command("Run the operator in the foreground."),
    "sandbox": Command(
        "A real Kubernetes control plane on this machine, without Docker.", "trimtab.sandbox.commands"
    ),
    "render": Command("Print the ConfigMaps and Secrets of templates and preferences in files."),
    "validate": Command("Validate templates, preferences, policies and actions in files."),
    "explain": Command("Explain which layer and object set each value of a user."),
    "status": Command("Show templates, groups, rollouts and refused preferences."),
    "rollout": Command("Show rollouts of policies and templates, watch them, and act on them."),
    "history": Command("List the revisions of a template's groups, or a user's previous preferences."),
    "diff": Command("Compare two revisions of a group, or two preferences of a user."),
    "undo": Command("Return a group, a rollout or a user to the previous content."),
    "adopt": Command("Adopt objects that conflict with a template's outputs."),
    "crds": Command("Print the CRDs of this version as YAML."),
}


def load(name: str) -> Any:
    """The command of that name, with its module imported: a function, or a group's Typer application."""
    module = importlib.import_module(COMMANDS[name].module or f"trimtab.cli.commands.{name}")
    found = getattr(module, "app", None)
    if found is None:
        found = typer.Typer(add_completion=False, rich_markup_mode=MARKUP)
        found.command(name)(flat(getattr(module, name)))
    command = typer.main.get_command(found)
    command.name = name
    return command


class Commands(Group):
    """Imports a command when it is called."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0] in COMMANDS:
            self.commands[args[0]] = load(args[0])
        return super().resolve_command(ctx, args)


app = typer.Typer(
    name="trimtab",
    cls=Commands,
    help="""Typed, layered configuration as Kubernetes resources: validated, rendered, rolled out, rolled back.

`trimtab COMMAND --help` explains a command with examples. Exit code of every command: 0 yes or done, 1 no (violations,
not ready, not found, refused by the cluster), 2 wrong usage or an unreadable file, 130 interrupted.""",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=MARKUP,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(requested: bool) -> None:
    if requested:
        from importlib.metadata import version  # slow to import, and rarely needed

        typer.echo(f"trimtab {version('trimtab')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """The options before a command's name."""


def _not_imported() -> None:
    raise AssertionError("the command's module was not imported")


for _name, _command in COMMANDS.items():
    app.command(_name, help=_command.help)(_not_imported)


def main() -> None:
    """Run the command line. A closed pipe (`trimtab ... | head`) and Ctrl-C end it without a traceback."""
    try:
        try:
            app(prog_name=program())
        finally:
            sys.stdout.flush()
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # Python flushes stdout at exit, which must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
