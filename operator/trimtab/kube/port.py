"""The port: the requests that Trimtab sends to an API server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from trimtab.kube.resources import Resource

T = TypeVar("T")
Body = dict[str, Any]

FIELD_MANAGER = "trimtab"


class ListMeta(msgspec.Struct, gc=False):
    resourceVersion: str = ""  # noqa: N815
    continue_: str = msgspec.field(default="", name="continue")


class Page(msgspec.Struct, Generic[T]):
    """One chunk of a list. A watch starts after ``metadata.resourceVersion`` of the last one."""

    metadata: ListMeta
    items: list[T] | None = None


class Event(msgspec.Struct, Generic[T], gc=False):
    """One event: ADDED, MODIFIED, DELETED, BOOKMARK or, of a stream, SYNCED. The last two carry only a
    resourceVersion. An ERROR is raised instead."""

    type: str
    object: T


class Api(Protocol):
    """Every call raises :class:`trimtab.kube.errors.ApiError` or one of its kinds."""

    def pages(
        self,
        resource: Resource,
        item: type[T],
        *,
        namespace: str | None = None,
        selector: str = "",
        limit: int = 500,
    ) -> AsyncIterator[Page[T]]:
        """A consistent list in chunks."""
        ...

    def watch(
        self,
        resource: Resource,
        item: type[T],
        *,
        version: str,
        namespace: str | None = None,
        selector: str = "",
        timeout: int = 300,
    ) -> AsyncIterator[Event[T]]:
        """Events after ``version`` until the server ends the stream."""
        ...

    def stream(
        self,
        resource: Resource,
        item: type[T],
        *,
        namespace: str | None = None,
        selector: str = "",
        timeout: int = 300,
    ) -> AsyncIterator[Event[T]]:
        """A list followed by a watch: existing objects as ADDED events, one SYNCED event with the resourceVersion of
        the list, then the changes.

        :raises trimtab.kube.errors.InvalidError: this server does not support it; use ``pages``.
        """
        ...

    async def get(self, resource: Resource, namespace: str | None, name: str) -> Body: ...

    async def create(self, resource: Resource, body: Body) -> Body: ...

    async def apply(
        self, resource: Resource, body: Body, *, force: bool = True, subresource: str = ""
    ) -> Body:
        """Server-side apply as :data:`FIELD_MANAGER`; with ``metadata.resourceVersion`` only over that version."""
        ...

    async def merge_patch(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        patch: Mapping[str, Any],
        *,
        subresource: str = "",
    ) -> Body: ...

    async def replace_status(
        self, resource: Resource, namespace: str | None, name: str, status: Body, *, version: str
    ) -> Body:
        """Replace the whole status, if the object has that resourceVersion."""
        ...

    async def delete(
        self, resource: Resource, namespace: str | None, name: str, *, uid: str = "", version: str = ""
    ) -> None:
        """Delete, with uid and resourceVersion as preconditions if given."""
        ...
