"""Which content a group is on, by plain values: no engine, no API server."""

from __future__ import annotations

from typing import Any

from trimtab.api.config_template import ConfigTemplateSpec
from trimtab.api.rollout_status import RolloutProgress
from trimtab.core.objects import AnyObject, ObjectMeta
from trimtab.core.rollout import intents
from trimtab.core.rollout.assignment import (
    UNDECIDED,
    GroupChoice,
    GroupInputs,
    Parts,
    Unreadable,
    choose,
    components,
    with_content,
)
from trimtab.core.rollout.revisions import GroupRevisions
from trimtab.core.rollout.source import POLICY, TEMPLATE, Kind, RolloutSource
from trimtab.core.schema.template import compile_template

OLD, NEW = {"hash": "o", "snapshot": "lock-o"}, {"hash": "n", "snapshot": "lock-n"}
FORWARD = {"phase": "Progressing", "underway": "Forward", "epoch": 3, "currentWave": 1, "waveState": "Moving"}


def source(kind: Kind = POLICY, name: str = "lock", percent: int = 100, **status: Any) -> RolloutSource:
    wave = {"name": "all", "groups": ["free"], "percent": percent}
    progress = RolloutProgress.model_validate({"waves": [wave], "stable": OLD, "target": NEW, **status})
    item = AnyObject(ObjectMeta(name=name, namespace="music", uid=f"uid-{name}"))
    return RolloutSource(kind, item, progress, intents(progress))


def on(template: str, *policies: tuple[str, str], **status: Any) -> GroupRevisions:
    """A group whose current revision has these snapshots."""
    refs = [{"name": name, "snapshot": snapshot} for name, snapshot in policies]
    entry = {"number": 1, "snapshot": template, "policies": refs}
    return GroupRevisions({"currentRevision": 1, "revisions": [entry], **status})


def chosen(
    *sources: RolloutSource,
    accepted: str | None = "app-2",
    revisions: GroupRevisions | None = None,
    **kept: Any,
) -> GroupChoice:
    found = choose(GroupInputs("free", accepted, revisions or on("app-1"), sources, **kept))
    assert isinstance(found, GroupChoice)
    return found


def test_a_template_without_a_strategy_puts_its_groups_on_the_accepted_content() -> None:
    assert chosen().base == Parts("app-2", {})
    assert chosen().settled


def test_a_refused_template_leaves_its_groups_unchanged() -> None:
    assert chosen(accepted=None).base.template == "app-1"


def test_a_group_of_a_template_that_was_never_accepted_does_not_exist() -> None:
    assert choose(GroupInputs("free", None, GroupRevisions({}), [])) is None


def test_a_template_whose_rollout_was_not_evaluated_yet_decides_nothing() -> None:
    template = source(TEMPLATE, "app", stable=None, target=None)
    assert choose(GroupInputs("free", "app-2", on("app-1"), [template])) is UNDECIDED


def test_a_policy_in_force_applies_also_while_another_one_rolls_out() -> None:
    found = chosen(source(phase="Succeeded", stable=NEW, target=NEW), source(name="dim", **FORWARD))
    assert found.base.policies == {"lock": "lock-n", "dim": "lock-n"}
    assert not found.settled


def test_a_started_wave_moves_the_group_and_records_its_rollout() -> None:
    found = chosen(source(**FORWARD), revisions=on("app-1", ("lock", "lock-o")))
    assert found.base == Parts("app-1", {"lock": "lock-n"}), "the template waits for the policy's rollout"
    assert found.operation is not None
    assert (found.operation.name, found.operation.epoch, found.back) == ("lock", 3, False)
    assert found.stable == Parts("app-1", {"lock": "lock-o"})


def test_a_percentage_moves_a_share_that_the_rollout_chooses() -> None:
    found = chosen(source(percent=20, **FORWARD), revisions=on("app-1", ("lock", "lock-o")))
    assert found.base.policies == {"lock": "lock-o"}
    assert found.share == Parts("app-1", {"lock": "lock-n"})
    assert (found.percent, found.seed) == (20, "uid-lock")


def test_a_paused_rollout_leaves_a_group_where_it_is() -> None:
    paused = source(**{**FORWARD, "phase": "Paused"})
    assert chosen(paused, revisions=on("app-1", ("lock", "lock-x"))).base.policies == {"lock": "lock-x"}


def test_a_rollback_comes_before_another_rollout() -> None:
    back = source(name="dim", **{**FORWARD, "phase": "RollingBack", "underway": "Back", "epoch": 4})
    found = chosen(source(**FORWARD), back)
    assert found.operation is not None
    assert (found.operation.name, found.back) == ("dim", True)


def test_a_policy_whose_status_was_lost_stays_unchanged_and_nothing_is_stable() -> None:
    lost = source(stable=None, target=None)
    found = chosen(lost, source(name="dim", **FORWARD), revisions=on("app-1", ("lock", "lock-o")))
    assert found.base.policies["lock"] == "lock-o"
    assert (found.settled, found.stable) == (False, None)


def test_a_policy_stays_only_while_it_is_retained() -> None:
    revisions = on("app-1", ("gone", "gone-1"))
    assert chosen(revisions=revisions).base.policies == {}
    assert chosen(revisions=revisions, retained={"gone"}).base.policies == {"gone": "gone-1"}


def test_other_content_of_one_source_leaves_all_others_unchanged() -> None:
    policy = source(phase="Succeeded", stable=OLD)
    inputs = GroupInputs("free", "app-2", on("app-1"), [policy])
    assert with_content(inputs, policy, "lock-n") == Parts("app-2", {"lock": "lock-n"})
    assert with_content(inputs, policy, None) == Parts("app-2", {"lock": None})


def test_a_policy_that_cannot_be_read_makes_the_content_unreadable() -> None:
    key = {"name": "agent.voice", "type": "String", "default": "calm"}
    spec = {"keys": [key], "groups": [{"name": "free"}]}
    schema = compile_template("app", ConfigTemplateSpec.model_validate(spec))
    parts = Parts("app-1", {"lock": "lock-n", "none": None})
    assert components("free", parts, schema, {"lock-n": None}) == Unreadable("lock-n", "lock")
    assert components("gold", parts, schema, {"lock-n": None}) is None
    assert components("free", Parts("app-1", {}), schema, {}) == ("app-1", ())
