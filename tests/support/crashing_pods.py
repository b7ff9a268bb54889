"""Bad configuration whose pods really crash: kwok's Stages keyed on the digest that Trimtab stamps.

The digest is keyed, so that nobody can guess it; but whoever may read Trimtab's keys can work it out before anything is
rolled out, and then there is no moment in which a pod of it is ready.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from support.live_objects import Api, wait_for
from support.operator_process import SYSTEM
from trimtab.crypto import Keys
from trimtab.sandbox.crashes import CRASH_LOOP, Crashes, Kubectl

KEYS_SECRET = "trimtab-keys"


def crashes(kubectl: Kubectl) -> Crashes:
    """Pods of this cluster can be made to crash, or the test is skipped: on kind they are real."""
    if kubectl("get", "crd/stages.kwok.x-k8s.io", check=False).returncode != 0:
        pytest.skip("pods crash when they are told to only on kwok's nodes")
    return Crashes(kubectl)


class BadConfig:
    """Values with which no pod of a group lives: those of all keys with ``reload: Restart`` that it serves."""

    def __init__(self, api: Api, kubectl: Kubectl, system: str = SYSTEM) -> None:
        self._api, self._system = api, system
        self._crashes = crashes(kubectl)

    def digest(self, values: Mapping[str, Any], namespace: str, group: str, template: str = "app") -> str:
        """As workloads of that group are stamped. An operator makes the keys when it leads first."""
        found = wait_for(
            lambda: self._api.get("Secret", self._system, KEYS_SECRET), "Trimtab's keys are there"
        )
        assert found is not None
        keys = Keys.from_secret(found["data"])
        return keys.digest("restart", (namespace, template, group), dict(values))

    def crash(self, values: Mapping[str, Any], namespace: str, group: str, reason: str = CRASH_LOOP) -> str:
        """From now on pods of the group with these values crash; their digest."""
        digest = self.digest(values, namespace, group)
        self._crashes.start(digest, reason=reason)
        return digest

    def mend(self, values: Mapping[str, Any], namespace: str, group: str) -> None:
        """Pods of the group with these values run, as all others."""
        self._crashes.stop(self.digest(values, namespace, group))
