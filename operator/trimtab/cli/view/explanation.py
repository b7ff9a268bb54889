"""A user's values with their layers, as tables and for programs. A sensitive value is in neither."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from trimtab.cli.output import Line, Part, table
from trimtab.cli.simulate.explanation import Explained
from trimtab.cli.view.report import finding
from trimtab.core.resolve.preference import Preference
from trimtab.core.resolve.resolve import Trace
from trimtab.core.schema.key import Key
from trimtab.core.status import violation_fields
from trimtab.core.text import cut

SENSITIVE = "(sensitive)"
LONG = 120
_TRAITS = ("merge", "setBy", "required", "sensitive", "reload", "deprecated", "replacedBy", "description")


@dataclass(frozen=True, slots=True)
class Explanation:
    """The keys ``names`` of a user or group; ``detailed``: one key, with a line for each fact."""

    what: Explained
    names: list[str]
    detailed: bool = False

    def content(self) -> dict[str, Any]:
        what, preference = self.what, self.what.preference
        made: dict[str, Any] = {
            "template": {"namespace": what.template.namespace, "name": what.template.name},
            "group": what.group,
        }
        made |= {"templateRefused": what.refusal} if what.refusal else {}
        made |= {"groupReady": _condition(what.group_ready)} if what.group_ready else {}
        if preference is not None:
            shown = [v for v in what.violations if v.key in self.names or len(self.names) != 1]
            made |= _user(what, preference) | {"violations": violation_fields(shown)}
        return made | {"keys": [key(what, name) for name in self.names]}

    def parts(self) -> Iterator[Part]:
        what = self.what
        yield from _head(what)
        if self.detailed:
            yield table(" ", _detail(key(what, self.names[0])))
        else:
            rows = (_cells(key(what, name)) for name in self.names)
            yield table("KEY VALUE SET_BY SHADOWS NOTES", rows)
        shown = self.names if self.detailed else None
        yield from (
            Line(f"refused: {finding(v)}", "red") for v in what.violations if shown is None or v.key in shown
        )
        for warning in what.warnings:
            about = warning.get("key", "")
            if shown is None or about in shown:
                yield Line(f"warning: {about}: {warning['message']}", "yellow")


def _user(what: Explained, preference: Preference) -> dict[str, Any]:
    accepted = {"acceptedGeneration": what.accepted.generation} if what.accepted is not None else {}
    return {
        "user": preference.user,
        "preference": {"namespace": preference.namespace, "name": preference.name},
        "ready": _condition(what.ready),
        "inForce": what.in_force,
        "waits": bool(what.waiting),
        "warnings": list(what.warnings),
        "otherClaims": [{"namespace": r.namespace, "name": r.name} for r in what.rivals],
        "suspended": preference.suspend,
        **accepted,
    }


def _condition(ready: dict[str, str]) -> dict[str, str]:
    fields = {"ready": "status", "reason": "reason", "message": "message"}
    return {field: ready[name] for name, field in fields.items() if ready.get(name)}


# One key for programs.


def key(what: Explained, name: str) -> dict[str, Any]:
    """One key: its value, who set it, what it shadows, and what policies did to it."""
    found, declared = what.traces[name], what.view.schema.keys[name]
    made: dict[str, Any] = {"key": name, "type": declared.type}
    made |= {"sensitive": True} if declared.sensitive else {}
    if found.layer == "unset" and declared.sensitive and what.sealed:
        made |= {
            "value": SENSITIVE,
            "layer": "unknown",
            "object": f"an encrypted revision of {what.template}",
        }
    elif found.layer == "unset":
        made["set"] = False
    else:
        made |= _setter(what, declared, found.layer, found.value)
        made["shadowed"] = _setters(what, declared, found.shadowed)
        made |= {"combined": True} if found.combined else {}
    if name in what.waiting:
        made["waits"] = _shown(declared, what.waiting[name].value)
    return made | _rules(what, declared, found) | _traits(declared)


def _shown(declared: Key, value: Any) -> Any:
    return SENSITIVE if declared.sensitive else value


def _setter(what: Explained, declared: Key, layer: str, value: Any) -> dict[str, Any]:
    return {"value": _shown(declared, value), "layer": layer, "object": _object(what, layer)}


def _setters(what: Explained, declared: Key, setters: Iterable[tuple[str, Any]]) -> list[dict[str, Any]]:
    return [_setter(what, declared, layer, value) for layer, value in setters]


def _object(what: Explained, layer: str) -> str:
    """The object of a layer, and the place in it."""
    home = f"ConfigTemplate {what.template}"
    if layer == "user" and what.preference is not None:
        return f"UserPreference {what.preference.namespace}/{what.preference.name}"
    if layer == "default":
        return f"{home}, default"
    kind, _, name = layer.partition("/")
    if kind in ("policy", "enforced"):
        return f"{_policy(what, name)}, {'values' if kind == 'policy' else 'enforced'}"
    return f"{home}, {kind} {name}" if name else ""


def _policy(what: Explained, name: str) -> str:
    """A policy of the template, which is in the template's namespace."""
    return f"PolicyRollout {what.template.namespace}/{name}"


def _rules(what: Explained, declared: Key, found: Trace) -> dict[str, Any]:
    """What policies did to a key: which locked it, clamped or dropped its value, and why."""
    made: dict[str, Any] = {}
    if found.locked_by:
        made["locked"] = {"object": _policy(what, found.locked_by), "reason": found.locked_reason}
    if found.effect:
        policy = {"object": _policy(what, found.effect_by), "reason": found.effect_reason}
        rule: dict[str, Any] = {"effect": found.effect, **policy}
        rule |= {"before": _shown(declared, found.before)} if found.before is not None else {}
        rule |= {"dropped": _setters(what, declared, found.dropped)} if found.dropped else {}
        made["constrained"] = rule
    return made


def _traits(declared: Key) -> dict[str, Any]:
    """What is not the default in a key's declaration."""
    spec, deprecated = declared.spec, declared.spec.deprecated
    made = {
        "merge": declared.merge if declared.merge != "Replace" else None,
        "setBy": declared.set_by if declared.set_by != "User" else None,
        "required": declared.required,
        "reload": spec.reload if spec.reload != "Restart" else None,
        "deprecated": (deprecated.message or "deprecated") if deprecated is not None else None,
        "replacedBy": deprecated.replaced_by if deprecated is not None else None,
        "description": spec.description,
    }
    return {name: value for name, value in made.items() if value}


# Text, from the same fields.


def _head(what: Explained) -> Iterator[Line]:
    if what.refusal:
        yield Line(f"{what.template} is refused, its accepted content is explained: {what.refusal}", "red")
    if what.group_ready.get("ready", "True") != "True":
        ready = "{ready} ({reason}): {message}".format(**what.group_ready)
        yield Line(f"group {what.group}: Ready={ready}; its files may be older than these values", "red")
    where, preference = f"template {what.template}, group {what.group}", what.preference
    if preference is None:
        yield Line(f"users without a preference: {where}")
    else:
        reference = f"UserPreference {preference.namespace}/{preference.name}"
        yield Line(f"user {preference.user}: {where}, {reference}")
        yield Line("Ready={ready} ({reason}): {message}".format(**what.ready))
        waits = f"; generation {preference.generation} waits, see the notes" if what.waiting else ""
        if what.in_force == "accepted" and what.accepted is not None:
            yield Line(f"in force: the accepted generation {what.accepted.generation}{waits}")
        elif what.in_force == "group":
            yield Line(f"in force: the group's values{waits}")
        for rival in what.rivals:
            reference = f"UserPreference {rival.namespace}/{rival.name}"
            yield Line(f"also claimed by {reference}, which is younger and has no effect")
    yield Line()


def _cells(shown: dict[str, Any]) -> tuple[str, ...]:
    shadows = ", ".join(f"{_text(s['value'])} ({s['layer']})" for s in shown.get("shadowed", ()))
    remarks = ["combined"] if shown.get("combined") else []
    remarks += _policies(shown)
    remarks += [f"waits: {cut(_text(shown['waits']), LONG)}"] if "waits" in shown else []
    remarks += [f"{t}: {shown[t]}" for t in ("merge", "setBy", "deprecated") if shown.get(t)]
    remarks += [t for t in ("required", "sensitive") if shown.get(t)]
    value = cut(_text(shown["value"]), LONG) if "value" in shown else "-"
    return shown["key"], value, shown.get("layer", "unset"), cut(shadows, LONG), ", ".join(remarks)


def _policies(shown: dict[str, Any]) -> list[str]:
    """What policies did to a key, in a few words each."""
    found = [f"locked {_by(shown['locked'])}"] if "locked" in shown else []
    rule = shown.get("constrained")
    if rule is None:
        return found
    if rule["effect"] == "Clamped":
        return [*found, f"clamped from {cut(_text(rule['before']), LONG)} {_by(rule)}"]
    dropped = ", ".join(_text(setter["value"]) for setter in rule["dropped"])
    return [*found, f"dropped {cut(dropped, LONG)} {_by(rule)}"]


def _detail(shown: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "key", shown["key"]
    yield "type", shown["type"]
    yield "value", _text(shown["value"]) if "value" in shown else "unset"
    if "layer" in shown:
        yield "set by", f"{shown['layer']}: {shown['object']}"
    if "waits" in shown:
        yield "waits", _text(shown["waits"])
    relation = "combined with" if shown.get("combined") else "shadows"
    yield from ((relation, _from(shadow)) for shadow in shown.get("shadowed", ()))
    yield from _detailed_policies(shown)
    yield from ((trait, _text(shown[trait])) for trait in _TRAITS if shown.get(trait))


def _detailed_policies(shown: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if "locked" in shown:
        yield "locked", _by(shown["locked"])
    rule = shown.get("constrained")
    if rule is not None:
        yield rule["effect"].lower(), _by(rule)
        yield from [("was", _text(rule["before"]))] if rule["effect"] == "Clamped" else []
        yield from (("was", _from(setter)) for setter in rule.get("dropped", ()))


def _from(setter: dict[str, Any]) -> str:
    return f"{_text(setter['value'])} from {setter['layer']}: {setter['object']}"


def _by(rule: dict[str, str]) -> str:
    """Which policy, and why."""
    return f"by {rule['object']}" + (f" ({rule['reason']})" if rule["reason"] else "")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
