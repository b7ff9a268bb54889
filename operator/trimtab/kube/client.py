"""The real API server, over aiohttp and msgspec: typed decoding, chunked lists, watches that always end."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from typing import Any, TypeVar

import aiohttp
import msgspec

from trimtab.kube import errors
from trimtab.kube.bodies import as_json, as_yaml
from trimtab.kube.credentials import Credentials
from trimtab.kube.port import FIELD_MANAGER, Body, Event, Page
from trimtab.kube.resources import Resource

T = TypeVar("T")

APPLY = "application/apply-patch+yaml"
JSON_PATCH = "application/json-patch+json"
MERGE = "application/merge-patch+json"
TIMEOUT = aiohttp.ClientTimeout(total=60, sock_connect=10)
_SYNCED = b'"k8s.io/initial-events-end":"true"'
LONGEST_LINE = 32 * 1024 * 1024
RETRIES = 4
FIRST_PAGE = 50
"""Objects in the first chunk of a list, whose size is unknown."""
PAGE_BYTES = 2 << 20
"""The desired size of a chunk of a list."""


class _Status(msgspec.Struct):
    reason: str | None = ""
    message: str | None = ""
    code: int | None = 0


class _RawEvent(msgspec.Struct):
    type: str
    object: msgspec.Raw


_STATUS = msgspec.json.Decoder(_Status)
_EVENT = msgspec.json.Decoder(_RawEvent)
_OBJECT = msgspec.json.Decoder(dict[str, Any])
_decoders: dict[Any, msgspec.json.Decoder[Any]] = {}


def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    found = _decoders.get(kind)
    if found is None:
        found = _decoders[kind] = msgspec.json.Decoder(kind)
    return found


class Client:
    """One connection pool to one API server. Use it as an async context manager."""

    def __init__(
        self,
        credentials: Credentials,
        *,
        user_agent: str = "trimtab",
        write_retries: int = RETRIES,
        write_seconds: float = 60.0,
    ) -> None:
        self.credentials = credentials
        self._write_retries, self._write_seconds = write_retries, write_seconds
        self._tls: ssl.SSLContext | None = credentials.tls()
        self._agent = user_agent
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Client:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                ssl=self._tls if self._tls else True, limit=64, keepalive_timeout=60
            ),
            timeout=TIMEOUT,
            headers={"User-Agent": self._agent, "Accept": "application/json"},
            read_bufsize=256 * 1024,
            auto_decompress=True,
            skip_auto_headers=("Accept-Encoding",),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    @property
    def session(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("the client is not open; use it in `async with`")
        return self._session

    def _headers(self, content_type: str | None = None) -> dict[str, str]:
        headers = {}
        token = self.credentials.bearer()
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if content_type:
            headers["Content-Type"] = content_type
        return headers

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
    ) -> bytes:
        """One request. Retries after 429, 5xx and lost connections, because every request here is idempotent.

        :raises trimtab.kube.errors.ApiError: the last response was an error.
        """
        data = None if body is None else as_yaml(body) if content_type == APPLY else as_json(body)
        retries = RETRIES if method == "GET" else self._write_retries
        for attempt in range(retries + 1):
            try:
                return await self._once(
                    method, path, params, data, content_type if data is not None else None
                )
            except errors.UnavailableError as error:
                if attempt == retries:
                    raise
                await asyncio.sleep(min(error.retry_after or 0.1 * 2**attempt, 5))
        raise AssertionError("unreachable")

    async def _once(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None,
        data: bytes | None,
        content_type: str | None,
    ) -> bytes:
        limits = TIMEOUT if method == "GET" else aiohttp.ClientTimeout(self._write_seconds, sock_connect=10)
        try:
            async with self.session.request(
                method,
                self.credentials.server + path,
                params=params,
                data=data,
                headers=self._headers(content_type),
                timeout=limits,
                server_hostname=self.credentials.tls_server_name,
            ) as response:
                content = await response.read()
                if response.status >= 400:
                    raise _error(response, content)
                return content
        except errors.ApiError:
            raise  # some of them are OSErrors
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise errors.UnavailableError(0, "NoAnswer", f"{type(error).__name__}: {error}") from error

    async def pages(
        self,
        resource: Resource,
        item: type[T],
        *,
        namespace: str | None = None,
        selector: str = "",
        limit: int = 500,
    ) -> AsyncIterator[Page[T]]:
        """A consistent list in chunks of at most ``limit`` objects, fewer if they are large.

        :raises GoneError: the ``continue`` token expired; restart the list.
        """
        decoder = _decoder(Page[item])  # type: ignore[valid-type]
        token, size = "", min(limit, FIRST_PAGE)
        while True:
            params = {"limit": str(size), **_selectors(selector)}
            if token:
                params["continue"] = token
            content = await self.request("GET", resource.path(namespace), params=params)
            page: Page[T] = decode(decoder, content)
            yield page
            size = max(1, min(limit, size * PAGE_BYTES // len(content)))
            token = page.metadata.continue_
            if not token:
                return

    async def watch(
        self,
        resource: Resource,
        item: type[T],
        *,
        version: str,
        selector: str = "",
        timeout: int = 300,
        namespace: str | None = None,
        fields: str = "",
    ) -> AsyncIterator[Event[T]]:
        """Events after ``version`` until the server ends the stream after ``timeout`` seconds.

        ``fields`` is a field selector.

        :raises GoneError: ``version`` is too old; list again.
        :raises UnavailableError: the stream broke, or no event or bookmark arrived in time.
        """
        params = {"resourceVersion": version, **_selectors(selector, fields)}
        async for event in self._events(resource.path(namespace), item, params, timeout):
            yield event

    async def stream(
        self,
        resource: Resource,
        item: type[T],
        *,
        namespace: str | None = None,
        selector: str = "",
        timeout: int = 300,
    ) -> AsyncIterator[Event[T]]:
        """A list as the initial events of a watch, from the API server's cache: several times faster than pages
        (https://kubernetes.io/docs/reference/using-api/api-concepts/#streaming-lists)."""
        params = {
            "sendInitialEvents": "true",
            "resourceVersionMatch": "NotOlderThan",
            **_selectors(selector),
        }
        async for event in self._events(resource.path(namespace), item, params, timeout):
            yield event

    async def _events(
        self, path: str, item: type[T], params: Mapping[str, str], timeout: int
    ) -> AsyncIterator[Event[T]]:
        decoder = _decoder(item)
        # The API server sends a bookmark about once a minute: after two without data the connection is dead.
        limits = aiohttp.ClientTimeout(total=timeout + 30, sock_connect=10, sock_read=130)
        try:
            async with self.session.get(
                self.credentials.server + path,
                params={
                    **params,
                    "watch": "1",
                    "allowWatchBookmarks": "true",
                    "timeoutSeconds": str(timeout),
                },
                headers=self._headers(),
                timeout=limits,
                server_hostname=self.credentials.tls_server_name,
            ) as response:
                if response.status >= 400:
                    raise _error(response, await response.read())
                async for line in _lines(response.content):
                    yield _event(line, decoder)
        except errors.ApiError:
            raise  # some of them are OSErrors
        except (aiohttp.ClientError, TimeoutError, OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            raise errors.UnavailableError(0, "WatchBroken", f"{type(error).__name__}: {error}") from error

    async def get(self, resource: Resource, namespace: str | None, name: str) -> Body:
        return as_object(await self.request("GET", resource.path(namespace, name)))

    async def create(self, resource: Resource, body: Body) -> Body:
        """:raises ConflictError: it exists already."""
        path = resource.path(body["metadata"].get("namespace"))
        return as_object(await self.request("POST", path, params={"fieldManager": FIELD_MANAGER}, body=body))

    async def apply(
        self, resource: Resource, body: Body, *, force: bool = True, subresource: str = ""
    ) -> Body:
        """Server-side apply; see :meth:`trimtab.kube.port.Api.apply`."""
        meta = body["metadata"]
        content = await self.request(
            "PATCH",
            resource.path(meta.get("namespace"), meta["name"], subresource),
            params={"fieldManager": FIELD_MANAGER, "force": "true" if force else "false"},
            body={"apiVersion": resource.api_version, "kind": resource.kind, **body},
            content_type=APPLY,
        )
        return as_object(content)

    async def merge_patch(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        patch: Mapping[str, Any],
        *,
        subresource: str = "",
    ) -> Body:
        content = await self.request(
            "PATCH",
            resource.path(namespace, name, subresource),
            params={"fieldManager": FIELD_MANAGER},
            body=patch,
            content_type=MERGE,
        )
        return as_object(content)

    async def replace_status(
        self, resource: Resource, namespace: str | None, name: str, status: Body, *, version: str
    ) -> Body:
        # A JSON patch, because a merge patch would keep removed entries of maps. "Replacing" the resourceVersion
        # makes the API server compare it.
        patch = [
            {"op": "replace", "path": "/metadata/resourceVersion", "value": version},
            {"op": "add", "path": "/status", "value": status},
        ]
        content = await self.request(
            "PATCH",
            resource.path(namespace, name, "status"),
            params={"fieldManager": FIELD_MANAGER},
            body=patch,
            content_type=JSON_PATCH,
        )
        return as_object(content)

    async def delete(
        self, resource: Resource, namespace: str | None, name: str, *, uid: str = "", version: str = ""
    ) -> None:
        preconditions = {k: v for k, v in (("uid", uid), ("resourceVersion", version)) if v}
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        if preconditions:
            body["preconditions"] = preconditions  # type: ignore[assignment]
        await self.request("DELETE", resource.path(namespace, name), body=body)


def decode(decoder: msgspec.json.Decoder[T], content: bytes) -> T:
    """The content of a response. :raises trimtab.kube.errors.ForeignError: it has another form."""
    try:
        return decoder.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise errors.ForeignError(200, "NotKubernetes", str(error)) from None


def as_object(content: bytes) -> Body:
    """A response that is an object. :raises trimtab.kube.errors.ForeignError: it is not one."""
    body: Body = decode(_OBJECT, content)
    return body


def _selectors(labels: str, fields: str = "") -> dict[str, str]:
    return {k: v for k, v in (("labelSelector", labels), ("fieldSelector", fields)) if v}


def _event(line: bytes, decoder: msgspec.json.Decoder[T]) -> Event[T]:
    """:raises trimtab.kube.errors.ApiError: the event is an error."""
    event = _EVENT.decode(line)
    if event.type == "ERROR":
        status = _STATUS.decode(event.object)
        raise errors.of(status.code or 500, status.reason or "", status.message or "")
    kind = "SYNCED" if event.type == "BOOKMARK" and _SYNCED in line else event.type
    return Event(kind, decoder.decode(event.object))


def _error(response: aiohttp.ClientResponse, content: bytes) -> errors.ApiError:
    try:
        status = _STATUS.decode(content)
        reason, message = status.reason or "", status.message or ""
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        reason, message = response.reason or "", content[:200].decode(errors="replace")
        if response.status == 404:  # a missing object has a Status
            message = f"the server could not find the requested resource: {response.url.path}"
    after = response.headers.get("Retry-After", "")
    return errors.of(response.status, reason, message, float(after) if after.isdigit() else None)


async def _lines(stream: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Lines of any length up to 32 MiB, each without its newline; an unfinished last one is dropped."""
    pending = bytearray()
    async for chunk in stream.iter_any():
        pending += chunk
        start = 0
        while (end := pending.find(b"\n", start)) >= 0:
            line = bytes(pending[start:end])
            start = end + 1
            if line:
                yield line
        del pending[:start]
        if len(pending) > LONGEST_LINE:
            raise errors.UnavailableError(0, "WatchBroken", "an event of more than 32 MiB")
