"""What differs between two revisions of a group: its document, key by key with who sets it, and how it is made.

Nothing sensitive is in the result: of a sensitive value it only says whether it is another one, and that only where
digests of the same place can be compared.

=========  ==========================================================================
change     of a key                                   of a part of the structure
=========  ==========================================================================
Added      it had no value                            it was not there
Removed    it has no value any more                   it is not there any more
Changed    another value                              another value
Moved      the same value, set or clamped by another  -
Unknown    sensitive, and cannot be compared          -
Reordered  -                                          the same entries in another order
=========  ==========================================================================
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from trimtab.core.resolve.redaction import SEALED_FIELDS, Hidden
from trimtab.core.resolve.resolve import Trace
from trimtab.core.resolve.snapshot import Spec

ADDED, REMOVED, CHANGED, MOVED, UNKNOWN, REORDERED = (
    "Added",
    "Removed",
    "Changed",
    "Moved",
    "Unknown",
    "Reordered",
)
SENSITIVE = "(sensitive)"
_IDENTITIES = {"workloads": ("kind", "name")}
"""What tells entries of a list apart, by the list's name; of any other, the first of ``_NAMES`` that they all have."""
_NAMES = ("name", "key", "from")
_EMPTY: tuple[Any, ...] = (None, [], {})


@dataclass(frozen=True, slots=True)
class Side:
    """A key's value in one revision and the highest layer that set it; a sensitive value is :data:`SENSITIVE`.

    ``effect`` says what a policy's constraint did to it, as ``clamped by NAME``.
    """

    value: Any
    layer: str
    effect: str = ""


@dataclass(frozen=True, slots=True)
class KeyChange:
    """One key whose value, or who sets it, differs. A side is None where it has no value."""

    key: str
    change: str
    old: Side | None
    new: Side | None
    sensitive: bool = False


@dataclass(frozen=True, slots=True)
class PartChange:
    """One part of how values are made that differs; ``path`` is as ``keys[agent.temperature].maximum``."""

    path: str
    change: str
    old: Any = None
    new: Any = None


def documents(old: Mapping[str, Trace], new: Mapping[str, Trace]) -> list[KeyChange]:
    """What differs between two documents, in the new one's order; keys that are gone come last."""
    names = [*new, *(name for name in old if name not in new)]
    found = (_key(name, old.get(name), new.get(name)) for name in names)
    return [change for change in found if change is not None]


def _key(name: str, old: Trace | None, new: Trace | None) -> KeyChange | None:
    old, new = _set(old), _set(new)
    if old is None and new is None:
        return None
    secret = (old is not None and old.sensitive) or (new is not None and new.sensitive)
    before, after = _side(old, hidden=secret), _side(new, hidden=secret)
    if old is None or new is None:
        return KeyChange(name, REMOVED if new is None else ADDED, before, after, secret)
    if secret and (old.sensitive != new.sensitive or _setters(old) != _setters(new)):
        return KeyChange(name, UNKNOWN, before, after, True)
    if not _same(old.value, new.value):
        return KeyChange(name, CHANGED, before, after, secret)
    moved = (before and (before.layer, before.effect)) != (after and (after.layer, after.effect))
    return KeyChange(name, MOVED, before, after, secret) if moved else None


def _set(trace: Trace | None) -> Trace | None:
    return None if trace is None or trace.value is None else trace


def _side(trace: Trace | None, *, hidden: bool) -> Side | None:
    if trace is None:
        return None
    effect = f"{trace.effect.lower()} by {trace.effect_by}" if trace.effect else ""
    return Side(SENSITIVE if hidden else trace.value, trace.layer, effect)


def _setters(trace: Trace) -> tuple[str, ...]:
    """The layers that the value is made of."""
    return (trace.layer, *(layer for layer, _ in trace.shadowed)) if trace.combined else (trace.layer,)


def _same(old: Any, new: Any) -> bool:
    """Whether two values are written alike: for Python, true is 1 as well."""
    return bool(old == new) and isinstance(old, bool) == isinstance(new, bool)


@dataclass(frozen=True, slots=True)
class Contents:
    """The content of a revision, redacted (:mod:`trimtab.core.resolve.redaction`): a template, and policies by name."""

    template: Spec
    policies: Mapping[str, Spec] = field(default_factory=dict)


def structures(old: Contents, new: Contents, group: str, told: Container[str] = ()) -> list[PartChange]:
    """What differs in how a group's documents are made: keys, outputs, groups, policies and so on.

    Of other groups it only counts that they are there. Values of the keys in ``told`` are left out: somebody has told
    of them.
    """
    secret = {
        key["name"]
        for contents in (old, new)
        for key in contents.template.get("keys") or ()
        if key.get("sensitive")
    }
    silent = _Silent(secret, told)
    sides = [silent.about(contents, group) for contents in (old, new)]
    shared = set.intersection(*({p["name"] for p in side["profiles"]} for side in sides))
    for side in sides:
        side["profiles"] = [p for p in side["profiles"] if p["name"] in shared]
    return list(_differences("", *sides))


@dataclass(frozen=True, slots=True)
class _Silent:
    """Keys of which not everything may be said: the ``secret`` ones' values, and those that were told of already."""

    secret: Container[str]
    told: Container[str]

    def about(self, contents: Contents, group: str) -> Spec:
        """All that is about one group, as one tree."""
        spec = contents.template
        groups: list[Spec] = spec.get("groups") or []
        profile = next((g.get("profile") for g in groups if g["name"] == group), None)
        return {
            **spec,
            "keys": [self._declared(key) for key in spec.get("keys") or ()],
            "profiles": [self._valued(p) for p in spec.get("profiles") or () if p["name"] == profile],
            "groups": [self._valued(g) if g["name"] == group else {"name": g["name"]} for g in groups],
            "policies": [self._policy(name, content) for name, content in sorted(contents.policies.items())],
        }

    def _declared(self, key: Spec) -> Spec:
        made = {
            name: value for name, value in key.items() if name != "default" or key["name"] not in self.told
        }
        if key["name"] in self.secret:
            made = {name: _hidden(value) if name in SEALED_FIELDS else value for name, value in made.items()}
        return made

    def _valued(self, entry: Spec) -> Spec:
        kept = {key: value for key, value in (entry.get("values") or {}).items() if key not in self.told}
        return {**entry, "values": {k: _hidden(v) if k in self.secret else v for k, v in kept.items()}}

    def _policy(self, name: str, content: Spec) -> Spec:
        """Its values as any layer's; of a secret key's constraint only that it is there."""
        policy = self._valued(content.get("policy") or {})
        made = {
            name: value for name, value in content.items() if name not in ("policy", "templateRef")
        } | policy
        made["enforced"] = [
            {**entry, "value": _hidden(entry.get("value"))} if entry["key"] in self.secret else entry
            for entry in policy.get("enforced") or ()
            if entry["key"] not in self.told
        ]
        made["constraints"] = [
            {f: _hidden(v) if f in SEALED_FIELDS else v for f, v in entry.items()}
            if entry["key"] in self.secret
            else entry
            for entry in policy.get("constraints") or ()
        ]
        return {"name": name, **made}


def _hidden(value: Any) -> Hidden:
    return value if isinstance(value, Hidden) else Hidden("")


def _differences(path: str, old: Any, new: Any) -> Iterator[PartChange]:
    if isinstance(old, dict) and isinstance(new, dict):
        for name in [*new, *(name for name in old if name not in new)]:
            yield from _entry(_below(path, name), old.get(name), new.get(name))
        return
    if isinstance(old, list) and isinstance(new, list):
        before, after = _named(path, old), _named(path, new)
        if before is not None and after is not None:
            for name in [*after, *(name for name in before if name not in after)]:
                yield from _entry(f"{path}[{name}]", before.get(name), after.get(name))
            if [n for n in before if n in after] != [n for n in after if n in before]:
                yield PartChange(path, REORDERED, list(before), list(after))
            return
    if _differ(old, new):
        yield PartChange(path, CHANGED, shown(old), shown(new))


def _entry(path: str, old: Any, new: Any) -> Iterator[PartChange]:
    if old in _EMPTY and new in _EMPTY:
        return
    if old is None or new is None:
        yield PartChange(path, REMOVED if new is None else ADDED, shown(old), shown(new))
    else:
        yield from _differences(path, old, new)


def _below(path: str, name: str) -> str:
    """Keys have dots, so those of a map of values stand in brackets."""
    if path.rpartition(".")[2].partition("[")[0] in ("values", "labels") and not path.endswith("]"):
        return f"{path}[{name}]"
    return f"{path}.{name}" if path else name


def _named(path: str, entries: list[Any]) -> dict[str, Any] | None:
    """Entries by what tells them apart; None if nothing does."""
    if not all(isinstance(entry, dict) for entry in entries):
        return None
    fields = _IDENTITIES.get(path.rpartition(".")[2]) or next(
        ((name,) for name in _NAMES if all(name in entry for entry in entries)), ()
    )
    made = {"/".join(str(entry.get(field)) for field in fields): entry for entry in entries}
    return made if fields and len(made) == len(entries) else None if entries else {}


def _differ(old: Any, new: Any) -> bool:
    """Two hidden values of which a digest is not known cannot be told apart."""
    if isinstance(old, Hidden) and isinstance(new, Hidden):
        return bool(old.digest and new.digest and old.digest != new.digest)
    return not _same(old, new)


def shown(value: Any) -> Any:
    """A value without what is hidden in it, and without what is empty."""
    if isinstance(value, Hidden):
        return SENSITIVE
    if isinstance(value, dict):
        return {name: shown(inner) for name, inner in value.items() if inner not in _EMPTY}
    return [shown(inner) for inner in value] if isinstance(value, list) else value
