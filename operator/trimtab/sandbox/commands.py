"""``trimtab sandbox``: the functions of this package as commands."""

from __future__ import annotations

import contextlib
import enum
import os
import sys
import time
from collections.abc import Iterator
from typing import Annotated, NoReturn, Optional

import typer

from trimtab.sandbox.build import ensure_binaries
from trimtab.sandbox.cluster import Sandbox, remove
from trimtab.sandbox.errors import SandboxError
from trimtab.sandbox.paths import sandbox_directory
from trimtab.sandbox.record import read, remove_orphans
from trimtab.sandbox.status import Status, all_statuses, status_of
from trimtab.sandbox.view import Output, count, show_all, show_one, usage

app = typer.Typer(
    name="sandbox",
    help="A real Kubernetes control plane on this machine, without Docker.",
    no_args_is_help=True,
    add_completion=False,
)

Name = Annotated[
    str, typer.Option("--name", metavar="NAME", help="Name of the sandbox. Several can run at the same time.")
]
Format = Annotated[Output, typer.Option("--output", "-o", help="Output format.")]


class SandboxPath(enum.StrEnum):
    KUBECONFIG = "kubeconfig"
    DATA = "data"
    LOGS = "logs"
    KUBECTL = "kubectl"


@app.command()
def up(
    name: Name = "default",
    nodes: Annotated[
        Optional[int],  # noqa: UP045 - typer reads it at run time
        typer.Option(min=0, max=1000, help="Nodes simulated by kwok, on which pods run. Defaults to 0."),
    ] = None,
) -> None:
    """Start a sandbox in the background and print how to use it. Does nothing if it runs already.

    The first start on a machine builds the binaries, which takes 5 to 12 minutes on two cores.
    """
    with _errors_reported():
        _remove_orphans()
        before = status_of(name)
        if before.running:
            _report_running(before, nodes)
            return
        if before.state == "Stopped":
            typer.echo(f"Sandbox {name} had stopped; starting a new one.", err=True)
        elif before.state != "Absent":
            remedy = f"remove it with `trimtab sandbox down --name {name}`"
            _fail(f"Sandbox {name} is {before.state}: {before.reason}; {remedy}")
        ensure_binaries()
        started = time.monotonic()
        Sandbox.start(name, nodes=nodes or 0, lifetime="detached")
        took = time.monotonic() - started
        now = status_of(name)
        typer.echo(
            f"Sandbox {name} is up after {took:.1f}s: Kubernetes {now.version}, {count(now.nodes)}, {now.server}"
        )
        typer.echo("etcd runs with --unsafe-no-fsync: fast, but a crash of the machine may lose its data.")
        typer.echo(usage(now))


def _report_running(running: Status, nodes: int | None) -> None:
    name = running.name
    if nodes not in (None, running.nodes):
        remedy = f"run `trimtab sandbox down --name {name}` first, then start it with --nodes {nodes}"
        _fail(f"Sandbox {name} is already running, with {count(running.nodes)}; {remedy}")
    typer.echo(f"Sandbox {name} is already running, with {count(running.nodes)}.\n{usage(running)}")


@app.command()
def down(name: Name = "default") -> None:
    """Stop a sandbox and remove its data. Does nothing if there is none."""
    with _errors_reported():
        _remove_orphans()
        typer.echo(f"Sandbox {name} is removed." if remove(name) else f"There is no sandbox {name}.")


@app.command()
def status(
    name: Name = "default",
    every: Annotated[bool, typer.Option("--all", help="List all sandboxes.")] = False,
    output: Format = Output.TABLE,
) -> None:
    """Show the status of a sandbox.

    The exit code is 0 if it is Running, 1 if it is Starting, Degraded, Stopped or Absent. With --all it is always 0.
    """
    with _errors_reported():
        _remove_orphans()
        if every:
            show_all(all_statuses(), output)
            return
        one = status_of(name)
        show_one(one, output)
    if not one.running:
        raise typer.Exit(1)


@app.command()
def path(what: Annotated[SandboxPath, typer.Argument()], name: Name = "default") -> None:
    """Print a path of a sandbox and nothing else.

    kubeconfig: the admin's. data: its directory. logs: the components' logs. kubectl: a kubectl of its version.
    """
    with _errors_reported():
        record = read(sandbox_directory(name))
        if record is None:
            _fail(f"There is no sandbox {name}.")
        sandbox = Sandbox(record)
        paths = {
            SandboxPath.KUBECONFIG: sandbox.kubeconfig,
            SandboxPath.DATA: sandbox.directory,
            SandboxPath.LOGS: sandbox.logs,
            SandboxPath.KUBECTL: sandbox.binaries.kubectl,
        }
        typer.echo(str(paths[what]))


@app.command(
    context_settings={
        "allow_extra_args": True,
        "ignore_unknown_options": True,
        "allow_interspersed_args": False,
    },
    options_metavar="[--name NAME] --",
)
def kubectl(context: typer.Context, name: Name = "default") -> None:
    """Run the bundled kubectl as the sandbox's admin. The exit code is that of kubectl.

    For example: trimtab sandbox kubectl -- get namespaces
    """
    with _errors_reported():
        admin = Sandbox.find(name).admin_kubectl
        sys.stdout.flush()
        os.execve(admin.binary, [str(admin.binary), *context.args], admin.environment)  # noqa: S606 - no shell


@app.command()
def build() -> None:
    """Build the binaries if they do not exist, and print their directory."""
    with _errors_reported():
        typer.echo(str(ensure_binaries().directory))


@contextlib.contextmanager
def _errors_reported() -> Iterator[None]:
    """Prints an error of the sandbox as a message and exits with code 1."""
    try:
        yield
    except SandboxError as error:
        _fail(str(error))
    except KeyboardInterrupt:
        typer.echo("Interrupted; no process remains.", err=True)
        raise typer.Exit(130) from None


def _fail(message: str) -> NoReturn:
    typer.echo(message, err=True)
    raise typer.Exit(1) from None


def _remove_orphans() -> None:
    for name in remove_orphans():
        typer.echo(f"Removed sandbox {name}, whose owner process has exited.", err=True)
