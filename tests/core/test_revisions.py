"""What a switch changes in a RenderedGroup's status, and what a lost rollout status is recovered from."""

from __future__ import annotations

from typing import Any

from trimtab.api.rendered_group import Operation
from trimtab.api.rollout_status import RolloutProgress
from trimtab.core.objects import AnyObject, ObjectMeta
from trimtab.core.rollout.recovery import recovered, rendered_policy
from trimtab.core.rollout.revisions import GroupRevisions, RevisionSwitch, SwitchContext, cause, switched
from trimtab.core.rollout.source import POLICY, RolloutSource
from trimtab.core.rollout.user_share import UserShare, position_of

NONE = GroupRevisions({})
CONTEXT = SwitchContext("2026-03-01T00:00:00Z", {"ConfigTemplate": 2, "PolicyRollout lock": 5}, limit=10)
PLAIN, LOCKED = ("app-1", ()), ("app-1", (("lock", "lock-n"),))


def lock(epoch: int = 1, *, back: bool = False, failed: str | None = None) -> Operation:
    return Operation(kind=POLICY, name="lock", uid="uid-lock", epoch=epoch, back=back, failed=failed)


def after(*switches: RevisionSwitch, context: SwitchContext = CONTEXT) -> GroupRevisions:
    group = NONE
    for switch in switches:
        group = GroupRevisions(switched(group, switch, context))
    return group


def numbers(group: GroupRevisions) -> list[int]:
    return [entry["number"] for entry in group.listed]


def test_new_content_is_a_new_revision_and_listed_content_is_the_same_one() -> None:
    group = after(RevisionSwitch(PLAIN), RevisionSwitch(LOCKED, operation=lock()), RevisionSwitch(PLAIN))
    assert (numbers(group), group.status["currentRevision"], group.status["epoch"]) == ([2, 1], 1, 3)


def test_a_revision_records_what_led_to_it_and_a_rollback_changes_no_record() -> None:
    moved = after(RevisionSwitch(PLAIN), RevisionSwitch(LOCKED, operation=lock()))
    assert (moved.current or {})["by"] == "PolicyRollout lock"
    assert (moved.current or {})["reason"] == "PolicyRollout lock generation 5"
    back = GroupRevisions(switched(moved, RevisionSwitch(PLAIN, operation=lock(2, back=True)), CONTEXT))
    assert (back.current or {})["reason"] == "ConfigTemplate generation 2"
    gone = SwitchContext(CONTEXT.now, {"ConfigTemplate": 2}, limit=10)
    deleted = GroupRevisions(switched(moved, RevisionSwitch(PLAIN), gone))
    assert (deleted.current or {})["reason"] == "PolicyRollout lock was deleted"


def test_numbers_continue_from_the_outputs_if_the_list_was_lost() -> None:
    context = SwitchContext(CONTEXT.now, {}, limit=10, last_number=7)
    assert numbers(after(RevisionSwitch(PLAIN), context=context)) == [8]


def test_a_rollback_marks_the_content_that_it_leaves_until_the_group_moves_to_it_again() -> None:
    left = after(
        RevisionSwitch(LOCKED, operation=lock()),
        RevisionSwitch(PLAIN, operation=lock(2, back=True, failed="lock-n")),
    )
    assert (left.failed("lock"), left.failed(None)) == ({"lock-n"}, set())
    again = GroupRevisions(switched(left, RevisionSwitch(LOCKED, operation=lock(3)), CONTEXT))
    assert again.failed("lock") == set()


def test_what_the_group_was_on_is_stable_only_if_the_rollout_started_from_it() -> None:
    first = RevisionSwitch(PLAIN)
    assert after(first, RevisionSwitch(LOCKED, operation=lock(), stable=PLAIN)).status["stableRevision"] == 1
    assert "stableRevision" not in after(first, RevisionSwitch(LOCKED, operation=lock())).status


def test_a_group_is_on_a_switch_once_it_is_recorded_and_a_share_counts() -> None:
    switch = RevisionSwitch(PLAIN, UserShare(LOCKED, 20, "ann"), lock())
    group = after(switch)

    assert group.is_on(switch)
    assert not group.is_on(RevisionSwitch(PLAIN, UserShare(LOCKED, 50, "ann"), lock()))
    assert not group.is_on(RevisionSwitch(PLAIN))
    assert (group.percent, group.first_user(LOCKED, "other"), group.first_user(PLAIN, "other")) == (
        20,
        "ann",
        "",
    )
    assert group.first_user(PLAIN, "uid-lock") == "ann"


def test_a_switch_without_a_rollout_keeps_the_last_operation_so_that_its_older_epochs_stay_refused() -> None:
    group = after(RevisionSwitch(LOCKED, operation=lock(4)), RevisionSwitch(PLAIN))
    assert group.is_newer_than(lock(3))
    assert not group.is_newer_than(lock(4))
    assert not group.is_newer_than(None)


def test_a_change_is_caused_by_what_differs() -> None:
    assert cause(PLAIN, LOCKED, lock()) == "PolicyRollout lock"
    assert cause(PLAIN, ("app-2", ()), lock()) is None
    assert cause(LOCKED, PLAIN, None) == "PolicyRollout lock"


def test_a_growing_share_keeps_its_users() -> None:
    assert position_of("00000000ff") < position_of("80000000ff") < position_of("ffffffffff") < 1


def source(created: str, **status: Any) -> RolloutSource:
    meta = ObjectMeta(name="lock", namespace="music", uid="uid-lock", creationTimestamp=created)
    return RolloutSource(POLICY, AnyObject(meta), RolloutProgress.model_validate(status), {})


def test_a_lost_status_is_recovered_from_the_groups_that_the_rollout_moved() -> None:
    groups = {"free": after(RevisionSwitch(LOCKED, operation=lock(4)))}
    lost = source("2026-01-01T00:00:00Z")
    assert rendered_policy(lost, groups) == "lock-n"
    found = recovered(lost, groups, created="").progress
    assert (found.epoch, found.stable and found.stable.snapshot) == (4, "lock-n")


def test_a_recreated_policy_does_not_inherit_the_content_of_a_deleted_one() -> None:
    other = Operation(kind=POLICY, name="lock", uid="uid-deleted", epoch=4)
    groups = {"free": after(RevisionSwitch(LOCKED, operation=other))}
    assert recovered(source("2026-02-01T00:00:00Z"), groups, "2026-01-01T00:00:00Z").progress.stable is None


def test_failed_content_stays_quarantined_when_the_status_is_lost() -> None:
    left = RevisionSwitch(PLAIN, operation=lock(2, back=True, failed="lock-n"))
    groups = {"free": after(RevisionSwitch(LOCKED, operation=lock()), left)}
    found = recovered(source("2026-01-01T00:00:00Z"), groups, "")
    assert [each.hash for each in found.progress.quarantine] == ["n"]
    kept = source("2026-01-01T00:00:00Z", phase="Succeeded", epoch=9)
    assert recovered(kept, groups, "") is kept
