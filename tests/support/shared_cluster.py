"""A real API server that all workers of a test run share, whichever can be had.

``--kubeconfig PATH`` (pytest-kind's own option) names one; else kind by pytest-kind, where a Docker engine
runs; else the sandbox. Tests see a kubeconfig and a kubectl, never which it is.

Under pytest-xdist the workers share one: two control planes on two cores would only compete. The first worker that
needs it starts it and so owns it; the others join, each holding a shared lock until its session ends, and the owner
waits for those locks before it stops the cluster. Without such tests nothing is started.
"""

from __future__ import annotations

import contextlib
import fcntl
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import pytest

from trimtab.sandbox import Kubectl, Sandbox, ensure_binaries

NODES = 2


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


@dataclass(frozen=True)
class Begun:
    kubeconfig: Path
    stop: Callable[[], object]


def begin(config: pytest.Config) -> Begun:
    explicit = config.getoption("kubeconfig", None)
    if explicit:
        return Begun(Path(explicit).resolve(), lambda: None)
    if _docker_runs():
        return _begin_kind(config)
    sandbox = Sandbox.start(nodes=NODES)
    return Begun(sandbox.kubeconfig, sandbox.stop)


def _begin_kind(config: pytest.Config) -> Begun:
    from pytest_kind import KindCluster

    kind_bin = config.getoption("kind_bin")
    kind = KindCluster(
        config.getoption("cluster_name"),
        image=config.getoption("kind_image"),
        kind_path=Path(kind_bin) if kind_bin else None,
    )
    kind.create()
    keep = config.getoption("keep_cluster")
    return Begun(Path(kind.kubeconfig_path).resolve(), (lambda: None) if keep else kind.delete)


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
def shared(folder: Path, begin: Callable[[], Begun]) -> Iterator[Cluster]:
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
