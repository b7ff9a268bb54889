"""What people ask of a rollout by RolloutActions: who may, about which content, and what becomes of it."""

from __future__ import annotations

from support.cluster_fixtures import Place
from support.live_objects import wait_for
from support.manifests import VERBS, action, minutes, wave, waves
from support.operator_process import Operator
from support.rollout_scenes import NEW, OLD_FREE, OLD_PRO, given
from support.service_accounts import CREATES, Hire, Person, may, refused


def test_an_approval_is_of_the_content_that_was_previewed_by_whoever_may(
    operator: Operator, place: Place, hire: Hire
) -> None:
    def approve(person: Person, content: str) -> str:
        body = action(place.name, "approve", person.username, contentHash=content, reason="looked")
        return str(person.api.create(body)["metadata"]["name"])

    # given: somebody who may approve it, and somebody who may do everything else with it
    ann, bob = hire("ann"), hire("bob")
    ann.grant(CREATES, may("policyrollouts", "approve", named="calmer"))
    bob.grant(CREATES, may("policyrollouts", *(verb for verb in VERBS if verb != "approve")))
    given(place)
    strategy = waves(wave("all", approval=True))
    place.policy(strategy=strategy)
    previewed = place.reach("AwaitingApproval")["preview"]["hash"]

    # then: the other one's approval is refused, and so is one of content that nobody previewed
    assert "cannot approve" in refused(lambda: approve(bob, previewed))
    said = place.wait_verdict("RolloutAction", approve(ann, "3f9a"), "False", "Refused")["message"]
    assert "look at status.preview again" in said

    # and one of content that it has moved on from
    place.policy(says=minutes(26), strategy=strategy)
    newer = place.reach("AwaitingApproval")["preview"]["hash"]
    assert newer != previewed
    said = place.wait_verdict("RolloutAction", approve(ann, previewed), "False", "Refused")["message"]
    assert "the rollout has moved on" in said
    operator.quiet()
    place.serves(OLD_FREE, "free")

    # and one of this content lets it go on, in her name
    place.wait_verdict("RolloutAction", approve(ann, newer), "True", "Accepted")
    transitions = place.reach("Succeeded")["transitions"]
    place.serves({"session.minutes": 26}, "free", "pro")
    assert [t["by"] for t in transitions if t["reason"] == "RolloutApproved"] == [ann.username]


def test_what_is_paused_stays_where_it_is(operator: Operator, place: Place) -> None:
    given(place)
    # by the spec, before it starts
    place.policy(strategy=waves(paused=True))
    assert "spec.strategy.paused is true" in place.reach("Paused")["message"]
    assert "set it to false" in place.refused("resume")
    assert "set it to false first" in place.refused("promote")
    operator.quiet()
    place.serves(OLD_FREE, "free")
    # by an action, in mid-flight; what is under way keeps to the plan that it started with
    place.policy(strategy=waves())
    place.reach("Soaking")
    place.act("pause", reason="lunch")
    assert "lunch" in place.reach("Paused")["message"]
    place.policy(strategy={"onFailure": "Pause"})
    place.reach("Paused", wave="1/2")
    operator.quiet()
    place.serves(NEW, "free")
    place.serves(OLD_PRO, "pro")
    place.act("resume")
    place.reach("Soaking", wave="1/2")
    place.act("promote")
    place.reach("Succeeded")
    place.serves(NEW, "free", "pro")


def test_an_abort_brings_back_what_was_and_only_a_retry_or_new_content_starts_again(
    operator: Operator, place: Place
) -> None:
    given(place, users=2)
    before = {name: place.data(name) for name in ("app-free", "app-pro")}
    place.policy(strategy=waves())
    place.reach("Soaking")
    place.serves(NEW, "free")
    place.act("abort", reason="it smells")
    status = place.reach("RolledBack", updated="0/2")
    assert place.verdict("PolicyRollout", "calmer") == ("False", "RolledBack")
    assert "it smells" in status["message"]
    assert "Retry" in status["message"]
    wait_for(lambda: {name: place.data(name) for name in before} == before, "all is as before")
    assert {place.pointer(g)["operation"]["epoch"] for g in ("free", "pro")} == {status["epoch"]}

    # what was aborted is asked for by no other verb
    for verb in ("approve", "promote", "pause", "resume", "abort", "undo"):
        spec = {"contentHash": status["target"]["hash"]} if verb == "approve" else {}
        assert "possible now: Retry, or new content" in place.refused(verb, **spec)
    place.act("retry", reason="it was the drains")
    place.reach("Soaking", attempt=2)
    place.serves(NEW, "free")
    place.act("abort")
    place.reach("RolledBack")
    # new content starts by itself, and what was quarantined stays so
    place.policy(says=minutes(26), strategy=waves(wave("canary", "free")))
    place.reach("Succeeded")
    place.serves({"session.minutes": 26}, "free", "pro")
    place.policy(strategy=waves(wave("canary", "free")))
    place.reach("RolledBack")
    operator.quiet()
    place.serves({"session.minutes": 26}, "free", "pro")


def test_an_undo_brings_back_the_content_before_and_holds_it(operator: Operator, place: Place) -> None:
    given(place)
    place.policy()
    place.reach("Succeeded")
    place.policy(says=minutes(26))
    place.reach("Succeeded")
    place.serves({"session.minutes": 26}, "free", "pro")
    place.act("undo", reason="too long")
    place.reach("RolledBack")
    place.serves(NEW, "free", "pro")
    place.policy(says=minutes(25))
    place.reach("Succeeded")
    assert "there is no content to return to" in place.refused("undo")
