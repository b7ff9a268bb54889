"""Workloads that others change back, and those that restart only when their pods are deleted."""

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


def test_a_workload_that_others_change_back_is_told_each_time_and_once() -> None:
    place = soaking()
    for times in (1, 1, 2):
        place.groups["a"].notes = (changed_back(times),)
        place.act()
        place.act()

    told = [t.message for t in place.told if t.reason == "WorkloadChangedBack"]
    assert told == [f"{BACK} 1 times", f"{BACK} 2 times"]
    assert place.progress.workload_notes == [changed_back(2)]
    assert BACK in (place.progress.message or "")


def test_a_rollout_that_waits_for_approval_says_the_notes_and_one_that_has_succeeded_advises_undo() -> None:
    begun = soaking(
        waves=[{"name": "canary", "groups": ["a"], "soak": "5m"}, {"name": "all", "approval": True}]
    )
    begun.groups["a"].notes = (changed_back(1),)
    begun.act()
    begun.pass_time(300)
    assert begun.phase == "AwaitingApproval"
    assert f"{BACK} 1 times; to undo the configuration, Abort the rollout" in (begun.progress.message or "")

    assert begun.approve().accepted
    begun.settle()
    begun.measure("Successful")
    begun.settle()
    assert begun.phase == "Succeeded"
    assert f"{BACK} 1 times; to undo the configuration, Undo the rollout" in (begun.progress.message or "")


def test_pods_that_restart_only_when_deleted_are_told_once_and_their_number_follows() -> None:
    place = soaking()
    for updated in (0, 1, 3):
        place.groups["a"].notes = (by_hand(updated),)
        place.act()

    assert [t.message for t in place.told if t.reason == "RestartsOnDelete"] == ["0 of 3 pods run it"]
    assert "3 of 3 pods run it" in (place.progress.message or "")


@pytest.mark.parametrize("on_failure", ["Rollback", "Pause"])
def test_a_workload_that_others_keep_changing_back_pauses_and_quarantines_nothing(on_failure: str) -> None:
    place = canary(onFailure=on_failure)
    place.groups["a"].contested = f"{BACK} 5 times"
    place.act()

    assert (place.phase, place.progress.quarantine) == ("Paused", [])
    assert f"{BACK} 5 times; Resume restarts it again, Abort rolls back" in (place.progress.message or "")

    place.measure("Successful")
    place.settle()
    assert place.phase == "Paused", "a gate does not let it go on"


def test_resume_goes_on_until_the_workload_is_looked_at_anew() -> None:
    place = canary()
    place.groups["a"].contested = BACK
    place.act()
    assert place.ask("Resume").accepted
    assert place.phase == "Progressing", "what was seen was seen before"

    place.act()
    assert place.phase == "Paused"

    assert place.ask("Resume").accepted
    place.groups["a"].contested = ""
    place.settle()
    assert place.phase == "Progressing"


def test_a_deadline_that_passes_as_others_changed_workloads_pauses() -> None:
    place = canary()
    place.groups["a"].by_others = True
    place.groups["a"].health = "Progressing"
    for _ in range(11):
        place.pass_time(60)

    assert (place.phase, place.progress.quarantine) == ("Paused", [])
    assert place.progress.halt is not None
    assert place.progress.halt.reason == "ChangedBack"


def test_a_deadline_that_passes_for_another_reason_as_well_rolls_back() -> None:
    place = second()
    place.groups["b"].by_others = True
    place.groups["b"].health = place.groups["c"].health = "Progressing"
    for _ in range(11):
        place.pass_time(60)

    assert place.phase in ("RollingBack", "RolledBack")


def test_a_workload_that_fails_rolls_back_whoever_changed_it_before() -> None:
    place = canary()
    place.groups["a"].notes = (changed_back(1),)
    place.groups["a"].health = "Failed"
    place.act()

    assert place.phase in ("RollingBack", "RolledBack")


def test_notes_are_of_one_attempt() -> None:
    place = soaking()
    place.groups["a"].notes = (changed_back(1),)
    place.act()
    place.groups["a"].notes = ()
    assert place.ask("Abort").accepted
    place.settle()
    assert place.ask("Retry").accepted
    place.settle()

    assert place.progress.workload_notes == []
