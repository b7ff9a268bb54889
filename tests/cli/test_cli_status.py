"""`trimtab status`: what is not Ready, and what no operator has observed."""

from __future__ import annotations

from typing import Any

import pytest
import typer

from support.cli_manifests import Call
from support.fake_cluster import FakeCluster
from support.manifests import group_spec, preference_spec
from support.memory_api import Memory
from trimtab.cli.cluster.connection import Cluster
from trimtab.cli.view.status import Scope, Status, read
from trimtab.kube.resources import (
    CONFIG_TEMPLATES,
    NAMESPACES,
    POLICY_ROLLOUTS,
    RENDERED_GROUPS,
    USER_PREFERENCES,
    Resource,
)

Body = dict[str, Any]
READY = {"type": "Ready", "status": "True", "reason": "Rendered", "message": "", "observedGeneration": 1}
INVALID = {**READY, "status": "False", "reason": "Invalid", "message": "x: is wrong"}


def _api(*objects: tuple[Resource, Body]) -> Memory:
    api = Memory()
    for name in ("team", "tenant"):
        api.put(NAMESPACES, {"metadata": {"name": name}})
    for resource, body in objects:
        api.put(resource, body)
    return api


def _template(condition: Body | None = READY, invalid: int = 0, name: str = "app") -> tuple[Resource, Body]:
    status = {"conditions": [condition], "users": 2, "invalidUsers": invalid} if condition else {}
    return CONFIG_TEMPLATES, {"metadata": {"name": name, "namespace": "team"}, "spec": {}, "status": status}


def _preference(
    name: str, condition: Body, namespace: str = "team", of: str = "app"
) -> tuple[Resource, Body]:
    spec = preference_spec(of=of, home="team")
    meta = {"name": name, "namespace": namespace}
    return USER_PREFERENCES, {"metadata": meta, "spec": spec, "status": {"conditions": [condition]}}


def _group(condition: Body = READY) -> tuple[Resource, Body]:
    spec = group_spec()
    meta = {"name": "app-free", "namespace": "team"}
    return RENDERED_GROUPS, {
        "metadata": meta,
        "spec": spec,
        "status": {"conditions": [condition], "users": 2},
    }


async def _read(api: Memory, namespace: str | None = "team", template: str | None = None) -> Status:
    return await read(Cluster(api, "team"), Scope(namespace, template))  # type: ignore[arg-type]


async def test_all_ready_is_ready() -> None:
    found = await _read(_api(_template(), _group(), _preference("ann", READY)))
    assert found.ready
    assert (len(found.templates), len(found.groups), found.users) == (1, 1, [])


async def test_a_refused_user_of_a_template_is_found_in_other_namespaces() -> None:
    found = await _read(_api(_template(invalid=1), _group(), _preference("bob", INVALID, "tenant")))
    assert not found.ready
    assert [(u["namespace"], u["user"], u["reason"]) for u in found.users] == [("tenant", "bob", "Invalid")]


async def test_a_namespaces_own_preferences_are_shown_whatever_their_template() -> None:
    found = await _read(_api(_preference("bob", INVALID, of="gone")))
    assert [u["template"] for u in found.users] == ["team/gone"]


def test_a_template_does_not_repeat_the_message_of_its_group(cluster: FakeCluster, trimtab: Call) -> None:
    cluster.put(NAMESPACES, {"metadata": {"name": "team"}})
    failed = {
        **READY,
        "status": "False",
        "reason": "WriteFailed",
        "message": "ConfigMap team/app-free: refused",
    }
    cluster.put(*_template({**failed, "message": f"group free: {failed['message']}"}))
    cluster.put(*_group(failed))

    assert trimtab("status", "-n", "team").out.count("ConfigMap team/app-free: refused") == 1


async def test_other_templates_users_are_left_out_when_one_is_named() -> None:
    api = _api(
        _template(invalid=1),
        _template(name="web"),
        _preference("a", INVALID),
        _preference("b", INVALID, of="web"),
    )
    found = await _read(api, template="app")
    assert ([t["name"] for t in found.templates], [u["name"] for u in found.users]) == (["app"], ["a"])


@pytest.mark.parametrize("condition", [None, {**READY, "observedGeneration": 0}])
async def test_an_object_that_was_not_observed_is_not_ready(condition: Body | None) -> None:
    found = await _read(_api(_template(condition)))
    assert not found.ready
    assert found.templates[0]["reason"] in ("NotObserved", "Stale")


def _rollout(phase: str, ready: str, name: str = "calmer", of: str = "app") -> tuple[Resource, Body]:
    status = {
        "phase": phase,
        "wave": "1/2",
        "updated": "3/10",
        "conditions": [{**READY, "status": ready, "reason": phase}],
    }
    meta = {"name": name, "namespace": "team"}
    return POLICY_ROLLOUTS, {"metadata": meta, "spec": {"templateRef": {"name": of}}, "status": status}


@pytest.mark.parametrize(
    ("phase", "ready", "well"),
    [("Succeeded", "True", True), ("Soaking", "Unknown", False), ("RolledBack", "False", False)],
)
async def test_a_rollout_shows_its_progress_and_counts_by_its_ready_condition(
    phase: str, ready: str, well: bool
) -> None:
    found = await _read(_api(_template(), _rollout(phase, ready)))
    assert found.ready is well
    (rollout,) = found.rollouts
    assert {name: rollout[name] for name in ("name", "template", "phase", "wave", "updated")} == {
        "name": "calmer", "template": "app", "phase": phase, "wave": "1/2", "updated": "3/10",
    }  # fmt: skip


async def test_of_one_template_only_its_own_rollouts_are_shown() -> None:
    found = await _read(
        _api(_template(), _rollout("Succeeded", "True"), _rollout("Soaking", "Unknown", "x", "web")),
        template="app",
    )
    assert (found.ready, [rollout["name"] for rollout in found.rollouts]) == (True, ["calmer"])


def test_templates_that_roll_out_are_listed_with_the_policies(cluster: FakeCluster, trimtab: Call) -> None:
    cluster.put(NAMESPACES, {"metadata": {"name": "team"}})
    resource, body = _template()
    body["status"] |= {"phase": "Succeeded", "wave": "1/1", "updated": "2/2"}
    cluster.put(resource, body)
    cluster.put(*_rollout("Succeeded", "True"))
    answer = trimtab("status", "-n", "team")
    assert answer.code == 0
    assert "team       policyrollout/calmer  Succeeded  1/2   3/10     True" in answer.out
    assert "team       configtemplate/app    Succeeded  1/1   2/2      True" in answer.out


async def test_a_template_that_is_not_there_is_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit):
        await _read(_api(_template()), template="apq")
    assert "there is app" in capsys.readouterr().err
