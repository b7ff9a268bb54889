"""The digest annotations that were written to workloads, and how often other clients removed them.

A workload loses its annotation when it is deleted and recreated, replaced, rolled back by ``kubectl rollout undo``, or
reset by a controller. It is restarted again: immediately the first time, then after growing pauses, and after
:data:`REPEATS` times in a row not until a user resumes the rollout, as each annotation restarts pods. All of it is in
memory: a new leader counts from zero.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from trimtab.api.rollout_status import WorkloadNote
from trimtab.core import naming
from trimtab.core.refs import GroupKey, Ref
from trimtab.kube.port import Body

REPEATS = 4
"""How many times in a row a removed annotation is written again."""
PAUSE_SECONDS = 15.0
"""The pause before the second time; the third one takes twice as long, and so on."""
CALM_SECONDS = 600.0
"""An annotation that stayed for so long ends the row."""
_ADVICE = (
    "That does not undo the configuration, which is in its ConfigMap. A controller that resets the pod template has to "
    f"ignore its annotation {naming.ANNOTATION_DIGEST}"
)


class ChangedBack(NamedTuple):
    """A workload that lost its annotation. ``given_up``: it is not restarted again until a user resumes the rollout."""

    key: Ref
    message: str
    given_up: bool


@dataclass(slots=True)
class _Annotation:
    """``version`` is the newest resourceVersion that was processed, ``at`` the event loop's time of the last write."""

    mark: str
    uid: str = ""
    version: int = -1
    held: bool = False
    at: float = 0.0
    times: int = 0
    recreated: bool = False
    missing: bool = False
    by: str = ""


@dataclass(slots=True)
class RestartHistory:
    """By group and workload."""

    _of: dict[GroupKey, dict[Ref, _Annotation]] = field(default_factory=dict)
    _by: dict[Ref, set[GroupKey]] = field(default_factory=dict)
    """The groups that list a workload"""

    def keep(self, group: GroupKey, keys: Collection[Ref]) -> None:
        """Forget the workloads that the group no longer lists."""
        known = self._of.pop(group, {})
        for key in known.keys() - set(keys):
            self._by[key].discard(group)
            if not self._by[key]:
                del self._by[key]
            del known[key]
        if known:
            self._of[group] = known

    def marks_of_others(self, group: GroupKey, key: Ref) -> list[str]:
        """The marks of the template's other groups whose revision lists the workload."""
        found = self._by.get(key, set()) - {group}
        return [self._of[each][key].mark for each in found if each.template_key == group.template_key]

    def resume(self, group: GroupKey) -> None:
        """A user resumes the rollout: restart again what was given up."""
        for entry in self._of.get(group, {}).values():
            entry.times, entry.recreated = 0, False

    def version(self, group: GroupKey, key: Ref) -> int:
        """The newest resourceVersion of the workload that was processed."""
        entry = self._of.get(group, {}).get(key)
        return -1 if entry is None else entry.version

    def changed_back(self, group: GroupKey) -> Iterator[ChangedBack]:
        """The group's workloads that lost their annotation to other clients."""
        for key, entry in self._of.get(group, {}).items():
            if entry.times > entry.recreated:
                yield ChangedBack(key, _message(key, entry), entry.times > REPEATS)

    def disturbed(self, group: GroupKey) -> set[Ref]:
        """The group's workloads that do not exist, or that other clients have recreated or changed back."""
        return {key for key, entry in self._of.get(group, {}).items() if entry.missing or entry.times}

    # One workload, as it was just read or written.

    def missing(self, group: GroupKey, key: Ref, mark: str) -> None:
        """It does not exist."""
        self._entry(group, key, mark).missing = True

    def processed(self, group: GroupKey, key: Ref, mark: str, version: int) -> None:
        """This version, as the watch has it, was processed."""
        entry = self._entry(group, key, mark)
        entry.version = max(entry.version, version)

    def holds(self, group: GroupKey, key: Ref, mark: str, found: Body) -> None:
        """It carries the mark."""
        entry = self._entry(group, key, mark)
        entry.uid, entry.version, entry.held, entry.missing = _uid(found), _version(found), True, False

    def annotated(self, group: GroupKey, key: Ref, mark: str, answer: Body, now: float) -> None:
        """The mark was written."""
        self.holds(group, key, mark, answer)
        self._entry(group, key, mark).at = now

    def pause(self, group: GroupKey, key: Ref, mark: str, found: Body, now: float) -> str:
        """Why the workload, which does not carry the mark, is not restarted again yet; empty if it may be."""
        entry = self._entry(group, key, mark)
        if entry.held:
            if now - entry.at > CALM_SECONDS:
                entry.times = 0
            entry.held, entry.times, entry.by = False, entry.times + 1, _changed_by(found)
            entry.recreated = entry.times == 1 and entry.uid != _uid(found)
        entry.version, entry.missing = max(entry.version, _version(found)), False
        early = now - entry.at < PAUSE_SECONDS * (entry.times - 1)
        return _message(key, entry) if entry.times > REPEATS or early else ""

    def _entry(self, group: GroupKey, key: Ref, mark: str) -> _Annotation:
        mine = self._of.setdefault(group, {})
        if key not in mine or mine[key].mark != mark:
            mine[key] = _Annotation(mark)
            self._by.setdefault(key, set()).add(group)
        return mine[key]


def _message(key: Ref, entry: _Annotation) -> str:
    times = "once" if entry.times == 1 else f"{entry.times} times"
    then = "it is restarted again"
    if entry.times > REPEATS:
        then = "it is not restarted again until the rollout is resumed"
    by = f" (changed last by {entry.by})" if entry.by else ""
    return f"{key}: its pod template was changed back {times}{by}; {then}. {_ADVICE}"


def _changed_by(found: Body) -> str:
    """The field manager other than Trimtab that changed the workload's spec last."""
    entries = [
        entry
        for entry in found["metadata"].get("managedFields") or ()
        if entry.get("manager") != naming.MANAGER and not entry.get("subresource")
    ]
    last = max(((e.get("time") or "", str(e.get("manager") or "")) for e in entries), default=("", ""))
    return re.sub(r"[^\w./-]", "", last[1])[:64]


def _uid(found: Body) -> str:
    return str(found["metadata"].get("uid") or "")


def _version(found: Body) -> int:
    return int(found["metadata"].get("resourceVersion") or 0)


def notes(found: Collection[ChangedBack]) -> tuple[WorkloadNote, ...]:
    """As a rollout's status lists them."""
    return tuple(WorkloadNote(workload=str(e.key), reason="ChangedBack", message=e.message) for e in found)
