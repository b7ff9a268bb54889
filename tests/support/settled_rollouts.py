"""Whether rollouts that no user changes any longer are in a phase where they may stay, by the pure core only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from pydantic import ValidationError

from support.expected_contents import TEMPLATE, Key, Reading, fitting, labels_of
from support.rollout_meaning import Body, RolloutSource
from trimtab.api.config_template import ConfigTemplateSpec
from trimtab.api.policy_rollout import PolicyRolloutSpec
from trimtab.api.unsupported import not_supported
from trimtab.core.policy.fit import without_groups
from trimtab.core.policy.policy import compile_policy, contradictions
from trimtab.core.render.render import render_group
from trimtab.core.resolve import snapshot
from trimtab.core.resolve.resolve import document_problems, group_view
from trimtab.core.rollout.strategy import compile_strategy
from trimtab.core.schema.template import Schema
from trimtab.core.violations import RejectedError

NAMED = frozenset({"phase", "underway", "stable", "target", "waves", "currentWave", "attempt", "transitions"})
"""Fields of status that are a rollout's."""


def unrest(reading: Reading) -> Iterator[str]:
    """What is wrong with a rollout's status, or still to come."""
    for key in {*reading.templates, *reading.policies}:
        sources = list(reading.policies.get(key, ()))
        if key in reading.templates:
            template = reading.source(key)
            sources += [template] if template is not None else []
            left = NAMED & (reading.templates[key].get("status") or {}).keys()
            if template is None and left:
                yield f"template {key} does not roll out, and its status says {sorted(left)}"
        for source in sources:
            why = _restless(reading, key, source, sources)
            if why:
                yield f"{source.kind} {source.name} is {source.progress.phase}: {why}"


def _restless(reading: Reading, key: Key, source: RolloutSource, all_of_them: list[RolloutSource]) -> str:
    """Why the rollout may not stay in its phase."""
    progress, phase = source.progress, source.progress.phase
    strategy: Body = source.body["spec"].get("strategy") or {}
    refused = refused_now(reading, key, source)
    if refused != (phase == "Rejected"):
        return f"what it says now may {'not ' if refused else ''}be rolled out"
    written = snapshot.content(source.body["spec"])
    target = _content(reading, key, source, source.target)
    if phase != "Rejected" and target is not None and target != written:
        return f"its target is {target}, and its spec says {written}"
    quarantined = {entry.hash for entry in progress.quarantine}
    hashed = progress.target.hash if progress.target else ""
    wave = next(iter(progress.waves[max((progress.current_wave or 0) - 1, 0) :]), None)
    if phase == "Succeeded":
        return (
            "" if source.stable == source.target and hashed not in quarantined else "something else is stable"
        )
    if phase == "RolledBack":
        return (
            ""
            if hashed in quarantined and source.stable != source.target
            else "its target is not in quarantine"
        )
    if phase == "Paused":
        return "" if strategy.get("paused") or progress.halt is not None else "nobody paused it"
    if phase == "AwaitingApproval":
        missing = wave is not None and wave.approval and wave.name not in progress.approved
        return "" if missing else "no approval is missing"
    if phase == "Waiting":
        groups = {g for w in progress.waves for g in w.groups}
        rivals = [s for s in all_of_them if s.name != source.name or s.kind != source.kind]
        busy = any(rival.plans(group) for rival in rivals for group in groups)
        return "" if busy or strategy.get("freezes") else "nothing keeps it"
    return "" if phase == "Rejected" else "it does not come to rest"


def _content(reading: Reading, key: Key, source: RolloutSource, held: str | None) -> Body | None:
    if held is None:
        return None
    if source.kind == TEMPLATE:
        return reading.template_content(key[0], held)
    data = reading.snapshots.get((key[0], held))
    return None if data is None else reading.joined(data)


def refused_now(reading: Reading, key: Key, source: RolloutSource) -> bool:
    """Whether what the rollout's spec says now may not be rolled out."""
    if key not in reading.templates:
        return True
    schema = reading.live[key]
    try:
        if source.kind == TEMPLATE:
            return schema is None or not _plannable(reading, key, source, schema)
        schema = schema or reading.schema(key, _most_served(reading, key))
        return schema is None or _refused_policy(reading, key, source, schema)
    except (ValidationError, RejectedError):
        return True


def _plannable(reading: Reading, key: Key, source: RolloutSource, schema: Schema) -> bool:
    """:raises RejectedError: the strategy does not go together with the groups that are, and those that were."""
    was: dict[str, Mapping[str, str]] = {}
    for held in _returning(source):
        before = reading.schema(key, held)
        was |= labels_of(before, before.groups) if before else {}
    spec = ConfigTemplateSpec.model_validate(source.body["spec"])
    compile_strategy(spec.strategy, {**was, **labels_of(schema, schema.groups)})
    return True


def _refused_policy(reading: Reading, key: Key, source: RolloutSource, schema: Schema) -> bool:
    """:raises RejectedError: the policy, or its strategy, is not valid in itself."""
    progress = source.progress
    planned = {name for wave in progress.waves for name in wave.groups}
    gone = planned - schema.groups.keys() if progress.underway else set()  # in mid-flight they are skipped
    body = source.body["spec"]
    spec = PolicyRolloutSpec.model_validate(without_groups(body, gone) if gone else body)
    if not_supported(spec):
        return True
    policy = compile_policy(source.name, spec, schema)
    others = []
    for other in reading.policies[key]:
        held = other.target if other.progress.underway == "Forward" else other.stable
        content = reading.policy_content(key[0], held) if other.name != source.name else None
        made = fitting(other.name, content, schema) if content is not None else None
        others += [made] if made else []
    for name in policy.groups:
        view = group_view(schema, name, [policy, *(p for p in others if name in p.groups)])
        if document_problems(view) or render_group(view).violations:
            return True
    scope = policy.groups
    for held in _returning(source):
        content = reading.policy_content(key[0], held)
        was = fitting(source.name, content, schema) if content else None
        scope |= was.groups if was else frozenset()
    left = labels_of(schema, [name for name in schema.groups if name in scope])
    compile_strategy(spec.strategy, left or {name: {} for name in gone})
    return not (policy.groups or gone) or bool(contradictions(policy, others))


def _returning(source: RolloutSource) -> list[str]:
    """The content that groups would return to: they are in the scope as well."""
    progress = source.progress
    served = progress.stable is not None and progress.target is not None
    undone = served and progress.stable.hash == progress.target.hash  # type: ignore[union-attr]
    found = [progress.previous if undone else None, progress.stable]
    return [content.snapshot for content in found if content is not None and content.snapshot]


def _most_served(reading: Reading, key: Key) -> str | None:
    pointed = (reading.pointed(group)[0] for group in reading.pointers if group[:2] == key)
    found = Counter(parts[0] for parts in pointed if parts)
    return max(
        found, key=lambda name: (found[name], name), default=None
    )  # all are equally old in a simulation
