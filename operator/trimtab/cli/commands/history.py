"""``trimtab history``: what a group has served, and what a user has preferred."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from trimtab.cli.errors import Failure
from trimtab.cli.options import ClusterNamespace, Context, Kubeconfig, TextOutput
from trimtab.cli.view.output import Format, print_table, program, row, say, show, table

if TYPE_CHECKING:
    from trimtab.cli.cluster.connection import Cluster
    from trimtab.cli.cluster.preferences import Whose
    from trimtab.cli.cluster.revisions import Served

CUT = 120


def history(
    template: Annotated[
        Optional[str], typer.Argument(metavar="[TEMPLATE]", help="The ConfigTemplate's name.")  # noqa: UP045
    ] = None,
    group: Annotated[
        Optional[str], typer.Argument(metavar="[GROUP]", help="One of its groups. Default: all.")  # noqa: UP045
    ] = None,
    user: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="What this user preferred, and prefers; TEMPLATE chooses if there are several."),
    ] = None,
    namespace: ClusterNamespace = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    output: TextOutput = Format.TABLE,
) -> None:
    """List the revisions of a template's groups, or what a user's preference was before.

    A revision is a template's content together with the policies over the group; what has the same content has the
    same number, so a rollback returns to an old one. A user's history holds what was accepted and then superseded;
    it is in the preference's status. `trimtab diff` compares, `trimtab undo` goes back.

    Examples:

        trimtab history music-agent

        trimtab history music-agent free -n music -o json

        trimtab history --user alice -n tenant-a

    Exit code: 0 shown, 1 no such template, group or user, or the cluster refused, 2 wrong usage.
    """
    from trimtab.cli.cluster.connection import Target, with_cluster
    from trimtab.cli.cluster.rollout_reference import checked

    if user is None and template is None:
        raise Failure("whose history? name a TEMPLATE, or --user NAME", 2)
    if user is not None and group is not None:
        raise Failure("name a GROUP or --user, not both", 2)
    for name in (template, group):
        if name is not None:
            checked(name)
    target = Target(kubeconfig, context)
    if user is not None:
        from trimtab.cli.cluster import preferences

        async def mine(cluster: Cluster) -> Whose:
            where = namespace or cluster.namespace
            how = f"choose one: {program()} history TEMPLATE --user {user}"
            return await preferences.find(cluster, where, str(user), template, how)

        found = with_cluster(target, mine)
        show(of_user(found), output, lambda: _user(found))
        return
    from trimtab.cli.cluster import revisions

    async def theirs(cluster: Cluster) -> list[Served]:
        where = namespace or cluster.namespace
        if group is not None:
            return [await revisions.group(cluster, where, str(template), group)]
        return await revisions.groups(cluster, where, str(template))

    served = with_cluster(target, theirs)
    show(of_groups(served), output, lambda: _groups(served))


def of_groups(served: list[Served]) -> dict[str, Any]:
    """The whole for programs."""
    return {
        "template": {"namespace": served[0].namespace, "name": served[0].template},
        "groups": [
            {
                "group": one.group,
                "current": one.current,
                "stable": one.stable or None,
                **({"share": one.share} if one.share else {}),
                "revisions": [entry | {"marks": one.marks(int(entry["number"]))} for entry in one.entries],
            }
            for one in served
        ],
    }


def _groups(served: list[Served]) -> None:
    say(f"ConfigTemplate {served[0].namespace}/{served[0].template}", style="bold")
    for one in served:
        say()
        say(f"group {one.group}", style="bold")
        made = table("REVISION", "MADE", "WHY", "BY", "SNAPSHOT", "POLICIES", "IS")
        for entry in one.entries:
            policies = ", ".join(str(ref["name"]) for ref in entry.get("policies") or ()) or "-"
            row(
                made,
                entry["number"],
                entry.get("createdAt", "-"),
                entry.get("reason", "-"),
                entry.get("by", "-"),
                entry.get("snapshot", "-"),
                policies,
                ", ".join(one.marks(int(entry["number"]))),
            )
        print_table(made)


def of_user(found: Whose) -> dict[str, Any]:
    """The whole for programs."""
    return {
        "user": found.user,
        "preference": {"namespace": found.namespace, "name": found.name},
        "template": dict(zip(("namespace", "name"), found.template, strict=True)),
        "group": found.group,
        "generation": found.body["metadata"].get("generation"),
        "accepted": found.accepted.to_dict() if found.accepted else None,
        "history": [entry.to_dict() for entry in found.history],
    }


def _user(found: Whose) -> None:
    say(f"user {found.user}: {found}, template {'/'.join(found.template)}, group {found.group}", style="bold")
    if found.accepted is None:
        say("nothing of it has been accepted yet")
        return
    made = table("GENERATION", "SCHEMA", "IS", "VALUES")
    for number, entry in enumerate((found.accepted, *found.history)):
        row(
            made,
            entry.generation,
            entry.schema_version or "-",
            "" if number else "in force",
            brief(entry.values),
        )
    print_table(made)
    newer = int(found.body["metadata"].get("generation") or 0)
    if newer > found.accepted.generation:
        say(
            f"generation {newer} is not, or not yet, in force: `{program()} explain` says why", style="yellow"
        )


def brief(values: dict[str, Any]) -> str:
    """Values in one line."""
    text = ", ".join(f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in values.items())
    return (text if len(text) <= CUT else f"{text[: CUT - 3]}...") or "(none)"
