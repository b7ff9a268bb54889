"""The command line of each component of a control plane, with the reason for each flag that is not obvious."""

from __future__ import annotations

from trimtab.sandbox.certificates import CONTROLLER_MANAGER, KWOK, SCHEDULER
from trimtab.sandbox.paths import Layout

ETCD = "etcd"
API_SERVER = "kube-apiserver"

# Controllers without work where there are no volumes, cloud, metrics or kubelet, and controllers that only poll.
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


def etcd(layout: Layout) -> list[str]:
    files = layout.certificates
    client, peer = (f"https://127.0.0.1:{port}" for port in (layout.etcd_port, layout.etcd_peer_port))
    return [
        ETCD,
        "--name=sandbox",
        f"--data-dir={layout.directory / 'etcd'}",
        "--unsafe-no-fsync",  # faster; a sandbox's data need not survive a crash of the machine
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=sandbox={peer}",
        "--client-cert-auth",
        f"--trusted-ca-file={files.etcd_ca.certificate}",
        f"--cert-file={files.etcd.certificate}",
        f"--key-file={files.etcd.key}",
        "--peer-client-cert-auth",
        f"--peer-trusted-ca-file={files.etcd_ca.certificate}",
        f"--peer-cert-file={files.etcd.certificate}",
        f"--peer-key-file={files.etcd.key}",
        "--quota-backend-bytes=8589934592",
        "--log-level=warn",
    ]


def api_server(layout: Layout) -> list[str]:
    files = layout.certificates
    return [
        API_SERVER,
        f"--etcd-servers=https://127.0.0.1:{layout.etcd_port}",
        f"--etcd-cafile={files.etcd_ca.certificate}",
        f"--etcd-certfile={files.etcd_client.certificate}",
        f"--etcd-keyfile={files.etcd_client.key}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        f"--secure-port={layout.server_port}",
        f"--tls-cert-file={files.server.certificate}",
        f"--tls-private-key-file={files.server.key}",
        f"--client-ca-file={files.ca.certificate}",
        "--authorization-mode=Node,RBAC",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={files.service_accounts.certificate}",
        f"--service-account-signing-key-file={files.service_accounts.key}",
        "--service-cluster-ip-range=10.96.0.0/16",
        "--endpoint-reconciler-type=none",  # Endpoints must not contain a loopback address
        "--allow-privileged",
        # Tests and benchmarks exceed the defaults of 400 and 200.
        "--max-requests-inflight=1600",
        "--max-mutating-requests-inflight=800",
        "--profiling=false",
    ]


def controller_manager(layout: Layout) -> list[str]:
    files = layout.certificates
    return [
        CONTROLLER_MANAGER.name,
        f"--kubeconfig={layout.component_kubeconfig(CONTROLLER_MANAGER.name)}",
        "--leader-elect=false",
        "--secure-port=0",
        "--profiling=false",
        # Each controller has a service account of its own, as in real clusters, which admission policies can identify.
        "--use-service-account-credentials",
        f"--service-account-private-key-file={files.service_accounts.key}",
        f"--root-ca-file={files.ca.certificate}",
        "--controllers=" + ",".join(["*", *(f"-{name}" for name in _CONTROLLERS_OFF)]),
        "--kube-api-qps=500",
        "--kube-api-burst=1000",
        # kwok's nodes do not fail, so checking them rarely suffices.
        "--node-monitor-period=30s",
        "--node-monitor-grace-period=10m",
    ]


def scheduler(layout: Layout) -> list[str]:
    return [
        SCHEDULER.name,
        f"--kubeconfig={layout.component_kubeconfig(SCHEDULER.name)}",
        "--leader-elect=false",
        "--secure-port=0",
        "--profiling=false",
    ]


def kwok(layout: Layout) -> list[str]:
    return [
        KWOK.name,
        f"--kubeconfig={layout.component_kubeconfig(KWOK.name)}",
        "--enable-crds=Stage",  # stages are objects of the API server, so that users can add some at any time
        "--manage-all-nodes",
        "--cidr=10.244.0.0/16",
        "--node-ip=127.0.0.1",
        "--node-lease-duration-seconds=200",
    ]
