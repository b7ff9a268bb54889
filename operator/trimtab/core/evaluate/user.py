"""One user of one group: whether their preference is accepted, their files, and the values in force if it is not."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from trimtab.core import naming, reasons
from trimtab.core.evaluate.membership import Membership
from trimtab.core.policy.notices import exceeded
from trimtab.core.render.render import Entries, Rendered, user_files
from trimtab.core.resolve.in_force import in_force
from trimtab.core.resolve.preference import VALUES_BYTES, Accepted, Preference
from trimtab.core.resolve.resolve import GroupView, Resolution, group_view
from trimtab.core.schema.layer import USER
from trimtab.core.status import TRUE, UNKNOWN, Verdict, accepted, refused
from trimtab.core.steps import Steps
from trimtab.core.suggestion import nearest
from trimtab.core.text import listed
from trimtab.core.violations import TOO_LARGE, Fault, Violation, summary


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result for one preference. ``entries`` None: the rendered files stay unchanged. ``outside``: the user is not
    a member of the group, so nothing is rendered for them.

    ``inputs`` are the values in force from now on; None if those in force are unchanged.
    """

    verdict: Verdict
    entries: Entries | None
    outside: bool = False
    inputs: Accepted | None = None

    def blocked(self, reason: str, message: str) -> Outcome:
        """The same outcome where its files could not be written: its inputs are not in force."""
        return replace(self, verdict=refused(reason, message), inputs=None)


def evaluate_user(
    view: GroupView, preference: Preference, holder: Preference, membership: Membership, *, rendered: bool
) -> Steps[Outcome]:
    """Evaluate one preference; ``holder`` is the one that holds its user. ``rendered``: the user has files already."""
    outside = _not_a_member(view, preference, holder, membership)
    if outside is not None:
        return Outcome(outside, Entries(), outside=True)
    refusal = _unreadable(view, preference)
    if preference.suspend:
        verdict = refusal or Verdict(
            TRUE, reasons.SUSPENDED, "suspended: edits have no effect, files are kept"
        )
        return Outcome(verdict, None if rendered else (yield from _files_in_force(view, preference)))
    if refusal is not None:
        return Outcome(refusal, (yield from _files_in_force(view, preference)))
    return (yield from _resolved(view, preference))


def _resolved(view: GroupView, preference: Preference) -> Steps[Outcome]:
    """The outcome by the values of a preference that counts."""
    resolution = view.resolve(preference.values)
    yield
    if resolution.violations:
        return (yield from _invalid(view, preference, resolution, resolution.violations))
    files = yield from _render(view, resolution)
    inputs = Accepted(preference.generation, preference.group, preference.schema_version, preference.values)
    if not files.violations:
        return Outcome(accepted((*resolution.notices, *files.notices)), files.entries, inputs=inputs)
    if view.policies and (yield from _renders_without_policies(view, preference)):
        notice = exceeded(files.violations[0], [policy.name for policy in view.policies])
        without = yield from _render(view, Resolution(view.values, {}))
        return Outcome(accepted((*resolution.notices, notice)), without.entries, inputs=inputs)
    return (yield from _invalid(view, preference, resolution, files.violations))


def _invalid(
    view: GroupView, preference: Preference, resolution: Resolution, violations: tuple[Violation, ...]
) -> Steps[Outcome]:
    kept = _kept(preference)
    verdict = refused(reasons.INVALID, summary(violations), violations, resolution.notices, kept=kept)
    return Outcome(verdict, (yield from _files_in_force(view, preference)))


def _renders_without_policies(view: GroupView, preference: Preference) -> Steps[bool]:
    """Whether only policies keep the user's document from being rendered."""
    bare = group_view(view.schema, view.group.name)
    rendered = yield from _render(bare, bare.resolve(preference.values))
    return not rendered.violations


def _not_a_member(
    view: GroupView, preference: Preference, holder: Preference, membership: Membership
) -> Verdict | None:
    group, user = view.group, preference.user
    if not user:
        return refused(reasons.INVALID, preference.problem)
    if user == naming.DEFAULT_USER:
        problem = f"the user name {user} is reserved for users without a preference"
        return refused(reasons.USER_RESERVED, Fault(problem, "choose another"))
    if not membership.accepts_from(preference.namespace):
        return refused(reasons.NAMESPACE_NOT_ALLOWED, _not_accepted(view, preference.namespace))
    if preference is not holder:
        problem = f"user {user} is held by {_older(preference, holder)}"
        return refused(reasons.USER_TAKEN, Fault(problem, "delete one of the two"))
    if preference.key in membership.over_limit:
        problem = f"group {group.name} already has its {group.spec.max_users} users (maxUsers)"
        return refused(reasons.GROUP_FULL, Fault(problem, "older preferences take precedence"))
    return None


def _not_accepted(view: GroupView, namespace: str) -> Fault:
    """That a group accepts no preferences of the namespace, and what to do."""
    problem = f"group {view.group.name} accepts no preferences from namespace {namespace}"
    if view.group.spec.preference_namespace_selector is not None:
        return Fault(problem, "label the namespace as the group's preferenceNamespaceSelector requires")
    return Fault(
        f"{problem}, only from the template's own, {view.schema.namespace}",
        "create it there, or let the template's author set the group's preferenceNamespaceSelector",
    )


def _older(preference: Preference, holder: Preference) -> str:
    """The holder; its name only where the preference's author may know it."""
    if holder.namespace == preference.namespace:
        return f"the older UserPreference {holder.namespace}/{holder.name}"
    return "an older UserPreference in another namespace"


def _unreadable(view: GroupView, preference: Preference) -> Verdict | None:
    """Why the values cannot be resolved at all, if so."""
    if preference.problem:
        return refused(reasons.INVALID, preference.problem)
    if preference.oversize:
        problem = (
            f"the values are {preference.oversize:,} bytes as JSON, more than the {VALUES_BYTES:,} that a preference "
            "may have"
        )
        too_large = Violation("spec.values", USER, TOO_LARGE, problem, remedy="shorten them")
        return refused(reasons.INVALID, str(too_large), (too_large,), kept=_kept(preference))
    if preference.unsupported:
        are, them = ("are", "them") if len(preference.unsupported) > 1 else ("is", "it")
        problem = f"{', '.join(preference.unsupported)} {are} not supported in this version of Trimtab"
        fault = Fault(problem, f"remove {them}")
        return refused(reasons.NOT_SUPPORTED, fault, kept=_kept(preference))
    return _other_schema_version(view, preference)


def _other_schema_version(view: GroupView, preference: Preference) -> Verdict | None:
    written, current = preference.schema_version, view.schema.version
    if written is None or written == current:
        return None
    problem = f"written for schemaVersion {written}, and group {view.group.name} is on {current}"
    if written > current:
        reason, remedy = reasons.AHEAD_OF_REVISION, "wait until the group moves, or lower schemaVersion"
    else:
        reason, remedy = (
            reasons.BEHIND_SCHEMA,
            "migrations are not supported in this version: rewrite the values and ",
        )
        remedy += f"set schemaVersion: {current}"
    return refused(reason, Fault(problem, remedy), kept=_kept(preference))


def _kept(preference: Preference) -> str:
    """Which values are in force."""
    return (
        "what was accepted last stays in force" if preference.accepted else "the group's values are in force"
    )


def evaluation_failed(preference: Preference, error: str) -> Outcome:
    """The result where evaluating a preference raised an error: the user's files stay unchanged."""
    problem = f"the operator failed to evaluate it ({error}; its log has the place). Change the values, and report this"
    return Outcome(refused(reasons.INTERNAL_ERROR, problem, kept=_kept(preference)), None)


def not_written(preference: Preference, problem: str, *, has_files: bool) -> str:
    """Why the user's files were not written, which files the user has, and what to do."""
    known = preference.accepted
    is_accepted = known is not None and known.generation == preference.generation
    if not has_files:
        kept = "this user's files do not exist" if is_accepted else "nothing is written for this user yet"
    elif known is not None and not is_accepted:
        kept = f"the values of generation {known.generation} stay in force"
    else:
        kept = "what was written last for this user stays"
    return f"{problem}; {kept}. Change the values, or what refuses the write: the operator retries it"


def _files_in_force(view: GroupView, preference: Preference) -> Steps[Entries]:
    files = yield from _render(view, in_force(view, preference.accepted))
    if files.violations:
        files = yield from _render(view, Resolution(view.values, {}))
    return files.entries


def _render(view: GroupView, resolution: Resolution) -> Steps[Rendered]:
    delivery = view.schema.user_delivery
    if delivery == "None":
        return Rendered(Entries())
    return (yield from user_files(view, resolution, per_user=delivery == "PerUser"))


def content_unreadable(group: str, template: str, rendered_group: str) -> Verdict:
    """The verdict on an edit in a group whose content cannot be read."""
    return refused(
        reasons.CONTENT_UNREADABLE,
        Fault(
            f"the content of group {group} of ConfigTemplate {template} cannot be read, so this edit is pending and "
            "the files are kept",
            f"see the status of RenderedGroup {rendered_group} for the object to restore",
        ),
    )


def no_group(
    preference: Preference, *, template: bool, served: bool, groups: Collection[str], offered: list[str]
) -> Verdict:
    """The verdict on a preference without a rendered group. ``template``: its ConfigTemplate exists. ``served``: it has
    been valid. ``groups`` are those it has; ``offered`` are those of them that accept preferences of the namespace, as
    the author may not know the others."""
    where = f"ConfigTemplate {preference.template}"
    if not template:
        remedy = "create it or correct spec.templateRef"
        if preference.template.namespace == preference.namespace:
            remedy += " (it defaults to the namespace of the preference)"
        return refused(reasons.TEMPLATE_NOT_FOUND, Fault(f"there is no {where}", remedy))
    if not served:
        problem = f"{where} has never been valid, so nothing is rendered yet"
        return refused(reasons.TEMPLATE_NOT_VALID, Fault(problem, "see its status"))
    if preference.group in groups:
        problem = (
            f"group {preference.group} of {where} is not rendered yet: it waits for the template's rollout"
        )
        return Verdict(UNKNOWN, reasons.GROUP_NOT_ROLLED_OUT, f"{problem}, see its status")
    hint = nearest(preference.group, offered)
    others = f" to one of {listed(offered, 5)}" if offered and not hint else ""
    fault = Fault(f"{where} has no group {preference.group}", f"correct spec.group{others}", hint)
    return refused(reasons.GROUP_NOT_FOUND, fault)
