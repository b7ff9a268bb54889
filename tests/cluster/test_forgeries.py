"""Attacks with people's own tokens: guesses by digests, forged snapshots, forged Jobs."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from support.live_objects import Body, RefusedError, wait_for
from support.manifests import template
from support.namespace import Namespace
from support.operator_cluster import OperatorCluster
from support.operator_process import Operator
from support.service_accounts import Hire, may

PIN: Body = {
    "keys": [{"name": "pin", "type": "String", "sensitive": True}],
    "groups": [{"name": "free", "values": {"pin": "4711"}}],
    "outputs": [{"name": "creds", "kind": "Secret", "format": "JSON", "fileName": "creds.json"}],
}
SNAPSHOTS = may("controllerrevisions", "get", "list", "create", "delete", group="apps")
POD: Body = {"restartPolicy": "Never", "containers": [{"name": "e2e", "image": "registry.example/e2e:1"}]}


def test_a_template_elsewhere_does_not_confirm_a_guess(
    operator: Operator, operator_cluster: OperatorCluster, ns: Namespace, hire: Hire
) -> None:
    ns.template(**PIN)
    ns.rendered()
    other = operator_cluster.new_namespace()
    ann = hire()
    ann.grant(SNAPSHOTS)
    ann.grant(SNAPSHOTS, may("configtemplates", "create", "get", "patch"), namespace=other)

    ann.api.apply(template(other, "app", **PIN))  # the very same content, under the same name
    theirs = wait_for(lambda: ann.api.list("ControllerRevision", other), "her guess is stored")
    (ours,) = ann.api.list("ControllerRevision", ns.name)

    shown = [*ours["data"]["digests"].values(), ours["metadata"]["name"]]
    assert shown
    assert not {*theirs[0]["data"]["digests"].values(), theirs[0]["metadata"]["name"]} & {*shown}


def test_a_forged_snapshot_is_replaced_and_never_rendered(
    operator: Operator, ns: Namespace, hire: Hire
) -> None:
    ns.template()
    ns.rendered()
    before = ns.document()
    ann = hire()
    ann.grant(SNAPSHOTS)
    (ours,) = ann.api.list("ControllerRevision", ns.name)
    name, data = ours["metadata"]["name"], ours["data"]
    keys = [{**key, "default": "FORGED"} if key["type"] == "String" else key for key in data["spec"]["keys"]]
    meta = {field: ours["metadata"][field] for field in ("name", "namespace", "labels")}

    ann.api.delete("ControllerRevision", ns.name, name)
    kind = {"apiVersion": "apps/v1", "kind": "ControllerRevision"}
    forged: dict[str, Any] = {
        **ours,
        **kind,
        "metadata": meta,
        "data": {"spec": {**data["spec"], "keys": keys}},
    }
    with suppress(RefusedError):  # 409: the operator was faster and has written its own back
        ann.api.create(forged)
    operator.restart()

    def restored() -> bool:
        found = ns.get("ControllerRevision", name)
        return found is not None and found["data"] == data

    wait_for(restored, "the snapshot holds what was stored")
    assert ns.document() == before


def test_a_copy_of_a_gates_job_is_not_a_result(operator: Operator, ns: Namespace, hire: Hire) -> None:
    ns.template()
    ns.rendered()
    job = {"spec": {"template": {"spec": POD | {"nodeSelector": {"trimtab.dev/nowhere": "true"}}}}}
    meta = {"name": "e2e", "namespace": ns.name}
    spec = {"suspend": True, "schedule": "0 0 1 1 *", "jobTemplate": job}
    ns.api.create({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": meta, "spec": spec})
    ann = hire()
    ann.grant(may("jobs", "get", "list", "create", "delete", group="batch"))
    gate = {"name": "e2e", "interval": "1s", "job": {"cronJob": "e2e"}}
    ns.policy(strategy={"waves": [{"name": "all", "soak": "1s"}], "gates": [gate]})
    wait_for(lambda: "job" in str(ns.progress().get("gates")), "the Job's uid is in status")
    (made,) = ann.api.list("Job", ns.name)

    copied = {field: made["metadata"].get(field) for field in ("name", "namespace", "labels", "annotations")}
    path = f"/apis/batch/v1/namespaces/{ns.name}/jobs"
    forged = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": copied,
        "spec": {"completions": 0, "template": {"spec": POD}},
    }

    def replaced() -> bool:
        with suppress(RefusedError):  # 409: the operator was faster and has created another one
            ann.api.call("DELETE", f"{path}/{copied['name']}", {"propagationPolicy": "Background"})
            ann.api.create(forged)
            return True
        return False

    wait_for(replaced, "a copy of the Job is in its place")

    wait_for(lambda: "was not created by Trimtab" in str(ns.progress()["gates"]), lambda: str(ns.progress()))
    assert ns.progress()["phase"] != "Succeeded"
