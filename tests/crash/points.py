"""Where an operator can be killed: each write that it sends, distinguished from all others, before and after it."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from support.fault_proxy import Cut, Die, Effect, Exchange, Hold
from trimtab.core import naming

Body = dict[str, Any]


@dataclass(frozen=True, order=True)
class Write:
    """One write of a scene: what it says, and the how manieth of those that say the same it is, from 1."""

    says: str
    nth: int = 1

    def __str__(self) -> str:
        return self.says + (f" ({self.nth})" if self.nth > 1 else "")


@dataclass(frozen=True, order=True)
class Point:
    """A moment right before the API server gets a write, or right ``after`` it has done it."""

    write: Write
    after: bool

    def __str__(self) -> str:
        return f"{'after' if self.after else 'before'} {self.write}"


def says(exchange: Exchange) -> str:
    """A write in a few words that are the same in every run of a scene."""
    body = _body(exchange)
    name = exchange.name or (body.get("metadata") or {}).get("name", "")
    if exchange.plural == "events":
        return f"create Event {body['regarding']['name']} {body['reason']}"
    what = f"{exchange.verb} {exchange.plural}/{name}"
    if exchange.subresource:
        what += f"/{exchange.subresource}"
    about = _about(body)
    return f"{what} {about}" if about else what


def _body(exchange: Exchange) -> Body:
    sent = json.loads(exchange.body) if exchange.body else {}
    if isinstance(sent, list):  # a JSON patch: what it puts where
        return {str(step["path"]).strip("/"): step.get("value") for step in sent if step["op"] != "test"}
    return dict(sent)


def _about(body: Body) -> str:
    """What tells two writes of one object apart, as long as it does not depend on chance."""
    status = body.get("status") or {}
    found = []
    for name in ("phase", "currentWave", "waveState", "currentRevision", "stableRevision"):
        if name in status:
            found.append(f"{name}={status[name]}")  # noqa: PERF401
    if (status.get("operation") or {}).get("back"):
        found.append("back")
    if (status.get("share") or {}).get("percent"):
        found.append(f"share={status['share']['percent']}")
    ready = next((c for c in status.get("conditions") or () if c.get("type") == "Ready"), {})
    if ready:
        found.append(f"Ready={ready.get('reason')}")
    annotations = (body.get("metadata") or {}).get("annotations") or {}
    if naming.ANNOTATION_REVISION in annotations:
        found.append(f"revision {annotations[naming.ANNOTATION_REVISION]}")
    return " ".join(found)


class Gatekeeper:
    """Notes every write to a namespace, and does something about one of them.

    ``strike(point)`` is asked at each write, before and after it; what it answers becomes of that write.
    """

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self.writes: list[Write] = []
        """In their order, since :meth:`begin`, until something was done about one."""
        self.strike: Callable[[Write], Effect | None] = lambda _write: None
        self.closed = False
        """Nothing is forwarded while it is."""
        self._counting = self._struck = False
        self._seen: Counter[str] = Counter()
        self._lock = threading.Lock()

    def begin(self) -> None:
        """What was written so far was only to set the scene."""
        self._counting = True

    def __call__(self, exchange: Exchange) -> Effect | None:
        if self.closed:
            return Cut()
        if not self._counting or not exchange.write or exchange.namespace != self.namespace:
            return None
        with self._lock:
            what = says(exchange)
            self._seen[what] += 1
            write = Write(what, self._seen[what])
            effect = self.strike(write)
            if not self._struck:
                self.writes.append(write)
            self._struck = self._struck or effect is not None
            return effect


__all__ = ["Die", "Gatekeeper", "Hold", "Point", "Write", "says"]
