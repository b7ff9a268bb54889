"""``trimtab sandbox``: the library's verbs on the command line, for people and for scripts."""

from __future__ import annotations

import enum
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Annotated, NoReturn, Optional

import typer
import yaml
from rich.console import Console
from rich.table import Table

from trimtab.sandbox.build import ensure_binaries
from trimtab.sandbox.cluster import Sandbox, remove
from trimtab.sandbox.errors import SandboxError
from trimtab.sandbox.places import sandbox_directory
from trimtab.sandbox.record import read, sweep
from trimtab.sandbox.start import layout_of
from trimtab.sandbox.status import Status, all_statuses, status_of

app = typer.Typer(
    name="sandbox",
    help="A real Kubernetes control plane on this machine, without Docker.",
    no_args_is_help=True,
    add_completion=False,
)

Name = Annotated[str, typer.Option("--name", metavar="NAME", help="Which sandbox: several may run at once.")]


class Output(enum.StrEnum):
    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


Format = Annotated[Output, typer.Option("--output", "-o", help="table, or json or yaml for programs.")]


class Place(enum.StrEnum):
    KUBECONFIG = "kubeconfig"
    DATA = "data"
    LOGS = "logs"
    KUBECTL = "kubectl"


@app.command()
def up(
    name: Name = "default",
    nodes: Annotated[
        Optional[int],  # noqa: UP045 - typer reads it at run time
        typer.Option(min=0, max=1000, help="Nodes played by kwok; pods on them run. Default: none."),
    ] = None,
) -> None:
    """Start a sandbox in the background and say how to use it. Does nothing where it runs already.

    The first time on a machine this builds the binaries, which takes 5 to 12 minutes on two cores.
    """
    with _reported():
        _sweep()
        before = status_of(name)
        if before.running:
            if nodes not in (None, before.nodes):
                remedy = f"`trimtab sandbox down --name {name}` first, then start it with --nodes {nodes}"
                _fail(f"Sandbox {name} is already running, with {_count(before.nodes)}: {remedy}.")
            typer.echo(f"Sandbox {name} is already running, with {_count(before.nodes)}.\n{_usage(before)}")
            return
        if before.state == "Stopped":
            typer.echo(f"Sandbox {name} had stopped: starting afresh.", err=True)
        elif before.state != "Absent":
            remedy = f"`trimtab sandbox down --name {name}` removes it"
            _fail(f"Sandbox {name} is {before.state}: {before.reason}. {remedy}.")
        ensure_binaries()
        started = time.monotonic()
        nodes = nodes or 0
        Sandbox.start(name, nodes=nodes, lifetime="detached")
        took = time.monotonic() - started
        now = status_of(name)
        what = f"Kubernetes {now.version}, {_count(nodes)}, {now.server}"
        typer.echo(f"Sandbox {name} is up after {took:.1f} s: {what}")
        typer.echo("etcd runs with --unsafe-no-fsync: fast, and a crash of the machine may lose its data.")
        typer.echo(_usage(now))


@app.command()
def down(name: Name = "default") -> None:
    """Stop a sandbox and remove its data. Does nothing where there is none."""
    with _reported():
        _sweep()
        typer.echo(f"Sandbox {name} is removed." if remove(name) else f"There is no sandbox {name}.")


@app.command()
def status(
    name: Name = "default",
    every: Annotated[bool, typer.Option("--all", help="All sandboxes, in a list.")] = False,
    output: Format = Output.TABLE,
) -> None:
    """Show how a sandbox is.

    Exit code 0: it is Running. 1: it is Starting, Degraded, Stopped or Absent. With --all always 0.
    """
    with _reported():
        _sweep()
        if every:
            found = all_statuses()
            _show([each.as_dict() for each in found], output, lambda: _table(found))
            return
        one = status_of(name)
        _show(one.as_dict(), output, lambda: _details(one))
    if not one.running:
        raise typer.Exit(1)


@app.command()
def path(what: Annotated[Place, typer.Argument()], name: Name = "default") -> None:
    """Print one path of a sandbox, alone on its line.

    kubeconfig: the admin's. data: its folder. logs: its components' logs. kubectl: a kubectl of its version.
    """
    with _reported():
        record = read(sandbox_directory(name))
        if record is None:
            _fail(f"There is no sandbox {name}.")
        sandbox = Sandbox(record)
        layout = layout_of(record)
        places = {
            Place.KUBECONFIG: layout.kubeconfig,
            Place.DATA: layout.directory,
            Place.LOGS: layout.logs,
            Place.KUBECTL: sandbox.binaries.kubectl,
        }
        typer.echo(str(places[what]))


@app.command(
    context_settings={
        "allow_extra_args": True,
        "ignore_unknown_options": True,
        "allow_interspersed_args": False,
    },
    options_metavar="[--name NAME] --",
)
def kubectl(context: typer.Context, name: Name = "default") -> None:
    """Run the bundled kubectl as the sandbox's admin; the exit code is kubectl's.

    For example: trimtab sandbox kubectl -- get namespaces
    """
    with _reported():
        sandbox = Sandbox.find(name)
        here = sandbox.kubectl_here
        sys.stdout.flush()
        os.execve(here.binary, [str(here.binary), *context.args], here.environment)  # noqa: S606 - no shell wanted


@app.command()
def build() -> None:
    """Build the binaries now, where they are not built yet, and print their folder."""
    with _reported():
        typer.echo(str(ensure_binaries().directory))


class _reported:  # noqa: N801 - reads as a statement
    """Turns the sandbox's errors into a message and exit code 1."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, SandboxError):
            _fail(str(error))
        if isinstance(error, KeyboardInterrupt):
            typer.echo("Interrupted: nothing is left running.", err=True)
            raise typer.Exit(130)


def _fail(message: str) -> NoReturn:
    typer.echo(message, err=True)
    raise typer.Exit(1)


def _sweep() -> None:
    for name in sweep():
        typer.echo(f"Removed sandbox {name}: the process that it belonged to is gone.", err=True)


def _usage(status: Status) -> str:
    option = "" if status.name == "default" else f" --name {status.name}"
    return "\n".join(
        [
            "",
            f"  export KUBECONFIG={status.kubeconfig}",
            f"  trimtab sandbox kubectl{option} -- get namespaces",
            f"  trimtab sandbox status{option}",
            f"  trimtab sandbox down{option}",
        ]
    )


def _count(nodes: int) -> str:
    return "1 node" if nodes == 1 else f"{nodes} nodes"


def _show(content: object, output: Output, table: Callable[[], Table]) -> None:
    if output is Output.JSON:
        typer.echo(json.dumps(content, indent=2))
    elif output is Output.YAML:
        typer.echo(yaml.safe_dump(content, sort_keys=False).rstrip())
    else:
        # Wide enough for a path: a table that is piped or narrow must not cut what people copy.
        Console(width=max(Console().width, 160), highlight=False).print(table())


def _table(statuses: list[Status]) -> Table:
    table = Table("NAME", "STATE", "SERVER", "VERSION", "NODES", "AGE", "OWNER", box=None, pad_edge=False)
    for one in statuses:
        owner = str(one.owner_pid) if one.owner_pid else "-"
        age = _age(one.age_seconds)
        table.add_row(one.name, one.state, one.server, one.version, str(one.nodes), age, owner)
    return table


def _details(one: Status) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_row("name", one.name)
    table.add_row("state", f"{one.state} ({one.reason})" if one.reason else one.state)
    if one.state != "Absent":
        table.add_row("server", one.server)
        table.add_row("version", one.version)
        table.add_row("kubeconfig", one.kubeconfig)
        table.add_row("nodes", str(one.nodes))
        table.add_row("age", _age(one.age_seconds))
        lives = f"as long as process {one.owner_pid}" if one.owner_pid else "until `sandbox down`"
        table.add_row("lives", lives)
    for component in one.components:
        table.add_row(component.name, f"pid {component.pid}" if component.running else "not running")
    return table


def _age(seconds: int) -> str:
    if seconds < 120:
        return f"{seconds}s"
    if seconds < 7200:
        return f"{seconds // 60}m"
    return f"{seconds // 3600}h"
