"""The status of a preference: the verdict, the inputs in force, and the history of those that they superseded."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from trimtab.core.evaluate.user import Outcome
from trimtab.core.resolve.preference import EMPTY, Accepted, Preference, canonical
from trimtab.core.status import Verdict, composed, findings

HISTORY_BYTES = 64 * 1024
STORED_BYTES = 1024 * 1024
"""Of the values, the accepted values and the history together: the history is dropped first, so that the others always
fit into one object, with a third of etcd's limit left for metadata and messages."""


class Kept(NamedTuple):
    """What a preference's status keeps apart from the verdict: the inputs in force, and those that they superseded."""

    accepted: Accepted | None
    history: bytes | None


def kept_after(preference: Preference, outcome: Outcome, history_limit: int) -> Kept:
    """What is kept once the files of the outcome's inputs are written: these are in force, and the inputs that they
    supersede are history. ``preference`` may have been edited while its files were written."""
    new, old, history = outcome.inputs, preference.accepted, preference.history
    if new is None or (old is not None and old.generation > new.generation):
        return Kept(old, history)
    if old is None or (old.values, old.schema_version) == (new.values, new.schema_version):
        same = old is not None and (old.group, old.generation) == (new.group, new.generation)
        return Kept(old if same else new, history)
    room = min(HISTORY_BYTES, STORED_BYTES - 2 * len(new.values))
    return Kept(new, _push(history, old, history_limit, room))


def without_sensitive(preference: Preference, sensitive: frozenset[str]) -> Kept:
    """What is kept without keys that have become sensitive since users set them."""
    accepted, history = preference.accepted, preference.history
    if accepted is not None and _mentions(accepted.values, sensitive):
        values = _without(msgspec.json.decode(accepted.values), sensitive)
        accepted = msgspec.structs.replace(accepted, values=canonical(values))
    if history is not None and _mentions(history, sensitive):
        entries = msgspec.json.decode(history)
        for entry in entries:
            entry["values"] = _without(entry.get("values") or {}, sensitive)
        history = canonical(entries)
    return Kept(accepted, history)


def _mentions(text: bytes, keys: frozenset[str]) -> bool:
    return any(f'"{key}"'.encode() in text for key in keys)


def _without(values: dict[str, Any], keys: frozenset[str]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key not in keys}


def status_of(preference: Preference, verdict: Verdict, now: str) -> dict[str, Any]:
    """All of a preference's status."""
    before = {"conditions": conditions_before(preference)}
    fields = {**findings(verdict), **_kept_fields(preference)}
    return composed(before, verdict, preference.generation, now, fields)


def _kept_fields(preference: Preference) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    kept = preference.accepted
    if kept is not None:
        fields["accepted"] = {
            "generation": kept.generation,
            "group": kept.group,
            **({"schemaVersion": kept.schema_version} if kept.schema_version is not None else {}),
            **({"values": msgspec.json.decode(kept.values)} if kept.values != EMPTY else {}),
        }
    if preference.history is not None:
        fields["history"] = msgspec.json.decode(preference.history)
    return fields


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
