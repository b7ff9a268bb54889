"""The address of the API server and the credentials for it: of a pod, or from a kubeconfig.

This module reads plain kubeconfigs (certificates, tokens), because importing the ``kubernetes`` package costs 50 MB. It
uses that package only for a kubeconfig with an exec plugin or an auth provider.
"""

from __future__ import annotations

import base64
import os
import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class CredentialsError(ValueError):
    """There is no usable kubeconfig and no service account of a pod."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """``token_file`` is read for every request, because Kubernetes rotates bound tokens."""

    server: str
    namespace: str = "default"
    ca_data: str | None = None
    insecure: bool = False
    tls_server_name: str | None = None
    certificate: bytes | None = None
    private_key: bytes | None = None
    token: str | None = None
    token_file: Path | None = None

    def bearer(self) -> str | None:
        """The current token."""
        return self.token_file.read_text().strip() if self.token_file else self.token

    def tls(self) -> ssl.SSLContext | None:
        """The TLS context, or None for plain HTTP.

        :raises CredentialsError: a certificate or key is invalid.
        """
        if not self.server.startswith("https"):
            return None
        try:
            return self._context()
        except (OSError, ValueError, TypeError) as error:
            raise CredentialsError(f"a certificate or key cannot be used ({error})") from None

    def _context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cadata=self.ca_data)
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.certificate and self.private_key:
            # OpenSSL loads keys only from files; the directory has mode 0700.
            with tempfile.TemporaryDirectory(prefix="trimtab-") as folder:
                pair = Path(folder, "pair.pem")
                pair.touch(mode=0o600)
                pair.write_bytes(self.certificate + b"\n" + self.private_key)
                context.load_cert_chain(pair)
        return context


def load(kubeconfig: str | Path | None = None, context: str | None = None) -> Credentials:
    """Credentials from, in this order: the argument, ``$KUBECONFIG``, the pod, ``~/.kube/config``.

    :raises CredentialsError: there are none; the message contains a remedy.
    """
    if kubeconfig:
        return from_kubeconfig(Path(kubeconfig), context)
    named = os.environ.get("KUBECONFIG", "")
    for path in filter(None, named.split(os.pathsep)):
        if Path(path).is_file():
            return from_kubeconfig(Path(path), context)
    if named:
        raise CredentialsError(f"KUBECONFIG={named}: no such file; correct it or unset it")
    if (SERVICE_ACCOUNT / "token").is_file() and "KUBERNETES_SERVICE_HOST" in os.environ:
        return in_pod()
    home = Path.home() / ".kube" / "config"
    if home.is_file():
        return from_kubeconfig(home, context)
    raise CredentialsError(
        "no cluster given: pass --kubeconfig, set KUBECONFIG, or start one with `trimtab sandbox up`"
    )


def in_pod() -> Credentials:
    """The service account that Kubernetes mounts into a pod."""
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    return Credentials(
        server=f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}",
        namespace=(SERVICE_ACCOUNT / "namespace").read_text().strip(),
        ca_data=(SERVICE_ACCOUNT / "ca.crt").read_text(),
        token_file=SERVICE_ACCOUNT / "token",
    )


def from_kubeconfig(path: Path, context: str | None = None) -> Credentials:
    """:raises CredentialsError: the file is missing, malformed, or lacks what its context refers to."""
    try:
        return _read(path, context)
    except CredentialsError as error:
        raise CredentialsError(f"{path}: {error}") from None
    except OSError as error:
        raise CredentialsError(f"{path}: {error.strerror or error}") from None
    except KeyError as error:
        raise CredentialsError(f"{path}: not a usable kubeconfig: it has no {error.args[0]}") from None
    except (yaml.YAMLError, AttributeError, TypeError, LookupError, ValueError) as error:
        raise CredentialsError(f"{path}: not a usable kubeconfig ({error})") from None


def _read(path: Path, context: str | None) -> Credentials:
    config = yaml.safe_load(path.read_text())
    name = context or config["current-context"]
    chosen = _named(config["contexts"], name)["context"]
    cluster = _named(config["clusters"], chosen["cluster"])["cluster"]
    user = _named(config.get("users") or [], chosen.get("user", ""), {"user": {}})["user"] or {}
    server = str(cluster["server"]).rstrip("/")
    if not server.startswith(("https://", "http://")):
        raise CredentialsError(f"server must be an https:// or http:// address, not {server}")
    token = _token(user, path, name)
    certificate, key = _bytes(user, "client-certificate", path), _bytes(user, "client-key", path)
    authority = _bytes(cluster, "certificate-authority", path)
    return Credentials(
        server=server,
        namespace=chosen.get("namespace") or "default",
        ca_data=authority.decode() if authority else None,
        insecure=bool(cluster.get("insecure-skip-tls-verify")),
        tls_server_name=cluster.get("tls-server-name"),
        certificate=certificate,
        private_key=key,
        token=token,
        token_file=Path(user["tokenFile"]) if user.get("tokenFile") and not token else None,
    )


def _token(user: dict[str, Any], path: Path, context: str) -> str | None:
    if "exec" in user or "auth-provider" in user:
        return _token_by_plugin(path, context)
    return user.get("token")


def _named(items: list[Any], name: str, default: Any = None) -> Any:
    for item in items:
        if item["name"] == name:
            return item
    if default is not None:
        return default
    raise LookupError(f"no entry named {name!r}")


def _bytes(section: dict[str, Any], field: str, base: Path) -> bytes | None:
    if section.get(f"{field}-data"):
        try:
            return base64.b64decode(section[f"{field}-data"])
        except (TypeError, ValueError) as error:
            raise CredentialsError(f"{field}-data is not valid base64 ({error}); correct it") from None
    if section.get(field):
        file = Path(base.parent, section[field])
        try:
            return file.read_bytes()
        except OSError as error:
            raise CredentialsError(f"{field}: {file}: {error.strerror}; correct it") from None
    return None


def _token_by_plugin(path: Path, context: str) -> str | None:
    from kubernetes import config  # 50 MB of memory

    try:
        loaded: Any = config.new_client_from_config(  # type: ignore[no-untyped-call]
            config_file=str(path), context=context
        )
    except config.ConfigException as error:
        raise CredentialsError(f"its plugin returned no credentials ({error})") from None
    header = str(loaded.configuration.get_api_key_with_prefix("authorization") or "")
    return header.removeprefix("Bearer ") or None
