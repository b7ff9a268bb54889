"""One run: a namespace, operators one after the other, and what people do meanwhile."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import Any

from crash.cluster import KEYS, CrashCluster
from crash.forker import ANY_NAMESPACE
from crash.operators import ForkedOperator
from crash.points import Gatekeeper
from crash.serving import marks
from crash.state import KINDS
from support.crashing_pods import PodCrashes
from support.live_objects import Body
from support.manifests import action, policy, preference, template

PATIENCE = 60.0
"""Seconds that anything may take on a loaded machine."""


class StuckError(Exception):
    """What a scene waits for did not come about."""


class Play:
    """A scene's hands and eyes. Whoever waits also sees to it that an operator runs."""

    def __init__(self, cluster: CrashCluster, name: str, log: Path, *options: str) -> None:
        self.cluster, self.api = cluster, cluster.api
        self.namespace = cluster.new_namespace(name)
        self.keeper = Gatekeeper(self.namespace)
        cluster.proxies[0].faults.append(self.keeper)
        self.begin_version = 0
        self.lives = 0
        self.log, self._options = log, ("--log-level", "debug", *options)
        self.operator: ForkedOperator | None = None
        """The one that is waited for."""
        self.others: list[ForkedOperator] = []
        self.on_start: Callable[[], object] = lambda: None
        self.on_begin: Callable[[], object] = lambda: None

    # Operators.

    def standby(self) -> None:
        """Another operator, by a proxy of its own, waits for the first one to lead no more."""
        assert self.operator is not None
        self.operator.acting()
        made = self.cluster.forked_operator(
            self.cluster.proxies[1], self.log.with_suffix(".standby.log"), *self._options
        )
        self.others.append(made)
        made.start().standing_by()

    def start(self) -> None:
        """A new operator, when the last one is dead or gone."""
        self.lives += 1
        self.keeper.closed = False
        self.operator = self.cluster.forked_operator(
            self.cluster.proxies[0], self.log, *self._options
        ).start()

    def killer(self) -> Callable[[], None]:
        """kill -9 for the present operator, to be called in the proxy's thread: when it returns the process is dead,
        and nothing of it is forwarded."""
        mine = self.operator
        assert mine is not None

        def strike() -> None:
            if mine is self.operator:
                self.keeper.closed = True
            mine.kill()
            self.cluster.journal.nudge()

        return strike

    def end(self) -> None:
        """All of it goes."""
        self.keeper.closed = True
        for operator in (self.operator, *self.others):
            if operator is not None:
                operator.kill()
        self.cluster.proxies[0].faults.remove(self.keeper)
        self.cluster.clear(self.namespace)

    def _tend(self) -> None:
        assert self.operator is not None
        ended = not self.operator.running  # looked at first: whoever is killed is shut off before that
        if self.keeper.closed:
            self.operator.kill()
            self.cluster.release_lease()
            self.start()
        elif ended:
            raise StuckError(f"the operator ended by itself: {self.operator.text()[-2000:]}")

    # Waiting.

    def until(self, look: Callable[[], Any], what: str | Callable[[], str]) -> Any:
        """Wait for a true answer.

        :raises StuckError: it did not come.
        """

        def tended() -> Any:
            self._tend()
            return look()

        found = self.cluster.journal.wait(tended, time.monotonic() + PATIENCE)
        if not found:
            raise StuckError(f"not within {PATIENCE:.0f} s: {what() if callable(what) else what}")
        return found

    def objects(self) -> set[tuple[str, str]]:
        """What there is now, by kind and name."""
        journal = self.cluster.journal
        return {
            (kind, body["metadata"]["name"]) for kind in KINDS for body in journal.all(kind, self.namespace)
        }

    def begin(self) -> None:
        """The scene is set; from here on writes count. Whatever is under way ends first."""
        assert self.operator is not None
        self.quiet()
        self.begin_version = self.version()
        self.keeper.begin()
        self.on_begin()

    def quiet(self) -> None:
        """Wait until an operator has been idle for three looks."""
        seen: list[object] = []

        def look() -> bool:
            assert self.operator is not None
            if not self.operator.said("acting"):
                return False
            try:
                now = self.operator.metrics()
            except (OSError, HTTPException):  # it has just been killed
                return False
            seen.append(
                [now.get(f"trimtab_{n}", 0.0) for n in ("events_total", "writes_total", "reconciles_total")]
                + [now.get(n, 0.0) for n in ("trimtab_queue_depth", "trimtab_status_queue_depth")]
            )
            last = seen[-3:]
            idle = len(last) == 3 and last[0] == last[1] == last[2] and not any(last[0][3:])  # type: ignore[index]
            if not idle:
                time.sleep(0.03)
                self.cluster.journal.nudge()
            return idle

        self.until(look, lambda: f"the operator is idle; it counts {seen[-1:]}")

    # People.

    def template(self, **spec: Any) -> Body:
        return self.api.apply(template(self.namespace, **spec))

    def preference(self, name: str, values: Body, **spec: Any) -> Body:
        return self.api.apply(preference(self.namespace, name, values, **spec))

    def policy(self, content: Body, strategy: Any = None) -> Body:
        return self.api.apply(policy(self.namespace, content=content, strategy=strategy))

    def create(self, body: Body) -> Body:
        return self.api.create(body)

    def drop(self, kind: str, name: str) -> None:
        self.api.delete(kind, self.namespace, name)

    def ask(self, verb: str, **spec: Any) -> None:
        """A RolloutAction on the policy; waits until it is answered."""
        body = action(self.namespace, verb, self.cluster.admin, **spec)
        if "contentHash" not in spec:
            del body["spec"]["contentHash"]
        body["metadata"] = {"name": verb, "namespace": self.namespace}
        self.api.create(body)
        self.verdict("RolloutAction", verb, "True")

    def crash(self, values: Body, group: str = "free") -> None:
        """Makes pods of the group with these values crash in this cluster."""
        digest = KEYS.digest("restart", (ANY_NAMESPACE, "app", group), values)
        if digest not in self.cluster.crashing:
            PodCrashes(self.cluster.kubectl).start(digest)
            self.cluster.crashing.add(digest)

    # What they see.

    def version(self) -> int:
        """The newest version that anything has."""
        listed = self.api.call("GET", f"/api/v1/namespaces/{self.namespace}/configmaps")
        return int(listed["metadata"]["resourceVersion"])

    def get(self, kind: str, name: str) -> Body:
        return self.cluster.journal.get(kind, self.namespace, name) or {}

    def status(self, name: str = "calmer", kind: str = "PolicyRollout") -> Body:
        return dict(self.get(kind, name).get("status") or {})

    def verdict(self, kind: str, name: str, status: str, reason: str = "") -> None:
        """Wait for Ready as of the present generation."""

        def look() -> bool:
            body = self.get(kind, name)
            said = body.get("status") or {}
            if not said or said.get("observedGeneration") != body["metadata"]["generation"]:
                return False
            ready = next((c for c in said.get("conditions") or () if c["type"] == "Ready"), {})
            return ready.get("status") == status and reason in ("", ready.get("reason"))

        self.until(
            look, lambda: f"{kind} {name} is {status}/{reason}; it is {self.get(kind, name).get('status')}"
        )

    def rendered(self) -> None:
        self.verdict("ConfigTemplate", "app", "True")

    def accepted(self, name: str) -> None:
        self.verdict("UserPreference", name, "True")

    def reach(
        self, phase: str, name: str = "calmer", kind: str = "PolicyRollout", generation: int = 1
    ) -> None:
        """Wait until the rollout of that generation is in that phase."""

        def look() -> bool:
            body = self.get(kind, name)
            said = body.get("status") or {}
            seen = said.get("observedGeneration") == body.get("metadata", {}).get("generation") == generation
            return seen and said.get("phase") == phase

        self.until(look, lambda: f"{kind} {name} is {phase}; it is {json.dumps(self.status(name, kind))}")

    def serve(self, mark: str, *groups: str) -> None:
        """Wait until all documents of these groups, users' ones too, are made of that content."""
        for group in groups:
            self.until(
                lambda group=group: self._documents(group) == {frozenset({mark})},
                lambda group=group: f"{group} serves {mark}; it serves {self._documents(group)}",
            )

    def _documents(self, group: str) -> set[frozenset[str]]:
        found = set()
        for body in self.cluster.journal.all("ConfigMap", self.namespace):
            if (body["metadata"].get("labels") or {}).get("trimtab.dev/group") == group:
                found |= {marks(text) for text in (body.get("data") or {}).values()}
        return found

    def gone(self, kind: str, name: str) -> None:
        self.until(lambda: not self.get(kind, name), f"{kind} {name} is gone")

    def stamped(self, name: str) -> None:
        """Wait until a Deployment carries a digest and all of its pods are ready."""

        def look() -> bool:
            body = self.get("Deployment", name)
            status = body.get("status") or {}
            template = body.get("spec", {}).get("template", {}).get("metadata", {})
            current = status.get("observedGeneration") == body["metadata"]["generation"] if body else False
            ready = (
                status.get("readyReplicas") == status.get("updatedReplicas") == status.get("replicas") == 2
            )
            return bool(current and ready and (template.get("annotations") or {}).get("trimtab.dev/digest"))

        self.until(look, lambda: f"Deployment {name} is restarted; it is {self.get('Deployment', name)}")
