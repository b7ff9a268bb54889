"""One cluster for all tests that need a real API server, whichever can be had.

``--kubeconfig PATH`` (pytest-kind's own option) names one; else kind by pytest-kind, where a Docker engine
runs; else the sandbox. Tests see a kubeconfig and a kubectl, never which it is.

Under pytest-xdist the workers share one: two control planes on two cores would only take turns. The first
worker that needs it starts it and so owns it; the others join, each holding a shared lock until its session
ends, and the owner waits for those locks before it stops the cluster. Without such tests nothing is started.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import pytest

from support.cluster_fixtures import arena, operator, operators, place, proxy, pytest_collection_modifyitems  # noqa: F401

# Fixtures and a hook of the tests that run operators.
from support.service_accounts import guarded, hire  # noqa: F401
from trimtab.sandbox import Kubectl, Sandbox, ensure_binaries

NODES = 2
_CLOSING = pytest.StashKey[contextlib.ExitStack]()


@dataclass(frozen=True)
class Cluster:
    """A real API server, as its admin."""

    kubeconfig: Path
    _kubectl: Kubectl

    def kubectl(
        self,
        *args: str,
        input: str | None = None,  # noqa: A002 - as subprocess calls it
        check: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        """Raises trimtab.sandbox.KubectlError, with kubectl's own words, unless ``check`` is false."""
        return self._kubectl.run(*args, stdin=input, check=check)


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    """The cluster of this test run. It is shared: work in a ``namespace`` of your own."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    closing = request.config.stash.setdefault(_CLOSING, contextlib.ExitStack())
    return closing.enter_context(_shared(folder, lambda: _begin(request.config)))


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


@dataclass(frozen=True)
class _Begun:
    kubeconfig: Path
    stop: Callable[[], object]


def _begin(config: pytest.Config) -> _Begun:
    explicit = config.getoption("kubeconfig", None)
    if explicit:
        return _Begun(Path(explicit).resolve(), lambda: None)
    if _docker_runs():
        return _begin_kind(config)
    sandbox = Sandbox.start(nodes=NODES)
    return _Begun(sandbox.kubeconfig, sandbox.stop)


def _begin_kind(config: pytest.Config) -> _Begun:
    from pytest_kind import KindCluster

    kind_bin = config.getoption("kind_bin")
    kind = KindCluster(
        config.getoption("cluster_name"),
        image=config.getoption("kind_image"),
        kind_path=Path(kind_bin) if kind_bin else None,
    )
    kind.create()
    keep = config.getoption("keep_cluster")
    return _Begun(Path(kind.kubeconfig_path).resolve(), (lambda: None) if keep else kind.delete)


def _docker_runs() -> bool:
    if shutil.which("docker") is None:
        return False
    try:
        return (
            subprocess.run(["docker", "info"], capture_output=True, timeout=20, check=False).returncode == 0
        )
    except subprocess.TimeoutExpired:
        return False


@contextlib.contextmanager
def _shared(folder: Path, begin: Callable[[], _Begun]) -> Iterator[Cluster]:
    with (folder / "cluster.kubeconfig").open("a+") as joining, (folder / "cluster.users").open("a") as users:
        begun = None
        with _locked(joining):
            joining.seek(0)
            kubeconfig = joining.read()
            cluster = _cluster(Path(kubeconfig), folder) if kubeconfig else None
            # A worker that crashed took its sandbox with it.
            if cluster is None or cluster.kubectl("get", "--raw=/readyz", check=False).returncode != 0:
                begun = begin()
                cluster = _cluster(begun.kubeconfig, folder)
                joining.truncate(0)
                joining.write(str(begun.kubeconfig))
                joining.flush()
            fcntl.flock(users, fcntl.LOCK_SH)
        try:
            yield cluster
        finally:
            fcntl.flock(users, fcntl.LOCK_UN)
            if begun is not None:
                with _locked(joining):
                    joining.truncate(0)
                    fcntl.flock(users, fcntl.LOCK_EX)
                    begun.stop()


@contextlib.contextmanager
def _locked(file: TextIO) -> Iterator[None]:
    fcntl.flock(file, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)


def _cluster(kubeconfig: Path, folder: Path) -> Cluster:
    binary = ensure_binaries().kubectl
    return Cluster(kubeconfig, Kubectl(binary, kubeconfig, folder / f"kubectl-{kubeconfig.parent.name}"))
