"""``trimtab diff``: what differs between two revisions of a group, or two preferences of a user."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from typing import Annotated

import typer

from trimtab.cli.cluster import preferences, revisions
from trimtab.cli.cluster.connection import Cluster, with_cluster
from trimtab.cli.cluster.preferences import StoredPreference, TemplateOption
from trimtab.cli.cluster.revisions import RenderedGroup
from trimtab.cli.cluster.rollouts import checked
from trimtab.cli.errors import Failure
from trimtab.cli.group import program
from trimtab.cli.options import ClusterOptions, Output, name
from trimtab.cli.output import Format, notes, show
from trimtab.cli.view import diff as view
from trimtab.cli.view.diff import Comparison
from trimtab.core import naming
from trimtab.core.resolve.resolve import GroupView
from trimtab.kube import errors
from trimtab.kube.resources import RENDERED_GROUPS


@dataclass(frozen=True, kw_only=True)
class Compared:
    """What to compare: revisions of a group, or generations of a user's preference."""

    template: Annotated[
        str | None, name("[TEMPLATE]", "The ConfigTemplate's name; with --user: [GENERATION].")
    ] = None
    group: Annotated[str | None, name("[GROUP]", "One of its groups.")] = None
    old: Annotated[str | None, name("[FROM]", "A revision. Default: stable, or the previous one.")] = None
    new: Annotated[str | None, name("[TO]", "A revision. Default: the current one.")] = None
    user: Annotated[
        str | None, typer.Option(help="Compare this user's previous preference with the one in force.")
    ] = None
    of: TemplateOption = None


def diff(compared: Compared, cluster: ClusterOptions, output: Output = Format.TABLE) -> None:
    """Compare two revisions of a group, or two preferences of a user: values with their layers, then structure.

    Each line is `key  old (layer) -> new (layer)`. Of a sensitive value it shows only whether it has changed. While
    a share of the users is on a newer revision, that one is compared by default. `trimtab history` lists revisions
    and generations.

    Examples:

        trimtab diff music-agent free

        trimtab diff music-agent free 3 5 -n music -o json

        trimtab diff --user alice

        trimtab diff --user alice 7 -n tenant-a

    Exit code, as of diff(1): 0 no difference, 1 a difference, 2 wrong usage, not found, or refused by the cluster.
    """
    with _every_failure_is_2():
        work = _of_group(compared) if compared.user is None else _of_user(compared, compared.user)
        found = with_cluster(cluster, work)
    show(found, output)
    if output is Format.TABLE:
        notes(found.notes)
    if found.different:
        raise typer.Exit(1)


@contextlib.contextmanager
def _every_failure_is_2() -> Iterator[None]:
    """Exit code 1 is for a difference only."""
    try:
        yield
    except Failure as failure:
        raise typer.Exit(2 if failure.exit_code == 1 else failure.exit_code) from None


def _number(text: str | None, what: str) -> int | None:
    if text is None:
        return None
    if not text.isdecimal():
        raise Failure(f"{text} is not a valid {what}; `{program()} history` lists them", 2)
    return int(text)


Work = Callable[[Cluster], Awaitable[Comparison]]


def _of_group(compared: Compared) -> Work:
    if compared.template is None or compared.group is None:
        raise Failure("name TEMPLATE and GROUP, or --user NAME", 2)
    template, group = checked(compared.template), checked(compared.group)
    numbers = [_number(text, "revision") for text in (compared.old, compared.new)]

    async def work(cluster: Cluster) -> Comparison:
        found = await revisions.group(cluster, template, group)
        old, new = chosen(found, *numbers)
        data = [await revisions.content(cluster, found, number) for number in (old, new)]
        about = found.about | {
            name: {"revision": number, "marks": found.marks(number)}
            for name, number in (("from", old), ("to", new))
        }
        subject = f"{found}: revision {_marked(found, old)} -> {_marked(found, new)}"
        return replace(view.of_revisions(template, group, *data), subject=subject, about=about)

    return work


def _marked(group: RenderedGroup, number: int) -> str:
    marks = ", ".join(group.marks(number))
    return f"{number} ({marks})" if marks else str(number)


def chosen(group: RenderedGroup, old: int | None, new: int | None) -> tuple[int, int]:
    """The revisions to compare: as given, else a share's with the current one, else the current with the previous one.

    :raises Failure: there is only one.
    """
    if old is not None:
        new = group.current if new is None else new
        group.entry(old)
        group.entry(new)
        return old, new
    if group.share.get("revision") is not None:
        return group.current, int(group.share["revision"])
    if group.stable not in (0, group.current):
        return group.stable, group.current
    return _previous(group), group.current


def _previous(group: RenderedGroup) -> int:
    """The revision before the current one. :raises Failure: there is none."""
    before = [number for number in group.numbers if number < group.current]
    if before:
        return before[0]
    others = ", ".join(str(number) for number in group.numbers if number != group.current)
    more = f"it has {others}: name FROM and TO" if others else "there is nothing to compare"
    raise Failure(f"{group} has no revision before {group.current or 'its first one'}; {more}")


def _of_user(compared: Compared, user: str) -> Work:
    if compared.group is not None:
        raise Failure(
            f"--user can be combined with one generation: {program()} diff --user {user} GENERATION", 2
        )
    generation = _number(compared.template, "generation")

    async def work(cluster: Cluster) -> Comparison:
        command = f"{program()} diff --user {user} --template NAME"
        found = await preferences.find(cluster, user, compared.of, command)
        now = found.accepted
        if now is None:
            raise Failure(f"{found}: no generation has been accepted yet, so there is nothing to compare")
        old = found.previous(generation)
        about = found.about | {
            "group": found.group,
            "from": {"generation": old.generation},
            "to": {"generation": now.generation},
        }
        subject = f"user {found.user}: generation {old.generation} -> {now.generation} (in force)"
        return replace(view.of_values(await _view(cluster, found), old, now), subject=subject, about=about)

    return work


async def _view(cluster: Cluster, found: StoredPreference) -> GroupView | None:
    """The current revision of the user's group; None if it cannot be read."""
    home, template = found.template
    try:
        body = await cluster.get(RENDERED_GROUPS, home, naming.group_object(template, found.group))
        group = RenderedGroup(body) if body is not None else None
        if group is None or group.current not in group.numbers:
            return None
        data = await revisions.stored(cluster, group, group.current)
    except (errors.ForbiddenError, revisions.MissingError):
        return None
    return revisions.Revision.of(data, blind=True).view(template, found.group)
