"""The outputs of all groups, ConfigMaps and Secrets, as the cluster has them.

An event that is older than what is known, also of the operator's own writes, changes nothing.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from sys import intern
from typing import Any

import msgspec

from trimtab.core import naming
from trimtab.core.objects import ObjectMeta
from trimtab.core.refs import GroupKey, Ref, TemplateKey
from trimtab.core.render.plan import Observed
from trimtab.kube.port import FIELD_MANAGER, Body

Labels = Mapping[str, str]
_KEPT_ANNOTATIONS = (
    naming.ANNOTATION_REVISION,
    naming.ANNOTATION_DIGEST,
    naming.ANNOTATION_USER,
    naming.ANNOTATION_ADOPT,
    naming.ANNOTATION_MARK,
)


class _Manager(msgspec.Struct, gc=False):
    manager: str = ""
    operation: str = ""


class OutputMeta(ObjectMeta, gc=False, kw_only=True):
    """The metadata of an output."""

    managedFields: list[_Manager] | None = None  # noqa: N815


class OutputObject(msgspec.Struct, gc=False):
    """A ConfigMap or Secret as listed."""

    metadata: OutputMeta
    data: dict[str, str] | None = None
    binaryData: dict[str, Any] | None = None  # noqa: N815
    type: str | None = None
    immutable: bool | None = None


def group_of(labels: Labels) -> GroupKey | None:
    """The group in an object's labels, or None. It proves nothing: any client can write labels."""
    if labels.get(naming.LABEL_MANAGED_BY) != naming.MANAGER:
        return None
    namespace, template, group = (
        labels.get(naming.LABEL_TEMPLATE_NAMESPACE),
        labels.get(naming.LABEL_TEMPLATE),
        labels.get(naming.LABEL_GROUP),
    )
    return GroupKey(namespace, template, group) if namespace and template and group else None


def observe(kind: str, item: OutputObject) -> Observed:
    """Parse a listed output; a Secret's data is decoded here and nowhere else."""
    meta = item.metadata
    data: dict[str, str] = item.data or {}
    foreign = bool(item.binaryData)
    immutable = bool(item.immutable)
    if kind == "Secret":
        immutable = immutable or item.type not in (None, "Opaque")
        try:
            data = {name: base64.b64decode(text, validate=True).decode() for name, text in data.items()}
        except ValueError:
            data, foreign = dict.fromkeys(data, ""), True
    notes = meta.annotations or {}
    return Observed(
        ref=Ref(kind, meta.namespace, meta.name),
        uid=meta.uid,
        version=int(meta.resourceVersion or 0),
        labels=meta.labels or {},
        annotations={name: notes[name] for name in _KEPT_ANNOTATIONS if name in notes},
        data=data,
        has_foreign_data=foreign,
        created=intern(meta.creationTimestamp or ""),
        is_immutable=immutable,
        applied=any(m.manager == FIELD_MANAGER and m.operation == "Apply" for m in meta.managedFields or ()),
    )


class Outputs:
    """Rendered objects of both kinds, indexed by group. ``changed`` is called with the group and the object of a change
    that another client made."""

    def __init__(self, changed: Callable[[GroupKey, Ref], None]) -> None:
        self._changed = changed
        self._all: dict[Ref, Observed] = {}
        self._groups: dict[GroupKey, dict[Ref, Observed]] = {}
        self._rounds = {"ConfigMap": 0, "Secret": 0}

    def __iter__(self) -> Iterator[Observed]:
        return iter(self._all.values())

    def get(self, ref: Ref) -> Observed | None:
        return self._all.get(ref)

    def of(self, key: GroupKey) -> dict[Ref, Observed]:
        """The group's objects; not to be changed."""
        return self._groups.get(key, {})

    def groups(self) -> list[GroupKey]:
        return list(self._groups)

    def groups_of(self, key: TemplateKey) -> list[GroupKey]:
        """The groups of a template that have objects."""
        return [g for g in self._groups if g.template == key.name and g.namespace == key.namespace]

    def wrote(self, kind: str, body: Body) -> Observed:
        """Store the API server's response to a write of the operator."""
        observed = observe(kind, msgspec.convert(body, OutputObject))
        known = self._all.get(observed.ref)
        if known is None or known.uid != observed.uid or observed.version >= known.version:
            self._insert(observed)
            if known is not None and group_of(known.labels) != group_of(observed.labels):
                self._report(known)  # adopted from another group, which may still need it
        return observed

    def forget(self, observed: Observed) -> None:
        """The operator has deleted it."""
        if self._all.get(observed.ref) is observed:
            self._remove(observed)

    def sink(self, kind: str) -> OutputSink:
        return OutputSink(self, kind)

    def _insert(self, new: Observed) -> None:
        old = self._all.get(new.ref)
        new.seen = self._rounds[new.ref.kind]
        if old is not None:
            self._remove(old)
        self._all[new.ref] = new
        group = group_of(new.labels)
        if group is not None:
            self._groups.setdefault(group, {})[new.ref] = new

    def _remove(self, old: Observed) -> None:
        del self._all[old.ref]
        group = group_of(old.labels)
        if group is not None and group in self._groups:
            self._groups[group].pop(old.ref, None)
            if not self._groups[group]:
                del self._groups[group]

    def _report(self, observed: Observed) -> None:
        group = group_of(observed.labels)
        if group is not None:
            self._changed(group, observed.ref)

    def begin(self, kind: str) -> None:
        self._rounds[kind] += 1

    def put(self, kind: str, item: OutputObject) -> None:
        ref = Ref(kind, item.metadata.namespace, item.metadata.name)
        old = self._all.get(ref)
        if (
            old is not None
            and old.uid == item.metadata.uid
            and int(item.metadata.resourceVersion or 0) <= old.version
        ):
            old.seen = self._rounds[kind]
            return
        new = observe(kind, item)
        self._insert(new)
        if old is not None and group_of(old.labels) != group_of(new.labels):
            self._report(old)
        self._report(new)

    def drop(self, kind: str, item: OutputObject) -> None:
        ref = Ref(kind, item.metadata.namespace, item.metadata.name)
        old = self._all.get(ref)
        # An object that lost the managed-by label leaves the watch as DELETED, with its new version.
        if (
            old is not None
            and old.uid == item.metadata.uid
            and int(item.metadata.resourceVersion or 0) >= old.version
        ):
            self._remove(old)
            self._report(old)

    def end(self, kind: str, version: int) -> None:
        current = self._rounds[kind]
        for old in [
            o for o in self._all.values() if o.ref.kind == kind and o.seen != current and o.version <= version
        ]:
            self._remove(old)
            self._report(old)


class OutputSink:
    """One kind's reflector sink into the shared store."""

    def __init__(self, outputs: Outputs, kind: str) -> None:
        self._outputs, self._kind = outputs, kind

    def begin(self) -> None:
        self._outputs.begin(self._kind)

    def put(self, item: OutputObject) -> None:
        self._outputs.put(self._kind, item)

    def drop(self, item: OutputObject) -> None:
        self._outputs.drop(self._kind, item)

    def end(self, version: int) -> None:
        self._outputs.end(self._kind, version)
