"""A change of a template with a strategy rolls out as a policy does: in waves, watched, and back if it goes wrong."""

from __future__ import annotations

from typing import Any

from support.live_objects import Body, wait_for
from support.manifests import KEYS, minutes, wave, waves
from support.namespace import Namespace
from support.operator_process import Operator
from support.rollout_scenes import given

TEMPLATE = "ConfigTemplate"
CANARY = waves()


def greeting(text: str) -> list[Body]:
    """The keys, with another default."""
    return [*KEYS[:3], {**KEYS[3], "default": text}]


def greets(ns: Namespace, text: str, *groups: str) -> None:
    ns.serves({"session.greeting": text}, *(groups or ("free", "pro")))


def reach(ns: Namespace, phase: str, **also: Any) -> Body:
    return ns.reach(phase, "app", TEMPLATE, **also)


def test_the_first_content_is_rendered_immediately_and_an_edit_in_waves(
    operator: Operator, ns: Namespace
) -> None:
    # given: a template whose first wave wants an approval: there is nothing to protect yet
    approved = waves(wave("canary", "free", soak="1h", approval=True))
    given(ns, users=2, strategy=approved)
    greets(ns, "hello")
    reach(ns, "Succeeded")

    # when: it is edited
    ns.template(keys=greeting("hi"), strategy=approved)
    status = reach(ns, "AwaitingApproval", wave="0/2")
    ns.wait_verdict(TEMPLATE, "app", "Unknown", "AwaitingApproval")
    assert (status["preview"]["changedGroups"], status["preview"]["keys"]) == (2, ["session.greeting"])
    operator.quiet()
    greets(ns, "hello")
    assert ns.act("approve", "app", TEMPLATE, contentHash=status["preview"]["hash"])
    reach(ns, "Soaking", wave="1/2")

    # then: the wave serves it, the rest does not, and what users change meanwhile is theirs
    greets(ns, "hi", "free")
    greets(ns, "hello", "pro")
    ns.preference("user-0", {"session.minutes": 7})
    ns.preference("user-1", {"session.minutes": 8}, group="pro")
    ns.wait_user("user-0", {"session.minutes": 7, "session.greeting": "hi"})
    ns.wait_user("user-1", {"session.minutes": 8, "session.greeting": "hello"}, group="pro")

    # and when it is aborted, their values stay and its content goes
    ns.act("abort", "app", TEMPLATE)
    reach(ns, "RolledBack")
    ns.wait_verdict(TEMPLATE, "app", "False", "RolledBack")
    greets(ns, "hello")
    ns.wait_user("user-0", {"session.minutes": 7, "session.greeting": "hello"})
    operator.restart().quiet()
    ns.wait_verdict(TEMPLATE, "app", "False", "RolledBack")
    greets(ns, "hello")
    assert ns.pointer("free")["currentRevision"] == ns.pointer("free")["stableRevision"] == 1

    # and the content of before is stable already
    ns.template(strategy=approved)
    reach(ns, "Succeeded")
    ns.rendered()


def test_an_empty_strategy_is_one_wave_of_all_groups(operator: Operator, ns: Namespace) -> None:
    given(ns, strategy={})

    ns.template(keys=greeting("hi"), strategy={})
    ns.rendered()
    greets(ns, "hi")
    assert "WaveStarted" in ns.told("app", TEMPLATE)
    assert reach(ns, "Succeeded", wave="1/1")["updated"] == "2/2"

    # an edit that is not valid moves nothing
    ns.template(keys=greeting("hi"), groups=[{"name": "free", "values": {"session.minutes": 0}}], strategy={})
    ns.wait_verdict(TEMPLATE, "app", "False", "Rejected")
    operator.quiet()
    greets(ns, "hi")
    # and is undone by nobody but its author
    ns.template(keys=greeting("hi"), strategy={})
    ns.rendered()
    ns.act("undo", "app", TEMPLATE)
    reach(ns, "RolledBack")
    greets(ns, "hello")


def test_groups_come_and_go_with_their_wave(operator: Operator, ns: Namespace) -> None:
    given(ns, users=2, strategy=CANARY)
    before = {name: ns.data(name) for name in ("app-free", "app-pro")}
    # when: one group goes, and two come, of which one is in the first wave
    groups = [{"name": "free"}, {"name": "trial"}, {"name": "team"}]
    first = waves(wave("canary", "free", "trial", soak="1h"))
    ns.template(keys=greeting("hi"), groups=groups, strategy=first)
    reach(ns, "Soaking", wave="1/2")
    greets(ns, "hi", "free", "trial")
    operator.quiet()
    assert ns.get("ConfigMap", "app-team") is None
    assert ns.data("app-pro") == before["app-pro"]
    ns.wait_user("user-1", {"session.greeting": "hi 1"}, group="pro")

    # then: the way back takes away what came
    ns.act("abort", "app", TEMPLATE)
    reach(ns, "RolledBack")
    ns.gone("ConfigMap", "app-trial")
    wait_for(lambda: {name: ns.data(name) for name in before} == before, "all is as before")

    # and the last wave brings what comes, and takes what goes
    ns.act("retry", "app", TEMPLATE)
    reach(ns, "Soaking", wave="1/2")
    ns.act("promote", "app", TEMPLATE)
    ns.rendered()
    greets(ns, "hi", "free", "trial", "team")
    ns.gone("ConfigMap", "app-pro")
    ns.wait_verdict("UserPreference", "user-1", "False", "GroupNotFound")


def test_a_strategy_may_be_added_to_a_rendered_template(operator: Operator, ns: Namespace) -> None:
    given(ns, users=2)

    operator.quiet()
    before = ns.outputs()
    ns.template(strategy=CANARY)
    reach(ns, "Succeeded")
    ns.rendered()
    operator.quiet()
    assert ns.outputs() == before, "a strategy is no content"

    ns.template(keys=greeting("hi"), strategy=CANARY)
    reach(ns, "Soaking")
    greets(ns, "hi", "free")
    greets(ns, "hello", "pro")
    ns.act("abort", "app", TEMPLATE)
    reach(ns, "RolledBack")
    greets(ns, "hello")


def test_a_strategy_that_is_added_together_with_an_edit_holds_for_that_edit(
    operator: Operator, ns: Namespace
) -> None:
    given(ns)
    ns.template(keys=greeting("hi"), strategy=CANARY)
    reach(ns, "Soaking")
    greets(ns, "hi", "free")
    operator.quiet()
    greets(ns, "hello", "pro")
    ns.act("promote", "app", TEMPLATE)
    ns.rendered()
    greets(ns, "hi")


def test_without_its_strategy_a_template_is_rendered_immediately_and_its_rollout_is_dropped(
    operator: Operator, ns: Namespace
) -> None:
    given(ns, strategy=CANARY)

    ns.template(keys=greeting("hi"), strategy=CANARY)
    reach(ns, "Soaking")
    greets(ns, "hi", "free")
    # when: the strategy goes in mid-flight
    ns.template(keys=greeting("hi"))
    ns.rendered()
    greets(ns, "hi")
    ns.template(keys=greeting("hey"))
    ns.rendered()
    greets(ns, "hey")
    assert "has no strategy" in ns.refused("abort", "app", TEMPLATE)

    operator.quiet()
    before = ns.outputs()
    # and when it comes back, it begins with what is served now, not with what was under way then
    ns.template(keys=greeting("hey"), strategy=CANARY)
    reach(ns, "Succeeded")
    operator.quiet()
    assert ns.outputs() == before

    ns.template(keys=greeting("welcome"), strategy=CANARY)
    reach(ns, "Soaking")
    greets(ns, "welcome", "free")
    greets(ns, "hey", "pro")
    ns.act("abort", "app", TEMPLATE)
    reach(ns, "RolledBack")
    greets(ns, "hey")


def test_a_template_and_a_policy_over_it_go_one_after_the_other(operator: Operator, ns: Namespace) -> None:
    given(ns, strategy=CANARY)

    ns.template(keys=greeting("hi"), strategy=CANARY)
    reach(ns, "Soaking")
    ns.policy(content=minutes(25))
    assert "ConfigTemplate app is in progress" in ns.reach("Waiting")["message"]

    ns.act("abort", "app", TEMPLATE)
    reach(ns, "RolledBack")
    ns.reach("Succeeded")
    ns.serves({"session.minutes": 25, "session.greeting": "hello"}, "free", "pro")
    ns.act("retry", "app", TEMPLATE)
    reach(ns, "Soaking")
    ns.serves({"session.minutes": 25, "session.greeting": "hi"}, "free")
    ns.act("promote", "app", TEMPLATE)
    ns.rendered()
    ns.serves({"session.minutes": 25, "session.greeting": "hi"}, "free", "pro")


def test_a_template_without_a_strategy_waits_for_the_policies_that_are_under_way(
    operator: Operator, ns: Namespace
) -> None:
    given(ns)
    ns.policy(strategy=waves())
    ns.reach("Soaking")
    # when: it is edited in mid-flight, and has a group more
    groups: list[Body] = [
        {"name": "free"},
        {"name": "pro", "values": {"session.minutes": 120}},
        {"name": "new"},
    ]
    ns.template(keys=greeting("hi"), groups=groups)
    said = ns.wait_verdict(TEMPLATE, "app", "Unknown", "Progressing")["message"]
    assert "follows once PolicyRollout calmer is through" in said

    # then: what the policy plans stays as it is, and the new group is served without it
    ns.serves({"session.greeting": "hi", "session.minutes": 30}, "new")
    operator.quiet()
    ns.serves({"session.greeting": "hello", "session.minutes": 25}, "free")
    ns.serves({"session.greeting": "hello", "session.minutes": 120}, "pro")

    # and once it is through, everything is everywhere
    ns.act("promote")
    ns.rendered()
    greets(ns, "hi", "free", "pro", "new")
    ns.serves({"session.minutes": 25}, "free", "pro")
