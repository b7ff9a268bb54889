"""Prometheus gates against a real Prometheus."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from support.prometheus import Metrics, Prometheus, metrics_server
from support.prometheus import prometheus as prometheus_server
from trimtab.api.strategy import PrometheusGate
from trimtab.gates import Measurement, prometheus
from trimtab.gates.aiohttp_client import AiohttpClient
from trimtab.gates.http_client import NoResponseError
from trimtab.gates.urls import AllowList

pytestmark = pytest.mark.xdist_group("prometheus")


@pytest.fixture(scope="module")
def metrics() -> Iterator[Metrics]:
    with metrics_server(errors=0.25, many=1.0) as found:
        yield found


@pytest.fixture(scope="module")
def server(metrics: Metrics, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    folder: Path = tmp_path_factory.mktemp("prometheus")
    with prometheus_server(folder, {"app": metrics.address}) as found:
        found.wait_for("errors", 0.25)
        yield found


@pytest.fixture
async def client() -> AsyncIterator[AiohttpClient]:
    client = AiohttpClient()
    yield client
    await client.close()


async def ask(client: AiohttpClient, server: Prometheus, query: str) -> Measurement:
    spec = PrometheusGate(address=server.url, query=query, success_condition="result < 0.5")
    return await prometheus.measure(spec, AllowList.parse([server.url]), client, 10)


@pytest.mark.parametrize(
    ("query", "result", "message"),
    [
        ("errors", "Successful", "0.25: result < 0.5 holds"),
        ("scalar(errors)", "Successful", "0.25: result < 0.5 holds"),
        ('sum(errors{job="app"}) * 4', "Failed", "1: result < 0.5 does not hold"),
        ("errors / 0", "Failed", "inf: result < 0.5 does not hold"),
        ("no_such_metric", "NoData", "the query returned no series"),
        ("scalar(no_such_metric)", "NoData", "the query returned NaN"),
        ("0 * (errors / 0)", "NoData", "the query returned NaN"),
        ('errors or label_replace(many, "n", "2", "", "")', "Successful", "0.25 (the first of 2 series)"),
    ],
)
async def test_a_query_is_measured(
    client: AiohttpClient, server: Prometheus, query: str, result: str, message: str
) -> None:
    found = await ask(client, server, query)

    assert found.result == result
    assert found.message.startswith(message)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("sum(rate(errors[1m])", "could not run the query (400, bad_data)"),
        ("errors[1m]", "returned a matrix"),
        ('"text"', "returned a string"),
        ('{__name__=~"errors|many"} * 0', "could not run the query (422, execution)"),
    ],
)
async def test_a_query_that_gives_no_number_is_an_error(
    client: AiohttpClient, server: Prometheus, query: str, said: str
) -> None:
    found = await ask(client, server, query)

    assert found.result == "Error"
    assert said in found.message


async def test_a_value_that_changes_changes_the_verdict(
    client: AiohttpClient, server: Prometheus, metrics: Metrics
) -> None:
    metrics.gauges["latency"] = 0.1
    server.wait_for("latency", 0.1)
    before = await ask(client, server, "latency")
    metrics.gauges["latency"] = 0.9
    server.wait_for("latency", 0.9)

    after = await ask(client, server, "latency")

    assert (before.result, after.result) == ("Successful", "Failed")


async def test_a_server_that_stops_is_not_queried_until_it_recovers(tmp_path: Path) -> None:
    now = 0.0
    client = AiohttpClient(lambda: now)
    with prometheus_server(tmp_path, {}) as mortal:
        alive = await ask(client, mortal, "vector(0.25)")

        mortal.stop()
        said = []
        for _ in range(4):
            with pytest.raises(NoResponseError) as error:
                await ask(client, mortal, "vector(0.25)")
            said.append(str(error.value).removeprefix(f"127.0.0.1:{mortal.port} "))
        mortal.start()
        now = 5.0
        back = await ask(client, mortal, "vector(0.25)")

    await client.close()
    assert alive.result == back.result == "Successful"
    assert said == ["refused the connection or is unreachable"] * 3 + [
        "failed 3 times in a row; next request in 5s"
    ]
