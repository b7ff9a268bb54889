"""Nodes that exist only as objects: kwok answers for them and for the pods that the scheduler puts there."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

KWOK_CONFIG = Path(__file__).with_name("kwok.yaml")
_ROOM = {"cpu": "32", "memory": "256Gi", "pods": "500"}


def node(index: int) -> dict[str, Any]:
    """The manifest of the node with this number."""
    name = f"node-{index}"
    architecture = "arm64" if platform.machine() in ("aarch64", "arm64") else "amd64"
    labels = {
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": architecture,
        "node-role.kubernetes.io/worker": "",
        "type": "kwok",
    }
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels, "annotations": {"kwok.x-k8s.io/node": "fake"}},
        "status": {"allocatable": _ROOM, "capacity": _ROOM, "nodeInfo": {"architecture": architecture}},
    }


def ready_count(nodes: dict[str, Any]) -> int:
    """How many of this list of nodes are Ready."""
    conditions = (item.get("status", {}).get("conditions", []) for item in nodes.get("items", []))
    return sum(any(c["type"] == "Ready" and c["status"] == "True" for c in each) for each in conditions)
