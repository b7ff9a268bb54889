"""One user of one group: whether their preference counts, what it comes to, and what stays in force if not."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

import msgspec

from trimtab.core import naming, reasons
from trimtab.core.policy.notices import outgrown
from trimtab.core.render.render import Entries, Rendered, user_files
from trimtab.core.resolve.resolve import GroupView, Resolution, group_view
from trimtab.core.schema.template import TOO_LARGE, USER
from trimtab.core.status import TRUE, UNKNOWN, Verdict, accepted, refused
from trimtab.core.steps import Steps
from trimtab.core.suggestion import nearest
from trimtab.core.violations import Violation, summary
from trimtab.engine.store.preferences import VALUES_BYTES, Accepted, Preference


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one preference comes to. ``entries`` None: keep exactly what is rendered. ``outside``: the user is no
    member of the group at all, so that nothing is rendered for them.

    ``inputs`` are what is in force from now on, None if they stay as they were.
    """

    verdict: Verdict
    entries: Entries | None
    outside: bool = False
    inputs: Accepted | None = None

    def blocked(self, reason: str, message: str) -> Outcome:
        """The same outcome where its files could not be written: its inputs are not in force."""
        return replace(self, verdict=refused(reason, message), inputs=None)


@dataclass(frozen=True, slots=True)
class Rules:
    """Who may be in the group: ``admits`` tells whether a namespace's preferences count; ``full`` whether a
    preference is beyond ``maxUsers``."""

    admits: Callable[[str], bool]
    full: Callable[[Preference], bool]


def judge(
    view: GroupView, preference: Preference, holder: Preference, rules: Rules, *, rendered: bool
) -> Steps[Outcome]:
    """Judge one preference. ``rendered`` says whether something is rendered for the user already."""
    outside = _not_a_member(view, preference, holder, rules)
    if outside is not None:
        return Outcome(outside, Entries(), outside=True)
    refusal = _not_readable(view, preference)
    if preference.suspend:
        verdict = refusal or Verdict(
            TRUE, reasons.SUSPENDED, "suspended: what was rendered is kept, changes are not taken"
        )
        return Outcome(verdict, None if rendered else (yield from _in_force(view, preference)))
    if refusal is not None:
        return Outcome(refusal, (yield from _in_force(view, preference)))
    resolution = view.resolve(preference.values)
    yield
    if resolution.violations:
        verdict = refused(
            reasons.INVALID, _invalid(preference, resolution), resolution.violations, resolution.notices
        )
        return Outcome(verdict, (yield from _in_force(view, preference)))
    rendered_now = yield from _render(view, resolution)
    inputs = Accepted(preference.generation, preference.group, preference.schema_version, preference.values)
    if rendered_now.violations and view.policies and (yield from _renders_without_policies(view, preference)):
        notice = outgrown(rendered_now.violations[0], [policy.name for policy in view.policies])
        notices = (*resolution.notices, notice)
        without = yield from _render(view, Resolution(view.values, {}))
        return Outcome(accepted(notices), without.entries, inputs=inputs)
    if rendered_now.violations:
        verdict = refused(
            reasons.INVALID,
            _kept(preference, summary(rendered_now.violations)),
            rendered_now.violations,
            resolution.notices,
        )
        return Outcome(verdict, (yield from _in_force(view, preference)))
    return Outcome(
        accepted((*resolution.notices, *rendered_now.notices)), rendered_now.entries, inputs=inputs
    )


def _renders_without_policies(view: GroupView, preference: Preference) -> Steps[bool]:
    """Whether only the policies are in the way of the user's document."""
    bare = group_view(view.schema, view.group.name)
    rendered = yield from _render(bare, bare.resolve(preference.values))
    return not rendered.violations


def _not_a_member(
    view: GroupView, preference: Preference, holder: Preference, rules: Rules
) -> Verdict | None:
    if not preference.user:
        return refused(reasons.INVALID, preference.problem)
    if preference.user == naming.DEFAULT_USER:
        return refused(
            reasons.USER_RESERVED,
            f"the user name {naming.DEFAULT_USER} stands for users without a preference; choose another",
        )
    if not rules.admits(preference.namespace):
        return refused(
            reasons.NAMESPACE_NOT_ALLOWED,
            f"group {view.group.name} takes no preferences from namespace {preference.namespace}"
            + _admission(view),
        )
    if preference is not holder:
        return refused(
            reasons.USER_TAKEN,
            f"user {preference.user} is held by {_older(preference, holder)}; delete one of the two",
        )
    if rules.full(preference):
        return refused(
            reasons.GROUP_FULL,
            f"group {view.group.name} already has its {view.group.spec.max_users} users (maxUsers); "
            "older preferences come first",
        )
    return None


def _admission(view: GroupView) -> str:
    """Whose preferences a group takes instead, and what to do."""
    if view.group.spec.preference_namespace_selector is None:
        home = view.schema.namespace
        return (
            f", only from the template's own, {home}; create it there, or let the template's author set the group's "
            "preferenceNamespaceSelector"
        )
    return "; label the namespace as the group's preferenceNamespaceSelector asks"


def _older(preference: Preference, holder: Preference) -> str:
    """The holder, by name only where the preference's author may know it."""
    if holder.namespace == preference.namespace:
        return f"the older UserPreference {holder.namespace}/{holder.name}"
    return "an older UserPreference in another namespace"


def _not_readable(view: GroupView, preference: Preference) -> Verdict | None:
    if preference.problem:
        return refused(reasons.INVALID, preference.problem)
    if preference.oversize:
        message = (
            f"the values are {preference.oversize:,} bytes as JSON, more than the {VALUES_BYTES:,} that a preference "
            "may have; shorten them"
        )
        too_large = Violation("spec.values", USER, TOO_LARGE, message)
        return refused(reasons.INVALID, _kept(preference, str(too_large)), (too_large,))
    if preference.unsupported:
        several = len(preference.unsupported) > 1
        return refused(
            reasons.NOT_SUPPORTED,
            _kept(
                preference,
                f"{', '.join(preference.unsupported)} {'are' if several else 'is'} not built in this version of "
                f"Trimtab; remove {'them' if several else 'it'}",
            ),
        )
    written, served = preference.schema_version, view.schema.version
    if written is not None and written > served:
        return refused(
            reasons.AHEAD_OF_REVISION,
            _kept(
                preference,
                f"written for schemaVersion {written}, and group {view.group.name} is on {served}; wait until the "
                "group moves, or lower schemaVersion",
            ),
        )
    if written is not None and written < served:
        return refused(
            reasons.BEHIND_SCHEMA,
            _kept(
                preference,
                f"written for schemaVersion {written}, and group {view.group.name} is on {served}; migrations are not "
                f"built in this version: rewrite the values and set schemaVersion: {served}",
            ),
        )
    return None


def _invalid(preference: Preference, resolution: Resolution) -> str:
    return _kept(preference, summary(resolution.violations))


def _kept(preference: Preference, problem: str) -> str:
    """What is wrong, and what is in force meanwhile."""
    kept = (
        "what was accepted last stays in force" if preference.accepted else "the group's values are in force"
    )
    return f"{problem} ({kept})"[:2048]


def unjudged(preference: Preference, error: str) -> Outcome:
    """Where the operator itself fails on a preference: whatever the user has is kept."""
    problem = (
        f"the operator failed to judge it ({error}; its log says where). Change the values, and report this"
    )
    return Outcome(refused(reasons.NOT_JUDGED, _kept(preference, problem)), None)


def unwritten(preference: Preference, problem: str, *, has: bool) -> str:
    """Why the user's files were not written, what the user has meanwhile, and what to do. ``has``: files are there."""
    accepted = preference.accepted
    if not has and accepted is not None and accepted.generation == preference.generation:
        kept = "this user's files are not there any more"
    elif not has:
        kept = "nothing is written for this user yet"
    elif accepted is not None and accepted.generation != preference.generation:
        kept = f"the values of generation {accepted.generation} stay in force"
    else:
        kept = "what was written last for this user stays"
    return f"{problem}; {kept}. Change the values, or what refuses the write: it is tried again by itself"


def in_force(view: GroupView, preference: Preference) -> Resolution:
    """What is in force for a user whose spec is refused: what was accepted last, less what no longer fits; else the
    group's values."""
    if preference.accepted is not None:
        values: Mapping[str, object] = msgspec.json.decode(preference.accepted.values)
        for _ in range(2):
            resolution = view.resolve(values)
            if not resolution.violations:
                return resolution
            misfits = {violation.key for violation in resolution.violations}
            values = {key: value for key, value in values.items() if key not in misfits}
    return Resolution(view.values, {})


def _in_force(view: GroupView, preference: Preference) -> Steps[Entries]:
    rendered = yield from _render(view, in_force(view, preference))
    if rendered.violations:
        rendered = yield from _render(view, Resolution(view.values, {}))
    return rendered.entries


def delivery_of(view: GroupView) -> str:
    """How users of this content get their documents: Sharded, PerUser or None."""
    return view.schema.delivery if view.schema.user_outputs else "None"


def _render(view: GroupView, resolution: Resolution) -> Steps[Rendered]:
    delivery = delivery_of(view)
    if delivery == "None":
        return Rendered(Entries())
    return (yield from user_files(view, resolution, alone=delivery == "PerUser"))


def unreadable(group: str, template: str, rendered_group: str) -> Verdict:
    """The verdict on an edit of a group whose content cannot be read."""
    return refused(
        reasons.CONTENT_UNREADABLE,
        f"the content of group {group} of ConfigTemplate {template} cannot be read, so this waits and what was "
        f"rendered before stays; see the status of RenderedGroup {rendered_group} for what to restore",
    )


def homeless(
    preference: Preference, *, template: bool, served: bool, groups: Collection[str], offered: list[str]
) -> Verdict:
    """The verdict on a preference whose template or group is not there to be judged by. ``offered`` are those of the
    ``groups`` that take preferences from its namespace: of others it learns nothing."""
    where = f"{preference.template.namespace}/{preference.template.name}"
    if not template:
        return refused(
            reasons.TEMPLATE_NOT_FOUND,
            f"there is no ConfigTemplate {where}; create it or correct spec.templateRef"
            + (
                " (without a namespace there, it is looked for beside the preference)"
                if preference.template.namespace == preference.namespace
                else ""
            ),
        )
    if not served:
        return refused(
            reasons.TEMPLATE_NOT_SERVED,
            f"ConfigTemplate {where} has never been valid, so nothing is served yet; see its status",
        )
    if preference.group in groups:
        return Verdict(
            UNKNOWN,
            reasons.GROUP_NOT_SERVED,
            f"group {preference.group} of ConfigTemplate {where} is not served yet: it comes with the template's "
            "rollout, see its status",
        )
    hint = nearest(preference.group, offered)
    listed = ", ".join(offered[:5]) + (" and others" if len(offered) > 5 else "")
    return refused(
        reasons.GROUP_NOT_FOUND,
        f"ConfigTemplate {where} has no group {preference.group}"
        + (f" (did you mean {hint}?)" if hint else "")
        + "; correct spec.group"
        + (f" to one of {listed}" if listed and not hint else ""),
    )
