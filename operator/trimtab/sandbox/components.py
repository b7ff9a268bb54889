"""The command line of each component of a control plane, with the reason for every flag that needs one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from trimtab.sandbox.certs import CONTROLLER_MANAGER, KWOK, SCHEDULER, Pki

ETCD = "etcd"
API_SERVER = "kube-apiserver"

# Off: what has nothing to do without volumes, cloud, metrics or a kubelet, and what only polls.
_CONTROLLERS_OFF = (
    "certificatesigningrequest-approving-controller",
    "certificatesigningrequest-cleaner-controller",
    "certificatesigningrequest-signing-controller",
    "device-taint-eviction-controller",
    "ephemeral-volume-controller",
    "horizontal-pod-autoscaler-controller",
    "legacy-serviceaccount-token-cleaner-controller",
    "node-ipam-controller",
    "persistentvolume-attach-detach-controller",
    "persistentvolume-binder-controller",
    "persistentvolume-expander-controller",
    "podcertificaterequest-cleaner-controller",
    "resourceclaim-controller",
    "resourcepoolstatusrequest-controller",
    "storage-version-migrator-controller",
    "storageversion-garbage-collector-controller",
    "ttl-controller",
)


@dataclass(frozen=True)
class Layout:
    """Where the parts of one sandbox are."""

    directory: Path
    etcd_port: int
    etcd_peer_port: int
    server_port: int

    @property
    def pki(self) -> Pki:
        return Pki(self.directory / "pki")

    @property
    def logs(self) -> Path:
        return self.directory / "logs"

    @property
    def kubeconfig(self) -> Path:
        return self.directory / "kubeconfig"

    @property
    def server(self) -> str:
        return f"https://127.0.0.1:{self.server_port}"

    def log(self, component: str) -> Path:
        return self.logs / f"{component}.log"

    def component_kubeconfig(self, component: str) -> Path:
        return self.directory / "pki" / f"{component}.kubeconfig"


def etcd(layout: Layout) -> list[str]:
    pki = layout.pki
    client, peer = (f"https://127.0.0.1:{port}" for port in (layout.etcd_port, layout.etcd_peer_port))
    return [
        ETCD,
        "--name=sandbox",
        f"--data-dir={layout.directory / 'etcd'}",
        "--unsafe-no-fsync",  # a sandbox's data is worth less than the time to sync it
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=sandbox={peer}",
        "--client-cert-auth",
        f"--trusted-ca-file={pki.etcd_ca.certificate}",
        f"--cert-file={pki.etcd.certificate}",
        f"--key-file={pki.etcd.key}",
        "--peer-client-cert-auth",
        f"--peer-trusted-ca-file={pki.etcd_ca.certificate}",
        f"--peer-cert-file={pki.etcd.certificate}",
        f"--peer-key-file={pki.etcd.key}",
        "--quota-backend-bytes=8589934592",
        "--log-level=warn",
    ]


def api_server(layout: Layout) -> list[str]:
    pki = layout.pki
    return [
        API_SERVER,
        f"--etcd-servers=https://127.0.0.1:{layout.etcd_port}",
        f"--etcd-cafile={pki.etcd_ca.certificate}",
        f"--etcd-certfile={pki.etcd_client.certificate}",
        f"--etcd-keyfile={pki.etcd_client.key}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        f"--secure-port={layout.server_port}",
        f"--tls-cert-file={pki.server.certificate}",
        f"--tls-private-key-file={pki.server.key}",
        f"--client-ca-file={pki.ca.certificate}",
        "--authorization-mode=Node,RBAC",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={pki.service_accounts.certificate}",
        f"--service-account-signing-key-file={pki.service_accounts.key}",
        "--service-cluster-ip-range=10.96.0.0/16",
        "--endpoint-reconciler-type=none",  # Endpoints may not have a loopback address
        "--allow-privileged",
        # Tests and benchmarks press harder than the defaults of 400 and 200 allow for.
        "--max-requests-inflight=1600",
        "--max-mutating-requests-inflight=800",
        "--profiling=false",
    ]


def controller_manager(layout: Layout) -> list[str]:
    pki = layout.pki
    return [
        CONTROLLER_MANAGER.file,
        f"--kubeconfig={layout.component_kubeconfig(CONTROLLER_MANAGER.file)}",
        "--leader-elect=false",
        "--secure-port=0",
        "--profiling=false",
        # Each controller as its own service account, as in real clusters: admission policies see who it is.
        "--use-service-account-credentials",
        f"--service-account-private-key-file={pki.service_accounts.key}",
        f"--root-ca-file={pki.ca.certificate}",
        "--controllers=" + ",".join(["*", *(f"-{name}" for name in _CONTROLLERS_OFF)]),
        "--kube-api-qps=500",
        "--kube-api-burst=1000",
        # kwok's nodes never miss a beat that matters.
        "--node-monitor-period=30s",
        "--node-monitor-grace-period=10m",
    ]


def scheduler(layout: Layout) -> list[str]:
    return [
        SCHEDULER.file,
        f"--kubeconfig={layout.component_kubeconfig(SCHEDULER.file)}",
        "--leader-elect=false",
        "--secure-port=0",
        "--profiling=false",
    ]


def kwok(layout: Layout) -> list[str]:
    return [
        KWOK.file,
        f"--kubeconfig={layout.component_kubeconfig(KWOK.file)}",
        "--enable-crds=Stage",  # the stages are objects of the API server: more may come at any time
        "--manage-all-nodes",
        "--cidr=10.244.0.0/16",
        "--node-ip=127.0.0.1",
        "--node-lease-duration-seconds=200",
    ]
