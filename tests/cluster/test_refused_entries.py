"""What admission and quotas refuse of one user blocks no other, on a real API server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.live_objects import Body, RefusedError, wait_for
from support.manifests import enforce, minutes, waves
from support.namespace import Namespace
from support.operator_process import Operator
from support.rollout_scenes import OLD_FREE, given

ADMISSION = "/apis/admissionregistration.k8s.io/v1"
WORD = "FORBIDDEN"


@pytest.fixture
def scanner(ns: Namespace) -> Iterator[None]:
    """A ValidatingAdmissionPolicy that refuses ConfigMaps with a word in their data, in force."""
    rule = {
        "apiGroups": [""],
        "apiVersions": ["v1"],
        "operations": ["CREATE", "UPDATE"],
        "resources": ["configmaps"],
    }
    policy: Body = {
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": [rule]},
        "validations": [
            {
                "expression": f"!has(object.data) || object.data.all(k, !object.data[k].contains('{WORD}'))",
                "message": "looks like a secret",
            }
        ],
    }
    here = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": ns.name}}}
    binding: Body = {"policyName": ns.name, "validationActions": ["Deny"], "matchResources": here}
    kinds = {"ValidatingAdmissionPolicy": policy, "ValidatingAdmissionPolicyBinding": binding}
    paths = {
        "ValidatingAdmissionPolicy": f"{ADMISSION}/validatingadmissionpolicies",
        "ValidatingAdmissionPolicyBinding": f"{ADMISSION}/validatingadmissionpolicybindings",
    }
    for kind, spec in kinds.items():
        body = {
            "apiVersion": ADMISSION.removeprefix("/apis/"),
            "kind": kind,
            "metadata": {"name": ns.name},
        }
        ns.api.call("POST", paths[kind], {**body, "spec": spec})
    wait_for(lambda: _is_refused(ns), "the policy is in force")
    yield
    for path in paths.values():
        ns.api.call("DELETE", f"{path}/{ns.name}")


def _is_refused(ns: Namespace) -> bool:
    path = f"/api/v1/namespaces/{ns.name}/configmaps"
    body = {"metadata": {"name": "probe"}, "data": {"x": WORD}}
    try:
        ns.api.call("POST", path, body, dryRun="All")
    except RefusedError:
        return True
    return False


def test_a_value_that_admission_refuses_is_its_user_s_failure(
    operator: Operator, ns: Namespace, scanner: None
) -> None:
    # given: users in one shard, and a rollout under way
    given(ns)
    for name in ("evil", "good"):
        ns.preference(name, {"session.minutes": 7})
        ns.wait_user(name, {"session.minutes": 7})
    ns.policy(content=enforce("agent.temperature", 0.1), strategy=waves())
    ns.reach("Soaking")
    ns.wait_user("good", {"agent.temperature": 0.1})

    # when: one user's value is refused, and others join and edit
    edited = ns.preference("evil", {"session.greeting": WORD})
    ns.preference("late-evil", {"session.greeting": WORD})
    ns.preference("good", {"session.minutes": 8})
    ns.preference("late-good", {"session.minutes": 9})

    # then: that is said of them alone, with the API server's words
    ns.wait_user("good", {"session.minutes": 8})
    ns.wait_user("late-good", {"session.minutes": 9})
    for name in ("evil", "late-evil"):
        said = ns.invalid(name, "WriteFailed")
        assert "looks like a secret" in said["message"]
    assert ns.invalid("evil", "WriteFailed")["observedGeneration"] == edited["metadata"]["generation"]
    ns.wait_user("evil", {"session.minutes": 7, "session.greeting": "hello"})
    assert ns.user("late-evil") is None
    ns.accepted("good")

    # and a rollback reaches everybody else
    ns.act("abort")
    ns.reach("RolledBack")
    ns.wait_user("good", {"agent.temperature": 0.7, "session.minutes": 8})

    # and whoever corrects the value is served
    ns.preference("late-evil", {"session.greeting": "fine"})
    ns.wait_user("late-evil", {"session.greeting": "fine"})
    ns.accepted("late-evil")


def test_a_quota_that_refuses_a_new_shard_delays_only_new_users(operator: Operator, ns: Namespace) -> None:
    # given: a full shard, a rollout under way, and a quota that is used up
    given(ns)
    large = {"session.greeting": "x" * 5000}
    for name in ("ann", "bob"):
        ns.preference(name, large)
        ns.wait_user(name, large)
    ns.policy(content=minutes(25), strategy=waves())
    ns.reach("Soaking")
    ns.wait_user("ann", {"session.minutes": 25})
    used = str(len(ns.api.list("ConfigMap", ns.name)))
    path = f"/api/v1/namespaces/{ns.name}/resourcequotas"
    ns.api.call("POST", path, {"metadata": {"name": "maps"}, "spec": {"hard": {"configmaps": used}}})
    wait_for(
        lambda: (
            (ns.api.call("GET", f"{path}/maps").get("status") or {}).get("used", {}).get("configmaps") == used
        ),
        "the quota is counted",
    )

    # when: users join who need another shard, others edit and go, and the rollout is aborted
    for name in ("cid", "dan", "eve"):
        ns.preference(name, large)
    for name in ("cid", "dan", "eve"):
        assert "exceeded quota" in ns.invalid(name, "WriteFailed")["message"]
    ns.preference("ann", {**large, "agent.temperature": 0.2})
    ns.drop("UserPreference", "bob")
    ns.act("abort")

    # then: all that is done
    ns.reach("RolledBack")
    ns.serves(OLD_FREE, "free")
    ns.wait_user("ann", {"agent.temperature": 0.2, "session.minutes": OLD_FREE["session.minutes"]})
    wait_for(lambda: ns.user("bob") is None, "bob's entry is gone")
