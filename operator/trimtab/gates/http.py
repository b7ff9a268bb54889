"""HTTP gates: a GET whose status code decides. The body is not read."""

from __future__ import annotations

from trimtab.api.strategy import HttpGate
from trimtab.gates import Measurement
from trimtab.gates.http_client import HttpClient
from trimtab.gates.urls import AllowList

EXPECTED = (200,)


async def measure(spec: HttpGate, allow: AllowList, client: HttpClient, timeout: float) -> Measurement:
    """:raises RefusedUrlError: the URL is not allowed. :raises NoResponseError: there is no usable response."""
    target = allow.check(spec.url)
    response = await client.status(target, timeout)
    expected = EXPECTED if spec.expect_status is None else tuple(spec.expect_status)
    if response.status in expected:
        return Measurement("Successful", f"{target.authority} returned {response.status}")
    redirect = "; redirects are not followed" if 300 <= response.status < 400 else ""
    names = " or ".join(map(str, expected))
    return Measurement("Failed", f"{target.authority} returned {response.status}, not {names}{redirect}")
