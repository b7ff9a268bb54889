"""Fixtures of tests that need a real API server: one that all workers share, and each worker's own for operators."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Iterator

import pytest

# Fixtures and a hook of the tests that run operators.
from support.namespace import ns  # noqa: F401
from support.operator_cluster import (  # noqa: F401
    operator,
    operator_cluster,
    operators,
    proxy,
    pytest_collection_modifyitems,
)
from support.service_accounts import guarded, hire  # noqa: F401
from support.shared_cluster import Cluster, begin, shared
from trimtab.sandbox import ensure_binaries

_CLOSING = pytest.StashKey[contextlib.ExitStack]()


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    """The cluster of this test run. It is shared: work in a ``namespace`` of your own."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    closing = request.config.stash.setdefault(_CLOSING, contextlib.ExitStack())
    return closing.enter_context(shared(folder, lambda: begin(request.config)))


@pytest.fixture
def namespace(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[str]:
    """A new namespace for this test alone."""
    about = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-")[:40].strip("-")
    name = f"{about}-{secrets.token_hex(4)}"
    cluster.kubectl("create", "namespace", name)
    cluster.kubectl("wait", "--for=create", "serviceaccount/default", "-n", name, "--timeout=60s")
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false", "--ignore-not-found")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Builds the binaries if tests will want them: here no test's timeout runs, and the progress is seen."""
    if session.config.option.collectonly or not any(_wants_cluster(item) for item in session.items):
        return
    capture = session.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled() if capture else contextlib.nullcontext():
        ensure_binaries()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Not a fixture's end, because waiting for the other workers must not count as a test's time."""
    closing = session.config.stash.get(_CLOSING, None)
    if closing is not None:
        closing.close()


def _wants_cluster(item: pytest.Item) -> bool:
    return "cluster" in getattr(item, "fixturenames", ()) or item.get_closest_marker("cluster") is not None
