"""HTTP gates: a GET whose status code decides. The body is not even read."""

from __future__ import annotations

from trimtab.api.strategy import HttpGate
from trimtab.gates import Measurement
from trimtab.gates.answers import Asker
from trimtab.gates.urls import AllowList

EXPECTED = (200,)


async def measure(spec: HttpGate, allow: AllowList, asker: Asker, timeout: float) -> Measurement:
    """:raises RefusedUrlError: it may not be asked. :raises UnansweredError: it did not answer."""
    target = allow.check(spec.url)
    answer = await asker.status(target, timeout)
    expected = EXPECTED if spec.expect_status is None else tuple(spec.expect_status)
    if answer.status in expected:
        return Measurement("Successful", f"{target.place} answers {answer.status}")
    redirect = "; redirects are not followed" if 300 <= answer.status < 400 else ""
    wanted = " or ".join(map(str, expected))
    return Measurement("Failed", f"{target.place} answers {answer.status}, not {wanted}{redirect}")
