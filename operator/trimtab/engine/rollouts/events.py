"""Every transition of a rollout as an Event, a JSON audit line and a metric: who, what, when, why, from, to.

Status lists the last transitions, numbered, and an Event's name contains the number: a new leader records what its
predecessor decided and did not record, and nothing is recorded twice. No transition contains sensitive values.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from trimtab.api.rollout_status import Transition
from trimtab.core import times
from trimtab.core.rollout.source import RolloutSource
from trimtab.engine.metrics import TRANSITIONS
from trimtab.engine.rollouts.memory import RolloutMemories
from trimtab.engine.store.rollout_sources import resource_of
from trimtab.kube import errors
from trimtab.kube.port import FIELD_MANAGER, Api
from trimtab.kube.resources import EVENTS

log = logging.getLogger("trimtab.audit")

RECENT = 600.0
"""Seconds after which a missing transition is no longer recorded: Events of older ones may have expired."""


@dataclass(frozen=True, slots=True)
class RolloutEvents:
    api: Api
    memories: RolloutMemories

    async def record(self, source: RolloutSource, transitions: Sequence[Transition], now: float) -> None:
        """Record what has not been recorded yet, the oldest first.

        :raises trimtab.kube.errors.ApiError: the API server could not accept an Event now; retry.
        """
        memory = self.memories.of(source.uid)
        last = memory.last_event
        if last > max((t.number for t in transitions), default=0):
            last = 0  # another client deleted the status, and numbers restart
        if not last:
            last = await self._found(source, transitions, now)
        for transition in sorted(transitions, key=lambda t: t.number):
            if transition.number <= last:
                continue
            if _recent(transition, now) and await self._post(source, transition):
                self._record(source, transition)
            memory.last_event = transition.number

    async def _found(self, source: RolloutSource, transitions: Sequence[Transition], now: float) -> int:
        """The number of the last one that a previous leader has recorded: they are recorded in order."""
        for transition in sorted(transitions, key=lambda t: -t.number):
            if not _recent(transition, now):
                break
            try:
                await self.api.get(EVENTS, source.key.namespace, _name(source, transition))
            except errors.NotFoundError:
                continue
            except errors.ApiError as error:
                if not _refused(error):
                    raise
                break  # then each is tried
            return transition.number
        return 0

    async def _post(self, source: RolloutSource, transition: Transition) -> bool:
        """Create the Event; False if it exists already."""
        meta = source.item.metadata
        body = {
            "apiVersion": EVENTS.api_version,
            "kind": EVENTS.kind,
            "metadata": {"name": _name(source, transition), "namespace": meta.namespace},
            "eventTime": _micro(transition),
            "reportingController": "trimtab.dev/operator",
            "reportingInstance": FIELD_MANAGER,
            "action": transition.reason,
            "reason": transition.reason,
            "type": "Warning" if transition.warning else "Normal",
            "note": _note(transition),
            "regarding": {
                "apiVersion": resource_of(source.kind).api_version,
                "kind": source.kind,
                "name": meta.name,
                "namespace": meta.namespace,
                "uid": meta.uid,
            },
        }
        try:
            await self.api.create(EVENTS, body)
        except errors.ConflictError as error:
            if error.reason == "AlreadyExists":
                return False
            raise
        except errors.ApiError as error:
            if not _refused(error):
                raise
            log.warning("The API server refused an Event: %s", error.reason)  # the audit line has all of it
        return True

    def _record(self, source: RolloutSource, transition: Transition) -> None:
        TRANSITIONS.labels(source.kind, transition.reason).inc()
        log.info(
            "rollout",
            extra={
                "audit": True,
                "what": transition.reason,
                "rollout": f"{source.kind} {source.key}",
                "uid": source.uid,
                "at": transition.at,
                "by": transition.by or FIELD_MANAGER,
                "why": transition.message or "",
                "phase": transition.phase,
                "before": transition.before,
                "after": transition.after,
            },
        )


def _refused(error: errors.ApiError) -> bool:
    """Whether a retry cannot succeed; a webhook may deny with any code."""
    return errors.lasts(error) or isinstance(error, (errors.ForbiddenError, errors.InvalidError))


def _recent(transition: Transition, now: float) -> bool:
    at = times.read(transition.at)
    return at is not None and now - at < RECENT


def _name(source: RolloutSource, transition: Transition) -> str:
    """The Event's name: the same for every leader."""
    hashed = hashlib.sha256(f"{source.uid}/{transition.number}".encode()).hexdigest()[:16]
    return f"{source.name[:200].rstrip('-.')}.{hashed}"


def _micro(transition: Transition) -> str:
    """RFC 3339 with microseconds, which MicroTime requires. They hold the transition's number, so that transitions of
    one moment are listed in order."""
    seconds, _, fraction = transition.at.removesuffix("Z").partition(".")
    return f"{seconds}.{fraction[:3]:0<3}{transition.number % 1000:03}Z"


def _note(transition: Transition) -> str:
    said = transition.message or transition.reason
    return (f"{said} (by {transition.by})" if transition.by else said)[:1024]
