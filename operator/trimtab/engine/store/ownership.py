"""Which of the objects with Trimtab's labels are its own. The others are left alone, and reported once."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field

from trimtab.core import naming
from trimtab.core.evaluate.membership import may_render_into
from trimtab.core.objects import rendered_group_key
from trimtab.core.refs import GroupKey, Ref, TemplateKey
from trimtab.core.render.origin import Claims, is_proved, place
from trimtab.core.render.plan import Observed
from trimtab.engine.leadership.encryption_keys import Keyring
from trimtab.engine.metrics import UNPROVED
from trimtab.engine.store.cluster_state import ClusterState
from trimtab.engine.store.outputs import group_of

log = logging.getLogger(__name__)

REPORTED = 10_000
"""Objects remembered as reported; beyond that they are reported again."""


@dataclass(slots=True)
class Ownership:
    cluster: ClusterState
    keyring: Keyring
    _reported: set[str] = field(default_factory=set)
    """Their uids"""

    def mark(self, template: TemplateKey, ref: Ref) -> str:
        """The mark of an object that Trimtab writes for a template in this place."""
        return self.keyring.digest("mark", (*ref, *template), None)

    def is_anothers(self, template: TemplateKey, have: Observed) -> bool:
        """Whether the object is the output of another template that may write there, and would do so again at once."""
        owner = group_of(have.labels)
        if (
            owner is None
            or owner.template_key == template
            or self.cluster.templates.get(owner.template_key) is None
            or not self._may_write(owner, have.ref)
        ):
            return False
        return is_proved(have, self.mark(owner.template_key, have.ref), "")

    def claims(self, key: GroupKey) -> Claims:
        """What the group can prove now."""

        def has_preference(namespace: str, preference: str) -> bool:
            # Whoever else claims the user, and may not join, does not matter here: whose content is taken over does.
            found = self.cluster.preferences.get(namespace, preference)
            return found is not None and found.group_key == key

        return Claims(
            template=key.template,
            group=key.group,
            labels=naming.group_labels(key),
            mark=lambda ref: self.mark(key.template_key, ref),
            recorded=self._recorded(key),
            has_preference=has_preference,
            anothers=lambda have: self.is_anothers(key.template_key, have),
        )

    def _recorded(self, key: GroupKey) -> dict[Ref, str]:
        """What status records where the group may have outputs at all: elsewhere whoever may write the status of
        RenderedGroups, in the template's namespace alone, could have forged it."""
        item = self.cluster.rendered_group(key)
        listed = item.status.get("outputs") or () if item is not None else ()
        entries = {Ref(e["kind"], e["namespace"], e["name"]): e.get("uid") or "" for e in listed}
        return {ref: uid for ref, uid in entries.items() if self._may_write(key, ref)}

    def _may_write(self, key: GroupKey, ref: Ref) -> bool:
        if ref.namespace == key.namespace or may_render_into(self.cluster, ref.namespace, key.namespace):
            return True
        found = place(ref, key.template, key.group)
        user = (
            self.cluster.preferences.get(ref.namespace, found.preference)
            if found and found.preference
            else None
        )
        return user is not None and user.template == key.template_key

    def proved(self, key: GroupKey) -> list[Observed]:
        """The objects with the group's labels that are its own; the others are reported."""
        claims = self.claims(key)
        ours = [have for have in self.cluster.outputs.of(key).values() if claims.prove(have)]
        if len(ours) < len(self.cluster.outputs.of(key)):
            proved = {have.ref for have in ours}
            self.report(have for ref, have in self.cluster.outputs.of(key).items() if ref not in proved)
        return ours

    def known_groups(self) -> set[GroupKey]:
        """The groups that have a RenderedGroup, a preference or an output of their own."""
        cluster = self.cluster
        known = {rendered_group_key(item) for item in cluster.groups} | set(cluster.preferences.all_groups())
        return known | {key for key in cluster.outputs.groups() if key not in known and self.proved(key)}

    def report(self, foreign: Iterable[Observed]) -> None:
        """Say once of each of these objects that it is left alone."""
        for have in foreign:
            if have.uid in self._reported:
                continue
            if len(self._reported) >= REPORTED:
                self._reported.clear()
            self._reported.add(have.uid)
            UNPROVED.inc()
            log.warning(
                "an object has Trimtab's labels, but Trimtab did not make it in this place; it is left alone. "
                "Take the labels off",
                extra={"object": str(have.ref), "group": str(group_of(have.labels))},
            )
