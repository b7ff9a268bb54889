"""Kubernetes label selectors (https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/)."""

from __future__ import annotations

from collections.abc import Mapping

from trimtab.api.meta import LabelSelector


def selects(selector: LabelSelector, labels: Mapping[str, str]) -> bool:
    """Whether ``labels`` satisfy every requirement; an empty selector selects everything."""
    if any(labels.get(name) != value for name, value in (selector.match_labels or {}).items()):
        return False
    for requirement in selector.match_expressions or ():
        value, present = labels.get(requirement.key), requirement.key in labels
        holds = {
            "In": present and value in requirement.values,
            "NotIn": not present or value not in requirement.values,
            "Exists": present,
            "DoesNotExist": not present,
        }[requirement.operator]
        if not holds:
            return False
    return True
