"""The admission policies are in force as shipped, and the shipped roles grant what they describe.

What they guard has modules of its own: test_requesters.py and test_join_permission.py.
"""

from __future__ import annotations

import copy
import itertools
import json
from typing import Any

import yaml

from support.live_objects import KINDS, wait_for
from support.manifests import SOURCES, VERBS, action, group_spec, manifest, preference, template
from support.namespace import Namespace
from support.operator_cluster import OperatorCluster
from support.service_accounts import EDITS, Hire, may, refused
from trimtab import admission

POLICIES = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"


def test_the_api_server_has_exactly_what_is_shipped(guarded: OperatorCluster) -> None:
    for wanted in yaml.safe_load_all(admission.text()):
        found = json.loads(
            guarded.kubectl("get", wanted["kind"], wanted["metadata"]["name"], "-o", "json").stdout
        )
        assert _within(wanted["spec"], found["spec"]), found["spec"]


def _within(wanted: Any, found: Any) -> bool:
    """Whether all that is wanted is there; the API server adds defaults."""
    if isinstance(wanted, dict):
        return all(key in found and _within(value, found[key]) for key, value in wanted.items())
    if isinstance(wanted, list):
        return len(wanted) == len(found) and all(itertools.starmap(_within, zip(wanted, found, strict=True)))
    return bool(wanted == found)


def test_the_api_servers_type_checker_finds_no_error(guarded: OperatorCluster) -> None:
    for body in yaml.safe_load_all(admission.text()):
        if body["kind"] != "ValidatingAdmissionPolicy":
            continue
        copied = copy.deepcopy(body)
        copied["metadata"]["name"] = name = (
            f"{body['metadata']['name']}-checked"  # unbound, and the CRDs are there
        )
        guarded.api.call("POST", POLICIES, copied)
        try:
            checked = wait_for(
                lambda name=name: (
                    guarded.api.call("GET", f"{POLICIES}/{name}").get("status", {}).get("typeChecking", None)
                    is not None
                    and guarded.api.call("GET", f"{POLICIES}/{name}")["status"]
                )
            )
            assert not checked["typeChecking"].get("expressionWarnings"), checked
        finally:
            guarded.api.call("DELETE", f"{POLICIES}/{name}")


def test_a_right_to_edit_does_not_include_status(ns: Namespace, hire: Hire) -> None:
    # given: somebody who may do anything to the objects, and nothing to their subresources
    ann = hire()
    for kind in ("RolloutAction", "UserPreference", "PolicyRollout", "ConfigTemplate"):
        ann.grant(may(KINDS[kind].plural, "*"))
    ann.grant(may("renderedgroups", "join", "get"))
    policy = manifest("PolicyRollout", ns.name, "calmer", {"templateRef": {"name": "app"}})
    forged = {"observedGeneration": 1, "phase": "Succeeded", "approved": ["canary"], "conditions": []}

    # then: neither a create nor an update carries a status, and the subresource is closed
    for body in (
        action(ns.name, "approve", ann.username),
        preference(ns.name, "alice"),
        template(ns.name),
        policy,
    ):
        made = ann.api.create(body | {"status": forged})
        kind, name = body["kind"], made["metadata"]["name"]
        assert "status" not in made
        assert "status" not in ann.api.patch(kind, ns.name, name, {"status": forged})
        said = refused(
            lambda kind=kind, name=name: ann.api.patch(kind, ns.name, name, {"status": forged}, "status")
        )
        assert f"{KINDS[kind].plural}/status" in said
    group = manifest("RenderedGroup", ns.name, "app-free", group_spec())
    assert "cannot create resource" in refused(lambda: ann.api.create(group))


def test_the_shipped_roles_grant_what_they_describe(ns: Namespace, hire: Hire) -> None:
    for role, has in {
        "trimtab-approver": {"approve"},
        "trimtab-pauser": {"pause", "resume", "abort"},
        "trimtab-rollout-admin": set(VERBS),
    }.items():
        who = hire(role)
        who.bind(role, may("policyrollouts", *has))
        for verb, kind in itertools.product(VERBS, SOURCES):
            body = action(ns.name, verb, who.username, kind)
            if verb in has:
                who.tries(body)
            else:
                assert f"cannot {verb}" in refused(lambda who=who, body=body: who.tries(body))


def test_the_roles_for_preferences_join_only_together(ns: Namespace, hire: Hire) -> None:
    ann = hire()
    ann.bind("trimtab-preference-editor", EDITS)
    assert "cannot join" in refused(lambda: ann.tries(preference(ns.name, "alice")))
    ann.bind("trimtab-group-joiner", may("renderedgroups", "join"))
    ann.tries(preference(ns.name, "alice"))
