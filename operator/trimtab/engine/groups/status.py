"""The statuses of RenderedGroups and UserPreferences, written in the background."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from trimtab.core import naming
from trimtab.core.evaluate.preference_status import status_of
from trimtab.core.evaluate.user import Outcome
from trimtab.core.objects import AnyObject
from trimtab.core.refs import GroupKey, Ref, TemplateKey
from trimtab.core.resolve.preference import Preference, fingerprint
from trimtab.core.status import TRUE, Verdict
from trimtab.engine.groups.state import GroupState
from trimtab.engine.status.writer import COUNTS_SECONDS, ObjectStatus, StatusWrite, StatusWriter, Target
from trimtab.engine.store.cluster_state import ClusterState
from trimtab.kube.port import Body
from trimtab.kube.resources import RENDERED_GROUPS, USER_PREFERENCES

OUTPUTS_LISTED = 1000
FOREIGN_LISTED = 20


@dataclass(slots=True)
class GroupStatuses:
    cluster: ClusterState
    writer: StatusWriter

    # Preferences.

    def offer(self, preference: Preference, outcome: Outcome) -> None:
        """Write the preference's status if it changes.

        A verdict on an earlier version of the preference is not offered: it would only replace the newer verdict.
        """
        if self.cluster.preferences.get(preference.namespace, preference.name) is not preference:
            return
        verdict = outcome.verdict
        target = Target(USER_PREFERENCES, preference.namespace, preference.name)
        preference.wanted = fingerprint(status_of(preference, verdict, ""))
        if preference.wanted == preference.print:
            self.writer.withdraw(target)
        else:
            make = _PreferenceStatus(self, *preference.key, preference.uid, preference.generation, verdict)
            self.writer.offer(target, make)

    # Groups.

    def group(self, state: GroupState, verdict: Verdict, *, delay: float = COUNTS_SECONDS) -> None:
        """Write the RenderedGroup's status."""
        revision = state.revision

        def fields(_: AnyObject) -> dict[str, Any] | None:
            if state.revision != revision:
                return None
            made = self._fields(state)
            if verdict.ready == TRUE and state.settled:
                made["stableRevision"] = revision
            return made

        status = ObjectStatus(
            self.cluster.groups,
            _place(state.key),
            verdict,
            fields,
            settled=lambda: self.cluster.report(state.key.template_key),
        )
        self.writer.offer_object(RENDERED_GROUPS, status, delay=delay)

    def unrendered(self, key: GroupKey, verdict: Verdict) -> None:
        """Write the status of a RenderedGroup whose content is not known."""
        status = ObjectStatus(self.cluster.groups, _place(key), verdict, lambda _: {})
        self.writer.offer_object(RENDERED_GROUPS, status)

    def invalid_users(self, state: GroupState) -> int:
        """How many preferences of the group are refused."""
        state.invalid &= self.cluster.preferences.members(state.key).keys()
        return len(state.invalid)

    def _fields(self, state: GroupState) -> dict[str, Any]:
        return {
            "users": len(self.cluster.preferences.members(state.key)),
            "invalidUsers": self.invalid_users(state),
            "shards": len(state.files.content),
            "outputs": _outputs(state),
            "foreign": [_reference(ref) for ref in sorted(state.written.foreign)[:FOREIGN_LISTED]] or None,
        }


def _place(key: GroupKey) -> TemplateKey:
    return TemplateKey(key.namespace, naming.group_object(key.template, key.group))


def _reference(ref: Ref) -> dict[str, Any]:
    return {"kind": ref.kind, "namespace": ref.namespace, "name": ref.name}


def _outputs(state: GroupState) -> list[dict[str, Any]]:
    """The group's own objects by their uids. An upgrade lists none, so that a restart continues it."""
    written = state.written
    listed = sorted(
        ref for ref in written.objects if ref not in state.files.own_refs or ref in written.adopted
    )
    made = []
    for ref in listed[:OUTPUTS_LISTED]:
        uid = written.uids.get(ref)
        if written.upgrading:
            made.append(_reference(ref))
        elif uid is not None:
            adopted = {"adopted": True} if ref in written.adopted else {}
            made.append({**_reference(ref), "uid": uid, **adopted})
    return made


class _PreferenceStatus(msgspec.Struct, gc=False):
    """A preference's status that waits to be written. Not a closure: 100,000 may wait, and the garbage collector
    is to walk none of them."""

    statuses: GroupStatuses
    namespace: str
    name: str
    uid: str
    generation: int
    verdict: Verdict

    def __call__(self) -> StatusWrite | None:
        cluster = self.statuses.cluster
        current = cluster.preferences.get(self.namespace, self.name)
        if current is None or (current.uid, current.generation) != (self.uid, self.generation):
            return None  # a newer spec has, or gets, its own verdict
        body = status_of(current, self.verdict, self.statuses.writer.now())
        said = fingerprint(body)
        if said == current.print:
            return None
        current.expected = said

        def done(answer: Body) -> None:
            current.version = max(current.version, int(answer["metadata"]["resourceVersion"]))
            current.print = said
            current.conditions = tuple(
                (c["type"], c["status"], c["lastTransitionTime"]) for c in body["conditions"]
            )
            if current.wanted != said:  # judged otherwise while this was on its way
                cluster.user_changed(current.group_key, current.namespace, current.user)

        return StatusWrite(body, str(current.version), done)
