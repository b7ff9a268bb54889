"""Content of a template or policy for storage: the spec without sensitive values, and those apart, to be sealed."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Any, Literal

Part = Literal["spec", "policy"]
"""The field of a snapshot's data with its public half: a template's, or a policy's."""
Spec = dict[str, Any]
Taken = list[tuple[list[str], Any]]

_KEY_FIELDS = ("default", "enum", "minimum", "maximum", "pattern", "items")
_CONSTRAINT_FIELDS = ("enum", "minimum", "maximum", "pattern", "notPattern")


def content(spec: Spec) -> Spec:
    """The part of a template's or policy's spec whose change is a new revision: all but how changes roll out."""
    return {name: value for name, value in spec.items() if name != "strategy"}


def entries(spec: Spec, section: str) -> list[Spec]:
    """A section's entries; none if it is not set."""
    return spec.get(section) or []


def sensitive_keys(spec: Spec) -> set[str]:
    return {key["name"] for key in entries(spec, "keys") if key.get("sensitive")}


def split(spec: Spec) -> tuple[Spec, Taken]:
    """The spec without what is sensitive, and what was removed: (path, value)."""
    sensitive = sensitive_keys(spec)
    if not sensitive:
        return spec, []
    taken: Taken = []
    public = {**spec}
    public["keys"] = [
        _without(key, _KEY_FIELDS, ["keys", key["name"]], taken) if key["name"] in sensitive else key
        for key in entries(spec, "keys")
    ]
    for section in ("profiles", "groups"):
        if spec.get(section):
            public[section] = [_without_values(section, entry, sensitive, taken) for entry in spec[section]]
    return public, taken


def _without(entry: Spec, fields: Sequence[str], path: list[str], taken: Taken) -> Spec:
    """The entry without these fields, which are added to ``taken``."""
    taken += [([*path, name], entry[name]) for name in fields if name in entry]
    return {name: value for name, value in entry.items() if name not in fields}


def _without_values(section: str, entry: Spec, sensitive: set[str], taken: Taken) -> Spec:
    values = entry.get("values") or {}
    found = sorted(sensitive & values.keys())
    if not found:
        return entry
    return {**entry, "values": _without(values, found, [section, entry["name"], "values"], taken)}


def join(public: Spec, taken: Taken) -> Spec:
    """The inverse of :func:`split`."""
    if not taken:
        return public
    spec = {**public}
    for section in ("keys", "profiles", "groups"):
        if public.get(section):
            spec[section] = [dict(entry) for entry in public[section]]
    for path, value in taken:
        section, name, *rest = path
        entry = next(e for e in spec[section] if e["name"] == name)
        if rest[0] == "values" and len(rest) == 2:
            entry["values"] = {**entry.get("values", {}), rest[1]: value}
        else:
            entry[rest[0]] = value
    return spec


def split_policy(spec: Spec, sensitive: Container[str]) -> tuple[Spec, Taken]:
    """A PolicyRollout's spec without values and limits of sensitive keys, and what was removed: (path, value)."""
    policy = spec.get("policy") or {}
    public, taken = dict(policy), Taken()
    if hidden := sorted(filter(sensitive.__contains__, policy.get("values") or {})):
        public["values"] = _without(policy["values"], hidden, ["values"], taken)
    for section, fields in (("enforced", ("value",)), ("constraints", _CONSTRAINT_FIELDS)):
        if policy.get(section):
            public[section] = [
                _without(entry, fields, [section, entry["key"]], taken)
                if entry["key"] in sensitive
                else entry
                for entry in policy[section]
            ]
    return ({**spec, "policy": public}, taken) if taken else (spec, taken)


def join_policy(public: Spec, taken: Taken) -> Spec:
    """The inverse of :func:`split_policy`."""
    if not taken:
        return public
    policy = {**public["policy"]}
    for section in ("enforced", "constraints"):
        if policy.get(section):
            policy[section] = [dict(entry) for entry in policy[section]]
    for path, value in taken:
        section, key, *rest = path
        if section == "values":
            policy["values"] = {**policy["values"], key: value}
        else:
            next(entry for entry in policy[section] if entry["key"] == key)[rest[0]] = value
    return {**public, "policy": policy}


def joined(part: Part, public: Spec, taken: Taken) -> Spec:
    """The whole content, of a template or a policy."""
    return join(public, taken) if part == "spec" else join_policy(public, taken)
