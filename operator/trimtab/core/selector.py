"""Kubernetes label selectors (https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from trimtab.api.meta import LabelSelector


def selects(selector: LabelSelector, labels: Mapping[str, str]) -> bool:
    """Whether ``labels`` satisfy every requirement; an empty selector selects everything."""
    return chooser(selector)(labels)


def chooser(selector: LabelSelector) -> Callable[[Mapping[str, str]], bool]:
    """:func:`selects` for many mappings of labels: at most 20 look-ups each, however many values there are."""
    wanted = dict(selector.match_labels or {}).items()
    rules = [(r.key, r.operator, frozenset(r.values)) for r in selector.match_expressions or ()]

    def chooses(labels: Mapping[str, str]) -> bool:
        if any(labels.get(name) != value for name, value in wanted):
            return False
        return all(_holds(operator, labels.get(key), values) for key, operator, values in rules)

    return chooses


def _holds(operator: str, value: str | None, values: frozenset[str]) -> bool:
    if operator in ("Exists", "DoesNotExist"):
        return (value is None) == (operator == "DoesNotExist")
    return (value in values) == (operator == "In")
