"""Makes a sandbox's keys and certificates: a CA for the API server and its clients, and another for etcd.

Two, because etcd lets in whoever its CA signed: no client of the API server may go round it.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_HOSTS = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc")
_ADDRESSES = ("127.0.0.1", "10.96.0.1")  # the second is the API server's Service's
_LIFETIME = datetime.timedelta(days=3650)


@dataclass(frozen=True)
class KeyPair:
    """A certificate and its key, as files."""

    certificate: Path
    key: Path


@dataclass(frozen=True)
class Client:
    """Who a client certificate speaks for."""

    file: str
    user: str
    group: str = ""


ADMIN = Client("admin", "trimtab-sandbox-admin", "system:masters")
CONTROLLER_MANAGER = Client("kube-controller-manager", "system:kube-controller-manager")
SCHEDULER = Client("kube-scheduler", "system:kube-scheduler")
KWOK = Client("kwok", "kwok", "system:masters")
CLIENTS = (ADMIN, CONTROLLER_MANAGER, SCHEDULER, KWOK)


@dataclass(frozen=True)
class Pki:
    """Where one sandbox's keys are."""

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
        """Not a certificate: the public and the private half of what signs service accounts' tokens."""
        return KeyPair(self.directory / "service-accounts.pub", self.directory / "service-accounts.key")

    def pair(self, name: str) -> KeyPair:
        return KeyPair(self.directory / f"{name}.crt", self.directory / f"{name}.key")


@dataclass(frozen=True)
class _Authority:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def make_pki(directory: Path, now: datetime.datetime) -> Pki:
    """All keys of a new sandbox, for its user alone to read; they are valid for ten years."""
    directory.mkdir(mode=0o700)
    pki = Pki(directory)
    authority = _make_authority(pki.ca, "trimtab-sandbox", now)
    etcd_authority = _make_authority(pki.etcd_ca, "trimtab-sandbox-etcd", now)
    _issue(pki.server, authority, Client("", "kube-apiserver"), now, server=True)
    _issue(pki.etcd, etcd_authority, Client("", "etcd"), now, server=True)
    _issue(pki.etcd_client, etcd_authority, Client("", "kube-apiserver"), now)
    for client in CLIENTS:
        _issue(pki.pair(client.file), authority, client, now)
    signer = ec.generate_private_key(ec.SECP256R1())
    _write(pki.service_accounts.key, _key_pem(signer))
    public = signer.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    _write(pki.service_accounts.certificate, public)
    return pki


def _make_authority(files: KeyPair, name: str, now: datetime.datetime) -> _Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
    certificate = (
        _builder(subject, key, now)
        .issuer_name(subject)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    _write_pair(files, certificate, key)
    return _Authority(certificate, key)


def _issue(
    files: KeyPair, authority: _Authority, client: Client, now: datetime.datetime, *, server: bool = False
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    names = [x509.NameAttribute(NameOID.COMMON_NAME, client.user)]
    if client.group:
        names.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, client.group))
    purposes = [ExtendedKeyUsageOID.CLIENT_AUTH, *([ExtendedKeyUsageOID.SERVER_AUTH] if server else [])]
    signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    builder = (
        _builder(x509.Name(names), key, now)
        .issuer_name(authority.certificate.subject)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        .add_extension(signer, critical=False)
    )
    if server:
        hosts = [x509.DNSName(host) for host in _HOSTS]
        addresses = [x509.IPAddress(ipaddress.ip_address(address)) for address in _ADDRESSES]
        builder = builder.add_extension(x509.SubjectAlternativeName([*hosts, *addresses]), critical=False)
    _write_pair(files, builder.sign(authority.key, hashes.SHA256()), key)


def _builder(
    subject: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime.datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + _LIFETIME)
    )


def _write_pair(files: KeyPair, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
    _write(files.certificate, certificate.public_bytes(Encoding.PEM))
    _write(files.key, _key_pem(key))


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _write(path: Path, content: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
