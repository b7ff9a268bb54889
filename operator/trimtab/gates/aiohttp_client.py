"""HTTP requests to allowed addresses, with limits on time, size and number, and a circuit breaker for each host.

The client follows no redirect, uses no proxy of the environment, keeps no cookie, decompresses nothing, verifies
certificates and sends one request a connection. Of a response, it uses only the status and the body.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable, Mapping

import aiohttp
import yarl

from trimtab import __version__
from trimtab.gates.addresses import RefusedAddressError
from trimtab.gates.breaker import Breaker, Call, OpenError
from trimtab.gates.http_client import NoResponseError, Response
from trimtab.gates.resolver import CheckedResolver, Lookup
from trimtab.gates.urls import Target

MAX_BYTES = 1024 * 1024
"""Of the body of a response."""
MAX_REQUESTS, MAX_REQUESTS_PER_HOST = 16, 4
MIN_FAIR_TIMEOUT = 1.0
"""Seconds. A shorter timeout that expires does not count as a failure of the host."""
_HEADERS = {
    "User-Agent": f"trimtab/{__version__}",
    "Accept": "application/json, */*;q=0.5",
    "Accept-Encoding": "identity",
}


class _OversizedError(NoResponseError):
    """The response is too large. The host is healthy."""


class AiohttpClient:
    """Implements :class:`trimtab.gates.http_client.HttpClient`.

    ``lookup`` resolves names, by default with the system's resolver. The first request opens the session.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, lookup: Lookup | None = None) -> None:
        self._breaker = Breaker(clock)
        self._lookup = lookup
        self._session: aiohttp.ClientSession | None = None
        self._slots = asyncio.Semaphore(MAX_REQUESTS)
        self._hosts: dict[str, asyncio.Semaphore] = {}

    async def status(self, target: Target, timeout: float) -> Response:
        """GET, without reading the body. :raises NoResponseError: with the reason."""
        return await self._send(target, None, timeout)

    async def post(self, target: Target, form: Mapping[str, str], timeout: float) -> Response:
        """POST of a form, with the body of the response. :raises NoResponseError: with the reason."""
        return await self._send(target, form, timeout)

    async def close(self) -> None:
        """Close all connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _send(self, target: Target, form: Mapping[str, str] | None, timeout: float) -> Response:
        # A host that hangs occupies only its own slots. The breaker is checked after the wait for a slot.
        async with self._hosts.setdefault(target.authority, asyncio.Semaphore(MAX_REQUESTS_PER_HOST)):
            try:
                with self._breaker.call(target.authority, _request(target, form)) as call:
                    async with self._slots:
                        return await self._send_in_time(target, form, timeout, call)
            except OpenError as error:
                raise NoResponseError(
                    f"{target.authority} failed {error.failures} times in a row; next request in {error.seconds:.0f}s"
                ) from None

    async def _send_in_time(
        self, target: Target, form: Mapping[str, str] | None, timeout: float, call: Call
    ) -> Response:
        try:
            async with asyncio.timeout(timeout):
                response = await self._exchange(target, form)
        except TimeoutError:
            if timeout >= MIN_FAIR_TIMEOUT:
                call.failed()
            raise NoResponseError(f"{target.authority} sent no response within {timeout:g}s") from None
        except _OversizedError as error:
            call.succeeded()
            raise NoResponseError(f"{target.authority} {error}") from None
        except (aiohttp.ClientError, RefusedAddressError, NoResponseError, ValueError, OSError) as error:
            call.failed()
            raise NoResponseError(f"{target.authority} {_why(error)}") from None
        call.succeeded()
        return response

    async def _exchange(self, target: Target, form: Mapping[str, str] | None) -> Response:
        async with self._open_session().request(
            "GET" if form is None else "POST",
            yarl.URL(target.url, encoded=True),
            data=form,
            allow_redirects=False,
        ) as response:
            body = b"" if form is None else await _read(response.content)
            response.close()
            return Response(response.status, body)

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    resolver=CheckedResolver(self._lookup),
                    use_dns_cache=False,
                    force_close=True,
                    limit=MAX_REQUESTS,
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None),
                trust_env=False,
                auto_decompress=False,
                headers=_HEADERS,
            )
        return self._session


def _request(target: Target, form: Mapping[str, str] | None) -> str:
    """Identifies the request for the circuit breaker."""
    return target.url if form is None else f"{target.url} {sorted(form.items())}"


async def _read(stream: aiohttp.StreamReader) -> bytes:
    body = bytearray()
    async for chunk in stream.iter_any():
        body += chunk
        if len(body) > MAX_BYTES:
            raise _OversizedError(f"sent a response of more than {MAX_BYTES // 1024 // 1024} MiB")
    return bytes(body)


def _why(error: Exception) -> str:
    """A message of Trimtab: the library's messages contain addresses and text that servers sent."""
    if isinstance(error, NoResponseError | RefusedAddressError):
        return str(error)
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "cannot be resolved"
    if isinstance(
        error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientConnectorSSLError | ssl.SSLError
    ):
        return "has no certificate that is trusted and valid for its name"
    if isinstance(error, aiohttp.ClientConnectorError):
        return "refused the connection or is unreachable"
    if isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError | OSError):
        return "closed the connection without a response"
    return "sent a response that is not valid HTTP"
