"""A rollout whose status was lost: another client deleted it, or the template's strategy was removed and restored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from trimtab.api.rollout_status import QUARANTINED, Content, Quarantined, RolloutProgress
from trimtab.core.rollout.revisions import GroupRevisions, components_of
from trimtab.core.rollout.source import POLICY, RolloutSource
from trimtab.core.rollout.spec import policy_content, template_content

Groups = Mapping[str, GroupRevisions]


def is_lost(source: RolloutSource) -> bool:
    """Whether its status records no progress."""
    return source.progress.phase is None


def rendered_policy(source: RolloutSource, groups: Groups) -> str | None:
    """The snapshot of a policy whose status was lost, in most of the groups whose last healthy revision has one."""
    if source.kind != POLICY or not is_lost(source) or source.progress.stable is not None:
        return None
    entries = (entry for group in groups.values() if (entry := group.stable) is not None)
    found = Counter(dict(components_of(entry)[1]).get(source.name) for entry in entries)
    found.pop(None, None)
    return found.most_common(1)[0][0] if found else None


def recovered(source: RolloutSource, groups: Groups, created: str) -> RolloutSource:
    """The source with what its ``groups`` record of its progress. With an epoch behind theirs it could move no group.

    ``groups`` are all of the template if the status was lost, else those of the rollout's plan; ``created`` is the
    creationTimestamp of the :func:`rendered_policy`'s snapshot.
    """
    mine = [op for group in groups.values() if (op := group.operation).get("uid") == source.uid]
    found = _with_epoch(source.progress, mine)
    policy = rendered_policy(source, groups)
    if policy is not None and (mine or _is_its_own(source, groups, created)):
        found = found.model_copy(update={"stable": policy_content(policy)})
    quarantine = _quarantine(source, groups, found.stable) if is_lost(source) else []
    if quarantine:
        found = found.model_copy(update={"quarantine": quarantine})
    return source if found is source.progress else replace(source, progress=found)


def _with_epoch(progress: RolloutProgress, operations: Iterable[Mapping[str, Any]]) -> RolloutProgress:
    epoch = max((int(operation.get("epoch") or 0) for operation in operations), default=0)
    return progress.model_copy(update={"epoch": epoch}) if epoch > (progress.epoch or 0) else progress


def _is_its_own(source: RolloutSource, groups: Groups, created: str) -> bool:
    """Whether the policy's content can only be of this PolicyRollout, and not of a deleted one of the same name: groups
    that other rollouts have moved since record only the name."""
    for group in groups.values():
        operation = group.operation
        if (operation.get("kind"), operation.get("name")) == (POLICY, source.name):
            return False
    return created >= (source.item.metadata.creationTimestamp or "~")


def _quarantine(source: RolloutSource, groups: Groups, stable: Content | None) -> list[Quarantined]:
    """What failed before the status was lost, or before the rollout was deleted and recreated."""
    policy = source.name if source.kind == POLICY else None
    found = sorted(set[str]().union(*(group.failed(policy) for group in groups.values())))
    contents = [policy_content(name) if policy else template_content(source.key, name) for name in found]
    return [
        Quarantined(hash=content.hash, reason="a rollback left it before the rollout's status was lost")
        for content in contents
        if stable is None or content.hash != stable.hash
    ][-QUARANTINED:]
