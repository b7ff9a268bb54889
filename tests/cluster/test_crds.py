"""A real API server takes the CRDs, keeps every field of the contract, and refuses what they forbid."""

from __future__ import annotations

import json
import secrets
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.shared_cluster import Cluster
from trimtab import crd
from trimtab.api import KINDS

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("crds")]

CONTRACT = Path(__file__).parents[1] / "api" / "contract.yaml"
SERVED = {model.info.kind for model in KINDS}
EXAMPLES = {
    example["kind"]: example
    for example in yaml.safe_load_all(CONTRACT.read_text(encoding="utf-8"))
    if example["kind"] in SERVED
}
CRDS = [f"crd/{model.info.plural}.trimtab.dev" for model in KINDS]
GROUP = {
    "apiVersion": "trimtab.dev/v1alpha1",
    "kind": "RenderedGroup",
    "metadata": {"name": "music-agent-free"},
    "spec": {"templateRef": {"name": "music-agent"}, "group": "free"},
}


class Namespace:
    """kubectl in one namespace of a cluster that has the CRDs."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.cluster = cluster
        self.name = name

    def ask(self, *args: str, body: object = None) -> tuple[bool, str]:
        """Whether it worked, and what it said."""
        sent = None if body is None else json.dumps(body)
        try:
            run = self.cluster.kubectl("-n", self.name, *args, input=sent)
        except subprocess.CalledProcessError as failed:
            return False, failed.stderr
        return run.returncode == 0, run.stdout if run.returncode == 0 else run.stderr

    def do(self, *args: str, body: object = None) -> str:
        worked, said = self.ask(*args, body=body)
        assert worked, said
        return said

    def create(self, example: dict[str, Any]) -> dict[str, Any]:
        here = example | {"metadata": example["metadata"] | {"namespace": self.name}}
        requester = example["spec"].get(
            "requester"
        )  # must be true, where the admission policies are in force
        posing = [f"--as={requester}", "--as-group=system:masters"] if requester else []
        created: dict[str, Any] = json.loads(self.do("create", "-f", "-", "-o", "json", *posing, body=here))
        return created

    def refusal(self, *args: str, body: object = None) -> str:
        worked, said = self.ask(*args, body=body)
        assert not worked, said
        return said

    def names(self, *args: str) -> list[str]:
        return sorted(self.do("get", *args, "-o", "name").split())


@pytest.fixture(scope="module")
def served(cluster: Cluster) -> Cluster:
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", input=crd.text())
    cluster.kubectl("wait", "--for=condition=Established", "--timeout=60s", *CRDS)
    until = time.monotonic() + 30
    while {name.removeprefix("crd/") for name in CRDS} - set(
        cluster.kubectl("api-resources", "-o", "name").stdout.split()
    ):
        assert time.monotonic() < until, "the kinds did not turn up in discovery"
        time.sleep(0.2)
    return cluster


@pytest.fixture
def namespace(served: Cluster) -> Iterator[Namespace]:
    name = f"crds-{secrets.token_hex(4)}"
    served.kubectl("create", "namespace", name)
    yield Namespace(served, name)
    served.kubectl("delete", "namespace", name, "--wait=false")


def test_every_crd_is_established_and_structural(served: Cluster) -> None:
    for name in CRDS:
        found = json.loads(served.kubectl("get", name, "-o", "json").stdout)
        conditions = {entry["type"]: entry["status"] for entry in found["status"]["conditions"]}
        assert conditions["Established"] == "True"
        assert conditions.get("NonStructuralSchema", "False") == "False"


@pytest.mark.parametrize("kind", EXAMPLES)
def test_the_contracts_examples_are_kept_whole(namespace: Namespace, kind: str) -> None:
    assert namespace.create(EXAMPLES[kind])["spec"] == EXAMPLES[kind]["spec"]


def test_nothing_is_defaulted_so_that_unset_stays_unset(namespace: Namespace) -> None:
    spec = {"keys": [{"name": "a", "type": "String"}], "outputs": [{"name": "app", "format": "JSON"}]}
    assert namespace.create(EXAMPLES["ConfigTemplate"] | {"spec": spec})["spec"] == spec


def test_falsy_values_are_kept_and_nulls_are_dropped(namespace: Namespace) -> None:
    values = {"no": False, "zero": 0, "empty": "", "list": [], "map": {}, "unset": None}
    example = EXAMPLES["UserPreference"]
    kept = namespace.create(example | {"spec": example["spec"] | {"values": values}})["spec"]["values"]
    assert kept == {key: value for key, value in values.items() if value is not None}


def test_a_status_is_kept_whole_and_apart_from_the_spec(namespace: Namespace) -> None:
    status = {
        "observedGeneration": 1,
        "conditions": [
            {
                "type": "Ready",
                "status": "False",
                "reason": "Invalid",
                "message": "1 value",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }
        ],
        "violations": [
            {"key": "a.b", "layer": "user", "rule": "maximum", "message": "at most 2", "nearest": 2},
            {"key": "a.x", "layer": "user", "rule": "unknown", "message": "no such key", "nearest": "a.b"},
        ],
        "warnings": [{"key": "a.b", "reason": "Coerced", "message": "text taken as a number"}],
        "accepted": {"generation": 1, "group": "free", "schemaVersion": 2, "values": {"a.b": 1.5}},
        "history": [{"generation": 1, "schemaVersion": 2, "values": {"a.c": {"jazz": 0.8}}}],
    }
    namespace.create(EXAMPLES["UserPreference"])
    patch = json.dumps({"status": status})
    namespace.do("patch", "upref", "alice", "--subresource=status", "--type=merge", "-p", patch)
    found = json.loads(namespace.do("get", "upref", "alice", "-o", "json"))

    assert found["status"] == status
    assert found["metadata"]["generation"] == 1
    assert namespace.do("get", "upref", "alice", "--no-headers").split()[:5] == [
        "alice",
        "music-agent",
        "free",
        "False",
        "Invalid",
    ]


@pytest.mark.parametrize(
    ("written", "change"),
    [("alice", {"user": "bob"}), ("alice", {"user": None}), (None, {"user": "bob"})],
    ids=["changed", "removed", "set later"],
)
def test_a_preference_cannot_change_hands(namespace: Namespace, written: str | None, change: object) -> None:
    example = EXAMPLES["UserPreference"]
    named = example | {"metadata": {"name": "mine"}, "spec": example["spec"] | {"user": written}}
    namespace.create(named)
    patch = json.dumps({"spec": change})
    assert "is immutable" in namespace.refusal("patch", "upref", "mine", "--type=merge", "-p", patch)


def test_setting_the_default_user_explicitly_is_not_a_change(namespace: Namespace) -> None:
    example = EXAMPLES["UserPreference"]
    namespace.create(example | {"spec": example["spec"] | {"user": None}})
    for user in ("alice", None):
        patch = json.dumps({"spec": {"user": user, "group": "pro"}})
        namespace.do("patch", "upref", "alice", "--type=merge", "-p", patch)


def test_a_name_that_is_not_a_valid_user_requires_spec_user(namespace: Namespace) -> None:
    example = EXAMPLES["UserPreference"]
    dotted = example | {"metadata": {"name": "alice.music", "namespace": namespace.name}}
    unsaid = dotted | {"spec": example["spec"] | {"user": None}}
    assert "set spec.user" in namespace.refusal("create", "-f", "-", body=unsaid)
    namespace.create(dotted)


def test_a_rendered_group_stays_what_it_is(namespace: Namespace) -> None:
    namespace.create(GROUP)
    for change in ({"group": "pro"}, {"templateRef": {"name": "other"}}):
        patch = json.dumps({"spec": change})
        refusal = namespace.refusal("patch", "rgroup", "music-agent-free", "--type=merge", "-p", patch)
        assert "is immutable" in refusal


def test_an_approval_requires_the_hash_of_the_previewed_content(namespace: Namespace) -> None:
    example = EXAMPLES["RolloutAction"]
    unsaid = example | {"metadata": {"generateName": "a-", "namespace": namespace.name}}
    unsaid |= {"spec": example["spec"] | {"contentHash": None}}
    refusal = namespace.refusal("create", "-f", "-", body=unsaid)
    assert "spec.contentHash: Required value: Approve requires contentHash" in refusal
    namespace.create(unsaid | {"spec": unsaid["spec"] | {"action": "Pause"}})


def test_an_action_stays_what_it_is(namespace: Namespace) -> None:
    name = namespace.create(EXAMPLES["RolloutAction"])["metadata"]["name"]
    for change in ({"action": "Undo"}, {"reason": None}, {"contentHash": "0000"}):
        patch = json.dumps({"spec": change})
        assert "is immutable" in namespace.refusal("patch", "raction", name, "--type=merge", "-p", patch)

    assert namespace.do("get", "raction", name, "--no-headers").split()[1:5] == [
        "PolicyRollout",
        "calmer-agents",
        "Approve",
        "ann@example.com",
    ]


def test_a_templates_name_has_at_most_63_characters(namespace: Namespace) -> None:
    example = EXAMPLES["ConfigTemplate"]
    namespace.create(example | {"metadata": {"name": "a" * 63}})
    long = example | {"metadata": {"name": "a" * 64, "namespace": namespace.name}}
    assert "at most 63 characters" in namespace.refusal("create", "-f", "-", body=long)


def test_entries_of_one_name_are_refused(namespace: Namespace) -> None:
    key = {"name": "a", "type": "String"}
    twice = EXAMPLES["ConfigTemplate"] | {"spec": {"keys": [key, key]}}
    twice |= {"metadata": {"name": "twice", "namespace": namespace.name}}
    assert "Duplicate value" in namespace.refusal("create", "-f", "-", body=twice)


def test_a_limit_is_a_number_or_a_short_text(namespace: Namespace) -> None:
    def template(name: str, minimum: object) -> dict[str, Any]:
        spec = {"keys": [{"name": "a", "type": "Number", "minimum": minimum}]}
        metadata = {"name": name, "namespace": namespace.name}
        return EXAMPLES["ConfigTemplate"] | {"metadata": metadata, "spec": spec}

    for name, minimum in (("whole", 1), ("part", 0.5), ("text", "90s")):
        assert namespace.create(template(name, minimum))["spec"]["keys"][0]["minimum"] == minimum
    assert "Too long" in namespace.refusal("create", "-f", "-", body=template("long", "1" * 33))


def test_fields_select(namespace: Namespace) -> None:
    example = EXAMPLES["UserPreference"]
    for name, group in (("alice", "free"), ("bob", "free"), ("carol", "pro")):
        spec = example["spec"] | {"user": name, "group": group}
        namespace.create(example | {"metadata": {"name": name}, "spec": spec})
    namespace.create(GROUP)
    namespace.create(EXAMPLES["PolicyRollout"])
    assert len(namespace.names("upref", "--field-selector=spec.group=free")) == 2
    assert len(namespace.names("upref", "--field-selector=spec.user=carol")) == 1
    for short in ("upref", "rgroup", "prollout"):
        assert namespace.names(short, "--field-selector=spec.templateRef.name=music-agent")
        assert not namespace.names(short, "--field-selector=spec.templateRef.name=other")
    assert namespace.names("rgroup", "--field-selector=spec.group=free")

    namespace.create(EXAMPLES["RolloutAction"])
    chosen = "--field-selector=spec.rolloutRef.kind=PolicyRollout,spec.rolloutRef.name="
    assert namespace.names("raction", f"{chosen}calmer-agents")
    assert not namespace.names("raction", f"{chosen}other")


def test_short_names_and_the_category_list(namespace: Namespace) -> None:
    for example in (*EXAMPLES.values(), GROUP):
        namespace.create(example)
    each = [name for model in KINDS for name in namespace.names(model.info.short_name)]
    assert len(each) == len(KINDS)
    assert namespace.names("trimtab") == sorted(each)


@pytest.mark.parametrize("model", KINDS, ids=lambda model: model.info.kind)
def test_kubectl_explains_every_field(served: Cluster, model: Any) -> None:
    asking = Namespace(served, "default")
    until = time.monotonic() + 30
    while "spec\t<" not in asking.ask("explain", model.info.plural)[1]:  # the API's description lags a little
        assert time.monotonic() < until
        time.sleep(0.5)
    schema = crd.manifest(model)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    spec = schema["properties"]["spec"]
    said = " ".join(asking.do("explain", f"{model.info.plural}.spec").split())

    for name, part in spec["properties"].items():
        assert f"{name} <" in said
        assert " ".join(part["description"].split()[:6]) in said


def test_server_side_appliers_own_their_own_keys(namespace: Namespace) -> None:
    def apply(manager: str, values: dict[str, object]) -> tuple[bool, str]:
        example = EXAMPLES["UserPreference"]
        body = example | {
            "metadata": {"name": "alice", "namespace": namespace.name},
            "spec": {**{name: example["spec"][name] for name in ("templateRef", "group")}, "values": values},
        }
        return namespace.ask("apply", "--server-side", f"--field-manager={manager}", "-f", "-", body=body)

    assert apply("a", {"agent.temperature": 0.9})[0]
    assert apply("b", {"cache.ttl": "1m"})[0]
    worked, said = apply("c", {"cache.ttl": "2m"})
    assert not worked
    assert 'conflict with "b"' in said
    found = json.loads(namespace.do("get", "upref", "alice", "-o", "json"))
    assert found["spec"]["values"] == {"agent.temperature": 0.9, "cache.ttl": "1m"}
