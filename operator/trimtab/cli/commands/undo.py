"""``trimtab undo``: return a group, a rollout or a user to the previous content."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from trimtab.cli.cluster import preference_undo, preferences
from trimtab.cli.cluster.actions import Action, ActionOptions, Request, carry_out, confirm
from trimtab.cli.cluster.connection import Cluster, with_cluster
from trimtab.cli.cluster.preference_undo import Older
from trimtab.cli.cluster.preferences import TemplateOption
from trimtab.cli.cluster.progress import Progress
from trimtab.cli.cluster.rollouts import Reference, Rollout
from trimtab.cli.commands.rollout import seen
from trimtab.cli.errors import Failure
from trimtab.cli.group import program
from trimtab.cli.options import ClusterOptions, name
from trimtab.cli.output import Format, as_yaml, notes, say, show
from trimtab.cli.view import template_undo
from trimtab.cli.view.template_undo import OlderTemplate


@dataclass(frozen=True, kw_only=True)
class UserOptions:
    """Which user's preference, how far back, and whether to apply it."""

    user: Annotated[
        str | None, typer.Option(help="Print this user's previous preference, or --apply it.")
    ] = None
    to: Annotated[
        int | None, typer.Option(metavar="GENERATION", help="With --user: which. Default: the previous one.")
    ] = None
    of: TemplateOption = None
    apply: Annotated[bool, typer.Option("--apply", help="With --user: apply it.")] = False
    force: Annotated[
        bool,
        typer.Option("--force", help="With --apply: also values managed by another client or a GitOps tool."),
    ] = False


def undo(
    cluster: ClusterOptions,
    users: UserOptions,
    options: ActionOptions,
    what: Annotated[
        str | None, name("[NAME]", "A ConfigTemplate, with GROUP; or a rollout: policyrollout/NAME.")
    ] = None,
    group: Annotated[str | None, name("[GROUP]", "The group to roll back.")] = None,
) -> None:
    """Return a group, a rollout or a user to the previous content.

    A group: the rollout of its present revision is undone, in all groups that it reached (by a RolloutAction, as in
    `trimtab rollout undo`). If the revision is a change of a template without a strategy, the difference is shown
    instead, and how to restore the older content: Trimtab never writes a spec.

    A user: the previous preference is printed for kubectl replace (apply would keep keys that other clients have
    added), or with --apply restored with the field manager trimtab-cli. If a GitOps tool or a controller manages the
    values, --apply is refused: the tool would revert it.

    Examples:

        trimtab undo music-agent free

        trimtab undo policyrollout/calmer-agents --reason "requested by support"

        trimtab undo music-agent free -o yaml | kubectl replace -f -

        trimtab undo --user alice > alice.yaml

        trimtab undo --user alice --to 7 --apply

    Exit code: 0 done or shown, 1 refused, not found, or refused by the cluster, 2 wrong usage, 3 not processed yet.
    """
    if users.user is not None:
        if what is not None:
            reason = "--template chooses the user's template"
            raise Failure(f"a group or rollout cannot be combined with --user; {reason}", 2)
        if users.force and not users.apply:
            raise Failure("--force requires --apply", 2)
        _of_user(cluster, users, users.user, options.output)
        return
    if users != UserOptions():
        raise Failure("--apply, --force, --to and --template require --user", 2)
    if what is None:
        raise Failure("name TEMPLATE and GROUP, a rollout, or --user NAME", 2)
    _of_rollout(cluster, Reference.parse(what), group, options)


def _of_user(cluster: ClusterOptions, users: UserOptions, user: str, output: Format) -> None:
    async def work(connected: Cluster) -> Older:
        command = f"{program()} undo --user {user} --template NAME"
        found = await preferences.find(connected, user, users.of, command)
        older = Older(found, found.previous(users.to))
        return await preference_undo.apply(connected, older, force=users.force) if users.apply else older

    older = with_cluster(cluster, work)
    show(older, output)
    if users.apply:
        notes(older.notes)
    else:
        change = "nothing was changed, use --apply or `kubectl replace -f -`"
        notes([f"preference of generation {older.previous.generation}; {change}"])


def _of_rollout(
    cluster: ClusterOptions, reference: Reference, group: str | None, options: ActionOptions
) -> None:
    async def work(connected: Cluster) -> Rollout | OlderTemplate:
        return await template_undo.find(connected, reference, group)

    found = with_cluster(cluster, work)
    if isinstance(found, OlderTemplate):
        if options.output is Format.YAML:
            typer.echo(as_yaml(found.manifest()), nl=False)
        else:
            show(found, options.output)
        return
    if group is not None:
        reach = f"{found} rolled out the present revision of group {group}; undo rolls back every group that it reached"
        say(reach, stderr=options.output is not Format.TABLE)
        confirm(f"undo {found}?", yes=options.yes)
    content = seen(Progress.of(found), Action.UNDO)
    carry_out(cluster, Request(found, Action.UNDO, content, options.reason), options)
