"""What the undo of a group comes to: a rollout to be undone, or what a template without a strategy was before."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from trimtab.cli.cluster import revisions, rollout_reference
from trimtab.cli.cluster.rollout_reference import Found, Kind, Reference
from trimtab.cli.commands.rollout_actions import UNWATCHED
from trimtab.cli.errors import Failure
from trimtab.cli.view import diff as diff_view
from trimtab.cli.view.diff import Comparison
from trimtab.cli.view.output import program, say
from trimtab.cli.view.progress import Progress
from trimtab.core.resolve.snapshot import Spec

if TYPE_CHECKING:
    from trimtab.cli.cluster.connection import Cluster
    from trimtab.cli.cluster.revisions import Data, Served

Body = dict[str, Any]
_MAKER = re.compile(r"(PolicyRollout|ConfigTemplate) (\S+)\Z")


async def rollout(cluster: Cluster, namespace: str, wanted: Reference) -> Found:
    """The rollout to be undone. :raises Failure: there is none."""
    found = await rollout_reference.find(cluster, namespace, wanted)
    if not Progress.of(found).watched:
        raise Failure(f"{found}: {UNWATCHED}")
    return found


async def maker(cluster: Cluster, namespace: str, wanted: Reference, group: str) -> Found | Back:
    """The rollout that made a group's present revision; or, where none did, what the template was before.

    :raises Failure: there is no such group, or nothing before.
    """
    if wanted.kind is Kind.POLICY_ROLLOUT:
        raise Failure("a GROUP goes with a ConfigTemplate; a PolicyRollout is undone in all of its groups", 2)
    served = await revisions.group(cluster, namespace, wanted.name, rollout_reference.checked(group))
    made = _made_by(served)
    if made is not None:
        found = await _there(cluster, namespace, made)
        if found is not None and Progress.of(found).watched:
            return found
        if made.kind is Kind.POLICY_ROLLOUT:
            raise Failure(
                f"{served}: its revision was made by PolicyRollout {made.name}, which is gone: nothing to undo"
            )
    return await _before(cluster, served)


def _made_by(served: Served) -> Reference | None:
    """By the revision's own word. One that names nobody was made by a change of a template that did not roll out,
    whichever rollout moved the group some time before."""
    said = _MAKER.match(str(served.entry(served.current).get("by") or ""))
    return Reference(Kind(said[1]), said[2]) if said is not None else None


async def _there(cluster: Cluster, namespace: str, wanted: Reference) -> Found | None:
    kind = Kind(wanted.kind or Kind.CONFIG_TEMPLATE)
    body = await cluster.get(rollout_reference.resource(kind), namespace, wanted.name)
    return None if body is None else Found(kind, body)


@dataclass(frozen=True, slots=True)
class Back:
    """A template's older content, and what would differ with it."""

    served: Served
    older: Data
    comparison: Comparison
    body: Body
    """The ConfigTemplate as it is now; empty if it is gone."""

    def manifest(self) -> Body:
        """The ConfigTemplate with the older content, for kubectl replace: apply would leave what others have added.

        :raises Failure: some of it is sealed, so that it cannot be shown whole.
        """
        sealed = sorted(self.older.template.get("digests") or ())
        if "sealed" in self.older.template:
            places = ", ".join(sealed) or "its sensitive values"
            raise Failure(
                f"revision {self.older.number} cannot be printed whole: {places} are sealed, and applying it without "
                "them would lose them; bring the older spec back from where it is kept"
            )
        spec: Spec = dict(self.older.template["spec"])
        now = self.body.get("metadata") or {}
        meta = {"name": self.served.template, "namespace": self.served.namespace} | rollout_reference.lasting(
            now
        )
        return {
            "apiVersion": "trimtab.dev/v1alpha1",
            "kind": "ConfigTemplate",
            "metadata": meta,
            "spec": spec,
        }

    def to_dict(self) -> Body:
        """The whole for programs."""
        return self.comparison.to_dict() | {"howToApply": list(self._how())}

    def people(self) -> None:
        """The difference and what to do, on stdout."""
        self.comparison.people()
        say()
        for line in self._how():
            say(line)

    def _how(self) -> Iterator[str]:
        served = self.served
        yield (
            f"The revision was made by a change of ConfigTemplate {served.template} that was served at once, without a "
            "strategy; Trimtab never writes a spec, so nothing was undone."
        )
        yield "To go back, bring the older spec back where it is kept (Git, say)."
        if "sealed" not in self.older.template:
            yield (
                f"Or put it in place: {program()} undo {served.template} {served.group} -n {served.namespace} -o yaml "
                "| kubectl replace -f -"
            )


async def _before(cluster: Cluster, served: Served) -> Back:
    now = served.entry(served.current)
    older = next(
        (e for e in served.entries if int(e["number"]) < served.current and e["snapshot"] != now["snapshot"]),
        None,
    )
    if older is None:
        raise Failure(f"{served} has no older content of its template: nothing to go back to")
    number = int(older["number"])
    data = [await revisions.content(cluster, served, each) for each in (served.current, number)]
    comparison = diff_view.of_revisions(served.template, served.group, *data)
    about = {
        "template": {"namespace": served.namespace, "name": served.template},
        "group": served.group,
        "from": {"revision": served.current},
        "to": {"revision": number},
    }
    subject = f"{served}: what going back from revision {served.current} to {number} would change"
    body = await cluster.get(
        rollout_reference.resource(Kind.CONFIG_TEMPLATE), served.namespace, served.template
    )
    return Back(served, data[1], replace(comparison, subject=subject, about=about), body or {})
