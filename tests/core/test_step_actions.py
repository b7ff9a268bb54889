"""Steps of a rollout: where actions are accepted, what they do, and that each gets one result."""

from __future__ import annotations

import pytest

from support.rollout_follower import RolloutModel, content, strategy
from support.rollout_phases import (
    GATE,
    JOB,
    STATES,
    TWO_WAVES,
    awaiting,
    canary,
    moving,
    new_rollout,
    rolled_back,
    second,
    soaking,
    succeeded,
)
from trimtab.api.rollout_status import RolloutProgress
from trimtab.core.rollout import NOTHING, Request, step

TAKEN = {
    "Pending": {"Pause": "Pending", "Abort": "RolledBack"},
    "Waiting": {"Promote": "Progressing", "Pause": "Paused", "Abort": "RolledBack"},
    "AwaitingApproval": {"Approve": "Progressing", "Pause": "Paused", "Abort": "RolledBack"},
    "Rejected": {},
    "Rejected, midway": {"Pause": "Rejected", "Abort": "Rejected"},
    "Progressing": {"Promote": "Progressing", "Pause": "Paused", "Abort": "RolledBack"},
    "Progressing, groups not updated": {"Pause": "Paused", "Abort": "RolledBack"},
    "Soaking": {"Promote": "Progressing", "Pause": "Paused", "Abort": "RolledBack"},
    "Paused": {"Promote": "Progressing", "Resume": "Progressing", "Abort": "RolledBack"},
    "Paused by the spec": {"Pause": "Paused", "Abort": "RolledBack"},
    "Succeeded": {"Undo": "RolledBack"},
    "RollingBack": {},
    "RolledBack": {"Retry": "Progressing"},
    "RollbackFailed": {},
}
VERBS = ["Approve", "Promote", "Pause", "Resume", "Abort", "Retry", "Undo"]


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("verb", VERBS)
def test_each_action_is_accepted_in_its_states_and_refused_in_others_with_what_is_possible(
    state: str, verb: str
) -> None:
    rollout = STATES[state]()
    rollout.act()
    phase, before = rollout.phase, rollout.progress
    hashed = before.target.hash if before.target else ""

    answer = rollout.ask(verb, hashed)

    assert answer.accepted == (verb in TAKEN[state]), answer.message
    if answer.accepted:
        rollout.settle()
        assert rollout.phase == TAKEN[state][verb]
    else:
        assert rollout.phase == phase
        assert rollout.progress.model_copy(update={"handled": before.handled}) == before
        assert answer.message


@pytest.mark.parametrize(
    "state", [state for state in STATES if state not in ("Rejected", "Paused by the spec")]
)
@pytest.mark.parametrize("verb", VERBS)
def test_an_action_on_an_earlier_attempt_is_refused(state: str, verb: str) -> None:
    rollout = STATES[state]()

    answer = rollout.ask(verb, "0123456789abcdef")

    assert not answer.accepted
    stable = "nnnnnnnn" if state == "Succeeded" else "oooooooo"
    whose = f"stable content, which is {stable}" if verb == "Undo" else "content, which is nnnnnnnn"
    said = f"contentHash 0123456789ab is not this rollout's {whose}: the content has changed or the hash is mistyped"
    assert said in answer.message


@pytest.mark.parametrize(
    ("state", "verb", "message"),
    [
        (
            "Soaking",
            "Retry",
            "There is no failed content to retry; the rollout is Soaking, allowed actions: Promote, Pause or Abort",
        ),
        (
            "Progressing",
            "Approve",
            "No wave is waiting for an approval; the rollout is Progressing, allowed actions: Pause, ",
        ),
        ("RolledBack", "Abort", "allowed actions: Retry, or new content"),
        ("Paused by the spec", "Resume", "spec.strategy.paused is true; set it to false"),
        ("Paused by the spec", "Promote", "spec.strategy.paused is true; set it to false first"),
        ("Progressing, groups not updated", "Promote", "3 groups of wave all are not updated yet"),
        ("Rejected", "Pause", "allowed actions: none until the spec is corrected"),
    ],
)
def test_a_refusal_names_the_possible_actions(state: str, verb: str, message: str) -> None:
    rollout = STATES[state]()
    rollout.act()

    assert message in rollout.ask(verb).message


def test_an_approval_names_the_content_and_starts_one_wave() -> None:
    rollout = new_rollout({"waves": [TWO_WAVES[0] | {"approval": True}, TWO_WAVES[1] | {"approval": True}]})
    rollout.settle()
    assert "requires contentHash" in rollout.ask("Approve").message

    assert rollout.approve().accepted
    rollout.settle()
    rollout.pass_time(300)

    assert (rollout.phase, rollout.progress.current_wave) == ("AwaitingApproval", 2)
    assert rollout.progress.approved == ["canary"]
    rollout.approve()
    rollout.settle()
    rollout.pass_time(300)
    assert rollout.phase == "Succeeded"


@pytest.mark.parametrize("edit", ["content", "waves"])
def test_an_approval_is_void_once_the_approved_content_has_changed(edit: str) -> None:
    rollout = awaiting()
    rollout.busy = "PolicyRollout other is under way"
    assert rollout.approve().accepted
    assert rollout.phase == "Waiting"

    if edit == "content":
        rollout.target = content("m")
    else:
        rollout.strategy = strategy({"waves": [{"name": "all", "percent": 5, "approval": True}]})
    rollout.busy = ""
    rollout.settle()

    assert (rollout.phase, rollout.progress.approved) == ("AwaitingApproval", [])


def test_promote_ends_one_wait_at_a_time_and_approves_nothing() -> None:
    rollout = new_rollout(
        {
            "waves": [TWO_WAVES[0], {"name": "second", "groups": ["b"]}, {"name": "third", "approval": True}],
            "freezes": [{"schedule": "0 6 * * *", "duration": "3h"}],
            "gates": [GATE],
        }
    )
    rollout.settle()
    assert rollout.phase == "Waiting"
    assert rollout.ask("Promote").accepted
    rollout.settle()
    assert (rollout.phase, rollout.progress.current_wave) == ("Progressing", 1)
    assert rollout.ask("Promote").accepted
    rollout.settle()
    assert (rollout.phase, rollout.progress.wave) == ("Waiting", "2/3")
    rollout.ask("Promote")
    rollout.settle()
    rollout.ask("Promote")
    rollout.settle()

    assert (rollout.phase, rollout.progress.wave) == ("AwaitingApproval", "3/3")
    assert "allowed actions: Approve" in rollout.ask("Promote").message


def test_a_promoted_wave_that_was_paused_still_waits_for_its_groups() -> None:
    rollout = moving()
    rollout.ask("Pause")
    rollout.follow()
    assert rollout.ask("Promote").accepted  # who looks at a held group finds it as it is wanted: where it is
    assert rollout.phase == "Progressing"
    assert rollout.progress.stable == content("o")

    rollout.settle()

    assert rollout.phase == "Succeeded"


def test_resume_evaluates_the_wave_again() -> None:
    rollout = soaking(gates=[GATE | {"failureLimit": 1}, JOB | {"dryRun": True}])
    rollout.measure("Failed", gate="errors")
    rollout.act()
    rollout.ask("Pause")
    assert rollout.ask("Resume").accepted

    assert rollout.progress.gates[0].failures == 0
    rollout.measure("Failed", gate="errors")
    rollout.settle()
    assert rollout.phase == "Progressing"


def test_a_pause_outlives_new_content() -> None:
    rollout = second()
    rollout.ask("Pause", reason="an incident")
    rollout.target = content("m")

    rollout.settle()

    assert (rollout.phase, rollout.progress.underway) == ("Paused", None)
    assert {group.base for group in rollout.groups.values()} == {"o" * 8}
    assert "an incident" in (rollout.progress.message or "")
    rollout.ask("Resume")
    rollout.settle()
    assert rollout.phase == "Progressing"


def test_an_abort_before_the_start_updates_nothing() -> None:
    rollout = awaiting()

    assert rollout.ask("Abort", reason="not today").accepted

    assert (rollout.phase, rollout.progress.epoch, rollout.progress.underway) == ("RolledBack", None, None)
    assert rollout.progress.quarantine[0].reason == "aborted by ann@example.com: not today"


def test_undo_returns_to_the_previous_content_and_quarantines_the_current_one() -> None:
    rollout = succeeded()

    assert rollout.ask("Undo").accepted
    assert (rollout.phase, rollout.progress.epoch) == ("RollingBack", 2)
    rollout.settle()

    assert (rollout.phase, rollout.progress.stable) == ("RolledBack", content("o"))
    assert {group.base for group in rollout.groups.values()} == {"o" * 8}
    rollout.target = content("o")
    rollout.settle()
    assert rollout.phase == "Succeeded"


def test_undo_of_the_first_policy_returns_to_nothing() -> None:
    rollout = new_rollout(progress=RolloutProgress())
    rollout.settle()
    assert (rollout.phase, rollout.progress.previous) == ("Succeeded", NOTHING)

    rollout.ask("Undo")
    rollout.settle()

    assert (rollout.phase, rollout.progress.stable) == ("RolledBack", NOTHING)
    assert RolloutProgress.model_validate(rollout.progress.to_dict()) == rollout.progress


def test_undo_does_not_return_to_what_has_failed_since() -> None:
    rollout = succeeded()
    rollout.target = content("o")
    rollout.settle()
    rollout.measure("Failed")
    rollout.settle()
    rollout.target = content("n")
    rollout.settle()
    assert (rollout.phase, rollout.progress.previous) == ("Succeeded", content("o"))

    answer = rollout.ask("Undo")

    assert not answer.accepted
    assert "is quarantined" in answer.message


def test_an_action_is_processed_once_and_its_result_stays_the_same() -> None:
    rollout = canary()
    seen = RolloutModel.seeing(
        rollout.look(), requests=(Request("u1", "Pause", requester="ann", reason="lunch"),)
    )

    first = step(rollout.progress, seen, rollout.now)
    resumed = step(
        first.progress, RolloutModel.seeing(rollout.look(), requests=(Request("u2", "Resume"),)), rollout.now
    )
    again = step(resumed.progress, seen, rollout.now + 1)

    assert first.results == again.results
    assert first.progress.phase == "Paused"
    assert again.progress.phase == "Progressing"
    assert again.transitions == ()


def test_a_refused_action_stays_refused_when_it_would_be_possible_later() -> None:
    rollout = soaking(waves=[TWO_WAVES[0], {"name": "all", "approval": True}])
    early = Request("early", "Approve", "n" * 8)
    first = step(rollout.progress, RolloutModel.seeing(rollout.look(), requests=(early,)), rollout.now)
    rollout.progress = first.progress
    rollout.pass_time(300)
    assert rollout.phase == "AwaitingApproval"

    again = step(rollout.progress, RolloutModel.seeing(rollout.look(), requests=(early,)), rollout.now)

    assert again.results == first.results
    assert not again.results[0].accepted
    assert again.progress.phase == "AwaitingApproval"


def test_results_that_were_not_written_are_never_dropped() -> None:
    rollout = canary()
    requests = tuple(Request(f"u{n}", "Approve") for n in range(150))

    first = step(rollout.progress, RolloutModel.seeing(rollout.look(), requests=requests), rollout.now)
    stuck = step(first.progress, RolloutModel.seeing(rollout.look(), requests=requests), rollout.now)
    rest = step(first.progress, RolloutModel.seeing(rollout.look(), requests=requests[100:]), rollout.now)

    assert [answer.uid for answer in first.results] == [f"u{n}" for n in range(100)]
    assert stuck.results == first.results
    assert stuck.progress == first.progress
    assert [answer.uid for answer in rest.results] == [f"u{n}" for n in range(100, 150)]
    assert len(rest.progress.handled) == 100


def test_an_action_that_does_not_exist_is_refused() -> None:
    assert "Unknown action; must be one of Approve, Promote" in canary().ask("Explode").message


def test_resume_after_a_failed_job_requests_another_job() -> None:
    rollout = canary(gates=[JOB], onFailure="Pause")
    rollout.measure("Failed")
    rollout.settle()
    assert (rollout.phase, rollout.progress.gates[0].round) == ("Paused", 0)

    late = rollout.evidence_of(rollout.progress.gates[0], "Failed")
    rollout.now += 1
    assert rollout.ask("Resume").accepted
    rollout.evidence = [late]
    rollout.settle()

    assert (rollout.phase, rollout.progress.gates[0].round) == ("Progressing", 1)


def test_only_new_content_or_retry_starts_after_an_abort() -> None:
    rollout = rolled_back()

    rollout.pass_time(3600)
    rollout.strategy = strategy({"waves": TWO_WAVES, "gates": [GATE], "progressDeadline": "1h"})
    rollout.settle()
    assert (rollout.phase, rollout.progress.attempt) == ("RolledBack", 1)
    rollout.target = None
    rollout.settle()
    rollout.target = content("n")
    rollout.settle()
    assert (rollout.phase, rollout.progress.attempt) == ("RolledBack", 1)

    rollout.target = content("m")
    rollout.settle()
    assert (rollout.phase, rollout.progress.attempt) == ("Progressing", 2)
