"""Which objects are of Trimtab, by kind, apiVersion and List, and what is wrong with those that nearly are."""

from __future__ import annotations

from typing import Any

from trimtab.api import API_VERSION, GROUP
from trimtab.core.suggestion import nearest
from trimtab.core.violations import Fault, Violation

SERVED = ("ConfigTemplate", "UserPreference", "PolicyRollout", "RenderedGroup", "RolloutAction")
NESTED = Fault("is a List within a List, which kubectl rejects", "move its items to the outer List")


def is_list(body: dict[str, Any]) -> bool:
    kind = str(body.get("kind"))
    return (kind.endswith("List") or kind == "list") and isinstance(body.get("items"), list)


def is_ours(body: Any) -> bool:
    """Whether it is an object of Trimtab, or a List that contains one."""
    if not isinstance(body, dict):
        return False
    return str(body.get("apiVersion")).startswith(f"{GROUP}/") or (
        is_list(body)
        and any(isinstance(each, dict) and is_ours({**each, "items": ()}) for each in body["items"])
    )


def list_fault(body: dict[str, Any]) -> Fault | None:
    """Why kubectl rejects all items of a List; None if it accepts them."""
    version, kind = str(body.get("apiVersion") or ""), str(body["kind"])
    if (version, kind) == ("v1", "List") or (version == API_VERSION and kind.removesuffix("List") in SERVED):
        return None
    of = f"a {kind[:60]} of {version[:60]}" if version else f"a {kind[:60]} without apiVersion"
    return Fault(f"is in {of}, which kubectl rejects", "set apiVersion: v1 and kind: List")


def group_of(version: str) -> str:
    return version.split("/")[0]


def is_meant(version: str, kind: str) -> bool:
    """Whether an object is one of Trimtab, or would be with another apiVersion: its version is unknown, or its group is
    similar or missing."""
    if group_of(version) == GROUP:
        return True
    known = kind.casefold() in {each.casefold() for each in SERVED}
    return known and ("/" not in version or nearest(group_of(version), [GROUP]) == GROUP)


def header_violations(body: dict[str, Any]) -> list[Violation]:
    version, kind = body["apiVersion"], body["kind"]
    found = []
    if kind not in SERVED:
        problem, hint = f"{kind[:60]} is not a kind of {GROUP}", nearest(kind, SERVED)
        found.append(Violation("kind", "object", "kind", problem, hint, remedy="correct it"))
    if version != API_VERSION:
        problem = f"{version[:60]} is not served"
        found.append(Violation("apiVersion", "object", "apiVersion", problem, remedy=f"set {API_VERSION}"))
    return found


def is_namespace(body: dict[str, Any]) -> bool:
    """Whether it is a Namespace of the core API."""
    return (body.get("apiVersion"), body.get("kind")) == ("v1", "Namespace")
