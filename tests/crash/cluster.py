"""The cluster that one worker's runs share, one after the other, and what it takes to run operators in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from crash.journal import Journal
from crash.operators import ForkedOperator, Forker
from support.fault_proxy import FaultProxy
from support.live_objects import KINDS
from support.operator_cluster import OperatorCluster
from support.operator_process import SYSTEM
from trimtab.crypto import Keys
from trimtab.engine.leadership.encryption_keys import KEYS_SECRET

KEYS = Keys((b"MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",), b"digest-key-of-the-tests")
"""The same in each cluster, so that equal content has the same name in all of them."""
_MADE = (
    "PolicyRollout", "RolloutAction", "UserPreference", "ConfigTemplate", "RenderedGroup", "Deployment",
    "ControllerRevision", "ConfigMap", "Secret",
)  # fmt: skip


class CrashCluster(OperatorCluster):
    """Use as a context manager: it installs Trimtab's CRDs, and records what becomes of all objects."""

    def __init__(self, kubeconfig: Path, folder: Path, kubectl: Any) -> None:
        super().__init__(kubeconfig, folder, kubectl)
        self.journal = Journal(kubeconfig)
        self.proxies = [FaultProxy(kubeconfig, _made(folder / name)) for name in ("proxy", "second")]
        self.forker = Forker()
        self.crashing: set[str] = set()
        """Digests with which pods crash here."""

    def __enter__(self) -> CrashCluster:
        self.install()
        self.api.delete("Secret", SYSTEM, KEYS_SECRET)
        meta = {"name": KEYS_SECRET, "namespace": SYSTEM}
        self.api.create({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": KEYS.to_secret()})
        self.journal.__enter__()
        for proxy in self.proxies:
            proxy.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.forker.close()
        for proxy in self.proxies:
            proxy.__exit__()
        self.journal.__exit__()

    def forked_operator(self, proxy: FaultProxy, log: Path, *options: str) -> ForkedOperator:
        """One that is not started, behind that proxy."""
        return ForkedOperator(self.forker, proxy.kubeconfig, log, *options)

    def clear(self, namespace: str) -> None:
        """Everything of a run goes, while no operator runs: the next one starts in an empty cluster."""
        for kind in _MADE:
            self.api.call("DELETE", KINDS[kind].path(namespace))
        self.api.delete("Namespace", "", namespace)
        self.release_lease()
        self.journal.forget(namespace)
        for proxy in self.proxies:
            proxy.exchanges.clear()


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
