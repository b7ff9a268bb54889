"""Objects that are too large: refused with their size and the limit, without effect on others."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from support.in_memory import Cluster, Operator, settled, spec
from trimtab.api.config_template import ConfigTemplateSpec
from trimtab.core import steps, violations
from trimtab.core.evaluate import policy as policy_module
from trimtab.core.evaluate import template as template_module
from trimtab.core.evaluate.preference_status import STORED_BYTES
from trimtab.core.render import sizes
from trimtab.core.render.render import Rendered, render_group
from trimtab.core.resolve.preference import VALUES_BYTES, Preference
from trimtab.core.resolve.resolve import GroupView
from trimtab.core.rollout import preview as preview_module
from trimtab.core.rollout import revisions
from trimtab.core.schema.template import compile_template
from trimtab.core.steps import finished
from trimtab.core.violations import RejectedError
from trimtab.engine.scheduling.time_slices import TimeSlice
from trimtab.kube.resources import CONFIG_TEMPLATES, POLICY_ROLLOUTS, USER_PREFERENCES


def stored(cluster: Cluster, name: str) -> int:
    """The bytes of a preference's values, and of what its status keeps of them."""
    body = cluster.find(USER_PREFERENCES, name) or {}
    status: dict[str, Any] = body.get("status") or {}
    kept = [body["spec"]["values"], status.get("accepted", {}), status.get("history", [])]
    return sum(len(msgspec.json.encode(part)) for part in kept)


async def test_values_that_are_too_large_are_refused_with_their_size_and_the_limit(cluster: Cluster) -> None:
    cluster.template()
    cluster.preference("ann", {"agent.voice": "x" * VALUES_BYTES})

    await settled(cluster)

    assert cluster.ready(USER_PREFERENCES, "ann") == ("False", "Invalid")
    [violation] = cluster.find_status("ann")["violations"]
    assert violation["rule"] == "tooLarge"
    size = VALUES_BYTES + len('{"agent.voice":""}')
    assert f"{size:,}" in violation["message"]
    assert f"{VALUES_BYTES:,}" in violation["message"]


async def test_what_was_accepted_last_stays_in_force_and_others_are_rendered(cluster: Cluster) -> None:
    cluster.template()
    cluster.preference("ann", {"session.minutes": 5})
    async with Operator(cluster) as operator:
        await operator.quiet()
        cluster.preference("ann", {"session.minutes": 6, "agent.voice": "x" * VALUES_BYTES})
        cluster.preference("ben", {"session.minutes": 7})
        await operator.quiet()

    assert '"minutes":5' in str(cluster.file("ann"))
    assert '"minutes":7' in str(cluster.file("ben"))
    assert cluster.find_status("ann")["accepted"]["values"] == {"session.minutes": 5}


async def test_values_that_are_too_large_are_not_kept_in_memory(cluster: Cluster) -> None:
    cluster.template()
    cluster.preference("ann", {"agent.voice": "x" * VALUES_BYTES})
    async with Operator(cluster) as operator:
        await operator.quiet()
        [record] = operator.engine.cluster.preferences

    assert len(record.values) < 100


async def test_history_makes_room_so_that_values_and_status_fit_into_one_object(cluster: Cluster) -> None:
    cluster.template(spec(users={"historyLimit": 20}))
    async with Operator(cluster) as operator:
        for size in (50_000, 40_000, VALUES_BYTES - 100, VALUES_BYTES - 200, 10):
            cluster.preference("ann", {"agent.voice": "x" * size})
            await operator.quiet()
            assert stored(cluster, "ann") <= STORED_BYTES + 1000
            assert cluster.ready(USER_PREFERENCES, "ann") == ("True", "Accepted")


MIB = 1024 * 1024


def many_files(groups: int) -> dict[str, Any]:
    """A small template of which each group comes to about 800 KiB."""
    keys = [
        {"name": f"section{n // 50}.key{n:04}", "type": "String", "default": "v" * 20} for n in range(1000)
    ]
    return {
        "keys": keys,
        "groups": [{"name": f"g{n}"} for n in range(groups)],
        "outputs": [{"name": f"o{n}", "format": "JSON", "fileName": f"o{n}.json"} for n in range(20)],
    }


async def test_a_template_that_would_render_too_much_is_rejected_with_the_size_and_the_flag(
    cluster: Cluster,
) -> None:
    cluster.template(many_files(100))

    await settled(cluster)

    assert cluster.ready(CONFIG_TEMPLATES, "app") == ("False", "Rejected")
    [violation] = cluster.find(CONFIG_TEMPLATES, "app")["status"]["violations"]  # type: ignore[index]
    assert violation["rule"] == "tooLarge"
    for words in ("--max-template-output", f"{4 * MIB:,}", "of 100 groups", "o0 ("):
        assert words in violation["message"]
    assert not list(cluster.outputs())


def test_no_more_groups_are_rendered_than_show_that_it_is_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    schema = compile_template("app", ConfigTemplateSpec.model_validate(many_files(500)))
    rendered = 0

    def counted(view: GroupView) -> Rendered:
        nonlocal rendered
        rendered += 1
        return render_group(view)

    monkeypatch.setattr(template_module, "render_group", counted)

    with pytest.raises(RejectedError):
        finished(template_module.validating_groups(schema))

    assert rendered <= 10


async def test_what_is_rendered_stays_when_an_edit_would_be_too_much(cluster: Cluster) -> None:
    cluster.template(many_files(2))
    async with Operator(cluster) as operator:
        await operator.quiet()
        before = cluster.documents()
        cluster.template(many_files(20))
        await operator.quiet()

    assert cluster.documents() == before
    assert cluster.ready(CONFIG_TEMPLATES, "app") == ("False", "Rejected")


async def test_a_policy_that_would_render_too_much_is_rejected(cluster: Cluster) -> None:
    groups = [{"name": f"g{n}"} for n in range(20)]
    cluster.template(spec(groups=groups))
    cluster.policy("loud", {"values": {"agent.voice": "x" * 400_000}})

    await settled(cluster)

    assert cluster.ready(POLICY_ROLLOUTS, "loud") == ("False", "Rejected")
    assert "--max-template-output" in cluster.message(POLICY_ROLLOUTS, "loud")


@pytest.mark.parametrize(
    ("text", "size"), [("8Mi", 8 * MIB), ("900Ki", 900 * 1024), ("5M", 5_000_000), ("4194304", 4 * MIB)]
)
def test_sizes_are_written_as_in_kubernetes(text: str, size: int) -> None:
    assert sizes.parse(text) == size


@pytest.mark.parametrize("text", ["", "0", "-1", "8MB", "1.5Mi", "much", "8 Mi"])
def test_an_invalid_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="8Mi"):
        sizes.parse(text)


def merging(kind: str, default: Any, own: Any, groups: int) -> ConfigTemplateSpec:
    merge = "Append" if kind == "StringList" else "Merge"
    return ConfigTemplateSpec.model_validate(
        {
            "keys": [{"name": "big", "type": kind, "merge": merge, "default": default}],
            "groups": [{"name": f"g{n}", "values": {"big": own}} for n in range(groups)],
        }
    )


@pytest.mark.parametrize(
    ("kind", "default", "own"),
    [
        ("StringMap", {f"{n}": "" for n in range(20_000)}, {"a": "b"}),
        ("NumberMap", {f"{n}": 1 for n in range(20_000)}, {"a": 1}),
        ("StringList", [""] * 20_000, ["a"]),
    ],
)
def test_values_merged_for_each_group_count_although_no_output_has_them(
    kind: str, default: Any, own: Any
) -> None:
    few, many = merging(kind, default, own, 20), merging(kind, default, own, 40)

    finished(template_module.validating_groups(compile_template("t", few)))
    with pytest.raises(RejectedError) as refused:
        finished(template_module.validating_groups(compile_template("t", many)))
    [found] = refused.value.violations
    assert found.rule == "tooLarge"


def test_the_search_for_violations_ends_where_there_are_enough() -> None:
    keys = [{"name": f"k{n}", "type": "String", "required": True, "setBy": "Group"} for n in range(500)]
    groups = [{"name": f"g{n}", "values": {"other": 1}} for n in range(500)]
    with pytest.raises(RejectedError) as refused:
        compile_template("t", ConfigTemplateSpec.model_validate({"keys": keys, "groups": groups}))
    assert violations.ENOUGH < len(refused.value.violations) <= 2 * violations.ENOUGH


async def test_a_group_has_no_more_policies_than_its_status_can_name(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policy_module, "POLICIES_OF_A_GROUP", 2)
    cluster.template()
    for name in ("a", "b"):
        cluster.policy(name, {"values": {"session.minutes": 5}})
    await settled(cluster)
    cluster.policy("c", {"values": {"session.minutes": 6}})
    await settled(cluster)

    assert cluster.ready(POLICY_ROLLOUTS, "c") == ("False", "Rejected")
    cluster.policy("a", {"values": {"session.minutes": 7}})
    await settled(cluster)
    assert cluster.ready(POLICY_ROLLOUTS, "a") == ("True", "Succeeded")


def revision(number: int, policies: int) -> dict[str, Any]:
    refs = [{"name": f"{n:0253}", "snapshot": f"{n:0230}"} for n in range(policies)]
    return {"number": number, "snapshot": "s", "policies": refs}


def test_revisions_fit_into_one_object_and_those_that_are_needed_stay() -> None:
    listed = [revision(number, 200) for number in range(100)]

    kept = revisions.bounded(listed, 100, {0, 99})

    assert [entry["number"] for entry in kept] == [99, 98, 97, 96, 95, 0]
    assert len(msgspec.json.encode(kept)) <= revisions.REVISIONS_BYTES + len(msgspec.json.encode(listed[0]))


def test_small_revisions_are_kept_by_number() -> None:
    listed = [revision(number, 2) for number in range(100)]
    assert len(revisions.bounded(listed, 50, {0})) == 51


async def test_a_preview_sorts_no_more_members_at_a_time_than_it_may(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    order, looks, longest, over = preview_module._order, 0, 0, TimeSlice.over

    def counted(preference: Preference) -> Any:
        nonlocal looks
        looks += 1
        return order(preference)

    async def slice_over(turn: TimeSlice) -> None:
        nonlocal looks, longest
        longest, looks = max(longest, looks), 0
        await over(turn)

    monkeypatch.setattr(preview_module, "_order", counted)
    monkeypatch.setattr(steps, "SOME", 10)
    monkeypatch.setattr(TimeSlice, "over", slice_over)
    cluster.template(spec())
    for number in range(95):
        cluster.preference(f"user-{number:02}")
    policy = {"enforced": [{"key": "agent.voice", "value": "bright"}]}
    cluster.policy("p", policy, strategy={"waves": [{"name": "all"}]})
    await settled(cluster)
    found = (cluster.find(POLICY_ROLLOUTS, "p") or {})["status"]["preview"]
    samples = [sample["user"] for sample in found["samples"] if sample.get("user")]
    assert (found["users"], samples) == (95, ["user-00", "user-01", "user-02"])
    assert 0 < longest <= 12
