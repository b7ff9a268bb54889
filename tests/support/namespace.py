"""A namespace of one test in a cluster that runs operators: what users write into it, and what a test waits for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from support.live_objects import Body, wait_for
from support.manifests import action, policy, preference, template
from support.operator_cluster import OperatorCluster


class Namespace:
    """A namespace of one test."""

    def __init__(self, operator_cluster: OperatorCluster, name: str) -> None:
        self.operator_cluster, self.api, self.name = operator_cluster, operator_cluster.api, name

    def template(self, name: str = "app", **spec: Any) -> Body:
        return self.api.apply(template(self.name, name, **spec))

    def preference(self, name: str, values: Body | None = None, **spec: Any) -> Body:
        return self.api.apply(preference(self.name, name, values, **spec))

    def policy(
        self, name: str = "calmer", content: Body | None = None, strategy: Body | None = None, **spec: Any
    ) -> Body:
        return self.api.apply(policy(self.name, name, content, strategy, **spec))

    def with_alice(self, **spec: Any) -> None:
        """A template, and the user alice with 5 minutes; both are rendered."""
        self.template(**spec)
        self.preference("alice", {"session.minutes": 5})
        self.wait_user("alice", {"session.minutes": 5})
        self.rendered()

    def drop(self, kind: str, name: str) -> None:
        self.api.delete(kind, self.name, name)

    def get(self, kind: str, name: str) -> Body | None:
        return self.api.get(kind, self.name, name)

    def one(self, kind: str, name: str) -> Body:
        return self.api.one(kind, self.name, name)

    def gone(self, kind: str, name: str) -> None:
        wait_for(lambda: self.get(kind, name) is None, f"{kind} {name} is gone")

    def data(self, name: str, kind: str = "ConfigMap") -> dict[str, str]:
        """An output's data as it is now; empty if there is none."""
        found = self.get(kind, name)
        return (found or {}).get("data") or {}

    def wait_data(self, name: str, entry: str, text: str | None = None, kind: str = "ConfigMap") -> str:
        """Wait for an entry (with that text); its text."""

        def look() -> str | None:
            have = self.data(name, kind).get(entry)
            return have if have is not None and text in (None, have) else None

        return wait_for(look, lambda: f"{kind} {name} has {entry} = {text}; it has {self.data(name, kind)}")  # type: ignore[return-value]

    def user(self, name: str, group: str = "free", of: str = "app") -> Body | None:
        """A user's prefs.json out of whichever shard, or None."""
        for shard in self.shards(group, of):
            text = (shard.get("data") or {}).get(f"{name}.prefs.json")
            if text is not None:
                return dict(json.loads(text))
        return None

    def shards(self, group: str = "free", of: str = "app") -> list[Body]:
        selector = f"trimtab.dev/shard,trimtab.dev/template={of},trimtab.dev/group={group}"
        return self.api.list("ConfigMap", self.name, selector)

    def wait_user(self, name: str, values: Body, group: str = "free", of: str = "app") -> Body:
        """Wait until a user's prefs.json carries these values, by dotted key."""
        return wait_for(
            lambda: (found := self.user(name, group, of)) is not None and _carries(found, values) and found,
            lambda: f"user {name} has {values}; has {self.user(name, group, of)}",
        )  # type: ignore[return-value]

    def verdict(self, kind: str, name: str) -> tuple[str, str]:
        """(status, reason) of Ready as of the present generation; ("", "") while there is none."""
        found = self.one(kind, name)
        status = found.get("status") or {}
        if status.get("observedGeneration") != found["metadata"].get("generation"):
            return "", ""
        ready = next((c for c in status.get("conditions", ()) if c["type"] == "Ready"), None)
        return (ready["status"], ready["reason"]) if ready else ("", "")

    def wait_verdict(self, kind: str, name: str, status: str, reason: str) -> Body:
        """Wait for this verdict; the Ready condition, with the object's status as ``of``."""
        wait_for(
            lambda: self.verdict(kind, name) == (status, reason),
            lambda: f"{kind} {name} is {status}/{reason}; status: {self.one(kind, name).get('status')}",
        )
        whole = self.one(kind, name)["status"]
        ready = next(c for c in whole["conditions"] if c["type"] == "Ready")
        return {**ready, "of": whole}

    def rendered(self, name: str = "app") -> Body:
        return self.wait_verdict("ConfigTemplate", name, "True", "Rendered")

    def accepted(self, name: str) -> Body:
        return self.wait_verdict("UserPreference", name, "True", "Accepted")

    def invalid(self, name: str, reason: str = "Invalid") -> Body:
        return self.wait_verdict("UserPreference", name, "False", reason)

    def outputs(self, namespace: str | None = None) -> dict[tuple[str, str], Body]:
        """Every output of Trimtab's in the namespace, by kind and name."""
        selector = "app.kubernetes.io/managed-by=trimtab"
        return {
            (kind, found["metadata"]["name"]): found
            for kind in ("ConfigMap", "Secret")
            for found in self.api.list(kind, namespace or self.name, selector)
        }

    # Rollouts.

    def ask(self, verb: str, name: str = "calmer", kind: str = "PolicyRollout", **spec: Any) -> str:
        """Create a RolloutAction as the admin, without waiting for what becomes of it; its name."""
        body = action(self.name, verb, self.operator_cluster.admin, kind, name, **spec)
        if "contentHash" not in spec:
            del body["spec"]["contentHash"]
        return str(self.api.create(body)["metadata"]["name"])

    def act(self, verb: str, name: str = "calmer", kind: str = "PolicyRollout", **spec: Any) -> str:
        """As :meth:`ask`, and wait until it is taken; what the answer says."""
        asked = self.ask(verb, name, kind, **spec)
        return str(self.wait_verdict("RolloutAction", asked, "True", "Accepted")["message"])

    def refused(self, verb: str, name: str = "calmer", kind: str = "PolicyRollout", **spec: Any) -> str:
        """As :meth:`ask`, and wait until it is refused; why."""
        asked = self.ask(verb, name, kind, **spec)
        return str(self.wait_verdict("RolloutAction", asked, "False", "Refused")["message"])

    def progress(self, name: str = "calmer", kind: str = "PolicyRollout") -> Body:
        return dict(self.one(kind, name).get("status") or {})

    def reach(self, phase: str, name: str = "calmer", kind: str = "PolicyRollout", **also: Any) -> Body:
        """Wait until the rollout of what the object says now is in that phase, with these fields; its status."""

        def look() -> Body | None:
            found = self.one(kind, name)
            status = found.get("status") or {}
            current = status.get("observedGeneration") == found["metadata"]["generation"]
            there = {"phase": phase, **also}.items() <= status.items()
            return dict(status) if current and there else None

        return wait_for(look, lambda: f"{kind} {name} is {phase} {also}; it is {self.progress(name, kind)}")  # type: ignore[return-value]

    def serves(self, values: Body, *groups: str, of: str = "app") -> None:
        """Wait until these groups' documents carry these values, by dotted key."""
        for group in groups:
            wait_for(
                lambda group=group: _carries(self.document(group, of), values),
                lambda group=group: f"{group} serves {values}; it serves {self.document(group, of)}",
            )

    def document(self, group: str = "free", of: str = "app") -> Body:
        """A group's app.json as it is now."""
        return dict(json.loads(self.data(f"{of}-{group}").get("app.json", "{}")))

    def pointer(self, group: str = "free", of: str = "app") -> Body:
        """The status of a RenderedGroup."""
        return dict(self.one("RenderedGroup", f"{of}-{group}").get("status") or {})

    def told(self, name: str = "calmer", kind: str = "PolicyRollout") -> list[str]:
        """What happened to a rollout by its status, the oldest first."""
        return [t["reason"] for t in reversed(self.progress(name, kind).get("transitions") or [])]


def _carries(document: Body, values: Body) -> bool:
    for key, value in values.items():
        found: Any = document
        for segment in key.split("."):
            found = found.get(segment) if isinstance(found, dict) else None
        if found != value:
            return False
    return True


@pytest.fixture
def ns(operator_cluster: OperatorCluster, request: pytest.FixtureRequest) -> Iterator[Namespace]:
    """A new namespace for this test. No operator acts in it unless the test has a fixture for operators."""
    if operator_cluster.shared.running and not {"operator", "operators"} & set(request.fixturenames):
        operator_cluster.shared.stop()
    about = re.sub(r"[^a-z0-9]+", "-", request.node.name.removeprefix("test_").lower())[:40].strip("-")
    made = Namespace(operator_cluster, operator_cluster.new_namespace(about))
    yield made
    for kind in ("UserPreference", "PolicyRollout", "ConfigTemplate"):
        for item in operator_cluster.api.list(kind, made.name):
            operator_cluster.api.delete(kind, made.name, item["metadata"]["name"])
