"""Configurations with which pods crash, by the digest that Trimtab annotates their pods with.

The digest is an HMAC. A client that may read Trimtab's keys computes it before the rollout starts, so that no pod with
this configuration is ever ready.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from support.live_objects import Api, wait_for
from support.operator_process import SYSTEM
from trimtab.crypto import Keys

sys.path.append(str(Path(__file__).parents[2] / "examples" / "music-agent"))  # the demo's module
from pod_crashes import CRASH_LOOP, Kubectl, PodCrashes

KEYS_SECRET = "trimtab-keys"


def crashes(kubectl: Kubectl) -> PodCrashes:
    """Skips the test in a cluster whose pods are real (kind)."""
    if kubectl("get", "crd/stages.kwok.x-k8s.io", check=False).returncode != 0:
        pytest.skip("only pods on kwok's nodes can be made to crash")
    return PodCrashes(kubectl)


class BadConfig:
    """Makes pods of a group crash by their values: those of all keys with ``reload: Restart``."""

    def __init__(self, api: Api, kubectl: Kubectl, system: str = SYSTEM) -> None:
        self._api, self._system = api, system
        self._crashes = crashes(kubectl)

    def digest(self, values: Mapping[str, Any], namespace: str, group: str, template: str = "app") -> str:
        """The digest on workloads of that group. An operator creates the keys when it first becomes leader."""
        found = wait_for(lambda: self._api.get("Secret", self._system, KEYS_SECRET), "Trimtab's keys exist")
        assert found is not None
        keys = Keys.from_secret(found["data"])
        return keys.digest("restart", (namespace, template, group), dict(values))

    def crash(self, values: Mapping[str, Any], namespace: str, group: str, reason: str = CRASH_LOOP) -> str:
        """Makes pods of the group with these values crash; returns their digest."""
        digest = self.digest(values, namespace, group)
        self._crashes.start(digest, reason=reason)
        return digest

    def mend(self, values: Mapping[str, Any], namespace: str, group: str) -> None:
        """Makes pods of the group with these values run."""
        self._crashes.stop(self.digest(values, namespace, group))
