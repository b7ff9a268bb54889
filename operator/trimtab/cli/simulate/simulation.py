"""The operator's own engine over an API server in memory: what it would make of these objects, without a cluster.

Nothing is decided here. Objects go into the engine's stores, its passes run, and what it wrote and said is read
back; so whatever the operator does about holders, admission, shards or collisions, offline does too. Rollouts
count as over: what they roll out is served everywhere, unless groups are shown that say what they serve.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from trimtab.cli.cluster import objects
from trimtab.core.evaluate.membership import holder
from trimtab.core.evaluate.template import ready_verdict
from trimtab.core.objects import AnyObject, MetaOnly, template_of
from trimtab.core.refs import GroupKey, TemplateKey
from trimtab.core.resolve.content import CompiledContent
from trimtab.core.resolve.preference import Accepted, Preference, PreferenceObject, read
from trimtab.core.resolve.resolve import GroupView
from trimtab.core.rollout.assignment import Assignment, Parts, Undecided, Unreadable
from trimtab.core.rollout.revisions import components_of
from trimtab.core.rollout.source import POLICY, TEMPLATE
from trimtab.core.rollout.spec import EvaluatedSpec
from trimtab.core.status import Verdict
from trimtab.crypto import Keys
from trimtab.engine.content.templates import Judgement
from trimtab.engine.groups.assignments import Assignments
from trimtab.engine.leadership.encryption_keys import Keyring
from trimtab.engine.scheduling.queue import Queue
from trimtab.engine.status.writer import Make, Statuses, Target
from trimtab.engine.store.cluster_state import ClusterState
from trimtab.engine.term import Clock, Settings, Term
from trimtab.kube.memory import Memory
from trimtab.kube.resources import (
    CONFIG_TEMPLATES,
    NAMESPACES,
    OUTPUTS,
    POLICY_ROLLOUTS,
    RENDERED_GROUPS,
    USER_PREFERENCES,
    Resource,
)

Body = dict[str, Any]
_UNBORN = "unset"
"""A creationTimestamp for what has none: later than every real one, so that objects in files come in their order."""
_PASSES = 1_000_000


class _Said(Statuses):
    """Keeps what the engine says of each object instead of writing it."""

    def __init__(self) -> None:
        super().__init__(Memory(), Queue())
        self.said: dict[tuple[str, str, str], Body] = {}

    def offer(self, target: Target, make: Make) -> None:
        write = make()
        if write is not None:
            self.said[target.resource.kind, target.namespace, target.name] = write.status


class _Pinned(Assignments):
    """Every group on what its pointer says."""

    async def of(self, key: GroupKey) -> Assignment | Undecided | Unreadable | None:
        pointer = self.revisions.of(key).current
        if pointer is None or await self.templates.judge(key.template_key) is None:
            return await Assignments.of(self, key)
        snapshot, policies = components_of(pointer)
        served = await self.compose(key, Parts(snapshot, dict(policies)))
        return Assignment(served) if isinstance(served, CompiledContent) else served


@dataclass(slots=True)
class Simulation:
    """Objects in, verdicts and outputs out."""

    memory: Memory = field(default_factory=Memory)
    judged: dict[TemplateKey, Judgement] = field(default_factory=dict)
    policies: dict[TemplateKey, EvaluatedSpec] = field(default_factory=dict)
    """What the PolicyRollouts came to."""
    pinned: bool = False
    """Groups serve what their RenderedGroups point to: how far rollouts are is not worked out here."""
    sealed: bool = False
    """What groups serve is known without its sensitive values."""
    live: bool = False
    """The objects are a cluster's: what its operator says of them counts, and this only says what is to be expected."""
    _engine: Term = field(init=False)
    _said: _Said = field(default_factory=_Said)
    seen: bool = False
    """Every RenderedGroup of the template was shown."""
    _given: dict[tuple[str, str], Body] = field(default_factory=dict)
    _groups: dict[GroupKey, Body] = field(default_factory=dict)
    _accepted: dict[tuple[str, str], Accepted | None] = field(default_factory=dict)
    """What was in force of preferences as they were given"""
    _count: int = 0

    def __post_init__(self) -> None:
        keyring = Keyring(self.memory, "default", Keys.fresh())
        clock = Clock(lambda: "1970-01-01T00:00:00Z", lambda: 0.0)
        self._engine = Term(self.memory, ClusterState(), keyring, Settings("default"), clock)
        self._engine.verdicts.statuses = self._said
        self._engine.snapshots.trusting = True

    def put(self, resource: Resource, body: Body) -> None:
        """Give the engine an object, as its reflectors would."""
        self._count += 1
        meta = {name: value for name, value in body["metadata"].items() if value is not None}
        age = {"creationTimestamp": _UNBORN, "uid": f"file-{self._count:09d}"}
        version = {"resourceVersion": str(self._count), "generation": meta.get("generation", 1)}
        kept = {**body, "metadata": {**age, **meta, **version}}
        cluster = self._engine.cluster
        if resource is USER_PREFERENCES:
            status = body.get("status")
            self._given[meta["namespace"], meta["name"]] = status if isinstance(status, dict) else {}
            item = _as(kept, PreferenceObject)
            self._accepted[meta["namespace"], meta["name"]] = read(item).accepted
            cluster.preferences.put(item)
        elif resource is CONFIG_TEMPLATES:
            cluster.templates.put(_as({**kept, "status": {}}, AnyObject))  # its verdict is worked out anew
        elif resource is POLICY_ROLLOUTS:
            self._namespace(meta["namespace"])
            cluster.rollouts.put(_as({**kept, "status": {}}, AnyObject))
        elif resource is NAMESPACES:
            cluster.namespaces.put(_as(kept, MetaOnly))
        elif resource is RENDERED_GROUPS:
            self._namespace(meta["namespace"])
            spec = body.get("spec") or {}
            self._groups[
                GroupKey(
                    meta["namespace"], (spec.get("templateRef") or {}).get("name", ""), spec.get("group", "")
                )
            ] = body
            cluster.groups.put(
                _as(self.memory.put(resource, body), AnyObject)
            )  # the engine writes its status
        else:
            self._namespace(meta["namespace"])
            self.memory.put(resource, body)

    def _namespace(self, name: str) -> None:
        """Let objects be written there: whether the engine may is decided by what it was shown."""
        self.memory.put(NAMESPACES, {"metadata": {"name": name}})

    async def run(self) -> None:
        """Judge every template, oldest first, then every group with its users."""
        logging.getLogger("trimtab.engine").setLevel(logging.CRITICAL)  # verdicts are reported by the verb
        cluster, templates = self._engine.cluster, self._engine.templates
        for item in cluster.templates:
            self._namespace(item.metadata.namespace)
            for group in item.spec.get("groups") or ():
                self._namespace(group.get("targetNamespace") or item.metadata.namespace)
        for preference in cluster.preferences:
            self._namespace(preference.namespace)
        for item in sorted(cluster.templates, key=_age):
            judgement = await templates.judge(item.key)
            if judgement is not None:
                self.judged[item.key] = judgement
        if self.pinned:
            groups = self._engine.groups
            known = groups.assignments
            pinned = _Pinned(known.templates, known.policies, known.sources, known.revisions)
            groups.assignments = pinned
            groups.switcher = replace(groups.switcher, assignments=pinned)
        for item in sorted(cluster.templates, key=_age):
            self._rolled_out(TEMPLATE, item, self.judged.get(item.key))
        for item in sorted(cluster.rollouts, key=_age):
            await self._policy(item)
        for group in self.groups():
            cluster.everything(group)
            for _ in range(_PASSES):
                await self._engine.groups.reconcile(group)
                verdict = self._engine.groups.outcomes.get(group)
                lost = group not in self._engine.groups.states  # what it serves cannot be read
                if lost or not cluster.dirt.get(group) or (verdict is not None and verdict.ready == "False"):
                    break

    def _rolled_out(self, kind: str, item: AnyObject, judgement: Judgement | None) -> None:
        """A template's rollout is over."""
        accepted = judgement.accepted if judgement is not None else None
        if accepted is not None and item.spec.get("strategy") is not None:
            hashed = accepted.snapshot.removeprefix(f"{item.metadata.name}-")
            self._succeeded(kind, item, {"hash": hashed, "snapshot": accepted.snapshot})

    async def _policy(self, item: AnyObject) -> None:
        """Judge a policy; a valid one is in force."""
        engine = self._engine
        template = template_of(item)
        source = next(s for s in engine.sources.policies(template) if s.uid == item.metadata.uid)
        spec = await engine.specs.of(template, source)
        self.policies[item.key] = spec
        if spec.target is not None:
            self._succeeded(POLICY, item, spec.target.to_dict())

    def _succeeded(self, kind: str, item: AnyObject, stable: Body) -> None:
        self._count += 1
        meta = msgspec.structs.replace(item.metadata, resourceVersion=str(self._count))
        store = self._engine.sources.store(kind)
        store.put(AnyObject(meta, item.spec, {**item.status, "phase": "Succeeded", "stable": stable}))

    def groups(self) -> list[GroupKey]:
        """Every group that a template has or a preference names."""
        accepted = {
            GroupKey(*key, name): None
            for key, judgement in self.judged.items()
            if judgement.accepted is not None
            for name in judgement.accepted.schema.groups
        }
        named = sorted(self._engine.ownership.known_groups())
        return list(accepted | dict.fromkeys(named))

    # What it came to.

    def outputs(self) -> list[Body]:
        """ConfigMaps and Secrets as the operator would write them."""
        return [body for resource in OUTPUTS.values() for body in self.memory.objects(resource)]

    def template_verdict(self, key: TemplateKey) -> Verdict:
        """What the template's status would say."""
        failing = {
            group: verdict
            for group, verdict in self._engine.groups.outcomes.items()
            if group.template_key == key and verdict.ready == "False"
        }
        known = self.judged[key]
        if known.accepted is None:
            return known.verdict
        return ready_verdict(known.verdict, len(known.accepted.schema.groups), failing, pending=False)

    def preference_status(self, namespace: str, name: str) -> Body:
        """What the preference's status would be."""
        said = self._said.said.get(("UserPreference", namespace, name))
        if said is not None:
            return said
        return self._given[namespace, name]  # it says that already

    def verdict(self, preference: Preference) -> dict[str, str]:
        """``ready``, ``reason`` and ``message``: by the cluster's operator, or as it would say them."""
        meta = {"generation": preference.generation if self.live else 0}
        given = self._given[preference.key] if self.live else self.preference_status(*preference.key)
        return objects.verdict(meta, given)

    def group_verdict(self, key: GroupKey) -> dict[str, str]:
        """The same of a group, by the cluster's operator; empty where that was not looked at."""
        if not (self.live and self.seen):
            return {}
        body = self._groups.get(key, {})
        return objects.verdict(body.get("metadata") or {}, body.get("status") or {})

    def accepted(self, preference: Preference) -> Accepted | None:
        """What is in force of the preference while its spec is not."""
        return self._accepted[preference.key] if self.live else preference.accepted

    def preference(self, namespace: str, name: str) -> Preference | None:
        """The preference as it is now, with what is in force."""
        return self._engine.cluster.preferences.get(namespace, name)

    def preferences(self) -> Iterable[Preference]:
        return iter(self._engine.cluster.preferences)

    def claimants(self, template: TemplateKey, user: str) -> list[Preference]:
        """Who claims a user, the one that holds it first."""
        cluster = self._engine.cluster
        found = cluster.preferences.claimants(template, user)
        judgement = self._engine.templates.judged.get(template)
        if judgement is None or judgement.accepted is None:
            return list(found)
        holds = holder(cluster, judgement.accepted.schema, found)
        return sorted(found, key=lambda p: p is not holds)

    def view(self, key: GroupKey) -> GroupView | None:
        """The group as it is served; None if it is not."""
        state = self._engine.groups.states.get(key)
        return state.view if state is not None else None


def _age(item: AnyObject) -> tuple[str, str]:
    return item.metadata.creationTimestamp or "", item.metadata.uid


def _as(body: Body, kind: type[Any]) -> Any:
    return msgspec.json.decode(msgspec.json.encode(body), type=kind, strict=False)
