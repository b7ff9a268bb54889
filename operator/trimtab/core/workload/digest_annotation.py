"""The configuration that a pod uses: the annotation ``trimtab.dev/digest`` of a pod template.

It is one digest if one group lists the workload, and ``free:3f9a…;paid:77b0…`` if several groups of a template list
it, which restart the same pods: each of them writes its own part and requires no other. Both forms are equivalent, as
groups start and stop listing a workload wave by wave, and a change of the form must not restart it.
"""

from __future__ import annotations

from collections.abc import Collection

_GROUP, _NEXT = ":", ";"


def mark(digest: str, group: str) -> str:
    """The part of the annotation that a group requires."""
    return f"{group}{_GROUP}{digest}"


def carries(annotation: str | None, wanted: str) -> bool:
    """Whether the annotation contains the part that a group requires."""
    return annotation is not None and (wanted in annotation.split(_NEXT) or annotation == _digest(wanted))


def marked(annotation: str | None, wanted: str, others: Collection[str] = (), *, shared: bool) -> str:
    """The annotation with the part that a group requires. If the workload is ``shared``, the parts of other groups are
    kept; ``others`` are the parts that they require, which identify the group of a digest without one."""
    if not shared:
        return _digest(wanted)
    parts = [part for part in (annotation or "").split(_NEXT) if _GROUP in part]
    parts = parts or [other for other in others if _digest(other) == annotation]
    by_group = dict(part.split(_GROUP, 1) for part in (*parts, wanted))
    return _NEXT.join(f"{group}{_GROUP}{digest}" for group, digest in sorted(by_group.items()))


def _digest(mark: str) -> str:
    return mark.rpartition(_GROUP)[2]
