"""A cluster for people: one connection, every refusal told with what to do, and the few writes that verbs make."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from trimtab.cli.errors import Failure
from trimtab.cli.view.waiting import patience
from trimtab.kube import errors
from trimtab.kube.client import APPLY, JSON_PATCH, Client, as_object, decode
from trimtab.kube.credentials import Credentials, CredentialsError, load
from trimtab.kube.port import Body, Event, Page
from trimtab.kube.resources import GROUP, Resource

T = TypeVar("T")
PAGE = 500
MANAGER = "trimtab-cli"
"""The field manager of whatever a person has written by this program."""
_SELF = "/apis/authentication.k8s.io/v1/selfsubjectreviews"


class _UserInfo(msgspec.Struct):
    username: str


class _ReviewStatus(msgspec.Struct):
    userInfo: _UserInfo  # noqa: N815 - as the API writes it


class _Review(msgspec.Struct):
    status: _ReviewStatus


_REVIEW = msgspec.json.Decoder(_Review)
_PAGE = msgspec.json.Decoder(Page[Any])


_KIND = re.compile(rf"/apis/{re.escape(GROUP)}/[^/]+/(?:namespaces/[^/]+/)?([a-z]+)")
"""A path of the API server to objects of one of our kinds."""


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

    async def matching(
        self, resource: Resource, fields: dict[str, str], namespace: str | None = None
    ) -> list[Body]:
        """The objects, of all namespaces or one, with these fields; only fields that the CRD declares selectable."""
        selector = ",".join(f"{path}={value}" for path, value in fields.items())
        found: list[Body] = []
        token = ""
        while True:
            params = {"limit": str(PAGE), "fieldSelector": selector, **({"continue": token} if token else {})}
            content = await self.client.request("GET", resource.path(namespace), params=params)
            page = decode(_PAGE, content)
            found += page.items or []
            token = page.metadata.continue_
            if not token:
                return found

    async def listed(self, resource: Resource, namespace: str, selector: str) -> tuple[list[Body], str]:
        """The objects with these labels, and the version to watch from."""
        found: list[Body] = []
        version = ""
        async for page in self.client.pages(
            resource, dict[str, Any], namespace=namespace, selector=selector, limit=PAGE
        ):
            found += page.items or []
            version = page.metadata.resourceVersion
        return found, version

    def watch(
        self, resource: Resource, namespace: str, *, version: str, name: str = "", selector: str = ""
    ) -> AsyncIterator[Event[Body]]:
        """What happens in a namespace after ``version``, to the object of that name or to those with these labels."""
        return self.client.watch(
            resource,
            dict[str, Any],
            version=version,
            namespace=namespace,
            selector=selector,
            fields=f"metadata.name={name}" if name else "",
        )

    async def whoami(self) -> str:
        """The API server's name for whoever asks. :raises Failure: it is too old to say."""
        kind = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        try:
            content = await self.client.request("POST", _SELF, body=kind)
        except errors.NotFoundError:
            raise Failure("the API server cannot say who you are: it is older than Kubernetes 1.28") from None
        return decode(_REVIEW, content).status.userInfo.username

    async def create(self, resource: Resource, body: Body) -> Body:
        """As :data:`MANAGER`. It may be asked twice, so the body has a name of its own.

        :raises trimtab.kube.errors.ConflictError: that name is taken.
        """
        path = resource.path(body["metadata"]["namespace"])
        return as_object(await self.client.request("POST", path, params={"fieldManager": MANAGER}, body=body))

    async def patch(self, resource: Resource, body: Body, operations: list[Body]) -> Body:
        """A JSON patch as :data:`MANAGER`, over exactly the version of ``body``.

        :raises trimtab.kube.errors.ConflictError: the object has changed.
        """
        meta = body["metadata"]
        guard = {"op": "replace", "path": "/metadata/resourceVersion", "value": meta["resourceVersion"]}
        content = await self.client.request(
            "PATCH",
            resource.path(meta["namespace"], meta["name"]),
            params={"fieldManager": MANAGER},
            body=[guard, *operations],
            content_type=JSON_PATCH,
        )
        return as_object(content)

    async def apply(self, resource: Resource, body: Body, *, force: bool) -> Body:
        """Server-side apply as :data:`MANAGER`; fields that it leaves out stay as they are.

        :raises trimtab.kube.errors.ConflictError: others manage some of the fields, or the object has changed.
        """
        meta = body["metadata"]
        content = await self.client.request(
            "PATCH",
            resource.path(meta["namespace"], meta["name"]),
            params={"fieldManager": MANAGER, "force": "true" if force else "false"},
            body={"apiVersion": resource.api_version, "kind": resource.kind, **body},
            content_type=APPLY,
        )
        return as_object(content)


def with_cluster(
    target: Target, work: Callable[[Cluster], Awaitable[T]], about: str = "asking the cluster"
) -> T:
    """Connect, do the work, and tell every refusal as a :class:`Failure`.

    ``about`` is what people are told of work that takes its time; empty for work that speaks for itself.
    """
    try:
        who = load(target.kubeconfig, target.context)
    except (CredentialsError, OSError) as error:
        raise Failure(str(error)) from None
    try:
        return asyncio.run(_work(who, work, about))
    except errors.ApiError as error:
        raise Failure(_remedy(error, who)) from None
    except (
        CredentialsError,
        OSError,
    ) as error:  # a token that cannot be read, TLS material that is malformed
        raise Failure(f"{who.server}: {error}; check the kubeconfig") from None


async def _work(who: Credentials, work: Callable[[Cluster], Awaitable[T]], about: str) -> T:
    async with Client(who, user_agent="trimtab-cli") as client, patience(about):
        return await work(Cluster(client, who.namespace))


def _remedy(error: errors.ApiError, who: Credentials) -> str:
    if isinstance(error, errors.NotFoundError):
        kind = _KIND.search(error.message)
        what = f"{kind[1]}.{GROUP}" if kind else GROUP
        return (
            f"{who.server} does not serve {what}: install the CRDs by "
            "`trimtab crds | kubectl apply --server-side -f -`"
        )
    if isinstance(error, errors.ForbiddenError):
        if error.status == 401:
            return f"{who.server} does not know you (401): log in again, or choose another --context"
        return (
            f"{error.message or error}; ask for that permission, or choose another --context or --namespace"
        )
    if isinstance(error, errors.ForeignError):
        return (
            f"{who.server} answers, but not as a Kubernetes API server ({error.message}); is it a proxy or a login "
            "page? Check --kubeconfig and --context"
        )
    if error.status == 0:
        return f"no answer from {who.server}: {error.message}; check that it runs, and --kubeconfig and --context"
    return f"{who.server} refused: {error}"
