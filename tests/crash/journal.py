"""Every change of the objects of a cluster, in order.

One watch a kind, over all namespaces, straight to the API server. Resource versions come from one counter (etcd's), so
changes of all kinds have one order, and "before" has a meaning.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import urllib3

from support.live_objects import KINDS, Api, Body
from trimtab.kube.credentials import from_kubeconfig
from trimtab.kube.resources import Resource

T = TypeVar("T")
WATCHED = (
    "ConfigTemplate", "PolicyRollout", "RolloutAction", "UserPreference", "RenderedGroup", "ControllerRevision",
    "ConfigMap", "Secret", "Deployment", "Event",
)  # fmt: skip
_LOOK = 1.0


@dataclass(frozen=True)
class Change:
    """``body`` is the object afterwards, or as it was last if it is ``gone``."""

    version: int
    kind: str
    body: Body
    gone: bool = False

    @property
    def name(self) -> str:
        return str(self.body["metadata"]["name"])

    @property
    def namespace(self) -> str:
        return str(self.body["metadata"].get("namespace", ""))


class BrokenError(Exception):
    """The journal has a gap."""


class Journal:
    """Use as a context manager."""

    def __init__(self, kubeconfig: Path) -> None:
        self._who = from_kubeconfig(kubeconfig)
        self._pool = urllib3.PoolManager(ssl_context=self._who.tls(), maxsize=len(WATCHED), retries=False)
        self._api = Api(kubeconfig)
        self._changes: list[Change] = []
        self._now: dict[tuple[str, str, str], Body] = {}
        self._over: set[str] = set()
        self._ticks = 0
        self._news = threading.Condition()
        self._broken = ""
        self._closing = False

    def __enter__(self) -> Journal:
        for kind in WATCHED:
            listed = self._api.call("GET", KINDS[kind].path(None))
            version = listed["metadata"]["resourceVersion"]
            threading.Thread(target=self._watch, args=(kind, version), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing = True  # the threads end with their connections

    # What it knows.

    def of(self, namespace: str) -> list[Change]:
        """All changes of a namespace's objects so far, the oldest first.

        :raises BrokenError: some were missed.
        """
        with self._news:
            if self._broken:
                raise BrokenError(self._broken)
            found = [change for change in self._changes if change.namespace == namespace]
        return sorted(found, key=lambda change: change.version)

    def get(self, kind: str, namespace: str, name: str) -> Body | None:
        """The object as it was heard of last."""
        with self._news:
            return self._now.get((kind, namespace, name))

    def all(self, kind: str, namespace: str) -> list[Body]:
        with self._news:
            return [b for (k, n, _), b in self._now.items() if (k, n) == (kind, namespace)]

    def wait(self, look: Callable[[], T], until: float) -> T | None:
        """The first true answer, asked again with each change and each second; None after ``until`` (monotonic)."""
        while True:
            with self._news:
                before = self._ticks
            answer = look()
            if answer:
                return answer
            left = until - time.monotonic()
            if left <= 0:
                return None
            with self._news:
                self._news.wait_for(lambda before=before: self._ticks > before, min(left, _LOOK))  # type: ignore[misc]

    def nudge(self) -> None:
        """Whoever waits looks again: something has happened that is no object's change."""
        with self._news:
            self._ticks += 1
            self._news.notify_all()

    def forget(self, namespace: str) -> None:
        """A run is over: what still becomes of its objects does not count."""
        with self._news:
            self._over.add(namespace)
            self._changes = [change for change in self._changes if change.namespace != namespace]
            self._now = {key: body for key, body in self._now.items() if key[1] != namespace}

    # The threads.

    def _watch(self, kind: str, version: str) -> None:
        while not self._closing:
            try:
                version = self._stream(KINDS[kind], kind, version)
            except BrokenError:
                return
            except Exception:  # whatever the connection died of: the watch goes on from where it was
                time.sleep(0.05)

    def _stream(self, resource: Resource, kind: str, version: str) -> str:
        """Until the API server ends it; the version to go on from."""
        url = f"{self._who.server}{resource.path(None)}?watch=1&allowWatchBookmarks=true&resourceVersion={version}"
        answer = self._pool.request("GET", url, headers={"Accept": "application/json"}, preload_content=False)
        pending = b""
        try:
            for chunk in answer.stream(None):
                *lines, pending = (pending + chunk).split(b"\n")
                for line in lines:
                    version = self._take(kind, json.loads(line)) or version
        finally:
            answer.release_conn()
        return version

    def _take(self, kind: str, event: Body) -> str | None:
        body = event["object"]
        if event["type"] == "ERROR":
            with self._news:
                self._broken = f"the watch of {kind} broke: {body.get('message')}"
            raise BrokenError(self._broken)
        version = str(body["metadata"]["resourceVersion"])
        if event["type"] == "BOOKMARK":
            return version
        gone = event["type"] == "DELETED"
        change = Change(int(version), kind, body, gone)
        key = (kind, change.namespace, change.name)
        with self._news:
            if change.namespace in self._over:
                return version
            self._ticks += 1
            self._changes.append(change)
            if gone:
                self._now.pop(key, None)
            else:
                self._now[key] = body
            self._news.notify_all()
        return version
