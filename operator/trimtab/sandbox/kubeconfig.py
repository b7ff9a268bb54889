"""Writes kubeconfigs that stand alone: whoever has the file needs no other."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

from trimtab.sandbox.certs import KeyPair


def write_kubeconfig(path: Path, name: str, server: str, ca: Path, client: KeyPair) -> None:
    """A kubeconfig (JSON is YAML) with one cluster, user and context, all called ``name``."""
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
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(content, file, indent=2)


def _encoded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
