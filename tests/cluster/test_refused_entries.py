"""What admission and quotas refuse of one user stops no one else, on a real API server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.cluster_fixtures import Place
from support.live_objects import Body, RefusedError, wait_for
from support.manifests import enforce, minutes, waves
from support.operator_process import Operator
from support.rollout_scenes import OLD_FREE, given

ADMISSION = "/apis/admissionregistration.k8s.io/v1"
WORD = "FORBIDDEN"


@pytest.fixture
def scanner(place: Place) -> Iterator[None]:
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
    here = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": place.name}}}
    binding: Body = {"policyName": place.name, "validationActions": ["Deny"], "matchResources": here}
    kinds = {"ValidatingAdmissionPolicy": policy, "ValidatingAdmissionPolicyBinding": binding}
    paths = {
        "ValidatingAdmissionPolicy": f"{ADMISSION}/validatingadmissionpolicies",
        "ValidatingAdmissionPolicyBinding": f"{ADMISSION}/validatingadmissionpolicybindings",
    }
    for kind, spec in kinds.items():
        body = {
            "apiVersion": ADMISSION.removeprefix("/apis/"),
            "kind": kind,
            "metadata": {"name": place.name},
        }
        place.api.call("POST", paths[kind], {**body, "spec": spec})
    wait_for(lambda: _is_refused(place), "the policy is in force")
    yield
    for path in paths.values():
        place.api.call("DELETE", f"{path}/{place.name}")


def _is_refused(place: Place) -> bool:
    path = f"/api/v1/namespaces/{place.name}/configmaps"
    body = {"metadata": {"name": "probe"}, "data": {"x": WORD}}
    try:
        place.api.call("POST", path, body, dryRun="All")
    except RefusedError:
        return True
    return False


def test_a_value_that_admission_refuses_is_its_user_s_failure(
    operator: Operator, place: Place, scanner: None
) -> None:
    # given: users in one shard, and a rollout under way
    given(place)
    for name in ("evil", "good"):
        place.preference(name, {"session.minutes": 7})
        place.wait_user(name, {"session.minutes": 7})
    place.policy(says=enforce("agent.temperature", 0.1), strategy=waves())
    place.reach("Soaking")
    place.wait_user("good", {"agent.temperature": 0.1})

    # when: one user's value is refused, and others join and edit
    edited = place.preference("evil", {"session.greeting": WORD})
    place.preference("late-evil", {"session.greeting": WORD})
    place.preference("good", {"session.minutes": 8})
    place.preference("late-good", {"session.minutes": 9})

    # then: that is said of them alone, with the API server's words
    place.wait_user("good", {"session.minutes": 8})
    place.wait_user("late-good", {"session.minutes": 9})
    for name in ("evil", "late-evil"):
        said = place.invalid(name, "WriteFailed")
        assert "looks like a secret" in said["message"]
    assert place.invalid("evil", "WriteFailed")["observedGeneration"] == edited["metadata"]["generation"]
    place.wait_user("evil", {"session.minutes": 7, "session.greeting": "hello"})
    assert place.user("late-evil") is None
    place.accepted("good")

    # and a rollback reaches everybody else
    place.act("abort")
    place.reach("RolledBack")
    place.wait_user("good", {"agent.temperature": 0.7, "session.minutes": 8})

    # and whoever corrects the value is served
    place.preference("late-evil", {"session.greeting": "fine"})
    place.wait_user("late-evil", {"session.greeting": "fine"})
    place.accepted("late-evil")


def test_a_quota_that_refuses_a_new_shard_stops_newcomers_alone(operator: Operator, place: Place) -> None:
    # given: a full shard, a rollout under way, and a quota that is used up
    given(place)
    large = {"session.greeting": "x" * 5000}
    for name in ("ann", "bob"):
        place.preference(name, large)
        place.wait_user(name, large)
    place.policy(says=minutes(25), strategy=waves())
    place.reach("Soaking")
    place.wait_user("ann", {"session.minutes": 25})
    used = str(len(place.api.list("ConfigMap", place.name)))
    path = f"/api/v1/namespaces/{place.name}/resourcequotas"
    place.api.call("POST", path, {"metadata": {"name": "maps"}, "spec": {"hard": {"configmaps": used}}})
    wait_for(
        lambda: (
            (place.api.call("GET", f"{path}/maps").get("status") or {}).get("used", {}).get("configmaps")
            == used
        ),
        "the quota is counted",
    )

    # when: users join who need another shard, others edit and go, and the rollout is aborted
    for name in ("cid", "dan", "eve"):
        place.preference(name, large)
    for name in ("cid", "dan", "eve"):
        assert "exceeded quota" in place.invalid(name, "WriteFailed")["message"]
    place.preference("ann", {**large, "agent.temperature": 0.2})
    place.drop("UserPreference", "bob")
    place.act("abort")

    # then: all that is done
    place.reach("RolledBack")
    place.serves(OLD_FREE, "free")
    place.wait_user("ann", {"agent.temperature": 0.2, "session.minutes": OLD_FREE["session.minutes"]})
    wait_for(lambda: place.user("bob") is None, "bob's entry is gone")
