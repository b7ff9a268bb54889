"""The command line against a real API server and a real operator; and offline verbs against what the operator did."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.cli_process import Shell
from support.live_objects import Body, wait_for
from support.manifests import APP, KEYS, PREFS, SECRET_KEY, preference, template
from support.namespace import Namespace
from support.operator_cluster import OperatorCluster
from support.operator_process import Operator
from trimtab.kube.credentials import from_kubeconfig

CREDS: Body = {
    "name": "creds",
    "kind": "Secret",
    "format": "JSON",
    "fileName": "creds.json",
    "include": ["api.*"],
}
GROUPS: list[Body] = [{"name": "free", "values": {"api.token": "hunter2"}}, {"name": "pro", "maxUsers": 2}]
WHOLE: Body = {"keys": [*KEYS, SECRET_KEY], "groups": GROUPS, "outputs": [APP, PREFS, CREDS]}


@pytest.fixture
def trimtab(operator_cluster: OperatorCluster) -> Shell:
    return Shell(operator_cluster.kubeconfig)


def _value(told: Any, key: str) -> Any:
    return next(k for k in told["keys"] if k["key"] == key).get("value")


def test_render_offline_is_what_the_operator_writes(
    operator: Operator, ns: Namespace, trimtab: Shell
) -> None:
    # given: a template, and preferences that are valid, refused, too many and contested, in one file
    users = [preference(ns.name, f"user-{n:03d}", {"session.minutes": n}) for n in range(120)]
    crowd = [preference(ns.name, f"vip-{n}", {"session.minutes": 9}, group="pro") for n in range(4)]
    rest = [
        preference(ns.name, "bad", {"session.minutes": 0, "api.token": "t"}),
        preference(ns.name, "lost", group="fre"),
        preference(ns.name, "again", {"session.minutes": 3}, user="user-001"),
    ]
    for body in [template(ns.name, **WHOLE), *users, *crowd, *rest]:
        ns.api.apply(body)
    ns.rendered()
    for body in (*users[1:], *rest):
        name = body["metadata"]["name"]
        wait_for(lambda name=name: ns.verdict("UserPreference", name)[0] != "", f"a verdict on {name}")
    operator.quiet()

    # when: the objects are taken from the cluster, as `kubectl get -o json` gives them, and rendered offline
    dump = ns.operator_cluster.kubectl("get", "ctmpl,upref", "-n", ns.name, "-o", "json").stdout
    rendered = trimtab("render", "-f", "-", "-o", "json", "--show-secrets", stdin=dump)

    # then: the same objects with the same labels; and for every user the same entries (which shard is history)
    assert rendered.returncode == 1  # some are refused
    made = {(o["kind"], o["metadata"]["name"]): o for o in json.loads(rendered.stdout)["items"]}
    there = ns.outputs()
    assert _without_shards(made) == _without_shards(there)
    for key in _without_shards(made):
        assert _data(made[key]) == _data(there[key])
        assert made[key]["metadata"]["labels"] == there[key]["metadata"]["labels"]
    assert _users(made) == _users(there)
    assert len(_users(made)) == 120 + 2 + 1

    # and: the verdicts are the same
    offline = trimtab.json("validate", "-f", "-", stdin=dump)["objects"]
    refused = {o["object"].split("/")[1] for o in offline if not o["valid"]}
    live = {u["name"] for u in trimtab.json("status", "-n", ns.name)["refusedUsers"]}
    assert refused == live


def _without_shards(objects: dict[tuple[str, str], Body]) -> set[tuple[str, str]]:
    return {key for key in objects if "-users-" not in key[1]}


def _users(objects: dict[tuple[str, str], Body]) -> dict[str, str]:
    return {n: t for (_, name), o in objects.items() if "-users-" in name for n, t in _data(o).items()}


def _data(body: Body) -> dict[str, str]:
    if body.get("type") != "Opaque" or "stringData" in body:
        return dict(body.get("data") or body.get("stringData") or {})
    return {n: base64.b64decode(t).decode() for n, t in body["data"].items()}


def test_status_is_1_until_everything_is_ready(operator: Operator, ns: Namespace, trimtab: Shell) -> None:
    ns.template(**WHOLE)
    ns.preference("ann", {"session.minutes": 0})
    ns.invalid("ann")
    operator.quiet()
    refused = trimtab("status", "-n", ns.name)
    assert refused.returncode == 1
    assert "session.minutes: must be at least 1, got 0" in refused.stdout

    ns.preference("ann", {"session.minutes": 5})
    ns.accepted("ann")
    wait_for(lambda: trimtab("status", "app", "-n", ns.name).returncode == 0, "status says that all is well")
    assert trimtab.json("status", "-n", ns.name)["ready"] is True


def test_explain_reads_what_is_in_force_from_the_cluster(
    operator: Operator, ns: Namespace, trimtab: Shell
) -> None:
    # given: an accepted preference in another namespace, then a refused edit of it
    groups = [{"name": "free", "values": {"api.token": "hunter2"}, "preferenceNamespaceSelector": {}}]
    other = f"{ns.name}-t"[:63]
    ns.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": other}})
    ns.template(**{**WHOLE, "groups": groups})
    ns.rendered()
    there = Namespace(ns.operator_cluster, other)
    there.preference("ann", {"session.minutes": 9}, home=ns.name)
    there.accepted("ann")
    there.preference("ann", {"session.minutes": 0}, home=ns.name)
    there.invalid("ann")

    told = trimtab.json("explain", "app", "ann", "-n", ns.name)
    assert (told["inForce"], told["acceptedGeneration"]) == ("accepted", 1)
    assert told["preference"] == {"namespace": other, "name": "ann"}
    assert _value(told, "session.minutes") == 9
    assert _value(told, "api.token") == "(sensitive)"
    assert [v["key"] for v in told["violations"]] == ["session.minutes"]
    ns.wait_user("ann", {"session.minutes": _value(told, "session.minutes")})

    # when: the template is refused, then: what was accepted before is explained, and it says so
    ns.template(**{**WHOLE, "groups": [{**groups[0], "profile": "gone"}]})
    ns.wait_verdict("ConfigTemplate", "app", "False", "Rejected")
    told = trimtab.json("explain", "app", "ann", "-n", ns.name)
    assert "unknown profile gone" in told["templateRefused"]
    assert (_value(told, "session.minutes"), _value(told, "api.token")) == (9, "(sensitive)")
    for output in ("table", "json", "yaml"):
        answer = trimtab("explain", "app", "ann", "-n", ns.name, "-o", output)
        assert "hunter2" not in answer.stdout + answer.stderr


def test_of_a_full_group_explain_knows_who_is_in(operator: Operator, ns: Namespace, trimtab: Shell) -> None:
    ns.template(**{**WHOLE, "groups": [{"name": "free", "maxUsers": 1}]})
    ns.preference("ann", {"session.minutes": 5})
    ns.accepted("ann")
    young = ns.api.create(preference(ns.name, "bob", {"session.minutes": 5}))
    first, second = sorted((ns.one("UserPreference", "ann"), young), key=_age)
    ns.invalid(second["metadata"]["name"], "GroupFull")
    told = [trimtab.json("explain", "app", o["metadata"]["name"], "-n", ns.name) for o in (first, second)]
    assert [t["ready"]["reason"] for t in told] == ["Accepted", "GroupFull"]
    assert [_value(t, "session.minutes") for t in told] == [5, 30]


def _age(body: Body) -> tuple[str, str]:
    return body["metadata"]["creationTimestamp"], body["metadata"]["uid"]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["explain", "ap", "ann"], "there is no ConfigTemplate ap in namespace {0}; there is app"),
        (["explain", "app", "nobody"], "there is no preference of {0}/app for user nobody"),
        (
            ["explain", "app", "ann", "session.minute"],
            "has no key session.minute; did you mean session.minutes?",
        ),
        (["explain", "app", "--group", "fre"], "has no group fre; did you mean free?"),
        (["status", "ap"], "there is no ConfigTemplate ap in namespace {0}; there is app"),
    ],
)
def test_a_missing_name_is_reported_with_the_nearest(
    operator: Operator, ns: Namespace, trimtab: Shell, args: list[str], said: str
) -> None:
    ns.template(**WHOLE)
    ns.preference("ann")
    ns.accepted("ann")
    answer = trimtab(*args, "-n", ns.name)
    assert (answer.returncode, answer.stdout) == (1, "")
    assert answer.stderr == f"error: {said.format(ns.name)}\n" or said.format(ns.name) in answer.stderr


@pytest.fixture
def tenant(operator_cluster: OperatorCluster, ns: Namespace, tmp_path: Path) -> Shell:
    """The command line as somebody who may read their own namespace's preferences and the templates there alone."""
    operator_cluster.kubectl("create", "serviceaccount", "tenant", "-n", ns.name)
    resources = "configtemplates.trimtab.dev,userpreferences.trimtab.dev"
    operator_cluster.kubectl(
        "create", "role", "r", "-n", ns.name, "--verb=get,list", f"--resource={resources}"
    )
    account = f"{ns.name}:tenant"
    operator_cluster.kubectl(
        "create", "rolebinding", "r", "-n", ns.name, "--role=r", f"--serviceaccount={account}"
    )
    token = operator_cluster.kubectl("create", "token", "tenant", "-n", ns.name).stdout.strip()
    admin = from_kubeconfig(operator_cluster.kubeconfig)
    assert admin.ca_data is not None
    authority = base64.b64encode(admin.ca_data.encode()).decode()
    path = tmp_path / "tenant.kubeconfig"
    config = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": ns.name}}],
        "clusters": [
            {"name": "c", "cluster": {"server": admin.server, "certificate-authority-data": authority}}
        ],
        "users": [{"name": "u", "user": {"token": token}}],
    }
    path.write_text(yaml.safe_dump(config))
    return Shell(path)


def test_objects_that_the_user_may_not_read_are_reported_as_not_checked(
    operator: Operator, ns: Namespace, tenant: Shell
) -> None:
    ns.template(**WHOLE)
    ns.preference("ann", {"session.minutes": 5})
    ns.accepted("ann")

    answer = tenant("explain", "app", "ann")
    assert answer.returncode == 0
    assert "note: you may not list UserPreferences of all namespaces" in answer.stderr

    refused = tenant("status", "-A")
    assert refused.returncode == 1
    assert "request that permission, or choose another --context or --namespace" in refused.stderr
    assert "Traceback" not in refused.stderr
