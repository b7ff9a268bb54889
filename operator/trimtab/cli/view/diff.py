"""Two revisions of a group, or two preferences of a user, side by side: keys with who sets them, then structure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from trimtab.cli.cluster.revisions import Data, Revision
from trimtab.cli.view.output import colour, say
from trimtab.core.resolve import diff
from trimtab.core.resolve.diff import KeyChange, PartChange, Side
from trimtab.core.resolve.resolve import GroupView, trace
from trimtab.core.schema.template import USER, check_layer

if TYPE_CHECKING:
    from trimtab.cli.cluster.preferences import Accepted

LONG = 200
"""Characters of a value that people are shown; -o json has all of it."""
_MISFIT = "user, not valid any more"
_NO_PROVENANCE = "the group's revision is not known, so only the user's own values are compared"
_BLIND = "sensitive values are left out: a snapshot of an older version of Trimtab says nothing of them"
_SIGNS = {diff.ADDED: ("+ ", "green"), diff.REMOVED: ("- ", "red")}


@dataclass(frozen=True, slots=True)
class Comparison:
    """What differs, and of what: ``subject`` for people, ``about`` for programs."""

    subject: str
    about: Mapping[str, Any]
    keys: Sequence[KeyChange]
    parts: Sequence[PartChange] = ()
    notes: Sequence[str] = field(default_factory=list)

    @property
    def different(self) -> bool:
        return bool(self.keys or self.parts)

    def to_dict(self) -> dict[str, Any]:
        """The whole for programs."""
        return {
            **self.about,
            "different": self.different,
            "keys": [_key(change) for change in self.keys],
            "structure": [_part(change) for change in self.parts],
            "notes": list(self.notes),
        }

    def people(self) -> None:
        """The whole on stdout."""
        say(self.subject, style="bold")
        if not self.different:
            say("nothing differs", style="green")
            return
        width = max((len(change.key) for change in self.keys), default=0)
        for change in self.keys:
            sign, style = _SIGNS.get(change.change, ("  ", ""))
            colour((sign, style), (f"{change.key:<{width}}  ", style), *_sides(change))
        if self.parts:
            say()
            say("How it is made", style="bold")
        for part in self.parts:
            sign, style = _SIGNS.get(part.change, ("  ", ""))
            colour((sign, style), (f"{part.path}  ", style), *_values(part))


def of_revisions(template: str, group: str, old: Data, new: Data) -> Comparison:
    """A group's document and how it is made, in two of its revisions.

    :raises Failure: one of them cannot be read.
    """
    before, after = Revision.of(old), Revision.of(new)
    blind = before.blind or after.blind
    if blind:
        before, after = Revision.of(old, blind=True), Revision.of(new, blind=True)
    views = [revision.view(template, group) for revision in (before, after)]
    keys = diff.documents(*(trace(view, {}) for view in views))
    told = {change.key for change in keys}
    parts = diff.structures(before.contents, after.contents, group, told)
    return Comparison("", {}, keys, parts, [_BLIND] if blind else [])


def of_values(view: GroupView | None, old: Accepted, new: Accepted) -> Comparison:
    """A user's document with what they once preferred and with what they prefer, on what their group is served."""
    versions = [entry.schema_version for entry in (old, new)]
    parts = [PartChange("schemaVersion", diff.CHANGED, *versions)] if versions[0] != versions[1] else []
    if view is None:
        keys = _raw(old.values, new.values, {*old.values, *new.values}, USER)
        return Comparison("", {}, keys, parts, [_NO_PROVENANCE])
    layers = [
        check_layer(view.schema.keys, USER, e.values, view.schema.coercion)[0].values for e in (old, new)
    ]
    keys = diff.documents(*(trace(view, values) for values in layers))
    fit = layers[0].keys() | layers[1].keys()
    misfit = {key for entry in (old, new) for key in entry.values if key not in fit}
    return Comparison("", {}, [*keys, *_raw(old.values, new.values, misfit, _MISFIT)], parts)


def _raw(old: Mapping[str, Any], new: Mapping[str, Any], names: set[str], layer: str) -> list[KeyChange]:
    """Values as they were written."""
    made = []
    for name in sorted(names):
        before, after = (Side(values[name], layer) if name in values else None for values in (old, new))
        if before != after:
            change = diff.ADDED if before is None else diff.REMOVED if after is None else diff.CHANGED
            made.append(KeyChange(name, change, before, after))
    return made


def _key(change: KeyChange) -> dict[str, Any]:
    made: dict[str, Any] = {"key": change.key, "change": change.change}
    made |= {"sensitive": True} if change.sensitive else {}
    for name, side in (("old", change.old), ("new", change.new)):
        if side is not None:
            effect = {"effect": side.effect} if side.effect else {}
            made[name] = {"value": side.value, "layer": side.layer, **effect}
    return made


def _part(change: PartChange) -> dict[str, Any]:
    made: dict[str, Any] = {"path": change.path, "change": change.change}
    return made | {n: v for n, v in (("old", change.old), ("new", change.new)) if v is not None}


def _sides(change: KeyChange) -> list[tuple[str, str]]:
    made: list[tuple[str, str]] = []
    for side, style in ((change.old, "red"), (change.new, "green")):
        if side is None:
            continue
        made += [(" -> ", "")] if made else []
        another = ", another value" if made and change.sensitive and change.change == diff.CHANGED else ""
        effect = f", {side.effect}" if side.effect else ""
        made += [(short(side.value) + another, style), (f" ({side.layer}{effect})", "dim")]
    if change.change == diff.UNKNOWN:
        made.append((", whether its value changed is not known", "dim"))
    return made


def _values(change: PartChange) -> list[tuple[str, str]]:
    if change.change == diff.REORDERED:
        return [("in another order", "")]
    said = ((change.old, "red"), (change.new, "green"))
    if change.change in (diff.ADDED, diff.REMOVED):
        return [(short(value), style) for value, style in said if value is not None]
    return [(short(change.old), "red"), (" -> ", ""), (short(change.new), "green")]


def short(value: Any) -> str:
    """A value as people are shown it."""
    if value is None:
        return "(unset)"
    text = value if value == diff.SENSITIVE else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONG else f"{text[: LONG - 3]}..."
