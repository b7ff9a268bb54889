"""The cluster that one worker's runs share, one after the other, and what it takes to run operators in it."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

from crash.journal import Journal
from crash.operators import Forker, Quick
from support.fault_proxy import FaultProxy
from support.live_objects import KINDS, Api, RefusedError
from support.manifests import namespace as namespace_of
from support.operator_process import SYSTEM
from trimtab import admission, crd
from trimtab.crypto import Keys
from trimtab.engine.leadership.encryption_keys import KEYS_SECRET

KEYS = Keys((b"MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",), b"digest-key-of-the-tests")
"""The same in each cluster, so that equal content has the same name in all of them."""
_MADE = (
    "PolicyRollout", "RolloutAction", "UserPreference", "ConfigTemplate", "RenderedGroup", "Deployment",
    "ControllerRevision", "ConfigMap", "Secret",
)  # fmt: skip


class Ground:
    """Use as a context manager. ``kubectl`` is :meth:`trimtab.sandbox.Sandbox.kubectl` or any other like it."""

    def __init__(self, kubeconfig: Path, folder: Path, kubectl: Callable[..., Any]) -> None:
        self.kubeconfig, self.folder, self.kubectl = kubeconfig, folder, kubectl
        self.api = Api(kubeconfig)
        self.journal = Journal(kubeconfig)
        self.proxies = [FaultProxy(kubeconfig, _made(folder / name)) for name in ("proxy", "second")]
        self.forker = Forker()
        self.crashing: set[str] = set()
        """Digests with which pods crash here."""

    def __enter__(self) -> Ground:
        self._prepare()
        self.journal.__enter__()
        for proxy in self.proxies:
            proxy.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.forker.close()
        for proxy in self.proxies:
            proxy.__exit__()
        self.journal.__exit__()

    def _prepare(self) -> None:
        for text in (crd.text(), admission.text()):
            self.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", input=text)
        self.kubectl("wait", "--for=condition=Established", "--timeout=60s", "crd", "--all")
        if self.api.get("Namespace", "", SYSTEM) is None:
            self.api.create(namespace_of(SYSTEM))
        self.api.delete("Secret", SYSTEM, KEYS_SECRET)
        meta = {"name": KEYS_SECRET, "namespace": SYSTEM}
        self.api.create({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": KEYS.to_secret()})
        self.admin = str(
            self.api.call("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", {})["status"][
                "userInfo"
            ]["username"]
        )

    def operator(self, proxy: FaultProxy, log: Path, *options: str) -> Quick:
        """One that is not started, behind that proxy."""
        return Quick(self.forker, proxy.kubeconfig, log, *options)

    def namespace(self, about: str) -> str:
        name = f"{about}-{secrets.token_hex(4)}"
        self.api.create(namespace_of(name))
        return name

    def release_lease(self) -> None:
        """As if the Lease of a killed operator had run out."""
        self.api.delete("Lease", SYSTEM, "trimtab")

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


__all__ = ["KEYS", "Ground", "RefusedError"]
