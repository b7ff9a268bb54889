"""Requests to the API server while a sandbox starts, by the standard library, which imports faster than a client."""

from __future__ import annotations

import contextlib
import http.client
import json
import ssl
from dataclasses import dataclass
from typing import Any

from trimtab.sandbox.certificates import ADMIN
from trimtab.sandbox.paths import Layout


@dataclass(frozen=True)
class Response:
    """A status code and the decoded body; code 0 if there was no response."""

    code: int
    body: Any = None

    @property
    def ok(self) -> bool:
        return 200 <= self.code < 300


class ApiClient:
    """One keep-alive connection as the sandbox's admin."""

    def __init__(self, layout: Layout, timeout: float = 5.0) -> None:
        admin = layout.certificates.pair(ADMIN.name)
        context = ssl.create_default_context(cafile=str(layout.certificates.ca.certificate))
        context.load_cert_chain(admin.certificate, admin.key)
        self._connection = http.client.HTTPSConnection(
            "127.0.0.1", layout.server_port, context=context, timeout=timeout
        )

    def get(self, path: str) -> Response:
        return self._request("GET", path)

    def post(self, path: str, body: object) -> Response:
        return self._request("POST", path, json.dumps(body))

    def apply(self, path: str, body: object) -> Response:
        """Server-side apply as kubectl, so that a later `kubectl apply --server-side` causes no conflict."""
        path += "?fieldManager=kubectl&force=true"
        return self._request("PATCH", path, json.dumps(body), "application/apply-patch+yaml")

    def close(self) -> None:
        self._connection.close()

    def _request(
        self, method: str, path: str, body: str | None = None, content_type: str = "application/json"
    ) -> Response:
        try:
            headers = {"Content-Type": content_type, "Accept": "application/json"}
            self._connection.request(method, path, body, headers)
            response = self._connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            return Response(0)
        try:
            return Response(response.status, json.loads(content))
        except ValueError:
            return Response(response.status, content.decode(errors="replace"))


def connect(layout: Layout, timeout: float = 5.0) -> contextlib.closing[ApiClient]:
    return contextlib.closing(ApiClient(layout, timeout))
