"""What a cluster holds in the end, without what differs between any two runs: uids, moments, epochs, chance."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from support.live_objects import Body
from trimtab.core import naming

KINDS = (
    "ConfigTemplate", "PolicyRollout", "RolloutAction", "UserPreference", "RenderedGroup", "ControllerRevision",
    "ConfigMap", "Secret", "Deployment", "Event",
)  # fmt: skip
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
_UID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_POD = re.compile(r"pod ([a-z]+)-[0-9a-z]+-[0-9a-z]+:")
_RESTARTS = re.compile(r"after \d+ restarts?")
_OURS_BY_LABEL = ("ConfigMap", "Secret", "ControllerRevision")
_PROGRESS_BY_CHANCE = ("epoch", "checkedAt")
SOAK_AGAIN = ("SoakInterrupted", "SoakStarted")
"""A soak may start again after a crash, as often as that happens."""

State = dict[str, Any]
"""Each object's normal form, by kind and name; Events by what they say."""


def state(objects: Iterable[tuple[str, Body]], namespace: str) -> State:
    """Of all objects of a namespace that a rollout has to do with."""
    found: State = {}
    events: list[str] = []
    for kind, body in objects:
        meta = body["metadata"]
        labels = meta.get("labels") or {}
        if kind in _OURS_BY_LABEL and labels.get(naming.LABEL_MANAGED_BY) != naming.MANAGER:
            continue
        if kind == "Event":
            if (
                body.get("reportingComponent", "").startswith("trimtab.dev")
                and body["reason"] not in SOAK_AGAIN
            ):
                events.append(
                    f"{body['involvedObject']['name']} {body['type']} {body['reason']}: {body['message']}"
                )
            continue
        found[f"{kind} {meta['name']}"] = _normal(kind, body)
    found["Events"] = sorted(events)
    text = json.dumps(found, sort_keys=True).replace(namespace, "NAMESPACE")
    for pattern, common in (
        (_MOMENT, "MOMENT"),
        (_UID, "UID"),
        (_POD, r"pod of \1:"),
        (_RESTARTS, "after restarts"),
    ):
        text = pattern.sub(common, text)
    found = json.loads(text)
    return {**found, "Events": sorted(found["Events"])}


def differences(expected: State, got: State) -> list[str]:
    """One line for each place where they differ."""
    found: list[str] = []
    _compare("", expected, got, found)
    return found


def _normal(kind: str, body: Body) -> Body:
    meta = body["metadata"]
    status = dict(body.get("status") or {})
    notes = {k: v for k, v in (meta.get("annotations") or {}).items() if k != naming.ANNOTATION_MARK}
    made: Body = {"annotations": notes, "labels": meta.get("labels") or {}}
    if kind == "Deployment":
        template = body["spec"]["template"]["metadata"]
        return {"generation": meta["generation"], "digest": (template.get("annotations") or {})}
    if kind in ("ConfigMap", "Secret"):
        return {**made, "data": body.get("data") or {}, "owned": bool(meta.get("ownerReferences"))}
    if kind == "ControllerRevision":
        data = {k: v for k, v in body["data"].items() if k != "sealed"}  # a Fernet token differs each time
        return {**made, "data": data, "revision": body["revision"]}
    if kind == "RenderedGroup":
        status.pop("epoch", None)
        for part, chance in (("operation", "epoch"), ("share", "first")):
            if part in status:
                status[part] = {k: v for k, v in status[part].items() if k != chance}
    elif kind in ("PolicyRollout", "ConfigTemplate"):
        for name in _PROGRESS_BY_CHANCE:
            status.pop(name, None)
        told = [t for t in status.get("transitions") or () if t["reason"] not in SOAK_AGAIN]
        status["transitions"] = [{k: v for k, v in t.items() if k != "number"} for t in told]
    return {**made, "generation": meta["generation"], "spec": body.get("spec"), "status": status}


def _compare(where: str, expected: Any, got: Any, found: list[str]) -> None:
    if isinstance(expected, dict) and isinstance(got, dict):
        for name in sorted({*expected, *got}):
            _compare(f"{where}/{name}", expected.get(name), got.get(name), found)
    elif isinstance(expected, list) and isinstance(got, list):
        lost = [one for one in expected if one not in got]
        new = [one for one in got if one not in expected]
        if len(lost) == len(new) == 1:
            _compare(f"{where}/...", lost[0], new[0], found)
        elif lost or new:
            found.append(f"{where}: lost {_short(lost)}, got {_short(new)}")
        elif expected != got:
            found.append(f"{where}: {_short(expected)} became {_short(got)}")
    elif expected != got:
        found.append(f"{where}: {_short(expected)} became {_short(got)}")


def _short(value: Any) -> str:
    text = json.dumps(value, sort_keys=True)
    return text if len(text) < 600 else f"{text[:600]}..."
