"""A change of a template with a strategy rolls out as a policy does: in waves, watched, and back if it goes wrong."""

from __future__ import annotations

from typing import Any

from support.cluster_fixtures import Place
from support.live_objects import Body, wait_for
from support.manifests import KEYS, minutes, wave, waves
from support.operator_process import Operator
from support.rollout_scenes import given

TEMPLATE = "ConfigTemplate"
CANARY = waves()


def greeting(text: str) -> list[Body]:
    """The keys, with another default."""
    return [*KEYS[:3], {**KEYS[3], "default": text}]


def greets(place: Place, text: str, *groups: str) -> None:
    place.serves({"session.greeting": text}, *(groups or ("free", "pro")))


def reach(place: Place, phase: str, **also: Any) -> Body:
    return place.reach(phase, "app", TEMPLATE, **also)


def test_the_first_content_is_served_at_once_and_an_edit_goes_by_waves(
    operator: Operator, place: Place
) -> None:
    # given: a template whose first wave wants an approval: there is nothing to protect yet
    approved = waves(wave("canary", "free", soak="1h", approval=True))
    given(place, users=2, strategy=approved)
    greets(place, "hello")
    reach(place, "Succeeded")

    # when: it is edited
    place.template(keys=greeting("hi"), strategy=approved)
    status = reach(place, "AwaitingApproval", wave="0/2")
    place.wait_verdict(TEMPLATE, "app", "Unknown", "AwaitingApproval")
    assert (status["preview"]["changedGroups"], status["preview"]["keys"]) == (2, ["session.greeting"])
    operator.quiet()
    greets(place, "hello")
    assert place.act("approve", "app", TEMPLATE, contentHash=status["preview"]["hash"])
    reach(place, "Soaking", wave="1/2")

    # then: the wave serves it, the rest does not, and what users change meanwhile is theirs
    greets(place, "hi", "free")
    greets(place, "hello", "pro")
    place.preference("user-0", {"session.minutes": 7})
    place.preference("user-1", {"session.minutes": 8}, group="pro")
    place.wait_user("user-0", {"session.minutes": 7, "session.greeting": "hi"})
    place.wait_user("user-1", {"session.minutes": 8, "session.greeting": "hello"}, group="pro")

    # and when it is aborted, their values stay and its content goes
    place.act("abort", "app", TEMPLATE)
    reach(place, "RolledBack")
    place.wait_verdict(TEMPLATE, "app", "False", "RolledBack")
    greets(place, "hello")
    place.wait_user("user-0", {"session.minutes": 7, "session.greeting": "hello"})
    operator.restart().quiet()
    place.wait_verdict(TEMPLATE, "app", "False", "RolledBack")
    greets(place, "hello")
    assert place.pointer("free")["currentRevision"] == place.pointer("free")["stableRevision"] == 1

    # and the content of before is stable already
    place.template(strategy=approved)
    reach(place, "Succeeded")
    place.rendered()


def test_an_empty_strategy_is_one_wave_of_all_groups(operator: Operator, place: Place) -> None:
    given(place, strategy={})
    place.template(keys=greeting("hi"), strategy={})
    place.rendered()
    greets(place, "hi")
    assert "WaveStarted" in place.told("app", TEMPLATE)
    assert reach(place, "Succeeded", wave="1/1")["updated"] == "2/2"
    # an edit that is not valid moves nothing
    place.template(
        keys=greeting("hi"), groups=[{"name": "free", "values": {"session.minutes": 0}}], strategy={}
    )
    place.wait_verdict(TEMPLATE, "app", "False", "Rejected")
    operator.quiet()
    greets(place, "hi")
    # and is undone by nobody but its author
    place.template(keys=greeting("hi"), strategy={})
    place.rendered()
    place.act("undo", "app", TEMPLATE)
    reach(place, "RolledBack")
    greets(place, "hello")


def test_groups_come_and_go_with_their_wave(operator: Operator, place: Place) -> None:
    given(place, users=2, strategy=CANARY)
    before = {name: place.data(name) for name in ("app-free", "app-pro")}
    # when: one group goes, and two come, of which one is in the first wave
    groups = [{"name": "free"}, {"name": "trial"}, {"name": "team"}]
    first = waves(wave("canary", "free", "trial", soak="1h"))
    place.template(keys=greeting("hi"), groups=groups, strategy=first)
    reach(place, "Soaking", wave="1/2")
    greets(place, "hi", "free", "trial")
    operator.quiet()
    assert place.get("ConfigMap", "app-team") is None
    assert place.data("app-pro") == before["app-pro"]
    place.wait_user("user-1", {"session.greeting": "hi 1"}, group="pro")

    # then: the way back takes away what came
    place.act("abort", "app", TEMPLATE)
    reach(place, "RolledBack")
    place.gone("ConfigMap", "app-trial")
    wait_for(lambda: {name: place.data(name) for name in before} == before, "all is as before")

    # and the last wave brings what comes, and takes what goes
    place.act("retry", "app", TEMPLATE)
    reach(place, "Soaking", wave="1/2")
    place.act("promote", "app", TEMPLATE)
    place.rendered()
    greets(place, "hi", "free", "trial", "team")
    place.gone("ConfigMap", "app-pro")
    place.wait_verdict("UserPreference", "user-1", "False", "GroupNotFound")


def test_a_strategy_may_be_added_to_what_is_served(operator: Operator, place: Place) -> None:
    given(place, users=2)
    operator.quiet()
    before = place.outputs()
    place.template(strategy=CANARY)
    reach(place, "Succeeded")
    place.rendered()
    operator.quiet()
    assert place.outputs() == before, "a strategy is no content"
    place.template(keys=greeting("hi"), strategy=CANARY)
    reach(place, "Soaking")
    greets(place, "hi", "free")
    greets(place, "hello", "pro")
    place.act("abort", "app", TEMPLATE)
    reach(place, "RolledBack")
    greets(place, "hello")


def test_a_strategy_that_is_added_together_with_an_edit_holds_for_that_edit(
    operator: Operator, place: Place
) -> None:
    given(place)
    place.template(keys=greeting("hi"), strategy=CANARY)
    reach(place, "Soaking")
    greets(place, "hi", "free")
    operator.quiet()
    greets(place, "hello", "pro")
    place.act("promote", "app", TEMPLATE)
    place.rendered()
    greets(place, "hi")


def test_without_its_strategy_a_template_moves_at_once_and_what_was_is_forgotten(
    operator: Operator, place: Place
) -> None:
    given(place, strategy=CANARY)
    place.template(keys=greeting("hi"), strategy=CANARY)
    reach(place, "Soaking")
    greets(place, "hi", "free")
    # when: the strategy goes in mid-flight
    place.template(keys=greeting("hi"))
    place.rendered()
    greets(place, "hi")
    place.template(keys=greeting("hey"))
    place.rendered()
    greets(place, "hey")
    assert "has no strategy" in place.refused("abort", "app", TEMPLATE)
    operator.quiet()
    before = place.outputs()
    # and when it comes back, it begins with what is served now, not with what was under way then
    place.template(keys=greeting("hey"), strategy=CANARY)
    reach(place, "Succeeded")
    operator.quiet()
    assert place.outputs() == before
    place.template(keys=greeting("welcome"), strategy=CANARY)
    reach(place, "Soaking")
    greets(place, "welcome", "free")
    greets(place, "hey", "pro")
    place.act("abort", "app", TEMPLATE)
    reach(place, "RolledBack")
    greets(place, "hey")


def test_a_template_and_a_policy_over_it_go_one_after_the_other(operator: Operator, place: Place) -> None:
    given(place, strategy=CANARY)
    place.template(keys=greeting("hi"), strategy=CANARY)
    reach(place, "Soaking")
    place.policy(says=minutes(25))
    assert "ConfigTemplate app is under way" in place.reach("Waiting")["message"]
    place.act("abort", "app", TEMPLATE)
    reach(place, "RolledBack")
    place.reach("Succeeded")
    place.serves({"session.minutes": 25, "session.greeting": "hello"}, "free", "pro")
    place.act("retry", "app", TEMPLATE)
    reach(place, "Soaking")
    place.serves({"session.minutes": 25, "session.greeting": "hi"}, "free")
    place.act("promote", "app", TEMPLATE)
    place.rendered()
    place.serves({"session.minutes": 25, "session.greeting": "hi"}, "free", "pro")


def test_a_template_without_a_strategy_waits_for_the_policies_that_are_under_way(
    operator: Operator, place: Place
) -> None:
    given(place)
    place.policy(strategy=waves())
    place.reach("Soaking")
    # when: it is edited in mid-flight, and has a group more
    groups: list[Body] = [
        {"name": "free"},
        {"name": "pro", "values": {"session.minutes": 120}},
        {"name": "new"},
    ]
    place.template(keys=greeting("hi"), groups=groups)
    said = place.wait_verdict(TEMPLATE, "app", "Unknown", "Progressing")["message"]
    assert "follows once PolicyRollout calmer is through" in said

    # then: what the policy plans stays as it is, and the new group is served without it
    place.serves({"session.greeting": "hi", "session.minutes": 30}, "new")
    operator.quiet()
    place.serves({"session.greeting": "hello", "session.minutes": 25}, "free")
    place.serves({"session.greeting": "hello", "session.minutes": 120}, "pro")

    # and once it is through, everything is everywhere
    place.act("promote")
    place.rendered()
    greets(place, "hi", "free", "pro", "new")
    place.serves({"session.minutes": 25}, "free", "pro")
