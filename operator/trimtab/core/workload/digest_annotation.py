"""Of which configuration a pod is: the annotation ``trimtab.dev/digest`` of a pod template.

It is one digest where one group lists the workload, and ``free:3f9a…;paid:77b0…`` where several groups of a template
do, which restart the same pods: each of them writes its own part and asks for no other. Either form will do, as groups
begin and end to list a workload wave by wave, and none is to restart it for the form alone.
"""

from __future__ import annotations

from collections.abc import Collection

_GROUP, _NEXT = ":", ";"


def mark(digest: str, group: str) -> str:
    """What a group asks of the annotation."""
    return f"{group}{_GROUP}{digest}"


def carries(annotation: str | None, wanted: str) -> bool:
    """Whether the annotation says so."""
    return annotation is not None and (wanted in annotation.split(_NEXT) or annotation == _digest(wanted))


def marked(annotation: str | None, wanted: str, others: Collection[str] = (), *, shared: bool) -> str:
    """The annotation once it says so. If the workload is ``shared``, the parts of other groups stay; ``others`` are
    what they ask for, by which a digest that stands alone is told to be one of theirs."""
    if not shared:
        return _digest(wanted)
    parts = [part for part in (annotation or "").split(_NEXT) if _GROUP in part]
    parts = parts or [other for other in others if _digest(other) == annotation]
    by_group = dict(part.split(_GROUP, 1) for part in (*parts, wanted))
    return _NEXT.join(f"{group}{_GROUP}{digest}" for group, digest in sorted(by_group.items()))


def _digest(mark: str) -> str:
    return mark.rpartition(_GROUP)[2]
