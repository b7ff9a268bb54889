"""Workloads that read a group's configuration: restarted when a key with ``reload: Restart`` changed, and only then.

A restart is the pod template's annotation ``trimtab.dev/digest``, a keyed digest of those keys' values; Kubernetes
does the rest at the workload's own pace. The digest of equal values is equal, so nothing restarts twice for one change,
whoever dies in between, and a rollback stamps the very digest of before.

At most :data:`AT_ONCE` workloads are between the stamp and being healthy again; whoever comes then waits in a queue.
As long as there are fewer, nobody watches them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from trimtab.core import naming
from trimtab.core.health import judge
from trimtab.core.pods import digest_in
from trimtab.core.reload import restarting
from trimtab.core.resolve import GroupView
from trimtab.engine.evidence import WorkloadKey
from trimtab.engine.health import HealthWatch
from trimtab.engine.metrics import WRITES
from trimtab.engine.preferences import GroupKey
from trimtab.kube import errors
from trimtab.kube.port import Api, Body
from trimtab.kube.resources import WORKLOADS

log = logging.getLogger(__name__)

ATTEMPTS = 5
PARALLEL = 2
"""Workloads that are told to restart at once, over all groups."""
AT_ONCE = 10
"""Workloads that may be restarting at once, over all groups."""
LONGEST_SECONDS = 600.0
"""After so long a workload that is neither healthy nor failed does not hold others up any more."""
CHECK_SECONDS = 15.0
"""How often those who wait look again, if nobody calls them before."""
RESTARTS = "restarts"


class _Restarting(NamedTuple):
    """``since`` is the event loop's time."""

    digest: str
    since: float


@dataclass(slots=True)
class Workloads:
    """``digest`` is keyed. Without ``health`` nothing is waited for.

    ``again(group)`` is called when it is a waiting group's turn: :meth:`restart` is to be called once more.
    """

    api: Api
    digest: Callable[[object], str]
    health: HealthWatch | None = None
    again: Callable[[GroupKey], None] = lambda _group: None
    at_once: int = AT_ONCE
    _slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(PARALLEL))
    _restarting: dict[WorkloadKey, _Restarting] = field(default_factory=dict)
    _waiting: dict[GroupKey, None] = field(default_factory=dict)
    _timer: asyncio.TimerHandle | None = None

    def digest_of(self, view: GroupView) -> str:
        """What the pods of the group's workloads carry: of the keys that need a restart and are in what it serves."""
        return self.digest(restarting(view))

    async def restart(self, view: GroupView, namespace: str, group: GroupKey | None = None) -> list[str]:
        """Stamp the group's workloads; what could not be done, for people.

        Where too many are restarting already, nothing is said of it: ``again`` calls the group when its turn comes.

        :raises trimtab.kube.errors.UnavailableError: try again later.
        """
        workloads = view.group.spec.workloads
        if group is not None:
            self._waiting.pop(group, None)
        if not workloads:
            return []
        digest = self.digest_of(view)
        keys = [WorkloadKey(w.kind, namespace, w.name) for w in workloads]
        try:
            outcomes = await asyncio.gather(*(self._stamp(key, digest) for key in keys))
        finally:
            self._call_next()
        if None in outcomes:
            self._wait(group)
        return [problem for problem in outcomes if problem]

    def waits(self, group: GroupKey) -> bool:
        """Whether a workload of the group has not been told to restart yet, as others restart."""
        return group in self._waiting

    def settle(self, key: WorkloadKey) -> None:
        """Something new is known of a workload's health."""
        if key in self._restarting and not self._is_restarting(key):
            del self._restarting[key]
            self._call_next()

    def reset(self) -> None:
        """Forget everything: another process acts."""
        self._restarting.clear()
        self._waiting.clear()
        self._watch()

    # One workload.

    async def _stamp(self, key: WorkloadKey, digest: str) -> str | None:
        """An empty string, or why it could not be done; None if its turn is yet to come."""
        async with self._slots:
            for _ in range(ATTEMPTS):
                # Its controller writes its status all the time.
                with contextlib.suppress(errors.ConflictError):
                    return await self._stamp_once(key, digest)
        self._restarting.pop(key, None)
        return f"{key} keeps changing; it will be restarted later"

    async def _stamp_once(self, key: WorkloadKey, digest: str) -> str | None:
        resource = WORKLOADS[key.kind]
        try:
            found = await self.api.get(resource, key.namespace, key.name)
            template = found["spec"]["template"]
            if digest_in(template) == digest:
                self._notice(key, found, digest)
                return ""
            if not self._take_turn(key, digest):
                return None
            body = {
                "metadata": {
                    "name": key.name,
                    "namespace": key.namespace,
                    "resourceVersion": found["metadata"]["resourceVersion"],
                },
                "spec": {"template": {"metadata": {"annotations": {naming.ANNOTATION_DIGEST: digest}}}},
            }
            await self.api.apply(resource, body)
        except errors.NotFoundError:
            self._restarting.pop(key, None)
            return f"{key} does not exist"
        except (errors.ForbiddenError, errors.InvalidError) as error:
            self._restarting.pop(key, None)
            return f"{key} could not be restarted: {error.reason}"
        WRITES.labels(key.kind, "restart").inc()
        log.info("restarting", extra={"workload": str(key)})
        return ""

    # Turns.

    def _notice(self, key: WorkloadKey, found: Body, digest: str) -> None:
        """One that is stamped already: perhaps by a process that has died since, and restarting still."""
        if self.health is not None and judge(key.kind, found, (), digest).state == "Progressing":
            self._restarting.setdefault(key, _Restarting(digest, _now()))

    def _take_turn(self, key: WorkloadKey, digest: str) -> bool:
        """Whether it may restart now; then it counts until it has."""
        if self.health is not None and key not in self._restarting and not self._free_turns():
            return False
        self._restarting[key] = _Restarting(digest, _now())
        return True

    def _free_turns(self) -> int:
        if len(self._restarting) >= self.at_once:
            for key in [k for k in self._restarting if not self._is_restarting(k)]:
                del self._restarting[key]
        return max(0, self.at_once - len(self._restarting))

    def _is_restarting(self, key: WorkloadKey) -> bool:
        digest, since = self._restarting[key]
        if self.health is None or _now() - since > LONGEST_SECONDS:
            return False
        health = self.health.state(key, digest, after=since)
        gone = not health.generation
        return not health.known or (health.state == "Progressing" and not gone)

    def _wait(self, group: GroupKey | None) -> None:
        if group is not None:
            self._waiting[group] = None
        self._watch()

    def _call_next(self) -> None:
        """As many of those who wait as there are turns: one that needs none lets the next one in."""
        for group in list(self._waiting)[: self._free_turns() if self._waiting else 0]:
            del self._waiting[group]
            self.again(group)
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


def _now() -> float:
    return asyncio.get_running_loop().time()
