"""One rollout: a PolicyRollout, or a ConfigTemplate that has a strategy, with its progress."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from trimtab.api.rendered_group import Operation
from trimtab.api.rollout_status import Content, RolloutProgress
from trimtab.core.objects import AnyObject
from trimtab.core.refs import TemplateKey
from trimtab.core.rollout.types import Intent

Kind = Literal["PolicyRollout", "ConfigTemplate"]
POLICY: Literal["PolicyRollout"] = "PolicyRollout"
TEMPLATE: Literal["ConfigTemplate"] = "ConfigTemplate"
STATUS_FIELDS = frozenset(field.alias or name for name, field in RolloutProgress.model_fields.items())
"""The fields of status that hold a rollout's progress."""


@dataclass(frozen=True, slots=True)
class RolloutSource:
    """One rollout. ``intents`` are what it requires of groups, by name."""

    kind: Kind
    item: AnyObject
    progress: RolloutProgress
    intents: Mapping[str, Intent]

    @property
    def name(self) -> str:
        return self.item.metadata.name

    @property
    def uid(self) -> str:
        return self.item.metadata.uid

    @property
    def key(self) -> TemplateKey:
        return self.item.key

    @property
    def label(self) -> str:
        return f"{self.kind} {self.name}"

    @property
    def content(self) -> Content | None:
        """The content that is in force, or that is rolled out at present."""
        return self.progress.target if self.progress.underway == "Forward" else self.progress.stable

    def operation(self, group: str) -> Operation | None:
        """What it records on a group of its plan."""
        intent = self.intents.get(group)
        if intent is None:
            return None
        back, target = self.progress.underway == "Back", self.progress.target
        quarantined = {each.hash for each in self.progress.quarantine} if back else ()
        failed = target.snapshot if target is not None and target.hash in quarantined else None
        return _operation(self.kind, self.name, self.uid, intent.epoch, back, failed)

    def contents(self) -> Iterator[Content]:
        """All content that its groups may still be on, or return to."""
        for content in (self.progress.stable, self.progress.target, self.progress.previous):
            if content is not None and content.snapshot:
                yield content


@functools.lru_cache(maxsize=256)  # the same for all groups of a rollout
def _operation(kind: Kind, name: str, uid: str, epoch: int, back: bool, failed: str | None) -> Operation:
    return Operation(kind=kind, name=name, uid=uid, epoch=epoch, back=back, failed=failed)
