"""`trimtab explain`: the value, who set it and what it hid; a sensitive one is never shown."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from support.cli_manifests import TEMPLATE, Answer, Call, Write, preference
from support.fake_cluster import FakeCluster
from support.manifests import group_spec
from trimtab.kube.resources import CONFIG_TEMPLATES, NAMESPACES, RENDERED_GROUPS, USER_PREFERENCES


def _keys(answer: object) -> dict[str, dict[str, object]]:
    return {told["key"]: told for told in answer.json["keys"]}  # type: ignore[attr-defined]


def test_every_key_shows_its_source_and_the_values_it_overrides(trimtab: Call, write: Write) -> None:
    path = write(TEMPLATE, preference("ann", "{agent.temperature: 1.5, plugins: [b]}"))
    keys = _keys(trimtab("explain", "app", "ann", "-f", path, "-n", "team", "-o", "json"))

    assert keys["agent.temperature"] == {
        "key": "agent.temperature",
        "type": "Number",
        "value": 1.5,
        "layer": "user",
        "object": "UserPreference team/ann",
        "shadowed": [
            {"layer": "profile/calm", "object": "ConfigTemplate team/app, profile calm", "value": 0.5},
            {"layer": "default", "object": "ConfigTemplate team/app, default", "value": 0.7},
        ],
    }
    assert keys["plugins"]["value"] == ["a", "b"]
    assert keys["plugins"]["combined"] is True
    assert keys["agent.provider"]["setBy"] == "Group"
    assert keys["agent.mood"]["deprecated"] == "use agent.temperature"
    assert keys["agent.mood"]["set"] is False


@pytest.mark.parametrize("output", ["table", "json", "yaml"])
@pytest.mark.parametrize("key", [[], ["api.token"]])
def test_a_sensitive_value_is_never_shown(trimtab: Call, write: Write, output: str, key: list[str]) -> None:
    answer = trimtab(
        "explain", "app", "ann", *key, "-f", write(TEMPLATE, preference("ann")), "-n", "team", "-o", output
    )
    assert answer.code == 0
    assert "(sensitive)" in answer.out
    assert "hunter2" not in answer.out + answer.err


def test_one_key_is_shown_in_detail(trimtab: Call, write: Write) -> None:
    path = write(TEMPLATE, preference("ann", "{session.minutes: 0}"))
    answer = trimtab("explain", "app", "ann", "session.minutes", "-f", path, "-n", "team")
    assert answer.code == 0
    assert "set by   group/free: ConfigTemplate team/app, group free" in answer.out
    assert "shadows  30 from default" in answer.out
    assert "refused: session.minutes: must be at least 1, got 0" in answer.out
    assert "in force: the group's values" in answer.out


def test_while_the_spec_is_refused_what_was_accepted_is_in_force(trimtab: Call, write: Write) -> None:
    refused = preference("ann", "{session.minutes: 0}") + (
        "status: {accepted: {generation: 4, group: free, values: {session.minutes: 9}}}\n"
    )
    answer = trimtab("explain", "app", "ann", "-f", write(TEMPLATE, refused), "-n", "team", "-o", "json")
    told = answer.json
    assert (told["inForce"], told["acceptedGeneration"]) == ("accepted", 4)
    assert told["ready"]["reason"] == "Invalid"
    assert [v["key"] for v in told["violations"]] == ["session.minutes"]
    assert _keys(answer)["session.minutes"]["value"] == 9


def test_the_oldest_claim_counts_and_the_others_are_named(trimtab: Call, write: Write) -> None:
    second = preference("ann2", "{session.minutes: 5}").replace("spec: {", "spec: {user: ann, ")
    path = write(TEMPLATE, preference("ann"), second)
    answer = trimtab("explain", "app", "ann", "-f", path, "-n", "team", "-o", "json")
    assert answer.json["preference"] == {"namespace": "team", "name": "ann"}
    assert answer.json["otherClaims"] == [{"namespace": "team", "name": "ann2"}]


def test_a_user_who_is_not_admitted_has_the_groups_values(trimtab: Call, write: Write) -> None:
    path = write(TEMPLATE, preference("ann", "{session.minutes: 5}", namespace="other"))
    answer = trimtab("explain", "app", "ann", "-f", path, "-n", "team", "-o", "json")
    assert answer.json["inForce"] == "group"
    assert _keys(answer)["session.minutes"]["value"] == 20


def test_a_group_is_explained_for_those_without_a_preference(trimtab: Call, write: Write) -> None:
    path = write(TEMPLATE)
    whole = trimtab("explain", "app", "--group", "free", "-f", path, "-n", "team", "-o", "json")
    one = trimtab("explain", "app", "plugins", "--group", "free", "-f", path, "-n", "team", "-o", "json")
    assert _keys(whole)["session.minutes"]["value"] == 20
    assert "user" not in whole.json
    assert list(_keys(one)) == ["plugins"]


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["app"], 2, "name a USER, or --group GROUP"),
        (["app", "ann", "x", "--group", "free"], 2, "cannot be combined"),
        (["ap", "ann"], 1, "there is no well-formed ConfigTemplate team/ap in the files; there is team/app"),
        (["app", "anne"], 1, "there is no preference of team/app for user anne (did you mean ann?)"),
        (["app", "ann", "plugin"], 1, "has no key plugin; did you mean plugins?"),
        (["app", "--group", "fre"], 1, "has no group fre; did you mean free?"),
        (["app", "ann", "--context", "x"], 2, "-f cannot be combined with --kubeconfig or --context"),
    ],
)
def test_a_missing_name_is_reported_with_the_nearest(
    trimtab: Call, write: Write, args: list[str], code: int, said: str
) -> None:
    answer = trimtab("explain", *args, "-f", write(TEMPLATE, preference("ann")), "-n", "team")
    assert (answer.code, answer.out) == (code, "")
    assert said in answer.err


def test_a_refused_template_reports_why(trimtab: Call, write: Write) -> None:
    path = write(TEMPLATE.replace("default: 0.7", "default: 7"), preference("ann"))
    for args in (["ann"], ["--group", "free"]):
        answer = trimtab("explain", "app", *args, "-f", path, "-n", "team")
        assert answer.code == 1
        assert "error: " in answer.err


# What a cluster's operator says counts, whatever it looks like from here.

BEFORE = {"generation": 1, "group": "free", "values": {"session.minutes": 5}}


def _said(status: str, reason: str, generation: int = 2) -> dict[str, Any]:
    said = {"type": "Ready", "status": status, "reason": reason, "message": f"it is {reason}"}
    return {"observedGeneration": generation, "conditions": [{**said, "observedGeneration": generation}]}


def _live(cluster: FakeCluster, trimtab: Call, *args: str, status: Any, **spec: Any) -> Answer:
    """Explain ann, whose spec (generation 2) sets 9 minutes, in a cluster whose operator has said that."""
    cluster.put(NAMESPACES, {"metadata": {"name": "team"}})
    cluster.put(CONFIG_TEMPLATES, yaml.safe_load(TEMPLATE))
    body = yaml.safe_load(preference("ann", "{session.minutes: 9}"))
    body["metadata"]["generation"] = 2
    body["spec"] |= spec
    cluster.put(USER_PREFERENCES, {**body, "status": status})
    return trimtab("explain", "app", "ann", "-n", "team", *args)


@pytest.mark.parametrize("reason", ["WriteFailed", "Conflict", "TargetNotAllowed", "ContentUnreadable"])
def test_while_a_write_is_refused_what_was_accepted_is_in_force_and_the_spec_waits(
    cluster: FakeCluster, trimtab: Call, reason: str
) -> None:
    status = {**_said("False", reason), "accepted": BEFORE}
    answer = _live(cluster, trimtab, "-o", "json", status=status)
    told, minutes = answer.json, _keys(answer)["session.minutes"]
    assert told["ready"] == {"status": "False", "reason": reason, "message": f"it is {reason}"}
    assert (told["inForce"], told["acceptedGeneration"], told["waits"]) == ("accepted", 1, True)
    assert (minutes["value"], minutes["waits"]) == (5, 9)

    text = _live(cluster, trimtab, status=status).out
    assert f"Ready=False ({reason}): it is {reason}" in text
    assert "in force: the accepted generation 1; generation 2 waits" in text
    assert "waits: 9" in text


def test_a_new_user_whose_write_is_refused_has_the_groups_values(cluster: FakeCluster, trimtab: Call) -> None:
    answer = _live(cluster, trimtab, "-o", "json", status=_said("False", "WriteFailed"))
    assert (answer.json["inForce"], answer.json["waits"]) == ("group", True)
    assert (_keys(answer)["session.minutes"]["value"], _keys(answer)["session.minutes"]["waits"]) == (20, 9)


@pytest.mark.parametrize(
    ("status", "reason"),
    [({}, "NotObserved"), ({**_said("True", "Accepted", 1), "accepted": BEFORE}, "Stale")],
)
def test_what_no_operator_has_observed_is_not_in_effect(
    cluster: FakeCluster, trimtab: Call, status: Any, reason: str
) -> None:
    answer = _live(cluster, trimtab, "-o", "json", status=status)
    assert (answer.json["ready"]["status"], answer.json["ready"]["reason"]) == ("Unknown", reason)
    assert _keys(answer)["session.minutes"]["value"] == (5 if status else 20)
    assert _keys(answer)["session.minutes"]["waits"] == 9


def test_what_the_operator_has_accepted_is_in_force(cluster: FakeCluster, trimtab: Call) -> None:
    answer = _live(cluster, trimtab, "-o", "json", status=_said("True", "Accepted"))
    assert (answer.json["inForce"], answer.json["waits"]) == ("spec", False)
    assert _keys(answer)["session.minutes"]["value"] == 9


def test_what_a_suspended_preference_would_change_waits(cluster: FakeCluster, trimtab: Call) -> None:
    status = {**_said("True", "Suspended"), "accepted": BEFORE}
    answer = _live(cluster, trimtab, "-o", "json", status=status, suspend=True)
    assert (_keys(answer)["session.minutes"]["value"], _keys(answer)["session.minutes"]["waits"]) == (5, 9)


def test_who_has_come_from_another_group_and_is_not_written_yet_has_the_group_s_values(
    cluster: FakeCluster, trimtab: Call
) -> None:
    status = {**_said("False", "WriteFailed"), "accepted": {**BEFORE, "group": "pro"}}
    answer = _live(cluster, trimtab, "-o", "json", status=status)
    assert (answer.json["inForce"], _keys(answer)["session.minutes"]["value"]) == ("group", 20)


def test_a_group_that_is_not_ready_reports_it_with_its_values(cluster: FakeCluster, trimtab: Call) -> None:
    cluster.put(NAMESPACES, {"metadata": {"name": "team"}})
    meta = {"name": "app-free", "namespace": "team", "generation": 1}
    spec = group_spec()
    cluster.put(RENDERED_GROUPS, {"metadata": meta, "spec": spec, "status": _said("False", "WriteFailed", 1)})
    answer = _live(cluster, trimtab, "-o", "json", status=_said("True", "Accepted"))
    failed = {"status": "False", "reason": "WriteFailed", "message": "it is WriteFailed"}
    assert (answer.json["groupReady"], answer.json["ready"]["status"]) == (failed, "True")

    for args in (["ann"], ["--group", "free"]):
        text = trimtab("explain", "app", *args, "-n", "team").out
        assert "group free: Ready=False (WriteFailed): it is WriteFailed; its files may be older" in text
