"""What a Prometheus server's responses mean, and that only a number of them is repeated."""

from __future__ import annotations

import json
from typing import Any

import pytest

from support.http_servers import always, reply, serving
from trimtab.api.strategy import PrometheusGate
from trimtab.gates import Measurement, prometheus
from trimtab.gates.aiohttp_client import AiohttpClient
from trimtab.gates.http_client import NoResponseError
from trimtab.gates.urls import AllowList, RefusedUrlError

STRANGE = "HOST did not respond as Prometheus does"
NO_NUMBER = "HOST returned a {}; the query must return a number or an instant vector"
HISTOGRAM = "HOST returned a histogram; the query must return a number, for example by histogram_quantile"
DEEP = b'{"status":"success","data":{"resultType":"vector","result":' + b"[" * 500_000


def vector(*values: str) -> bytes:
    return success(
        "vector", [{"metric": {"pod": f"secret-{n}"}, "value": [1.5, v]} for n, v in enumerate(values)]
    )


def success(kind: str, result: Any) -> bytes:
    return json.dumps({"status": "success", "data": {"resultType": kind, "result": result}}).encode()


def failure(kind: str) -> bytes:
    return json.dumps({"status": "error", "errorType": kind, "error": "secret detail"}).encode()


async def measured(
    body: bytes, status: str = "200 OK", succeeds: str = "result < 0.5", fails: str | None = None
) -> Measurement:
    async with serving(always(reply(body, status))) as server:
        spec = PrometheusGate(
            address=server.url, query="sum(up)", success_condition=succeeds, failure_condition=fails
        )
        client = AiohttpClient()
        try:
            found = await prometheus.measure(spec, AllowList.parse([server.url]), client, 10)
        finally:
            await client.close()
        assert server.requests[0].startswith("POST /api/v1/query HTTP/1.1\r\n")
        assert server.requests[0].endswith("query=sum%28up%29&timeout=10.000")
    return Measurement(found.result, found.message.replace(f"127.0.0.1:{server.port}", "HOST"))


@pytest.mark.parametrize(
    ("body", "result", "message"),
    [
        (vector("0.25"), "Successful", "0.25: result < 0.5 holds"),
        (vector("0.75"), "Failed", "0.75: result < 0.5 does not hold"),
        (vector("0.25", "0.75"), "Successful", "0.25 (the first of 2 series): result < 0.5 holds"),
        (success("scalar", [1.5, "0.25"]), "Successful", "0.25: result < 0.5 holds"),
        (vector("+Inf"), "Failed", "inf: result < 0.5 does not hold"),
        (vector("-Inf"), "Successful", "-inf: result < 0.5 holds"),
        (vector("NaN"), "NoData", "the query returned NaN"),
        (success("scalar", [1.5, "NaN"]), "NoData", "the query returned NaN"),
        (vector(), "NoData", "the query returned no series"),
        (success("matrix", []), "Error", NO_NUMBER.format("matrix")),
        (success("string", [1.5, "x"]), "Error", NO_NUMBER.format("string")),
        (success("secret", []), "Error", NO_NUMBER.format("result of an unknown type")),
        (vector("secret"), "Error", STRANGE),
        (success("scalar", "secret"), "Error", STRANGE),
        (success("vector", [{"histogram": [1, {}]}]), "Error", HISTOGRAM),
        (b"<html>secret</html>", "Error", STRANGE),
        (b"", "Error", STRANGE),
        (b"[" * 500_000, "Error", STRANGE),
        (DEEP, "Error", STRANGE),
        (b'{"status":"success"}', "Error", STRANGE),
        (b"\xff\xfe", "Error", STRANGE),
    ],
)
async def test_the_first_sample_decides(body: bytes, result: str, message: str) -> None:
    assert await measured(body) == Measurement(result, message)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        ("400 Bad Request", failure("bad_data"), "HOST could not run the query (400, bad_data)"),
        ("422 Unprocessable", failure("execution"), "HOST could not run the query (422, execution)"),
        ("503 Unavailable", failure("timeout"), "HOST could not run the query (503, timeout)"),
        ("200 OK", failure("internal"), "HOST could not run the query (200, internal)"),
        ("400 Bad Request", failure("secret"), "HOST returned 400"),
        ("500 Broken", b"secret", "HOST returned 500"),
        ("401 Unauthorized", b"secret", "HOST requires credentials (401); gates send none"),
        ("403 Forbidden", b"", "HOST requires credentials (403); gates send none"),
        (
            "404 Not Found",
            b"",
            "HOST returned 404 at /api/v1/query; specify the address of a Prometheus server",
        ),
        (
            "302 Found",
            b"",
            "HOST returned 302; redirects are not followed: specify the address that it redirects to",
        ),
    ],
)
async def test_a_query_without_a_response_is_an_error(status: str, body: bytes, message: str) -> None:
    assert await measured(body, status) == Measurement("Error", message)


@pytest.mark.parametrize(
    ("value", "result"), [("0.1", "Successful"), ("0.7", "Inconclusive"), ("0.9", "Failed"), ("-1", "Failed")]
)
async def test_with_a_failure_condition_there_is_room_between(value: str, result: str) -> None:
    found = await measured(vector(value), fails="result > 0.8 || result < 0.0")

    assert found.result == result


async def test_what_holds_both_conditions_failed() -> None:
    found = await measured(vector("0.1"), fails="result >= 0.1")

    assert found == Measurement("Failed", "0.1: result >= 0.1 holds")


async def test_a_condition_that_cannot_be_evaluated_is_an_error() -> None:
    found = await measured(vector("0.1"), succeeds="1 / int(result) == 1")

    assert found == Measurement("Error", "0.1: a condition cannot be evaluated: divide by zero")


async def test_an_invalid_condition_is_an_error_and_no_query_is_sent() -> None:
    spec = PrometheusGate(address="http://p:9090", query="up", success_condition="result <")

    found = await prometheus.measure(spec, AllowList.parse([]), AiohttpClient(), 10)

    assert found == Measurement("Error", "a condition is not valid CEL: column 9: it ends too early")


async def test_an_address_that_is_not_allowed_is_not_queried() -> None:
    async with serving(always(reply(vector("1")))) as server:
        spec = PrometheusGate(address=server.url, query="up", success_condition="result < 1")
        with pytest.raises(RefusedUrlError, match="--allow-gate-url"):
            await prometheus.measure(spec, AllowList.parse(["http://127.0.0.1:1"]), AiohttpClient(), 10)

    assert server.requests == []


async def test_a_missing_response_is_reported_by_the_client() -> None:
    async with serving(always(b"")) as server:
        spec = PrometheusGate(address=server.url, query="up", success_condition="result < 1")
        client = AiohttpClient()
        with pytest.raises(NoResponseError):
            await prometheus.measure(spec, AllowList.parse([server.url]), client, 10)
        await client.close()
