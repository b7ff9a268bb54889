"""Paths in the user's cache and in one sandbox's directory."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from trimtab.sandbox.certificates import Certificates
from trimtab.sandbox.errors import InvalidNameError

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")


def cache_root() -> Path:
    """``$XDG_CACHE_HOME/trimtab``, by default ``~/.cache/trimtab``."""
    configured = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification requires programs to ignore a relative path.
    base = Path(configured) if configured.startswith("/") else Path.home() / ".cache"
    return base / "trimtab"


def builds_root() -> Path:
    return cache_root() / "controlplane"


def toolchains_root() -> Path:
    return cache_root() / "go"


def sandboxes_root() -> Path:
    return cache_root() / "sandboxes"


def sandbox_directory(name: str) -> Path:
    """The directory of one sandbox.

    Raises:
        InvalidNameError: the name is not a DNS label of at most 40 characters.
    """
    if not _NAME.fullmatch(name):
        raise InvalidNameError(
            f"{name!r} is not a valid sandbox name; use 1 to 40 characters of a-z, 0-9 and -, without - at the ends"
        )
    return sandboxes_root() / name


@dataclass(frozen=True)
class Layout:
    """Paths and ports of one sandbox."""

    directory: Path
    etcd_port: int
    etcd_peer_port: int
    server_port: int

    @property
    def certificates(self) -> Certificates:
        return Certificates(self.directory / "pki")

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
