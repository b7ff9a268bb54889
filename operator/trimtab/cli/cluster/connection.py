"""A connection to a cluster: every refusal becomes one line with a remedy."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from trimtab.cli.cluster.objects import absent
from trimtab.cli.errors import Failure
from trimtab.cli.options import ClusterOptions
from trimtab.cli.waiting import progress
from trimtab.kube import errors
from trimtab.kube.client import APPLY, JSON_PATCH, Client, as_object, decode
from trimtab.kube.credentials import Credentials, CredentialsError, load
from trimtab.kube.port import Body, Event, Page
from trimtab.kube.resources import GROUP, Resource

T = TypeVar("T")
PAGE = 500
MANAGER = "trimtab-cli"
"""The field manager of all writes of the command line."""
_SELF = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
_PAGE = msgspec.json.Decoder(Page[Any])
_KIND = re.compile(rf"/apis/{re.escape(GROUP)}/[^/]+/(?:namespaces/[^/]+/)?([a-z]+)")
"""A path of the API server to objects of a kind of Trimtab."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """An open connection. ``namespace`` is the requested one, by default the context's ``own``."""

    client: Client
    namespace: str
    own: str = ""

    async def get(self, resource: Resource, namespace: str | None, name: str) -> Body | None:
        """One object, or None if it does not exist."""
        try:
            return await self.client.get(resource, namespace, name)
        except errors.NotFoundError as error:
            if "the server could not find the requested resource" in error.message:
                raise  # the kind does not exist
            return None

    async def each(self, resource: Resource, item: type[T], namespace: str | None = None) -> AsyncIterator[T]:
        """Every object, page by page."""
        async for page in self.client.pages(resource, item, namespace=namespace, limit=PAGE):
            for found in page.items or ():
                yield found

    async def all(self, resource: Resource, namespace: str | None = None) -> list[Body]:
        """Every object."""
        return [body async for body in self.each(resource, dict[str, Any], namespace)]

    async def matching(
        self, resource: Resource, fields: dict[str, str], namespace: str | None = None
    ) -> list[Body]:
        """The objects with these fields, which the CRD must declare selectable."""
        found: list[Body] = []
        params = {"limit": str(PAGE), "fieldSelector": ",".join(f"{p}={v}" for p, v in fields.items())}
        while True:
            content = await self.client.request("GET", resource.path(namespace), params=params)
            page = decode(_PAGE, content)
            found += page.items or []
            if not page.metadata.continue_:
                return found
            params["continue"] = page.metadata.continue_

    async def listed(self, resource: Resource, namespace: str, selector: str) -> tuple[list[Body], str]:
        """The objects with these labels, and the version to watch from."""
        found: list[Body] = []
        version = ""
        options: dict[str, Any] = {"namespace": namespace, "selector": selector, "limit": PAGE}
        async for page in self.client.pages(resource, dict[str, Any], **options):
            found += page.items or []
            version = page.metadata.resourceVersion
        return found, version

    def watch(
        self, resource: Resource, namespace: str, *, version: str, name: str = "", selector: str = ""
    ) -> AsyncIterator[Event[Body]]:
        """Events in a namespace after ``version``, of the object of that name or of those with these labels."""
        fields = f"metadata.name={name}" if name else ""
        options: dict[str, Any] = {
            "version": version,
            "namespace": namespace,
            "selector": selector,
            "fields": fields,
        }
        return self.client.watch(resource, dict[str, Any], **options)

    async def missing(self, resource: Resource, namespace: str, name: str) -> Failure:
        """The error for an object that does not exist, with the names that do."""
        known = [body["metadata"]["name"] for body in await self.all(resource, namespace)]
        return Failure(absent(resource.kind, name, f"in namespace {namespace}", known))

    async def whoami(self) -> str:
        """The API server's name for the requester. :raises Failure: the API server is too old to report it."""
        kind = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        try:
            content = as_object(await self.client.request("POST", _SELF, body=kind))
            return str(content["status"]["userInfo"]["username"])
        except (errors.NotFoundError, KeyError):
            raise Failure(
                "the API server does not report who you are: it is older than Kubernetes 1.28"
            ) from None

    async def create(self, resource: Resource, body: Body) -> Body:
        """Create an object. The request may be sent twice, so the body must have a unique name.

        :raises trimtab.kube.errors.ConflictError: an object of this name exists.
        """
        path = resource.path(body["metadata"]["namespace"])
        return as_object(await self.client.request("POST", path, params={"fieldManager": MANAGER}, body=body))

    async def patch(self, resource: Resource, body: Body, operations: list[Body]) -> Body:
        """Apply a JSON patch to exactly the version of ``body``.

        :raises trimtab.kube.errors.ConflictError: the object has changed.
        """
        version = body["metadata"]["resourceVersion"]
        guard = {"op": "replace", "path": "/metadata/resourceVersion", "value": version}
        return await self._patch(resource, body, [guard, *operations], JSON_PATCH)

    async def apply(self, resource: Resource, body: Body) -> Body:
        """Server-side apply, also of fields with another manager; fields that ``body`` lacks are unchanged.

        :raises trimtab.kube.errors.ConflictError: the object has changed.
        """
        whole = {"apiVersion": resource.api_version, "kind": resource.kind, **body}
        return await self._patch(resource, body, whole, APPLY, force="true")

    async def _patch(
        self, resource: Resource, body: Body, content: Any, content_type: str, **params: str
    ) -> Body:
        path = resource.path(body["metadata"]["namespace"], body["metadata"]["name"])
        options: dict[str, Any] = {"body": content, "content_type": content_type}
        params |= {"fieldManager": MANAGER}
        return as_object(await self.client.request("PATCH", path, params=params, **options))


def with_cluster(
    options: ClusterOptions, work: Callable[[Cluster], Awaitable[T]], about: str = "querying the cluster"
) -> T:
    """Connect and do the work. ``about`` is shown while it takes long; empty for work that prints its own progress.

    :raises Failure: the cluster cannot be reached, or refused.
    """
    try:
        who = load(options.kubeconfig, options.context)
    except (CredentialsError, OSError) as error:
        raise Failure(str(error)) from None
    try:
        return asyncio.run(_work(who, options, work, about))
    except errors.ApiError as error:
        raise Failure(_remedy(error, who.server)) from None
    except (CredentialsError, OSError) as error:  # an unreadable token, malformed TLS material
        raise Failure(f"{who.server}: {error}; check the kubeconfig") from None


async def _work(
    who: Credentials, options: ClusterOptions, work: Callable[[Cluster], Awaitable[T]], about: str
) -> T:
    async with Client(who, user_agent=MANAGER) as client, progress(about):
        return await work(Cluster(client, options.namespace or who.namespace, who.namespace))


def _remedy(error: errors.ApiError, server: str) -> str:
    if isinstance(error, errors.NotFoundError):
        kind = _KIND.search(error.message)
        what = f"{kind[1]}.{GROUP}" if kind else GROUP
        install = "`trimtab crds | kubectl apply --server-side -f -`"
        return f"{server} does not serve {what}: install the CRDs by {install}"
    if isinstance(error, errors.ForbiddenError):
        if error.status == 401:
            return f"{server} does not know you (401): log in again, or choose another --context"
        other = "request that permission, or choose another --context or --namespace"
        return f"{error.message or error}; {other}"
    if isinstance(error, errors.ForeignError):
        what = "is it a proxy or a login page? Check --kubeconfig and --context"
        return f"{server} is not a Kubernetes API server ({error.message}); {what}"
    if error.status == 0:
        check = "check that it runs, and --kubeconfig and --context"
        return f"no response from {server}: {error.message}; {check}"
    return f"{server} refused: {error}"
