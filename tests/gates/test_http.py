"""An HTTP gate evaluates the status code only."""

from __future__ import annotations

import pytest

from support.http_servers import always, reply, serving
from trimtab.api.strategy import HttpGate
from trimtab.gates import http
from trimtab.gates.aiohttp_client import AiohttpClient
from trimtab.gates.urls import AllowList


@pytest.mark.parametrize(
    ("status", "expected", "result", "said"),
    [
        ("200 OK", None, "Successful", "returned 200"),
        ("204 Empty", None, "Failed", "returned 204, not 200"),
        ("503 Broken", None, "Failed", "returned 503, not 200"),
        ("204 Empty", [200, 204], "Successful", "returned 204"),
        ("500 Broken", [200, 204], "Failed", "returned 500, not 200 or 204"),
        ("302 Found", None, "Failed", "returned 302, not 200; redirects are not followed"),
        ("302 Found", [302], "Successful", "returned 302"),
        ("404 Gone", [404], "Successful", "returned 404"),
    ],
)
async def test_the_status_code_decides(
    status: str, expected: list[int] | None, result: str, said: str
) -> None:
    client = AiohttpClient()
    async with serving(always(reply(b"", status, "Location: http://127.0.0.1:1/\r\n"))) as server:
        spec = HttpGate(url=f"{server.url}/healthz?deep=1", expect_status=expected)

        found = await http.measure(spec, AllowList.parse([f"{server.url}/healthz"]), client, 10)

    await client.close()
    assert (found.result, found.message) == (result, f"127.0.0.1:{server.port} {said}")
    assert server.requests[0].startswith("GET /healthz?deep=1 HTTP/1.1\r\n")
