"""``trimtab rollout``: show and watch a rollout. The verbs that act on one are in `cli.commands.rollout_actions`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Optional, get_args

import typer

from trimtab.cli.cluster.rollout_target import KindOption, Name, asked, find, read
from trimtab.cli.commands.rollout_actions import VERBS, command
from trimtab.cli.errors import Failure
from trimtab.cli.options import ClusterNamespace, Context, Kubeconfig, TextOutput, Timeout
from trimtab.cli.view.output import Format, show

if TYPE_CHECKING:
    from trimtab.cli.cluster.connection import Cluster


def status(
    name: Name,
    kind: KindOption = None,
    namespace: ClusterNamespace = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    output: TextOutput = Format.TABLE,
) -> None:
    """Show how far a rollout is: phase, waves, gates, what holds it, what failed, what happened last.

    A status that is about an older generation never counts as an end.

    Examples:

        trimtab rollout status calmer-agents

        trimtab rollout status ctmpl/music-agent -n music -o json

        until trimtab rollout status calmer-agents; [ $? -lt 3 ]; do sleep 10; done

    Exit code: 0 Succeeded, 1 failed (Rejected, RolledBack, RollbackFailed), not found, or the cluster refused,
    2 wrong usage, 3 under way, 4 stands still until somebody acts (AwaitingApproval, Paused).
    """
    from trimtab.cli.view.progress import clock
    from trimtab.cli.view.rollout import lines, printed

    progress = read(asked(name, kind, namespace, kubeconfig, context))
    now = clock()
    show(progress.to_dict(now), output, lambda: printed(lines(progress, now)))
    raise typer.Exit(int(progress.outcome))


def watch(
    name: Name,
    until: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option("--for", metavar="PHASE", help="End in this phase, with exit code 0; repeatable."),
    ] = None,
    timeout: Timeout = None,
    kind: KindOption = None,
    namespace: ClusterNamespace = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    output: TextOutput = Format.TABLE,
) -> None:
    """Watch a rollout until it is final: live on a terminal, elsewhere a line for each thing that happens.

    It sees the rollout and its groups by watching them, so it may be left running; Ctrl-C ends it and changes
    nothing. `-o json` prints a line of JSON for each change.

    Examples:

        trimtab rollout watch calmer-agents

        trimtab rollout watch ctmpl/music-agent -n music --timeout 30m

        trimtab rollout watch calmer-agents --for AwaitingApproval && trimtab rollout preview calmer-agents

    Exit code: 0 Succeeded (with --for: in that phase), 1 failed or deleted, not found, or the cluster refused (with
    --for: ended in another phase), 2 wrong usage, 3 under way when --timeout ended, 4 stood still then.
    """
    from trimtab.cli.cluster.connection import with_cluster
    from trimtab.cli.view.watch import stage_for
    from trimtab.cli.view.watch import watch as watched

    it = asked(name, kind, namespace, kubeconfig, context)
    wanted = frozenset(_phase(text) for text in until or ())

    async def work(cluster: Cluster) -> int:
        return await watched(cluster, await find(cluster, it), stage_for(output), wanted, timeout)

    raise typer.Exit(with_cluster(it.target, work, about=""))


def _phase(text: str) -> str:
    from trimtab.api.rollout_status import Phase
    from trimtab.core.suggestion import nearest

    phases = {phase.lower(): phase for phase in get_args(Phase)}
    found: str | None = phases.get(text.lower())
    if found is None:
        hint = nearest(text, phases.values())
        raise Failure(
            f"--for {text}: no such phase; "
            + (f"did you mean {hint}?" if hint else f"one of {', '.join(phases.values())}"),
            2,
        )
    return found


def preview(
    name: Name,
    kind: KindOption = None,
    namespace: ClusterNamespace = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    output: TextOutput = Format.TABLE,
) -> None:
    """Show what a rollout would change, before its first wave: groups, users, keys, samples, restarts.

    It is worked out by the operator and bounded; sensitive values are redacted. The last line is the command that
    approves exactly this content.

    Examples:

        trimtab rollout preview calmer-agents

        trimtab rollout preview ctmpl/music-agent -n music -o yaml

    Exit code: 0 shown, 1 there is none and will be none (Rejected, no strategy), not found, or the cluster refused,
    2 wrong usage, 3 there is none yet, or only one of older content.
    """
    from trimtab.cli.view import preview as preview_view
    from trimtab.cli.view.rollout import printed

    progress = read(asked(name, kind, namespace, kubeconfig, context))
    show(preview_view.to_dict(progress), output, lambda: printed(preview_view.lines(progress)))
    if not preview_view.is_current(progress):
        raise typer.Exit(
            1 if progress.current and (progress.phase == "Rejected" or not progress.watched) else 3
        )


def assembled(cls: type[Any]) -> typer.Typer:
    """`trimtab rollout`, with ``cls`` as its group's class."""
    app = typer.Typer(
        cls=cls,
        help="Look at rollouts of policies and templates, watch them, and act on them.",
        no_args_is_help=True,
        rich_markup_mode="markdown",
    )
    for look in (status, watch, preview):
        app.command()(look)
    for action, verb in VERBS.items():
        app.command(action.lower())(command(action, verb))
    return app
