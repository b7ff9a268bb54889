"""Writes self-contained kubeconfigs: keys and certificates are in the file itself."""

from __future__ import annotations

import base64
import json
from pathlib import Path

from trimtab.sandbox.certificates import KeyPair


def write_kubeconfig(path: Path, name: str, server: str, ca: Path, client: KeyPair) -> None:
    """Writes a kubeconfig, as JSON, with one cluster, user and context, all called ``name``."""
    cluster = {"server": server, "certificate-authority-data": _encoded(ca)}
    user = {
        "client-certificate-data": _encoded(client.certificate),
        "client-key-data": _encoded(client.key),
    }
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    }
    path.touch(mode=0o600)
    path.write_text(json.dumps(content, indent=2))


def _encoded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
