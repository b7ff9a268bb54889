"""Which templates list a workload: of several, the oldest restarts it, and all report that.

Two templates that both annotated one workload would restart it forever, each replacing the other's annotation. Which
one restarts it follows from the templates' specs and revisions in effect, so it is the same after a restart of the
operator, and only one is left once the other no longer lists the workload.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from trimtab.core.objects import AnyObject
from trimtab.core.refs import Ref, TemplateKey


@dataclass(slots=True)
class Listings:
    """What the specs of all templates list, whether they are valid or not."""

    _of: dict[TemplateKey, frozenset[Ref]] = field(default_factory=dict)
    _by: dict[Ref, dict[TemplateKey, str]] = field(default_factory=dict)
    """workload -> the templates that list it, with when each was created"""

    def put(self, key: TemplateKey, item: AnyObject | None) -> set[TemplateKey]:
        """Store a template, None if it was deleted; returns the others that list what it lists or listed."""
        before, now = (
            self._of.pop(key, frozenset()),
            frozenset(_listed(item)) if item is not None else frozenset(),
        )
        for workload in before:
            self._by[workload].pop(key)
            if not self._by[workload]:
                del self._by[workload]
        if item is not None and now:
            self._of[key] = now
            for workload in now:
                self._by.setdefault(workload, {})[key] = item.metadata.creationTimestamp or ""
        return {other for workload in before | now for other in self._by.get(workload, {})} - {key}

    def by(self, workload: Ref) -> Iterable[TemplateKey]:
        """The templates whose specs list the workload."""
        return self._by.get(workload, {})

    def shared(self, key: TemplateKey) -> Iterator[Ref]:
        """The workloads of a template that others list as well."""
        return (workload for workload in self._of.get(key, ()) if len(self._by[workload]) > 1)

    def listing(self, workload: Ref, counts: Callable[[TemplateKey], bool]) -> list[TemplateKey]:
        """The templates that list the workload, of those that count, the oldest first: it restarts the workload."""
        found = self._by.get(workload, {})
        return (
            sorted(filter(counts, found), key=lambda key: (found[key], key))
            if len(found) > 1
            else list(found)
        )


def message_about(workload: Ref, key: TemplateKey, listing: list[TemplateKey]) -> str:
    """The message for one of several templates that list a workload. Templates of other namespaces are not named: the
    author may not know what is there."""

    def named(other: TemplateKey) -> str:
        return (
            f"ConfigTemplate {other}"
            if other.namespace == key.namespace
            else "a ConfigTemplate of another namespace"
        )

    others = ", ".join(dict.fromkeys(named(other) for other in listing if other != key))
    reason = f"{others} too, whose changes do not restart it, as ConfigTemplate {key} was created first"
    if listing[0] != key:
        reason = f"{named(listing[0])} too, which was created first: only its changes restart it"
    return f"{workload} is listed by {reason}. List it in one template only"


def _listed(item: AnyObject) -> Iterator[Ref]:
    """What a spec lists; what is malformed is left out, as its template is refused."""
    home = item.metadata.namespace
    for group in _dicts(item.spec.get("groups")):
        namespace = group.get("targetNamespace") or home
        for workload in _dicts(group.get("workloads")):
            kind, name = workload.get("kind"), workload.get("name")
            if isinstance(kind, str) and isinstance(name, str) and isinstance(namespace, str):
                yield Ref(kind, namespace, name)


def _dicts(found: Any) -> Iterator[dict[str, Any]]:
    return (each for each in (found if isinstance(found, list) else ()) if isinstance(each, dict))
