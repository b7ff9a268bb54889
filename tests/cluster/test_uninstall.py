"""Deleting the CRDs under a running operator hurts nothing that was rendered; all works once they are back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.cluster_fixtures import Arena, Place
from support.live_objects import wait_for
from support.manifests import enforce
from support.operator_process import Operator
from trimtab import crd
from trimtab.api import GROUP, KINDS

TEMPLATES = f"crd/configtemplates.{GROUP}"
CRDS = [f"crd/{model.info.plural}.{GROUP}" for model in KINDS]


@pytest.fixture
def uninstallable(request: pytest.FixtureRequest, arena: Arena) -> Iterator[Arena]:
    """The worker's own cluster; it has the CRDs again afterwards."""
    if request.config.getoption("kubeconfig", None):
        pytest.skip("the CRDs of a given cluster are not ours to delete")
    yield arena
    _install(arena)


def _install(arena: Arena) -> None:
    arena.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", input=crd.text())
    arena.kubectl("wait", "--for=condition=Established", "--timeout=60s", *CRDS)


def _write(place: Place) -> None:
    place.template()
    place.preference("alice", {"agent.temperature": 0.1})
    place.policy("lock", enforce("session.minutes", 25))


def _sweep(arena: Arena) -> None:
    """An admin says that templates which are not back by now are meant to go."""
    uid = arena.kubectl("get", TEMPLATES, "-o", "jsonpath={.metadata.uid}").stdout
    arena.kubectl("annotate", TEMPLATES, f"trimtab.dev/sweep={uid}")


def _held(operator: Operator, kind: str) -> float:
    return operator.metrics().get(f'trimtab_deletions_held{{kind="{kind}"}}', 0.0)


def test_outputs_outlive_their_kinds(uninstallable: Arena, operator: Operator, place: Place) -> None:
    _write(place)
    place.rendered()
    place.reach("Succeeded", "lock")
    place.wait_user("alice", {"agent.temperature": 0.1, "session.minutes": 25})
    operator.quiet()
    before = place.outputs()

    uninstallable.kubectl("delete", "--wait=true", *CRDS)

    for kind in ("ConfigTemplate", "UserPreference", "PolicyRollout", "RenderedGroup"):
        wait_for(lambda kind=kind: _held(operator, kind) > 0, f"deletions of {kind} are held")
    assert place.outputs() == before

    _install(uninstallable)
    _write(place)

    place.rendered()
    place.reach("Succeeded", "lock")
    _sweep(uninstallable)  # templates of other tests are not back
    wait_for(lambda: _held(operator, "ConfigTemplate") == 0, "no deletion is held")
    place.wait_user("alice", {"agent.temperature": 0.1, "session.minutes": 25})
    assert {name: found["metadata"]["uid"] for name, found in place.outputs().items()} == {
        name: found["metadata"]["uid"] for name, found in before.items()
    }

    place.drop("ConfigTemplate", "app")
    wait_for(lambda: not place.outputs(), "a person's deletion removes the outputs")
