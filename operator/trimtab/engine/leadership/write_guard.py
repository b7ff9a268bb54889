"""No write leaves this process unless it holds the Lease. Reads always pass."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, TypeVar

from trimtab.kube.errors import NotLeaderError
from trimtab.kube.port import Api, Body, Event, Page
from trimtab.kube.resources import Resource

T = TypeVar("T")


class WriteGuard:
    """An API port around another. It calls ``may_write`` before each write."""

    def __init__(self, api: Api, may_write: Callable[[], bool]) -> None:
        self._api, self.may_write = api, may_write

    def _check(self) -> None:
        if not self.may_write():
            raise NotLeaderError

    def pages(
        self,
        resource: Resource,
        item: type[T],
        *,
        namespace: str | None = None,
        selector: str = "",
        limit: int = 500,
    ) -> AsyncIterator[Page[T]]:
        return self._api.pages(resource, item, namespace=namespace, selector=selector, limit=limit)

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
        return self._api.watch(
            resource, item, version=version, namespace=namespace, selector=selector, timeout=timeout
        )

    def stream(
        self,
        resource: Resource,
        item: type[T],
        *,
        namespace: str | None = None,
        selector: str = "",
        timeout: int = 300,
    ) -> AsyncIterator[Event[T]]:
        return self._api.stream(resource, item, namespace=namespace, selector=selector, timeout=timeout)

    async def get(self, resource: Resource, namespace: str | None, name: str) -> Body:
        return await self._api.get(resource, namespace, name)

    async def create(self, resource: Resource, body: Body) -> Body:
        self._check()
        return await self._api.create(resource, body)

    async def apply(
        self, resource: Resource, body: Body, *, force: bool = True, subresource: str = ""
    ) -> Body:
        self._check()
        return await self._api.apply(resource, body, force=force, subresource=subresource)

    async def merge_patch(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        patch: Mapping[str, Any],
        *,
        subresource: str = "",
    ) -> Body:
        self._check()
        return await self._api.merge_patch(resource, namespace, name, patch, subresource=subresource)

    async def replace_status(
        self, resource: Resource, namespace: str | None, name: str, status: Body, *, version: str
    ) -> Body:
        self._check()
        return await self._api.replace_status(resource, namespace, name, status, version=version)

    async def delete(
        self, resource: Resource, namespace: str | None, name: str, *, uid: str = "", version: str = ""
    ) -> None:
        self._check()
        await self._api.delete(resource, namespace, name, uid=uid, version=version)
