"""A verdict on a workload is about one revision of it, and names what is missing."""

from __future__ import annotations

from typing import Any

import pytest

from trimtab.core.workload.health import health_of
from trimtab.core.workload.pods import pod_selector, stuck, trouble, troubled

Body = dict[str, Any]
DIGEST, OTHER = "0123456789abcdef", "fedcba9876543210"
KINDS = ("Deployment", "StatefulSet", "DaemonSet")


def workload(
    status: Body | None = None, *, digest: str | None = DIGEST, meta: Body | None = None, **spec: Any
) -> Body:
    """A workload of three replicas in its third generation; ``status`` is what differs from all being well."""
    annotations = {"trimtab.dev/digest": digest, "checksum/other": "x"} if digest else None
    well = {
        "observedGeneration": 3,
        "replicas": 3,
        "updatedReplicas": 3,
        "readyReplicas": 3,
        "availableReplicas": 3,
        "desiredNumberScheduled": 3,
        "updatedNumberScheduled": 3,
        "numberAvailable": 3,
        "updateRevision": "web-new",
    }
    return {
        "metadata": {"name": "web", "namespace": "music", "uid": "u1", "generation": 3, **(meta or {})},
        "spec": {"replicas": 3, "template": {"metadata": {"annotations": annotations}}, **spec},
        "status": {**well, **(status or {})},
    }


def container(name: str = "main", **fields: Any) -> Body:
    return {"name": name, "ready": False, "restartCount": 0, "state": {}, **fields}


def waiting(reason: str, restarts: int = 0, **fields: Any) -> Body:
    state = {"waiting": {"reason": reason, "message": "password=hunter2 was not accepted"}}
    return container(state=state, restartCount=restarts, **fields)


def pod(
    *containers: Body,
    name: str = "web-1",
    digest: str | None = DIGEST,
    status: Body | None = None,
    ready: bool = False,
    since: str = "2026-01-01T00:10:00Z",
    **meta: Any,
) -> Body:
    conditions = [{"type": "Ready", "status": str(ready), "lastTransitionTime": since}]
    annotations = {"trimtab.dev/digest": digest} if digest else {}
    return {
        "metadata": {"name": name, "annotations": annotations, **meta},
        "status": {
            "phase": "Running",
            "containerStatuses": containers,
            "conditions": conditions,
            **(status or {}),
        },
    }


CRASHING = pod(waiting("CrashLoopBackOff", 4))


# Whose evidence it is.


@pytest.mark.parametrize("kind", KINDS)
def test_all_replicas_of_the_revision_available_is_healthy(kind: str) -> None:
    assert health_of(kind, workload(), [], DIGEST).state == "Healthy"
    assert health_of(kind, workload(), [], None).state == "Healthy"
    assert health_of(kind, workload(digest=None), [], None).state == "Healthy"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("found", "says"),
    [
        ({}, "does not exist"),
        (workload(meta={"deletionTimestamp": "2026-01-01T00:00:00Z"}), "is being deleted"),
        (workload(digest=OTHER), "not of this revision yet"),
        (workload(digest=None), "not of this revision yet"),
        (workload({"observedGeneration": 2}), "has not seen the change"),
        ({**workload(), "status": {}}, "has not seen the change"),
    ],
)
def test_what_is_not_about_the_revision_proves_nothing(kind: str, found: Body, says: str) -> None:
    verdict = health_of(kind, found, [CRASHING], DIGEST)

    assert (verdict.state, verdict.known) == ("Progressing", True)
    assert says in verdict.message


def test_the_verdict_names_the_generation_it_is_about() -> None:
    assert health_of("Deployment", workload(), [], DIGEST).generation == 3
    assert health_of("Deployment", workload({"observedGeneration": 2}), [], DIGEST).generation == 3
    assert health_of("Deployment", {}, [], DIGEST).generation == 0


# When it is done.


@pytest.mark.parametrize(
    ("kind", "found", "says"),
    [
        ("Deployment", workload({"updatedReplicas": 1}), "1 of 3 replicas are updated"),
        ("Deployment", workload({"updatedReplicas": None}), "0 of 3 replicas are updated"),
        ("Deployment", workload({"replicas": 4}), "1 old replica still exists"),
        ("Deployment", workload({"availableReplicas": 2}), "2 of 3 updated replicas are available"),
        ("Deployment", workload({"updatedReplicas": 0}, replicas=None), "0 of 1 replicas are updated"),
        ("StatefulSet", workload({"updatedReplicas": 2}), "2 of 3 replicas are updated"),
        ("StatefulSet", workload({"readyReplicas": 2}), "2 of 3 replicas are available"),
        ("StatefulSet", workload({"availableReplicas": 1}), "1 of 3 replicas are available"),
        (
            "StatefulSet",
            workload({"updatedReplicas": 1}, updateStrategy={"rollingUpdate": {"partition": 1}}),
            "1 of 2 replicas are updated",
        ),
        (
            "StatefulSet",
            workload({"readyReplicas": 2}, updateStrategy={"type": "OnDelete"}),
            "2 of 3 replicas are available",
        ),
        ("DaemonSet", workload({"updatedNumberScheduled": 1}), "1 of 3 pods are updated"),
        ("DaemonSet", workload({"updatedNumberScheduled": None}), "0 of 3 pods are updated"),
        ("DaemonSet", workload({"numberAvailable": 2}), "2 of 3 pods are available"),
        (
            "DaemonSet",
            workload({"numberAvailable": 2}, updateStrategy={"type": "OnDelete"}),
            "2 of 3 pods are available",
        ),
    ],
)
def test_what_is_missing_is_reported(kind: str, found: Body, says: str) -> None:
    verdict = health_of(kind, found, [], DIGEST)

    assert (verdict.state, verdict.message) == ("Progressing", says)


@pytest.mark.parametrize(
    ("kind", "found", "says"),
    [
        (
            "Deployment",
            workload(dict.fromkeys(workload()["status"], 0) | {"observedGeneration": 3}, replicas=0),
            "zero",
        ),
        (
            "StatefulSet",
            workload(dict.fromkeys(workload()["status"], 0) | {"observedGeneration": 3}, replicas=0),
            "zero",
        ),
        (
            "StatefulSet",
            workload({"updatedReplicas": 1}, updateStrategy={"rollingUpdate": {"partition": 2}}),
            "1 of them updated (partition 2)",
        ),
        (
            "StatefulSet",
            workload({"updatedReplicas": 0}, updateStrategy={"rollingUpdate": {"partition": 9}}),
            "0 of them updated (partition 9)",
        ),
        ("StatefulSet", workload({"updatedReplicas": 0}, updateStrategy={"type": "OnDelete"}), "OnDelete"),
        (
            "DaemonSet",
            workload({"updatedNumberScheduled": 0}, updateStrategy={"type": "OnDelete"}),
            "OnDelete",
        ),
        (
            "DaemonSet",
            workload(dict.fromkeys(workload()["status"], 0) | {"observedGeneration": 3}),
            "no node is eligible",
        ),
    ],
)
def test_pods_that_are_not_to_be_updated_are_not_waited_for(kind: str, found: Body, says: str) -> None:
    verdict = health_of(kind, found, [], DIGEST)

    assert verdict.state == "Healthy", verdict
    assert says in f"{verdict.message} {verdict.note}"


@pytest.mark.parametrize(("first", "kept"), [(0, 0), (2, 2), (9, 3)])
def test_the_pods_that_a_partition_keeps_from_restarting_are_reported(first: int, kept: int) -> None:
    found = workload({"updatedReplicas": 3 - kept}, updateStrategy={"rollingUpdate": {"partition": first}})
    verdict = health_of("StatefulSet", found, [], DIGEST)

    told = f"{kept} of 3 pods restart only when they are deleted" if kept else ""
    assert (verdict.state, verdict.note[: len(told)], bool(verdict.note)) == ("Healthy", told, kept > 0)


def test_a_server_that_does_not_count_available_replicas_counts_ready_ones() -> None:
    found = workload()
    del found["status"]["availableReplicas"]

    assert health_of("StatefulSet", found, [], DIGEST).state == "Healthy"


def test_a_paused_deployment_is_reported_unless_it_is_complete() -> None:
    waits = health_of("Deployment", workload({"updatedReplicas": 0}, paused=True), [], DIGEST)

    assert waits.state == "Progressing"
    assert "paused" in waits.message
    assert health_of("Deployment", workload(paused=True), [], DIGEST).state == "Healthy"


# What its own controller says.


def gave_up(at: str = "2026-01-01T00:20:00Z", **fields: Any) -> Body:
    timed_out = {
        "type": "Progressing",
        "status": "False",
        "reason": "ProgressDeadlineExceeded",
        "message": 'ReplicaSet "web-1" has timed out progressing.',
        "lastUpdateTime": at,
    }
    return workload({"updatedReplicas": 1, "conditions": [{**timed_out, **fields}]})


def test_a_passed_deadline_of_its_own_is_a_failure() -> None:
    verdict = health_of("Deployment", gave_up(), [], DIGEST)

    assert (verdict.state, verdict.message) == (
        "Failed",
        "its own progress deadline has passed (ProgressDeadlineExceeded)",
    )


def test_pods_that_cannot_be_made_are_a_failure() -> None:
    found = gave_up(type="ReplicaFailure", status="True", reason="FailedCreate")

    assert health_of("Deployment", found, [], DIGEST).message == "its pods cannot be created (FailedCreate)"


@pytest.mark.parametrize(
    "fields",
    [
        {"status": "True", "reason": "ReplicaSetUpdated"},
        {"status": "Unknown", "reason": "DeploymentPaused"},
        {"type": "Available"},
        {"type": "ReplicaFailure", "status": "False"},
    ],
)
def test_other_conditions_are_no_failure(fields: Body) -> None:
    assert health_of("Deployment", gave_up(**fields), [], DIGEST).state == "Progressing"


def test_a_condition_from_before_the_change_is_about_the_previous_revision() -> None:
    found = gave_up("2026-01-01T00:20:00Z")
    found["metadata"]["managedFields"] = [
        {"manager": "trimtab", "time": "2026-01-01T00:20:05Z"},
        {"manager": "kube-controller-manager", "time": "2026-01-01T00:20:06Z"},
    ]
    assert health_of("Deployment", found, [], DIGEST).state == "Progressing"

    found["status"]["conditions"][0]["lastUpdateTime"] = "2026-01-01T00:30:05Z"
    assert health_of("Deployment", found, [], DIGEST).state == "Failed"


def test_a_deployment_that_came_through_after_its_deadline_is_healthy() -> None:
    found = gave_up()
    found["status"]["updatedReplicas"] = 3

    assert health_of("Deployment", found, [CRASHING], DIGEST).state == "Healthy"


# Pods.

UNFINISHED = {
    "Deployment": {"availableReplicas": 2},
    "StatefulSet": {"readyReplicas": 2},
    "DaemonSet": {"numberAvailable": 2},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "reason",
    [
        "CrashLoopBackOff",
        "ImagePullBackOff",
        "ErrImagePull",
        "CreateContainerConfigError",
        "InvalidImageName",
        "RunContainerError",
    ],
)
def test_a_pod_that_cannot_run_is_a_failure_that_names_it(kind: str, reason: str) -> None:
    found = workload(UNFINISHED[kind])

    verdict = health_of(kind, found, [pod(container("proxy", ready=True), waiting(reason))], DIGEST)

    assert verdict.state == "Failed"
    assert verdict.message == f"pod web-1: container main is in {reason}"


def test_a_failure_reports_restarts_and_exit_codes_but_no_messages() -> None:
    last = {"terminated": {"exitCode": 137, "reason": "OOMKilled", "message": "password=hunter2"}}
    bad = pod(waiting("CrashLoopBackOff", 4, lastState=last))

    verdict = health_of("Deployment", workload(UNFINISHED["Deployment"]), [bad], DIGEST)

    expected = "pod web-1: container main is in CrashLoopBackOff after 4 restarts, last with OOMKilled 137"
    assert verdict.message == expected


def test_a_reason_that_is_no_word_is_not_quoted() -> None:
    last = {"terminated": {"exitCode": 1, "reason": "password=hunter2"}}
    bad = pod(waiting("CrashLoopBackOff", 1, lastState=last))

    message = health_of("Deployment", workload(UNFINISHED["Deployment"]), [bad], DIGEST).message

    assert message.endswith("after 1 restart, last with Unknown 1")


@pytest.mark.parametrize(
    "other",
    [
        pod(waiting("CrashLoopBackOff", 4), digest=OTHER),
        pod(waiting("CrashLoopBackOff", 4), digest=None),
        pod(waiting("CrashLoopBackOff", 4), deletionTimestamp="2026-01-01T00:00:00Z"),
        pod(
            waiting("CrashLoopBackOff", 4),
            ownerReferences=[{"kind": "ReplicaSet", "name": "website-1", "controller": True}],
        ),
        pod(
            waiting("CrashLoopBackOff", 4),
            ownerReferences=[{"kind": "Job", "name": "web-1", "controller": True}],
        ),
        pod(waiting("ContainerCreating")),
        pod(waiting("PodInitializing")),
        pod(container(state={"running": {"startedAt": "2026-01-01T00:11:00Z"}}, restartCount=2)),
        pod(
            container(ready=True, state={"running": {"startedAt": "2026-01-01T00:11:00Z"}}, restartCount=40),
            ready=True,
        ),
    ],
    ids=[
        "other digest",
        "no digest",
        "being deleted",
        "another's",
        "a Job's",
        "starting",
        "initialising",
        "2 restarts",
        "ready",
    ],
)
def test_other_pods_are_no_failure(other: Body) -> None:
    assert health_of("Deployment", workload(UNFINISHED["Deployment"]), [other], DIGEST).state == "Progressing"


def test_of_a_workload_without_a_digest_every_pod_counts() -> None:
    found = workload(UNFINISHED["Deployment"], digest=None)

    assert (
        health_of("Deployment", found, [pod(waiting("CrashLoopBackOff", 4), digest=None)], None).state
        == "Failed"
    )


@pytest.mark.parametrize(
    ("running_since", "failed"),
    [("2026-01-01T00:11:00Z", True), ("2026-01-01T00:10:00Z", True), ("2025-06-01T00:00:00Z", False)],
    ids=["restarted after it was ready last", "at that very second", "was ready in this run"],
)
def test_many_restarts_count_while_the_container_has_not_been_ready_since(
    running_since: str, failed: bool
) -> None:
    bad = pod(container(state={"running": {"startedAt": running_since}}, restartCount=3))

    verdict = health_of("Deployment", workload(UNFINISHED["Deployment"]), [bad], DIGEST)

    assert (verdict.state == "Failed") == failed
    assert ("keeps restarting after 3 restarts" in verdict.message) == failed


def test_init_containers_count_until_they_are_done() -> None:
    done = container("migrate", state={"terminated": {"exitCode": 0}}, restartCount=5)
    broken = waiting("CrashLoopBackOff", 2, name="migrate")
    found = workload(UNFINISHED["Deployment"])

    assert (
        health_of("Deployment", found, [pod(status={"initContainerStatuses": [done]})], DIGEST).state
        == "Progressing"
    )
    failed = health_of("Deployment", found, [pod(status={"initContainerStatuses": [broken]})], DIGEST)
    assert failed.message == "pod web-1: container migrate is in CrashLoopBackOff after 2 restarts"


@pytest.mark.parametrize(
    ("status", "failed"),
    [
        ({"phase": "Failed"}, True),
        ({"phase": "Failed", "reason": "Evicted"}, False),
        ({"phase": "Failed", "conditions": [{"type": "DisruptionTarget", "status": "True"}]}, False),
    ],
    ids=["by itself", "evicted", "disrupted"],
)
def test_a_pod_that_has_failed_counts_unless_its_node_ended_it(status: Body, failed: bool) -> None:
    verdict = health_of("DaemonSet", workload(UNFINISHED["DaemonSet"]), [pod(status=status)], DIGEST)

    assert (verdict.state == "Failed") == failed


def test_of_many_pods_one_is_named_and_the_others_are_counted() -> None:
    bad = [pod(waiting("CrashLoopBackOff", 1), name=f"web-{n}") for n in (3, 1, 2)]
    slow = pod(waiting("ContainerCreating"), name="web-0")

    message = health_of("Deployment", workload(UNFINISHED["Deployment"]), [slow, *bad], DIGEST).message

    assert message == "pod web-1: container main is in CrashLoopBackOff after 1 restart (and 2 more pods)"


def test_a_pod_without_a_node_is_reported_while_waiting() -> None:
    unscheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "secret"}
    bad = pod(status={"phase": "Pending", "conditions": [unscheduled]})

    verdict = health_of("Deployment", workload(UNFINISHED["Deployment"]), [bad], DIGEST)

    assert verdict.state == "Progressing"
    assert verdict.message.endswith("; pod web-1: is not scheduled (Unschedulable)")


def test_only_pods_in_trouble_are_kept_and_of_each_revision_no_more_than_needed() -> None:
    well = [pod(container(ready=True), ready=True, name=f"well-{n}") for n in range(5)]
    bad = [pod(waiting("CrashLoopBackOff", 1), name=f"bad-{n}") for n in range(50)]
    old = [pod(waiting("CrashLoopBackOff", 1), name=f"old-{n}", digest=OTHER) for n in range(50)]
    slow = [pod(waiting("ContainerCreating"), name=f"slow-{n}") for n in range(50)]

    kept = [p["metadata"]["name"].split("-")[0] for p in troubled([*well, *old, *slow, *bad], most=3)]

    assert sorted(kept) == ["bad"] * 3 + ["old"] * 3 + ["slow"] * 3
    assert trouble(well[0]) is None


# A StatefulSet that waits for a broken pod.


def blocking(**fields: Any) -> Body:
    meta = {
        "name": "web-2",
        "digest": OTHER,
        "labels": {"controller-revision-hash": "web-old"},
        "ownerReferences": [{"kind": "StatefulSet", "name": "web", "uid": "u1", "controller": True}],
    }
    return pod(waiting("CrashLoopBackOff", 4), **{**meta, **fields})


def test_a_pod_of_another_trimtab_revision_blocks_a_stateful_set() -> None:
    assert stuck("StatefulSet", workload(), blocking())
    assert stuck(
        "StatefulSet", workload(ordinals={"start": 1}, updateStrategy={"type": "RollingUpdate"}), blocking()
    )


@pytest.mark.parametrize(
    ("kind", "found", "bad"),
    [
        ("Deployment", workload(), blocking()),
        ("DaemonSet", workload(), blocking()),
        ("StatefulSet", workload(podManagementPolicy="Parallel"), blocking()),
        ("StatefulSet", workload(updateStrategy={"type": "OnDelete"}), blocking()),
        ("StatefulSet", workload(updateStrategy={"rollingUpdate": {"partition": 3}}), blocking()),
        ("StatefulSet", workload({"observedGeneration": 2}), blocking()),
        ("StatefulSet", workload(), blocking(labels={"controller-revision-hash": "web-new"})),
        ("StatefulSet", workload(), blocking(labels={})),
        ("StatefulSet", workload(), blocking(digest=DIGEST)),
        ("StatefulSet", workload(), blocking(digest=None)),
        ("StatefulSet", workload(), blocking(ownerReferences=[])),
        ("StatefulSet", workload(), blocking(deletionTimestamp="2026-01-01T00:00:00Z")),
        ("StatefulSet", workload(), blocking(name="web")),
        (
            "StatefulSet",
            workload(),
            blocking(
                ownerReferences=[{"kind": "StatefulSet", "name": "web", "uid": "u0", "controller": True}]
            ),
        ),
    ],
    ids=[
        "Deployment",
        "DaemonSet",
        "Parallel",
        "OnDelete",
        "below the partition",
        "not observed",
        "the new revision",
        "no revision",
        "the same digest",
        "not made by us",
        "nobody's",
        "being deleted",
        "no number",
        "another's",
    ],
)
def test_any_other_pod_is_left_unchanged(kind: str, found: Body, bad: Body) -> None:
    assert not stuck(kind, found, bad)


# Selectors.


@pytest.mark.parametrize(
    ("selector", "text"),
    [
        ({"matchLabels": {"app": "web", "tier": ""}}, "app=web,tier="),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["x", "y"]}]}, "a in (x,y)"),
        (
            {
                "matchLabels": {"app": "web"},
                "matchExpressions": [
                    {"key": "a", "operator": "NotIn", "values": ["x"]},
                    {"key": "b", "operator": "Exists"},
                    {"key": "c", "operator": "DoesNotExist"},
                ],
            },
            "app=web,a notin (x),b,!c",
        ),
        ({}, ""),
        (None, ""),
    ],
)
def test_a_selector_is_written_as_list_requests_take_it(selector: Body | None, text: str) -> None:
    assert pod_selector(workload(selector=selector)) == text
