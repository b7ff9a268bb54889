"""RolloutActions: created on behalf of the requester, then processed or refused by the operator."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import secrets
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated, Any

import typer

from trimtab.cli.cluster.connection import Cluster, with_cluster
from trimtab.cli.cluster.objects import Body, StoredObject, ready
from trimtab.cli.cluster.rollouts import Rollout
from trimtab.cli.errors import Failure
from trimtab.cli.group import program
from trimtab.cli.options import ClusterOptions, Output, Timeout, Yes
from trimtab.cli.output import Format, Line, say, show
from trimtab.kube import errors
from trimtab.kube.resources import ROLLOUT_ACTIONS

PATIENCE = 60.0
"""Seconds until the operator must have processed an action, unless --timeout is set."""
NOT_PROCESSED = 3
"""The exit code otherwise."""
_PAUSE = 0.5
_POLICY = "trimtab-rollout-actions"
NO_STRATEGY = (
    "no strategy, so changes take effect immediately instead of rolling out; set strategy: {} to act on the next "
    "change, and see the previous content by `trimtab undo TEMPLATE GROUP`"
)


class Action(enum.StrEnum):
    """What can be done to a rollout."""

    APPROVE = "Approve"
    PROMOTE = "Promote"
    PAUSE = "Pause"
    RESUME = "Resume"
    ABORT = "Abort"
    RETRY = "Retry"
    UNDO = "Undo"


_DONE = {
    Action.APPROVE: "approved",
    Action.PROMOTE: "promoted",
    Action.PAUSE: "paused",
    Action.RESUME: "resumed",
    Action.ABORT: "aborted",
    Action.RETRY: "retrying",
    Action.UNDO: "rolling back",
}


@dataclass(frozen=True, kw_only=True)
class ActionOptions:
    """Why to act, whether to prompt, and how long to wait for the operator."""

    reason: Annotated[str | None, typer.Option(help="Why; kept in the rollout's history.")] = None
    yes: Yes = False
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Do not wait until the operator has processed it.")
    ] = False
    timeout: Timeout = None
    output: Output = Format.TABLE

    @property
    def patience(self) -> float:
        """Seconds to wait for the operator; 0 for not at all."""
        return 0 if self.no_wait else self.timeout or PATIENCE


@dataclass(frozen=True, slots=True)
class Request:
    """An action on a rollout, bound to one content if that is given."""

    rollout: Rollout
    action: Action
    content_hash: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """What the operator did with an action; ``accepted`` is None if it is not processed."""

    request: Request
    object: StoredObject
    accepted: bool | None = None
    reason: str = ""
    message: str = ""

    def content(self) -> dict[str, Any]:
        spec = self.object.spec
        return {
            "rolloutAction": self.object.reference,
            "rollout": spec["rolloutRef"],
            "action": spec["action"],
            "requester": spec["requester"],
            "contentHash": spec.get("contentHash"),
            "accepted": self.accepted,
            "reason": self.reason,
            "message": self.message,
        }

    def parts(self) -> Iterator[Line]:
        rollout, place = self.request.rollout, f"RolloutAction {self.object.name}"
        if self.accepted:
            message = f": {self.message}" if self.message else ""
            yield Line(f"{rollout}: {_DONE[self.request.action]} ({place}){message}", "green")
            yield Line(f"watch it by: {program()} rollout watch {rollout.typed} -n {rollout.namespace}")
        elif self.accepted is None and not self.reason:
            yield Line(f"{rollout}: requested ({place})")


async def create(cluster: Cluster, request: Request) -> Result:
    """Create the RolloutAction.

    :raises Failure: the API server refused it, with a remedy.
    :raises trimtab.kube.errors.ApiError: the cluster could not be reached.
    """
    rollout, verb = request.rollout, request.action.lower()
    spec: Body = {
        "rolloutRef": {"kind": str(rollout.kind), "name": rollout.name},
        "action": str(request.action),
        "requester": await cluster.whoami(),
    }
    spec |= {"contentHash": request.content_hash} if request.content_hash else {}
    spec |= {"reason": request.reason} if request.reason else {}
    # A unique name, so that a lost response cannot make two of it.
    name = f"{verb}-{secrets.token_hex(4)}"
    meta = {"generateName": f"{verb}-", "name": name, "namespace": rollout.namespace}
    kind = {"apiVersion": ROLLOUT_ACTIONS.api_version, "kind": ROLLOUT_ACTIONS.kind}
    try:
        body = await cluster.create(ROLLOUT_ACTIONS, {**kind, "metadata": meta, "spec": spec})
    except errors.ConflictError as error:
        body = await cluster.get(ROLLOUT_ACTIONS, rollout.namespace, name) or {}
        if error.reason != "AlreadyExists" or body.get("spec") != spec:
            raise
    except errors.ForbiddenError as error:
        if error.status == 401:
            raise
        raise Failure(f"{rollout}: {_remedy(error.message, rollout, verb)}") from None
    except errors.InvalidError as error:
        raise Failure(f"{rollout}: {error.message}") from None
    return Result(request, StoredObject(body, ROLLOUT_ACTIONS.kind))


def _remedy(message: str, rollout: Rollout, verb: str) -> str:
    if _POLICY in message:
        return message.partition("denied request: ")[2] or message
    plural = f"{rollout.kind.resource.plural}.trimtab.dev"
    return (
        f"{message}\nyou need the verb create on rolloutactions.trimtab.dev and the verb {verb} on {plural} "
        f"{rollout.name}, both in namespace {rollout.namespace}; request a Role with them from its administrator"
    )


async def wait(cluster: Cluster, created: Result, timeout: float) -> Result:
    """The result once the operator has processed the action, at the latest after ``timeout`` seconds.

    :raises Failure: the action was deleted before.
    """
    try:
        async with asyncio.timeout(timeout):
            while True:
                with contextlib.suppress(errors.GoneError, errors.UnavailableError):
                    result = await _observe(cluster, created)
                    if result is not None:
                        return result
                await asyncio.sleep(_PAUSE)
    except errors.ForbiddenError:
        return _unprocessed(created, "Forbidden", "you may not read RolloutActions here")
    except TimeoutError:
        return _unprocessed(created, "NotProcessed", f"not processed within {timeout:g}s")


def _unprocessed(created: Result, reason: str, message: str) -> Result:
    return replace(created, reason=reason, message=message)


async def _observe(cluster: Cluster, created: Result) -> Result | None:
    """Read the action and watch it; None if the watch has ended, or is forbidden."""
    namespace, name = created.object.namespace, created.object.name
    body = await cluster.get(ROLLOUT_ACTIONS, namespace, name)
    if body is None:
        raise Failure(f"RolloutAction {namespace}/{name} was deleted before the operator processed it")
    result = _processed(created, body)
    if result is not None:
        return result
    with contextlib.suppress(errors.ForbiddenError):  # without the verb watch it is read again
        version = body["metadata"]["resourceVersion"]
        async for event in cluster.watch(ROLLOUT_ACTIONS, namespace, version=version, name=name):
            if event.object["metadata"].get("name") != name:
                continue  # a bookmark
            result = _processed(created, event.object)
            if result is not None or event.type == "DELETED":
                return result
    return None


def _processed(created: Result, body: Body) -> Result | None:
    found = ready(body.get("status") or {})
    if found.get("status") not in ("True", "False"):
        return None
    accepted = found["status"] == "True"
    made = replace(created.object, body=body)
    return Result(created.request, made, accepted, found.get("reason", ""), found.get("message", ""))


def confirm(question: str, *, yes: bool) -> None:
    """Prompt on a terminal. :raises Failure: the user declined."""
    if yes or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return
    if not typer.confirm(question, err=True):
        raise Failure("nothing was changed")


def carry_out(cluster: ClusterOptions, request: Request, options: ActionOptions) -> None:
    """Create the action, wait for its result, print it and exit by it."""
    rollout, timeout = request.rollout, options.patience
    result = with_cluster(cluster, lambda connected: create(connected, request))
    if timeout:
        about = f"waiting for the operator to process {result.object.name}"
        created = result
        result = with_cluster(cluster, lambda connected: wait(connected, created, timeout), about)
    show(result, options.output)
    if result.accepted is False:
        verb = request.action.lower()
        raise Failure(f"{rollout}: {verb} was refused ({result.reason}): {result.message}")
    if result.accepted is None and timeout:
        place = f"{result.object.name} -n {rollout.namespace}"
        say(
            f"note: {result.object}: {result.message}; is `{program()} run` running? The operator processes it when "
            f"it runs: `kubectl get rolloutaction {place} -o yaml` shows the result; delete it to withdraw it",
            stderr=True,
            style="yellow",
        )
        raise typer.Exit(NOT_PROCESSED)
