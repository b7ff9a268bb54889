"""Objects as the cluster has them, their Ready condition, and what to report where one does not exist."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trimtab.core.suggestion import nearest
from trimtab.core.text import listed

Body = dict[str, Any]
NOT_OBSERVED, STALE = "NotObserved", "Stale"
"""Reasons of the command line: the operator has not observed the object, or not its latest generation."""
NOT_OBSERVED_MESSAGE = "the operator has not observed it; is `trimtab run` running?"
_STALE_MESSAGE = "the operator has not observed its latest generation"
_KEPT = ("labels", "annotations", "finalizers", "ownerReferences")


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object as the cluster has it."""

    body: Body
    kind: str

    @property
    def meta(self) -> Body:
        found: Body = self.body["metadata"]
        return found

    @property
    def namespace(self) -> str:
        return str(self.meta["namespace"])

    @property
    def name(self) -> str:
        return str(self.meta["name"])

    @property
    def generation(self) -> int:
        return int(self.meta.get("generation") or 0)

    @property
    def spec(self) -> Body:
        return self.body.get("spec") or {}

    @property
    def status(self) -> Body:
        return self.body.get("status") or {}

    @property
    def ready(self) -> Body:
        """The Ready condition, or an empty mapping."""
        return ready(self.status)

    @property
    def reference(self) -> dict[str, str]:
        return {"namespace": self.namespace, "name": self.name}

    def replacement(self, api_version: str, spec: Mapping[str, Any]) -> Body:
        """The object with another spec, for kubectl replace, which removes what the given metadata lacks."""
        meta = {"name": self.name, "namespace": self.namespace}
        meta |= {name: self.meta[name] for name in _KEPT if self.meta.get(name)}
        return {"apiVersion": api_version, "kind": self.kind, "metadata": meta, "spec": dict(spec)}

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


def ready(status: Mapping[str, Any]) -> Body:
    """The Ready condition of a status, or an empty mapping."""
    return next((dict(c) for c in status.get("conditions") or () if c.get("type") == "Ready"), {})


def verdict(meta: Mapping[str, Any], status: Mapping[str, Any]) -> dict[str, str]:
    """``ready``, ``reason`` and ``message`` of an object; Unknown if the operator has not observed its generation."""
    found = ready(status)
    if not found:
        return {"ready": "Unknown", "reason": NOT_OBSERVED, "message": NOT_OBSERVED_MESSAGE}
    if found.get("observedGeneration", status.get("observedGeneration", 0)) < meta.get("generation", 0):
        return {"ready": "Unknown", "reason": STALE, "message": _STALE_MESSAGE}
    return {"ready": found["status"], "reason": found["reason"], "message": found.get("message", "")}


def absent(what: str, name: str, where: str, known: Sequence[str]) -> str:
    """That an object does not exist, with the name that was probably meant, or the names that exist."""
    hint = nearest(name, known) or listed(sorted(set(known)), 5)
    more = f"there is {hint}" if hint else "use -n for another namespace"
    return f"there is no {what} {name} {where}; {more}"


def meant(name: str, known: Sequence[str], otherwise: str) -> str:
    """The name that was probably meant, as a question; ``otherwise`` if none is similar."""
    hint = nearest(name, known)
    return f"did you mean {hint}?" if hint else otherwise
