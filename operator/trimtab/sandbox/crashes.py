"""Pods that crash on kwok's nodes: a Stage for all pods that carry one value of an annotation.

Trimtab annotates pod templates with the digest of what their pods read (``trimtab.dev/digest``): a Stage for a digest
stands for a configuration that no pod can live with. It wins over the stages of kwok.yaml by its weight.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import secrets
import subprocess
import time
from collections.abc import Iterator
from typing import Any, Protocol

from trimtab.sandbox.errors import SandboxError
from trimtab.sandbox.nodes import node

DIGEST = "trimtab.dev/digest"
BEHAVIOUR = "sandbox.trimtab.dev/pod"
NUDGED = "sandbox.trimtab.dev/nudged"
CRASH_LOOP = "CrashLoopBackOff"
PATIENCE = 60.0
_POLL = 0.1

# As the kubelet tells of it (pkg/kubelet/kuberuntime): a container that has exited waits, longer each time.
_STATUS = """
{{ $now := Now }}
{{ $root := . }}
{{ $since := $now }}
{{ range .status.conditions }}{{ if and (eq .type "Ready") (eq .status "False") }}
{{ $since = .lastTransitionTime }}
{{ end }}{{ end }}
conditions:
- {type: Initialized, status: "True", lastTransitionTime: {{ $since | Quote }}}
- {type: Ready, status: "False", reason: ContainersNotReady, lastTransitionTime: {{ $since | Quote }}}
- {type: ContainersReady, status: "False", reason: ContainersNotReady, lastTransitionTime: {{ $since | Quote }}}
containerStatuses:
{{ range $index, $item := .spec.containers }}
{{ $restarts := "0" }}
{{ range $root.status.containerStatuses }}{{ if eq .name $item.name }}
{{ $restarts = toString .restartCount }}
{{ end }}{{ end }}
- name: {{ $item.name | Quote }}
  image: {{ $item.image | Quote }}
  ready: false
  started: false
  restartCount: {{ add1 (atoi $restarts) }}
  state: {waiting: {reason: CrashLoopBackOff}}
  lastState:
    terminated: {exitCode: 1, reason: Error, startedAt: {{ $now | Quote }}, finishedAt: {{ $now | Quote }}}
{{ end }}
phase: Running
startTime: {{ or .status.startTime $now | Quote }}
"""
# For reasons for which a container never started.
_NOT_STARTED = """
{{ $now := Now }}
conditions:
- {type: Initialized, status: "True", lastTransitionTime: {{ $now | Quote }}}
- {type: Ready, status: "False", reason: ContainersNotReady, lastTransitionTime: {{ $now | Quote }}}
- {type: ContainersReady, status: "False", reason: ContainersNotReady, lastTransitionTime: {{ $now | Quote }}}
containerStatuses:
{{ range $index, $item := .spec.containers }}
- name: {{ $item.name | Quote }}
  image: {{ $item.image | Quote }}
  ready: false
  started: false
  restartCount: 0
  state: {waiting: {reason: REASON}}
{{ end }}
phase: Pending
startTime: {{ or .status.startTime $now | Quote }}
"""
_RESTARTS = "([.status.containerStatuses[]?.restartCount] | max // 0)"
# At once, then 1 s, 2 s, 4 s and so on: ten times as fast as the kubelet, up to a minute.
_BACKOFF = f'{_RESTARTS} | if . == 0 then "0s" else ([pow(2; . - 1), 60] | min | floor | tostring) + "s" end'
_ONCE = '[.status.containerStatuses[]?.state.waiting.reason] | if any(. == "REASON") then "24h" else "0s" end'


class Kubectl(Protocol):
    """:meth:`trimtab.sandbox.Sandbox.kubectl`, or any other like it."""

    def __call__(
        self,
        *args: str,
        input: str | None = None,  # noqa: A002 - as subprocess calls it
        check: bool = True,
    ) -> subprocess.CompletedProcess[str]: ...


def stage(value: str, annotation: str = DIGEST, reason: str = CRASH_LOOP) -> dict[str, Any]:
    """The manifest of the Stage by which pods with that annotation wait for ``reason`` for ever.

    With CrashLoopBackOff they restart again and again; with any other reason (ImagePullBackOff,
    CreateContainerConfigError) they never start.
    """
    name = hashlib.sha256(f"{annotation}={value}".encode()).hexdigest()[:12]
    restarts = reason == CRASH_LOOP
    delay = _BACKOFF if restarts else _ONCE.replace("REASON", reason)
    template = _STATUS if restarts else _NOT_STARTED.replace("REASON", reason)
    return {
        "apiVersion": "kwok.x-k8s.io/v1alpha1",
        "kind": "Stage",
        "metadata": {"name": f"pod-crash-{name}", "annotations": {"sandbox.trimtab.dev/crashes": value}},
        "spec": {
            "resourceRef": {"apiGroup": "v1", "kind": "Pod"},
            "selector": {
                "matchAnnotations": {annotation: value},
                "matchExpressions": [
                    {"key": ".metadata.deletionTimestamp", "operator": "DoesNotExist"},
                    {"key": ".status.phase", "operator": "In", "values": ["Pending", "Running"]},
                ],
            },
            "weight": 1,
            "delay": {"durationMilliseconds": 1000, "durationFrom": {"expressionFrom": delay}},
            "next": {"statusTemplate": template},
        },
    }


BY_ANNOTATION = stage(CRASH_LOOP, BEHAVIOUR)
"""Pods that ask for it themselves."""


class Crashes:
    """Lets pods crash, and live again, in a cluster whose nodes are kwok's with Stages as objects."""

    def __init__(self, kubectl: Kubectl) -> None:
        self._kubectl = kubectl

    def start(self, value: str, annotation: str = DIGEST, reason: str = CRASH_LOOP) -> None:
        """From now on pods with that annotation crash; returns when kwok knows, and those that there are do.

        Raises:
            SandboxError: they did not, in time.
        """
        self._kubectl("apply", "--server-side", "-f", "-", input=json.dumps(stage(value, annotation, reason)))
        with self._probe(value, annotation):
            self._nudge(value, annotation, crashed=True)

    def stop(self, value: str, annotation: str = DIGEST) -> None:
        """Pods with that annotation crash no more; returns when kwok knows, and those that there are have recovered.

        Raises:
            SandboxError: they did not, in time.
        """
        name = stage(value, annotation)["metadata"]["name"]
        self._kubectl("delete", f"stages.kwok.x-k8s.io/{name}", "--ignore-not-found")
        with self._probe(value, annotation):
            self._nudge(value, annotation, crashed=False)

    @contextlib.contextmanager
    def _probe(self, value: str, annotation: str) -> Iterator[None]:
        """A pod with that annotation: nobody says when kwok knows a Stage, but what becomes of the pod does."""
        name = f"crash-probe-{secrets.token_hex(4)}"
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": "default", "annotations": {annotation: value}},
            "spec": {
                "nodeName": node(0)["metadata"]["name"],
                "containers": [{"name": "main", "image": "probe"}],
            },
        }
        self._kubectl("create", "-f", "-", input=json.dumps(pod))
        try:
            yield
        finally:
            self._kubectl("delete", "pod", name, "-n", "default", "--now", "--wait=false", check=False)

    def _nudge(self, value: str, annotation: str, *, crashed: bool) -> None:
        """kwok looks at a pod when the pod changes, not when a Stage does."""
        deadline = time.monotonic() + PATIENCE
        number = 0
        while wrong := [p for p in self._pods(value, annotation) if _crashed(p) != crashed]:
            if time.monotonic() > deadline:
                names = ", ".join(pod["metadata"]["name"] for pod in wrong)
                raise SandboxError(
                    f"waited {PATIENCE:.0f} s in vain for kwok to {'crash' if crashed else 'mend'} {names}"
                )
            number += 1
            for pod in wrong:
                self._change(pod, f"{time.time_ns()}-{number}", recover=not crashed)
            time.sleep(_POLL)

    def _change(self, pod: dict[str, Any], mark: str, *, recover: bool) -> None:
        place = (pod["metadata"]["name"], "-n", pod["metadata"]["namespace"])
        if recover:  # the stages of kwok.yaml take pods that have not started and give them an address
            status = {"phase": "Pending", "containerStatuses": None, "podIP": None, "podIPs": None}
            patch = json.dumps({"status": status})
            self._kubectl(
                "patch", "pod", *place, "--subresource=status", "--type=merge", "-p", patch, check=False
            )
        self._kubectl("annotate", "pod", *place, f"{NUDGED}={mark}", "--overwrite", check=False)

    def _pods(self, value: str, annotation: str) -> Iterator[dict[str, Any]]:
        """Those with the annotation that are on a node."""
        for pod in json.loads(self._kubectl("get", "pods", "-A", "-o", "json").stdout)["items"]:
            meta = pod["metadata"]
            if (meta.get("annotations") or {}).get(annotation) != value or meta.get("deletionTimestamp"):
                continue
            if pod["spec"].get("nodeName"):
                yield pod


def _crashed(pod: dict[str, Any]) -> bool:
    statuses = pod["status"].get("containerStatuses") or ()
    waits = any(status["state"].get("waiting") for status in statuses)
    return waits or not statuses
