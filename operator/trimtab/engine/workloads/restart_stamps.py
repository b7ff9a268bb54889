"""What was stamped on workloads, and how often others took the stamp away again.

A workload loses its stamp when it is deleted and recreated, replaced, rolled back by ``kubectl rollout undo``, or reset
by a controller. It is stamped again: at once the first time, then ever later, and after :data:`RESTAMPS` times in a row
not until a person resumes the rollout, as each stamp restarts pods. All of it is in memory: a new leader counts anew.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from trimtab.api.rollout_status import WorkloadNote
from trimtab.core import naming
from trimtab.core.refs import GroupKey, WorkloadKey
from trimtab.kube.port import Body

RESTAMPS = 4
"""So many times in a row what was taken away is stamped again."""
PAUSE_SECONDS = 15.0
"""The second time waits for so long after the stamp before it, the third one twice as long, and so on."""
CALM_SECONDS = 600.0
"""A stamp that held for so long ends the row."""
_ADVICE = (
    "That does not undo the configuration, which is in its ConfigMap. A controller that resets the pod template has to "
    f"ignore its annotation {naming.ANNOTATION_DIGEST}"
)


class Lost(NamedTuple):
    """A workload that lost its stamp. ``given_up``: it is not stamped again until a person resumes the rollout."""

    key: WorkloadKey
    message: str
    given_up: bool


@dataclass(slots=True)
class _Stamp:
    """``version`` is the newest resourceVersion that was dealt with, ``at`` the event loop's time of the last stamp."""

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
class Stamps:
    _of: dict[GroupKey, dict[WorkloadKey, _Stamp]] = field(default_factory=dict)
    _by: dict[WorkloadKey, set[GroupKey]] = field(default_factory=dict)
    """The groups that list a workload"""

    def keep(self, group: GroupKey, keys: Collection[WorkloadKey]) -> None:
        """Forget the workloads that the group does not list any more."""
        known = self._of.pop(group, {})
        for key in known.keys() - set(keys):
            self._by[key].discard(group)
            if not self._by[key]:
                del self._by[key]
            del known[key]
        if known:
            self._of[group] = known

    def others(self, group: GroupKey, key: WorkloadKey) -> list[str]:
        """What the other groups of its template ask of the workload that serve a revision which lists it."""
        found = self._by.get(key, set()) - {group}
        return [self._of[each][key].mark for each in found if each.template_key == group.template_key]

    def forgive(self, group: GroupKey) -> None:
        """A person resumes: stamp again what was given up."""
        for stamp in self._of.get(group, {}).values():
            stamp.times, stamp.recreated = 0, False

    def version(self, group: GroupKey, key: WorkloadKey) -> int:
        """The newest resourceVersion of the workload that was dealt with."""
        stamp = self._of.get(group, {}).get(key)
        return -1 if stamp is None else stamp.version

    def lost(self, group: GroupKey) -> Iterator[Lost]:
        """The group's workloads that lost their stamps to others."""
        for key, stamp in self._of.get(group, {}).items():
            if stamp.times > stamp.recreated:
                yield Lost(key, _said(key, stamp), stamp.times > RESTAMPS)

    def disturbed(self, group: GroupKey) -> set[WorkloadKey]:
        """The group's workloads that are not there, or that others have recreated or changed back."""
        return {key for key, stamp in self._of.get(group, {}).items() if stamp.missing or stamp.times}

    # One workload, as it was just read or written.

    def gone(self, group: GroupKey, key: WorkloadKey, mark: str) -> None:
        """It does not exist."""
        self._stamp(group, key, mark).missing = True

    def saw(self, group: GroupKey, key: WorkloadKey, mark: str, version: int) -> None:
        """This version, as the watch has it, is dealt with."""
        stamp = self._stamp(group, key, mark)
        stamp.version = max(stamp.version, version)

    def holds(self, group: GroupKey, key: WorkloadKey, mark: str, found: Body) -> None:
        """It carries the mark."""
        stamp = self._stamp(group, key, mark)
        stamp.uid, stamp.version, stamp.held, stamp.missing = _uid(found), _version(found), True, False

    def stamped(self, group: GroupKey, key: WorkloadKey, mark: str, answer: Body, now: float) -> None:
        self.holds(group, key, mark, answer)
        self._stamp(group, key, mark).at = now

    def refuses(self, group: GroupKey, key: WorkloadKey, mark: str, found: Body, now: float) -> str:
        """Why it may not be stamped again yet, where it does not carry the mark; else empty."""
        stamp = self._stamp(group, key, mark)
        if stamp.held:
            if now - stamp.at > CALM_SECONDS:
                stamp.times = 0
            stamp.held, stamp.times, stamp.by = False, stamp.times + 1, _changed_by(found)
            stamp.recreated = stamp.times == 1 and stamp.uid != _uid(found)
        stamp.version, stamp.missing = max(stamp.version, _version(found)), False
        early = now - stamp.at < PAUSE_SECONDS * (stamp.times - 1)
        return _said(key, stamp) if stamp.times > RESTAMPS or early else ""

    def _stamp(self, group: GroupKey, key: WorkloadKey, mark: str) -> _Stamp:
        mine = self._of.setdefault(group, {})
        if key not in mine or mine[key].mark != mark:
            mine[key] = _Stamp(mark)
            self._by.setdefault(key, set()).add(group)
        return mine[key]


def _said(key: WorkloadKey, stamp: _Stamp) -> str:
    times = "once" if stamp.times == 1 else f"{stamp.times} times"
    then = "it is restarted again"
    if stamp.times > RESTAMPS:
        then = "it is not restarted again until the rollout is resumed"
    by = f" (changed last by {stamp.by})" if stamp.by else ""
    return f"{key}: its pod template was changed back {times}{by}; {then}. {_ADVICE}"


def _changed_by(found: Body) -> str:
    """The field manager, ours apart, that changed the workload's spec last."""
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


def notes(lost: Collection[Lost]) -> tuple[WorkloadNote, ...]:
    """As a rollout's status lists them."""
    return tuple(WorkloadNote(workload=str(e.key), reason="ChangedBack", message=e.message) for e in lost)
