"""``trimtab status``: templates, groups, rollouts and refused preferences of a cluster."""

from __future__ import annotations

from typing import Annotated

import typer

from trimtab.cli.cluster.connection import Cluster, with_cluster
from trimtab.cli.errors import Failure
from trimtab.cli.options import ClusterOptions, Output, name
from trimtab.cli.output import Format, notes, show
from trimtab.cli.view.status import Scope, Status, read


def status(
    cluster: ClusterOptions,
    template: Annotated[str | None, name("[TEMPLATE]", "Default: every template.")] = None,
    all_namespaces: Annotated[bool, typer.Option("--all-namespaces", "-A", help="Every namespace.")] = False,
    output: Output = Format.TABLE,
) -> None:
    """Show templates, groups, rollouts and refused preferences, with reasons.

    Examples:

        trimtab status

        trimtab status music-agent -n music

        trimtab status -A -o json

    Exit code: 0 everything is Ready, 1 something is not, or refused by the cluster, 2 wrong usage.
    """
    if cluster.namespace is not None and all_namespaces:
        raise Failure("-n cannot be combined with -A", 2)

    async def work(connected: Cluster) -> Status:
        return await read(connected, Scope(None if all_namespaces else connected.namespace, template))

    found = with_cluster(cluster, work)
    show(found, output)
    notes(found.notes)
    if not found.ready:
        raise typer.Exit(1)
