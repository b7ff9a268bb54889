"""The content that each group should have, computed from specs and statuses with only the pure core.

It knows nothing of the engine. What a rollout's progress means for a group is in ``rollout_meaning``.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from support.rollout_meaning import Body, RolloutSource, Word
from trimtab.api.config_template import ConfigTemplateSpec
from trimtab.api.policy_rollout import PolicyRolloutSpec
from trimtab.api.unsupported import not_supported
from trimtab.core import naming
from trimtab.core.policy.fit import within
from trimtab.core.policy.policy import Policy, compile_policy, in_scope
from trimtab.core.render.render import render_group
from trimtab.core.resolve import snapshot
from trimtab.core.resolve.resolve import GroupView, document_problems, group_view
from trimtab.core.rollout.strategy import compile_strategy
from trimtab.core.rollout.user_share import position_of
from trimtab.core.schema.template import Schema, compile_template
from trimtab.core.violations import RejectedError
from trimtab.crypto import Keys

Objects = Callable[[str], list[Body]]
"""All objects of a kind, by its name."""
Key = tuple[str, str]
Group = tuple[str, str, str]
Parts = tuple[str, tuple[Key, ...]]
"""A template's snapshot, and (policy, snapshot) by name."""
Policies = list[tuple[str, PolicyRolloutSpec]]
POLICY, TEMPLATE = "PolicyRollout", "ConfigTemplate"


def key_of(item: Body) -> Key:
    return item["metadata"]["namespace"], item["metadata"]["name"]


def accepted(name: str, spec: Body, policies: Policies = []) -> Schema | None:  # noqa: B006 - never changed
    """The schema of a template's spec that may be served together with these policies, else None."""
    try:
        schema, strategy = _compiled(name, json.dumps(spec, sort_keys=True))
        over = [compile_policy(policy, within(said, schema), schema) for policy, said in policies]
        if strategy is not None:
            compile_strategy(strategy, labels_of(schema, schema.groups))
    except (ValidationError, RejectedError, NotImplementedError):
        return None
    for group in schema.groups:
        view = group_view(schema, group, [policy for policy in over if group in policy.groups])
        if render_group(view).violations or (over and document_problems(view)):
            return None
    return schema


@functools.lru_cache(256)
def _compiled(name: str, spec: str) -> tuple[Schema, Any]:
    model = ConfigTemplateSpec.model_validate(json.loads(spec))
    if not_supported(model):
        raise NotImplementedError
    return compile_template(name, model), model.strategy


def fitting(name: str, spec: PolicyRolloutSpec, schema: Schema) -> Policy | None:
    """The policy without what has no valid place in that template; None if nothing is left of it."""
    for _ in range(2):
        try:
            return compile_policy(name, spec, schema)
        except RejectedError as error:
            wrong = {violation.key for violation in error.violations}
        said, known = spec.policy, schema.keys.keys() - wrong
        said = said.model_copy(
            update={
                "values": {key: value for key, value in said.values.items() if key in known},
                "enforced": [entry for entry in said.enforced if entry.key in known],
                "constraints": [entry for entry in said.constraints if entry.key in known],
            }
        )
        groups = spec.groups and [group for group in spec.groups if group in schema.groups]
        spec = spec.model_copy(update={"policy": said, "groups": groups})
    return None


@dataclass(frozen=True)
class Serving:
    """What a group serves, and what the share of its users that is ahead of it does."""

    view: GroupView
    ahead: GroupView | None = None
    belongs: Callable[[str], bool] = bool

    def of(self, user: str) -> GroupView:
        return self.ahead if self.ahead is not None and self.belongs(user) else self.view


class Reading:
    """All templates, policies, pointers and snapshots at one time. ``problems``: what should not be."""

    def __init__(self, objects: Objects, keys: Keys | None = None) -> None:
        self.keys = keys
        self.problems: list[str] = []
        self.templates = {key_of(item): item for item in objects(TEMPLATE)}
        self.policies: dict[Key, list[RolloutSource]] = {}
        for item in sorted(objects(POLICY), key=key_of):
            template = (item["metadata"]["namespace"], item["spec"]["templateRef"]["name"])
            self.policies.setdefault(template, []).append(RolloutSource(POLICY, item))
        self.pointers: dict[Group, Body] = {
            (i["metadata"]["namespace"], i["spec"]["templateRef"]["name"], i["spec"]["group"]): i.get(
                "status"
            )
            or {}
            for i in objects("RenderedGroup")
        }
        self.snapshots = {key_of(item): item["data"] for item in objects("ControllerRevision")}
        self.live = {key: self._live(key) for key in self.templates}

    # Content.

    def _sealed(self, data: Body) -> Any:
        return self.keys.open(data["sealed"]) if self.keys is not None and "sealed" in data else []

    def template_content(self, namespace: str, name: str) -> Body | None:
        data = self.snapshots.get((namespace, name))
        return snapshot.join(data["spec"], self._sealed(data)) if data and "spec" in data else None

    def joined(self, data: Body) -> Body:
        """A policy's content as it was written."""
        return snapshot.join_policy(data["policy"], self._sealed(data))

    def policy_content(self, namespace: str, name: str | None) -> PolicyRolloutSpec | None:
        data = self.snapshots.get((namespace, name or ""))
        return PolicyRolloutSpec.model_validate(self.joined(data)) if data and "policy" in data else None

    def schema(self, template: Key, name: str | None) -> Schema | None:
        content = self.template_content(template[0], name) if name else None
        return None if content is None else _compiled(template[1], json.dumps(content, sort_keys=True))[0]

    def _live(self, key: Key) -> Schema | None:
        """The template as it is written now, if it goes together with what its policies came to last."""
        found = [(s.name, self.policy_content(key[0], s.stable)) for s in self.policies.get(key, ())]
        return accepted(key[1], self.templates[key]["spec"], [(n, p) for n, p in found if p is not None])

    # What is served.

    def serving(self) -> Iterator[tuple[Group, Serving]]:
        """Every group that should be there."""
        for key in self.templates:
            schemas = [self.live[key]]
            source = self.source(key)
            if source is not None:
                schemas += [self.schema(key, source.stable), self.schema(key, source.target)]
            names = {name for schema in schemas if schema for name in schema.groups}
            names |= {group[2] for group in self.pointers if group[:2] == key}
            for name in sorted(names):
                found = self._group((*key, name), source)
                if found is not None:
                    yield (*key, name), found

    def _group(self, group: Group, template: RolloutSource | None) -> Serving | None:
        now, then, share = self.pointed(group)
        policies = self.policies.get(group[:2], [])
        percent = int(share.get("percent") or 0)
        first, *others = self._template_words(group, template, policies, (now, then, percent))
        choices: list[tuple[Word, dict[str, Word]]] = [(word, {}) for word in (first, *others)]
        for policy in policies:
            words = policy.words(group[2], percent)
            choices = [(t, {**p, policy.name: word}) for t, p in choices for word in words]
        wanted = [self._parts(group, t, p) for t, p in choices]
        if (now, then, percent if then else 0) not in wanted:
            self.problems.append(
                f"group {group}: is on {now}, {percent}% on {then}; expected one of {wanted}"
            )
        parts, moved, percent = (
            (now, then, percent) if (now, then, percent if then else 0) in wanted else wanted[0]
        )
        view = self._view(group, parts)
        if view is None:
            return None
        movers = [s for s in (*([template] if template else ()), *policies) if s.plans(group[2])]
        status = self.pointers.get(group) or {}
        rendered = any((c["type"], c["status"]) == ("Ready", "True") for c in status.get("conditions") or ())
        if not movers and rendered and status.get("stableRevision") != status.get("currentRevision"):
            self.problems.append(
                f"group {group} stands on {status.get('currentRevision')}, which is not stable"
            )
        uid = movers[0].body["metadata"]["uid"] if movers else (status.get("operation") or {}).get("uid", "")

        def belongs(user: str) -> bool:
            assert self.keys is not None
            digest = self.keys.unbound({"seed": uid, "user": user})
            return user == share.get("first") or position_of(digest) * 100 < percent

        return Serving(view, self._view(group, moved) if moved else None, belongs)

    def _template_words(
        self,
        group: Group,
        template: RolloutSource | None,
        policies: list[RolloutSource],
        present: tuple[Parts | None, Parts | None, int],
    ) -> list[Word]:
        """What it is of the template: by its strategy, or what is written now, unless that is refused or a rollout of
        a policy keeps the group as it is."""
        live = self.live[group[:2]]
        now, then, percent = present
        if template is not None and template.progress.stable is not None:
            # A strategy may have come while groups moved; while the spec is refused they stay where they are.
            stays = [Word(now[0])] if live is None and now is not None else []
            return [*template.words(group[2], percent), *stays]
        if template is not None and live is not None:
            self.problems.append(f"template {group[:2]} has a strategy, and nothing is stable")
        if now is not None and (live is None or any(policy.plans(group[2]) for policy in policies)):
            stays = [Word(now[0], then[0], percent)] if then is not None and then[0] != now[0] else []
            return [*stays, Word(now[0])]
        return [Word(self._named(group[:2]) if live is not None else None)]

    def _named(self, key: Key) -> str | None:
        """The snapshot of what is written now."""
        content = snapshot.content(self.templates[key]["spec"])
        mine = [(ns, n) for ns, n in self.snapshots if ns == key[0] and naming.stem_and_hash(n)[0] == key[1]]
        found = (n for ns, n in mine if self.template_content(ns, n) == content)
        return next(found, "(no snapshot)")

    def pointed(self, group: Group) -> tuple[Parts | None, Parts | None, Body]:
        """What the group's RenderedGroup says: its parts, those of a share of its users, and the share."""
        status = self.pointers.get(group) or {}
        share: Body = status.get("share") or {}
        listed = {entry["number"]: entry for entry in status.get("revisions") or ()}

        def parts(number: Any) -> Parts | None:
            if number not in listed:
                return None
            policies = sorted((p["name"], p["snapshot"]) for p in listed[number].get("policies") or ())
            return listed[number]["snapshot"], tuple(policies)

        return parts(status.get("currentRevision")), parts(share.get("revision")), share

    def _parts(
        self, group: Group, template: Word, policies: Mapping[str, Word]
    ) -> tuple[Parts | None, Parts | None, int]:
        percent = max(word.percent for word in (template, *policies.values()))
        base = self._covering(group, template.base, {n: w.base for n, w in policies.items()})
        ahead = self._covering(group, template.moved, {n: w.moved for n, w in policies.items()})
        return (base, None, 0) if not percent or ahead == base or base is None else (base, ahead, percent)

    def _covering(
        self, group: Group, template: str | None, policies: Mapping[str, str | None]
    ) -> Parts | None:
        """Only what is for this group; None if the template has no such group."""
        schema = self.schema(group[:2], template)
        if template is None or schema is None or group[2] not in schema.groups:
            return None
        found = []
        for name, held in sorted(policies.items()):
            spec = self.policy_content(group[0], held)
            if held is not None and spec is None:
                self.problems.append(f"snapshot {held} of policy {name} is gone")
            if held is not None and spec is not None and in_scope(spec, schema.groups[group[2]].spec):
                found.append((name, held))
        return template, tuple(found)

    def _view(self, group: Group, parts: Parts | None) -> GroupView | None:
        schema = self.schema(group[:2], parts[0]) if parts else None
        if parts is None or schema is None:
            return None
        specs = [(name, self.policy_content(group[0], held)) for name, held in parts[1]]
        policies = [fitting(name, spec, schema) for name, spec in specs if spec is not None]
        return group_view(schema, group[2], [policy for policy in policies if policy is not None])

    def source(self, key: Key) -> RolloutSource | None:
        """The template as a rollout."""
        rolls = self.templates[key]["spec"].get("strategy") is not None
        return RolloutSource(TEMPLATE, self.templates[key]) if rolls else None


def labels_of(schema: Schema, names: Iterable[str]) -> dict[str, Mapping[str, str]]:
    return {name: schema.groups[name].spec.labels for name in names}
