"""Verdicts to the conditions of a status, in kstatus' terms
(https://github.com/kubernetes-sigs/cli-utils/tree/master/pkg/kstatus): Ready, Reconciling, Stalled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from trimtab.core import reasons
from trimtab.core.text import plural, visible
from trimtab.core.violations import Fault, Notice, Violation, bounded, summary

TRUE, FALSE, UNKNOWN = "True", "False", "Unknown"
KEPT_LENGTH = 2048
"""The most characters of a message that ends with what stays in force."""

MESSAGE_LENGTH, TEXT_LENGTH, NAME_LENGTH = 32768, 1024, 256
"""The lengths that the CRDs allow for a condition's message, other messages, and names: the API server would reject a
status with longer text."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result for one object. ``ready`` is one of "True", "False" and "Unknown". ``cause`` is the message of a
    refusal in its parts, if they are known."""

    ready: str
    reason: str
    message: str
    violations: tuple[Violation, ...] = ()
    notices: tuple[Notice, ...] = ()
    cause: Fault | None = field(default=None, compare=False, repr=False)

    @property
    def fault(self) -> Fault:
        """Why the object is refused."""
        return self.cause or Fault(self.message, "")


def refused(
    reason: str,
    why: str | Fault,
    violations: tuple[Violation, ...] = (),
    notices: tuple[Notice, ...] = (),
    *,
    kept: str = "",
) -> Verdict:
    """``kept`` is what stays in force, for the end of the message."""
    message = f"{why} ({kept})"[:KEPT_LENGTH] if kept else str(why)
    cause = None if isinstance(why, str) else why
    return Verdict(FALSE, reason, message, bounded(violations), notices, cause)


def rejected(violations: Sequence[Violation]) -> Verdict:
    """The verdict on a spec with these violations."""
    found = tuple(violations)
    return refused(reasons.REJECTED, summary(found), found)


def unsupported(fields: Sequence[str]) -> Verdict:
    """The verdict on a spec that sets fields which this version does not support."""
    several = len(fields) > 1
    message = (
        f"{', '.join(fields)} {'are' if several else 'is'} not supported in this version of Trimtab; remove "
        f"{'them' if several else 'it'}. The spec accepted last stays in force"
    )
    return refused(reasons.NOT_SUPPORTED, message)


def accepted(notices: tuple[Notice, ...] = ()) -> Verdict:
    text = "the values are valid and in force"
    if notices:
        text += f", with {plural(len(notices), 'warning')}: {notices[0]}"
    return Verdict(TRUE, reasons.ACCEPTED, text[:TEXT_LENGTH], (), notices)


def conditions(verdict: Verdict, generation: int, now: str, before: Sequence[Any]) -> list[dict[str, Any]]:
    """The three conditions; a transition time changes only with its condition's status.

    ``before`` are the conditions in the cluster (mappings), ``now`` is RFC 3339 text.
    """
    old = {c["type"]: c for c in before}
    desired = (
        ("Ready", verdict.ready, verdict.reason, verdict.message),
        _abnormal("Reconciling", verdict.ready == UNKNOWN, verdict),
        _abnormal("Stalled", verdict.ready == FALSE, verdict),
    )
    made = []
    for kind, status, reason, message in desired:
        last = old.get(kind, {})
        since = last.get("lastTransitionTime") if last.get("status") == status else None
        made.append(
            {
                "type": kind,
                "status": status,
                "reason": reason,
                "message": visible(message[:MESSAGE_LENGTH])[:MESSAGE_LENGTH],
                "observedGeneration": generation,
                "lastTransitionTime": since or now,
            }
        )
    return made


def _abnormal(kind: str, holds: bool, verdict: Verdict) -> tuple[str, str, str, str]:
    if holds:
        return kind, TRUE, verdict.reason, verdict.message
    return kind, FALSE, verdict.reason, ""


def composed(
    before: Mapping[str, Any], verdict: Verdict, generation: int, now: str, fields: Mapping[str, Any]
) -> dict[str, Any]:
    """The status ``before`` with this verdict on this generation, and with ``fields``. What is None or an empty list is
    removed."""
    status = {
        **before,
        "observedGeneration": generation,
        "conditions": conditions(verdict, generation, now, before.get("conditions") or ()),
        **fields,
    }
    return {name: value for name, value in status.items() if value not in (None, [])}


def findings(verdict: Verdict) -> dict[str, Any]:
    """The verdict's violations and warnings as fields of status."""
    return {
        "violations": violation_fields(verdict.violations),
        "warnings": notice_fields(verdict.notices),
    }


def violation_fields(items: Sequence[Violation]) -> list[dict[str, str]]:
    """Violations for a status, without empty fields."""
    return [
        {
            k: v
            for k, v in (
                ("key", i.key[:NAME_LENGTH]),
                ("layer", i.layer[:NAME_LENGTH]),
                ("rule", i.rule[:NAME_LENGTH]),
                ("message", i.message[:TEXT_LENGTH]),
                ("nearest", i.nearest[:NAME_LENGTH]),
            )
            if v
        }
        for i in items
    ]


def notice_fields(items: Sequence[Notice]) -> list[dict[str, str]]:
    """Warnings for a status."""
    return [
        {"key": i.key[:NAME_LENGTH], "reason": i.reason, "message": i.message[:TEXT_LENGTH]}
        for i in items[:20]
    ]


def without_times(status: Mapping[str, Any]) -> dict[str, Any]:
    """A status without the times of its conditions, to compare."""
    conditions = [
        {**{k: v for k, v in c.items() if k != "lastTransitionTime"}, "message": c.get("message") or ""}
        for c in status.get("conditions") or ()
    ]
    return {**status, "conditions": conditions}
