"""What a new leader keeps although its template, policy or preference is missing: see `store.kind_deletions`."""

from __future__ import annotations

from dataclasses import dataclass, field

from trimtab.core.refs import GroupKey, TemplateKey


@dataclass(slots=True)
class Kept:
    """Missing objects whose outputs are older than their kind: the kind was deleted and recreated while no operator was
    watching, so it is unknown whether a user deleted the objects."""

    templates: set[TemplateKey] = field(default_factory=set)
    policies: set[TemplateKey] = field(default_factory=set)
    users: dict[tuple[GroupKey, str], str] = field(default_factory=dict)
    """When the oldest output with a file of theirs was created"""
    users_before: str = ""
    """Users without a preference stay in outputs that were created before this."""

    def adopt(self, key: GroupKey, user: str, created: str) -> None:
        """An output that was created then contains the file of a user whom no preference claims."""
        if created and created < self.users_before:
            self.users[key, user] = min(created, self.users.get((key, user), created))

    def narrow(self, now: Kept) -> bool:
        """Keep only what ``now`` keeps too; whether that is less."""
        before = len(self.templates), len(self.policies), len(self.users)
        self.templates &= now.templates
        self.policies &= now.policies
        self.users_before = min(self.users_before, now.users_before)
        self.users = {who: created for who, created in self.users.items() if created < self.users_before}
        return before != (len(self.templates), len(self.policies), len(self.users))
