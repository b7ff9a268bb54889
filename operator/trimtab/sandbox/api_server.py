"""The few requests that bringing a sandbox up takes, by the standard library: importing a client library
would take longer than they do."""

from __future__ import annotations

import contextlib
import http.client
import json
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from trimtab.sandbox.certs import ADMIN
from trimtab.sandbox.components import Layout


@dataclass(frozen=True)
class Answer:
    """A status code and the decoded body; code 0 where nobody answered."""

    code: int
    body: Any = None

    @property
    def ok(self) -> bool:
        return 200 <= self.code < 300


class ApiServer:
    """One keep-alive connection as the sandbox's admin."""

    def __init__(self, layout: Layout, timeout: float = 5.0) -> None:
        client = layout.pki.pair(ADMIN.file)
        context = ssl.create_default_context(cafile=str(layout.pki.ca.certificate))
        context.load_cert_chain(client.certificate, client.key)
        self._connection = http.client.HTTPSConnection(
            "127.0.0.1", layout.server_port, context=context, timeout=timeout
        )

    def get(self, path: str) -> Answer:
        return self._request("GET", path)

    def post(self, path: str, body: object) -> Answer:
        return self._request("POST", path, json.dumps(body))

    def apply(self, path: str, body: object) -> Answer:
        """Server-side apply as kubectl does it, so that a later `kubectl apply --server-side` is no conflict."""
        path += "?fieldManager=kubectl&force=true"
        return self._request("PATCH", path, json.dumps(body), "application/apply-patch+yaml")

    def close(self) -> None:
        self._connection.close()

    def _request(
        self, method: str, path: str, body: str | None = None, content: str = "application/json"
    ) -> Answer:
        try:
            headers = {"Content-Type": content, "Accept": "application/json"}
            self._connection.request(method, path, body, headers)
            response = self._connection.getresponse()
            said = response.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            return Answer(0)
        try:
            return Answer(response.status, json.loads(said))
        except ValueError:
            return Answer(response.status, said.decode(errors="replace"))


@contextlib.contextmanager
def connected(layout: Layout, timeout: float = 5.0) -> Iterator[ApiServer]:
    server = ApiServer(layout, timeout)
    try:
        yield server
    finally:
        server.close()
