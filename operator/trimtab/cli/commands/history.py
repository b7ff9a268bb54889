"""``trimtab history``: the revisions of a template's groups, or what a user's preference was before."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from trimtab.cli.cluster import preferences, revisions
from trimtab.cli.cluster.connection import Cluster, with_cluster
from trimtab.cli.cluster.preferences import StoredPreference
from trimtab.cli.cluster.revisions import Entry, RenderedGroup
from trimtab.cli.cluster.rollouts import checked
from trimtab.cli.errors import Failure
from trimtab.cli.group import program
from trimtab.cli.options import ClusterOptions, Output, name
from trimtab.cli.output import Format, Line, Part, show, table
from trimtab.core.text import cut

CUT = 120


def history(
    cluster: ClusterOptions,
    template: Annotated[str | None, name("[TEMPLATE]", "The ConfigTemplate's name.")] = None,
    group: Annotated[str | None, name("[GROUP]", "One of its groups. Default: all.")] = None,
    user: Annotated[
        str | None, typer.Option(help="A user's preferences instead; TEMPLATE chooses if there are several.")
    ] = None,
    output: Output = Format.TABLE,
) -> None:
    """List the revisions of a template's groups, or a user's previous preferences.

    A revision is a template's content together with the policies of the group. The same content has the same number,
    so a rollback returns to an older number. A user's history holds accepted specs that newer ones replaced; it is in
    the preference's status. `trimtab diff` compares, `trimtab undo` returns to an older one.

    Examples:

        trimtab history music-agent

        trimtab history music-agent free -n music -o json

        trimtab history --user alice -n tenant-a

    Exit code: 0 shown, 1 no such template, group or user, or refused by the cluster, 2 wrong usage.
    """
    if user is None and template is None:
        raise Failure("name a TEMPLATE, or --user NAME", 2)
    if user is not None and group is not None:
        raise Failure("a GROUP cannot be combined with --user", 2)
    for given in filter(None, (template, group)):
        checked(given)

    async def of_user(connected: Cluster) -> UserHistory:
        command = f"{program()} history TEMPLATE --user {user}"
        return UserHistory(await preferences.find(connected, str(user), template, command))

    async def of_groups(connected: Cluster) -> GroupHistory:
        if group is not None:
            return GroupHistory([await revisions.group(connected, str(template), group)])
        return GroupHistory(await revisions.groups(connected, str(template)))

    show(with_cluster(cluster, of_groups) if user is None else with_cluster(cluster, of_user), output)


@dataclass(frozen=True, slots=True)
class GroupHistory:
    """The revisions of groups of one template."""

    groups: Sequence[RenderedGroup]

    def content(self) -> dict[str, Any]:
        return {
            "template": self.groups[0].about["template"],
            "groups": [
                {
                    "group": group.group,
                    "current": group.current,
                    "stable": group.stable or None,
                    **({"share": group.share} if group.share else {}),
                    "revisions": [e | {"marks": group.marks(int(e["number"]))} for e in group.entries],
                }
                for group in self.groups
            ],
        }

    def parts(self) -> Iterator[Part]:
        first = self.groups[0]
        yield Line(f"ConfigTemplate {first.namespace}/{first.template}", "bold")
        for group in self.groups:
            yield Line()
            yield Line(f"group {group.group}", "bold")
            rows = (_cells(entry, group) for entry in group.entries)
            yield table("REVISION CREATED WHY BY SNAPSHOT POLICIES IS", rows)


def _cells(entry: Entry, group: RenderedGroup) -> Iterator[object]:
    yield entry["number"]
    yield from (entry.get(name, "-") for name in ("createdAt", "reason", "by", "snapshot"))
    yield ", ".join(str(ref["name"]) for ref in entry.get("policies") or ()) or "-"
    yield ", ".join(group.marks(int(entry["number"])))


@dataclass(frozen=True, slots=True)
class UserHistory:
    """What is and was in force of a user's preference."""

    preference: StoredPreference

    def content(self) -> dict[str, Any]:
        found = self.preference
        return {
            **found.about,
            "template": dict(zip(("namespace", "name"), found.template, strict=True)),
            "group": found.group,
            "generation": found.meta.get("generation"),
            "accepted": found.accepted.content() if found.accepted else None,
            "history": [entry.content() for entry in found.history],
        }

    def parts(self) -> Iterator[Part]:
        found, accepted = self.preference, self.preference.accepted
        yield Line(
            f"user {found.user}: {found}, template {'/'.join(found.template)}, group {found.group}", "bold"
        )
        if accepted is None:
            yield Line("no generation has been accepted yet")
            return
        rows = (
            (entry.generation, entry.schema_version or "-", mark, brief(entry.values))
            for entry, mark in ((accepted, "in force"), *((entry, "") for entry in found.history))
        )
        yield table("GENERATION SCHEMA IS VALUES", rows)
        if found.generation > accepted.generation:
            why = f"`{program()} explain` shows why"
            yield Line(f"generation {found.generation} is not in force (yet): {why}", "yellow")


def brief(values: dict[str, Any]) -> str:
    """Values in one line."""
    pairs = ", ".join(f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in values.items())
    return cut(pairs, CUT) or "(none)"
