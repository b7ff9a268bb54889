"""The checks of the crash harness find what they are for: each law is broken once."""

from __future__ import annotations

from typing import Any

import pytest

from crash.checks import Facts, examine
from crash.journal import Change
from crash.state import differences, state

Body = dict[str, Any]
OLD, NEW, POLICY = "app-0001", "calmer-policy-0002", "0002"
LABELS = {"app.kubernetes.io/managed-by": "trimtab", "trimtab.dev/group": "free"}
WAVES = [{"name": "canary", "groups": ["pro"]}, {"name": "all", "groups": ["free"]}]


class Story:
    """Changes one after the other; what is told in ``transitions`` is told in Events too, unless told otherwise."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self.begin = 0

    def see(self, kind: str, name: str, **body: Any) -> Story:
        meta = {"name": name, "namespace": "music", "uid": f"uid-of-{name}", **body.pop("metadata", {})}
        self.changes.append(Change(len(self.changes) + 1, kind, {"metadata": meta, **body}))
        return self

    def set(self) -> Story:
        """A template is served, a policy is known."""
        self.see("ControllerRevision", OLD, data={"spec": "mark-old"})
        self.see("ConfigTemplate", "app", spec={}, status={})
        self.pointer(1)
        self.document("mark-old")
        self.begin = len(self.changes)
        return self.see("ControllerRevision", NEW, data={"policy": "mark-new"})

    def rollout(self, phase: str, wave: int = 1, underway: str | None = "Forward", **status: Any) -> Story:
        return self.see(
            "PolicyRollout",
            "calmer",
            status={
                "phase": phase,
                "underway": underway,
                "currentWave": wave,
                "waveState": "Moving",
                "waves": WAVES,
                "target": {"hash": POLICY, "snapshot": NEW},
                **status,
            },
        )

    def pointer(self, current: int, *more: Body, **status: Any) -> Story:
        new = {"number": 2, "snapshot": OLD, "policies": [{"name": "calmer", "snapshot": NEW}]}
        revisions = [*more, *([new] if current == 2 else []), {"number": 1, "snapshot": OLD}]
        status = {"currentRevision": current, "revisions": revisions, "epoch": len(self.changes), **status}
        return self.see("RenderedGroup", "app-free", spec={"group": "free"}, status=status)

    def document(self, mark: str, name: str = "app-free", entry: str = "app.json") -> Story:
        return self.see("ConfigMap", name, metadata={"labels": LABELS}, data={entry: mark})

    def event(self, name: str, reason: str) -> Story:
        about = {"kind": "PolicyRollout", "name": "calmer"}
        return self.see(
            "Event", name, reason=reason, involvedObject=about, reportingComponent="trimtab.dev/operator"
        )

    def broken(self) -> list[str]:
        return examine(self.changes, self.begin).broken


def told(*reasons: str) -> list[Body]:
    """Transitions, the newest first."""
    return [{"number": n, "reason": reason} for n, reason in reversed(list(enumerate(reasons, 1)))]


def test_a_rollout_by_the_book_breaks_nothing() -> None:
    story = Story().set().rollout("Progressing").rollout("Progressing", 2).pointer(2).document("mark-new")
    assert story.rollout("Succeeded", 2, None, stable={"hash": POLICY, "snapshot": NEW}).broken() == []


def test_a_group_that_moves_before_its_wave_is_seen() -> None:
    (found,) = Story().set().rollout("Progressing", 1).pointer(2).broken()
    assert "beyond its wave's share" in found


def test_a_document_that_changes_before_its_wave_is_seen() -> None:
    (found,) = Story().set().rollout("Progressing", 1).document("mark-new").broken()
    assert "app-free/app.json has mark-new, beyond its wave's share" in found


def test_a_document_that_changes_before_its_intent_is_written_is_seen() -> None:
    (found,) = Story().set().document("mark-new").rollout("Progressing", 2).broken()
    assert "beyond its wave's share" in found


def test_a_user_beyond_the_share_is_seen() -> None:
    shares = [{"name": "some", "groups": ["free"], "percent": 1}]
    story = Story().set().rollout("Progressing", waves=shares)
    story.pointer(1, share={"revision": 1, "percent": 1, "first": "ann"})
    assert story.document("mark-new", "app-free-users-0", "ann.prefs.json").broken() == []
    (found,) = story.document("mark-new", "app-free-users-1", "bob.prefs.json").broken()
    assert "bob.prefs.json has mark-new" in found
    (found, _) = story.document("mark-new", "app-free", "_default.prefs.json").broken()[-2:]
    assert "beyond its wave's share" in found


def test_a_user_who_loses_it_on_the_way_forward_is_seen() -> None:
    story = Story().set().rollout("Progressing", 2).pointer(2).document("mark-new")
    (found,) = story.document("mark-old").broken()
    assert "while it goes forward" in found
    assert Story().set().rollout("Progressing", 2).document("mark-new").rollout("RollingBack", 2, "Back").document(
        "mark-old"
    ).broken() == []  # fmt: skip


@pytest.mark.parametrize("late", [False, True], ids=["left", "come back"])
def test_quarantined_content_after_a_rollback_is_seen(late: bool) -> None:
    story = Story().set().rollout("Progressing", 2).pointer(2).document("mark-new")
    story.rollout("RollingBack", 2, "Back")
    if late:
        story.document("mark-old")
    story.rollout("RolledBack", 2, None, quarantine=[{"hash": POLICY}])
    if late:
        story.document("mark-new")
    assert any("which PolicyRollout calmer has rolled back" in found for found in story.broken())


def test_one_content_under_two_numbers_is_seen() -> None:
    (found,) = Story().set().pointer(1, {"number": 2, "snapshot": OLD}).broken()
    assert "one revision for one content" in found


@pytest.mark.parametrize(
    ("more", "law"),
    [
        ({"number": 3, "snapshot": "app-0003"}, "without gaps"),
        ({"number": 1, "snapshot": "app-0003"}, "numbers of their own"),
    ],
)
def test_revisions_that_are_not_counted_well_are_seen(more: Body, law: str) -> None:
    assert any(law in found for found in Story().set().pointer(1, more).broken())


def test_a_missing_revision_and_a_falling_epoch_are_found() -> None:
    assert any("is listed" in found for found in Story().set().pointer(1, stableRevision=7).broken())
    (found,) = Story().set().pointer(1, epoch=1).broken()
    assert "epoch never falls" in found
    operations = [{"operation": {"uid": "u", "epoch": epoch}} for epoch in (2, 1)]
    (found,) = Story().set().pointer(1, **operations[0]).pointer(1, **operations[1]).broken()
    assert "operation.epoch never falls" in found


def test_history_with_gaps_or_changed_afterwards_is_seen() -> None:
    gap = [{"number": 3, "reason": "WaveStarted"}, {"number": 1, "reason": "RevisionCreated"}]
    assert any(
        "without gaps" in found for found in Story().set().rollout("Pending", transitions=gap).broken()
    )
    story = Story().set().rollout("Pending", transitions=told("RevisionCreated"))
    story.rollout("Progressing", transitions=told("RolloutRejected"))
    assert any("stays what it was" in found for found in story.broken())


def test_events_that_are_missing_twice_or_written_again_are_seen() -> None:
    story = Story().set().rollout("Pending", transitions=told("RevisionCreated"))
    assert any("missing {'PolicyRollout calmer RevisionCreated': 1}" in found for found in story.broken())
    assert story.event("one", "RevisionCreated").broken() == []
    assert any("written once" in found for found in story.event("one", "RevisionCreated").broken())
    story.changes.pop()
    assert any("too many" in found for found in story.event("two", "RevisionCreated").broken())


def test_an_action_with_two_results_or_none_is_found() -> None:
    def answer(text: str) -> Body:
        return {"conditions": [{"type": "Ready", "status": "True", "message": text}]}

    story = Story().set().see("RolloutAction", "abort", status={})
    assert any("is answered" in found for found in story.broken())
    story.rollout("RollingBack", 1, "Back", handled=["uid-of-abort accepted"])
    story.see("RolloutAction", "abort", status=answer("yes"))
    assert story.broken() == []
    story.see("RolloutAction", "abort", status=answer("no"))
    assert any("an action is answered once" in found for found in story.broken())


def test_a_second_restart_for_one_change_is_seen() -> None:
    def restarted(*digests: str) -> Facts:
        story = Story()
        for digest in digests:
            annotations = {"trimtab.dev/digest": digest}
            story.see("Deployment", "web", spec={"template": {"metadata": {"annotations": annotations}}})
        return examine(story.changes, 0)

    once = restarted("a", "b")
    assert once.differences(restarted("a", "b", "b")) == []
    assert once.differences(restarted("a", "b", "a", "b")) != []


def test_the_end_is_compared_without_chance_and_with_everything_else() -> None:
    def end(number: int, minutes: int) -> Body:
        said = {
            "status": {"epoch": number, "message": f"since 2026-01-01T00:00:0{number}Z", "updated": minutes}
        }
        meta = {"name": "calmer", "uid": f"uid-{number}", "generation": 1}
        return state([("PolicyRollout", {"metadata": meta, "spec": {}, **said})], "music")

    assert differences(end(1, 5), end(2, 5)) == []
    assert differences(end(1, 5), end(2, 6)) == ["/PolicyRollout calmer/status/updated: 5 became 6"]
