"""Steps of a rollout: workloads that others change back, and those that restart only when their pods are deleted."""

from __future__ import annotations

import pytest

from support.rollout_phases import canary, second, soaking
from trimtab.api.rollout_status import WorkloadNote

BACK = "Deployment music/w: its pod template was changed back"
WORKLOAD = "Deployment music/w"


def changed_back(times: int) -> WorkloadNote:
    return WorkloadNote(workload=WORKLOAD, reason="ChangedBack", message=f"{BACK} {times} times")


def by_hand(updated: int) -> WorkloadNote:
    return WorkloadNote(workload=WORKLOAD, reason="OnDelete", message=f"{updated} of 3 pods run it")


def test_a_workload_that_others_change_back_is_reported_once_each_time() -> None:
    rollout = soaking()
    for times in (1, 1, 2):
        rollout.groups["a"].notes = (changed_back(times),)
        rollout.act()
        rollout.act()

    told = [t.message for t in rollout.told if t.reason == "WorkloadChangedBack"]
    assert told == [f"{BACK} 1 times", f"{BACK} 2 times"]
    assert rollout.progress.workload_notes == [changed_back(2)]
    assert BACK in (rollout.progress.message or "")


def test_notes_are_in_the_message_while_awaiting_approval_and_advise_undo_after_success() -> None:
    begun = soaking(
        waves=[{"name": "canary", "groups": ["a"], "soak": "5m"}, {"name": "all", "approval": True}]
    )
    begun.groups["a"].notes = (changed_back(1),)
    begun.act()
    begun.pass_time(300)
    assert begun.phase == "AwaitingApproval"
    assert f"{BACK} 1 times; to revert the configuration, Abort the rollout" in (begun.progress.message or "")

    assert begun.approve().accepted
    begun.settle()
    begun.measure("Successful")
    begun.settle()
    assert begun.phase == "Succeeded"
    assert f"{BACK} 1 times; to revert the configuration, Undo the rollout" in (begun.progress.message or "")


def test_pods_that_restart_only_when_deleted_are_reported_once_and_their_number_follows() -> None:
    rollout = soaking()
    for updated in (0, 1, 3):
        rollout.groups["a"].notes = (by_hand(updated),)
        rollout.act()

    assert [t.message for t in rollout.told if t.reason == "RestartsOnDelete"] == ["0 of 3 pods run it"]
    assert "3 of 3 pods run it" in (rollout.progress.message or "")


@pytest.mark.parametrize("on_failure", ["Rollback", "Pause"])
def test_a_workload_that_others_keep_changing_back_pauses_and_quarantines_nothing(on_failure: str) -> None:
    rollout = canary(onFailure=on_failure)
    rollout.groups["a"].contested = f"{BACK} 5 times"
    rollout.act()

    assert (rollout.phase, rollout.progress.quarantine) == ("Paused", [])
    assert f"{BACK} 5 times; Resume to restart it again, or Abort to roll back" in (
        rollout.progress.message or ""
    )

    rollout.measure("Successful")
    rollout.settle()
    assert rollout.phase == "Paused", "a gate does not let it go on"


def test_resume_continues_until_the_workload_is_observed_again() -> None:
    rollout = canary()
    rollout.groups["a"].contested = BACK
    rollout.act()
    assert rollout.ask("Resume").accepted
    assert rollout.phase == "Progressing", "what was seen was seen before"

    rollout.act()
    assert rollout.phase == "Paused"

    assert rollout.ask("Resume").accepted
    rollout.groups["a"].contested = ""
    rollout.settle()
    assert rollout.phase == "Progressing"


def test_a_deadline_that_passes_as_others_changed_workloads_pauses() -> None:
    rollout = canary()
    rollout.groups["a"].by_others = True
    rollout.groups["a"].health = "Progressing"
    for _ in range(11):
        rollout.pass_time(60)

    assert (rollout.phase, rollout.progress.quarantine) == ("Paused", [])
    assert rollout.progress.halt is not None
    assert rollout.progress.halt.reason == "ChangedBack"


def test_a_deadline_that_passes_for_another_reason_as_well_rolls_back() -> None:
    rollout = second()
    rollout.groups["b"].by_others = True
    rollout.groups["b"].health = rollout.groups["c"].health = "Progressing"
    for _ in range(11):
        rollout.pass_time(60)

    assert rollout.phase in ("RollingBack", "RolledBack")


def test_a_workload_that_fails_rolls_back_also_if_another_client_changed_it() -> None:
    rollout = canary()
    rollout.groups["a"].notes = (changed_back(1),)
    rollout.groups["a"].health = "Failed"
    rollout.act()

    assert rollout.phase in ("RollingBack", "RolledBack")


def test_notes_are_of_one_attempt() -> None:
    rollout = soaking()
    rollout.groups["a"].notes = (changed_back(1),)
    rollout.act()
    rollout.groups["a"].notes = ()
    assert rollout.ask("Abort").accepted
    rollout.settle()
    assert rollout.ask("Retry").accepted
    rollout.settle()

    assert rollout.progress.workload_notes == []
