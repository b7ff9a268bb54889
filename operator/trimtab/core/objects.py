"""Objects as decisions read them: metadata, spec and status."""

from __future__ import annotations

from typing import Any

import msgspec

from trimtab.core.refs import GroupKey, TemplateKey


class ObjectMeta(msgspec.Struct, gc=False, kw_only=True):
    """The part of metadata that Trimtab keeps."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resourceVersion: str = ""  # noqa: N815
    generation: int = 0
    creationTimestamp: str | None = ""  # noqa: N815
    deletionTimestamp: str | None = None  # noqa: N815
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None


class MetaOnly(msgspec.Struct, gc=False):
    """An object of which only the metadata is kept."""

    metadata: ObjectMeta


class AnyObject(msgspec.Struct):
    """An object that is kept whole."""

    metadata: ObjectMeta
    spec: dict[str, Any] = {}
    status: dict[str, Any] = {}

    @property
    def key(self) -> TemplateKey:
        return TemplateKey(self.metadata.namespace, self.metadata.name)

    @property
    def version(self) -> int:
        return int(self.metadata.resourceVersion or 0)


def template_of(item: AnyObject) -> TemplateKey:
    """The template that a PolicyRollout is for."""
    reference = item.spec.get("templateRef")
    name = reference.get("name") if isinstance(reference, dict) else ""
    return TemplateKey(item.metadata.namespace, name if isinstance(name, str) else "")


def rendered_group_key(item: AnyObject) -> GroupKey:
    """Which group a RenderedGroup is about."""
    reference = item.spec.get("templateRef") or {}
    return GroupKey(item.metadata.namespace, reference.get("name", ""), item.spec.get("group", ""))
