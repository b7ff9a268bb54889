"""The cluster in which one pytest worker runs operators, and the operators that its tests start.

An operator acts on the whole cluster, so two of them, or one that a test kills, would spoil each other's tests. Each
pytest worker that has such tests gets a sandbox of its own (it is up in seconds); in a cluster that was given
(--kubeconfig), one worker runs them all.
"""

from __future__ import annotations

import contextlib
import functools
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.fault_proxy import FaultProxy
from support.live_objects import Api
from support.manifests import namespace
from support.operator_process import SYSTEM, Operator
from trimtab import admission, crd
from trimtab.api import GROUP, KINDS
from trimtab.sandbox import Sandbox


class OperatorCluster:
    """A cluster in which only this worker runs operators."""

    def __init__(self, kubeconfig: Path, folder: Path, kubectl: Any) -> None:
        self.kubeconfig, self.folder, self.kubectl = kubeconfig, folder, kubectl
        self.api = Api(kubeconfig)
        self.shared = self.operator("shared")
        self._others: list[Operator] = []

    @functools.cached_property
    def admin(self) -> str:
        """The name by which the API server knows the admin."""
        path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
        return str(self.api.call("POST", path, {})["status"]["userInfo"]["username"])

    def operator(self, name: str, *options: str, kubeconfig: Path | None = None) -> Operator:
        """An operator that is not started; it is stopped after the test."""
        made = Operator(kubeconfig or self.kubeconfig, self.folder / f"{name}.log", *options)
        if name != "shared":
            self._others.append(made)
        return made

    def stop_others(self) -> None:
        for operator in self._others:
            if operator.running:
                operator.stop()
        self._others.clear()

    def release_lease(self) -> None:
        """As if the Lease of a killed operator had run out."""
        self.api.delete("Lease", SYSTEM, "trimtab")

    def install(self) -> None:
        """The CRDs, the admission policies and the operator's namespace."""
        for text in (crd.text(), admission.text()):
            self.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", input=text)
        crds = [f"crd/{model.info.plural}.{GROUP}" for model in KINDS]
        self.kubectl("wait", "--for=condition=Established", "--timeout=60s", *crds)
        if self.api.get("Namespace", "", SYSTEM) is None:
            self.api.create(namespace(SYSTEM))

    def new_namespace(self, about: str = "t", **metadata: Any) -> str:
        """A namespace with a random suffix. The worker's cluster ends with the worker, so nothing deletes it."""
        name = f"{about}-{secrets.token_hex(4)}"
        self.api.create(namespace(name, **metadata))
        return name


@pytest.fixture(scope="session")
def operator_cluster(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OperatorCluster]:
    """This worker's cluster for operators, with the CRDs in it."""
    folder = tmp_path_factory.mktemp("operators")
    with contextlib.ExitStack() as closing:
        if request.config.getoption("kubeconfig", None):
            given = request.getfixturevalue("cluster")
            made = OperatorCluster(given.kubeconfig, folder, given.kubectl)
        else:
            sandbox = closing.enter_context(Sandbox.start(nodes=1))
            made = OperatorCluster(sandbox.kubeconfig, folder, sandbox.kubectl)
        made.install()
        yield made
        made.stop_others()
        if made.shared.running:
            made.shared.stop()


@pytest.hookimpl(tryfirst=True)  # before xdist reads the marks, also where this folder alone is run
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """One worker a module; in a cluster that was given, one for all that run operators."""
    for item in items:
        if "operator_cluster" in getattr(item, "fixturenames", ()):
            given = config.getoption("kubeconfig", None)
            item.add_marker(pytest.mark.cluster)
            item.add_marker(pytest.mark.xdist_group("operators" if given else item.path.stem))


@pytest.fixture
def operator(operator_cluster: OperatorCluster) -> Operator:
    """The worker's operator, acting. Tests may restart it, and should leave it running."""
    if not operator_cluster.shared.running:
        operator_cluster.release_lease()
        operator_cluster.shared.start()
    return operator_cluster.shared.acting()


@pytest.fixture
def operators(operator_cluster: OperatorCluster) -> Iterator[OperatorCluster]:
    """Makes operators of the test's own (:meth:`OperatorCluster.operator`); the shared one is stopped before."""
    if operator_cluster.shared.running:
        operator_cluster.shared.stop()
    yield operator_cluster
    operator_cluster.stop_others()
    operator_cluster.release_lease()


@pytest.fixture
def proxy(operators: OperatorCluster, tmp_path: Path) -> Iterator[FaultProxy]:
    """A fault proxy in front of the API server, for ``operators.operator(..., kubeconfig=proxy.kubeconfig)``."""
    with FaultProxy(operators.kubeconfig, tmp_path) as made:
        yield made
        operators.stop_others()
