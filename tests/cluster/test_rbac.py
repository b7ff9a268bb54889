"""The roles in deploy/install.yaml suffice: the operator does all of its work as that ServiceAccount.

A verb that is missing would show as a refusal (403) in the log, or as something that never comes true.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.live_objects import KINDS, Api, Body, RefusedError, wait_for
from support.manifests import PREFS, SECRET_KEY, workload
from support.namespace import Namespace
from support.operator_cluster import OperatorCluster
from support.operator_process import SYSTEM, Operator
from support.service_accounts import refused, token_kubeconfig

WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet")
INSTALL = Path(__file__).parents[2] / "deploy" / "install.yaml"
TOKEN_OUTPUT: dict[str, Any] = {
    "name": "token",
    "kind": "Secret",
    "format": "JSON",
    "fileName": "token.json",
    "include": ["api.token"],
}


def manifests() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(INSTALL.read_text()))


@pytest.fixture(scope="module")
def limited(operator_cluster: OperatorCluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A kubeconfig of the installed ServiceAccount, by a token as a pod has it."""
    installed = [m for m in manifests() if m["kind"] != "Deployment"]  # no image to run in a sandbox
    operator_cluster.kubectl(
        "apply", "--server-side", "--force-conflicts", "-f", "-", input=yaml.safe_dump_all(installed)
    )
    token = operator_cluster.kubectl(
        "create", "token", "trimtab", "-n", SYSTEM, "--duration=1h"
    ).stdout.strip()
    return token_kubeconfig(
        operator_cluster.kubeconfig, token, tmp_path_factory.mktemp("limited") / "kubeconfig"
    )


@pytest.fixture
def operator_as_installed(operators: OperatorCluster, limited: Path) -> Iterator[Operator]:
    started = operators.operator("rbac", "--log-level", "debug", kubeconfig=limited).start().acting()
    yield started
    code = started.stop()
    text = started.text()
    assert code == 0, text[-3000:]
    assert "orbidden" not in text, "a 403, whoever words it"


def test_the_manifest_is_what_an_api_server_takes(operator_cluster: OperatorCluster) -> None:
    operator_cluster.kubectl(
        "apply", "--server-side", "--force-conflicts", "--dry-run=server", "-f", str(INSTALL)
    )


def test_a_templates_whole_life_under_the_installed_roles(
    operator_as_installed: Operator, ns: Namespace
) -> None:
    # given: a template with a Secret, a workload, and users; another namespace that lets it in
    other = f"{ns.name}-target"[:63]
    annotations = {"trimtab.dev/allow-from": ns.name}
    ns.api.create(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": other, "annotations": annotations}}
    )
    for kind in WORKLOADS:
        ns.api.create(workload(kind, ns.name, "web"))
    keys = [{"name": "session.minutes", "type": "Integer", "default": 30, "minimum": 1}, SECRET_KEY]
    away = {"name": "away", "targetNamespace": other}
    home = {
        "name": "free",
        "values": {"api.token": "t0ken"},
        "workloads": [{"kind": kind, "name": "web"} for kind in WORKLOADS],
    }
    ns.template(keys=keys, groups=[home, away], outputs=[PREFS, TOKEN_OUTPUT])
    ns.preference("alice", {"session.minutes": 5})
    ns.preference("bob", {"session.minutes": 0})

    # then: it is rendered, the workloads are told, and everybody has a verdict
    ns.rendered()
    ns.accepted("alice")
    ns.invalid("bob")
    ns.wait_user("alice", {"session.minutes": 5})
    assert ns.data("app-free", "Secret")["token.json"]
    assert {kind for kind, _ in ns.outputs(other)} == {"ConfigMap", "Secret"}
    for kind in WORKLOADS:
        wait_for(
            lambda kind=kind: (
                "trimtab.dev/digest"
                in (ns.one(kind, "web")["spec"]["template"]["metadata"].get("annotations") or {})
            ),
            f"the {kind} is told to restart",
        )

    # a hand edit is put back
    name = "app-free"
    before = ns.data(name)
    edited = ns.api.patch("ConfigMap", ns.name, name, {"data": {next(iter(before)): "by hand"}})
    version = edited["metadata"]["resourceVersion"]
    wait_for(
        lambda: (
            ns.one("ConfigMap", name)["metadata"]["resourceVersion"] != version and ns.data(name) == before
        )
    )

    # all labels and annotations are taken off an output: they are put back
    uid = ns.one("ConfigMap", name)["metadata"]["uid"]
    ns.api.patch("ConfigMap", ns.name, name, {"metadata": {"labels": None, "annotations": None}})
    wait_for(lambda: "trimtab.dev/mark" in (ns.one("ConfigMap", name)["metadata"].get("annotations") or {}))
    assert ns.one("ConfigMap", name)["metadata"]["uid"] == uid
    ns.rendered()

    # a policy rolls out, and is withdrawn
    ns.policy(content={"values": {"session.minutes": 25}})
    ns.wait_verdict("PolicyRollout", "calmer", "True", "Succeeded")
    ns.drop("PolicyRollout", "calmer")

    # when: a group goes, then everything does
    ns.template(keys=keys, groups=[home], outputs=[PREFS, TOKEN_OUTPUT])
    wait_for(lambda: not ns.outputs(other), "the group's outputs in the other namespace are gone")
    ns.drop("UserPreference", "alice")
    ns.drop("UserPreference", "bob")
    wait_for(lambda: ns.user("alice") is None and ns.user("bob") is None, "the users' files are gone")
    ns.drop("ConfigTemplate", "app")
    wait_for(lambda: not ns.outputs(), "all outputs are gone")
    ns.gone("RenderedGroup", "app-free")
    wait_for(
        lambda: not ns.api.list("ControllerRevision", ns.name, "app.kubernetes.io/managed-by=trimtab"),
        "all snapshots are gone",
    )


def test_outputs_of_a_retained_template_are_released_under_the_installed_roles(
    operator_as_installed: Operator, ns: Namespace
) -> None:
    ns.template(deletionPolicy="Retain")
    ns.rendered()
    kept = ns.data("app-free")
    ns.drop("ConfigTemplate", "app")
    ns.gone("RenderedGroup", "app-free")
    assert not ns.outputs()
    assert ns.data("app-free") == kept


def test_the_roles_do_not_let_it_write_what_people_wrote(
    operator_cluster: OperatorCluster, limited: Path
) -> None:
    def may(verb: str, resource: str) -> str:
        answer = operator_cluster.kubectl(
            "auth", "can-i", verb, resource, "-A", f"--as=system:serviceaccount:{SYSTEM}:trimtab", check=False
        )
        return answer.stdout.strip()

    refused = [
        ("update", "configtemplates.trimtab.dev"),
        ("patch", "configtemplates.trimtab.dev"),
        ("patch", "userpreferences.trimtab.dev"),
        ("delete", "userpreferences.trimtab.dev"),
        ("patch", "policyrollouts.trimtab.dev"),
        ("create", "rolloutactions.trimtab.dev"),
        ("patch", "rolloutactions.trimtab.dev"),
        ("approve", "policyrollouts.trimtab.dev"),
        ("join", "renderedgroups.trimtab.dev"),
        ("create", "pods"),
        ("delete", "deployments.apps"),
        ("update", "cronjobs.batch"),
        ("delete", "jobs.batch"),
    ]
    assert {may(*each) for each in refused} == {"no"}
    assert (
        may("patch", "userpreferences.trimtab.dev/status") == "no"
    )  # -A and a slash: a subresource has its flag
    answer = operator_cluster.kubectl(
        "auth",
        "can-i",
        "patch",
        "userpreferences.trimtab.dev",
        "--subresource=status",
        "-A",
        f"--as=system:serviceaccount:{SYSTEM}:trimtab",
    )
    assert answer.stdout.strip() == "yes"


@pytest.fixture
def taken_over(operator_cluster: OperatorCluster, limited: Path) -> Api:
    """The API server for whoever has the operator's token, once the policy about it is in force."""
    api = Api(limited)

    def in_force() -> bool:
        try:
            _create(api, _secret("default", "probe"))
        except RefusedError as error:
            return "Trimtab operator" in str(error)
        return False

    wait_for(in_force, "the policy about the operator is in force")
    return api


def _create(api: Api, body: Body) -> Body:
    path = KINDS[body["kind"]].path(body["metadata"]["namespace"])
    return api.call("POST", path, body, dryRun="All")


def _secret(namespace: str, name: str, **fields: Any) -> Body:
    meta = {"name": name, "namespace": namespace, **fields.pop("metadata", {})}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": meta, **fields}


OURS = {"labels": {"app.kubernetes.io/managed-by": "trimtab", "trimtab.dev/template": "app"}}
POD = {"containers": [{"name": "web", "image": "web"}]}


def test_the_operators_token_creates_only_what_the_operator_creates(taken_over: Api, ns: Namespace) -> None:
    home = ns.name
    job = {"template": {"spec": {**POD, "restartPolicy": "Never"}}}
    owner = {"apiVersion": "batch/v1", "kind": "CronJob", "name": "smoke", "uid": "1"}
    token = {"type": "kubernetes.io/service-account-token"}
    account = {"annotations": {"kubernetes.io/service-account.name": "default"}}
    meta = {"name": "j", "namespace": home}

    def made(body: Body) -> str:
        return refused(lambda: _create(taken_over, body))

    owned = OURS | {"ownerReferences": [owner]}
    for body in (
        *(
            {
                "apiVersion": "batch/v1",
                "kind": "Job",
                "metadata": {"name": "j", "namespace": each} | owned,
                "spec": job,
            }
            for each in (SYSTEM, "kube-system")
        ),
        _secret(home, "plain"),
        _secret(SYSTEM, "other", metadata=OURS),
        _secret("kube-system", "other", metadata=OURS),
        _secret(home, "token", metadata=OURS | account, **token),
        _secret(home, "tls", metadata=OURS, type="kubernetes.io/dockercfg", data={".dockercfg": "e30="}),
        {"apiVersion": "batch/v1", "kind": "Job", "metadata": meta, "spec": job},
        {"apiVersion": "batch/v1", "kind": "Job", "metadata": meta | OURS, "spec": job},
        {"apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": meta, "revision": 1, "data": {}},
    ):
        assert "Trimtab operator" in made(body), body

    _create(taken_over, _secret(home, "ours", metadata=OURS))
    _create(taken_over, {"apiVersion": "batch/v1", "kind": "Job", "metadata": meta | owned, "spec": job})


def test_the_operators_token_changes_only_objects_of_the_operator(taken_over: Api, ns: Namespace) -> None:
    home = ns.name
    ns.api.create(_secret(home, "theirs", stringData={"a": "b"}))
    for kind in WORKLOADS:
        ns.api.create(workload(kind, home, "web"))
    ns.api.create(
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": home}, "spec": POD}
    )

    def patched(kind: str, name: str, patch: Body) -> str:
        return refused(lambda: taken_over.patch(kind, home, name, patch))

    def pods(**template: Body) -> Body:
        return {"spec": {"template": template}}

    for patch in (
        {"spec": {"replicas": 3}},
        {"metadata": {"labels": {"a": "b"}}},
        {"metadata": {"annotations": {"a": "b"}}},
        {"metadata": {"annotations": {"a": ""}}},
        pods(metadata={"annotations": {"a": "b"}}),
        pods(metadata={"annotations": {"a": ""}}),
        pods(metadata={"labels": {"a": "b"}}),
        pods(spec={"hostNetwork": True}),
        pods(spec={"serviceAccountName": "admin"}),
        pods(spec={"containers": [{"name": "web", "image": "evil"}]}),
    ):
        for kind in WORKLOADS if "replicas" not in patch.get("spec", {}) else ("Deployment", "StatefulSet"):
            assert "Trimtab operator" in patched(kind, "web", patch), (kind, patch)
    assert "Trimtab operator" in patched("Secret", "theirs", {"data": {"a": "eA=="}})
    assert "Trimtab operator" in patched("Secret", "theirs", {"metadata": OURS})
    assert "Trimtab operator" in refused(lambda: taken_over.delete("Secret", home, "theirs"))
    assert "Trimtab operator" in refused(lambda: taken_over.delete("Pod", home, "p"))

    revision = {"apiVersion": "apps/v1", "kind": "ControllerRevision", "revision": 1, "data": {}}
    owner = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": ns.one("Pod", "p")["metadata"]["uid"]}
    for name, owners in (("owned", [owner]), ("in-the-way", [])):
        ns.api.create({**revision, "metadata": {"name": name, "namespace": home, "ownerReferences": owners}})
    assert "Trimtab operator" in refused(lambda: taken_over.delete("ControllerRevision", home, "owned"))
    taken_over.delete("ControllerRevision", home, "in-the-way")
    for kind in WORKLOADS:
        for digest in ("1", "2"):
            taken_over.patch(
                kind, home, "web", pods(metadata={"annotations": {"trimtab.dev/digest": digest}})
            )
