"""Workloads that read a group's configuration: restarted when a key with ``reload: Restart`` changed, and only then.

A restart is the pod template's annotation ``trimtab.dev/digest``, a keyed digest of those keys' values; Kubernetes
does the rest at the workload's own pace. The digest of equal values is equal, so nothing restarts twice for one change,
whoever dies in between, and a rollback stamps the very digest of before.

What others take away is stamped again (`restart_stamps`). Few workloads are between the stamp and being
healthy again (`core.workload.restart_slots`); whoever comes then waits for a turn. As long as there are fewer, nobody
watches them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from trimtab.core import naming
from trimtab.core.refs import GroupKey, TemplateKey, WorkloadKey
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
from trimtab.engine.workloads.restart_stamps import Stamps
from trimtab.kube import errors
from trimtab.kube.port import Api, Body
from trimtab.kube.resources import WORKLOADS

log = logging.getLogger(__name__)

ATTEMPTS = 5
PARALLEL = 2
"""Workloads of one template that are told to restart at once."""
SLOW_SECONDS = 60.0
"""After so long a workload that is not healthy yet holds up only those of its own template."""
LONGEST_SECONDS = 600.0
"""After so long a workload that is neither healthy nor failed does not hold others up any more."""
CHECK_SECONDS = 15.0
"""How often those who wait look again, if nobody calls them before."""
RESTARTS = "restarts"


class _Ask(NamedTuple):
    """One workload that a group wants to carry a mark."""

    key: WorkloadKey
    mark: str
    claim: Claim
    group: GroupKey | None
    shared: bool
    """Whether other groups of the template list it, as the group's revision has it"""


class _Restarting(NamedTuple):
    """``since`` is the event loop's time."""

    digest: str
    since: float
    claim: Claim


def restart_digest(keys: Keys, view: GroupView) -> str:
    """Of the values that the group's workloads need a restart for, bound to the group."""
    values = restarting(view)
    if view.unbound:
        return keys.unbound(values)
    return keys.digest("restart", (view.schema.namespace, view.schema.name, view.group.name), values)


@dataclass(slots=True)
class Workloads:
    """``digest`` is keyed: of the values that a group's workloads need a restart for. Without ``health`` nothing is
    waited for.

    ``enqueue(group)`` is called when a waiting group may restart its workloads; :meth:`may_retry` is true then.
    """

    api: Api
    digest: Callable[[GroupView], str]
    health: HealthWatch | None = None
    enqueue: Callable[[GroupKey], None] = lambda _group: None
    at_once: int = AT_ONCE
    stamps: Stamps = field(default_factory=Stamps)
    _lanes: Lanes = field(default_factory=lambda: Lanes(PARALLEL))
    _restarting: dict[WorkloadKey, _Restarting] = field(default_factory=dict)
    _waiting: dict[Claim, dict[GroupKey, str]] = field(default_factory=dict)
    """The groups that wait, and for what"""
    _called: set[GroupKey] = field(default_factory=set)
    """The groups that waited and may restart their workloads now"""
    _timer: asyncio.TimerHandle | None = None

    def marks_of(self, view: GroupView, keys: Iterable[WorkloadKey]) -> dict[WorkloadKey, str]:
        """What the pods of these workloads of the group carry."""
        wanted = mark(self.digest(view), view.group.spec.name)
        return dict.fromkeys(keys, wanted)

    async def restart(
        self,
        view: GroupView,
        namespace: str,
        group: GroupKey | None = None,
        *,
        back: bool = False,
        elsewhere: Container[WorkloadKey] = (),
    ) -> list[str]:
        """Stamp the group's workloads but those that are restarted ``elsewhere``; what could not be done, for people.
        ``back``: as they return to what was before.

        Where too many restart already, :meth:`waits` says why, and ``enqueue`` queues the group when a slot is free.

        :raises trimtab.kube.errors.UnavailableError: try again later.
        """
        workloads = view.group.spec.workloads
        owner = group.template_key if group is not None else None
        if group is not None:
            self._forget_waiting(group)
        listed = (WorkloadKey(w.kind, namespace, w.name) for w in workloads)
        keys = [key for key in listed if key not in elsewhere]
        if group is not None:
            self.stamps.keep(group, keys)
        if not keys:
            return []
        claim = Claim(owner, back)
        try:
            marks = self.marks_of(view, keys)
            shared = view.schema.shared
            asks = [_Ask(key, marks[key], claim, group, key in shared) for key in keys]
            outcomes = await all_of(self._stamp(ask) for ask in asks)
        finally:
            self._call_next()
        if None in outcomes:
            self._wait(group, claim, keys[outcomes.index(None)])
        return [problem for problem in outcomes if problem]

    def waits(self, group: GroupKey) -> str:
        """What the group waits for, for people, where a workload of it cannot be told to restart yet, as others
        restart; else empty."""
        queues = (self._waiting.get(claim, {}) for claim in _claims(group))
        return next((queue[group] for queue in queues if group in queue), "")

    def settle(self, key: WorkloadKey) -> None:
        """Something new is known of a workload's health."""
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
        self.stamps.keep(group, ())

    def stop(self) -> None:
        """The term ends."""
        self._waiting.clear()
        self._watch()

    # One workload.

    async def _stamp(self, ask: _Ask) -> str | None:
        """An empty string, or why it could not be done; None if its turn is yet to come."""
        owner = ask.group.template_key if ask.group is not None else TemplateKey("", "")
        async with self._lanes.turn(owner):
            for _ in range(ATTEMPTS):
                # Its controller writes its status all the time.
                with contextlib.suppress(errors.ConflictError):
                    return await self._stamp_once(ask)
        self._restarting.pop(ask.key, None)
        return f"{ask.key} keeps changing; it will be restarted later"

    async def _stamp_once(self, ask: _Ask) -> str | None:
        key, digest, claim, group, shared = ask
        resource = WORKLOADS[key.kind]
        try:
            found = await self.api.get(resource, key.namespace, key.name)
            template = found["spec"]["template"]
            before = digest_in(template)
            if carries(before, digest):
                if group is not None:
                    self.stamps.holds(group, key, digest, found)
                self._notice(key, found, digest, claim)
                return ""
            if group is not None and (why := self.stamps.refuses(group, key, digest, found, _now())):
                self._restarting.pop(key, None)
                return why
            if not self._take_turn(key, digest, claim):
                return None
            others = self.stamps.others(group, key) if group is not None else []
            value = marked(before, digest, others, shared=shared or bool(others))
            body = {
                "metadata": {
                    "name": key.name,
                    "namespace": key.namespace,
                    "resourceVersion": found["metadata"]["resourceVersion"],
                },
                "spec": {"template": {"metadata": {"annotations": {naming.ANNOTATION_DIGEST: value}}}},
            }
            answer = await self.api.apply(resource, body)
            self._restarting[key] = _Restarting(digest, _now(), claim)
            if group is not None:
                self.stamps.stamped(group, key, digest, answer, _now())
        except errors.NotFoundError:
            self._restarting.pop(key, None)
            if group is not None:
                self.stamps.gone(group, key, digest)
            return f"{key} does not exist"
        except (errors.ForbiddenError, errors.InvalidError) as error:
            self._restarting.pop(key, None)
            return f"{key} could not be restarted: {error.reason}"
        except errors.ApiError as error:
            if not isinstance(error, (errors.ConflictError, errors.UnavailableError)):
                self._restarting.pop(key, None)  # else it may be restarting all the same
            raise
        WRITES.labels(key.kind, "restart").inc()
        log.info("restarting", extra={"workload": str(key)})
        return ""

    # Turns.

    def _notice(self, key: WorkloadKey, found: Body, digest: str, claim: Claim) -> None:
        """One that is stamped already: perhaps by a process that has died since, and restarting still."""
        if self.health is not None and health_of(key.kind, found, (), digest).state == "Progressing":
            self._restarting.setdefault(key, _Restarting(digest, _now(), claim))

    def _take_turn(self, key: WorkloadKey, digest: str, claim: Claim) -> bool:
        """Whether it may restart now; then it counts until it has."""
        new = self.health is not None and key not in self._restarting
        if new and not admits(claim, self._taken(), self._waiting, self.at_once):
            return False
        known = self._restarting.get(key)  # what is tried again and again becomes slow as well
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

    def _is_restarting(self, key: WorkloadKey) -> bool:
        digest, since, _ = self._restarting[key]
        if self.health is None or _now() - since > LONGEST_SECONDS:
            return False
        health = self.health.state(key, digest, after=since)
        gone = not health.generation
        return not health.known or (health.state == "Progressing" and not gone)

    def _wait(self, group: GroupKey | None, claim: Claim, key: WorkloadKey) -> None:
        if group is not None:
            why = f"waits for a turn to restart {key}: {self.at_once} restart at once"
            self._waiting.setdefault(claim, {})[group] = why
        self._watch()

    def _forget_waiting(self, group: GroupKey) -> None:
        for claim in _claims(group):
            queue = self._waiting.get(claim, {})
            if queue.pop(group, None) is not None and not queue:
                del self._waiting[claim]

    def _call_next(self) -> None:
        """As many of those who wait as there are turns: one that needs none lets the next one in."""
        taken = self._taken() if self._waiting else []
        while (claim := next_of(self._waiting, taken, self.at_once)) is not None:
            group = next(iter(self._waiting[claim]))
            self._forget_waiting(group)
            taken.append(RestartSlot(claim))
            self._called.add(group)
            self.enqueue(group)
        self._watch()

    def _watch(self) -> None:
        """Watch what restarts only while somebody waits for it."""
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
