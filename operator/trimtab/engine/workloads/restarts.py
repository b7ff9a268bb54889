"""Workloads that read a group's configuration: restarted when a key with ``reload: Restart`` changed, and only then.

A restart is the pod template's annotation ``trimtab.dev/digest``, an HMAC of those keys' values; Kubernetes does the
rest at the workload's own pace. Equal values have an equal digest, so nothing restarts twice for one change, also if
the operator is killed meanwhile, and a rollback restores the previous digest.

If another client removes the annotation, it is written again (`restart_history`). Few workloads restart concurrently
(`core.workload.restart_slots`); others wait for a slot. Workloads are watched only while others wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from trimtab.core import naming
from trimtab.core.refs import GroupKey, Ref
from trimtab.core.resolve.resolve import GroupView
from trimtab.core.resolve.restart_values import restarting
from trimtab.core.workload.digest_annotation import carries, mark, marked
from trimtab.core.workload.health import health_of
from trimtab.core.workload.pods import digest_in
from trimtab.core.workload.restart_slots import AT_ONCE, Claim, RestartSlot, admits, next_of
from trimtab.crypto import Keys
from trimtab.engine.metrics import WRITES
from trimtab.engine.scheduling.concurrency import Lanes
from trimtab.engine.scheduling.failures import all_of
from trimtab.engine.workloads.health import HealthWatch
from trimtab.engine.workloads.restart_history import RestartHistory
from trimtab.kube import errors
from trimtab.kube.port import Api, Body
from trimtab.kube.resources import WORKLOADS

log = logging.getLogger(__name__)

ATTEMPTS = 5
PARALLEL = 2
"""Workloads of one template that are annotated concurrently."""
SLOW_SECONDS = 60.0
"""After so long a workload that is not healthy yet blocks only those of its own template."""
LONGEST_SECONDS = 600.0
"""After so long a workload that is neither healthy nor failed no longer blocks others."""
CHECK_SECONDS = 15.0
"""How often waiting groups are checked, if nothing queues them earlier."""
RESTARTS = "restarts"


class _Request(NamedTuple):
    """One workload of a group and the mark that it should carry."""

    key: Ref
    mark: str
    claim: Claim
    group: GroupKey
    shared: bool
    """Whether other groups of the template list it, as the group's revision has it"""


class _Restarting(NamedTuple):
    """``since`` is the event loop's time."""

    digest: str
    since: float
    claim: Claim


def restart_digest(keys: Keys, view: GroupView) -> str:
    """The HMAC of the values that the group's workloads restart for, bound to the group."""
    values = restarting(view)
    if view.unbound:
        return keys.unbound(values)
    return keys.digest("restart", (view.schema.namespace, view.schema.name, view.group.name), values)


@dataclass(slots=True)
class Workloads:
    """``digest`` returns the HMAC of the values that a group's workloads restart for. Without ``health`` there is no
    limit of slots.

    ``enqueue(group)`` is called when a waiting group may restart its workloads; :meth:`may_retry` is true then.
    """

    api: Api
    digest: Callable[[GroupView], str]
    health: HealthWatch | None = None
    enqueue: Callable[[GroupKey], None] = lambda _group: None
    at_once: int = AT_ONCE
    history: RestartHistory = field(default_factory=RestartHistory)
    _lanes: Lanes = field(default_factory=lambda: Lanes(PARALLEL))
    _restarting: dict[Ref, _Restarting] = field(default_factory=dict)
    _waiting: dict[Claim, dict[GroupKey, str]] = field(default_factory=dict)
    """The groups that wait for a slot, and for which workload"""
    _called: set[GroupKey] = field(default_factory=set)
    """The groups that waited and may restart their workloads now"""
    _timer: asyncio.TimerHandle | None = None

    def marks_of(self, view: GroupView, keys: Iterable[Ref]) -> dict[Ref, str]:
        """The mark that the pods of these workloads of the group carry."""
        wanted = mark(self.digest(view), view.group.spec.name)
        return dict.fromkeys(keys, wanted)

    async def restart(
        self,
        view: GroupView,
        namespace: str,
        group: GroupKey,
        *,
        back: bool = False,
        elsewhere: Container[Ref] = (),
    ) -> list[str]:
        """Annotate the group's workloads except those that are restarted ``elsewhere``; returns the problems.
        ``back``: a rollback restarts them.

        If too many restart already, :meth:`waits` returns why, and ``enqueue`` queues the group when a slot is free.

        :raises trimtab.kube.errors.UnavailableError: the caller retries.
        """
        self._forget_waiting(group)
        listed = (Ref(w.kind, namespace, w.name) for w in view.group.spec.workloads)
        keys = [key for key in listed if key not in elsewhere]
        self.history.keep(group, keys)
        if not keys:
            return []
        claim = Claim(group.template_key, back)
        try:
            marks = self.marks_of(view, keys)
            shared = view.schema.shared
            requests = [_Request(key, marks[key], claim, group, key in shared) for key in keys]
            outcomes = await all_of(self._annotate(request) for request in requests)
        finally:
            self._call_next()
        if None in outcomes:
            self._wait(group, claim, keys[outcomes.index(None)])
        return [problem for problem in outcomes if problem]

    def waits(self, group: GroupKey) -> str:
        """Which workload of the group waits for a slot, as a message; empty if none does."""
        queues = (self._waiting.get(claim, {}) for claim in _claims(group))
        return next((queue[group] for queue in queues if group in queue), "")

    def settle(self, key: Ref) -> None:
        """A workload's health may have changed: free its slot once it is healthy or has failed."""
        if key in self._restarting and not self._is_restarting(key):
            del self._restarting[key]
            self._call_next()

    def may_retry(self, group: GroupKey) -> bool:
        """Whether the group has waited and need not any longer. True once."""
        called = group in self._called
        self._called.discard(group)
        return called

    def forget(self, group: GroupKey) -> None:
        """The group no longer exists."""
        self._called.discard(group)
        self.history.keep(group, ())

    def stop(self) -> None:
        """The term ends."""
        self._waiting.clear()
        self._watch()

    # One workload.

    async def _annotate(self, request: _Request) -> str | None:
        """An empty string, or why it could not be done; None if it waits for a slot."""
        async with self._lanes.slot(request.group.template_key):
            for _ in range(ATTEMPTS):
                # its controller writes its status all the time
                with contextlib.suppress(errors.ConflictError):
                    return await self._annotate_once(request)
        self._restarting.pop(request.key, None)
        return f"{request.key} keeps changing; it is restarted later"

    async def _annotate_once(self, request: _Request) -> str | None:
        key = request.key
        try:
            found = await self.api.get(WORKLOADS[key.kind], key.namespace, key.name)
            return await self._annotate_found(request, found)
        except errors.NotFoundError:
            self._restarting.pop(key, None)
            self.history.missing(request.group, key, request.mark)
            return f"{key} does not exist"
        except (errors.ForbiddenError, errors.InvalidError) as error:
            self._restarting.pop(key, None)
            return f"{key} could not be restarted: {error.reason}"
        except errors.ApiError as error:
            if not isinstance(error, (errors.ConflictError, errors.UnavailableError)):
                self._restarting.pop(key, None)  # else it may be restarting
            raise

    async def _annotate_found(self, request: _Request, found: Body) -> str | None:
        key, digest, claim, group, shared = request
        before = digest_in(found["spec"]["template"])
        if carries(before, digest):
            self.history.holds(group, key, digest, found)
            self._notice(key, found, digest, claim)
            return ""
        if why := self.history.pause(group, key, digest, found, _now()):
            self._restarting.pop(key, None)
            return why
        if not self._take_slot(key, digest, claim):
            return None
        others = self.history.marks_of_others(group, key)
        value = marked(before, digest, others, shared=shared or bool(others))
        body = {
            "metadata": {
                "name": key.name,
                "namespace": key.namespace,
                "resourceVersion": found["metadata"]["resourceVersion"],
            },
            "spec": {"template": {"metadata": {"annotations": {naming.ANNOTATION_DIGEST: value}}}},
        }
        response = await self.api.apply(WORKLOADS[key.kind], body)
        self._restarting[key] = _Restarting(digest, _now(), claim)
        self.history.annotated(group, key, digest, response, _now())
        WRITES.labels(key.kind, "restart").inc()
        log.info("Restarting a workload", extra={"workload": str(key)})
        return ""

    # Slots.

    def _notice(self, key: Ref, found: Body, digest: str, claim: Claim) -> None:
        """A workload that has the annotation: perhaps from an earlier leader, and still restarting."""
        if self.health is not None and health_of(key.kind, found, (), digest).state == "Progressing":
            self._restarting.setdefault(key, _Restarting(digest, _now(), claim))

    def _take_slot(self, key: Ref, digest: str, claim: Claim) -> bool:
        """Whether it may restart now; then it has a slot until it is healthy or has failed."""
        new = self.health is not None and key not in self._restarting
        if new and not admits(claim, self._taken(), self._waiting, self.at_once):
            return False
        known = self._restarting.get(key)  # repeated attempts become slow as well
        since = known.since if known is not None and known.digest == digest else _now()
        self._restarting[key] = _Restarting(digest, since, claim)
        return True

    def _taken(self) -> list[RestartSlot]:
        if len(self._restarting) >= self.at_once:
            for key in [k for k in self._restarting if not self._is_restarting(k)]:
                del self._restarting[key]
        now = _now()
        return [
            RestartSlot(each.claim, now - each.since > SLOW_SECONDS) for each in self._restarting.values()
        ]

    def _is_restarting(self, key: Ref) -> bool:
        digest, since, _ = self._restarting[key]
        if self.health is None or _now() - since > LONGEST_SECONDS:
            return False
        health = self.health.state(key, digest, after=since)
        gone = not health.generation
        return not health.known or (health.state == "Progressing" and not gone)

    def _wait(self, group: GroupKey, claim: Claim, key: Ref) -> None:
        why = f"waits for a slot to restart {key}: {self.at_once} workloads are restarting"
        self._waiting.setdefault(claim, {})[group] = why
        self._watch()

    def _forget_waiting(self, group: GroupKey) -> None:
        for claim in _claims(group):
            queue = self._waiting.get(claim, {})
            if queue.pop(group, None) is not None and not queue:
                del self._waiting[claim]

    def _call_next(self) -> None:
        """Queue as many waiting groups as there are free slots; a group that needs none leaves it to the next one."""
        taken = self._taken() if self._waiting else []
        while (claim := next_of(self._waiting, taken, self.at_once)) is not None:
            group = next(iter(self._waiting[claim]))
            self._forget_waiting(group)
            taken.append(RestartSlot(claim))
            self._called.add(group)
            self.enqueue(group)
        self._watch()

    def _watch(self) -> None:
        """Watch restarting workloads only while groups wait for a slot."""
        if self.health is not None:
            self.health.want(self._restarting.keys() if self._waiting else (), by=RESTARTS)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._waiting:
            self._timer = asyncio.get_running_loop().call_later(CHECK_SECONDS, self._call_next)


def _claims(group: GroupKey) -> tuple[Claim, Claim]:
    return Claim(group.template_key, True), Claim(group.template_key, False)


def _now() -> float:
    return asyncio.get_running_loop().time()
