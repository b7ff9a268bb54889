"""Notes about workloads for status, and when other clients' changes of a workload pause the rollout."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from trimtab.api.rollout_status import NOTES, WorkloadNote
from trimtab.core.rollout import queries
from trimtab.core.rollout.context import Run
from trimtab.core.rollout.failures import moved, observed_groups

_Key = tuple[str, str]
_EVENTS = {"ChangedBack": "WorkloadChangedBack", "OnDelete": "RestartsOnDelete"}


def take_notes(run: Run) -> bool:
    """Keep the newest note of each workload in status; record each new one, and each change by another client."""
    if run.progress.underway != "Forward":
        return False
    before = {_key(note): note for note in run.progress.workload_notes}
    kept = _newest(before, _observed_notes(run))
    for key, note in kept.items():
        if key not in before or (_is_change(note) and note != before[key]):
            run.record(_EVENTS[note.reason], note.message, warning=_is_change(note))
    if kept == before:
        return False
    run.change(workload_notes=list(kept.values()))
    return True


def _newest(
    before: Mapping[_Key, WorkloadNote], observed: Iterable[WorkloadNote]
) -> dict[_Key, WorkloadNote]:
    kept = dict(before)
    for note in observed:
        if _key(note) in kept or len(kept) < NOTES:
            kept[_key(note)] = note
    return kept


def _is_change(note: WorkloadNote) -> bool:
    return note.reason == "ChangedBack"


def _observed_notes(run: Run) -> Iterator[WorkloadNote]:
    for name in observed_groups(run, promoted=True):
        group = run.group(name)
        if group is not None and moved(run, name):
            yield from group.notes


def halt(run: Run) -> bool:
    """Pause if other clients keep changing a workload back: its health is no evidence about the content."""
    if not queries.measuring(run.progress) or run.progress.halt is not None:
        return False
    intents = queries.intents_with(run.progress, hold=False)
    for name in observed_groups(run):
        group = run.group(name)
        if group is not None and group.contested and group.intent == intents.get(name):
            run.halt("ChangedBack", group.contested)
            return True
    return False


def by_others(run: Run, name: str) -> bool:
    """Whether the group is unhealthy because other clients changed its workloads."""
    group = run.group(name)
    return group is not None and group.by_others


def _key(note: WorkloadNote) -> _Key:
    return note.workload, note.reason
