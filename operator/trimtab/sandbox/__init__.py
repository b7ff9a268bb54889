"""A real Kubernetes control plane without Docker, for tests and the demo.

It requires only Python and, once, Go: etcd, kube-apiserver, kube-controller-manager, kube-scheduler, kubectl and kwok
are built from their public modules into one binary in the user's cache, and run on loopback. This package imports
neither kopf nor the kubernetes client.
"""

from __future__ import annotations

from trimtab.sandbox.build import Binaries, ensure_binaries
from trimtab.sandbox.cluster import Sandbox
from trimtab.sandbox.errors import (
    BuildError,
    InvalidNameError,
    KubectlError,
    SandboxError,
    SandboxExistsError,
    SandboxNotFoundError,
    StartError,
)
from trimtab.sandbox.kubectl import Kubectl
from trimtab.sandbox.status import Status

__all__ = [
    "Binaries",
    "BuildError",
    "InvalidNameError",
    "Kubectl",
    "KubectlError",
    "Sandbox",
    "SandboxError",
    "SandboxExistsError",
    "SandboxNotFoundError",
    "StartError",
    "Status",
    "ensure_binaries",
]
