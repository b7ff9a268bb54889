"""``trimtab diff``: what differs between two revisions of a group, or between what a user preferred and prefers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from trimtab.cli.errors import Failure
from trimtab.cli.options import ClusterNamespace, Context, Kubeconfig, TextOutput
from trimtab.cli.view.output import Format, notes, program, show

if TYPE_CHECKING:
    from trimtab.cli.cluster.connection import Cluster
    from trimtab.cli.cluster.preferences import Whose
    from trimtab.cli.cluster.revisions import Served
    from trimtab.cli.view.diff import Comparison
    from trimtab.core.resolve.resolve import GroupView

TemplateOption = Annotated[
    Optional[str],  # noqa: UP045 - typer reads it at run time
    typer.Option("--template", help="With --user: of which template, if there are several."),
]


def diff(
    template: Annotated[
        Optional[str],  # noqa: UP045
        typer.Argument(metavar="[TEMPLATE]", help="The ConfigTemplate's name; with --user: [GENERATION]."),
    ] = None,
    group: Annotated[Optional[str], typer.Argument(metavar="[GROUP]", help="One of its groups.")] = None,  # noqa: UP045
    old: Annotated[
        Optional[str],  # noqa: UP045
        typer.Argument(metavar="[FROM]", help="A revision. Default: stable, or the one before."),
    ] = None,
    new: Annotated[
        Optional[str],  # noqa: UP045
        typer.Argument(metavar="[TO]", help="A revision. Default: what is served now."),
    ] = None,
    user: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Compare what this user preferred with what is in force now."),
    ] = None,
    of: TemplateOption = None,
    namespace: ClusterNamespace = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    output: TextOutput = Format.TABLE,
) -> None:
    """Compare two revisions of a group, key by key with who sets it, and how its documents are made.

    Each line is `key  old (layer) -> new (layer)`. Of a sensitive value it says only whether it is another one. While
    a share of the users is on another revision already, that is what is compared by default. `trimtab history` lists
    revisions and generations.

    Examples:

        trimtab diff music-agent free

        trimtab diff music-agent free 3 5 -n music -o json

        trimtab diff --user alice

        trimtab diff --user alice 7 -n tenant-a

    Exit code, as of diff(1): 0 nothing differs, 1 something does, 2 wrong usage, not found, or the cluster refused.
    """
    from trimtab.cli.cluster.connection import Target, with_cluster

    target = Target(kubeconfig, context)
    with _trouble_is_2():
        if user is None:
            if template is None or group is None:
                raise Failure("what is to be compared? name TEMPLATE and GROUP, or --user NAME", 2)
            numbers = [_number(text, "revision") for text in (old, new)]

            async def theirs(cluster: Cluster) -> Comparison:
                return await _of_group(cluster, namespace or cluster.namespace, (template, group), numbers)

            found = with_cluster(target, theirs)
        else:
            if group is not None:
                raise Failure(
                    f"with --user comes one generation at most: {program()} diff --user {user} GENERATION", 2
                )
            generation = _number(template, "generation")

            async def mine(cluster: Cluster) -> Comparison:
                return await _of_user(cluster, namespace or cluster.namespace, (str(user), of), generation)

            found = with_cluster(target, mine)
    show(found.to_dict(), output, found.people)
    if output is Format.TABLE:
        notes(found.notes)
    if found.different:
        raise typer.Exit(1)


@contextlib.contextmanager
def _trouble_is_2() -> Iterator[None]:
    """1 says that something differs, so it must not say anything else."""
    try:
        yield
    except Failure as failure:
        raise typer.Exit(2 if failure.exit_code == 1 else failure.exit_code) from None


def _number(text: str | None, what: str) -> int | None:
    if text is None:
        return None
    if not text.isdecimal():
        raise Failure(f"{text} is no {what}: a whole number; `{program()} history` lists them", 2)
    return int(text)


async def _of_group(
    cluster: Cluster, namespace: str, names: tuple[str, str], numbers: list[int | None]
) -> Comparison:
    from trimtab.cli.cluster import revisions
    from trimtab.cli.cluster.rollout_reference import checked
    from trimtab.cli.view import diff as diff_view

    template, group = map(checked, names)
    served = await revisions.group(cluster, namespace, template, group)
    old, new = chosen(served, *numbers)
    data = [await revisions.content(cluster, served, number) for number in (old, new)]
    found = diff_view.of_revisions(template, group, *data)
    marks = [_marked(served, number) for number in (old, new)]
    about = {
        "template": {"namespace": served.namespace, "name": served.template},
        "group": group,
        "from": {"revision": old, "marks": served.marks(old)},
        "to": {"revision": new, "marks": served.marks(new)},
    }
    return replace(found, subject=f"{served}: revision {marks[0]} -> {marks[1]}", about=about)


def _marked(served: Served, number: int) -> str:
    marks = ", ".join(served.marks(number))
    return f"{number} ({marks})" if marks else str(number)


def chosen(served: Served, old: int | None, new: int | None) -> tuple[int, int]:
    """The revisions to compare: as given, else what some users are on already or what is served, with what was before.

    :raises Failure: there is but one.
    """
    if old is not None:
        served.entry(old)
        to = served.current if new is None else new
        served.entry(to)
        return old, to
    share = served.share.get("revision")
    if share is not None:
        return served.current, int(share)
    if served.stable not in (0, served.current):
        return served.stable, served.current
    numbers = [int(entry["number"]) for entry in served.entries]
    before = [number for number in numbers if number < served.current]
    if not before:
        others = [str(number) for number in numbers if number != served.current]
        more = (
            f"there is {', '.join(others)} as well: name FROM and TO"
            if others
            else "there is nothing to compare"
        )
        raise Failure(f"{served} has no revision before {served.current or 'its first one'}; {more}")
    return before[0], served.current


async def _of_user(
    cluster: Cluster, namespace: str, names: tuple[str, str | None], generation: int | None
) -> Comparison:
    from trimtab.cli.cluster import preferences
    from trimtab.cli.view import diff as diff_view

    user, template = names
    how = f"choose one: {program()} diff --user {user} --template NAME"
    found = await preferences.find(cluster, namespace, user, template, how)
    if found.accepted is None:
        raise Failure(f"nothing of {found} has been accepted yet, so there is nothing to compare")
    once = found.once(generation)
    comparison = diff_view.of_values(await view_of(cluster, found), once, found.accepted)
    about = {
        "user": found.user,
        "preference": {"namespace": found.namespace, "name": found.name},
        "group": found.group,
        "from": {"generation": once.generation},
        "to": {"generation": found.accepted.generation},
    }
    subject = f"user {found.user}: generation {once.generation} -> {found.accepted.generation} (in force)"
    return replace(comparison, subject=subject, about=about)


async def view_of(cluster: Cluster, found: Whose) -> GroupView | None:
    """What the user's group is served, so that provenance is known; None if that may not be read, or is not there."""
    from trimtab.cli.cluster import revisions
    from trimtab.core import naming
    from trimtab.kube import errors
    from trimtab.kube.resources import RENDERED_GROUPS

    home, template = found.template
    try:
        body = await cluster.get(RENDERED_GROUPS, home, naming.group_object(template, found.group))
        served = revisions.Served(body) if body is not None else None
        if served is None or not any(int(entry["number"]) == served.current for entry in served.entries):
            return None
        data = await revisions.fetched(cluster, served, served.current)
    except (errors.ForbiddenError, revisions.MissingError):
        return None
    return revisions.Revision.of(data, blind=True).view(template, found.group)
