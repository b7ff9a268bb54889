"""The laws of a rollout, held against everything that became of a namespace's objects, in its order.

Scenes mark content: a value such as ``mark-new`` is in every document and every snapshot of it, and nowhere else. So
what a document is made of can be read off it, and nothing is asked of the operator but its own objects.
"""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from live import Body

from crash.ground import KEYS
from crash.journal import Change
from crash.state import SOAK_AGAIN
from trimtab.core import naming
from trimtab.core.shares import place_of

_MARK = re.compile(r"mark-[a-z]+")
SOURCES = ("PolicyRollout", "ConfigTemplate")


def marks(value: object) -> frozenset[str]:
    """The contents that are in it."""
    return frozenset(_MARK.findall(json.dumps(value)))


@dataclass
class Facts:
    """What an undisturbed run and a disturbed one have in common, though it is in no object's final state.

    ``restarts``: each workload's digests, one after the other. ``told``: each rollout's transitions, soaks that
    started again left out. ``broken``: the laws that did not hold.
    """

    restarts: dict[str, list[str]] = field(default_factory=dict)
    told: dict[str, list[str]] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)

    def differences(self, other: Facts) -> list[str]:
        """What ``other`` did otherwise, and the laws that it broke."""
        pairs = (("restarts", self.restarts, other.restarts), ("transitions", self.told, other.told))
        return [f"{what}: {a} became {b}" for what, a, b in pairs if a != b] + other.broken


def examine(changes: list[Change], begin: int) -> Facts:
    """``begin``: the version at which the scene was set; what is served there is what it begins with."""
    watcher = _Watcher(begin)
    for change in changes:
        watcher.see(change)
    watcher.end()
    return watcher.facts


@dataclass
class _Source:
    """One rollout, as its status stands."""

    uid: str
    status: Body = field(default_factory=dict)
    transitions: dict[int, str] = field(default_factory=dict)
    granted: dict[tuple[str, str], int] = field(default_factory=dict)
    """(content's hash, group) -> the percentage of its users who may have it"""


class _Watcher:
    def __init__(self, begin: int) -> None:
        self.facts = Facts()
        self._begin = begin
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
        self._actions: dict[str, Body] = {}
        self._events: Counter[str] = Counter()
        self._event_bodies: dict[str, Body] = {}

    def see(self, change: Change) -> None:
        look = getattr(self, f"_see_{change.kind.lower()}", None)
        if look is not None:
            look(change)

    def _broken(self, change: Change, law: str) -> None:
        self.facts.broken.append(f"{law} [{change.kind} {change.name} at {change.version}]")

    # Rollouts.

    def _see_policyrollout(self, change: Change) -> None:
        status = change.body.get("status") or {}
        label = f"{change.kind} {change.name}"
        if change.gone:
            return
        if change.kind == "ConfigTemplate":
            self._unwatched = change.body["spec"].get("strategy") is None
        source = self._sources.setdefault(label, _Source(change.body["metadata"]["uid"]))
        if source.status == status:
            return
        source.status = status
        self._numbers(change, source)
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

    _see_configtemplate = _see_policyrollout

    def _numbers(self, change: Change, source: _Source) -> None:
        listed = source.status.get("transitions") or []
        numbers = [t["number"] for t in listed]
        top = max(source.transitions, default=0)
        if numbers != sorted(numbers, reverse=True) or any(
            a - b != 1 for a, b in itertools.pairwise(numbers)
        ):
            self._broken(change, f"transitions are numbered without gaps, newest first; they are {numbers}")
        if numbers and (max(numbers) < top or min(numbers) > top + 1):
            self._broken(change, f"transitions go on from {top}; they are {numbers}")
        for transition in listed:
            text = json.dumps({k: v for k, v in transition.items() if k != "number"}, sort_keys=True)
            if source.transitions.setdefault(transition["number"], text) != text:
                self._broken(change, f"transition {transition['number']} stays what it was")

    def _see_event(self, change: Change) -> None:
        body = change.body
        if change.gone or not body.get("reportingComponent", "").startswith("trimtab.dev"):
            return
        if change.name in self._event_bodies:
            self._broken(change, "an Event is written once")
        self._event_bodies[change.name] = body
        self._events[
            f"{body['involvedObject']['kind']} {body['involvedObject']['name']} {body['reason']}"
        ] += 1

    def _see_rolloutaction(self, change: Change) -> None:
        before = self._actions.get(change.name)
        self._actions[change.name] = change.body
        if before is not None and _answer(before) and before.get("status") != change.body.get("status"):
            self._broken(
                change, f"an action is answered once; {_answer(before)} became {_answer(change.body)}"
            )

    # What is served.

    def _see_controllerrevision(self, change: Change) -> None:
        self._snapshots[change.name] = marks(change.body["data"])
        if "spec" in change.body["data"]:
            self._of_template.add(change.name)

    def _see_renderedgroup(self, change: Change) -> None:
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
            if (self._snapshots.get(snapshot) or frozenset()) - self._base and self._granted(
                group, snapshot
            ) < percent:
                self._broken(change, f"group {group} is on {snapshot} at {percent}%, beyond its wave's share")

    def _granted(self, group: str, snapshot: str) -> int:
        """The percentage of the group's users who may be on it: 100 once a rollout is through with it."""
        if self._unwatched and snapshot in self._of_template:
            return 100
        return max((_grant(s, group, snapshot) for s in self._sources.values()), default=0)

    def _see_configmap(self, change: Change) -> None:
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
        place = place_of(KEYS.digest({"seed": source.uid, "user": user}, 16))
        return user == first or place < percent / 100

    def _check_growth(self, change: Change, group: str, entry: str, lost: frozenset[str]) -> None:
        """Nobody who has moved goes back while the rollout goes forward."""
        for source in self._sources.values():
            target = (source.status.get("target") or {}).get("snapshot")
            if source.status.get("underway") == "Forward" and lost & self._snapshots.get(target, frozenset()):
                self._broken(change, f"{entry} of group {group} lost {sorted(lost)} while it goes forward")

    # Workloads.

    def _see_deployment(self, change: Change) -> None:
        annotations = change.body["spec"]["template"]["metadata"].get("annotations") or {}
        listed = self.facts.restarts.setdefault(change.name, [])
        digest = annotations.get(naming.ANNOTATION_DIGEST, "")
        if not listed or listed[-1] != digest:
            listed.append(digest)

    # In the end.

    def end(self) -> None:
        told: Counter[str] = Counter()
        for label, source in self._sources.items():
            reasons = [json.loads(text)["reason"] for _, text in sorted(source.transitions.items())]
            told.update(f"{label} {reason}" for reason in reasons)
            self.facts.told[label] = [reason for reason in reasons if reason not in SOAK_AGAIN]
        if told != self._events:
            self.facts.broken.append(
                f"each transition is one Event: missing {dict(told - self._events)}, "
                f"too many {dict(self._events - told)}"
            )
        for name, action in self._actions.items():
            uid = action["metadata"]["uid"]
            times = sum(
                line.startswith(uid)
                for source in self._sources.values()
                for line in source.status.get("handled") or ()
            )
            if not _answer(action) or times != 1:
                self.facts.broken.append(
                    f"action {name} is answered ({_answer(action)}) and handled once, not {times} times"
                )


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


def _answer(action: Body) -> str:
    conditions = (action.get("status") or {}).get("conditions") or ()
    return next((f"{c['status']}: {c['message']}" for c in conditions if c["type"] == "Ready"), "")


def _components(entry: Body) -> tuple[str, ...]:
    return entry["snapshot"], *(policy["snapshot"] for policy in entry.get("policies") or ())


def _epoch(before: Body, after: Body) -> Any:
    """The epoch of the operation before, if it is the same rollout's."""
    old, new = before.get("operation") or {}, after.get("operation") or {}
    return old.get("epoch") if old.get("uid") == new.get("uid") else None
