"""The status of a preference: the verdict, the inputs in force, and the history of those that they superseded."""

from __future__ import annotations

from typing import Any

import msgspec

from trimtab.core.evaluate.user import Outcome
from trimtab.core.resolve.preference import EMPTY, Accepted, Preference, canonical
from trimtab.core.status import Verdict, conditions, notice_fields, violation_fields

HISTORY_BYTES = 64 * 1024
STORED_BYTES = 1024 * 1024
"""Of the values, the accepted values and the history together: the history is dropped first, so that the others always
fit into one object, with a third of etcd's limit left for metadata and messages."""


def accept(
    preference: Preference | None, evaluated: Preference, outcome: Outcome, history_limit: int
) -> None:
    """Put the outcome's inputs, whose files are written, into force; the inputs that they supersede become history.

    ``preference`` is its present version: it may have been edited while its files were written.
    """
    new = outcome.inputs
    if new is None or preference is None or preference.uid != evaluated.uid:
        return
    old = preference.accepted
    if old is not None and old.generation > new.generation:
        return
    if old is not None and (old.values, old.schema_version, old.group) == (
        new.values,
        new.schema_version,
        new.group,
    ):
        if old.generation != new.generation:
            preference.accepted = new
        return
    if old is not None and (old.values, old.schema_version) != (new.values, new.schema_version):
        room = min(HISTORY_BYTES, STORED_BYTES - 2 * len(new.values))
        preference.history = _push(preference.history, old, history_limit, room)
    preference.accepted = new


def forget_sensitive(preference: Preference, sensitive: frozenset[str]) -> None:
    """A key may become sensitive after users set it: the inputs that are kept then lose it."""
    kept = preference.accepted
    if kept is not None and _mentions(kept.values, sensitive):
        values = _without(msgspec.json.decode(kept.values), sensitive)
        preference.accepted = msgspec.structs.replace(kept, values=canonical(values))
    if preference.history is not None and _mentions(preference.history, sensitive):
        entries = msgspec.json.decode(preference.history)
        for entry in entries:
            entry["values"] = _without(entry.get("values") or {}, sensitive)
        preference.history = canonical(entries)


def _mentions(text: bytes, keys: frozenset[str]) -> bool:
    return any(f'"{key}"'.encode() in text for key in keys)


def _without(values: dict[str, Any], keys: frozenset[str]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key not in keys}


def status_of(preference: Preference, verdict: Verdict) -> dict[str, Any]:
    """All of a preference's status; conditions without times (see :func:`fingerprint`)."""
    status: dict[str, Any] = {
        "observedGeneration": preference.generation,
        "conditions": conditions(verdict, preference.generation, "", ()),
    }
    if verdict.violations:
        status["violations"] = violation_fields(verdict.violations)
    if verdict.notices:
        status["warnings"] = notice_fields(verdict.notices)
    kept = preference.accepted
    if kept is not None:
        status["accepted"] = {
            "generation": kept.generation,
            "group": kept.group,
            **({"schemaVersion": kept.schema_version} if kept.schema_version is not None else {}),
            **({"values": msgspec.json.decode(kept.values)} if kept.values != EMPTY else {}),
        }
    if preference.history is not None:
        status["history"] = msgspec.json.decode(preference.history)
    return status


def _push(history: bytes | None, old: Accepted, limit: int, room: int) -> bytes | None:
    """The history with ``old`` in front, bounded in number and bytes; None if none is kept."""
    if len(old.values) > room:
        return None
    entry: dict[str, Any] = {"generation": old.generation}
    if old.schema_version is not None:
        entry["schemaVersion"] = old.schema_version
    if old.values != EMPTY:
        entry["values"] = msgspec.json.decode(old.values)
    entries = [entry, *(msgspec.json.decode(history) if history else [])][:limit]
    while entries and len(canonical(entries)) > room:
        entries.pop()
    return canonical(entries) if entries else None


def conditions_before(preference: Preference) -> list[dict[str, str]]:
    """The conditions that its status has now, as far as times depend on them."""
    return [
        {"type": kind, "status": status, "lastTransitionTime": since}
        for kind, status, since in preference.conditions
    ]
