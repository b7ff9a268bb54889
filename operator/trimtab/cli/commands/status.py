"""``trimtab status``: how templates, groups and users of a cluster stand."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from trimtab.cli.errors import Failure
from trimtab.cli.options import Context, Kubeconfig, Namespace, Output
from trimtab.cli.view.output import Format, notes, print_table, row, say, show, table

if TYPE_CHECKING:
    from trimtab.cli.cluster.connection import Cluster

LISTED = 20
"""Users that a table lists; -o json has all of them."""
Object = dict[str, Any]


def status(
    template: Annotated[
        Optional[str], typer.Argument(metavar="[TEMPLATE]", help="Default: every template.")  # noqa: UP045
    ] = None,
    namespace: Namespace = None,
    all_namespaces: Annotated[bool, typer.Option("--all-namespaces", "-A", help="Every namespace.")] = False,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    output: Output = Format.TABLE,
) -> None:
    """Show templates, their groups and rollouts, how many users they have, and whose preferences are refused and why.

    Examples:

        trimtab status

        trimtab status music-agent -n music

        trimtab status -A -o json

    Exit code: 0 everything is Ready, 1 something is not, or the cluster refused, 2 wrong usage.
    """
    if namespace is not None and all_namespaces:
        raise Failure("name a namespace by -n or all of them by -A, not both", 2)
    from trimtab.cli.cluster.connection import Target, with_cluster
    from trimtab.cli.cluster.status import Scope, read

    async def work(cluster: Cluster) -> Standing:
        where = None if all_namespaces else namespace or cluster.namespace
        return await read(cluster, Scope(where, template))

    found = with_cluster(Target(kubeconfig, context), work)
    show(found.to_dict(), output, lambda: _people(found))
    notes(found.notes)
    if not found.ready:
        raise typer.Exit(1)


@dataclass(slots=True)
class Standing:
    """What was found. Each object carries ``ready``, ``reason`` and ``message``."""

    where: str
    templates: list[Object] = field(default_factory=list)
    groups: list[Object] = field(default_factory=list)
    users: list[Object] = field(default_factory=list)
    rollouts: list[Object] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def ready(self) -> bool:
        listed = (*self.templates, *self.groups, *self.users, *self.rollouts)
        return all(item["ready"] == "True" for item in listed)

    def to_dict(self) -> Object:
        return {
            "ready": self.ready,
            "templates": self.templates,
            "groups": self.groups,
            "refusedUsers": self.users,
            "policyRollouts": self.rollouts,
            "notes": self.notes,
        }


def _people(found: Standing) -> None:
    if not (found.templates or found.groups or found.users or found.rollouts):
        say(f"There is no template or preference {found.where}.")
        return
    _section(
        "ConfigTemplates",
        found.templates,
        ("NAMESPACE", "NAME", "READY", "REASON", "GROUPS", "USERS", "INVALID"),
    )
    _section(
        "Groups",
        found.groups,
        ("NAMESPACE", "TEMPLATE", "GROUP", "READY", "REASON", "REVISION", "USERS", "INVALID", "SHARDS"),
    )
    _section("Rollouts", _rollouts(found), ("NAMESPACE", "ROLLOUT", "PHASE", "WAVE", "UPDATED", "READY"))
    listed = found.users[:LISTED]
    _section(
        "Refused preferences", listed, ("NAMESPACE", "NAME", "USER", "TEMPLATE", "GROUP", "REASON", "MESSAGE")
    )
    if len(found.users) > LISTED:
        say(f"and {len(found.users) - LISTED} more; -o json lists all of them")
    for item in (*found.templates, *found.groups, *found.rollouts):
        if item["ready"] != "True" and not _repeats(item, found.groups):
            name = item["name"] if "name" in item else f"{item['template']}, group {item['group']}"
            say(f"{item['namespace']}/{name}: {item['reason']}: {item['message']}", style="red")


def _repeats(item: Object, groups: list[Object]) -> bool:
    """Whether a template says no more than what one of its groups says: its message then begins with the group."""
    return any(
        item["message"].startswith(f"group {group['group']}: {group['message']}"[: len(item["message"])])
        for group in groups
        if item.get("name") == group["template"]
        and item["namespace"] == group["namespace"]
        and group["message"]
    )


def _rollouts(found: Standing) -> list[Object]:
    """What rolls out, by the name that `trimtab rollout` takes."""
    policies = [{**item, "rollout": f"policyrollout/{item['name']}"} for item in found.rollouts]
    templates = [
        {**item, "rollout": f"configtemplate/{item['name']}"} for item in found.templates if "phase" in item
    ]
    return policies + templates


def _section(title: str, items: list[Object], columns: tuple[str, ...]) -> None:
    if not items:
        return
    say(title, style="bold")
    made = table(*columns)
    for item in items:
        row(made, *(item.get(column.lower(), "-") for column in columns))
    print_table(made)
    say()
