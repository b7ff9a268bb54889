"""What a rollout's spec amounts to: its target and strategy, or why it is refused."""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, replace

from trimtab.api.rollout_status import Content, RolloutProgress
from trimtab.core import naming
from trimtab.core.refs import TemplateKey
from trimtab.core.rollout.preview import is_redacted
from trimtab.core.rollout.queries import planned, same
from trimtab.core.rollout.source import POLICY, RolloutSource
from trimtab.core.rollout.strategy import Strategy
from trimtab.core.status import Verdict
from trimtab.core.violations import Notice


@dataclass(frozen=True, slots=True)
class EvaluatedSpec:
    """``source`` is what was evaluated; ``target`` and ``strategy`` are None while the spec is refused. ``scope`` are
    the groups that the rollout is, or was, for, in the template's order. ``unprotected``: no group is rendered yet.
    ``basis`` is a hash of what its effects depend on, users excepted: another basis requires another preview. After
    ``retry_seconds`` it is evaluated again without an edit."""

    source: RolloutSource
    target: Content | None = None
    strategy: Strategy | None = None
    refusal: Verdict | None = None
    notices: tuple[Notice, ...] = ()
    scope: tuple[str, ...] = ()
    unprotected: bool = False
    basis: str = ""
    retry_seconds: float | None = None


def effects_basis(scope: Iterable[str], content: str, others: Iterable[tuple[str, str]]) -> str:
    """A hash of the groups, the content and the other policies' snapshots that a rollout's effects depend on: all of
    these are names, or end in an HMAC."""
    return hashlib.sha256(repr((tuple(scope), content, sorted(others))).encode()).hexdigest()[:16]


def replaced(progress: RolloutProgress, target: Content) -> Iterator[str]:
    """The snapshots that the target replaces, or that an Undo returns to: their groups are in the scope as well."""
    stable = progress.stable
    reached = stable is not None and stable.hash == target.hash
    for content in (progress.previous if reached else None, stable):
        if content is not None and content.snapshot:
            yield content.snapshot


def left_groups(progress: RolloutProgress, groups: Container[str]) -> set[str]:
    """The groups of the plan that left the template since the rollout started."""
    if progress.underway is None:
        return set()
    return {name for name in planned(progress) if name not in groups}


def other_policies(sources: Iterable[RolloutSource], source: RolloutSource) -> list[tuple[str, str]]:
    """Names and snapshots of the other policies that are in force or being rolled out."""
    return [
        (other.name, content.snapshot)
        for other in sources
        if other.kind == POLICY
        and other.uid != source.uid
        and (content := other.content) is not None
        and content.snapshot
    ]


def without_samples(source: RolloutSource, sensitive: Container[str]) -> RolloutSource:
    """The source without the preview's samples of keys that have become sensitive since the preview was created."""
    preview = source.progress.preview
    samples = preview.samples if preview is not None else []
    kept = [sample for sample in samples if sample.key not in sensitive or is_redacted(sample)]
    if preview is None or len(kept) == len(samples):
        return source
    preview = preview.model_copy(update={"samples": kept})
    return replace(source, progress=source.progress.model_copy(update={"preview": preview}))


def requires_preview(spec: EvaluatedSpec) -> bool:
    """Whether its content may start and has no preview with the present basis."""
    progress, target = spec.source.progress, spec.target
    if target is None or spec.unprotected or progress.underway == "Back":
        return False
    if same(target, progress.stable) or target.hash in {each.hash for each in progress.quarantine}:
        return False
    preview = progress.preview
    if preview is None or preview.hash != target.hash:
        return True
    return progress.underway is None and preview.basis != spec.basis


def policy_content(snapshot: str) -> Content:
    """A policy's content by the name of its snapshot."""
    return Content(hash=naming.stem_and_hash(snapshot)[1], snapshot=snapshot)


def template_content(key: TemplateKey, snapshot: str, generation: int | None = None) -> Content:
    """A template's content by the name of its snapshot."""
    hashed = snapshot.removeprefix(f"{key.name}-")
    return Content(hash=hashed, snapshot=snapshot, generation=generation or None)
