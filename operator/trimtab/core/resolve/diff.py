"""What differs between two revisions of a group: its document, key by key with the layer that sets it, and its
structure: keys, outputs, policies.

The result contains nothing sensitive: of a sensitive value it only shows whether it changed, and only where two digests
at the same path can be compared.

=========  ==========================================================================
change     of a key                                   of a part of the structure
=========  ==========================================================================
Added      it had no value                            it did not exist
Removed    it no longer has a value                   it no longer exists
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
from trimtab.core.resolve.snapshot import Spec, entries, sensitive_keys

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
"""The fields that identify an entry, by the list's name; in any other list, the first of ``_NAMES`` that all have."""
_NAMES = ("name", "key", "from")
_EMPTY: tuple[Any, ...] = (None, [], {})


@dataclass(frozen=True, slots=True)
class Side:
    """A key's value in one revision and the highest layer that set it; a sensitive value is :data:`SENSITIVE`.

    ``effect`` is what a policy's constraint did to it, for example ``clamped by NAME``.
    """

    value: Any
    layer: str
    effect: str = ""


@dataclass(frozen=True, slots=True)
class KeyChange:
    """One key whose value or layer differs. A side is None where it has no value."""

    key: str
    change: str
    old: Side | None
    new: Side | None
    sensitive: bool = False


@dataclass(frozen=True, slots=True)
class PartChange:
    """One part of the structure that differs; ``path`` is for example ``keys[agent.temperature].maximum``."""

    path: str
    change: str
    old: Any = None
    new: Any = None


def documents(old: Mapping[str, Trace], new: Mapping[str, Trace]) -> list[KeyChange]:
    """What differs between two documents, in the new one's order; keys that it no longer has are last."""
    names = [*new, *(name for name in old if name not in new)]
    found = (_key(name, old.get(name), new.get(name)) for name in names)
    return [change for change in found if change is not None]


def _key(name: str, old: Trace | None, new: Trace | None) -> KeyChange | None:
    old, new = _set(old), _set(new)
    secret = any(trace.sensitive for trace in (old, new) if trace)
    change = _change(old, new, secret=secret)
    return (
        KeyChange(name, change, _side(old, hidden=secret), _side(new, hidden=secret), secret)
        if change
        else None
    )


def _change(old: Trace | None, new: Trace | None, *, secret: bool) -> str:
    if old is None or new is None:
        return "" if old is new else REMOVED if new is None else ADDED
    if secret and (old.sensitive != new.sensitive or _setters(old) != _setters(new)):
        return UNKNOWN
    if not _same(old.value, new.value):
        return CHANGED
    return "" if (old.layer, _effect(old)) == (new.layer, _effect(new)) else MOVED


def _set(trace: Trace | None) -> Trace | None:
    return None if trace is None or trace.value is None else trace


def _side(trace: Trace | None, *, hidden: bool) -> Side | None:
    if trace is None:
        return None
    return Side(SENSITIVE if hidden else trace.value, trace.layer, _effect(trace))


def _effect(trace: Trace) -> str:
    return f"{trace.effect.lower()} by {trace.effect_by}" if trace.effect else ""


def _setters(trace: Trace) -> tuple[str, ...]:
    """The layers that the value is merged from."""
    return (trace.layer, *(layer for layer, _ in trace.shadowed)) if trace.combined else (trace.layer,)


def _same(old: Any, new: Any) -> bool:
    """Whether two values are rendered alike: for Python, true equals 1."""
    return bool(old == new) and isinstance(old, bool) == isinstance(new, bool)


@dataclass(frozen=True, slots=True)
class Contents:
    """The content of a revision, redacted (:mod:`trimtab.core.resolve.redaction`): a template, and policies by name."""

    template: Spec
    policies: Mapping[str, Spec] = field(default_factory=dict)


def structures(old: Contents, new: Contents, group: str, reported: Container[str] = ()) -> list[PartChange]:
    """What differs in the structure of a group's documents: keys, outputs, groups, policies and so on.

    Of other groups it only shows whether they exist. Values of the keys in ``reported`` are omitted, as their changes
    were reported already.
    """
    omissions = _Omissions(sensitive_keys(old.template) | sensitive_keys(new.template), reported)
    sides = [omissions.about(contents, group) for contents in (old, new)]
    shared = set.intersection(*({p["name"] for p in side["profiles"]} for side in sides))
    for side in sides:
        side["profiles"] = [p for p in side["profiles"] if p["name"] in shared]
    return list(_differences("", *sides))


@dataclass(frozen=True, slots=True)
class _Omissions:
    """Keys whose values are hidden (``secret``), and those whose changes were reported already."""

    secret: Container[str]
    reported: Container[str]

    def about(self, contents: Contents, group: str) -> Spec:
        """All that concerns one group, as one tree."""
        spec = contents.template
        groups = entries(spec, "groups")
        profile = next((g.get("profile") for g in groups if g["name"] == group), None)
        profiles = [p for p in entries(spec, "profiles") if p["name"] == profile]
        return {
            **spec,
            "keys": [self._declared(key) for key in entries(spec, "keys")],
            "profiles": [self._valued(entry) for entry in profiles],
            "groups": [self._valued(g) if g["name"] == group else {"name": g["name"]} for g in groups],
            "policies": [self._policy(name, content) for name, content in sorted(contents.policies.items())],
        }

    def _declared(self, key: Spec) -> Spec:
        omitted = ("default",) if key["name"] in self.reported else ()
        made = {name: value for name, value in key.items() if name not in omitted}
        return self._limits(made, key["name"])

    def _limits(self, entry: Spec, key: str) -> Spec:
        """A declaration or a constraint, which of a secret key shows only the names of its limits."""
        if key not in self.secret:
            return entry
        return {name: _hidden(value) if name in SEALED_FIELDS else value for name, value in entry.items()}

    def _valued(self, entry: Spec) -> Spec:
        kept = {key: value for key, value in (entry.get("values") or {}).items() if key not in self.reported}
        return {**entry, "values": {k: _hidden(v) if k in self.secret else v for k, v in kept.items()}}

    def _policy(self, name: str, content: Spec) -> Spec:
        policy = self._valued(content.get("policy") or {})
        enforced = [e for e in entries(policy, "enforced") if e["key"] not in self.reported]
        return {
            "name": name,
            **{field: value for field, value in content.items() if field not in ("policy", "templateRef")},
            **policy,
            "enforced": [self._enforced(entry) for entry in enforced],
            "constraints": [self._limits(entry, entry["key"]) for entry in entries(policy, "constraints")],
        }

    def _enforced(self, entry: Spec) -> Spec:
        return {**entry, "value": _hidden(entry.get("value"))} if entry["key"] in self.secret else entry


def _hidden(value: Any) -> Hidden:
    return value if isinstance(value, Hidden) else Hidden("")


def _differences(path: str, old: Any, new: Any) -> Iterator[PartChange]:
    if isinstance(old, dict) and isinstance(new, dict):
        for name, before, after in _pairs(old, new):
            yield from _entry(_below(path, name), before, after)
        return
    olds, news = _named(path, old), _named(path, new)
    if olds is not None and news is not None:
        for name, before, after in _pairs(olds, news):
            yield from _entry(f"{path}[{name}]", before, after)
        yield from _reordered(path, olds, news)
    elif _differ(old, new):
        yield PartChange(path, CHANGED, shown(old), shown(new))


def _reordered(path: str, old: dict[str, Any], new: dict[str, Any]) -> Iterator[PartChange]:
    if [name for name in old if name in new] != [name for name in new if name in old]:
        yield PartChange(path, REORDERED, list(old), list(new))


def _pairs(old: dict[str, Any], new: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    """Each name with its old and its new value, in the new order; names that no longer exist are last."""
    names = [*new, *(name for name in old if name not in new)]
    return [(name, old.get(name), new.get(name)) for name in names]


def _entry(path: str, old: Any, new: Any) -> Iterator[PartChange]:
    if old in _EMPTY and new in _EMPTY:
        return
    if old is None or new is None:
        yield PartChange(path, REMOVED if new is None else ADDED, shown(old), shown(new))
    else:
        yield from _differences(path, old, new)


def _below(path: str, name: str) -> str:
    """Keys have dots, so those of a map of values are in brackets."""
    if path.rpartition(".")[2].partition("[")[0] in ("values", "labels") and not path.endswith("]"):
        return f"{path}[{name}]"
    return f"{path}.{name}" if path else name


def _named(path: str, items: Any) -> dict[str, Any] | None:
    """The entries of a list by what identifies them; None if nothing does."""
    if not isinstance(items, list) or not all(isinstance(entry, dict) for entry in items):
        return None
    fields = _IDENTITIES.get(path.rpartition(".")[2]) or _first_shared(items)
    named = {"/".join(str(entry.get(field)) for field in fields): entry for entry in items}
    return named if fields and len(named) == len(items) else None


def _first_shared(items: list[Any]) -> tuple[str, ...]:
    return next(((name,) for name in _NAMES if all(name in entry for entry in items)), ())


def _differ(old: Any, new: Any) -> bool:
    """Whether two values are known to differ: hidden ones without a digest are not."""
    if isinstance(old, Hidden) and isinstance(new, Hidden):
        return bool(old.digest and new.digest and old.digest != new.digest)
    return not _same(old, new)


def shown(value: Any) -> Any:
    """A value without its hidden and its empty parts."""
    if isinstance(value, Hidden):
        return SENSITIVE
    if isinstance(value, dict):
        return {name: shown(inner) for name, inner in value.items() if inner not in _EMPTY}
    return [shown(inner) for inner in value] if isinstance(value, list) else value
