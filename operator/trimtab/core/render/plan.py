"""Desired against observed: the writes that make them equal, and nothing else.

Law: planning again after the writes gives no writes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from trimtab.core import naming
from trimtab.core.refs import Ref


@dataclass(frozen=True, slots=True)
class Desired:
    """An output as it should be: ``data`` as clear text, ``labels`` that it must carry among others, and the ``uid``
    of the object that was left in its place, where it is known."""

    ref: Ref
    data: Mapping[str, str]
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    uid: str = ""


@dataclass(slots=True)
class Observed:
    """An output as the cluster has it. ``data`` of a Secret is decoded; ``strange`` says that it holds something
    (binary data, say) that no output of ours ever has, ``locked`` that the API server lets nobody change its data
    (``immutable``) or its type. ``applied``: a manager of this name has applied it, which anyone can do.
    """

    ref: Ref
    uid: str
    version: int
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    data: Mapping[str, str]
    strange: bool = False
    locked: bool = False
    applied: bool = False
    seen: int = 0
    created: str = ""


@dataclass(frozen=True, slots=True)
class Apply:
    """Write ``desired``; over ``observed`` exactly, or where nothing is yet (None)."""

    desired: Desired
    observed: Observed | None
    drift: bool
    """The object had been what we wrote, and somebody else changed it."""


@dataclass(frozen=True, slots=True)
class Delete:
    observed: Observed


Write = Apply | Delete


def differs(desired: Desired, observed: Observed) -> bool:
    """Whether the cluster's object needs a write."""
    return (
        observed.strange
        or observed.locked
        or observed.data != desired.data
        or any(
            observed.annotations.get(name) != desired.annotations[name]
            for name in (naming.ANNOTATION_MARK, naming.ANNOTATION_USER)
            if name in desired.annotations
        )
        or any(observed.labels.get(name) != value for name, value in desired.labels.items())
    )


def plan(
    desired: Mapping[Ref, Desired],
    observed: Mapping[Ref, Observed],
    last: Mapping[Ref, Desired] | None = None,
) -> list[Write]:
    """The writes, deletions last.

    ``last`` is what was written before: an object that is not as we left it has drifted.
    """
    writes: list[Write] = []
    for ref, want in desired.items():
        have = observed.get(ref)
        if have is None:
            writes.append(Apply(want, None, drift=bool(last and ref in last)))
        elif differs(want, have):
            left = last.get(ref) if last else None
            writes.append(Apply(want, have, drift=left is not None and differs(left, have)))
        else:
            have.data = want.data  # equal, so one copy in memory is enough
    writes += [Delete(have) for ref, have in observed.items() if ref not in desired]
    return writes
