"""How to undo a group: the rollout to undo, or the older content of a template without a strategy."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from trimtab.cli.cluster import revisions, rollouts
from trimtab.cli.cluster.actions import NO_STRATEGY
from trimtab.cli.cluster.connection import Cluster
from trimtab.cli.cluster.objects import Body
from trimtab.cli.cluster.revisions import Data, RenderedGroup
from trimtab.cli.cluster.rollouts import Kind, Reference, Rollout, checked
from trimtab.cli.errors import Failure
from trimtab.cli.group import program
from trimtab.cli.output import Line, Part
from trimtab.cli.view import diff
from trimtab.cli.view.diff import Comparison
from trimtab.kube.resources import CONFIG_TEMPLATES

_BY = re.compile(r"(PolicyRollout|ConfigTemplate) (\S+)\Z")


@dataclass(frozen=True, slots=True)
class OlderTemplate:
    """A template's older content, and what would differ with it."""

    group: RenderedGroup
    older: Data
    comparison: Comparison
    template: Rollout

    def manifest(self) -> Body:
        """The ConfigTemplate with the older content, for kubectl replace; apply would keep what other clients added.

        :raises Failure: some of it is encrypted.
        """
        if "sealed" in self.older.template:
            places = ", ".join(sorted(self.older.template.get("digests") or ())) or "its sensitive values"
            raise Failure(
                f"revision {self.older.number} cannot be printed whole: {places} are encrypted, and a spec without "
                "them would delete them; restore the older spec from its source"
            )
        return self.template.replacement(CONFIG_TEMPLATES.api_version, self.older.template["spec"])

    def content(self) -> dict[str, Any]:
        return self.comparison.content() | {"howToApply": list(self._how())}

    def parts(self) -> Iterator[Part]:
        yield from self.comparison.parts()
        yield Line()
        yield from map(Line, self._how())

    def _how(self) -> Iterator[str]:
        group = self.group
        yield (
            f"The revision is a change of ConfigTemplate {group.template} without a strategy, which took effect "
            "immediately. Trimtab never writes a spec, so nothing was undone."
        )
        yield "To undo it, restore the older spec in its source, for example in Git."
        if "sealed" not in self.older.template:
            command = f"{program()} undo {group.template} {group.group} -n {group.namespace} -o yaml"
            yield f"Or replace it: {command} | kubectl replace -f -"


async def find(cluster: Cluster, wanted: Reference, group: str | None) -> Rollout | OlderTemplate:
    """The rollout to undo; or, if the group's present revision did not roll out, the template's older content.

    :raises Failure: there is no such rollout or group, or no older content.
    """
    if group is None:
        rollout = await rollouts.find(cluster, wanted)
        if not rollout.rolls_out:
            raise Failure(f"{rollout}: {NO_STRATEGY}")
        return rollout
    if wanted.kind is Kind.POLICY_ROLLOUT:
        raise Failure("a GROUP requires a ConfigTemplate; a PolicyRollout is undone in all of its groups", 2)
    found = await revisions.group(cluster, wanted.name, checked(group))
    # A revision that names no rollout is a change that did not roll out, whichever rollout updated the group before.
    by = _BY.match(str(found.entry(found.current).get("by") or ""))
    if by is None:
        return await _older(cluster, found)
    made = await rollouts.get(cluster, Kind(by[1]), by[2])
    if made is not None and made.rolls_out:
        return made
    if by[1] == Kind.POLICY_ROLLOUT:
        raise Failure(
            f"{found}: PolicyRollout {by[2]} rolled out its revision and does not exist: nothing to undo"
        )
    return await _older(cluster, found)


async def _older(cluster: Cluster, group: RenderedGroup) -> OlderTemplate:
    current, now = group.current, group.entry(group.current)
    numbers = [
        int(entry["number"])
        for entry in group.entries
        if int(entry["number"]) < current and entry["snapshot"] != now["snapshot"]
    ]
    if not numbers:
        raise Failure(f"{group}: there is no older content of its template, so there is nothing to undo")
    data = [await revisions.content(cluster, group, number) for number in (current, numbers[0])]
    about = group.about | {"from": {"revision": current}, "to": {"revision": numbers[0]}}
    subject = f"{group}: changes of a return from revision {current} to {numbers[0]}"
    comparison = diff.of_revisions(group.template, group.group, *data)
    body = {"metadata": {"namespace": group.namespace, "name": group.template}}
    template = await rollouts.get(cluster, Kind.CONFIG_TEMPLATE, group.template) or Rollout(
        body, Kind.CONFIG_TEMPLATE
    )
    return OlderTemplate(group, data[1], replace(comparison, subject=subject, about=about), template)
