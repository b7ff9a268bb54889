"""One request to an allowed place, whatever the server on the other side is up to."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import gzip
import ipaddress
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from support.http_servers import always, never, reply, serving
from trimtab.gates.aiohttp_client import MAX_BYTES, AiohttpClient
from trimtab.gates.http_client import NoResponseError
from trimtab.gates.urls import Target, parse

FORM = {"query": "up"}


@contextlib.asynccontextmanager
async def asking(client: AiohttpClient | None = None) -> AsyncIterator[AiohttpClient]:
    client = client or AiohttpClient()
    try:
        yield client
    finally:
        await client.close()


async def refusal(client: AiohttpClient, target: Target, timeout: float = 10.0) -> str:
    with pytest.raises(NoResponseError) as error:
        await client.post(target, FORM, timeout)
    return str(error.value)


async def test_a_form_is_posted_and_the_body_comes_back() -> None:
    async with asking() as client, serving(always(reply(b"{}"))) as server:
        answer = await client.post(parse(f"{server.url}/p"), {"query": "a & b"}, 10)

    assert (answer.status, answer.body) == (200, b"{}")
    assert server.requests[0].startswith("POST /p HTTP/1.1\r\n")
    assert server.requests[0].endswith("query=a+%26+b")


async def test_a_status_is_got_without_reading_the_body() -> None:
    endless = b"HTTP/1.1 503 Broken\r\nContent-Length: 99999999999\r\n\r\nsecret"
    async with asking() as client, serving(always(endless)) as server:
        answer = await client.status(parse(f"{server.url}/x?a=%20b"), 10)

    assert (answer.status, answer.body) == (503, b"")
    assert server.requests[0].startswith("GET /x?a=%20b HTTP/1.1\r\n")


async def test_what_is_requested_is_to_the_letter_what_was_checked() -> None:
    path = "/x//y/%25/%2525;a=b/a.b..c/.../%C3%A9?q=%2F..%2F&r=/../[]".replace("[]", "%5B%5D")
    async with asking() as client, serving(always(reply())) as server:
        target = parse(server.url + path)
        await client.status(target, 10)

    assert target.url == server.url + path
    assert server.requests[0].split("\r\n")[0] == f"GET {path} HTTP/1.1"


async def test_a_redirect_is_a_response_and_is_not_followed() -> None:
    async with asking() as client, serving(always(reply(b"{}"))) as secret:
        where = f"Location: {secret.url}/admin\r\n"
        for status in ("301 Moved", "302 Found", "303 See", "307 Temporary", "308 Permanent"):
            async with serving(always(reply(status=status, headers=where))) as server:
                got = await client.status(parse(server.url), 10)
                posted = await client.post(parse(server.url), FORM, 10)
            assert got.status == posted.status == int(status[:3])

    assert secret.requests == []


async def test_a_name_is_resolved_once_and_the_request_goes_to_that_address() -> None:
    answers = ["127.0.0.1", "169.254.169.254"]
    looked = []

    async def rebinding(host: str, port: int) -> list[str]:
        looked.append(host)
        return [answers[min(len(looked), len(answers)) - 1]]

    async with asking(AiohttpClient(lookup=rebinding)) as client, serving(always(reply(b"{}"))) as server:
        target = parse(f"http://rebinding.example:{server.port}/")
        first = await client.post(target, FORM, 10)
        second = await refusal(client, target)

    assert first.status == 200
    assert second == f"rebinding.example:{server.port} resolves to a link-local address"
    assert looked == ["rebinding.example"] * 2
    assert len(server.requests) == 1
    assert f"Host: rebinding.example:{server.port}" in server.requests[0]


@pytest.mark.parametrize(
    ("response", "said"),
    [
        (reply(b"x" * (MAX_BYTES + 1)), "sent a response of more than 1 MiB"),
        (reply(b"x", headers="X: " + "y" * 100_000 + "\r\n"), "sent a response that is not valid HTTP"),
        (
            reply(b"x", headers="".join(f"X{n}: y\r\n" for n in range(5000))),
            "sent a response that is not valid HTTP",
        ),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "sent a response that is not valid HTTP"),
        (b"HTTP/1.1 2000 OK\r\n\r\n", "sent a response that is not valid HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", "sent a response that is not valid HTTP"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            "sent a response that is not valid HTTP",
        ),
        (b"", "closed the connection without a response"),
    ],
)
async def test_a_hostile_response_is_an_error(response: bytes, said: str) -> None:
    async with asking() as client, serving(always(response)) as server:
        assert await refusal(client, parse(server.url)) == f"127.0.0.1:{server.port} {said}"


async def test_a_body_without_an_end_is_cut_off() -> None:
    async def endless(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
            await writer.drain()

    async with asking() as client, serving(endless) as server:
        assert "sent a response of more than 1 MiB" in await refusal(client, parse(server.url), 60)


async def test_a_compressed_bomb_is_not_unpacked() -> None:
    bomb = gzip.compress(b"x" * 10_000_000)
    async with (
        asking() as client,
        serving(always(reply(bomb, headers="Content-Encoding: gzip\r\n"))) as server,
    ):
        answer = await client.post(parse(server.url), FORM, 10)

    assert answer.body == bomb
    assert "Accept-Encoding: identity" in server.requests[0]


async def dripping(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"X: y\r\n")
        await writer.drain()
        await asyncio.sleep(0.01)


async def going_on(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.001)


async def half(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    await asyncio.Event().wait()


@pytest.mark.parametrize("slow", [never, dripping, going_on, half], ids=lambda slow: slow.__name__)
async def test_a_server_that_takes_its_time_gets_no_more_than_the_gates(slow: object) -> None:
    async with asking() as client, serving(slow) as server:  # type: ignore[arg-type]
        said = await refusal(client, parse(server.url), timeout=0.2)

    assert said == f"127.0.0.1:{server.port} sent no response within 0.2s"


async def test_a_name_server_that_is_silent_gets_no_more_time_either() -> None:
    async def silent(host: str, port: int) -> list[str]:
        await asyncio.Event().wait()
        return []

    async with asking(AiohttpClient(lookup=silent)) as client:
        assert "sent no response within 0.1s" in await refusal(client, parse("http://slow.example/"), 0.1)


async def test_an_unreachable_host_is_reported_without_addresses() -> None:
    async def inside(host: str, port: int) -> list[str]:
        if host == "unknown.example":
            raise OSError("no such name at 10.96.0.10")
        return ["127.0.0.1"]

    async with serving(never) as closed:
        pass
    async with asking(AiohttpClient(lookup=inside)) as client:
        refused = await refusal(client, parse(f"http://service.example:{closed.port}/"))
        unknown = await refusal(client, parse("http://unknown.example/"))

    assert refused == f"service.example:{closed.port} refused the connection or is unreachable"
    assert unknown == "unknown.example:80 cannot be resolved"


async def test_no_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(always(reply(b"proxy"))) as proxy, serving(always(reply(b"{}"))) as server:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.delenv("no_proxy", raising=False)
        async with asking() as client:
            answer = await client.post(parse(server.url), FORM, 10)

    assert answer.body == b"{}"
    assert proxy.requests == []


async def test_no_cookie_is_kept() -> None:
    async with asking() as client, serving(always(reply(headers="Set-Cookie: a=b; Path=/\r\n"))) as server:
        await client.status(parse(server.url), 10)
        await client.status(parse(server.url), 10)

    assert len(server.requests) == 2
    assert "cookie" not in "".join(server.requests).lower()


async def test_no_credentials_are_read_from_a_netrc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login ann password hunter2\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    async with asking() as client, serving(always(reply())) as server:
        await client.status(parse(server.url), 10)

    assert "authorization" not in server.requests[0].lower()


async def test_an_untrusted_certificate_is_refused(tmp_path: Path) -> None:
    tls = self_signed(tmp_path)
    async with asking() as client, serving(always(reply()), tls) as server:
        said = await refusal(client, parse(f"https://127.0.0.1:{server.port}/"))

    assert said == f"127.0.0.1:{server.port} has no certificate that is trusted and valid for its name"
    assert server.requests == []


async def test_after_consecutive_errors_a_host_is_not_queried_until_a_probe_succeeds() -> None:
    now = 0.0
    broken = True

    async def answer(writer: asyncio.StreamWriter) -> None:
        if not broken:
            writer.write(reply())

    async with asking(AiohttpClient(lambda: now)) as client, serving(answer) as server:
        target = parse(server.url)
        for _ in range(3):
            await refusal(client, target)
        asked = len(server.requests)
        said = await refusal(client, target)
        other = [await refusal(client, parse(f"{server.url}/other/{n}")) for n in range(3)]
        broken, now = False, 5.0
        probe = await client.status(target, 10)

    assert said == f"127.0.0.1:{server.port} failed 3 times in a row; next request in 5s"
    assert other[1:] == [said, said], "the first of them is asked, as one request may fail by itself"
    assert asked == 3
    assert probe.status == 200


async def test_what_is_a_gates_own_doing_is_not_held_against_its_host() -> None:
    silent = True

    async def answer(writer: asyncio.StreamWriter) -> None:
        await (never(writer) if silent else always(reply(b"x" * (MAX_BYTES + 1)))(writer))

    async with asking() as client, serving(answer) as server:
        target = parse(server.url)
        hasty = [await refusal(client, target, timeout=0.01) for _ in range(9)]
        silent = False
        large = [await refusal(client, target) for _ in range(9)]

    assert {said.partition(" ")[2] for said in hasty} == {"sent no response within 0.01s"}
    assert {said.partition(" ")[2] for said in large} == {"sent a response of more than 1 MiB"}


async def test_a_host_that_hangs_delays_no_query_of_other_hosts() -> None:
    async with asking() as client, serving(never) as tarpit, serving(always(reply())) as good:
        stuck = [asyncio.create_task(client.status(parse(tarpit.url), 60)) for _ in range(40)]
        await asyncio.sleep(0)

        answer = await client.status(parse(good.url), 10)

        for task in stuck:
            task.cancel()
        await asyncio.gather(*stuck, return_exceptions=True)

    assert answer.status == 200
    assert len(tarpit.requests) <= 4


def self_signed(folder: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    pair = folder / "pair.pem"
    pair.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair)
    return context
