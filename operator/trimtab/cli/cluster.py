"""Reading a cluster for people: one connection, and every refusal told with what to do about it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from trimtab.cli.failure import Failure
from trimtab.kube import errors
from trimtab.kube.client import Client
from trimtab.kube.credentials import Credentials, CredentialsError, load
from trimtab.kube.port import Body, Page
from trimtab.kube.resources import GROUP, Resource

T = TypeVar("T")
PAGE = 500


@dataclass(frozen=True, slots=True)
class Target:
    """Which cluster, and as whom."""

    kubeconfig: Path | None = None
    context: str | None = None


@dataclass(frozen=True, slots=True)
class Cluster:
    """An open connection; ``namespace`` is the context's own."""

    client: Client
    namespace: str

    async def get(self, resource: Resource, namespace: str | None, name: str) -> Body | None:
        """One object, or None if it is not there."""
        try:
            return await self.client.get(resource, namespace, name)
        except errors.NotFoundError as error:
            if "the server could not find the requested resource" in error.message:
                raise  # not the object, but its kind
            return None

    async def each(self, resource: Resource, item: type[T], namespace: str | None = None) -> AsyncIterator[T]:
        """Every object, page by page."""
        async for page in self.client.pages(resource, item, namespace=namespace, limit=PAGE):
            for found in page.items or ():
                yield found

    async def matching(self, resource: Resource, fields: dict[str, str]) -> list[Body]:
        """The objects of all namespaces with these fields; only fields that the CRD declares selectable."""
        selector = ",".join(f"{path}={value}" for path, value in fields.items())
        found: list[Body] = []
        token = ""
        while True:
            params = {"limit": str(PAGE), "fieldSelector": selector, **({"continue": token} if token else {})}
            content = await self.client.request("GET", resource.path(), params=params)
            page: Page[Any] = _decode(content)
            found += page.items or []
            token = page.metadata.continue_
            if not token:
                return found


def _decode(content: bytes) -> Page[Any]:
    import msgspec

    return msgspec.json.decode(content, type=Page[Any])


def with_cluster(target: Target, work: Callable[[Cluster], Awaitable[T]]) -> T:
    """Connect, do the work, and tell every refusal as a :class:`Failure`."""
    try:
        who = load(target.kubeconfig, target.context)
    except (CredentialsError, OSError, ValueError) as error:
        raise Failure(str(error)) from None
    try:
        return asyncio.run(_work(who, work))
    except errors.ApiError as error:
        raise Failure(_remedy(error, who)) from None
    except OSError as error:  # a token or certificate that cannot be read, TLS material that is malformed
        raise Failure(f"{who.server}: {error}; check the kubeconfig") from None


async def _work(who: Credentials, work: Callable[[Cluster], Awaitable[T]]) -> T:
    async with Client(who, user_agent="trimtab-cli") as client:
        return await work(Cluster(client, who.namespace))


def _remedy(error: errors.ApiError, who: Credentials) -> str:
    if isinstance(error, errors.NotFoundError):
        return (
            f"{who.server} does not serve {GROUP}: install the CRDs by "
            "`trimtab crds | kubectl apply --server-side -f -`"
        )
    if isinstance(error, errors.ForbiddenError):
        if error.status == 401:
            return f"{who.server} does not know you (401): log in again, or choose another --context"
        return (
            f"{error.message or error}; ask for that permission, or choose another --context or --namespace"
        )
    if error.status == 0:
        return f"no answer from {who.server}: {error.message}; check that it runs, and --kubeconfig and --context"
    return f"{who.server} refused: {error}"
