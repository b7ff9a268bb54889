"""Of which configuration a pod is: the annotation ``trimtab.dev/digest`` of a pod template.

It is one digest where one group lists the workload, and ``free:3f9a…;paid:77b0…`` where several groups of a template
do, which restart the same pods: each of them writes its own part and asks for no other.
"""

from __future__ import annotations

from collections.abc import Mapping

_GROUP, _NEXT = ":", ";"


def mark(digest: str, group: str, *, shared: bool) -> str:
    """What a group asks of the annotation."""
    return f"{group}{_GROUP}{digest}" if shared else digest


def carries(annotation: str | None, wanted: str) -> bool:
    """Whether the annotation says so."""
    if _GROUP not in wanted:
        return annotation == wanted
    return annotation is not None and wanted in annotation.split(_NEXT)


def marked(annotation: str | None, wanted: str) -> str:
    """The annotation once it says so; the parts of other groups stay."""
    if _GROUP not in wanted:
        return wanted
    parts: Mapping[str, str] = dict(
        part.split(_GROUP, 1) for part in (annotation or "").split(_NEXT) if _GROUP in part
    )
    group, digest = wanted.split(_GROUP, 1)
    return _NEXT.join(f"{name}{_GROUP}{found}" for name, found in sorted({**parts, group: digest}.items()))
