"""A user's values with their provenance: what ``explain`` says, worked out from a trial."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from trimtab.core.policy.notices import CONFLICT
from trimtab.core.refs import GroupKey, TemplateKey
from trimtab.core.resolve.in_force import in_force
from trimtab.core.resolve.preference import Accepted, Preference
from trimtab.core.resolve.resolve import GroupView, Resolution, Trace, trace
from trimtab.core.schema.key import Key
from trimtab.core.status import violation_fields
from trimtab.core.violations import Violation

if TYPE_CHECKING:
    from trimtab.cli.simulate.simulation import Simulation

SENSITIVE = "(sensitive)"
_USER_LAYER = "user"


@dataclass(frozen=True, slots=True)
class Explained:
    """One user, or with no ``preference`` one group, of a template."""

    template: TemplateKey
    group: str
    view: GroupView
    preference: Preference | None
    rivals: tuple[Preference, ...] = ()
    warnings: tuple[dict[str, str], ...] = ()
    violations: tuple[Violation, ...] = ()
    traces: dict[str, Trace] = field(default_factory=dict)
    ready: dict[str, str] = field(default_factory=dict)
    """The verdict on the preference: ready, reason, message. In a cluster it is what its operator says."""
    in_force: str = "group"
    """Whose values the user's own are: the ``spec``'s, those ``accepted`` before, or none but the ``group``'s."""
    accepted: Accepted | None = None
    """What was in force last of the preference."""
    group_ready: dict[str, str] = field(default_factory=dict)
    """The operator's verdict on the group: ready, reason, message; empty where it is not known."""
    waiting: dict[str, Trace] = field(default_factory=dict)
    """Keys of which the spec, which is not in force, makes something else."""
    refusal: str = ""
    """Why the template's present spec is refused, if it is: what was accepted before is served."""
    sealed: bool = False
    """Whether sensitive values of the template are not known here."""

    @property
    def waits(self) -> bool:
        """Whether the spec would make something else of some key, and is not in force yet."""
        return bool(self.waiting)

    def setter(self, layer: str) -> str:
        """The object that a layer stands for, with the place in it."""
        home = f"ConfigTemplate {self.template}"
        if layer == _USER_LAYER and self.preference is not None:
            return f"UserPreference {self.preference.namespace}/{self.preference.name}"
        if layer == "default":
            return f"{home}, default"
        kind, _, name = layer.partition("/")
        if kind in ("policy", "enforced"):
            return f"{self.policy(name)}, {'values' if kind == 'policy' else 'enforced'}"
        return f"{home}, {kind} {name}" if name else ""

    def policy(self, name: str) -> str:
        """The object that a policy is; it lives beside its template."""
        return f"PolicyRollout {self.template.namespace}/{name}"

    def key(self, name: str) -> dict[str, Any]:
        """One key for programs. A sensitive value is never in it."""
        found, key = self.traces[name], self.view.schema.keys[name]
        made: dict[str, Any] = {"key": name, "type": key.type}
        made |= {"sensitive": True} if key.sensitive else {}
        if found.layer == "unset" and key.sensitive and self.sealed:
            made |= {
                "value": SENSITIVE,
                "layer": "unknown",
                "object": f"a sealed revision of {self.template}",
            }
        elif found.layer == "unset":
            made["set"] = False
        else:
            made |= {
                "value": shown(key, found.value),
                "layer": found.layer,
                "object": self.setter(found.layer),
            }
            made["shadowed"] = self._setters(key, found.shadowed)
            if found.combined:
                made["combined"] = True
        if name in self.waiting:
            made["waits"] = shown(key, self.waiting[name].value)
        made |= self._rule(key, found)
        made |= traits(key)
        return made

    def _setters(self, key: Key, setters: Iterable[tuple[str, Any]]) -> list[dict[str, Any]]:
        return [
            {"layer": layer, "object": self.setter(layer), "value": shown(key, value)}
            for layer, value in setters
        ]

    def _rule(self, key: Key, found: Trace) -> dict[str, Any]:
        """What policies did to one key: who locked it, who clamped or dropped what, and why."""
        made: dict[str, Any] = {}
        if found.locked_by:
            made["locked"] = {"object": self.policy(found.locked_by), "reason": found.locked_reason}
        if found.effect:
            made["constrained"] = {
                "effect": found.effect,
                "object": self.policy(found.effect_by),
                "reason": found.effect_reason,
            }
            if found.before is not None:
                made["constrained"]["before"] = shown(key, found.before)
            if found.dropped:
                made["constrained"]["dropped"] = self._setters(key, found.dropped)
        return made


_OUTSIDE = frozenset(
    (
        "UserTaken",
        "UserReserved",
        "NamespaceNotAllowed",
        "GroupFull",
        "TemplateNotFound",
        "TemplateNotServed",
        "GroupNotFound",
    )
)


_UNWRITTEN = frozenset(
    ("WriteFailed", "Conflict", "TargetNotAllowed", "ContentUnreadable", "NotObserved", "Stale")
)
"""Nothing is written for a user who has just come to the group."""


def _conditions(ready: dict[str, str]) -> dict[str, str]:
    return {field: ready[name] for name, field in _FIELDS.items() if ready.get(name)}


_FIELDS = {"ready": "status", "reason": "reason", "message": "message"}


def shown(key: Key, value: Any) -> Any:
    """The value, or what stands for a sensitive one."""
    return SENSITIVE if key.sensitive else value


def traits(key: Key) -> dict[str, Any]:
    """What a template says of a key beyond the ordinary."""
    spec = key.spec
    made: dict[str, Any] = {}
    if key.merge != "Replace":
        made["merge"] = key.merge
    if key.set_by != "User":
        made["setBy"] = key.set_by
    if key.required:
        made["required"] = True
    if spec.reload and spec.reload != "Restart":
        made["reload"] = spec.reload
    if spec.deprecated is not None:
        made["deprecated"] = spec.deprecated.message or "deprecated"
        if spec.deprecated.replaced_by:
            made["replacedBy"] = spec.deprecated.replaced_by
    if spec.description:
        made["description"] = spec.description
    return made


def of_user(simulation: Simulation, holder: Preference, rivals: tuple[Preference, ...]) -> Explained | None:
    """The user whom ``holder`` holds; None if their group is not served."""
    view = simulation.view(holder.group_key)
    if view is None:
        return None
    refusal = _refusal(simulation, holder.template)
    return replace(
        of_preference(view, holder, simulation.verdict(holder), simulation.accepted(holder)),
        rivals=rivals,
        warnings=tuple(simulation.preference_status(*holder.key).get("warnings", ())),
        refusal=refusal,
        sealed=simulation.sealed and bool(refusal),
        group_ready=simulation.group_verdict(holder.group_key),
    )


def of_preference(
    view: GroupView, holder: Preference, ready: dict[str, str], accepted: Accepted | None
) -> Explained:
    """The user by the verdict on the preference that holds them, and what was accepted last of it."""
    wanted = view.resolve(holder.values)
    wrong = () if holder.problem or holder.oversize else wanted.violations
    force = _in_force(ready, holder, accepted, wanted)
    if force == "spec":
        resolution = wanted
    elif force == "accepted":
        resolution = in_force(view, accepted)
    else:
        resolution = Resolution(view.values, {})
    traces = trace(view, resolution.own)
    settled = wrong or ready["reason"] in _OUTSIDE or (ready["ready"] == "True" and not holder.suspend)
    return Explained(
        holder.template,
        holder.group,
        view,
        holder,
        traces=traces,
        violations=wrong,
        ready=ready,
        in_force=force,
        accepted=accepted,
        waiting={} if settled else _differing(traces, trace(view, wanted.own)),
    )


def _in_force(
    ready: dict[str, str], preference: Preference, accepted: Accepted | None, wanted: Resolution
) -> str:
    if ready["reason"] in _OUTSIDE:
        return "group"
    if ready["ready"] == "True" and not preference.suspend:
        return "group" if any(notice.reason == CONFLICT for notice in wanted.notices) else "spec"
    moved = accepted is not None and accepted.group != preference.group and ready["reason"] in _UNWRITTEN
    return "accepted" if accepted is not None and not moved else "group"


def _differing(now: dict[str, Trace], then: dict[str, Trace]) -> dict[str, Trace]:
    return {name: found for name, found in then.items() if found.value != now[name].value}


def of_group(simulation: Simulation, key: GroupKey) -> Explained | None:
    """What a user without a preference gets."""
    view = simulation.view(key)
    if view is None:
        return None
    refusal = _refusal(simulation, key.template_key)
    return Explained(
        key.template_key,
        key.group,
        view,
        None,
        traces=trace(view, {}),
        refusal=refusal,
        sealed=simulation.sealed and bool(refusal),
        group_ready=simulation.group_verdict(key),
    )


def _refusal(simulation: Simulation, template: TemplateKey) -> str:
    judgement = simulation.judged.get(template)
    if judgement is None or judgement.accepted is not None:
        return ""
    return f"{judgement.verdict.reason}: {judgement.verdict.message}"


def to_dict(what: Explained, names: list[str]) -> dict[str, Any]:
    """The whole for programs."""
    preference = what.preference
    made: dict[str, Any] = {
        "template": {"namespace": what.template.namespace, "name": what.template.name},
        "group": what.group,
        **({"templateRefused": what.refusal} if what.refusal else {}),
        **({"groupReady": _conditions(what.group_ready)} if what.group_ready else {}),
    }
    if preference is not None:
        made |= {
            "user": preference.user,
            "preference": {"namespace": preference.namespace, "name": preference.name},
            "ready": _conditions(what.ready),
            "inForce": what.in_force,
            "waits": what.waits,
            "violations": violation_fields([v for v in what.violations if v.key in names or len(names) != 1]),
            "warnings": list(what.warnings),
            "otherClaims": [{"namespace": r.namespace, "name": r.name} for r in what.rivals],
        }
        if what.accepted is not None:
            made["acceptedGeneration"] = what.accepted.generation
        made["suspended"] = preference.suspend
    made["keys"] = [what.key(name) for name in names]
    return made
