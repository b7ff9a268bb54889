"""`trimtab rollout`: its progress, human-readable and as JSON; its actions and their results."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from rich.console import Console

from support.cli_manifests import Answer, Call
from support.fake_cluster import (
    PREVIEW,
    STABLE,
    TARGET,
    WAVES,
    WHO,
    FakeCluster,
    nobody,
    policy_rollout,
    refused,
    template,
)
from support.manifests import group_spec
from trimtab.cli.cluster.connection import Cluster
from trimtab.cli.cluster.follow import Scene, follow
from trimtab.cli.cluster.progress import Outcome, Progress, span
from trimtab.cli.cluster.rollouts import Kind, Rollout
from trimtab.cli.output import drawn
from trimtab.cli.view.watch import changes, picture
from trimtab.core import times
from trimtab.kube import errors
from trimtab.kube.resources import CONFIG_TEMPLATES, POLICY_ROLLOUTS, RENDERED_GROUPS, ROLLOUT_ACTIONS

Body = dict[str, Any]
NOW = times.seconds("2026-11-21T12:10:00Z")
UNDERWAY: Body = {
    "wave": "1/2",
    "updated": "0/2",
    "attempt": 2,
    "epoch": 5,
    "underway": "Forward",
    "target": TARGET,
    "stable": STABLE,
    "waves": WAVES,
    "currentWave": 1,
    "waveState": "Soaking",
    "soakStartedAt": "2026-11-21T12:05:30.000Z",
}


def _progress(body: Body, kind: Kind = Kind.POLICY_ROLLOUT) -> Progress:
    return Progress.of(Rollout(body, kind))


def _states(phase: str, **status: Any) -> list[str]:
    return [wave["state"] for wave in _progress(policy_rollout(phase, **UNDERWAY | status)).waves(NOW)]


# How far it is.


@pytest.mark.parametrize(
    ("phase", "code"),
    [
        ("Succeeded", 0),
        ("Rejected", 1),
        ("RolledBack", 1),
        ("RollbackFailed", 1),
        ("Pending", 3),
        ("Waiting", 3),
        ("Progressing", 3),
        ("Soaking", 3),
        ("RollingBack", 3),
        ("AwaitingApproval", 4),
        ("Paused", 4),
    ],
)
def test_the_exit_code_of_status_is_for_scripts(
    cluster: FakeCluster, trimtab: Call, phase: str, code: int
) -> None:
    cluster.put(POLICY_ROLLOUTS, policy_rollout(phase))
    answer = trimtab("rollout", "status", "calmer")
    assert answer.code == code
    assert f"PolicyRollout music/calmer: {phase}\n  it is {phase}" in answer.out


def test_the_end_of_an_older_generation_is_no_end(cluster: FakeCluster, trimtab: Call) -> None:
    cluster.put(POLICY_ROLLOUTS, policy_rollout("Succeeded", generation=3, seen=2))
    answer = trimtab("rollout", "status", "calmer")
    assert answer.code == 3
    assert "status of generation 2: the operator has not observed generation 3" in answer.out


def test_what_no_operator_has_observed_is_in_progress(cluster: FakeCluster, trimtab: Call) -> None:
    cluster.put(POLICY_ROLLOUTS, policy_rollout())
    answer = trimtab("rollout", "status", "calmer")
    assert (answer.code, "is `trimtab run` running?" in answer.out) == (3, True)


def test_a_template_has_not_succeeded_before_its_new_content_was_observed() -> None:
    def at(snapshot: str) -> Outcome:
        status = {
            "phase": "Succeeded",
            "stable": {"hash": "a1", "snapshot": "app-a1"},
            "observedGeneration": 1,
        }
        body = template(status=status | {"snapshot": snapshot})
        return _progress({**body, "spec": {"strategy": {}}}, Kind.CONFIG_TEMPLATE).outcome

    assert (at("app-a1"), at("app-b2")) == (Outcome.SUCCEEDED, Outcome.PROGRESSING)


@pytest.mark.parametrize(("ready", "code"), [("True", 0), ("False", 1), ("Unknown", 3)])
def test_a_template_without_a_strategy_counts_by_its_verdict(
    cluster: FakeCluster, trimtab: Call, ready: str, code: int
) -> None:
    conditions = [{"type": "Ready", "status": ready, "reason": "X", "message": "as it is"}]
    cluster.put(CONFIG_TEMPLATES, template(status={"observedGeneration": 1, "conditions": conditions}))
    answer = trimtab("rollout", "status", "ctmpl/app")
    assert answer.code == code
    assert "no strategy, so changes take effect in all groups immediately: as it is" in answer.out


@pytest.mark.parametrize(
    ("phase", "status", "states"),
    [
        ("Succeeded", {"currentWave": 2}, ["done", "done"]),
        ("Soaking", {}, ["soaking, 4m30s of 10m", "pending"]),
        ("Progressing", {"waveState": "Moving"}, ["updating", "pending"]),
        ("AwaitingApproval", {"currentWave": 2, "waveState": "Held"}, ["done", "held"]),
        ("Waiting", {"currentWave": 0, "waveState": "Held"}, ["held", "pending"]),
        ("RollingBack", {"underway": "Back"}, ["rolling back", "not started"]),
        ("RolledBack", {"currentWave": 2, "waveState": "Moving"}, ["rolled back", "rolled back"]),
        ("RolledBack", {"currentWave": 2, "waveState": "Held"}, ["rolled back", "not started"]),
    ],
)
def test_each_wave_shows_its_progress(phase: str, status: Body, states: list[str]) -> None:
    assert _states(phase, **status) == states


def test_people_see_what_holds_it_and_what_failed(cluster: FakeCluster, trimtab: Call) -> None:
    gates = [{"name": "errors", "result": "NoData", "errors": 2, "message": "nothing measured"}]
    halt = {
        "reason": "NoData",
        "message": "gate errors measures nothing",
        "by": "errors",
        "since": "2026-11-21T12:00:00Z",
    }
    failure = {"reason": "GateFailed", "message": "0.2 is not < 0.01", "at": "2026-11-20T12:00:00Z"}
    happened = [
        {
            "number": 7,
            "at": "2026-11-21T12:00:00Z",
            "reason": "RolloutPaused",
            "message": "no data",
            "by": "errors",
        }
    ]
    status = {
        "gates": gates,
        "halt": halt,
        "failure": failure,
        "quarantine": [{"hash": "bad0", "reason": "errors"}],
    }
    body = policy_rollout("Paused", **UNDERWAY, **status, transitions=happened, previous=STABLE)
    body["spec"]["strategy"] = {
        "freezes": [{"schedule": "0 18 * * 5", "duration": "62h", "reason": "weekend"}]
    }
    cluster.put(POLICY_ROLLOUTS, body)
    out = trimtab("rollout", "status", "calmer").out

    for said in (
        "wave 1/2, 0/2 groups updated, attempt 2",
        "target    3f9a51c2d07be684 (generation 2, calmer-policy-3f9a51c2d07be684)",
        "canary  1       10       10m   -         soaking",
        "all     2       100      30m   needed    pending",
        "errors  NoData  no      0         2       nothing measured",
        "0 18 * * 5  UTC   62h",
        "halted since 2026-11-21T12:00:00Z by errors (NoData): gate errors measures nothing",
        "failed at 2026-11-20T12:00:00Z (GateFailed): 0.2 is not < 0.01",
        "quarantined: bad0, since an unknown time: errors",
        "RolloutPaused  errors  no data",
    ):
        assert said in out


def test_json_output_is_complete(cluster: FakeCluster, trimtab: Call) -> None:
    cluster.put(POLICY_ROLLOUTS, policy_rollout("Soaking", **UNDERWAY))
    answer = trimtab("rollout", "status", "prollout/calmer", "-o", "json")
    told = answer.json

    assert answer.code == 3
    assert (told["kind"], told["phase"], told["final"], told["current"]) == (
        "PolicyRollout",
        "Soaking",
        False,
        True,
    )
    assert told["target"] == TARGET
    assert [wave["name"] for wave in told["waves"]] == ["canary", "all"]
    assert trimtab("rollout", "status", "calmer", "-o", "yaml").out.startswith("kind: PolicyRollout\n")


def test_an_active_freeze_shows_its_end() -> None:
    body = policy_rollout("Waiting")
    body["spec"]["strategy"] = {
        "freezes": [{"schedule": "0 18 * * 5", "duration": "62h"}, {"schedule": "no"}]
    }
    holding, broken = _progress(body).freezes(NOW)  # a Saturday
    assert (holding["holdsUntil"], broken) == ("2026-11-23T08:00:00.000Z", {"schedule": "no"})


def test_a_status_that_was_edited_manually_is_reported(cluster: FakeCluster, trimtab: Call) -> None:
    cluster.put(POLICY_ROLLOUTS, policy_rollout("Fine"))
    answer = trimtab("rollout", "status", "calmer")
    assert answer.code == 1
    assert "status.phase is not as Trimtab writes it" in answer.err


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (59.9, "59s"), (3661, "1h1m1s"), (7200, "2h"), (-5, "0s")]
)
def test_a_length_of_time_is_short(seconds: float, text: str) -> None:
    assert span(seconds) == text


# Which one it is.


@pytest.mark.parametrize(
    "name",
    [
        "calmer",
        "policyrollout/calmer",
        "prollout/calmer",
        "policyrollouts.trimtab.dev/calmer",
        "PolicyRollout/calmer",
    ],
)
def test_a_rollout_has_several_names(cluster: FakeCluster, trimtab: Call, name: str) -> None:
    cluster.put(POLICY_ROLLOUTS, policy_rollout("Succeeded"))
    assert trimtab("rollout", "status", name).code == 0


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (
            ["both"],
            2,
            "PolicyRollout and ConfigTemplate both exist in namespace music; set --kind",
        ),
        (["both", "--kind", "ConfigTemplate"], 3, ""),
        (["ctmpl/both"], 3, ""),
        (
            ["ctmpl/both", "--kind", "PolicyRollout"],
            2,
            "is a ConfigTemplate, so it cannot be combined with --kind PolicyRollout",
        ),
        (
            ["deployment/both"],
            2,
            "deployment does not roll out; name policyrollout/both or configtemplate/both",
        ),
        (
            ["calmr"],
            1,
            "there is no PolicyRollout or ConfigTemplate calmr in namespace music; there is calmer",
        ),
        (["ctmpl/calmer"], 1, "there is no ConfigTemplate calmer in namespace music; there is both"),
        (["no such"], 2, "no such is not a valid name"),
        (["calmer", "-n", "other"], 1, "in namespace other; use -n for another namespace"),
        (["calmer", "-o", "xml"], 2, "is not a valid format"),
    ],
)
def test_an_ambiguous_or_missing_name_is_reported(
    cluster: FakeCluster, trimtab: Call, args: list[str], code: int, said: str
) -> None:
    both = policy_rollout("Succeeded")
    cluster.put(POLICY_ROLLOUTS, policy_rollout("Succeeded"))
    cluster.put(POLICY_ROLLOUTS, {**both, "metadata": {**both["metadata"], "name": "both"}})
    cluster.put(CONFIG_TEMPLATES, template("both"))
    answer = trimtab("rollout", "status", *args)
    assert answer.code == code
    assert said in answer.err


def test_who_may_not_read_one_kind_finds_the_other(cluster: FakeCluster, trimtab: Call) -> None:
    cluster.put(POLICY_ROLLOUTS, policy_rollout("Succeeded"))
    cluster.forbidden = {"configtemplates"}
    assert trimtab("rollout", "status", "calmer").code == 0
    answer = trimtab("rollout", "status", "gone")
    assert (answer.code, "request that permission" in answer.err) == (1, True)


# What it would change.


def test_the_preview_ends_with_the_command_that_approves_it(cluster: FakeCluster, trimtab: Call) -> None:
    cluster.put(POLICY_ROLLOUTS, policy_rollout("AwaitingApproval", target=TARGET, preview=PREVIEW))
    answer = trimtab("rollout", "preview", "calmer")
    assert answer.code == 0
    assert "changes the documents of 1 of 2 groups, 12 of 40 users" in answer.out
    assert "clamps, drops or locks values of 3 users" in answer.out
    assert "free   ann   session.minutes  30           25           -   Clamped" in answer.out
    assert "free   -     api.token        (sensitive)  (sensitive)  -   Changed" in answer.out

    command = "trimtab rollout approve policyrollout/calmer -n music --content-hash 3f9a51c2d07be684"
    assert answer.out.splitlines()[-1] == f"approve it by: {command}"

    told = trimtab("rollout", "preview", "calmer", "-o", "json").json
    assert (told["contentHash"], told["current"], told["approve"]) == (TARGET["hash"], True, command)


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        (policy_rollout("Pending"), 3, "there is no preview yet: it is Pending"),
        (policy_rollout("Rejected"), 1, "the spec is not valid, so there is no preview: it is Rejected"),
        (policy_rollout("Pending", preview=PREVIEW, target=STABLE), 3, "it is of older content"),
        (policy_rollout("Pending", preview=PREVIEW, seen=1), 3, "it is of older content"),
    ],
)
def test_a_missing_preview_is_not_a_success(
    cluster: FakeCluster, trimtab: Call, body: Body, code: int, said: str
) -> None:
    cluster.put(POLICY_ROLLOUTS, body)
    answer = trimtab("rollout", "preview", "calmer")
    assert answer.code == code
    assert said in answer.out


# What somebody does to it.


def test_an_approval_has_its_requester_and_the_previewed_content(cluster: FakeCluster, trimtab: Call) -> None:
    cluster.put(POLICY_ROLLOUTS, policy_rollout("AwaitingApproval", target=TARGET, preview=PREVIEW))
    answer = trimtab("rollout", "approve", "calmer", "--reason", "looks right")
    (action,) = cluster.actions

    assert action["spec"] == {
        "rolloutRef": {"kind": "PolicyRollout", "name": "calmer"},
        "action": "Approve",
        "requester": WHO,
        "contentHash": TARGET["hash"],
        "reason": "looks right",
    }
    assert action["metadata"]["name"].startswith("approve-")
    assert action["metadata"]["generateName"] == "approve-"
    assert answer.code == 0
    assert "clamps, drops or locks values of 3 users" in answer.out
    assert f"music/calmer: approved (RolloutAction {action['metadata']['name']}): Approve it is" in answer.out
    assert answer.out.splitlines()[-1] == "watch it by: trimtab rollout watch policyrollout/calmer -n music"


@pytest.mark.parametrize("verb", ["promote", "pause", "resume", "abort", "retry", "undo"])
def test_every_verb_is_one_action(cluster: FakeCluster, trimtab: Call, verb: str) -> None:
    cluster.put(POLICY_ROLLOUTS, policy_rollout("Soaking", **UNDERWAY))
    answer = trimtab("rollout", verb, "calmer", "-o", "json")
    (action,) = cluster.actions
    assert answer.code == 0
    assert (action["spec"]["action"], answer.json["accepted"]) == (verb.title(), True)
    bound = dict.fromkeys(("promote", "abort", "retry"), TARGET["hash"]) | {"undo": STABLE["hash"]}
    assert action["spec"].get("contentHash") == bound.get(verb)
    assert answer.json["rolloutAction"] == {"namespace": "music", "name": action["metadata"]["name"]}


@pytest.mark.parametrize("verb", ["abort", "retry", "undo"])
def test_an_abort_names_the_observed_attempt_even_if_a_newer_spec_waits(
    cluster: FakeCluster, trimtab: Call, verb: str
) -> None:
    cluster.put(POLICY_ROLLOUTS, policy_rollout("Soaking", generation=3, seen=2, **UNDERWAY))
    assert trimtab("rollout", verb, "calmer").code == 0
    content = STABLE if verb == "undo" else TARGET
    assert cluster.actions[0]["spec"]["contentHash"] == content["hash"]


@pytest.mark.parametrize("stable", [None, {"hash": ""}])
def test_what_has_no_content_yet_binds_to_none(
    cluster: FakeCluster, trimtab: Call, stable: Body | None
) -> None:
    more = {"stable": stable} if stable else {}
    cluster.put(POLICY_ROLLOUTS, policy_rollout("Pending", **more))
    assert trimtab("rollout", "undo", "calmer").code == 0
    assert "contentHash" not in cluster.actions[0]["spec"]


def test_a_hash_that_was_given_is_what_counts(cluster: FakeCluster, trimtab: Call) -> None:
    cluster.put(POLICY_ROLLOUTS, policy_rollout("AwaitingApproval", target=TARGET, preview=PREVIEW))
    cluster.answer = refused
    answer = trimtab("rollout", "approve", "calmer", "--content-hash", "0123", "--yes")

    assert cluster.actions[0]["spec"]["contentHash"] == "0123"
    assert answer.code == 1
    assert "there is no preview of 0123" in answer.out
    assert (
        "error: PolicyRollout music/calmer: approve was refused (Refused): the content has changed"
        in answer.err
    )


def test_a_refusal_is_in_json_output_too(cluster: FakeCluster, trimtab: Call) -> None:
    cluster.put(POLICY_ROLLOUTS, policy_rollout("Succeeded"))
    cluster.answer = refused
    answer = trimtab("rollout", "pause", "calmer", "-o", "json")
    assert (answer.code, answer.json["accepted"], answer.json["reason"]) == (1, False, "Refused")


def test_without_a_result_the_command_to_check_is_shown(cluster: FakeCluster, trimtab: Call) -> None:
    cluster.put(POLICY_ROLLOUTS, policy_rollout("Soaking", **UNDERWAY))
    cluster.answer = nobody
    answer = trimtab("rollout", "pause", "calmer", "--timeout", "50ms")
    name = cluster.actions[0]["metadata"]["name"]
    assert answer.code == 3
    assert f"RolloutAction music/{name}: not processed within 0.05s; is `trimtab run` running?" in answer.err
    assert f"kubectl get rolloutaction {name} -n music -o yaml" in answer.err


def test_wait_is_optional(cluster: FakeCluster, trimtab: Call) -> None:
    cluster.put(POLICY_ROLLOUTS, policy_rollout("Soaking", **UNDERWAY))
    cluster.answer = nobody
    answer = trimtab("rollout", "abort", "calmer", "--no-wait")
    assert (answer.code, answer.out) == (
        0,
        f"PolicyRollout music/calmer: requested (RolloutAction {cluster.actions[0]['metadata']['name']})\n",
    )


def test_a_deleted_action_is_reported(cluster: FakeCluster, trimtab: Call) -> None:
    cluster.put(POLICY_ROLLOUTS, policy_rollout("Soaking", **UNDERWAY))

    def delete(action: Body) -> Body | None:
        cluster.remove(ROLLOUT_ACTIONS, "music", action["metadata"]["name"])
        return None

    cluster.answer = delete
    answer = trimtab("rollout", "pause", "calmer")
    assert (answer.code, "was deleted before the operator processed it" in answer.err) == (1, True)


@pytest.mark.parametrize(
    ("refusal", "said"),
    [
        (
            'rolloutactions.trimtab.dev is forbidden: User "ann" cannot create resource "rolloutactions"',
            "you need the verb create on rolloutactions.trimtab.dev and the verb abort on policyrollouts.trimtab.dev "
            "calmer, both in namespace music",
        ),
        (
            "rolloutactions.trimtab.dev \"a\" is forbidden: ValidatingAdmissionPolicy 'trimtab-rollout-actions' with "
            "binding 'trimtab-rollout-actions' denied request: \"ann\" may not abort; a Role lets them",
            'error: PolicyRollout music/calmer: "ann" may not abort; a Role lets them\n',
        ),
    ],
)
def test_a_refusal_of_the_api_server_is_reported_with_the_remedy(
    cluster: FakeCluster, trimtab: Call, refusal: str, said: str
) -> None:
    cluster.put(POLICY_ROLLOUTS, policy_rollout("Soaking", **UNDERWAY))
    cluster.refusal = errors.ForbiddenError(403, "Forbidden", refusal)
    answer = trimtab("rollout", "abort", "calmer")
    assert (answer.code, cluster.actions) == (1, [])
    assert said in answer.err


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            policy_rollout("Succeeded", generation=3, seen=2, target=TARGET, preview=PREVIEW),
            "the operator has not observed generation 3; wait for it",
        ),
        (policy_rollout("Pending"), "there is no content to approve"),
        (
            policy_rollout("Pending", target=STABLE, preview=PREVIEW),
            "wait for its preview, or name the content by --content-hash",
        ),
    ],
)
def test_content_that_was_not_previewed_is_not_approved(
    cluster: FakeCluster, trimtab: Call, body: Body, said: str
) -> None:
    cluster.put(POLICY_ROLLOUTS, body)
    answer = trimtab("rollout", "approve", "calmer", "--yes")
    assert (answer.code, cluster.actions) == (1, [])
    assert said in answer.err


def test_a_template_without_a_strategy_is_not_acted_on(cluster: FakeCluster, trimtab: Call) -> None:
    cluster.put(CONFIG_TEMPLATES, template())
    answer = trimtab("rollout", "pause", "app")
    assert (answer.code, cluster.actions) == (1, [])
    assert "set strategy: {} to act on the next change" in answer.err


# Watching it.


def _watched(trimtab: Call, *args: str) -> Answer:
    return trimtab("rollout", "watch", "calmer", *args)


def test_watch_shows_transitions_until_the_phase_is_final(cluster: FakeCluster, trimtab: Call) -> None:
    def then(phase: str, **status: Any) -> None:
        cluster.put(POLICY_ROLLOUTS, policy_rollout(phase, **UNDERWAY | status))

    first: Body = {"number": 1, "at": "2026-11-21T12:00:00Z", "reason": "WaveStarted", "message": "canary"}
    bad: Body = {"name": "errors", "result": "Failed", "failures": 2, "message": "0.2"}
    then("Progressing", waveState="Moving")
    cluster.scenes = [
        lambda: then("Soaking", transitions=[first]),
        lambda: then("RollingBack", transitions=[first], gates=[bad], underway="Back"),
        lambda: then("RolledBack", transitions=[first], gates=[bad], underway=None),
    ]
    answer = _watched(trimtab)
    said = [line.partition("Z ")[2] for line in answer.out.splitlines()]
    assert answer.code == 1
    assert said == [
        "PolicyRollout music/calmer: Progressing (wave 1/2, 0/2 groups): it is Progressing",
        "WaveStarted: canary",
        "Soaking (wave 1/2, 0/2 groups): it is Soaking",
        "RollingBack (wave 1/2, 0/2 groups): it is RollingBack",
        "wave canary: rolling back",
        "wave all: not started",
        "gate errors: Failed, 2 failed: 0.2",
        "RolledBack (wave 1/2, 0/2 groups): it is RolledBack",
        "wave canary: rolled back",
    ]


def test_what_happened_is_not_told_twice() -> None:
    def scene(phase: str, message: str, **status: Any) -> Scene:
        return Scene(_progress(policy_rollout(phase, **UNDERWAY | {"message": message} | status)))

    happened = {
        "number": 3,
        "at": "2026-11-21T12:00:00Z",
        "reason": "SoakStarted",
        "message": "wave 1/2 soaks",
    }
    before = scene("Progressing", "wave 1/2 moves", waveState="Moving")
    after = scene("Soaking", "wave 1/2 soaks", transitions=[happened], updated="1/2")
    assert [line.partition("Z ")[2] for line in changes(before, after, NOW)] == [
        "SoakStarted: wave 1/2 soaks",
        "Soaking (wave 1/2, 1/2 groups)",
    ]


def test_watch_ends_immediately_in_a_final_phase(cluster: FakeCluster, trimtab: Call) -> None:
    cluster.put(POLICY_ROLLOUTS, policy_rollout("Succeeded"))
    assert _watched(trimtab).code == 0


def test_watch_waits_for_the_generation_that_is_there(cluster: FakeCluster, trimtab: Call) -> None:
    cluster.put(POLICY_ROLLOUTS, policy_rollout("Succeeded", generation=3, seen=2))
    cluster.scenes = [lambda: cluster.put(POLICY_ROLLOUTS, policy_rollout("Rejected", generation=3)) and None]
    answer = _watched(trimtab)
    assert (answer.code, answer.out.splitlines()[-1].endswith("Rejected: it is Rejected")) == (1, True)


@pytest.mark.parametrize(("end", "code"), [("AwaitingApproval", 0), ("Succeeded", 1)])
def test_watch_for_a_phase_ends_there(cluster: FakeCluster, trimtab: Call, end: str, code: int) -> None:
    cluster.put(POLICY_ROLLOUTS, policy_rollout("Progressing"))
    cluster.scenes = [lambda: cluster.put(POLICY_ROLLOUTS, policy_rollout(end)) and None]
    assert _watched(trimtab, "--for", "awaitingapproval").code == code


@pytest.mark.parametrize(("phase", "code"), [("Progressing", 3), ("Paused", 4)])
def test_watch_ends_with_its_time(cluster: FakeCluster, trimtab: Call, phase: str, code: int) -> None:
    cluster.put(POLICY_ROLLOUTS, policy_rollout(phase))
    answer = _watched(trimtab, "--timeout", "50ms")
    assert (answer.code, "note: not reached within 0s" in answer.err) == (code, True)


def test_watch_reports_a_deletion(cluster: FakeCluster, trimtab: Call) -> None:
    cluster.put(POLICY_ROLLOUTS, policy_rollout("Progressing"))
    cluster.scenes = [lambda: cluster.remove(POLICY_ROLLOUTS, "music", "calmer")]
    answer = _watched(trimtab)
    assert (answer.code, "PolicyRollout music/calmer was deleted" in answer.err) == (1, True)


def test_programs_get_a_document_for_each_change(cluster: FakeCluster, trimtab: Call) -> None:
    cluster.put(POLICY_ROLLOUTS, policy_rollout("Progressing"))
    cluster.scenes = [lambda: cluster.put(POLICY_ROLLOUTS, policy_rollout("Succeeded")) and None]
    answer = _watched(trimtab, "-o", "json")
    assert [line.partition('"phase": "')[2].partition('"')[0] for line in answer.out.splitlines()] == [
        "Progressing",
        "Succeeded",
    ]


async def test_a_watch_that_ends_immediately_leaves_nothing_running(cluster: FakeCluster) -> None:
    body = cluster.put(POLICY_ROLLOUTS, policy_rollout("Succeeded"))
    before = asyncio.all_tasks()
    scenes = follow(Cluster(cluster, "music"), Rollout(body, Kind.POLICY_ROLLOUT))  # type: ignore[arg-type]
    await anext(scenes)
    await scenes.aclose()
    assert asyncio.all_tasks() == before


def test_who_may_not_see_groups_watches_the_rollout(cluster: FakeCluster, trimtab: Call) -> None:
    cluster.put(POLICY_ROLLOUTS, policy_rollout("Progressing"))
    cluster.forbidden = {"renderedgroups"}
    cluster.scenes = [lambda: cluster.put(POLICY_ROLLOUTS, policy_rollout("Succeeded")) and None]
    assert _watched(trimtab).code == 0


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--for", "Succeded"], "did you mean Succeeded?"),
        (["--timeout", "soon"], "not a Go duration"),
        (["--timeout", "0"], "must be greater than 0"),
    ],
)
def test_wrong_usage_of_watch_is_reported(
    cluster: FakeCluster, trimtab: Call, args: list[str], said: str
) -> None:
    answer = _watched(trimtab, *args)
    assert (answer.code, said in answer.err) == (2, True)


def _rendered(group: str, revision: int, ready: str = "True", **status: Any) -> Body:
    conditions = [{"type": "Ready", "status": ready, "message": "being written"}]
    return {
        "metadata": {"name": f"app-{group}", "namespace": "music", "labels": {"trimtab.dev/template": "app"}},
        "spec": group_spec(group),
        "status": {"currentRevision": revision, "conditions": conditions, **status},
    }


def test_a_screen_shows_waves_gates_and_groups() -> None:
    groups = {
        "free": _rendered("free", 4, share={"revision": 5, "percent": 10}),
        "pro": _rendered("pro", 4, "Unknown"),
    }
    scene = Scene(_progress(policy_rollout("Soaking", **UNDERWAY)), groups, trouble="the connection was lost")
    screen = Console(width=120, color_system=None, force_terminal=False)
    with screen.capture() as caught:
        screen.print(drawn(picture(scene, NOW)))
    shown = caught.get()

    assert "canary  1       10       10m   -         soaking, 4m30s of 10m" in shown
    assert "free   canary  4         10% on 5  True" in shown
    assert "pro    all     4         -         Unknown  being written" in shown
    assert shown.rstrip().endswith("the connection was lost")


def test_only_changes_of_groups_are_shown() -> None:
    progress = _progress(policy_rollout("Soaking", **UNDERWAY))
    before = Scene(progress, {"free": _rendered("free", 4), "pro": _rendered("pro", 4)})
    after = Scene(
        progress, {**before.groups, "free": _rendered("free", 4, share={"revision": 5, "percent": 10})}
    )
    assert list(changes(before, after, NOW)) == [
        "2026-11-21T12:10:00Z group free: revision 4, 10% on 5, Ready=True"
    ]


def test_watch_sees_the_groups_of_the_rollouts_template(cluster: FakeCluster, trimtab: Call) -> None:
    cluster.put(POLICY_ROLLOUTS, policy_rollout("Progressing", **UNDERWAY))
    cluster.put(RENDERED_GROUPS, _rendered("free", 4))
    cluster.scenes = [
        lambda: cluster.put(RENDERED_GROUPS, _rendered("free", 5)) and None,
        lambda: None,
        lambda: cluster.put(POLICY_ROLLOUTS, policy_rollout("Succeeded", **UNDERWAY)) and None,
    ]
    answer = _watched(trimtab, "-o", "json")
    assert '"group": "free"' in answer.out
