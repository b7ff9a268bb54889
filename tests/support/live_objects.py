"""The API server as tests use it: whole objects as dicts, server-side apply, and waiting without a clock.

One thin client over urllib3, because a subprocess for each look (kubectl) would cost more than all looks together.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

import urllib3

from trimtab.kube import resources
from trimtab.kube.bodies import as_json, as_yaml
from trimtab.kube.credentials import from_kubeconfig
from trimtab.kube.resources import Resource

Body = dict[str, Any]
T = TypeVar("T")

PATIENCE = 90.0
"""Seconds that a condition may take on a loaded machine; nothing is slept through, so it costs only failures."""
_POLL = 0.02

KINDS: dict[str, Resource] = {
    found.kind: found for found in vars(resources).values() if isinstance(found, Resource)
} | {
    "Event": Resource("", "v1", "events", "Event"),
    "Pod": Resource("", "v1", "pods", "Pod"),
    "ServiceAccount": Resource("", "v1", "serviceaccounts", "ServiceAccount"),
}


class RefusedError(Exception):
    """What the API server answered instead; ``status`` is the HTTP code."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status}: {text[:2000]}")
        self.status = status


class Api:
    """The API server as whoever the kubeconfig is of, or as whom they impersonate. Objects are dicts; what is not
    there is None."""

    def __init__(self, kubeconfig: Path, *, impersonate: str = "") -> None:
        self._who = from_kubeconfig(kubeconfig)
        self._headers = {"Impersonate-User": impersonate} if impersonate else {}
        self._pool = urllib3.PoolManager(ssl_context=self._who.tls(), maxsize=8, retries=urllib3.Retry(3))

    def call(
        self, method: str, path: str, body: object = None, *, kind: str = "application/json", **query: str
    ) -> Body:
        """Raises RefusedError for anything but success."""
        headers = {"Accept": "application/json", "Content-Type": kind, **self._headers}
        token = self._who.bearer()
        if token:
            headers["Authorization"] = f"Bearer {token}"
        url = self._who.server + path
        if query:
            url += "?" + urlencode(query)
        encode = as_yaml if "yaml" in kind else as_json
        sent = None if body is None else encode(body)
        answer = self._pool.request(method, url, body=sent, headers=headers)
        if answer.status >= 400:
            raise RefusedError(answer.status, answer.data.decode(errors="replace"))
        return json.loads(answer.data) if answer.data else {}

    def get(self, kind: str, namespace: str, name: str) -> Body | None:
        try:
            return self.call("GET", KINDS[kind].path(namespace, name))
        except RefusedError as refused:
            if refused.status == 404:
                return None
            raise

    def one(self, kind: str, namespace: str, name: str) -> Body:
        found = self.get(kind, namespace, name)
        assert found is not None, f"there is no {kind} {namespace}/{name}"
        return found

    def list(self, kind: str, namespace: str | None = None, selector: str = "") -> list[Body]:
        query = {"labelSelector": selector} if selector else {}
        return list(self.call("GET", KINDS[kind].path(namespace), **query)["items"])

    def create(self, body: Body) -> Body:
        return self.call("POST", KINDS[body["kind"]].path(body["metadata"].get("namespace")), body)

    def apply(self, body: Body, manager: str = "tests") -> Body:
        """Server-side apply: fields that an earlier one set and this one leaves out are removed."""
        meta = body["metadata"]
        path = KINDS[body["kind"]].path(meta.get("namespace"), meta["name"])
        return self.call(
            "PATCH", path, body, kind="application/apply-patch+yaml", fieldManager=manager, force="true"
        )

    def patch(self, kind: str, namespace: str, name: str, patch: Body, subresource: str = "") -> Body:
        """A merge patch, as by hand."""
        path = KINDS[kind].path(namespace, name, subresource)
        return self.call("PATCH", path, patch, kind="application/merge-patch+json", fieldManager="by-hand")

    def delete(self, kind: str, namespace: str, name: str) -> None:
        try:
            self.call("DELETE", KINDS[kind].path(namespace, name))
        except RefusedError as refused:
            if refused.status != 404:
                raise


def wait_for(
    condition: Callable[[], T], what: str | Callable[[], str] = "", *, patience: float = PATIENCE
) -> T:
    """The first true answer of ``condition``; an AssertionError in it counts as not yet."""
    until = time.monotonic() + patience
    while True:
        said = ""
        try:
            answer = condition()
            if answer:
                return answer
        except AssertionError as error:
            said = str(error)
        if time.monotonic() > until:
            about = what() if callable(what) else what
            raise AssertionError(f"not within {patience:.0f} s: {about} {said}".strip())
        time.sleep(_POLL)
