"""Who may act on a rollout: each action is a verb on each rollout, and no requester can use another's name."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import yaml

from support.live_objects import KINDS, Api, Body, RefusedError
from support.manifests import SOURCES, VERBS, action
from support.namespace import Namespace
from support.service_accounts import CREATES, Hire, may, refused


@pytest.mark.parametrize("kind", SOURCES)
@pytest.mark.parametrize("verb", VERBS)
def test_each_action_needs_its_own_verb_on_its_own_kind(
    ns: Namespace, hire: Hire, verb: str, kind: str
) -> None:
    # given: somebody who has all verbs but this one, on the very rollout, and this one on the other kind
    ann, resource = hire(), SOURCES[kind]
    other = next(each for each in SOURCES.values() if each != resource)
    ann.grant(
        CREATES,
        may(resource, *(each for each in VERBS if each != verb), named="calmer"),
        may(other, verb),
    )

    # then: every other one is let through, and this one is refused with its remedy
    for each in VERBS:
        if each != verb:
            ann.tries(action(ns.name, each, ann.username, kind))
    said = refused(lambda: ann.tries(action(ns.name, verb, ann.username, kind)))
    assert f"RolloutAction {ns.name}/{verb}-" in said
    assert f'"{ann.username}" cannot {verb} {resource}.trimtab.dev "calmer" in namespace "{ns.name}"' in said
    rule = yaml.safe_load(said[said.index("{") : said.rindex("}") + 1])
    assert rule == may(resource, verb, named="calmer")

    # and when the rule that the refusal names is given, it is let through
    ann.grant(rule)
    made = ann.api.create(action(ns.name, verb, ann.username, kind))
    assert ns.one("RolloutAction", made["metadata"]["name"])["spec"]["requester"] == ann.username


def test_a_requester_cannot_use_another_name(ns: Namespace, hire: Hire) -> None:
    ann, bob = hire("ann"), hire("bob")
    ann.grant(CREATES, may("policyrollouts", "*"))
    said = refused(lambda: ann.tries(action(ns.name, "approve", bob.username)))
    assert f'spec.requester is "{bob.username}", but the client is user "{ann.username}"' in said
    for name in ("ann", ann.username + " ", ann.username.upper(), "system:serviceaccount:default:ann"):
        assert "spec.requester is" in refused(lambda name=name: ann.tries(action(ns.name, "approve", name)))
    ann.tries(action(ns.name, "approve", ann.username))


def test_not_even_the_cluster_admin_can_use_another_name(ns: Namespace, hire: Hire) -> None:
    said = refused(lambda: ns.api.create(action(ns.name, "abort", "ann@example.com")))
    assert 'spec.requester is "ann@example.com"' in said


def test_a_verb_on_the_rollout_is_no_right_to_create_actions(ns: Namespace, hire: Hire) -> None:
    ann = hire()
    ann.grant(may("policyrollouts", *VERBS))
    said = refused(lambda: ann.tries(action(ns.name, "pause", ann.username)))
    assert "cannot create resource" in said


@pytest.mark.parametrize(
    "rule",
    [
        may("policyrollouts", "approve", named="calm"),
        may("policyrollouts", "approve", named="calmer-agents"),
        may("policyrollouts", "Approve"),
        may("policyrollouts", "get", "list", "create", "update", "patch", "delete"),
        may("policyrollouts", "approve", group="apps"),
        may("policyrollouts/status", "approve"),
        may("policyrollouts/approve", "create"),
        may("rolloutactions", "approve", "create", "update"),
        may("renderedgroups", "approve"),
    ],
    ids=lambda rule: f"{rule['resources'][0]}-{rule['verbs'][0]}-{rule.get('resourceNames', [''])[0]}".strip(
        "-"
    ),
)
def test_what_only_looks_like_the_right_does_not_help(ns: Namespace, hire: Hire, rule: Body) -> None:
    ann = hire()
    ann.grant(CREATES, rule)
    assert "cannot approve" in refused(lambda: ann.tries(action(ns.name, "approve", ann.username)))


@pytest.mark.parametrize(
    "rule",
    [
        may("policyrollouts", "approve"),
        may("policyrollouts", "approve", named="calmer"),
        may("policyrollouts", "*"),
        may("*", "approve"),
        may("*", "*", group="*"),
    ],
    ids=["all", "named", "any verb", "any resource", "anything"],
)
def test_wildcards_mean_what_they_mean_in_rbac(ns: Namespace, hire: Hire, rule: Body) -> None:
    ann = hire()
    ann.grant(CREATES, rule)
    ann.tries(action(ns.name, "approve", ann.username))


def test_a_right_may_be_a_groups(ns: Namespace, hire: Hire) -> None:
    ann = hire()
    everybody = {
        "kind": "Group",
        "apiGroup": "rbac.authorization.k8s.io",
        "name": f"system:serviceaccounts:{ns.name}",
    }
    ann.grant(CREATES, may("policyrollouts", "approve", named="calmer"), subject=everybody)
    ann.tries(action(ns.name, "approve", ann.username))

    assert "cannot approve" in refused(
        lambda: ann.tries(action(ns.name, "approve", ann.username, name="other"))
    )


def test_a_right_in_one_namespace_is_none_on_the_rollout_of_that_name_in_another(
    ns: Namespace, hire: Hire
) -> None:
    ann, other = hire(), ns.operator_cluster.new_namespace("other")
    ann.grant(CREATES, may("policyrollouts", "approve"))
    ann.grant(CREATES, namespace=other)
    ann.tries(action(ns.name, "approve", ann.username))
    said = refused(lambda: ann.tries(action(other, "approve", ann.username)))
    assert f'in namespace "{other}"' in said

    # and an action cannot point out of its namespace
    pointing = action(ns.name, "approve", ann.username)
    pointing["spec"]["rolloutRef"]["namespace"] = other
    path = KINDS["RolloutAction"].path(ns.name)
    kept = ann.api.call("POST", path, pointing, dryRun="All", fieldValidation="Ignore")
    assert "namespace" not in kept["spec"]["rolloutRef"]


def test_every_way_to_create_is_guarded(ns: Namespace, hire: Hire) -> None:
    ann = hire()
    ann.grant(may("rolloutactions", "create", "get", "patch", "update"), may("policyrollouts", "pause"))
    body = action(ns.name, "approve", ann.username)
    del body["metadata"]["generateName"]
    body["metadata"]["name"] = "mine"
    path = KINDS["RolloutAction"].path(ns.name)

    assert "cannot approve" in refused(lambda: ann.api.create(body))
    assert "cannot approve" in refused(lambda: ann.api.apply(body))
    # what is not there cannot be replaced into being, nor through its status
    for method, where in (("PUT", f"{path}/mine"), ("PUT", f"{path}/mine/status")):
        with pytest.raises(RefusedError) as caught:
            ann.api.call(method, where, body)
        assert caught.value.status in (403, 404)
    assert ns.get("RolloutAction", "mine") is None


def test_an_action_cannot_be_changed_after_its_creation(ns: Namespace, hire: Hire) -> None:
    # given: a harmless action of somebody who may also edit actions
    ann = hire()
    ann.grant(
        may("rolloutactions", "create", "get", "patch", "update"),
        may("rolloutactions/status", "patch", "update"),
        may("policyrollouts", "pause"),
    )
    made = ann.api.create(action(ns.name, "pause", ann.username))
    name = made["metadata"]["name"]
    path = KINDS["RolloutAction"].path(ns.name, name)

    # then: no way of editing it makes something else of it
    change = {"spec": {"action": "Approve"}}
    json_patch = [{"op": "replace", "path": "/spec/action", "value": "Approve"}]
    whole = copy.deepcopy(made)
    whole["spec"]["action"] = "Approve"
    applied = {key: whole[key] for key in ("apiVersion", "kind", "spec")} | {"metadata": {"name": name}}
    ways: list[Callable[[], object]] = [
        lambda: ann.api.patch("RolloutAction", ns.name, name, change),
        lambda: ann.api.call("PATCH", path, json_patch, kind="application/json-patch+json"),
        lambda: ann.api.call("PUT", path, whole),
        lambda: ann.api.call(
            "PATCH", path, applied, kind="application/apply-patch+yaml", fieldManager="x", force="true"
        ),
        lambda: ann.api.patch("RolloutAction", ns.name, name, {"spec": {"requester": "bob"}}),
        lambda: ann.api.patch("RolloutAction", ns.name, name, {"spec": {"reason": "another"}}),
        lambda: ann.api.patch("RolloutAction", ns.name, name, {"spec": {"contentHash": None}}),
    ]
    for way in ways:
        with pytest.raises(RefusedError, match="is immutable"):
            way()
    ann.api.patch("RolloutAction", ns.name, name, change, subresource="status")
    assert ns.one("RolloutAction", name)["spec"] == made["spec"]

    # and what means nothing to Trimtab is anybody's who may edit
    ann.api.patch("RolloutAction", ns.name, name, {"metadata": {"labels": {"ticket": "OPS-1"}}})


def test_an_approval_names_the_previewed_content(ns: Namespace, hire: Hire) -> None:
    ann = hire()
    ann.grant(CREATES, may("policyrollouts", *VERBS))
    for verb in VERBS:
        body = action(ns.name, verb, ann.username)
        del body["spec"]["contentHash"]
        if verb == "approve":
            with pytest.raises(
                RefusedError, match=r"spec\.contentHash: Required value: Approve requires contentHash"
            ):
                ann.tries(body)
        else:
            ann.tries(body)


def test_impersonation_has_the_rights_and_the_name_of_the_other_user(ns: Namespace, hire: Hire) -> None:
    ann, bob = hire("ann"), hire("bob")
    ann.grant(CREATES, may("policyrollouts", "approve"))
    bob.grant(CREATES, may("policyrollouts", "pause"))
    as_bob = Api(ann.kubeconfig, impersonate=bob.username)

    def ask(verb: str, requester: str) -> Body:
        body = action(ns.name, verb, requester)
        return as_bob.call("POST", KINDS["RolloutAction"].path(ns.name), body, dryRun="All")

    # without the right to impersonate it is no use at all
    assert "cannot impersonate" in refused(lambda: ask("pause", bob.username))
    ann.grant(may("serviceaccounts", "impersonate", named="bob", group=""))
    ask("pause", bob.username)
    assert "cannot approve" in refused(lambda: ask("approve", bob.username))
    assert f'but the client is user "{bob.username}"' in refused(lambda: ask("pause", ann.username))
