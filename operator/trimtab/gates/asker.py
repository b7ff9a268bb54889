"""The only way out: one HTTP request to an allowed address, bounded in time, size and number, through the breaker.

No redirect is followed, no proxy of the environment used, no cookie kept, nothing decompressed, certificates are
verified, and a connection serves one request. What a server says beyond a status and a body is never looked at.
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
from trimtab.gates.answers import Answer, UnansweredError
from trimtab.gates.breaker import Breaker, Call, OpenError
from trimtab.gates.resolver import CheckedResolver, Lookup
from trimtab.gates.urls import Target

LARGEST = 1024 * 1024
"""Bytes of an answer's body."""
AT_ONCE, AT_ONCE_A_HOST = 16, 4
FAIR_SECONDS = 1.0
"""A host that gave no answer within less is not to blame: the gate is."""
_HEADERS = {
    "User-Agent": f"trimtab/{__version__}",
    "Accept": "application/json, */*;q=0.5",
    "Accept-Encoding": "identity",
}


class _OversizedError(UnansweredError):
    """An answer, but nothing that anybody reads: the host is well."""


class HttpAsker:
    """Implements :class:`trimtab.gates.answers.Asker`.

    ``lookup`` resolves names, by default as the system does. The session is opened with the first request.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, lookup: Lookup | None = None) -> None:
        self._breaker = Breaker(clock)
        self._lookup = lookup
        self._session: aiohttp.ClientSession | None = None
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._hosts: dict[str, asyncio.Semaphore] = {}

    async def status(self, target: Target, timeout: float) -> Answer:
        """GET; the body is not read. :raises UnansweredError: why there is no answer."""
        return await self._ask(target, None, timeout)

    async def post(self, target: Target, form: Mapping[str, str], timeout: float) -> Answer:
        """POST of a form, with the answer's body. :raises UnansweredError: why there is no answer."""
        return await self._ask(target, form, timeout)

    async def close(self) -> None:
        """Drop all connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _ask(self, target: Target, form: Mapping[str, str] | None, timeout: float) -> Answer:
        # A host that hangs fills its own slots, so the others' gates go on. Whoever waited asks the breaker after that.
        async with self._hosts.setdefault(target.place, asyncio.Semaphore(AT_ONCE_A_HOST)):
            try:
                with self._breaker.call(target.place, _request(target, form)) as call:
                    async with self._slots:
                        return await self._bounded(target, form, timeout, call)
            except OpenError as error:
                raise UnansweredError(
                    f"{target.place} failed {error.failures} times in a row; it is asked again in {error.seconds:.0f}s"
                ) from None

    async def _bounded(
        self, target: Target, form: Mapping[str, str] | None, timeout: float, call: Call
    ) -> Answer:
        try:
            async with asyncio.timeout(timeout):
                answer = await self._exchange(target, form)
        except TimeoutError:
            if timeout >= FAIR_SECONDS:
                call.failed()
            raise UnansweredError(f"{target.place} gave no answer within {timeout:g}s") from None
        except _OversizedError as error:
            call.succeeded()
            raise UnansweredError(f"{target.place} {error}") from None
        except (aiohttp.ClientError, RefusedAddressError, UnansweredError, ValueError, OSError) as error:
            call.failed()
            raise UnansweredError(f"{target.place} {_why(error)}") from None
        call.succeeded()
        return answer

    async def _exchange(self, target: Target, form: Mapping[str, str] | None) -> Answer:
        async with self._opened().request(
            "GET" if form is None else "POST",
            yarl.URL(target.url, encoded=True),
            data=form,
            allow_redirects=False,
        ) as response:
            body = b"" if form is None else await _read(response.content)
            response.close()
            return Answer(response.status, body)

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    resolver=CheckedResolver(self._lookup),
                    use_dns_cache=False,
                    force_close=True,
                    limit=AT_ONCE,
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None),
                trust_env=False,
                auto_decompress=False,
                headers=_HEADERS,
            )
        return self._session


def _request(target: Target, form: Mapping[str, str] | None) -> str:
    """What is asked: the same for the same question alone."""
    return target.url if form is None else f"{target.url} {sorted(form.items())}"


async def _read(stream: aiohttp.StreamReader) -> bytes:
    body = bytearray()
    async for chunk in stream.iter_any():
        body += chunk
        if len(body) > LARGEST:
            raise _OversizedError(f"answers with more than {LARGEST // 1024 // 1024} MiB")
    return bytes(body)


def _why(error: Exception) -> str:
    """In our own words: the library's name addresses and repeat what servers sent."""
    if isinstance(error, UnansweredError | RefusedAddressError):
        return str(error)
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "cannot be resolved"
    if isinstance(
        error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientConnectorSSLError | ssl.SSLError
    ):
        return "has no certificate that is valid for its name here"
    if isinstance(error, aiohttp.ClientConnectorError):
        return "cannot be connected to"
    if isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError | OSError):
        return "closed the connection without an answer"
    return "gives an answer that is no valid HTTP"
