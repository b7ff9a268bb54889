"""Everything that the operator writes, held against the laws that hold at any time."""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Mapping
from typing import Any

from support.failing_writes import Flaky
from support.in_memory import Cluster
from trimtab.api import KINDS
from trimtab.api.config_template import ConfigTemplateStatus
from trimtab.api.meta import ResourceStatus, StatusModel
from trimtab.api.policy_rollout import PolicyRolloutStatus
from trimtab.api.rendered_group import RenderedGroupStatus
from trimtab.api.rollout_status import RolloutProgress
from trimtab.api.user_preference import UserPreferenceStatus
from trimtab.core import naming
from trimtab.core.rollout import queries
from trimtab.crd import structural
from trimtab.kube.port import Body
from trimtab.kube.resources import CONFIG_TEMPLATES, POLICY_ROLLOUTS, RENDERED_GROUPS, SECRETS, Resource

CANARY = "canary"
SCHEMAS = {model.info.kind: structural(model)["properties"].get("status", {}) for model in KINDS}
MODELS: dict[str, type[StatusModel]] = {
    "ConfigTemplate": ConfigTemplateStatus,
    "PolicyRollout": PolicyRolloutStatus,
    "RenderedGroup": RenderedGroupStatus,
    "RolloutAction": ResourceStatus,
    "UserPreference": UserPreferenceStatus,
}
SOURCES = {"PolicyRollout": POLICY_ROLLOUTS, "ConfigTemplate": CONFIG_TEMPLATES}


class Listener(logging.Handler):
    """Hears the whole log; ``shown`` are the lines with a sensitive value in them."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.shown: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if CANARY in str(vars(record)):
            self.shown.append(str(vars(record)))


class Witness(Flaky):
    """``broken``: the laws that did not hold, each with what broke it."""

    def __init__(self, cluster: Cluster, chance: random.Random) -> None:
        super().__init__(cluster, chance)
        self.broken: list[str] = []
        self._cluster = cluster
        self._progress: dict[str, RolloutProgress] = {}
        self._revisions: dict[str, dict[int, object]] = {}

    def wrote(self, resource: Resource, answer: Body | None) -> None:
        if answer is None:
            return
        name = f"{resource.kind} {answer['metadata']['name']}"
        said = answer if resource.kind not in SCHEMAS else answer.get("status") or {}
        if resource is not SECRETS and CANARY in json.dumps(said):
            self._tell(f"{name} shows a sensitive value: {said}")
        if resource.kind in SCHEMAS:
            status = answer.get("status") or {}
            MODELS[resource.kind].model_validate(status)
            self.broken += [f"{name}: {wrong}" for wrong in misfits(SCHEMAS[resource.kind], status, "status")]
        if resource.kind in SOURCES:
            self._rollout(name, answer)
        if resource is RENDERED_GROUPS:
            self._group(name, answer)

    def _tell(self, what: str) -> None:
        self.broken.append(what)

    def _rollout(self, name: str, body: Body) -> None:
        """Its progress as it was and as it is: what stands still does not advance, numbers only grow."""
        uid = body["metadata"]["uid"]
        before = self._progress.get(uid, RolloutProgress())
        after = self._progress[uid] = RolloutProgress.model_validate(body.get("status") or {})
        if after.phase is None:
            return  # its strategy was taken away
        paused = (body["spec"].get("strategy") or {}).get("paused") or (before.halt and after.halt)
        if paused and _advanced(before, after):
            self._tell(f"{name} is paused, and advanced from {_stand(before)} to {_stand(after)}")
        if (after.epoch or 0) < (before.epoch or 0):
            self._tell(f"{name}: its epoch fell from {before.epoch} to {after.epoch}")
        bad = {entry.hash for entry in after.quarantine}
        if after.stable is not None and after.stable.hash in bad:
            self._tell(f"{name}: what is stable is in quarantine")
        if after.phase == "RolledBack":
            for group in self._cluster.memory.objects(RENDERED_GROUPS):
                self._quarantined(group)

    def _group(self, name: str, body: Body) -> None:
        """A revision is one content for ever, and what it is on is listed."""
        status, uid = body.get("status") or {}, body["metadata"]["uid"]
        listed = {entry["number"]: _parts(entry) for entry in status.get("revisions") or ()}
        if len(set(map(str, listed.values()))) < len(listed):
            self._tell(f"{name}: two revisions have the same content: {listed}")
        known = self._revisions.setdefault(uid, {})
        for number, parts in listed.items():
            if known.setdefault(number, parts) != parts:
                self._tell(f"{name}: revision {number} was {known[number]} and is {parts}")
        share = status.get("share") or {}
        for number in (status.get("currentRevision"), status.get("stableRevision"), share.get("revision")):
            if number is not None and number not in listed:
                self._tell(f"{name} is on revision {number}, which it does not list")
        self._quarantined(body)

    def _quarantined(self, group: Body) -> None:
        """After RolledBack no quarantined content is served."""
        status, place = group.get("status") or {}, group["metadata"]["namespace"]
        numbers = {status.get("currentRevision"), (status.get("share") or {}).get("revision")}
        for entry in status.get("revisions") or ():
            if entry["number"] not in numbers:
                continue
            template = group["spec"]["templateRef"]["name"]
            served = {("ConfigTemplate", template): entry["snapshot"]}
            served |= {("PolicyRollout", p["name"]): p["snapshot"] for p in entry.get("policies") or ()}
            for (kind, name), held in served.items():
                source = self._cluster.find(SOURCES[kind], name, place) or {}
                said = source.get("status") or {}
                if kind == "ConfigTemplate" and not self.calm:
                    continue  # its strategy may be taken away, which moves its groups at once, and come back
                bad = {_held(kind, name, q["hash"]) for q in said.get("quarantine") or ()}
                if said.get("phase") == "RolledBack" and held in bad:
                    self._tell(f"{group['metadata']['name']} serves {held} of {name}, which is in quarantine")


def _held(kind: str, name: str, hashed: str) -> str:
    snapshot = naming.snapshot_object if kind == "ConfigTemplate" else naming.policy_snapshot
    return snapshot(name, hashed)


def _parts(entry: Body) -> object:
    return entry["snapshot"], sorted((p["name"], p["snapshot"]) for p in entry.get("policies") or ())


def _advanced(before: RolloutProgress, after: RolloutProgress) -> bool:
    if after.underway != "Forward":
        return False
    again = before.attempt != after.attempt
    return again or len(queries.started(after)) > len(queries.started(before))


def _stand(progress: RolloutProgress) -> str:
    return f"{progress.phase} attempt {progress.attempt} wave {progress.current_wave} {progress.wave_state}"


def misfits(schema: Mapping[str, Any], value: Any, path: str) -> list[str]:
    """Why the API server would refuse a value: types, bounds, required fields, entries that are twice in a list."""
    kinds = {
        "object": dict,
        "array": list,
        "string": str,
        "integer": int,
        "number": (int, float),
        "boolean": bool,
    }
    kind = schema.get("type")
    if kind and not isinstance(value, kinds[kind]):
        return [f"{path} is no {kind}: {value!r}"]
    size = len(value) if isinstance(value, dict | list | str) else 0
    limit = schema.get({"object": "maxProperties", "array": "maxItems"}.get(str(kind), "maxLength"))
    found = [f"{path} is longer than {limit}"] if limit is not None and size > limit else []
    if "enum" in schema and value not in schema["enum"]:
        found.append(f"{path} is {value!r}")
    if isinstance(value, int | float) and not schema.get("minimum", value) <= value <= schema.get(
        "maximum", value
    ):
        found.append(f"{path} is {value}")
    if isinstance(value, dict):
        known = schema.get("properties") or {}
        found += [f"{path}.{name} is missing" for name in schema.get("required") or () if name not in value]
        for name, inner in value.items():
            found += misfits(
                known.get(name) or schema.get("additionalProperties") or {}, inner, f"{path}.{name}"
            )
    if isinstance(value, list):
        for number, inner in enumerate(value):
            found += misfits(schema.get("items") or {}, inner, f"{path}[{number}]")
        keys = schema.get("x-kubernetes-list-map-keys")
        marks = [json.dumps([v.get(k) for k in keys] if keys else v) for v in value]
        if schema.get("x-kubernetes-list-type") in ("set", "map") and len(set(marks)) < len(marks):
            found.append(f"{path} has an entry twice: {marks}")
    return found
