"""The revisions that a RenderedGroup's status lists: which one the group is on, and what a switch changes there."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from trimtab.api.rendered_group import Operation
from trimtab.core.resolve.content import Components
from trimtab.core.rollout.user_share import UserShare

REVISIONS_BYTES = 512 * 1024
"""The size of all listed revisions, each of which names its policies: etcd stores that and the rest of the object."""
FAILED_LISTED = 20
"""The CRD's limit for one revision: a longer list would have the write of a rollback refused permanently."""
Entry = dict[str, Any]
"""One listed revision."""


@dataclass(frozen=True, slots=True)
class RevisionSwitch:
    """Where a group moves to. ``operation`` is the rollout that moves it. If the group is on ``stable`` until now, its
    current revision is recorded as its stable one: a rollout may start in the moment in which another one succeeds."""

    content: Components
    share: UserShare | None = None
    operation: Operation | None = None
    stable: Components | None = None

    def policies(self) -> set[str]:
        """The policies that the group, or the share, moves to, or whose rollout moves it."""
        contents = [self.content, *([self.share.content] if self.share is not None else [])]
        names = {name for _, refs in contents for name, _ in refs}
        if self.operation is not None and self.operation.kind == "PolicyRollout":
            names.add(self.operation.name)
        return names


@dataclass(frozen=True, slots=True)
class GroupRevisions:
    """What the status of a group's RenderedGroup records; empty if there is none."""

    status: Mapping[str, Any]

    @property
    def listed(self) -> list[Entry]:
        return self.status.get("revisions") or []

    @property
    def current(self) -> Entry | None:
        """The revision that the group is on."""
        return self._entry(self.status.get("currentRevision"))

    @property
    def stable(self) -> Entry | None:
        """The last revision that succeeded; the current one if none has."""
        return self._entry(self.status.get("stableRevision")) or self.current

    @property
    def share(self) -> Mapping[str, Any]:
        """``revision``, ``percent`` and ``first`` of the users who are on another revision; or empty."""
        return self.status.get("share") or {}

    @property
    def shared(self) -> Entry | None:
        """The revision that a share of the users is on."""
        return self._entry(self.share["revision"]) if self.share.get("revision") is not None else None

    @property
    def percent(self) -> int:
        """The percentage of users who are on another revision."""
        return int(self.share.get("percent") or 0)

    @property
    def operation(self) -> Mapping[str, Any]:
        """The rollout that moved the group last: ``kind``, ``name``, ``uid``, ``epoch``, ``back``; or empty."""
        return self.status.get("operation") or {}

    def is_on(self, switch: RevisionSwitch) -> bool:
        """Whether the status records this switch already."""
        current, other, share = self.current, self.shared, self.share
        if current is None or components_of(current) != switch.content:
            return False
        mine = UserShare(components_of(other), share.get("percent"), share.get("first")) if other else None  # type: ignore[arg-type]
        if mine != switch.share:
            return False
        return switch.operation is None or self.operation == _stamp(switch.operation)

    def is_newer_than(self, operation: Operation | None) -> bool:
        """Whether a later epoch of the same rollout moved the group: a leader that was paused must not move what its
        successor has moved back."""
        last = self.operation
        if operation is None or last.get("uid") != operation.uid:
            return False
        return int(last.get("epoch") or 0) > operation.epoch

    def first_user(self, content: Components, seed: str) -> str:
        """The user that a share of the content, or of the rollout ``seed``, includes so far; or empty."""
        other = self.shared
        same = other is not None and components_of(other) == content
        return self.share.get("first") or "" if same or self.operation.get("uid") == seed else ""

    def failed(self, policy: str | None) -> set[str]:
        """The snapshots of a policy, or of the template (None), that a rollback of the group left."""
        found = set[str]()
        for entry in self.listed:
            template, policies = components_of(entry)
            part = template if policy is None else dict(policies).get(policy)
            if part is not None and part in entry.get("failed", ()):
                found.add(part)
        return found

    def snapshots(self) -> Iterator[str]:
        """The snapshots of all listed revisions."""
        for entry in self.listed:
            yield entry.get("snapshot", "")
            for policy in entry.get("policies") or ():
                yield policy.get("snapshot", "")

    def _entry(self, number: Any) -> Entry | None:
        return next((entry for entry in self.listed if entry["number"] == number), None)


def components_of(entry: Entry) -> Components:
    """The snapshots of a listed revision."""
    policies = tuple(sorted((p["name"], p["snapshot"]) for p in entry.get("policies") or ()))
    return entry["snapshot"], policies


@dataclass(frozen=True, slots=True)
class SwitchContext:
    """What a switch is recorded with: ``generations`` are those of the rollouts there are, by ``PolicyRollout NAME``
    and ``ConfigTemplate``; numbers continue from ``last_number`` if the list is empty; ``limit`` is the template's
    revisionHistoryLimit; ``now`` is RFC 3339 text."""

    now: str
    generations: Mapping[str, int]
    limit: int
    last_number: int = 0


def switched(before: GroupRevisions, switch: RevisionSwitch, context: SwitchContext) -> dict[str, Any]:
    """The status after the switch.

    Content that is listed already is the same revision; other content is a new one. A revision records what led to it
    last; a rollback records nothing, so what it returns to is unchanged.
    """
    history = _History(before, switch, context)
    operation, was = switch.operation, before.current
    current = history.entry(switch.content)
    if history.left != switch.content and not (operation and operation.back):
        history.credit(current)
    status = {
        **before.status,
        "currentRevision": current["number"],
        "epoch": int(before.status.get("epoch") or 0) + 1,
    }
    if was is not None and history.left == switch.stable:
        status["stableRevision"] = was["number"]
    status.pop("share", None)
    needed = {current["number"], status.get("stableRevision")}
    if switch.share is not None:
        share, number = switch.share, history.entry(switch.share.content)["number"]
        status["share"] = {"revision": number, "percent": share.percent, "first": share.first}
        needed.add(number)
    if operation is not None:  # else the last one stays: its older epochs are still refused
        status["operation"] = dict(_stamp(operation))
    status["revisions"] = bounded(history.listed, context.limit, needed)
    return status


class _History:
    """The listed revisions while a switch is recorded."""

    def __init__(self, before: GroupRevisions, switch: RevisionSwitch, context: SwitchContext) -> None:
        current = before.current
        self.left = components_of(current) if current else None
        self.listed = [dict(entry) for entry in before.listed]
        self._switch, self._context = switch, context
        operation = switch.operation
        if operation is not None and operation.failed is not None:
            self._mark_failed(operation.failed)
        else:
            self._clear_failed(switch.content)
            if switch.share is not None:
                self._clear_failed(switch.share.content)

    def entry(self, content: Components) -> Entry:
        """The revision of this content; it is added if it is not listed."""
        found = next((entry for entry in self.listed if components_of(entry) == content), None)
        if found is not None:
            return found
        snapshot, refs = content
        number = max((int(e["number"]) for e in self.listed), default=self._context.last_number) + 1
        entry: Entry = {"number": number, "snapshot": snapshot}
        if refs:
            entry["policies"] = [{"name": name, "snapshot": policy} for name, policy in refs]
        entry["createdAt"] = self._context.now
        self.credit(entry)
        self.listed.append(entry)
        return entry

    def credit(self, entry: Entry) -> None:
        """Record what led to the revision."""
        who = cause(self.left, components_of(entry), self._switch.operation)
        entry.pop("by", None)
        entry.update({"reason": self._reason(who)}, **({"by": who} if who else {}))

    def _reason(self, who: str | None) -> str:
        generations = self._context.generations
        if who is not None and who.startswith("PolicyRollout "):
            found = generations.get(who)
            return f"{who} was deleted" if found is None else f"{who} generation {found}"
        return f"ConfigTemplate generation {generations.get('ConfigTemplate', 0)}"

    def _mark_failed(self, snapshot: str) -> None:
        """A rollback leaves this content."""
        for entry in self.listed:
            if snapshot in _parts(entry) and snapshot not in entry.get("failed", ()):
                entry["failed"] = [*entry.get("failed", ()), snapshot][-FAILED_LISTED:]

    def _clear_failed(self, content: Components) -> None:
        """Content that the group moves to is no longer in quarantine."""
        parts = {content[0], *(snapshot for _, snapshot in content[1])}
        for entry in self.listed:
            failed = [snapshot for snapshot in entry.pop("failed", ()) if snapshot not in parts]
            if failed:
                entry["failed"] = failed


def _parts(entry: Entry) -> set[str]:
    template, policies = components_of(entry)
    return {template, *(snapshot for _, snapshot in policies)}


def cause(before: Components | None, after: Components, operation: Operation | None) -> str | None:
    """Which rollout leads a group from ``before`` to ``after``, by what differs: the one that moves it, or a policy
    that was deleted. None: a change of a template without a strategy."""
    moves = f"{operation.kind} {operation.name}" if operation else None
    if before is None or before == after:
        return moves
    if before[0] != after[0]:
        return moves if operation and operation.kind == "ConfigTemplate" else None
    changed = {f"PolicyRollout {name}" for name, _ in set(before[1]) ^ set(after[1])}
    return moves if moves in changed else min(changed)


def most_common(entries: Iterable[Entry | None]) -> str | None:
    """The template's snapshot in most of these groups' revisions; the newest of several; None without any."""
    found = [entry for entry in entries if entry is not None]
    count = Counter(entry["snapshot"] for entry in found)
    newest = {entry["snapshot"]: entry.get("createdAt") or "" for entry in found}
    return max(count, key=lambda name: (count[name], newest[name], name), default=None)


def bounded(listed: list[Entry], limit: int, needed: set[Any]) -> list[Entry]:
    """The newest ``limit`` revisions, newest first, up to :data:`REVISIONS_BYTES`, and all that are needed."""
    size, kept = 0, []
    for at, entry in enumerate(sorted(listed, key=lambda e: -int(e["number"]))):
        size += len(msgspec.json.encode(entry))
        if entry["number"] in needed or (at < limit and size <= REVISIONS_BYTES):
            kept.append(entry)
    return kept


@functools.lru_cache(maxsize=256)  # the same for all groups of a rollout
def _stamp(operation: Operation) -> dict[str, Any]:
    return operation.to_dict()
