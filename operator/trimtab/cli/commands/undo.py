"""``trimtab undo``: back to what was before, of a group, a rollout or a user."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from trimtab.cli.commands.diff import TemplateOption
from trimtab.cli.commands.rollout_actions import NoWait, Reason, Yes, seen
from trimtab.cli.errors import Failure
from trimtab.cli.options import ClusterNamespace, Context, Kubeconfig, TextOutput, Timeout
from trimtab.cli.view.output import Format, as_yaml, notes, program, say, show

if TYPE_CHECKING:
    from trimtab.cli.cluster.connection import Cluster, Target
    from trimtab.cli.cluster.group_undo import Back
    from trimtab.cli.cluster.rollout_reference import Found, Reference


def undo(
    name: Annotated[
        Optional[str],  # noqa: UP045 - typer reads it at run time
        typer.Argument(
            metavar="[NAME]", help="A ConfigTemplate, with GROUP; or a rollout: policyrollout/NAME."
        ),
    ] = None,
    group: Annotated[
        Optional[str], typer.Argument(metavar="[GROUP]", help="The group to take back.")  # noqa: UP045
    ] = None,
    user: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Take this user's preference back: print it as it was, or --apply it."),
    ] = None,
    to: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option("--to", metavar="GENERATION", help="With --user: how far. Default: what was before."),
    ] = None,
    of: TemplateOption = None,
    apply: Annotated[bool, typer.Option("--apply", help="With --user: apply it.")] = False,
    force: Annotated[
        bool,
        typer.Option("--force", help="With --apply: also take over what others manage, as a GitOps tool."),
    ] = False,
    reason: Reason = None,
    yes: Yes = False,
    no_wait: NoWait = False,
    timeout: Timeout = None,
    namespace: ClusterNamespace = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    output: TextOutput = Format.TABLE,
) -> None:
    """Go back to what was before, of a group, of a rollout, or of one user.

    A group: the rollout that made its present revision is undone, in all groups that it reached (a RolloutAction, as by
    `trimtab rollout undo`). If a change of a template without a strategy made it, the difference is shown instead, and
    how to bring the older content back: Trimtab never writes a spec.

    A user: the older preference is printed, ready for kubectl replace (apply would leave keys in place that others have
    added), or with --apply put in place with the field manager trimtab-cli. If a GitOps tool or a controller manages
    the values, that is refused: it would put its own back.

    Examples:

        trimtab undo music-agent free

        trimtab undo policyrollout/calmer-agents --reason "support asked for it"

        trimtab undo music-agent free -o yaml | kubectl replace -f -

        trimtab undo --user alice > alice.yaml

        trimtab undo --user alice --to 7 --apply

    Exit code: 0 done or shown, 1 refused, not found, or the cluster refused, 2 wrong usage, 3 nobody has answered yet.
    """
    from trimtab.cli.cluster.connection import Target

    target = Target(kubeconfig, context)
    if user is not None:
        if name is not None or group is not None:
            raise Failure(
                "name a group or rollout, or --user, not both; --template chooses the user's template", 2
            )
        if force and not apply:
            raise Failure("--force goes with --apply", 2)
        _of_user(target, namespace, (user, of, to), output, apply=apply, force=force)
        return
    if apply or force or to is not None or of is not None:
        raise Failure("--apply, --force, --to and --template go with --user", 2)
    if name is None:
        raise Failure("what is to be undone? name TEMPLATE and GROUP, a rollout, or --user NAME", 2)
    _of_rollout(target, namespace, (name, group), reason, output, yes=yes, timeout=0 if no_wait else timeout)


def _of_user(
    target: Target,
    namespace: str | None,
    wanted: tuple[str, str | None, int | None],
    output: Format,
    *,
    apply: bool,
    force: bool,
) -> None:
    from trimtab.cli.cluster import preference_undo, preferences
    from trimtab.cli.cluster.connection import with_cluster

    user, template, to = wanted
    how = f"choose one: {program()} undo --user {user} --template NAME"

    async def work(cluster: Cluster) -> preference_undo.Older:
        found = await preferences.find(cluster, namespace or cluster.namespace, user, template, how)
        older = preference_undo.Older(found, found.once(to))
        if apply:
            older = await preference_undo.apply(cluster, older, force=force)
        return older

    older = with_cluster(target, work)
    if not apply:
        show(older.manifest(), output, lambda: typer.echo(as_yaml(older.manifest()), nl=False))
        say(
            f"note: as of generation {older.once.generation}; nothing was changed, --apply or `kubectl replace -f -` "
            "does",
            stderr=True,
            style="dim",
        )
        return
    show(older.to_dict(), output, older.people)
    notes(older.notes)


def _of_rollout(
    target: Target,
    namespace: str | None,
    names: tuple[str, str | None],
    reason: str | None,
    output: Format,
    *,
    yes: bool,
    timeout: float | None,
) -> None:
    from trimtab.cli.cluster import actions, group_undo
    from trimtab.cli.cluster.connection import with_cluster
    from trimtab.cli.cluster.rollout_reference import Reference
    from trimtab.cli.view.progress import Progress

    name, group = names
    reference: Reference = Reference.parse(name)

    async def work(cluster: Cluster) -> Found | Back:
        where = namespace or cluster.namespace
        if group is None:
            return await group_undo.rollout(cluster, where, reference)
        return await group_undo.maker(cluster, where, reference, group)

    found = with_cluster(target, work)
    if isinstance(found, group_undo.Back):
        _shown(found, output)
        return
    if group is not None:
        reach = f"{found} made the present revision of group {group}; undoing it takes back every group that it reached"
        say(reach, stderr=output is not Format.TABLE)
        actions.confirm(f"undo {found}?", yes=yes)
    wish = actions.Wish(actions.Action.UNDO, seen(Progress.of(found), actions.Action.UNDO), reason)
    actions.carry_out(target, found, wish, actions.PATIENCE if timeout is None else timeout, output)


def _shown(back: Any, output: Format) -> None:
    if output is Format.YAML:
        typer.echo(as_yaml(back.manifest()), nl=False)
        return
    show(back.to_dict(), output, back.people)
