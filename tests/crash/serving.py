"""Which content is rendered when: no user gets content before its wave, and none what was rolled back.

Scenes mark content: a value such as ``mark-new`` is in every document and every snapshot of it, and nowhere else. So
what a document is made of can be read off it, and nothing is asked of the operator but its own objects.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from crash.cluster import KEYS
from crash.journal import Change
from support.live_objects import Body
from trimtab.core import naming
from trimtab.core.rollout.user_share import position_of

_MARK = re.compile(r"mark-[a-z]+")
_NOTHING: frozenset[str] = frozenset()


def marks(value: object) -> frozenset[str]:
    """The contents that are in it."""
    return frozenset(_MARK.findall(json.dumps(value)))


@dataclass
class _Source:
    """One rollout, as its status stands."""

    uid: str
    status: Body = field(default_factory=dict)
    granted: dict[tuple[str, str], int] = field(default_factory=dict)
    """(content's hash, group) -> the percentage of its users who may have it"""


class Serving:
    """``begin``: the version from which the laws hold. ``broken`` takes those that do not."""

    def __init__(self, begin: int, broken: list[str]) -> None:
        self._begin, self._laws = begin, broken
        self._sources: dict[str, _Source] = {}
        self._snapshots: dict[str, frozenset[str]] = {}
        self._unwatched = False
        """The template has no strategy: its content moves every group at once."""
        self._of_template: set[str] = set()
        self._pointers: dict[str, Body] = {}
        self._documents: dict[tuple[str, str, str], frozenset[str]] = {}
        """(group, object, entry) -> marks"""
        self._base: set[str] = set()
        self._revisions: dict[str, dict[int, object]] = {}

    def _broken(self, change: Change, law: str) -> None:
        self._laws.append(f"{law} [{change.kind} {change.name} at {change.version}]")

    # Rollouts.

    def see_policyrollout(self, change: Change) -> None:
        if change.gone:
            return
        status = change.body.get("status") or {}
        if change.kind == "ConfigTemplate":
            self._unwatched = change.body["spec"].get("strategy") is None
        label = f"{change.kind} {change.name}"
        source = self._sources.setdefault(label, _Source(change.body["metadata"]["uid"]))
        source.status = status
        if status.get("underway") == "Forward":
            for number, wave in enumerate(status.get("waves") or (), 1):
                started = number < status.get("currentWave", 0) or (
                    number == status.get("currentWave") and status.get("waveState") != "Held"
                )
                for group in wave["groups"] if started else ():
                    key = (status["target"]["hash"], group)
                    source.granted[key] = max(source.granted.get(key, 0), wave.get("percent", 100))
        if status.get("phase") == "RolledBack":
            for group, name, entry in self._documents:
                self._check_document(change, group, name, entry)

    see_configtemplate = see_policyrollout

    def see_controllerrevision(self, change: Change) -> None:
        self._snapshots[change.name] = marks(change.body["data"])
        if "spec" in change.body["data"]:
            self._of_template.add(change.name)

    def see_renderedgroup(self, change: Change) -> None:
        status = change.body.get("status") or {}
        group = change.body["spec"]["group"]
        before = self._pointers.get(group) or {}
        self._pointers[group] = status
        if not status or change.gone:
            return
        self._check_revisions(change, status)
        for path, old, new in (
            ("epoch", before.get("epoch"), status.get("epoch")),
            ("operation.epoch", _epoch(before, status), (status.get("operation") or {}).get("epoch")),
        ):
            if old is not None and (new is None or new < old):
                self._broken(change, f"{path} never falls; {old} became {new}")
        if change.version <= self._begin:
            return
        share = status.get("share")
        self._check_pointer(change, group, status.get("currentRevision"), 100)
        if share:
            self._check_pointer(change, group, share["revision"], share["percent"])

    def _check_revisions(self, change: Change, status: Body) -> None:
        listed = status.get("revisions") or []
        numbers = [entry["number"] for entry in listed]
        contents = [_components(entry) for entry in listed]
        known = self._revisions.setdefault(change.name, {})
        if len(set(contents)) < len(contents):
            self._broken(change, f"one revision for one content; there are {contents}")
        if len(set(numbers)) < len(numbers):
            self._broken(change, f"revisions have numbers of their own: {numbers}")
        for number, content in zip(numbers, contents, strict=True):
            if number not in known and number != max(known, default=0) + 1:
                self._broken(change, f"revisions are numbered without gaps: {number} follows {sorted(known)}")
            if known.setdefault(number, content) != content:
                self._broken(change, f"revision {number} stays what it was")
        for name in ("currentRevision", "stableRevision"):
            if name in status and status[name] not in numbers:
                self._broken(change, f"{name} {status[name]} is listed: {numbers}")

    def _check_pointer(self, change: Change, group: str, number: object, percent: int) -> None:
        entries = (self._pointers[group]).get("revisions") or ()
        entry = next((e for e in entries if e["number"] == number), None)
        if entry is None:
            return
        for snapshot in _components(entry):
            if (
                self._snapshots.get(snapshot, _NOTHING) - self._base
                and self._granted(group, snapshot) < percent
            ):
                self._broken(change, f"group {group} is on {snapshot} at {percent}%, beyond its wave's share")

    def _granted(self, group: str, snapshot: str) -> int:
        """The percentage of the group's users who may be on it: 100 once a rollout is through with it."""
        if self._unwatched and snapshot in self._of_template:
            return 100
        return max((_grant(s, group, snapshot) for s in self._sources.values()), default=0)

    def see_configmap(self, change: Change) -> None:
        labels = change.body["metadata"].get("labels") or {}
        group = labels.get(naming.LABEL_GROUP)
        if labels.get(naming.LABEL_MANAGED_BY) != naming.MANAGER or group is None:
            return
        data = {} if change.gone else change.body.get("data") or {}
        for entry in {e for g, name, e in self._documents if name == change.name} - data.keys():
            del self._documents[group, change.name, entry]
        for entry, text in data.items():
            before = self._documents.get((group, change.name, entry))
            now = self._documents[group, change.name, entry] = marks(text)
            if change.version <= self._begin:
                self._base |= now
            elif before != now:
                self._check_document(change, group, change.name, entry)
                if before is not None:
                    self._check_growth(change, group, entry, before - now)

    def _check_document(self, change: Change, group: str, name: str, entry: str) -> None:
        for mark in self._documents[group, name, entry] - self._base:
            if not self._may(group, name, entry, mark):
                self._broken(change, f"{name}/{entry} has {mark}, beyond its wave's share")
            for label, source in self._sources.items():
                if mark in _barred(source, self._snapshots):
                    self._broken(change, f"{name}/{entry} has {mark}, which {label} has rolled back")

    def _may(self, group: str, name: str, entry: str, mark: str) -> bool:
        user = entry.partition(".")[0] if "-users-" in name else ""
        for snapshot, its in self._snapshots.items():
            if mark not in its:
                continue
            if self._granted(group, snapshot) == 100:
                return True
            for source in self._sources.values():
                percent = _grant(source, group, snapshot)
                if percent and user and self._belongs(source, group, user, percent):
                    return True
        return False

    def _belongs(self, source: _Source, group: str, user: str, percent: int) -> bool:
        first = (self._pointers.get(group, {}).get("share") or {}).get("first")
        place = position_of(KEYS.unbound({"seed": source.uid, "user": user}))
        return user == first or place < percent / 100

    def _check_growth(self, change: Change, group: str, entry: str, lost: frozenset[str]) -> None:
        """Nobody who has moved goes back while the rollout goes forward."""
        for source in self._sources.values():
            target = (source.status.get("target") or {}).get("snapshot")
            if source.status.get("underway") == "Forward" and lost & self._snapshots.get(target, _NOTHING):
                self._broken(change, f"{entry} of group {group} lost {sorted(lost)} while it goes forward")


def _grant(source: _Source, group: str, snapshot: str) -> int:
    for content in (source.status.get("stable"), source.status.get("previous")):
        if content and content.get("snapshot") == snapshot:
            return 100
    found = [p for (content, g), p in source.granted.items() if g == group and snapshot.endswith(content)]
    return max(found, default=0)


def _barred(source: _Source, snapshots: Mapping[str, frozenset[str]]) -> Iterator[str]:
    """The marks of what it has rolled back and put in quarantine."""
    if source.status.get("phase") != "RolledBack":
        return
    hashes = [q["hash"] for q in source.status.get("quarantine") or ()]
    for snapshot, its in snapshots.items():
        if any(snapshot.endswith(content) for content in hashes):
            yield from its


def _components(entry: Body) -> tuple[str, ...]:
    return entry["snapshot"], *(policy["snapshot"] for policy in entry.get("policies") or ())


def _epoch(before: Body, after: Body) -> Any:
    """The epoch of the operation before, if it is the same rollout's."""
    old, new = before.get("operation") or {}, after.get("operation") or {}
    return old.get("epoch") if old.get("uid") == new.get("uid") else None
