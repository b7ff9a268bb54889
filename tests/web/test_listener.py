"""The HTTP port is open to every pod: each client is served for a limited time, and none blocks the others."""

from __future__ import annotations

import asyncio
import errno
import resource
import socket
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from trimtab.web import listener, probes
from trimtab.web.probes import Server

HALF = b"GET /healthz HTTP/1.1\r\nX-"
WHOLE = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Server]:
    made = await probes.serve(probes.application(lambda: "", lambda: "", lambda: None), "127.0.0.1", 0)
    yield made
    await made.stop()


Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def connect(server: Server, sent: bytes, source: str = "127.0.0.1") -> Connection:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, local_addr=(source, 0))
    writer.write(sent)
    return reader, writer


async def answered(server: Server, source: str = "127.0.0.1") -> bool:
    reader, writer = await connect(server, WHOLE, source)
    line = await asyncio.wait_for(reader.readline(), 20)
    writer.close()
    return b" 200 " in line


async def ended(connection: Connection) -> bool:
    """Wait until the other side has closed it."""
    try:
        while await asyncio.wait_for(connection[0].read(4096), 20):
            pass
    except ConnectionError:
        pass
    return True


async def test_half_a_request_is_not_waited_for(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "SILENT_SECONDS", 0.1)
    monkeypatch.setattr(listener, "SWEEP_SECONDS", 0.05)
    assert await ended(await connect(server, HALF))
    assert await ended(await connect(server, b""))


async def test_an_idle_connection_is_closed(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "SILENT_SECONDS", 0.1)
    monkeypatch.setattr(listener, "SWEEP_SECONDS", 0.05)
    assert await ended(await connect(server, WHOLE))


async def test_no_connection_outlives_its_time(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "LIFETIME_SECONDS", 0.1)
    monkeypatch.setattr(listener, "SWEEP_SECONDS", 0.05)
    assert await ended(
        await connect(server, b"POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc")
    )


async def test_a_flood_from_one_address_holds_at_most_the_cap_and_blocks_no_other(server: Server) -> None:
    flood = [await connect(server, HALF) for _ in range(3 * listener.CONNECTIONS)]

    assert await answered(server)
    assert await answered(server, "127.0.0.2")

    assert server._listener is not None
    assert len(server._listener) <= listener.CONNECTIONS
    for _, writer in flood:
        writer.close()


async def test_a_flood_costs_only_its_own_address_connections(server: Server) -> None:
    reader, writer = await connect(server, HALF, "127.0.0.2")
    flood = [await connect(server, HALF) for _ in range(2 * listener.CONNECTIONS)]

    writer.write(b"A: b\r\nHost: x\r\n\r\n")

    assert b" 200 " in await asyncio.wait_for(reader.readline(), 20)
    for _, other in (*flood, (reader, writer)):
        other.close()


async def test_it_accepts_again_once_there_are_file_descriptors(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(listener, "FULL_SECONDS", 0.01)
    loop = asyncio.get_running_loop()
    accept, refusals = loop.sock_accept, iter(range(50))

    async def full(listening: socket.socket) -> tuple[socket.socket, object]:
        if next(refusals, None) is not None:
            raise OSError(errno.EMFILE, "Too many open files")
        return await accept(listening)

    monkeypatch.setattr(loop, "sock_accept", full)
    await answered(server)  # taken by the accept that waited already

    assert await answered(server)
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_the_cap_leaves_room_below_the_usual_limit_of_file_descriptors() -> None:
    assert min(1024, resource.getrlimit(resource.RLIMIT_NOFILE)[0]) > listener.CONNECTIONS * 4


async def test_a_port_in_use_is_an_error(server: Server) -> None:
    app = probes.application(lambda: "", lambda: "", lambda: None)
    with pytest.raises(OSError):
        await probes.serve(app, "127.0.0.1", server.port)


@pytest.mark.parametrize(
    "nonsense", [bytes(range(256)) * 100, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", HALF + b"x" * 9000]
)
async def test_nonsense_gets_a_response_and_is_not_logged(
    server: Server, nonsense: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    reader, writer = await connect(server, nonsense)
    line = await asyncio.wait_for(reader.readline(), 20)
    writer.close()
    assert b" 400 " in line
    assert not caplog.records


async def test_an_internal_error_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> str:
        raise RuntimeError("broken")

    made = await probes.serve(probes.application(broken, lambda: "", lambda: None), "127.0.0.1", 0)
    reader, writer = await connect(made, WHOLE)
    line = await asyncio.wait_for(reader.readline(), 20)
    writer.close()
    await made.stop()
    assert b" 500 " in line
    assert len(caplog.records) == 1
