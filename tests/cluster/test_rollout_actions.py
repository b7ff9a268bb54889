"""RolloutActions: who may request them, about which content, and with which result."""

from __future__ import annotations

from support.live_objects import wait_for
from support.manifests import VERBS, action, minutes, wave, waves
from support.namespace import Namespace
from support.operator_process import Operator
from support.rollout_scenes import NEW, OLD_FREE, OLD_PRO, given
from support.service_accounts import CREATES, Hire, Person, may, refused


def test_an_approval_is_of_the_previewed_content_by_an_authorized_requester(
    operator: Operator, ns: Namespace, hire: Hire
) -> None:
    def approve(person: Person, content: str) -> str:
        body = action(ns.name, "approve", person.username, contentHash=content, reason="looked")
        return str(person.api.create(body)["metadata"]["name"])

    # given: somebody who may approve it, and somebody who may do everything else with it
    ann, bob = hire("ann"), hire("bob")
    ann.grant(CREATES, may("policyrollouts", "approve", named="calmer"))
    bob.grant(CREATES, may("policyrollouts", *(verb for verb in VERBS if verb != "approve")))
    given(ns)
    strategy = waves(wave("all", approval=True))
    ns.policy(strategy=strategy)
    previewed = ns.reach("AwaitingApproval")["preview"]["hash"]

    # then: the other one's approval is refused, and so is one of content that nobody previewed
    assert "cannot approve" in refused(lambda: approve(bob, previewed))
    said = ns.wait_verdict("RolloutAction", approve(ann, "3f9a"), "False", "Refused")["message"]
    assert "set it to status.preview.hash" in said

    # and one of content that it has moved on from
    ns.policy(content=minutes(26), strategy=strategy)
    newer = ns.reach("AwaitingApproval")["preview"]["hash"]
    assert newer != previewed
    said = ns.wait_verdict("RolloutAction", approve(ann, previewed), "False", "Refused")["message"]
    assert "the content has changed" in said
    operator.quiet()
    ns.serves(OLD_FREE, "free")

    # and one of this content lets it go on, in her name
    ns.wait_verdict("RolloutAction", approve(ann, newer), "True", "Accepted")
    transitions = ns.reach("Succeeded")["transitions"]
    ns.serves({"session.minutes": 26}, "free", "pro")
    assert [t["by"] for t in transitions if t["reason"] == "RolloutApproved"] == [ann.username]


def test_what_is_paused_stays_where_it_is(operator: Operator, ns: Namespace) -> None:
    given(ns)

    # by the spec, before it starts
    ns.policy(strategy=waves(paused=True))
    assert "spec.strategy.paused is true" in ns.reach("Paused")["message"]
    assert "set it to false" in ns.refused("resume")
    assert "set it to false first" in ns.refused("promote")

    operator.quiet()
    ns.serves(OLD_FREE, "free")
    # by an action, in mid-flight; what is under way keeps to the plan that it started with
    ns.policy(strategy=waves())
    ns.reach("Soaking")
    ns.act("pause", reason="lunch")
    assert "lunch" in ns.reach("Paused")["message"]

    ns.policy(strategy={"onFailure": "Pause"})
    ns.reach("Paused", wave="1/2")
    operator.quiet()
    ns.serves(NEW, "free")
    ns.serves(OLD_PRO, "pro")
    ns.act("resume")
    ns.reach("Soaking", wave="1/2")
    ns.act("promote")
    ns.reach("Succeeded")
    ns.serves(NEW, "free", "pro")


def test_an_abort_rolls_back_and_only_a_retry_or_new_content_starts_the_rollout(
    operator: Operator, ns: Namespace
) -> None:
    given(ns, users=2)
    before = {name: ns.data(name) for name in ("app-free", "app-pro")}
    ns.policy(strategy=waves())
    ns.reach("Soaking")
    ns.serves(NEW, "free")
    ns.act("abort", reason="it smells")
    status = ns.reach("RolledBack", updated="0/2")
    assert ns.verdict("PolicyRollout", "calmer") == ("False", "RolledBack")
    assert "it smells" in status["message"]
    assert "Retry" in status["message"]
    wait_for(lambda: {name: ns.data(name) for name in before} == before, "all is as before")
    assert {ns.pointer(g)["operation"]["epoch"] for g in ("free", "pro")} == {status["epoch"]}

    # what was aborted is asked for by no other verb
    for verb in ("approve", "promote", "pause", "resume", "abort", "undo"):
        spec = {"contentHash": status["target"]["hash"]} if verb == "approve" else {}
        assert "allowed actions: Retry, or new content" in ns.refused(verb, **spec)
    ns.act("retry", reason="it was the drains")
    ns.reach("Soaking", attempt=2)
    ns.serves(NEW, "free")
    ns.act("abort")
    ns.reach("RolledBack")
    # new content starts by itself, and what was quarantined stays so
    ns.policy(content=minutes(26), strategy=waves(wave("canary", "free")))
    ns.reach("Succeeded")
    ns.serves({"session.minutes": 26}, "free", "pro")
    ns.policy(strategy=waves(wave("canary", "free")))
    ns.reach("RolledBack")
    operator.quiet()
    ns.serves({"session.minutes": 26}, "free", "pro")


def test_an_undo_brings_back_the_content_before_and_holds_it(operator: Operator, ns: Namespace) -> None:
    given(ns)

    ns.policy()
    ns.reach("Succeeded")
    ns.policy(content=minutes(26))
    ns.reach("Succeeded")
    ns.serves({"session.minutes": 26}, "free", "pro")
    ns.act("undo", reason="too long")
    ns.reach("RolledBack")
    ns.serves(NEW, "free", "pro")
    ns.policy(content=minutes(25))
    ns.reach("Succeeded")

    assert "No previous content is known" in ns.refused("undo")
