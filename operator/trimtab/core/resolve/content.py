"""What a group renders: a compiled template, the policies that apply to it, and the snapshots that hold both."""

from __future__ import annotations

from dataclasses import dataclass

from trimtab.core import naming
from trimtab.core.policy.policy import Policy
from trimtab.core.resolve.resolve import GroupView, group_view
from trimtab.core.schema.template import Schema

Components = tuple[str, tuple[tuple[str, str], ...]]
"""What identifies a revision: the template's snapshot, and (policy, snapshot) sorted by policy name."""


@dataclass(frozen=True, slots=True)
class CompiledContent:
    """A compiled template with its policies. ``refs`` are (policy, snapshot), sorted by name; ``policies`` are those of
    them that compile for this template."""

    schema: Schema
    snapshot: str
    refs: tuple[tuple[str, str], ...] = ()
    policies: tuple[Policy, ...] = ()

    @property
    def components(self) -> Components:
        return self.snapshot, self.refs

    def view(self, group: str) -> GroupView:
        """One group's view. :raises KeyError: the template has no such group."""
        return group_view(self.schema, group, self.policies, unbound=self._is_unbound)

    @property
    def _is_unbound(self) -> bool:
        """Whether all snapshots predate digests that are bound to their object: workloads already carry that digest."""
        names = (self.snapshot, *(name for _, name in self.refs))
        return all(naming.is_unbound(naming.stem_and_hash(name)[1]) for name in names)
