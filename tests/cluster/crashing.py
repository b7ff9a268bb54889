"""Bad configuration whose pods really crash: kwok's Stages keyed on the digest that Trimtab stamps.

The digest is keyed, so that nobody can guess it; but whoever may read Trimtab's keys can work it out before anything is
rolled out, and then there is no moment in which a pod of it is ready.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from live import Api, wait_for
from running import SYSTEM

from trimtab.crypto import Keys
from trimtab.sandbox.crashes import CRASH_LOOP, Crashes, Kubectl

KEYS_SECRET = "trimtab-keys"


def crashes(kubectl: Kubectl) -> Crashes:
    """Pods of this cluster can be made to crash, or the test is skipped: on kind they are real."""
    if kubectl("get", "crd/stages.kwok.x-k8s.io", check=False).returncode != 0:
        pytest.skip("pods crash when they are told to only on kwok's nodes")
    return Crashes(kubectl)


class BadConfig:
    """Values with which no pod lives: those of all keys with ``reload: Restart`` that a group serves."""

    def __init__(self, api: Api, kubectl: Kubectl, system: str = SYSTEM) -> None:
        self._api, self._system = api, system
        self._crashes = crashes(kubectl)

    def digest(self, values: Mapping[str, Any]) -> str:
        """As workloads of such a group are stamped. An operator makes the keys when it leads first."""
        found = wait_for(
            lambda: self._api.get("Secret", self._system, KEYS_SECRET), "Trimtab's keys are there"
        )
        assert found is not None
        return Keys.from_secret(found["data"]).digest(dict(values))

    def crash(self, values: Mapping[str, Any], reason: str = CRASH_LOOP) -> str:
        """From now on pods with these values crash; their digest."""
        digest = self.digest(values)
        self._crashes.start(digest, reason=reason)
        return digest

    def mend(self, values: Mapping[str, Any]) -> None:
        """Pods with these values run, as all others."""
        self._crashes.stop(self.digest(values))
