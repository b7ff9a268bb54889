"""``trimtab rollout approve|promote|pause|resume|abort|retry|undo``: each makes one RolloutAction."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, NamedTuple, Optional

import typer

from trimtab.cli.cluster.rollout_target import KindOption, Name, asked, read
from trimtab.cli.errors import Failure
from trimtab.cli.options import ClusterNamespace, Context, Kubeconfig, TextOutput, Timeout
from trimtab.cli.view.output import Format, say

if TYPE_CHECKING:
    from trimtab.cli.view.progress import Progress

Reason = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--reason", help="Why; kept with the rollout's history."),
]
ContentHash = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--content-hash", metavar="HASH", help="Act on this content alone, as `preview` names it."),
]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Do not wait for the operator's answer.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask on a terminal.")]
_ACTED = """Exit code: 0 the operator has taken it, 1 it was refused, not found, or the cluster refused, 2 wrong usage,
3 nobody has answered yet."""


UNWATCHED = (
    "it has no strategy, so its changes do not roll out: they are served at once; "
    "give it one (strategy: {}) to act on the next, and `trimtab undo TEMPLATE GROUP` shows what was before"
)


class Verb(NamedTuple):
    """An action as a verb. ``bound``: it acts on the content that its caller has seen, and on no other."""

    help: str
    bound: bool = False


VERBS = {
    "Approve": Verb(
        """Approve the wave that a rollout waits with.

It shows the preview's summary, asks on a terminal, and binds to the previewed content: an approval never reaches
content that nobody has looked at.

Examples:

    trimtab rollout approve calmer-agents --reason "reviewed the preview"

    trimtab rollout approve calmer-agents --content-hash 3f9a51c2d07be684 --yes
""",
        bound=True,
    ),
    "Promote": Verb(
        """Go on at once: skip what is left of the present wave's soak, and what it waits for.

Examples:

    trimtab rollout promote calmer-agents --reason "the canary has soaked since yesterday"
""",
        bound=True,
    ),
    "Pause": Verb(
        """Hold a rollout where it is. What has moved stays as it is; a rollback is never held.

Examples:

    trimtab rollout pause calmer-agents --reason "looking at latency"
"""
    ),
    "Resume": Verb(
        """Let a paused rollout go on.

Examples:

    trimtab rollout resume calmer-agents
"""
    ),
    "Abort": Verb(
        """Take a rollout back: every group of its plan returns to its stable revision.

The content is quarantined, so the next sync does not start it again; `retry` does, or other content. It binds to the
content that is under way: what has come since is not aborted unseen.

Examples:

    trimtab rollout abort calmer-agents --reason "errors in the canary"
""",
        bound=True,
    ),
    "Retry": Verb(
        """Start content again that was taken back and quarantined, from its first wave.

Examples:

    trimtab rollout retry calmer-agents --reason "the gateway is fixed"
""",
        bound=True,
    ),
    "Undo": Verb(
        """Return to the content that was stable before, in every group of the rollout.

The present content is quarantined. Users keep what they have set meanwhile.

Examples:

    trimtab rollout undo calmer-agents --reason "support asked for it"

    trimtab rollout undo ctmpl/music-agent -n music
""",
        bound=True,
    ),
}


def command(action: str, verb: Verb) -> Callable[..., None]:
    """The function that typer makes a verb of."""

    def act(
        name: Name,
        kind: KindOption = None,
        reason: Reason = None,
        content_hash: ContentHash = None,
        yes: Yes = False,
        no_wait: NoWait = False,
        timeout: Timeout = None,
        namespace: ClusterNamespace = None,
        kubeconfig: Kubeconfig = None,
        context: Context = None,
        output: TextOutput = Format.TABLE,
    ) -> None:
        from trimtab.cli.cluster.actions import PATIENCE, Action, Wish, carry_out, confirm

        wanted = asked(name, kind, namespace, kubeconfig, context)
        progress = read(wanted)
        if not progress.watched:
            raise Failure(f"{progress.found}: {UNWATCHED}")
        bound = content_hash
        if verb.bound and content_hash is None:
            bound = seen(progress, Action(action))
        if action == Action.APPROVE:
            _summary(progress, bound, output)
            confirm(f"approve {bound} for {progress.found}?", yes=yes)
        wish = Wish(Action(action), bound, reason)
        carry_out(wanted.target, progress.found, wish, 0 if no_wait else timeout or PATIENCE, output)

    act.__name__ = action.lower()
    act.__doc__ = f"{verb.help}\n{_ACTED}\n"
    return act


def seen(progress: Progress, action: str) -> str | None:
    """The hash of the content that its caller can have looked at; None if there is none yet.

    Who takes something back names what the status is about, however old that is: other content is not theirs to
    take back. :raises Failure: what goes on is about a spec that nobody has looked at.
    """
    if action in ("Abort", "Retry", "Undo"):
        held = progress.made.stable if action == "Undo" else progress.made.target
        return held.hash or None if held is not None else None
    if not progress.current:
        raise Failure(f"{progress.found}: {progress.message}; wait for it, then {action.lower()}")
    preview, target = progress.made.preview, progress.made.target
    content = target.hash if target is not None else preview.hash if preview is not None else None
    if action != "Approve":
        return content
    if content is None:
        raise Failure(
            f"{progress.found}: {progress.phase}: there is no content to approve: {progress.message}"
        )
    if preview is not None and preview.hash != content:
        raise Failure(
            f"{progress.found}: the preview is about {preview.hash}, and {content} is to roll out; "
            "wait for its preview, or name the content by --content-hash"
        )
    return content


def _summary(progress: Progress, content_hash: str | None, output: Format) -> None:
    """What is approved; on stderr if stdout is for a program."""
    from trimtab.cli.view import preview as preview_view

    made = progress.made.preview
    elsewhere = output is not Format.TABLE
    if made is None or made.hash != content_hash:
        say(f"{progress.found}: no preview of {content_hash} is to be seen", stderr=elsewhere, style="yellow")
        return
    say(f"{progress.found}: preview of {made.hash}", stderr=elsewhere, style="bold")
    for line in preview_view.summary(made):
        say(line.text, stderr=elsewhere, style=line.style)
