"""Two revisions of a group, or two preferences of a user: differences in values with layers, then in structure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.text import Text

from trimtab.cli.cluster.preferences import Accepted
from trimtab.cli.cluster.revisions import Data, Revision
from trimtab.cli.output import Line, Part, pieces
from trimtab.core.resolve import diff
from trimtab.core.resolve.diff import KeyChange, PartChange, Side
from trimtab.core.resolve.resolve import GroupView, trace
from trimtab.core.schema.layer import USER, check_layer
from trimtab.core.text import cut

LONG = 200
"""Characters of a value in text; -o json has all of it."""
_MISFIT = "user, no longer valid"
_NO_PROVENANCE = "the group's revision cannot be read, so only the user's own values are compared"
_BLIND = "sensitive values are omitted: a snapshot of an older version of Trimtab has no digests"
_SIGNS = {diff.ADDED: ("+ ", "green"), diff.REMOVED: ("- ", "red")}
Piece = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Comparison:
    """What differs between two contents; ``subject`` and ``about`` name them for humans and for programs."""

    keys: Sequence[KeyChange]
    structure: Sequence[PartChange] = ()
    notes: Sequence[str] = field(default_factory=list)
    subject: str = ""
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def different(self) -> bool:
        return bool(self.keys or self.structure)

    def content(self) -> dict[str, Any]:
        return {
            **self.about,
            "different": self.different,
            "keys": [_key(change) for change in self.keys],
            "structure": [_present(change, "path", "change", "old", "new") for change in self.structure],
            "notes": list(self.notes),
        }

    def parts(self) -> Iterator[Part]:
        yield Line(self.subject, "bold")
        if not self.different:
            yield Line("no difference", "green")
        width = max((len(change.key) for change in self.keys), default=0)
        yield from (_line(change.change, f"{change.key:<{width}}", _sides(change)) for change in self.keys)
        if self.structure:
            yield Line()
            yield Line("Structure", "bold")
        yield from (_line(change.change, change.path, _values(change)) for change in self.structure)


def of_revisions(template: str, group: str, old: Data, new: Data) -> Comparison:
    """A group's document and structure in two revisions.

    :raises Failure: one of them cannot be read.
    """
    before, after = Revision.of(old), Revision.of(new)
    blind = before.blind or after.blind
    if blind:
        before, after = Revision.of(old, blind=True), Revision.of(new, blind=True)
    views = [revision.view(template, group) for revision in (before, after)]
    keys = diff.documents(*(trace(view, {}) for view in views))
    structure = diff.structures(before.contents, after.contents, group, {change.key for change in keys})
    return Comparison(keys, structure, [_BLIND] if blind else [])


def of_values(view: GroupView | None, old: Accepted, new: Accepted) -> Comparison:
    """A user's document with previous and present values, on top of the group's revision if that can be read."""
    versions = [entry.schema_version for entry in (old, new)]
    structure = [PartChange("schemaVersion", diff.CHANGED, *versions)] if versions[0] != versions[1] else []
    if view is None:
        keys = _raw(old.values, new.values, {*old.values, *new.values}, USER)
        return Comparison(keys, structure, [_NO_PROVENANCE])
    layers = [
        check_layer(view.schema.keys, USER, e.values, view.schema.coercion)[0].values for e in (old, new)
    ]
    keys = diff.documents(*(trace(view, values) for values in layers))
    fit = layers[0].keys() | layers[1].keys()
    misfit = {key for entry in (old, new) for key in entry.values if key not in fit}
    return Comparison([*keys, *_raw(old.values, new.values, misfit, _MISFIT)], structure)


def _raw(old: Mapping[str, Any], new: Mapping[str, Any], names: set[str], layer: str) -> list[KeyChange]:
    """Values as in the specs."""
    made = []
    for name in sorted(names):
        before, after = (Side(values[name], layer) if name in values else None for values in (old, new))
        if before != after:
            change = diff.ADDED if before is None else diff.REMOVED if after is None else diff.CHANGED
            made.append(KeyChange(name, change, before, after))
    return made


def _present(item: Any, *names: str) -> dict[str, Any]:
    return {name: value for name in names if (value := getattr(item, name)) is not None}


def _key(change: KeyChange) -> dict[str, Any]:
    made = _present(change, "key", "change", "old", "new") | ({"sensitive": True} if change.sensitive else {})
    for name in ("old", "new"):
        if name in made:
            side: Side = made[name]
            effect = {"effect": side.effect} if side.effect else {}
            made[name] = {"value": side.value, "layer": side.layer, **effect}
    return made


def _line(change: str, name: str, values: list[Piece]) -> Text:
    sign, style = _SIGNS.get(change, ("  ", ""))
    return pieces((sign, style), (f"{name}  ", style), *values)


def _sides(change: KeyChange) -> list[Piece]:
    made: list[Piece] = []
    for side, style in ((change.old, "red"), (change.new, "green")):
        if side is None:
            continue
        made += [(" -> ", "")] if made else []
        another = ", another value" if made and change.sensitive and change.change == diff.CHANGED else ""
        effect = f", {side.effect}" if side.effect else ""
        made += [(short(side.value) + another, style), (f" ({side.layer}{effect})", "dim")]
    if change.change == diff.UNKNOWN:
        made.append((", unknown whether the value changed", "dim"))
    return made


def _values(change: PartChange) -> list[Piece]:
    if change.change == diff.REORDERED:
        return [("reordered", "")]
    sides = ((change.old, "red"), (change.new, "green"))
    if change.change in (diff.ADDED, diff.REMOVED):
        return [(short(value), style) for value, style in sides if value is not None]
    return [(short(change.old), "red"), (" -> ", ""), (short(change.new), "green")]


def short(value: Any) -> str:
    """A value in a line of text."""
    if value is None:
        return "(unset)"
    return cut(value if value == diff.SENSITIVE else json.dumps(value, ensure_ascii=False), LONG)
