"""Users who are not the cluster's admin: service accounts with tokens of their own and only the rights they are given.

A right is given by RBAC alone, and before anything is tried the API server is asked whether it knows of it. So a
refusal is never a right that has not got through yet.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from support.live_objects import KINDS, Api, Body, RefusedError, wait_for
from support.manifests import action
from support.namespace import Namespace
from support.operator_cluster import OperatorCluster
from trimtab.api import GROUP
from trimtab.kube.credentials import from_kubeconfig

ROLES = Path(__file__).parents[2] / "deploy" / "roles.yaml"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
REVIEWS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"


def token_kubeconfig(admin: Path, token: str, path: Path) -> Path:
    """Writes a kubeconfig of whoever has the token, for the cluster that the admin's is for."""
    who = from_kubeconfig(admin)
    assert who.ca_data is not None
    authority = base64.b64encode(who.ca_data.encode()).decode()
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "who"}}],
        "clusters": [
            {"name": "here", "cluster": {"server": who.server, "certificate-authority-data": authority}}
        ],
        "users": [{"name": "who", "user": {"token": token}}],
    }
    path.write_text(yaml.safe_dump(config))
    return path


def may(resource: str, *verbs: str, named: str = "", group: str = GROUP) -> Body:
    """A rule of RBAC; ``named`` limits it to one object."""
    rule: Body = {"apiGroups": [group], "resources": [resource], "verbs": list(verbs)}
    return rule | ({"resourceNames": [named]} if named else {})


CREATES = may("rolloutactions", "create")
EDITS = may("userpreferences", "get", "create", "update", "patch", "delete")


class Person:
    """Somebody with a real token, who may do nothing yet."""

    def __init__(self, admin: Api, kubeconfig: Path, folder: Path, namespace: str, name: str = "ann") -> None:
        self.admin, self.namespace, self.name = admin, namespace, name
        meta = {"name": name, "namespace": namespace}
        admin.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta})
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
        token = admin.call("POST", path, {"spec": {"expirationSeconds": 3600}})["status"]["token"]
        self.kubeconfig = token_kubeconfig(kubeconfig, token, folder / f"{namespace}-{name}")
        self.api = Api(self.kubeconfig)

    @property
    def username(self) -> str:
        return f"system:serviceaccount:{self.namespace}:{self.name}"

    @property
    def subject(self) -> Body:
        return {"kind": "ServiceAccount", "namespace": self.namespace, "name": self.name}

    def tries(self, body: Body) -> Body:
        """Create it, in all but keeping it (a dry run of the API server's)."""
        path = KINDS[body["kind"]].path(body["metadata"]["namespace"])
        return self.api.call("POST", path, body, dryRun="All")

    def grant(self, *rules: Body, namespace: str = "", subject: Body | None = None) -> None:
        """Give these rights in a namespace (default: their own), and wait until the API server knows."""
        where = namespace or self.namespace
        role = f"{self.name}-{secrets.token_hex(4)}"
        named = {"metadata": {"name": role, "namespace": where}}
        self.admin.call("POST", f"{RBAC}/namespaces/{where}/roles", {**named, "rules": list(rules)})
        self._bind("Role", role, where, subject)
        for rule in rules:
            for verb in rule["verbs"]:
                self.wait_may(rule, verb, where)

    def bind(self, cluster_role: str, rule: Body) -> None:
        """Bind a ClusterRole in their namespace, and wait until ``rule``, which is in it, is known."""
        self._bind("ClusterRole", cluster_role, self.namespace)
        for verb in rule["verbs"]:
            self.wait_may(rule, verb, self.namespace)

    def _bind(self, kind: str, role: str, where: str, subject: Body | None = None) -> None:
        binding = {
            "metadata": {"name": f"{self.name}-{secrets.token_hex(4)}", "namespace": where},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
            "subjects": [subject or self.subject],
        }
        self.admin.call("POST", f"{RBAC}/namespaces/{where}/rolebindings", binding)

    def wait_may(self, rule: Body, verb: str, where: str) -> None:
        resource, _, subresource = rule["resources"][0].partition("/")
        asked = {
            "namespace": where,
            "verb": verb,
            "group": rule["apiGroups"][0],
            "resource": resource,
            "subresource": subresource,
            "name": rule.get("resourceNames", [""])[0],
        }
        groups = [
            "system:serviceaccounts",
            f"system:serviceaccounts:{self.namespace}",
            "system:authenticated",
        ]
        review = {"spec": {"user": self.username, "groups": groups, "resourceAttributes": asked}}
        wait_for(
            lambda: self.admin.call("POST", REVIEWS, review)["status"]["allowed"],
            f"{self.username} may {verb} {resource}",
        )


Hire = Callable[..., Person]


def refused(tried: Callable[[], object]) -> str:
    """What the API server says to what must be forbidden (403)."""
    with pytest.raises(RefusedError) as caught:
        tried()
    assert caught.value.status == 403, caught.value
    return _words(caught.value)


def _words(error: RefusedError) -> str:
    return str(yaml.safe_load(str(error).partition(": ")[2])["message"])


@pytest.fixture(scope="session")
def guarded(operator_cluster: OperatorCluster) -> OperatorCluster:
    """The cluster once its policies are in force, which the API server says by refusing; with the roles for people."""

    def in_force() -> bool:
        try:
            false = action("default", "pause", "nobody")
            operator_cluster.api.call("POST", KINDS["RolloutAction"].path("default"), false, dryRun="All")
        except RefusedError as error:
            return "trimtab-rollout-actions" in _words(error)
        return False

    wait_for(in_force, "the policies are in force")
    operator_cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(ROLES))
    return operator_cluster


@pytest.fixture
def hire(guarded: OperatorCluster, ns: Namespace, tmp_path: Path) -> Hire:
    """Makes people of the test's own namespace."""
    return lambda name="ann": Person(guarded.api, guarded.kubeconfig, tmp_path, ns.name, name)
