"""The admission policies: one source, the same in the chart, and with nothing that could put them out of force."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from trimtab import admission, crd
from trimtab.api import KINDS
from trimtab.api.meta import API_VERSION, VERSION
from trimtab.api.rollout_action import Action, RolloutRef

ROOT = Path(__file__).parents[2]
DOCUMENTS = list(yaml.safe_load_all(admission.text()))
POLICIES = {d["metadata"]["name"]: d for d in DOCUMENTS if d["kind"] == "ValidatingAdmissionPolicy"}
BINDINGS = {d["metadata"]["name"]: d for d in DOCUMENTS if d["kind"] == "ValidatingAdmissionPolicyBinding"}


@pytest.mark.parametrize(("path", "content"), admission.files().items())
def test_the_charts_copy_is_the_packages(path: str, content: str) -> None:
    assert (ROOT / path).read_bytes() == content.encode(), "run `make crds`"


def test_the_chart_has_no_other_copies() -> None:
    found = {f"{admission.CHART}/{entry.name}" for entry in (ROOT / admission.CHART).iterdir()}
    assert found == set(admission.files())


def test_every_file_of_the_package_is_one_of_them() -> None:
    folder = Path(admission.__file__).parent
    assert {entry.stem for entry in folder.glob("*.yaml")} == set(admission.NAMES)


def test_they_have_nothing_that_helm_would_fill_in() -> None:
    assert "{{" not in admission.text()


def test_they_are_no_crds() -> None:
    assert "ValidatingAdmissionPolicy" not in crd.text()


def test_each_policy_is_bound_by_its_name() -> None:
    assert set(POLICIES) == set(BINDINGS) == {f"trimtab-{name}" for name in admission.NAMES}
    assert {name: each["spec"]["policyName"] for name, each in BINDINGS.items()} == {n: n for n in BINDINGS}


@pytest.mark.parametrize("name", POLICIES)
def test_a_policy_holds_everywhere_and_an_error_in_it_refuses(name: str) -> None:
    policy, binding = POLICIES[name]["spec"], BINDINGS[name]["spec"]
    assert policy["failurePolicy"] == "Fail"
    assert binding["validationActions"] == ["Deny"]
    # No parameter that may be missing; no selector, exclusion or condition that a label or a name would meet, but for
    # the operator's own name in the policy that is about it alone.
    about = {"matchConditions"} if name == "trimtab-operator" else set()
    assert policy.keys() == {"failurePolicy", "matchConstraints", "variables", "validations"} | about
    assert policy["matchConstraints"].keys() == {"resourceRules"}
    assert binding.keys() == {"policyName", "validationActions"}


@pytest.mark.parametrize("name", POLICIES)
def test_a_policy_is_about_a_kind_that_is_served(name: str) -> None:
    served = {model.info.plural for model in KINDS}
    if name == "trimtab-operator":
        return  # it is about what the operator writes
    for rule in POLICIES[name]["spec"]["matchConstraints"]["resourceRules"]:
        assert (rule["apiGroups"], rule["apiVersions"]) == ([API_VERSION.split("/")[0]], [VERSION])
        assert set(rule["resources"]) <= served


@pytest.mark.parametrize("name", POLICIES)
def test_a_refusal_always_has_words(name: str) -> None:
    for validation in POLICIES[name]["spec"]["validations"]:
        assert validation["reason"] == "Forbidden"
        assert name == "trimtab-operator" or validation["messageExpression"]
        assert "\n" not in validation["message"].strip()  # what is said where the expression itself fails


def test_the_policy_knows_every_kind_that_rolls_out_and_no_other() -> None:
    kinds = get_args(RolloutRef.model_fields["kind"].annotation)
    plurals = {model.info.kind: model.info.plural for model in KINDS}
    variables: dict[str, Any] = {
        each["name"]: each["expression"] for each in POLICIES["trimtab-rollout-actions"]["spec"]["variables"]
    }
    said = dict(re.findall(r"'(\w+)': '(\w+)'", variables["resource"]))
    assert said == {kind: plurals[kind] for kind in kinds}


def test_every_verb_is_named_where_the_words_list_them() -> None:
    told = " ".join(each["message"] for each in POLICIES["trimtab-rollout-actions"]["spec"]["validations"])
    assert all(action.lower() in told for action in get_args(Action))
