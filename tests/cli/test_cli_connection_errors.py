"""An invalid kubeconfig or an unreachable API server: one line reports it, with the documented exit code."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml

from support.cli_manifests import Call
from support.fake_cluster import FakeCluster, policy_rollout
from trimtab.kube.resources import POLICY_ROLLOUTS

Body = dict[str, Any]
Kubeconfig = Callable[..., Path]
VERBS = [
    (["status"], 1),
    (["status", "app"], 1),
    (["rollout", "status", "calmer"], 1),
    (["rollout", "abort", "calmer"], 1),
    (["history", "app"], 1),
    (["history", "--user", "ann"], 1),
    (["diff", "app", "free"], 2),
    (["diff", "--user", "ann"], 2),
    (["undo", "app", "free"], 1),
]


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Kubeconfig:
    """``kubeconfig(cluster={...}, user={...})``: a file with these."""

    def write(cluster: Any = None, user: Any = None) -> Path:
        path = tmp_path / "config"
        made = {
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"} | (cluster or {})}],
            "users": [{"name": "u", "user": user or {}}],
        }
        if cluster == {}:
            del made["clusters"][0]["cluster"]["server"]  # type: ignore[index]
        path.write_text(yaml.safe_dump(made))
        return path

    return write


class _Foreign(BaseHTTPRequestHandler):
    says: ClassVar[bytes] = b""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.says)

    def log_message(self, *_: Any) -> None:
        return


@pytest.fixture
def foreign() -> Iterator[Callable[[bytes], str]]:
    """``foreign(content)``: the address of something that answers everything with 200 and this content."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Foreign)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()

    def says(content: bytes) -> str:
        _Foreign.says = content
        return f"http://127.0.0.1:{server.server_port}"

    yield says
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("content", [b"<html>Please log in</html>", b"", b"[]", b'"\xff"', b"[" * 100_000])
@pytest.mark.parametrize(("verb", "code"), VERBS)
def test_a_response_that_is_not_from_an_api_server_is_one_line(
    trimtab: Call,
    kubeconfig: Kubeconfig,
    foreign: Callable[[bytes], str],
    verb: list[str],
    code: int,
    content: bytes,
) -> None:
    path = kubeconfig({"server": foreign(content)})
    answer = trimtab(*verb, "--kubeconfig", path)
    assert (answer.code, answer.out) == (code, "")
    assert answer.err.count("error: ") == 1
    assert "is not a Kubernetes API server" in answer.err


class _Without(BaseHTTPRequestHandler):
    """An API server without the CRD of one kind: what is there of the others is empty."""

    plural: ClassVar[str] = ""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0].split("/")
        named = path[-1] not in ("configtemplates", "userpreferences", "policyrollouts", "renderedgroups")
        gone = self.plural in path
        said = (
            {"metadata": {"resourceVersion": "1"}, "items": []}
            if not named
            else {"reason": "NotFound", "code": 404}
        )
        self.send_response(404 if gone or named else 200)
        self.end_headers()
        self.wfile.write(b"404 page not found\n" if gone else json.dumps(said).encode())

    def log_message(self, *_: Any) -> None:
        return


@pytest.mark.parametrize(
    ("verb", "code", "plural"),
    [
        (["status"], 1, "policyrollouts"),
        (["status"], 1, "configtemplates"),
        (["history", "app"], 1, "configtemplates"),
        (["history", "--user", "ann"], 1, "userpreferences"),
        (["diff", "app", "free"], 2, "renderedgroups"),
        (["explain", "app", "ann"], 1, "configtemplates"),
        (["rollout", "status", "calmer"], 1, "policyrollouts"),
    ],
)
def test_a_kind_that_is_not_installed_is_named(
    trimtab: Call, kubeconfig: Kubeconfig, verb: list[str], code: int, plural: str
) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Without)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    _Without.plural = plural
    try:
        path = kubeconfig({"server": f"http://127.0.0.1:{server.server_port}"})
        answer = trimtab(*verb, "--kubeconfig", path)
    finally:
        server.shutdown()
        server.server_close()

    assert (answer.code, answer.out) == (code, "")
    assert f"does not serve {plural}.trimtab.dev: install the CRDs" in answer.err


BAD: list[tuple[Body | None, Body | None, str]] = [
    ({}, None, "it has no server"),
    ({"server": None}, None, "server must be an https:// or http:// address, not None"),
    ({"certificate-authority": "/none/ca.crt"}, None, "certificate-authority: /none/ca.crt: No such file"),
    ({"certificate-authority-data": "a"}, None, "certificate-authority-data is not valid base64"),
    ({"certificate-authority-data": "YQ=="}, None, "a certificate or key cannot be used"),
    (None, {"client-certificate": "/none/me.crt"}, "client-certificate: /none/me.crt: No such file"),
    (None, {"client-key-data": "a"}, "client-key-data is not valid base64"),
    (
        None,
        {"client-key-data": "YQ==", "client-certificate-data": "YQ=="},
        "a certificate or key cannot be used",
    ),
    (None, {"tokenFile": "/none/token"}, "/none/token"),
]


@pytest.mark.parametrize(("cluster", "user", "said"), BAD)
@pytest.mark.parametrize("verb", ["status", "run"])
def test_a_kubeconfig_that_cannot_be_used_is_one_line(
    trimtab: Call, kubeconfig: Kubeconfig, cluster: Body | None, user: Body | None, said: str, verb: str
) -> None:
    answer = trimtab(verb, "--kubeconfig", kubeconfig(cluster, user))
    assert answer.code == 1
    assert answer.err.count("error: ") == 1
    assert said in " ".join(answer.err.split())


@pytest.mark.parametrize("text", ["", "[]", "a: [", "a", "\udcff", "{contexts: [], current-context: c}"])
@pytest.mark.parametrize("verb", ["status", "run"])
def test_what_is_no_kubeconfig_at_all_is_one_line(
    trimtab: Call, tmp_path: Path, text: str, verb: str
) -> None:
    path = tmp_path / "config"
    path.write_bytes(text.encode(errors="surrogateescape"))
    answer = trimtab(verb, "--kubeconfig", path)
    assert answer.code == 1
    assert answer.err.startswith(f"error: {path}: not a usable kubeconfig")


def test_a_watcher_that_dies_ends_the_watch(cluster: FakeCluster, trimtab: Call) -> None:
    def die() -> None:
        raise KeyError("metadata")

    cluster.put(POLICY_ROLLOUTS, policy_rollout("Progressing"))
    cluster.scenes = [die]
    answer = trimtab("rollout", "watch", "calmer", "--timeout", "20s")
    assert answer.code == 1
    assert "malformed event (KeyError: 'metadata')" in answer.err
