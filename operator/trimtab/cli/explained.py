"""A user's values with their provenance: what ``explain`` says, worked out from a trial."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from trimtab.core.effects import CONFLICT
from trimtab.core.keys import Key
from trimtab.core.problems import Violation
from trimtab.core.resolve import GroupView, Resolution, Trace, trace
from trimtab.core.status import violation_fields
from trimtab.engine import users
from trimtab.engine.preferences import GroupKey, Preference, TemplateKey

if TYPE_CHECKING:
    from trimtab.cli.offline import Trial

SENSITIVE = "(sensitive)"
_USER_LAYER = "user"


@dataclass(frozen=True, slots=True)
class Explained:
    """One user, or with no ``preference`` one group, of a template."""

    template: TemplateKey
    group: str
    view: GroupView
    preference: Preference | None
    rivals: tuple[Preference, ...]
    status: dict[str, Any]
    resolution: Resolution
    violations: tuple[Violation, ...]
    traces: dict[str, Trace] = field(default_factory=dict)
    refusal: str = ""
    """Why the template's present spec is refused, if it is: what was accepted before is served."""
    sealed: bool = False
    """Whether sensitive values of the template are not known here."""

    @property
    def ready(self) -> dict[str, str]:
        """The verdict on the preference: status, reason, message."""
        return next((c for c in self.status.get("conditions", ()) if c["type"] == "Ready"), {})

    @property
    def in_force(self) -> str:
        """Whose values the user's own are: the spec's, those accepted before, or none at all."""
        if self.preference is None or self.ready.get("reason") in _OUTSIDE:
            return "group"
        if self.ready.get("status") == "True" and not self.preference.suspend:
            conflict = any(notice.reason == CONFLICT for notice in self.resolution.notices)
            return "group" if conflict else "spec"
        return "accepted" if self.preference.accepted is not None else "group"

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


def of_user(trial: Trial, holder: Preference, rivals: tuple[Preference, ...]) -> Explained | None:
    """The user whom ``holder`` holds; None if their group is not served."""
    key = holder.group_key
    view = trial.view(key)
    if view is None:
        return None
    status = trial.preference_status(*holder.key)
    ready: dict[str, str] = next((c for c in status.get("conditions", ()) if c["type"] == "Ready"), {})
    if ready.get("reason") in _OUTSIDE:
        resolution = Resolution(view.values, {})
    elif ready.get("status") == "True" and not holder.suspend:
        resolution = view.resolve(holder.values)
    else:
        resolution = users.in_force(view, holder)
    own = resolution.own
    wrong = () if holder.problem or holder.oversize else view.resolve(holder.values).violations
    refusal = _refusal(trial, holder.template)
    return Explained(
        holder.template,
        holder.group,
        view,
        holder,
        rivals,
        status,
        resolution,
        wrong,
        trace(view, own),
        refusal,
        trial.sealed and bool(refusal),
    )


def of_group(trial: Trial, key: GroupKey) -> Explained | None:
    """What a user without a preference gets."""
    view = trial.view(key)
    if view is None:
        return None
    resolution = Resolution(view.values, {})
    refusal, traces = _refusal(trial, key.template_key), trace(view, {})
    sealed = trial.sealed and bool(refusal)
    return Explained(key.template_key, key.group, view, None, (), {}, resolution, (), traces, refusal, sealed)


def _refusal(trial: Trial, template: TemplateKey) -> str:
    judgement = trial.judged.get(template)
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
    }
    if preference is not None:
        ready = what.ready
        made |= {
            "user": preference.user,
            "preference": {"namespace": preference.namespace, "name": preference.name},
            "ready": {name: ready[name] for name in ("status", "reason", "message") if ready.get(name)},
            "inForce": what.in_force,
            "violations": violation_fields([v for v in what.violations if v.key in names or len(names) != 1]),
            "warnings": what.status.get("warnings", []),
            "otherClaims": [{"namespace": r.namespace, "name": r.name} for r in what.rivals],
        }
        if preference.accepted is not None:
            made["acceptedGeneration"] = preference.accepted.generation
        made["suspended"] = preference.suspend
    made["keys"] = [what.key(name) for name in names]
    return made
