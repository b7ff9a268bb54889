"""An invalid rollout is rejected with a message that names what to change, and changes nothing."""

from __future__ import annotations

from typing import Any

import pytest

from support.live_objects import Body, RefusedError
from support.manifests import enforce, minutes, policy, wave, waves
from support.namespace import Namespace
from support.operator_cluster import OperatorCluster
from support.operator_process import Operator
from support.rollout_scenes import NEW, OLD_FREE, OLD_PRO, given, replace

QUERY: Body = {"address": "http://prometheus:9090", "query": "errors"}


def gate(**spec: Any) -> Body:
    return waves(gates=[{"name": "errors", **spec}])


def prometheus(condition: str, **spec: Any) -> Body:
    return gate(prometheus={**QUERY, "successCondition": condition}, **spec)


STRATEGIES: dict[str, tuple[Body, str, str]] = {
    "a wave of a group that is not there": (
        waves(wave("one", "fre")), "the rollout's scope has no group fre", "free"),
    "a wave of no group": (
        waves(wave("one", groups=[])), "names no group", "name groups, or remove the field for the rest"),
    "a selector that selects nothing": (
        waves(wave("one", groupSelector={"matchLabels": {"ring": "canary"}})), "selects none", "correct its labels"),
    "a wave for which nothing is left": (
        waves(wave("one"), wave("two")), "no group is left", "remove it"),
    "a percentage that does not grow": (
        waves(wave("half", "free", percent=50), wave("again", "free", percent=50)), "moves free (50%) to 50%", "raise"),
    "a percentage that shrinks": (
        waves(wave("half", "free", percent=50), wave("less", "free", percent=10)), "free (50%)", "raise percent"),
    "a group that has moved already": (
        waves(wave("one", "free"), wave("two", "free", "pro")), "free (100%)", "remove these groups"),
    "a deadline of nothing": (
        waves(progressDeadline="0s"), "progressDeadline", "raise it"),
    "a condition that no measurement changes": (
        prometheus("1 < 2"), "it does not use result", "compare result"),
    "a condition that is no CEL": (
        prometheus("result <"), "gates[errors].prometheus.successCondition", ""),
    "a gate that can never pass in time": (
        {**prometheus("result < 1", initialDelay="20m")}, "can never pass", "raise progressDeadline"),
    "a gate that is asked too often": (
        prometheus("result < 1", interval="1ms"), "must be at least 1s", "raise it"),
    "a gate that accepts no answer": (
        gate(http={"url": "http://app/", "expectStatus": []}), "no response can pass", "remove the field for 200"),
    "a freeze that never ends": (
        waves(freezes=[{"schedule": "0 * * * *", "duration": "1h"}]), "no wave can ever start", "shorten duration"),
    "a freeze that never comes": (
        waves(freezes=[{"schedule": "0 0 31 2 *", "duration": "1h"}]), "spec.strategy.freezes[0]", "0 18 * * 5"),
    "a freeze in no time zone": (
        waves(freezes=[{"schedule": "0 18 * * 5", "timeZone": "Berlin", "duration": "1h"}]),
        "Berlin is not a time zone", "Europe/Berlin"),
}  # fmt: skip
POLICIES: dict[str, tuple[Body, str, str]] = {
    "a key that is not there": ({"content": enforce("session.minute", 5)}, "session.minute", "session.minutes"),
    "a value that the template forbids": ({"content": minutes(0)}, "session.minutes", "at least 1"),
    "a value of another type": ({"content": minutes("soon")}, "session.minutes", "must be of type Integer"),
    "a constraint that forbids its own value": (
        {"content": {**minutes(25), "constraints": [{"key": "session.minutes", "maximum": 20}]}},
        "breaks its own constraint", "change one of the two"),
    "a constraint of limits that cross": (
        {"content": {"constraints": [{"key": "session.minutes", "minimum": 20, "maximum": 10}]}},
        "session.minutes", ""),
    "groups that are not there": ({"groups": ["free", "gold"]}, "has no group gold", "remove it or correct its name"),
    "no group": ({"groups": []}, "spec.groups: names no group", "delete the PolicyRollout to withdraw it"),
    "labels that no group has": (
        {"groupSelector": {"matchLabels": {"ring": "canary"}}}, "selects no group of the template", "correct it"),
    "a schemaVersion that is not the template's": (
        {"schemaVersion": 7}, "is written for schemaVersion 7", "write the policy for the schemaVersion"),
    "nothing": ({"content": {"values": {}}}, "is empty", "set values, enforced or constraints"),
    "flags": (
        {"content": {"flags": [{"name": "x", "rollout": {"on": 25}}]}}, "spec.policy.flags", "not supported in this"),
}  # fmt: skip


def test_an_invalid_rollout_is_rejected_and_changes_nothing(operator: Operator, ns: Namespace) -> None:
    # given: a policy that is served
    given(ns)
    ns.policy()
    ns.reach("Succeeded")
    ns.serves(NEW, "free", "pro")
    operator.quiet()
    before = ns.outputs()
    cases = {what: ({"strategy": case[0]}, *case[1:]) for what, case in STRATEGIES.items()} | POLICIES

    # when: new ones say what cannot be
    names = {what: what.lower().replace(" ", "-").replace("'", "") for what in cases}
    for what, (wrong, _, _) in cases.items():
        ns.policy(names[what], **{"content": enforce("session.greeting", "welcome"), **wrong})

    # then: each says what is wrong and what to do about it
    for what, (_, said, remedy) in cases.items():
        reason = "NotSupported" if what == "flags" else "Rejected"
        found = ns.wait_verdict("PolicyRollout", names[what], "False", reason)
        assert said in found["message"], what
        assert remedy in found["message"], what
        assert found["of"]["phase"] == "Rejected", what
        assert what == "flags" or found["of"]["violations"], what
    said = ns.refused("promote", names["no group"])
    assert "allowed actions: none until the spec is corrected" in said

    # and so does an edit of what is served
    for what in ("a wave of no group", "a key that is not there", "flags"):
        wrong, said, _ = cases[what]
        replace(ns, policy(ns.name, **{"content": minutes(26), **wrong}))
        assert said in ns.reach("Rejected")["message"], what

    # and nothing moves, also after a restart
    operator.quiet()
    assert ns.outputs() == before
    operator.restart().quiet()
    assert ns.outputs() == before
    replace(ns, policy(ns.name))
    ns.reach("Succeeded")


def test_a_policy_that_contradicts_one_before_it_is_refused_and_names_it(
    operator: Operator, ns: Namespace
) -> None:
    given(ns)

    ns.policy("first", minutes(25))
    ns.policy("limit", {"constraints": [{"key": "agent.temperature", "maximum": 1, "reason": "COST-7"}]})
    ns.reach("Succeeded", "first")
    ns.reach("Succeeded", "limit")
    ns.serves(NEW, "free", "pro")
    operator.quiet()
    before = ns.outputs()
    ns.policy("second", minutes(26))
    said = ns.reach("Rejected", "second")["message"]
    assert "PolicyRollout first enforces another value with the same priority 0" in said
    assert "give one a higher priority or make the values equal" in said

    ns.policy("hot", enforce("agent.temperature", 1.5), priority=100)
    said = ns.reach("Rejected", "hot")["message"]
    assert "PolicyRollout limit has a constraint that forbids the value enforced here" in said

    operator.quiet()
    assert ns.outputs() == before

    # with another priority, or once the other has gone, it rolls out
    ns.policy("second", minutes(26), priority=1)
    ns.reach("Succeeded", "second")
    ns.serves({"session.minutes": 26}, "free", "pro")
    ns.drop("PolicyRollout", "limit")
    ns.reach("Succeeded", "hot")
    ns.serves({"agent.temperature": 1.5}, "free", "pro")


def test_the_api_server_refuses_what_it_can_validate(
    operator_cluster: OperatorCluster, ns: Namespace
) -> None:
    wrong: list[tuple[Body, str]] = [
        (gate(), "exactly one of prometheus, http and job"),
        (
            gate(http={"url": "http://app/"}, job={"cronJob": "e2e"}),
            "exactly one of prometheus, http and job",
        ),
        (gate(http={"url": "file:///etc/passwd"}), "spec.strategy.gates[0].http.url"),
        (waves(wave("one", "free", groupSelector={})), "groups and groupSelector cannot both be set"),
        (waves(wave("one", percent=0)), "greater than or equal to 1"),
        (waves(wave("one", percent=101)), "less than or equal to 100"),
        (waves(onFailure="Explode"), "Unsupported value"),
        (waves(wave("one", "free"), wave("one", "pro")), "Duplicate value"),
        (waves(wave("one", "free", soak="a while")), "spec.strategy.waves[0].soak"),
        (waves(wave("One", "free")), "spec.strategy.waves[0].name"),
    ]
    for strategy, said in wrong:
        with pytest.raises(RefusedError) as caught:
            ns.api.create(policy(ns.name, strategy=strategy))
        assert caught.value.status == 422
        assert said in str(caught.value)

    both = policy(ns.name, groups=["free"], groupSelector={})
    with pytest.raises(RefusedError, match="groups and groupSelector cannot both be set"):
        ns.api.create(both)


def test_a_policy_for_a_template_that_is_not_there_waits_for_it(operator: Operator, ns: Namespace) -> None:
    ns.policy()
    found = ns.wait_verdict("PolicyRollout", "calmer", "False", "TemplateNotFound")
    assert "create it or correct spec.templateRef" in found["message"]
    ns.template(groups=[{"name": "free", "values": {"session.minutes": 0}}])
    ns.wait_verdict("PolicyRollout", "calmer", "False", "TemplateNotValid")
    ns.template()
    ns.reach("Succeeded")
    ns.serves(NEW, "free", "pro")


def test_actions_on_what_is_not_there_or_has_moved_on_are_refused(operator: Operator, ns: Namespace) -> None:
    given(ns)

    assert "there is no PolicyRollout calmer" in ns.refused("pause")
    assert "there is no PolicyRollout nothing" in ns.refused("abort", "nothing")

    said = ns.refused("pause", "app", "ConfigTemplate")
    assert "ConfigTemplate app has no strategy, so that its changes do not roll out" in said

    ns.policy(strategy=waves())
    content = ns.reach("Soaking")["target"]["hash"]
    assert "allowed actions: Promote, Pause or Abort" in ns.refused("retry")

    ns.policy(content=minutes(26), strategy=waves())
    ns.reach("Soaking", attempt=2)
    for verb in ("promote", "abort", "pause"):
        assert "the content has changed" in ns.refused(verb, contentHash=content)

    operator.quiet()
    ns.serves({"session.minutes": 26}, "free")
    ns.serves(OLD_PRO, "pro")


def test_a_rollout_whose_spec_becomes_invalid_is_paused_and_can_be_aborted(
    operator: Operator, ns: Namespace
) -> None:
    given(ns)

    ns.policy(strategy=waves())
    ns.reach("Soaking")
    ns.serves(NEW, "free")
    ns.policy(content=minutes(0), strategy=waves())
    assert "is paused because the spec is rejected" in ns.reach("Rejected")["message"]

    operator.quiet()
    ns.serves(NEW, "free")
    ns.serves(OLD_PRO, "pro")
    ns.act("abort")
    ns.serves(OLD_FREE, "free")
    ns.reach("Rejected", updated="0/2")
    ns.policy(strategy=waves())
    ns.reach("RolledBack")
