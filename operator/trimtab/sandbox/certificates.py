"""Keys and certificates of a sandbox: one CA for the API server and its clients, another for etcd.

etcd accepts every client that its CA has signed, so clients of the API server, signed by the other CA, cannot bypass
the API server.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import trustme

_HOSTS = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc")
_ADDRESSES = ("127.0.0.1", "10.96.0.1")  # the second is the cluster IP of the API server's Service
_GROUP = "trimtab-sandbox"  # without privileges; trustme requires an organization, which is a group to the API server


@dataclass(frozen=True)
class KeyPair:
    """Paths of a certificate and its private key."""

    certificate: Path
    key: Path


@dataclass(frozen=True)
class Client:
    """A user of the API server. ``name`` is the base name of its files."""

    name: str
    user: str
    group: str = _GROUP


ADMIN = Client("admin", "trimtab-sandbox-admin", "system:masters")
CONTROLLER_MANAGER = Client("kube-controller-manager", "system:kube-controller-manager")
SCHEDULER = Client("kube-scheduler", "system:kube-scheduler")
KWOK = Client("kwok", "kwok", "system:masters")
CLIENTS = (ADMIN, CONTROLLER_MANAGER, SCHEDULER, KWOK)


@dataclass(frozen=True)
class Certificates:
    """Paths of one sandbox's keys and certificates."""

    directory: Path

    @property
    def ca(self) -> KeyPair:
        return self.pair("ca")

    @property
    def server(self) -> KeyPair:
        return self.pair("kube-apiserver")

    @property
    def etcd_ca(self) -> KeyPair:
        return self.pair("etcd-ca")

    @property
    def etcd(self) -> KeyPair:
        return self.pair("etcd")

    @property
    def etcd_client(self) -> KeyPair:
        return self.pair("etcd-client")

    @property
    def service_accounts(self) -> KeyPair:
        """The key that signs the tokens of service accounts, and a certificate with its public key."""
        return self.pair("service-accounts")

    def pair(self, name: str) -> KeyPair:
        return KeyPair(self.directory / f"{name}.crt", self.directory / f"{name}.key")


def issue_all(directory: Path) -> Certificates:
    """Creates all keys and certificates of a new sandbox, readable only by the current user. They do not expire."""
    directory.mkdir(mode=0o700)
    files = Certificates(directory)
    authority, etcd_authority = trustme.CA(), trustme.CA()
    _write(files.ca, authority.cert_pem, authority.private_key_pem)
    _write(files.etcd_ca, etcd_authority.cert_pem, etcd_authority.private_key_pem)
    _issue(files.server, authority, Client("", "kube-apiserver"), *_HOSTS, *_ADDRESSES)
    _issue(files.etcd, etcd_authority, Client("", "etcd"), *_HOSTS, *_ADDRESSES)
    _issue(files.etcd_client, etcd_authority, Client("", "kube-apiserver"), "etcd-client")
    _issue(files.service_accounts, authority, Client("", "service-accounts"), "service-accounts")
    for client in CLIENTS:
        _issue(files.pair(client.name), authority, client, client.name)
    return files


def _issue(files: KeyPair, authority: trustme.CA, client: Client, *hosts: str) -> None:
    """``hosts`` must not be empty: Go rejects the empty SubjectAltName that trustme would write."""
    issued = authority.issue_cert(*hosts, common_name=client.user, organization_name=client.group)
    _write(files, issued.cert_chain_pems[0], issued.private_key_pem)


def _write(files: KeyPair, certificate: trustme.Blob, key: trustme.Blob) -> None:
    for path, content in ((files.certificate, certificate), (files.key, key)):
        path.touch(mode=0o600, exist_ok=False)
        content.write_to_path(path)
