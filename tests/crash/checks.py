"""The laws of a rollout, checked against every change of a namespace's objects, in order.

:mod:`crash.serving` looks at what is served when, :mod:`crash.history` at what is told of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from crash.history import History
from crash.journal import Change
from crash.serving import Serving
from crash.state import SOAK_AGAIN
from trimtab.core import naming


@dataclass
class Facts:
    """What an undisturbed run and a disturbed one have in common, though it is in no object's final state.

    ``restarts``: each workload's digests, one after the other. ``told``: each rollout's transitions, soaks that
    started again left out. ``broken``: the laws that did not hold.
    """

    restarts: dict[str, list[str]] = field(default_factory=dict)
    told: dict[str, list[str]] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)

    def differences(self, other: Facts) -> list[str]:
        """What ``other`` did otherwise, and the laws that it broke."""
        pairs = (("restarts", self.restarts, other.restarts), ("transitions", self.told, other.told))
        return [f"{what}: {a} became {b}" for what, a, b in pairs if a != b] + other.broken


def examine(changes: list[Change], begin: int) -> Facts:
    """``begin``: the version at which the scene was set; what is served there is what it begins with."""
    facts = Facts()
    serving, history = Serving(begin, facts.broken), History(facts.broken)
    for change in changes:
        for watcher in (serving, history):
            look = getattr(watcher, f"see_{change.kind.lower()}", None)
            if look is not None:
                look(change)
        if change.kind == "Deployment":
            _restart(facts.restarts, change)
    history.end()
    facts.told = {
        label: [reason for reason in reasons if reason not in SOAK_AGAIN]
        for label, reasons in history.told.items()
    }
    return facts


def _restart(restarts: dict[str, list[str]], change: Change) -> None:
    annotations = change.body["spec"]["template"]["metadata"].get("annotations") or {}
    listed = restarts.setdefault(change.name, [])
    digest = annotations.get(naming.ANNOTATION_DIGEST, "")
    if not listed or listed[-1] != digest:
        listed.append(digest)
