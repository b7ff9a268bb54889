"""Deleting the CRDs under a running operator harms no output; everything works once they exist again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.live_objects import wait_for
from support.manifests import enforce
from support.namespace import Namespace
from support.operator_cluster import OperatorCluster
from support.operator_process import Operator
from trimtab import crd
from trimtab.api import GROUP, KINDS

TEMPLATES = f"crd/configtemplates.{GROUP}"
CRDS = [f"crd/{model.info.plural}.{GROUP}" for model in KINDS]


@pytest.fixture
def uninstallable(
    request: pytest.FixtureRequest, operator_cluster: OperatorCluster
) -> Iterator[OperatorCluster]:
    """The worker's own cluster; it has the CRDs again afterwards."""
    if request.config.getoption("kubeconfig", None):
        pytest.skip("the CRDs of a given cluster are not ours to delete")
    yield operator_cluster
    _install(operator_cluster)


def _install(operator_cluster: OperatorCluster) -> None:
    operator_cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", input=crd.text())
    operator_cluster.kubectl("wait", "--for=condition=Established", "--timeout=60s", *CRDS)


def _write(ns: Namespace) -> None:
    ns.template()
    ns.preference("alice", {"agent.temperature": 0.1})
    ns.policy("lock", enforce("session.minutes", 25))


def _sweep(operator_cluster: OperatorCluster) -> None:
    """An admin says that templates which are not back by now are meant to go."""
    uid = operator_cluster.kubectl("get", TEMPLATES, "-o", "jsonpath={.metadata.uid}").stdout
    operator_cluster.kubectl("annotate", TEMPLATES, f"trimtab.dev/sweep={uid}")


def _held(operator: Operator, kind: str) -> float:
    return operator.metrics().get(f'trimtab_deletions_held{{kind="{kind}"}}', 0.0)


def test_outputs_outlive_their_kinds(
    uninstallable: OperatorCluster, operator: Operator, ns: Namespace
) -> None:
    _write(ns)
    ns.rendered()
    ns.reach("Succeeded", "lock")
    ns.wait_user("alice", {"agent.temperature": 0.1, "session.minutes": 25})
    operator.quiet()
    before = ns.outputs()

    uninstallable.kubectl("delete", "--wait=true", *CRDS)

    for kind in ("ConfigTemplate", "UserPreference", "PolicyRollout", "RenderedGroup"):
        wait_for(lambda kind=kind: _held(operator, kind) > 0, f"deletions of {kind} are held")
    assert ns.outputs() == before

    _install(uninstallable)
    _write(ns)

    ns.rendered()
    ns.reach("Succeeded", "lock")
    _sweep(uninstallable)  # templates of other tests are not back
    wait_for(lambda: _held(operator, "ConfigTemplate") == 0, "no deletion is held")
    ns.wait_user("alice", {"agent.temperature": 0.1, "session.minutes": 25})
    assert {name: found["metadata"]["uid"] for name, found in ns.outputs().items()} == {
        name: found["metadata"]["uid"] for name, found in before.items()
    }

    ns.drop("ConfigTemplate", "app")
    wait_for(lambda: not ns.outputs(), "a person's deletion removes the outputs")
