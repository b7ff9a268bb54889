"""RolloutActions: made in the name of whoever asks, refused by the API server or answered by the operator."""

from __future__ import annotations

import asyncio
import enum
import secrets
import sys
from dataclasses import dataclass
from typing import Any

import typer

from trimtab.cli.cluster.connection import Cluster, Target, with_cluster
from trimtab.cli.cluster.rollout_reference import Found, resource
from trimtab.cli.errors import Failure
from trimtab.cli.view.output import Format, program, say, show
from trimtab.kube import errors
from trimtab.kube.resources import ROLLOUT_ACTIONS

Body = dict[str, Any]
PATIENCE = 60.0
"""Seconds that the operator has to answer, unless somebody says otherwise."""
UNANSWERED = 3
"""The exit code when it has not."""
_PAUSE = 0.5
_POLICY = "trimtab-rollout-actions"


class Action(enum.StrEnum):
    """What can be done to a rollout."""

    APPROVE = "Approve"
    PROMOTE = "Promote"
    PAUSE = "Pause"
    RESUME = "Resume"
    ABORT = "Abort"
    RETRY = "Retry"
    UNDO = "Undo"


DONE = {
    Action.APPROVE: "approved",
    Action.PROMOTE: "promoted",
    Action.PAUSE: "paused",
    Action.RESUME: "resumed",
    Action.ABORT: "aborted",
    Action.RETRY: "to be tried again",
    Action.UNDO: "being undone",
}


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants done, and to which content."""

    action: Action
    content_hash: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of it; ``accepted`` is None if nobody has answered."""

    action: Body
    accepted: bool | None = None
    reason: str = ""
    message: str = ""

    @property
    def name(self) -> str:
        return str(self.action["metadata"]["name"])

    def to_dict(self) -> dict[str, Any]:
        """The whole for programs."""
        spec, meta = self.action["spec"], self.action["metadata"]
        return {
            "rolloutAction": {"namespace": meta["namespace"], "name": meta["name"]},
            "rollout": spec["rolloutRef"],
            "action": spec["action"],
            "requester": spec["requester"],
            "contentHash": spec.get("contentHash"),
            "accepted": self.accepted,
            "reason": self.reason,
            "message": self.message,
        }


async def ask(cluster: Cluster, found: Found, wish: Wish) -> Body:
    """Make the RolloutAction.

    :raises Failure: the API server refused it, with what would help.
    :raises trimtab.kube.errors.ApiError: it could not be asked.
    """
    verb = wish.action.lower()
    spec: Body = {
        "rolloutRef": {"kind": str(found.kind), "name": found.name},
        "action": str(wish.action),
        "requester": await cluster.whoami(),
    }
    spec |= {"contentHash": wish.content_hash} if wish.content_hash else {}
    spec |= {"reason": wish.reason} if wish.reason else {}
    # A name of its own, so that an answer that is lost on its way cannot make two of it.
    meta = {
        "generateName": f"{verb}-",
        "name": f"{verb}-{secrets.token_hex(4)}",
        "namespace": found.namespace,
    }
    body = {
        "apiVersion": ROLLOUT_ACTIONS.api_version,
        "kind": ROLLOUT_ACTIONS.kind,
        "metadata": meta,
        "spec": spec,
    }
    try:
        return await cluster.create(ROLLOUT_ACTIONS, body)
    except errors.ConflictError as error:
        there = await cluster.get(ROLLOUT_ACTIONS, found.namespace, meta["name"])
        if error.reason != "AlreadyExists" or there is None or there.get("spec") != spec:
            raise
        return there
    except errors.ForbiddenError as error:
        if error.status == 401:
            raise
        raise Failure(_remedy(error, found, verb)) from None
    except errors.InvalidError as error:
        raise Failure(f"{found}: {error.message}") from None


def _remedy(error: errors.ForbiddenError, found: Found, verb: str) -> str:
    said = error.message
    if _POLICY in said:
        return f"{found}: {said.partition('denied request: ')[2] or said}"
    plural = resource(found.kind).plural
    return (
        f"{found}: {said}\n"
        f"you need the verb create on rolloutactions.trimtab.dev and the verb {verb} on {plural}.trimtab.dev "
        f"{found.name}, both in namespace {found.namespace}; ask whoever administers it for a Role with them"
    )


async def wait(cluster: Cluster, action: Body, timeout: float) -> Answer:
    """The operator's answer, or none within ``timeout`` seconds.

    :raises Failure: somebody deleted the action before it was answered.
    """
    place = action["metadata"]["namespace"], action["metadata"]["name"]
    try:
        async with asyncio.timeout(timeout):
            while True:
                try:
                    answer = await _look(cluster, *place)
                except errors.GoneError:
                    continue
                except errors.ForbiddenError:
                    return Answer(action, None, "Forbidden", "you may not read RolloutActions here")
                except errors.UnavailableError:
                    answer = None
                if answer is not None:
                    return answer
                await asyncio.sleep(_PAUSE)
    except TimeoutError:
        return Answer(action, None, "Unanswered", f"no answer within {timeout:g} s")


async def _look(cluster: Cluster, namespace: str, name: str) -> Answer | None:
    """One reading and one watch; None when the watch has ended, or is not allowed."""
    body = await cluster.get(ROLLOUT_ACTIONS, namespace, name)
    if body is None:
        raise Failure(f"RolloutAction {namespace}/{name} was deleted before the operator answered it")
    answer = _answer(body)
    if answer is not None:
        return answer
    version = body["metadata"]["resourceVersion"]
    try:
        async for event in cluster.watch(ROLLOUT_ACTIONS, namespace, version=version, name=name):
            if event.object["metadata"].get("name") != name:
                continue  # a bookmark
            if event.type == "DELETED":
                return None
            answer = _answer(event.object)
            if answer is not None:
                return answer
    except errors.ForbiddenError:
        return None  # who may read it may look again
    return None


def _answer(body: Body) -> Answer | None:
    conditions = (body.get("status") or {}).get("conditions") or ()
    ready = next((c for c in conditions if c.get("type") == "Ready"), None)
    if ready is None or ready.get("status") not in ("True", "False"):
        return None
    return Answer(body, ready["status"] == "True", ready.get("reason", ""), ready.get("message", ""))


def patient(answer: Answer) -> str:
    """What to tell whoever got no answer."""
    namespace = answer.action["metadata"]["namespace"]
    return (
        f"RolloutAction {namespace}/{answer.name}: {answer.message}; is `{program()} run` running? It stays, and is "
        f"taken when the operator comes: `kubectl get rolloutaction {answer.name} -n {namespace} -o yaml` "
        "shows the answer, and deleting it withdraws it"
    )


def confirm(question: str, *, yes: bool) -> None:
    """Ask, if there is anybody to ask. :raises Failure: they said no."""
    if yes or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return
    if not typer.confirm(question, err=True):
        raise Failure("nothing was done")


def carry_out(target: Target, found: Found, wish: Wish, timeout: float, output: Format) -> None:
    """Make the action, wait for its answer (not at all with 0), and exit as it was answered."""

    async def make(cluster: Cluster) -> Body:
        return await ask(cluster, found, wish)

    async def work(cluster: Cluster) -> Answer:
        return await wait(cluster, action, timeout)

    action = with_cluster(target, make)
    answer = Answer(action)
    if timeout:
        answer = with_cluster(target, work, about=f"waiting for the operator to answer {answer.name}")

    def people() -> None:
        place = f"RolloutAction {answer.name}"
        if answer.accepted:
            say(f"{found}: {DONE[wish.action]} ({place}){_said(answer)}", style="green")
            say(f"watch it by: {program()} rollout watch {found.word} -n {found.namespace}")
        elif not timeout:
            say(f"{found}: asked ({place})")

    show(answer.to_dict(), output, people)
    if answer.accepted is False:
        raise Failure(f"{found}: {wish.action.lower()} was refused ({answer.reason}): {answer.message}")
    if answer.accepted is None and timeout:
        say(f"note: {patient(answer)}", stderr=True, style="yellow")
        raise typer.Exit(UNANSWERED)


def _said(answer: Answer) -> str:
    return f": {answer.message}" if answer.message else ""
