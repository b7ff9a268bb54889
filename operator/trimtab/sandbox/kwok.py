"""Nodes that exist only as objects: kwok sets the status of them and of the pods that the scheduler assigns to them."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import yaml

STAGE_CRD = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
STAGES = "/apis/kwok.x-k8s.io/v1alpha1/stages"
_CAPACITY = {"cpu": "32", "memory": "256Gi", "pods": "500"}


def kwok_objects() -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The CRD of kwok's stages and the stages."""
    crd, *stages = yaml.safe_load_all(Path(__file__).with_name("kwok.yaml").read_text())
    return crd, stages


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
        "status": {
            "allocatable": _CAPACITY,
            "capacity": _CAPACITY,
            "nodeInfo": {"architecture": architecture},
        },
    }


def ready_count(nodes: dict[str, Any]) -> int:
    """How many nodes of a NodeList are Ready."""
    conditions = (item.get("status", {}).get("conditions", []) for item in nodes.get("items", []))
    return sum(any(c["type"] == "Ready" and c["status"] == "True" for c in each) for each in conditions)
