"""``trimtab rollout``: show and watch a rollout, and act on it by a RolloutAction."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, NamedTuple, get_args

import typer

from trimtab.api.rollout_status import Content, Phase, Preview
from trimtab.cli.cluster.actions import NO_STRATEGY, Action, ActionOptions, Request, carry_out, confirm
from trimtab.cli.cluster.connection import Cluster, with_cluster
from trimtab.cli.cluster.objects import meant
from trimtab.cli.cluster.progress import Progress, clock
from trimtab.cli.cluster.rollouts import Reference, RolloutOptions, find
from trimtab.cli.errors import Failure
from trimtab.cli.group import MARKUP, Group, flat
from trimtab.cli.options import Output, Timeout
from trimtab.cli.output import Format, Line, printed, show
from trimtab.cli.view.preview import RolloutPreview, summary
from trimtab.cli.view.rollout import RolloutStatus
from trimtab.cli.view.watch import display_for
from trimtab.cli.view.watch import watch as watch_rollout


def status(rollout: RolloutOptions, output: Output = Format.TABLE) -> None:
    """Show how far a rollout is: phase, waves, gates, what blocks it, failures and the last transitions.

    A status of an older generation never counts as the end.

    Examples:

        trimtab rollout status calmer-agents

        trimtab rollout status ctmpl/music-agent -n music -o json

        until trimtab rollout status calmer-agents; [ $? -lt 3 ]; do sleep 10; done

    Exit code: 0 Succeeded, 1 failed (Rejected, RolledBack, RollbackFailed), not found, or refused by the cluster,
    2 wrong usage, 3 in progress, 4 waiting for an action (AwaitingApproval, Paused).
    """
    progress = _read(rollout)
    show(RolloutStatus(progress, clock()), output)
    raise typer.Exit(int(progress.outcome))


def watch(
    rollout: RolloutOptions,
    until: Annotated[
        list[str] | None,
        typer.Option("--for", metavar="PHASE", help="End in this phase, with exit code 0; repeatable."),
    ] = None,
    timeout: Timeout = None,
    output: Output = Format.TABLE,
) -> None:
    """Watch a rollout until it is final: live on a terminal, elsewhere a line for each change.

    It watches the rollout and its groups, so it may be left running; Ctrl-C ends it and changes nothing. `-o json`
    prints a line of JSON for each change.

    Examples:

        trimtab rollout watch calmer-agents

        trimtab rollout watch ctmpl/music-agent -n music --timeout 30m

        trimtab rollout watch calmer-agents --for AwaitingApproval && trimtab rollout preview calmer-agents

    Exit code: 0 Succeeded (with --for: in that phase), 1 failed or deleted, not found, or refused by the cluster (with
    --for: final in another phase), 2 wrong usage, 3 in progress when --timeout ended, 4 waiting for an action then.
    """
    reference = Reference.parse(rollout.name, rollout.kind)
    wanted = frozenset(_phase(text) for text in until or ())

    async def work(cluster: Cluster) -> int:
        found = await find(cluster, reference)
        return await watch_rollout(cluster, found, display_for(output), wanted, timeout)

    raise typer.Exit(with_cluster(rollout, work, about=""))


def _phase(text: str) -> str:
    phases: dict[str, str] = {phase.lower(): phase for phase in get_args(Phase)}
    if text.lower() not in phases:
        known = list(phases.values())
        raise Failure(
            f"--for {text} is not a valid phase; {meant(text, known, 'one of ' + ', '.join(known))}", 2
        )
    return phases[text.lower()]


def preview(rollout: RolloutOptions, output: Output = Format.TABLE) -> None:
    """Show what a rollout would change, before its first wave: groups, users, keys, samples, restarts.

    The operator computes it, up to a limit; sensitive values are redacted. The last line is the command that approves
    exactly this content.

    Examples:

        trimtab rollout preview calmer-agents

        trimtab rollout preview ctmpl/music-agent -n music -o yaml

    Exit code: 0 shown, 1 there will be none (Rejected, no strategy), not found, or refused by the cluster, 2 wrong
    usage, 3 there is none yet, or only one of older content.
    """
    progress = _read(rollout)
    found = RolloutPreview(progress)
    show(found, output)
    if not found.current:
        never = progress.phase == "Rejected" or not progress.rollout.rolls_out
        raise typer.Exit(1 if progress.current and never else 3)


def _read(rollout: RolloutOptions) -> Progress:
    reference = Reference.parse(rollout.name, rollout.kind)

    async def work(cluster: Cluster) -> Progress:
        return Progress.of(await find(cluster, reference))

    return with_cluster(rollout, work)


class Verb(NamedTuple):
    """An action as a command. ``bound``: it acts on the content that its requester has seen, and on no other."""

    summary: str
    details: str
    examples: tuple[str, ...]
    bound: bool = True

    def help(self, action: Action) -> str:
        examples = "\n\n".join(f"    trimtab rollout {action.lower()} {example}" for example in self.examples)
        ending = (
            "Exit code: 0 the operator has accepted it, 1 refused, not found, or refused by the cluster, 2 wrong "
            "usage, 3 not processed yet."
        )
        return "\n\n".join(filter(None, (self.summary, self.details, "Examples:", examples, ending)))


VERBS: Mapping[Action, Verb] = {
    Action.APPROVE: Verb(
        "Approve the wave for which a rollout waits.",
        "It shows the preview's summary, prompts on a terminal, and binds to the previewed content: an approval never "
        "applies to content that its approver has not seen.",
        (
            'calmer-agents --reason "reviewed the preview"',
            "calmer-agents --content-hash 3f9a51c2d07be684 --yes",
        ),
    ),
    Action.PROMOTE: Verb(
        "Continue immediately: skip the rest of the present wave's soak, and what it waits for.",
        "",
        ('calmer-agents --reason "the canary has soaked since yesterday"',),
    ),
    Action.PAUSE: Verb(
        "Pause a rollout. Updated groups stay updated; a rollback is never paused.",
        "",
        ('calmer-agents --reason "checking latency"',),
        bound=False,
    ),
    Action.RESUME: Verb("Resume a paused rollout.", "", ("calmer-agents",), bound=False),
    Action.ABORT: Verb(
        "Roll back: every group of the plan returns to its stable revision.",
        "The content is quarantined, so the next sync does not roll it out again; `retry` does, or other content. It "
        "binds to the content in progress: newer content is not aborted unseen.",
        ('calmer-agents --reason "errors in the canary"',),
    ),
    Action.RETRY: Verb(
        "Roll out quarantined content again, from its first wave.",
        "",
        ('calmer-agents --reason "the gateway is fixed"',),
    ),
    Action.UNDO: Verb(
        "Return to the previous stable content, in every group of the rollout.",
        "The present content is quarantined. Users keep the values that they have set since.",
        ('calmer-agents --reason "requested by support"', "ctmpl/music-agent -n music"),
    ),
}


def _command(action: Action, verb: Verb) -> Callable[..., None]:
    """The function of an action's command."""

    def act(
        rollout: RolloutOptions,
        options: ActionOptions,
        content_hash: Annotated[
            str | None, typer.Option(metavar="HASH", help="Act only on this content, named by `preview`.")
        ] = None,
    ) -> None:
        progress = _read(rollout)
        if not progress.rollout.rolls_out:
            raise Failure(f"{progress.rollout}: {NO_STRATEGY}")
        bound = content_hash
        if verb.bound and content_hash is None:
            bound = seen(progress, action)
        if action is Action.APPROVE:
            _summary(progress, bound, options.output)
            confirm(f"approve {bound} for {progress.rollout}?", yes=options.yes)
        carry_out(rollout, Request(progress.rollout, action, bound, options.reason), options)

    act.__name__ = action.lower()
    act.__doc__ = verb.help(action)
    return act


_BACK = frozenset((Action.ABORT, Action.RETRY, Action.UNDO))


def _hash(content: Content | Preview | None) -> str | None:
    return content.hash or None if content is not None else None


def seen(progress: Progress, action: Action) -> str | None:
    """The hash of the content that the requester can have seen; None if there is none yet.

    A rollback names the content of the status, also of an older generation: newer content is not rolled back unseen.

    :raises Failure: the rollout is about a spec that the operator has not observed.
    """
    rollout, status = progress.rollout, progress.status
    if action in _BACK:
        return _hash(status.stable if action is Action.UNDO else status.target)
    if not progress.current:
        raise Failure(f"{rollout}: {progress.message}; wait for it, then {action.lower()}")
    known = status.target or status.preview
    if action is not Action.APPROVE:
        return _hash(known)
    if known is None:
        raise Failure(f"{rollout}: {progress.phase}: there is no content to approve: {progress.message}")
    if status.preview is not None and status.preview.hash != known.hash:
        raise Failure(
            f"{rollout}: the preview is of {status.preview.hash}, but {known.hash} will roll out; "
            "wait for its preview, or name the content by --content-hash"
        )
    return known.hash


def _summary(progress: Progress, content_hash: str | None, output: Format) -> None:
    """What is approved; on stderr if stdout is for a program."""
    preview, rollout = progress.status.preview, progress.rollout
    if preview is None or preview.hash != content_hash:
        lines = [Line(f"{rollout}: there is no preview of {content_hash}", "yellow")]
    else:
        lines = [Line(f"{rollout}: preview of {preview.hash}", "bold"), *summary(preview)]
    printed(lines, stderr=output is not Format.TABLE)


app = typer.Typer(
    cls=Group,
    help="Show rollouts of policies and templates, watch them, and act on them.",
    no_args_is_help=True,
    rich_markup_mode=MARKUP,
)
for _function in (status, watch, preview):
    app.command()(flat(_function))
for _action, _verb in VERBS.items():
    app.command(_action.lower())(flat(_command(_action, _verb)))
