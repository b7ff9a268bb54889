"""What is no longer wanted goes, in every namespace, and nothing else does."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from support.cluster_fixtures import Arena, Place, new_namespace
from support.live_objects import Body, wait_for
from support.manifests import APP, PREFS, config_map
from support.operator_process import Operator

Change = Callable[[Place], object]

LABELS = {
    "app.kubernetes.io/part-of": "app",
    "trimtab.dev/template": "app",
    "trimtab.dev/group": "free",
}


def _bystanders(place: Place, target: str) -> list[Body]:
    """Objects with names and labels as near to ours as they come."""
    return [
        place.api.create(config_map(namespace, name, {"mine": "yes"}, labels=LABELS))
        for namespace in (place.name, target)
        for name in ("app-free-users-9", "app-free-extra", "app-u-zoe", "app-other")
    ]


def _world(place: Place, target: str) -> None:
    """One template with a group at home, one in another namespace, and users in both."""
    place.template(groups=[{"name": "free"}, {"name": "away", "targetNamespace": target}, {"name": "pro"}])
    place.preference("alice", {"session.minutes": 5})
    place.preference("ann", {"session.minutes": 6}, group="away")
    place.preference("bob", {"session.minutes": 7}, group="pro")
    place.rendered()
    wait_for(lambda: place.user("alice") and place.user("bob", "pro"), "users at home")
    wait_for(lambda: ("ConfigMap", "app-away-users-0") in place.outputs(target), "users away")


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


def _away(place: Place) -> str:
    return next(
        g["targetNamespace"]
        for g in place.one("ConfigTemplate", "app")["spec"]["groups"]
        if "targetNamespace" in g
    )


@pytest.mark.parametrize("down", [False, True], ids=["while-it-runs", "while-it-was-down"])
@pytest.mark.parametrize("what", GOES)
def test_what_was_rendered_goes_and_nothing_else(
    operator: Operator, arena: Arena, place: Place, what: str, down: bool
) -> None:
    change, home, away = GOES[what]
    target = new_namespace(arena, "target", annotations={"trimtab.dev/allow-from": place.name})
    bystanders = _bystanders(place, target)
    _world(place, target)
    if down:
        operator.stop()
    change(place)
    if down:
        operator.start().acting()
    wait_for(
        lambda: (
            {name for _, name in place.outputs()} == home
            and {name for _, name in place.outputs(target)} == away
        ),
        lambda: f"home {home}, away {away}; have {list(place.outputs())} and {list(place.outputs(target))}",
    )
    operator.quiet()
    for before in bystanders:
        meta = before["metadata"]
        assert place.api.one("ConfigMap", meta["namespace"], meta["name"]) == before
    if what == "template":
        wait_for(lambda: not place.api.list("RenderedGroup", place.name), "no RenderedGroup is left")
        wait_for(lambda: not place.api.list("ControllerRevision", place.name), "no snapshot is left")


@pytest.mark.parametrize("down", [False, True], ids=["while-it-runs", "while-it-was-down"])
def test_retain_leaves_the_outputs_unowned_when_the_template_goes(
    operator: Operator, place: Place, down: bool
) -> None:
    place.template(deletionPolicy="Retain")
    place.preference("alice", {"session.minutes": 5})
    place.wait_user("alice", {"session.minutes": 5})
    place.rendered()
    before = {name: place.data(name) for name in ("app-free", "app-pro", "app-free-users-0")}
    if down:
        operator.stop()
    place.drop("ConfigTemplate", "app")
    if down:
        operator.start().acting()
    wait_for(lambda: not place.outputs(), lambda: f"nothing is owned; {list(place.outputs())}")
    wait_for(lambda: not place.api.list("RenderedGroup", place.name), "no RenderedGroup is left")
    for name, data in before.items():
        kept = place.one("ConfigMap", name)
        assert kept["data"] == data
        assert not any(label.startswith("trimtab.dev/") for label in kept["metadata"].get("labels") or {})


def test_a_group_that_goes_goes_even_under_retain(operator: Operator, place: Place) -> None:
    place.template(deletionPolicy="Retain")
    place.rendered()
    place.template(deletionPolicy="Retain", groups=[{"name": "pro"}])
    place.gone("ConfigMap", "app-free")
    assert place.get("ConfigMap", "app-pro") is not None


def test_a_template_made_anew_serves_its_users_again(operator: Operator, place: Place) -> None:
    place.template()
    place.preference("alice", {"session.minutes": 5})
    place.wait_user("alice", {"session.minutes": 5})
    place.drop("ConfigTemplate", "app")
    wait_for(lambda: not place.outputs(), "all is gone")
    place.invalid("alice", "TemplateNotFound")
    place.template()
    place.wait_user("alice", {"session.minutes": 5})
    place.accepted("alice")
    place.rendered()


def test_a_template_replaced_while_the_operator_was_down_is_served_from_its_new_content(
    operator: Operator, place: Place
) -> None:
    place.template()
    place.preference("alice", {"session.minutes": 5})
    place.wait_user("alice", {"session.minutes": 5})
    place.rendered()
    operator.stop()
    place.drop("ConfigTemplate", "app")
    place.template(groups=[{"name": "free", "values": {"session.greeting": "new"}}])
    operator.start().acting()
    place.wait_user("alice", {"session.minutes": 5, "session.greeting": "new"})
    place.rendered()
    place.gone("ConfigMap", "app-pro")


def test_a_namespace_that_goes_takes_its_users_with_it(
    operator: Operator, arena: Arena, place: Place
) -> None:
    tenant = new_namespace(arena, "tenant", labels={"trimtab.dev/tenant": "true"})
    selector = {"matchLabels": {"trimtab.dev/tenant": "true"}}
    place.template(groups=[{"name": "free", "preferenceNamespaceSelector": selector}])
    other = Place(arena, tenant)
    other.preference("tina", {"session.minutes": 5}, home=place.name)
    place.wait_user("tina", {"session.minutes": 5})
    arena.api.delete("Namespace", "", tenant)
    wait_for(lambda: place.user("tina") is None, "tina's file is gone")
    place.rendered()
