"""Makes pods on kwok's nodes crash, by the value of an annotation.

No container runs on kwok's nodes, so none fails on a bad value. Trimtab annotates pod templates with a digest of the
values that their pods read (``trimtab.dev/digest``). A Stage that selects a digest simulates a configuration with which
no pod runs. The Stage is a copy of one of the sandbox's own (operator/trimtab/sandbox/kwok.yaml).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import secrets
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

DIGEST = "trimtab.dev/digest"
CRASH_LOOP = "CrashLoopBackOff"
_NOT_STARTED = "ImagePullBackOff"
_TIMEOUT = 60.0
_POLL_INTERVAL = 0.1


class Kubectl(Protocol):
    """:meth:`trimtab.sandbox.Sandbox.kubectl`, or a function with the same parameters."""

    def __call__(
        self,
        *args: str,
        input: str | None = None,  # noqa: A002 - the name that subprocess uses
        check: bool = True,
    ) -> subprocess.CompletedProcess[str]: ...


@dataclass(frozen=True)
class PodCrashes:
    """Makes the pods with an annotation crash or run, in a cluster with kwok's nodes and the sandbox's Stages."""

    kubectl: Kubectl

    def start(self, value: str, annotation: str = DIGEST, reason: str = CRASH_LOOP) -> None:
        """Makes pods with that annotation crash. Returns when kwok does so and existing pods have crashed.

        With CrashLoopBackOff their containers restart again and again, with any other reason (ImagePullBackOff,
        CreateContainerConfigError) they never start.

        :raises TimeoutError: an existing pod did not crash.
        """
        original = "pod-crash-loop" if reason == CRASH_LOOP else "pod-not-started"
        stage = json.loads(self.kubectl("get", _stage(original), "-o", "json").stdout)
        stage["metadata"] = {"name": _stage_name(annotation, value)}
        stage["spec"] = json.loads(json.dumps(stage["spec"]).replace(_NOT_STARTED, reason))
        stage["spec"]["selector"]["matchAnnotations"] = {annotation: value}
        self.kubectl("apply", "--server-side", "-f", "-", input=json.dumps(stage))
        self._wait(value, annotation, crashed=True)

    def stop(self, value: str, annotation: str = DIGEST) -> None:
        """Makes pods with that annotation run. Returns when kwok does so and existing pods have recovered.

        :raises TimeoutError: an existing pod did not recover.
        """
        self.kubectl("delete", _stage(_stage_name(annotation, value)), "--ignore-not-found")
        self._wait(value, annotation, crashed=False)

    def _wait(self, value: str, annotation: str, *, crashed: bool) -> None:
        """kwok evaluates its Stages when a pod changes, not when a Stage does, so this changes all pods repeatedly."""
        deadline = time.monotonic() + _TIMEOUT
        with self._probe(value, annotation):
            while wrong := [pod for pod in self._pods(value, annotation) if _crashed(pod) != crashed]:
                names = ", ".join(pod["metadata"]["name"] for pod in wrong)
                if time.monotonic() > deadline:
                    verb = "crash" if crashed else "recover"
                    raise TimeoutError(f"timed out after {_TIMEOUT:.0f}s waiting for {names} to {verb}")
                for pod in wrong:
                    self._change(pod, recover=not crashed)
                time.sleep(_POLL_INTERVAL)

    @contextlib.contextmanager
    def _probe(self, value: str, annotation: str) -> Iterator[None]:
        """A pod with that annotation, which shows when kwok has read the Stage."""
        name = f"crash-probe-{secrets.token_hex(4)}"
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": "default", "annotations": {annotation: value}},
            "spec": {"nodeName": "node-0", "containers": [{"name": "main", "image": "probe"}]},
        }
        self.kubectl("create", "-f", "-", input=json.dumps(pod))
        try:
            yield
        finally:
            self.kubectl("delete", "pod", name, "-n", "default", "--now", "--wait=false", check=False)

    def _change(self, pod: dict[str, Any], *, recover: bool) -> None:
        target = (pod["metadata"]["name"], "-n", pod["metadata"]["namespace"])
        if recover:  # the sandbox's stages start pods that are pending and give them an address
            status = {"phase": "Pending", "containerStatuses": None, "podIP": None, "podIPs": None}
            patch = ("--subresource=status", "--type=merge", "-p", json.dumps({"status": status}))
            self.kubectl("patch", "pod", *target, *patch, check=False)
        changed = f"sandbox.trimtab.dev/changed={secrets.token_hex(8)}"
        self.kubectl("annotate", "pod", *target, changed, "--overwrite", check=False)

    def _pods(self, value: str, annotation: str) -> Iterator[dict[str, Any]]:
        """Pods with that annotation that are on a node."""
        for pod in json.loads(self.kubectl("get", "pods", "-A", "-o", "json").stdout)["items"]:
            meta = pod["metadata"]
            selected = (meta.get("annotations") or {}).get(annotation) == value
            if selected and not meta.get("deletionTimestamp") and pod["spec"].get("nodeName"):
                yield pod


def _stage(name: str) -> str:
    return f"stages.kwok.x-k8s.io/{name}"


def _stage_name(annotation: str, value: str) -> str:
    return f"pod-crash-{hashlib.sha256(f'{annotation}={value}'.encode()).hexdigest()[:12]}"


def _crashed(pod: dict[str, Any]) -> bool:
    statuses = pod["status"].get("containerStatuses") or ()
    return not statuses or any(status["state"].get("waiting") for status in statuses)
