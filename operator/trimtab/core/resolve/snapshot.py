"""Content of a template or policy as it is stored: the spec without sensitive values, and those apart, to be sealed."""

from __future__ import annotations

from collections.abc import Container
from typing import Any, Literal

Part = Literal["spec", "policy"]
"""Where a snapshot's data holds its public half: a template's, or a policy's."""
Spec = dict[str, Any]
Taken = list[tuple[list[str], Any]]

_KEY_FIELDS = ("default", "enum", "minimum", "maximum", "pattern", "items")
_CONSTRAINT_FIELDS = ("enum", "minimum", "maximum", "pattern", "notPattern")


def content(spec: Spec) -> Spec:
    """The part of a spec whose change is a new revision: all but how changes roll out."""
    return {name: value for name, value in spec.items() if name != "strategy"}


def split(spec: Spec) -> tuple[Spec, Taken]:
    """The spec without what is sensitive, and what was taken out: (path, value)."""
    sensitive = {key["name"] for key in (spec.get("keys") or ()) if key.get("sensitive")}
    if not sensitive:
        return spec, []
    taken: Taken = []
    keys = []
    for key in spec.get("keys") or ():
        if key["name"] in sensitive:
            taken += [(["keys", key["name"], name], key[name]) for name in _KEY_FIELDS if name in key]
            key = {name: value for name, value in key.items() if name not in _KEY_FIELDS}
        keys.append(key)
    public = {**spec, "keys": keys}
    for section in ("profiles", "groups"):
        if spec.get(section):
            public[section] = [_without(section, entry, sensitive, taken) for entry in spec[section]]
    return public, taken


def _without(section: str, entry: Spec, sensitive: set[str], taken: Taken) -> Spec:
    values = entry.get("values") or {}
    found = sensitive & values.keys()
    if not found:
        return entry
    taken += [([section, entry["name"], "values", key], values[key]) for key in sorted(found)]
    return {**entry, "values": {key: value for key, value in values.items() if key not in found}}


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


def policy_content(spec: Spec) -> Spec:
    """The part of a PolicyRollout's spec whose change is new content: all but how it rolls out."""
    return content(spec)


def split_policy(spec: Spec, sensitive: Container[str]) -> tuple[Spec, Taken]:
    """A PolicyRollout's spec without what it says of sensitive keys, and what was taken out: (path, value)."""
    policy = spec.get("policy") or {}
    public, taken = dict(policy), Taken()
    values = policy.get("values") or {}
    hidden = sorted(key for key in values if key in sensitive)
    if hidden:
        taken += [(["values", key], values[key]) for key in hidden]
        public["values"] = {key: value for key, value in values.items() if key not in hidden}
    for section, fields in (("enforced", ("value",)), ("constraints", _CONSTRAINT_FIELDS)):
        entries = policy.get(section) or ()
        if not any(entry["key"] in sensitive for entry in entries):
            continue
        public[section] = []
        for entry in entries:
            if entry["key"] in sensitive:
                taken += [([section, entry["key"], name], entry[name]) for name in fields if name in entry]
                entry = {name: value for name, value in entry.items() if name not in fields}
            public[section].append(entry)
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
