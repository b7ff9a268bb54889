"""Objects that are no longer desired are deleted, in every namespace, and no others."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from support.live_objects import Body, wait_for
from support.manifests import APP, PREFS, config_map
from support.namespace import Namespace
from support.operator_cluster import OperatorCluster
from support.operator_process import Operator

Change = Callable[[Namespace], object]

LABELS = {
    "app.kubernetes.io/part-of": "app",
    "trimtab.dev/template": "app",
    "trimtab.dev/group": "free",
}


def _bystanders(ns: Namespace, target: str) -> list[Body]:
    """Objects with names and labels as near to ours as they come."""
    return [
        ns.api.create(config_map(namespace, name, {"mine": "yes"}, labels=LABELS))
        for namespace in (ns.name, target)
        for name in ("app-free-users-9", "app-free-extra", "app-u-zoe", "app-other")
    ]


def _world(ns: Namespace, target: str) -> None:
    """One template with a group at home, one in another namespace, and users in both."""
    ns.template(groups=[{"name": "free"}, {"name": "away", "targetNamespace": target}, {"name": "pro"}])
    ns.preference("alice", {"session.minutes": 5})
    ns.preference("ann", {"session.minutes": 6}, group="away")
    ns.preference("bob", {"session.minutes": 7}, group="pro")
    ns.rendered()
    wait_for(lambda: ns.user("alice") and ns.user("bob", "pro"), "users at home")
    wait_for(lambda: ("ConfigMap", "app-away-users-0") in ns.outputs(target), "users away")


GOES: dict[str, tuple[Change, set[str], set[str]]] = {
    "template": (lambda p: p.drop("ConfigTemplate", "app"), set(), set()),
    "group": (
        lambda p: p.template(groups=[{"name": "pro"}]),
        {"app-pro", "app-pro-users-0"},
        set(),
    ),
    "user": (
        lambda p: (p.drop("UserPreference", "alice"), p.drop("UserPreference", "ann")),
        {"app-free", "app-pro", "app-pro-users-0"},
        {"app-away"},
    ),
    "target namespace": (
        lambda p: p.template(groups=[{"name": "free"}, {"name": "away"}, {"name": "pro"}]),
        {f"app-{g}{users}" for g in ("free", "away", "pro") for users in ("", "-users-0")},
        set(),
    ),
    "user output": (
        lambda p: p.template(
            groups=[{"name": "free"}, {"name": "away", "targetNamespace": _away(p)}, {"name": "pro"}],
            outputs=[APP],
        ),
        {"app-free", "app-pro"},
        {"app-away"},
    ),
    "all outputs": (
        lambda p: p.template(
            groups=[{"name": "free"}, {"name": "away", "targetNamespace": _away(p)}, {"name": "pro"}],
            outputs=[{**APP, "kind": "Secret"}, {**PREFS, "kind": "Secret"}],
        ),
        {f"app-{g}{users}" for g in ("free", "pro") for users in ("", "-users-0")},
        {"app-away", "app-away-users-0"},
    ),
}


def _away(ns: Namespace) -> str:
    return next(
        g["targetNamespace"]
        for g in ns.one("ConfigTemplate", "app")["spec"]["groups"]
        if "targetNamespace" in g
    )


@pytest.mark.parametrize("down", [False, True], ids=["while-it-runs", "while-it-was-down"])
@pytest.mark.parametrize("what", GOES)
def test_what_was_rendered_goes_and_nothing_else(
    operator: Operator, operator_cluster: OperatorCluster, ns: Namespace, what: str, down: bool
) -> None:
    change, home, away = GOES[what]
    target = operator_cluster.new_namespace("target", annotations={"trimtab.dev/allow-from": ns.name})
    bystanders = _bystanders(ns, target)
    _world(ns, target)
    if down:
        operator.stop()
    change(ns)
    if down:
        operator.start().acting()
    wait_for(
        lambda: (
            {name for _, name in ns.outputs()} == home and {name for _, name in ns.outputs(target)} == away
        ),
        lambda: f"home {home}, away {away}; have {list(ns.outputs())} and {list(ns.outputs(target))}",
    )
    operator.quiet()
    for before in bystanders:
        meta = before["metadata"]
        assert ns.api.one("ConfigMap", meta["namespace"], meta["name"]) == before
    if what == "template":
        wait_for(lambda: not ns.api.list("RenderedGroup", ns.name), "no RenderedGroup is left")
        wait_for(lambda: not ns.api.list("ControllerRevision", ns.name), "no snapshot is left")


@pytest.mark.parametrize("down", [False, True], ids=["while-it-runs", "while-it-was-down"])
def test_retain_leaves_the_outputs_unowned_when_the_template_goes(
    operator: Operator, ns: Namespace, down: bool
) -> None:
    ns.with_alice(deletionPolicy="Retain")

    before = {name: ns.data(name) for name in ("app-free", "app-pro", "app-free-users-0")}
    if down:
        operator.stop()
    ns.drop("ConfigTemplate", "app")
    if down:
        operator.start().acting()
    wait_for(lambda: not ns.outputs(), lambda: f"nothing is owned; {list(ns.outputs())}")
    wait_for(lambda: not ns.api.list("RenderedGroup", ns.name), "no RenderedGroup is left")
    for name, data in before.items():
        kept = ns.one("ConfigMap", name)
        assert kept["data"] == data
        assert not any(label.startswith("trimtab.dev/") for label in kept["metadata"].get("labels") or {})


def test_a_group_that_goes_goes_even_under_retain(operator: Operator, ns: Namespace) -> None:
    ns.template(deletionPolicy="Retain")
    ns.rendered()
    ns.template(deletionPolicy="Retain", groups=[{"name": "pro"}])
    ns.gone("ConfigMap", "app-free")
    assert ns.get("ConfigMap", "app-pro") is not None


def test_a_recreated_template_renders_its_users_again(operator: Operator, ns: Namespace) -> None:
    ns.template()
    ns.preference("alice", {"session.minutes": 5})
    ns.wait_user("alice", {"session.minutes": 5})
    ns.drop("ConfigTemplate", "app")
    wait_for(lambda: not ns.outputs(), "all is gone")
    ns.invalid("alice", "TemplateNotFound")
    ns.template()
    ns.wait_user("alice", {"session.minutes": 5})
    ns.accepted("alice")
    ns.rendered()


def test_a_template_replaced_while_the_operator_was_down_is_served_from_its_new_content(
    operator: Operator, ns: Namespace
) -> None:
    ns.with_alice()

    operator.stop()
    ns.drop("ConfigTemplate", "app")
    ns.template(groups=[{"name": "free", "values": {"session.greeting": "new"}}])
    operator.start().acting()
    ns.wait_user("alice", {"session.minutes": 5, "session.greeting": "new"})
    ns.rendered()
    ns.gone("ConfigMap", "app-pro")


def test_a_namespace_that_goes_takes_its_users_with_it(
    operator: Operator, operator_cluster: OperatorCluster, ns: Namespace
) -> None:
    tenant = operator_cluster.new_namespace("tenant", labels={"trimtab.dev/tenant": "true"})
    selector = {"matchLabels": {"trimtab.dev/tenant": "true"}}
    ns.template(groups=[{"name": "free", "preferenceNamespaceSelector": selector}])
    other = Namespace(operator_cluster, tenant)
    other.preference("tina", {"session.minutes": 5}, home=ns.name)
    ns.wait_user("tina", {"session.minutes": 5})
    operator_cluster.api.delete("Namespace", "", tenant)
    wait_for(lambda: ns.user("tina") is None, "tina's file is gone")
    ns.rendered()
