"""A store of objects that are kept whole, or by their metadata: templates, rollouts, RenderedGroups, namespaces.

It is the sink of a reflector, or of kopf's events, and reports what changed. An event that is older than what is known,
also of the operator's own writes, changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, Protocol, TypeVar

from trimtab.core.objects import ObjectMeta
from trimtab.core.refs import TemplateKey
from trimtab.engine.store.deletions import Gone


class _HasMeta(Protocol):
    metadata: ObjectMeta


O = TypeVar("O", bound=_HasMeta)  # noqa: E741


class Objects(Generic[O]):
    """A store of whole objects by namespace and name; ``changed(key, old, new)`` is called for each change.

    With ``hold`` set, deletions are handed to it instead, and take place by :meth:`remove`.
    """

    def __init__(self, changed: Callable[[TemplateKey, O | None, O | None], None]) -> None:
        self._report = changed
        self.changes = 0
        """Grows with every change."""
        self.hold: Callable[[Gone], None] | None = None
        self._all: dict[TemplateKey, O] = {}
        self._seen: set[TemplateKey] = set()
        self._dropped: dict[TemplateKey, int] = {}

    def __iter__(self) -> Iterator[O]:
        return iter(self._all.values())

    def get(self, key: TemplateKey) -> O | None:
        return self._all.get(key)

    def _changed(self, key: TemplateKey, old: O | None, new: O | None) -> None:
        self.changes += 1
        self._report(key, old, new)

    def begin(self) -> None:
        self._seen = set()

    def put(self, item: O) -> None:
        key = TemplateKey(item.metadata.namespace, item.metadata.name)
        self._seen.add(key)
        old = self._all.get(key)
        known = self._dropped.get(key, 0) if old is None else _version(old)
        if _version(item) <= known:
            return  # two sources may report one object: the newer version counts
        self._all[key] = item
        self._changed(key, old, item)

    def drop(self, item: O) -> None:
        """A watch, list or response reports that it was deleted."""
        if (gone := self._gone(item)) is not None:
            (self.hold or self.remove)(gone)

    def discard(self, item: O) -> None:
        """The operator has deleted it."""
        if (gone := self._gone(item)) is not None:
            self.remove(gone)

    def _gone(self, item: O) -> Gone | None:
        old = self._all.get(TemplateKey(item.metadata.namespace, item.metadata.name))
        if old is None or old.metadata.uid != item.metadata.uid:
            return None
        return _as_gone(old, max(_version(old), _version(item)))

    def end(self, version: int) -> None:
        for key, old in list(self._all.items()):
            if key not in self._seen and _version(old) <= version:
                (self.hold or self.remove)(_as_gone(old, version))
        self._dropped = {key: at for key, at in self._dropped.items() if at > version}

    def has(self, gone: Gone) -> bool:
        """Whether the store still has the object, in no newer version than its deletion."""
        old = self._all.get(TemplateKey(gone.namespace, gone.name))
        return old is not None and old.metadata.uid == gone.uid and _version(old) <= gone.version

    def remove(self, gone: Gone) -> None:
        """The deletion takes place."""
        if self.has(gone):
            key = TemplateKey(gone.namespace, gone.name)
            old = self._all.pop(key)
            self._dropped[key] = gone.version
            self._changed(key, old, None)


def _as_gone(item: _HasMeta, version: int) -> Gone:
    meta = item.metadata
    return Gone(meta.namespace, meta.name, meta.uid, version, meta.creationTimestamp or "")


def _version(item: _HasMeta) -> int:
    return int(item.metadata.resourceVersion or 0)
