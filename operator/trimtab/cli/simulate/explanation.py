"""A user's values with their layers, of the values in force: what ``explain`` shows."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from trimtab.cli.cluster.objects import NOT_OBSERVED, STALE
from trimtab.cli.simulate.simulation import Simulation
from trimtab.core import reasons
from trimtab.core.policy.notices import CONFLICT
from trimtab.core.refs import GroupKey, TemplateKey
from trimtab.core.resolve.in_force import in_force
from trimtab.core.resolve.preference import Accepted, Preference
from trimtab.core.resolve.resolve import GroupView, Resolution, Trace, trace
from trimtab.core.violations import Violation

_NOT_A_MEMBER = frozenset(
    (
        reasons.USER_TAKEN,
        reasons.USER_RESERVED,
        reasons.NAMESPACE_NOT_ALLOWED,
        reasons.GROUP_FULL,
        reasons.TEMPLATE_NOT_FOUND,
        reasons.TEMPLATE_NOT_VALID,
        reasons.GROUP_NOT_FOUND,
    )
)
_NOT_WRITTEN = frozenset(
    (
        reasons.WRITE_FAILED,
        reasons.CONFLICT,
        reasons.TARGET_NOT_ALLOWED,
        reasons.CONTENT_UNREADABLE,
        NOT_OBSERVED,
        STALE,
    )
)
"""Reasons with which a user who joined the group has no files yet."""


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
    """The preference's ready, reason and message; of a cluster's preference as its operator wrote them."""
    in_force: str = "group"
    """Which values the user has: the ``spec``'s, the previously ``accepted`` ones, or only the ``group``'s."""
    accepted: Accepted | None = None
    """What was last in force of the preference."""
    group_ready: dict[str, str] = field(default_factory=dict)
    """The group's ready, reason and message; empty if unknown."""
    waiting: dict[str, Trace] = field(default_factory=dict)
    """Keys whose value differs in the spec, which is not in force."""
    refusal: str = ""
    """Why the template's present spec is refused: the accepted one is explained."""
    sealed: bool = False
    """Whether the template's sensitive values are unknown here."""


def of_user(simulation: Simulation, holder: Preference, rivals: tuple[Preference, ...]) -> Explained | None:
    """The user that ``holder`` claims; None if the group has no revision."""
    view = simulation.view(holder.group_key)
    if view is None:
        return None
    found = of_preference(view, holder, simulation.verdict(holder), simulation.accepted(holder))
    warnings = tuple(simulation.preference_status(*holder.key).get("warnings", ()))
    return _in_context(simulation, replace(found, rivals=rivals, warnings=warnings))


def of_group(simulation: Simulation, key: GroupKey) -> Explained | None:
    """A user without a preference; None if the group has no revision."""
    view = simulation.view(key)
    if view is None:
        return None
    found = Explained(key.template_key, key.group, view, None, traces=trace(view, {}))
    return _in_context(simulation, found)


def _in_context(simulation: Simulation, found: Explained) -> Explained:
    judgement = simulation.judged.get(found.template)
    refusal = ""
    if judgement is not None and judgement.accepted is None:
        refusal = f"{judgement.verdict.reason}: {judgement.verdict.message}"
    return replace(
        found,
        refusal=refusal,
        sealed=simulation.sealed and bool(refusal),
        group_ready=simulation.group_verdict(GroupKey(*found.template, found.group)),
    )


def of_preference(
    view: GroupView, holder: Preference, ready: dict[str, str], accepted: Accepted | None
) -> Explained:
    """The user by the verdict on the preference that holds them, and by what was last accepted of it."""
    wanted = view.resolve(holder.values)
    violations = () if holder.problem or holder.oversize else wanted.violations
    source = _source(ready, holder, accepted, wanted)
    resolution = {"spec": wanted, "group": Resolution(view.values, {})}.get(source)
    traces = trace(view, (resolution or in_force(view, accepted)).own)
    settled = (
        violations or ready["reason"] in _NOT_A_MEMBER or (ready["ready"] == "True" and not holder.suspend)
    )
    then = {} if settled else trace(view, wanted.own)
    return Explained(
        holder.template,
        holder.group,
        view,
        holder,
        traces=traces,
        violations=violations,
        ready=ready,
        in_force=source,
        accepted=accepted,
        waiting={name: found for name, found in then.items() if found.value != traces[name].value},
    )


def _source(
    ready: dict[str, str], preference: Preference, accepted: Accepted | None, wanted: Resolution
) -> str:
    """Where the user's values are from: ``spec``, ``accepted`` or ``group``."""
    if ready["reason"] in _NOT_A_MEMBER:
        return "group"
    if ready["ready"] == "True" and not preference.suspend:
        return "group" if any(notice.reason == CONFLICT for notice in wanted.notices) else "spec"
    joined = accepted is not None and accepted.group != preference.group and ready["reason"] in _NOT_WRITTEN
    return "accepted" if accepted is not None and not joined else "group"
