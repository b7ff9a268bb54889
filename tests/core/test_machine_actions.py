"""RolloutActions: where they are taken, what they do, and that each is answered once."""

from __future__ import annotations

import pytest

from support.rollout_follower import Place, content, strategy
from support.rollout_phases import (
    GATE,
    JOB,
    STATES,
    TWO_WAVES,
    awaiting,
    canary,
    moving,
    place,
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
def test_each_action_is_taken_in_its_states_and_refused_in_the_others_with_what_is_possible(
    state: str, verb: str
) -> None:
    made = STATES[state]()
    made.act()
    phase, before = made.phase, made.progress
    hashed = before.target.hash if before.target else ""

    answer = made.ask(verb, hashed)

    assert answer.accepted == (verb in TAKEN[state]), answer.message
    if answer.accepted:
        made.settle()
        assert made.phase == TAKEN[state][verb]
    else:
        assert made.phase == phase
        assert made.progress.model_copy(update={"handled": before.handled}) == before
        assert answer.message


@pytest.mark.parametrize(
    "state", [state for state in STATES if state not in ("Rejected", "Paused by the spec")]
)
@pytest.mark.parametrize("verb", VERBS)
def test_an_action_on_what_has_moved_on_is_refused(state: str, verb: str) -> None:
    made = STATES[state]()

    answer = made.ask(verb, "0123456789abcdef")

    assert not answer.accepted
    stable = "nnnnnnnn" if state == "Succeeded" else "oooooooo"
    whose = f"stable content, which is {stable}" if verb == "Undo" else "content, which is nnnnnnnn"
    said = f"contentHash 0123456789ab is not this rollout's {whose}: the rollout has moved on, or the hash is mistyped"
    assert said in answer.message


@pytest.mark.parametrize(
    ("state", "verb", "message"),
    [
        (
            "Soaking",
            "Retry",
            "there is nothing to retry; the rollout is Soaking: possible now: Promote, Pause or Abort",
        ),
        (
            "Progressing",
            "Approve",
            "nothing waits for an approval; the rollout is Progressing: possible now: Pause, ",
        ),
        ("RolledBack", "Abort", "possible now: Retry, or new content"),
        ("Paused by the spec", "Resume", "spec.strategy.paused is true: set it to false"),
        ("Paused by the spec", "Promote", "spec.strategy.paused is true: set it to false first"),
        ("Progressing, groups not updated", "Promote", "3 groups of wave all are not updated yet"),
        ("Rejected", "Pause", "possible now: nothing until the spec is corrected"),
    ],
)
def test_a_refusal_says_what_would_be_possible(state: str, verb: str, message: str) -> None:
    made = STATES[state]()
    made.act()

    assert message in made.ask(verb).message


def test_an_approval_names_the_content_and_lets_one_wave_start() -> None:
    made = place({"waves": [TWO_WAVES[0] | {"approval": True}, TWO_WAVES[1] | {"approval": True}]})
    made.settle()
    assert "set contentHash" in made.ask("Approve").message

    assert made.approve().accepted
    made.settle()
    made.pass_time(300)

    assert (made.phase, made.progress.current_wave) == ("AwaitingApproval", 2)
    assert made.progress.approved == ["canary"]
    made.approve()
    made.settle()
    made.pass_time(300)
    assert made.phase == "Succeeded"


@pytest.mark.parametrize("edit", ["content", "waves"])
def test_an_approval_is_void_once_what_was_approved_has_changed(edit: str) -> None:
    made = awaiting()
    made.busy = "PolicyRollout other is under way"
    assert made.approve().accepted
    assert made.phase == "Waiting"

    if edit == "content":
        made.target = content("m")
    else:
        made.strategy = strategy({"waves": [{"name": "all", "percent": 5, "approval": True}]})
    made.busy = ""
    made.settle()

    assert (made.phase, made.progress.approved) == ("AwaitingApproval", [])


def test_promote_ends_one_wait_at_a_time_and_approves_nothing() -> None:
    made = place(
        {
            "waves": [TWO_WAVES[0], {"name": "second", "groups": ["b"]}, {"name": "third", "approval": True}],
            "freezes": [{"schedule": "0 6 * * *", "duration": "3h"}],
            "gates": [GATE],
        }
    )
    made.settle()
    assert made.phase == "Waiting"
    assert made.ask("Promote").accepted
    made.settle()
    assert (made.phase, made.progress.current_wave) == ("Progressing", 1)
    assert made.ask("Promote").accepted
    made.settle()
    assert (made.phase, made.progress.wave) == ("Waiting", "2/3")
    made.ask("Promote")
    made.settle()
    made.ask("Promote")
    made.settle()

    assert (made.phase, made.progress.wave) == ("AwaitingApproval", "3/3")
    assert "possible now: Approve" in made.ask("Promote").message


def test_a_promoted_wave_that_was_held_still_waits_for_its_groups() -> None:
    made = moving()
    made.ask("Pause")
    made.follow()
    assert made.ask("Promote").accepted  # who looks at a held group finds it as it is wanted: where it is
    assert made.phase == "Progressing"
    assert made.progress.stable == content("o")

    made.settle()

    assert made.phase == "Succeeded"


def test_resume_judges_the_wave_anew() -> None:
    made = soaking(gates=[GATE | {"failureLimit": 1}, JOB | {"dryRun": True}])
    made.measure("Failed", gate="errors")
    made.act()
    made.ask("Pause")
    assert made.ask("Resume").accepted

    assert made.progress.gates[0].failures == 0
    made.measure("Failed", gate="errors")
    made.settle()
    assert made.phase == "Progressing"


def test_a_pause_outlives_new_content() -> None:
    made = second()
    made.ask("Pause", reason="an incident")
    made.target = content("m")

    made.settle()

    assert (made.phase, made.progress.underway) == ("Paused", None)
    assert {group.base for group in made.groups.values()} == {"o" * 8}
    assert "an incident" in (made.progress.message or "")
    made.ask("Resume")
    made.settle()
    assert made.phase == "Progressing"


def test_an_abort_before_the_start_moves_nothing() -> None:
    made = awaiting()

    assert made.ask("Abort", reason="not today").accepted

    assert (made.phase, made.progress.epoch, made.progress.underway) == ("RolledBack", None, None)
    assert made.progress.quarantine[0].reason == "aborted by ann@example.com: not today"


def test_undo_returns_to_the_content_before_and_quarantines_the_present_one() -> None:
    made = succeeded()

    assert made.ask("Undo").accepted
    assert (made.phase, made.progress.epoch) == ("RollingBack", 2)
    made.settle()

    assert (made.phase, made.progress.stable) == ("RolledBack", content("o"))
    assert {group.base for group in made.groups.values()} == {"o" * 8}
    made.target = content("o")
    made.settle()
    assert made.phase == "Succeeded"


def test_undo_of_the_first_policy_returns_to_nothing() -> None:
    made = place(progress=RolloutProgress())
    made.settle()
    assert (made.phase, made.progress.previous) == ("Succeeded", NOTHING)

    made.ask("Undo")
    made.settle()

    assert (made.phase, made.progress.stable) == ("RolledBack", NOTHING)
    assert RolloutProgress.model_validate(made.progress.to_dict()) == made.progress


def test_undo_does_not_return_to_what_has_failed_since() -> None:
    made = succeeded()
    made.target = content("o")
    made.settle()
    made.measure("Failed")
    made.settle()
    made.target = content("n")
    made.settle()
    assert (made.phase, made.progress.previous) == ("Succeeded", content("o"))

    answer = made.ask("Undo")

    assert not answer.accepted
    assert "has failed since" in answer.message


def test_an_action_is_taken_once_and_answered_in_the_same_words_ever_after() -> None:
    made = canary()
    seen = Place.seeing(made.look(), requests=(Request("u1", "Pause", requester="ann", reason="lunch"),))

    first = step(made.progress, seen, made.now)
    resumed = step(first.progress, Place.seeing(made.look(), requests=(Request("u2", "Resume"),)), made.now)
    again = step(resumed.progress, seen, made.now + 1)

    assert first.answers == again.answers
    assert first.progress.phase == "Paused"
    assert again.progress.phase == "Progressing"
    assert again.transitions == ()


def test_a_refused_action_stays_refused_when_it_would_be_possible_later() -> None:
    made = soaking(waves=[TWO_WAVES[0], {"name": "all", "approval": True}])
    early = Request("early", "Approve", "n" * 8)
    first = step(made.progress, Place.seeing(made.look(), requests=(early,)), made.now)
    made.progress = first.progress
    made.pass_time(300)
    assert made.phase == "AwaitingApproval"

    again = step(made.progress, Place.seeing(made.look(), requests=(early,)), made.now)

    assert again.answers == first.answers
    assert not again.answers[0].accepted
    assert again.progress.phase == "AwaitingApproval"


def test_answers_that_nobody_delivers_are_never_forgotten() -> None:
    made = canary()
    requests = tuple(Request(f"u{n}", "Approve") for n in range(150))

    first = step(made.progress, Place.seeing(made.look(), requests=requests), made.now)
    stuck = step(first.progress, Place.seeing(made.look(), requests=requests), made.now)
    rest = step(first.progress, Place.seeing(made.look(), requests=requests[100:]), made.now)

    assert [answer.uid for answer in first.answers] == [f"u{n}" for n in range(100)]
    assert stuck.answers == first.answers
    assert stuck.progress == first.progress
    assert [answer.uid for answer in rest.answers] == [f"u{n}" for n in range(100, 150)]
    assert len(rest.progress.handled) == 100


def test_an_action_that_does_not_exist_is_refused() -> None:
    assert "no such action; there are Approve, Promote" in canary().ask("Explode").message
