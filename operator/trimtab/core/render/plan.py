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
    """A desired output: ``data`` as clear text, ``labels`` that it must have among others, and the ``uid`` of the
    object that was last written there, if known."""

    ref: Ref
    data: Mapping[str, str]
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    uid: str = ""


@dataclass(slots=True)
class Observed:
    """An output in the cluster. ``data`` of a Secret is decoded. ``has_foreign_data``: it contains data that Trimtab
    never writes, for example binary data. ``is_immutable``: the API server allows no change of its data (``immutable``)
    or its type. ``applied``: a field manager of Trimtab's name has applied it, which any client can do.
    """

    ref: Ref
    uid: str
    version: int
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    data: Mapping[str, str]
    has_foreign_data: bool = False
    is_immutable: bool = False
    applied: bool = False
    seen: int = 0
    created: str = ""


@dataclass(frozen=True, slots=True)
class Apply:
    """Write ``desired``; over exactly ``observed``, or create it (None)."""

    desired: Desired
    observed: Observed | None
    drift: bool
    """Another client changed or deleted the object after Trimtab wrote it."""


@dataclass(frozen=True, slots=True)
class Delete:
    observed: Observed


Write = Apply | Delete


def differs(desired: Desired, observed: Observed) -> bool:
    """Whether the cluster's object needs a write."""
    return (
        observed.has_foreign_data
        or observed.is_immutable
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

    ``last`` is what Trimtab wrote last: an object that differs from it has drifted.
    """
    left = last or {}
    refs = [*desired, *(ref for ref in observed if ref not in desired)]
    writes = (plan_one(desired.get(ref), observed.get(ref), left.get(ref)) for ref in refs)
    return [write for write in writes if write is not None]


def plan_one(want: Desired | None, have: Observed | None, last: Desired | None) -> Write | None:
    """The write for one object; None if it is as it should be. ``last`` is what was written there before."""
    if want is None:
        return Delete(have) if have is not None else None
    if have is None:
        return Apply(want, None, drift=last is not None)
    if differs(want, have):
        return Apply(want, have, drift=last is not None and differs(last, have))
    have.data = want.data  # equal, so one copy in memory is enough
    return None
