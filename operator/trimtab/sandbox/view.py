"""The status of sandboxes as tables, JSON and YAML."""

from __future__ import annotations

import enum
import json
from collections.abc import Callable

import typer
import yaml
from rich.console import Console
from rich.table import Table

from trimtab.sandbox.status import Status


class Output(enum.StrEnum):
    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


def show_one(status: Status, output: Output) -> None:
    _show(status.as_dict(), output, lambda: _details(status))


def show_all(statuses: list[Status], output: Output) -> None:
    _show([status.as_dict() for status in statuses], output, lambda: _table(statuses))


def usage(status: Status) -> str:
    """Commands for a sandbox that runs."""
    option = "" if status.name == "default" else f" --name {status.name}"
    return f"""
  export KUBECONFIG={status.kubeconfig}
  trimtab sandbox kubectl{option} -- get namespaces
  trimtab sandbox status{option}
  trimtab sandbox down{option}"""


def count(nodes: int) -> str:
    return "1 node" if nodes == 1 else f"{nodes} nodes"


def _show(content: object, output: Output, table: Callable[[], Table]) -> None:
    if output is Output.JSON:
        typer.echo(json.dumps(content, indent=2))
    elif output is Output.YAML:
        typer.echo(yaml.safe_dump(content, sort_keys=False).rstrip())
    else:
        # Wide enough for a path, which must not be cut in a narrow terminal or a pipe, because users copy it.
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
        runs = f"until process {one.owner_pid} exits" if one.owner_pid else "until `trimtab sandbox down`"
        table.add_row("runs", runs)
    for component in one.components:
        table.add_row(component.name, f"pid {component.pid}" if component.running else "not running")
    return table


def _age(seconds: int) -> str:
    if seconds < 120:
        return f"{seconds}s"
    if seconds < 7200:
        return f"{seconds // 60}m"
    return f"{seconds // 3600}h"
