"""Commands about rollouts and revisions against a real API server.

Where it matters what exactly people see and who is let in, the test itself plays the operator, by writing statuses and
answers as admin. Then a real operator's rollout, revisions and preferences.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from support.cli_process import Shell
from support.live_objects import Body, wait_for
from support.manifests import (
    APP,
    KEYS,
    PREFS,
    SECRET_KEY,
    group_spec,
    manifest,
    preference,
    wave,
    waves,
)
from support.namespace import Namespace
from support.operator_cluster import OperatorCluster
from support.operator_process import Operator
from support.service_accounts import CREATES, Hire, may

HASH = "3f9a51c2d07be684"
WAVES: list[Body] = [
    {"name": "canary", "groups": ["free"], "percent": 10, "soak": "10m", "approval": True},
    {"name": "all", "groups": ["free", "pro"], "percent": 100, "soak": "30m"},
]
UNDERWAY: Body = {
    "wave": "1/2",
    "updated": "0/2",
    "attempt": 1,
    "epoch": 1,
    "target": {"hash": HASH, "snapshot": f"calmer-policy-{HASH}", "generation": 1},
    "waves": WAVES,
    "currentWave": 0,
    "waveState": "Held",
}
PREVIEW: Body = {
    "hash": HASH,
    "groups": 2,
    "changedGroups": 1,
    "users": 3,
    "changedUsers": 2,
    "keys": ["session.minutes"],
}


@pytest.fixture
def trimtab(operator_cluster: OperatorCluster) -> Shell:
    return Shell(operator_cluster.kubeconfig)


class FakeOperator:
    """A rollout whose operator is the test."""

    def __init__(self, ns: Namespace) -> None:
        self.ns, self.api, self.namespace = ns, ns.api, ns.name
        ns.policy(content={"values": {"session.minutes": 25}}, strategy={})

    def says(self, phase: str, **status: Any) -> None:
        made = {"observedGeneration": 1, "phase": phase, "message": f"it is {phase}", **status}
        self.api.patch("PolicyRollout", self.namespace, "calmer", {"status": made}, "status")

    @property
    def actions(self) -> list[Body]:
        return self.api.list("RolloutAction", self.namespace)

    @contextlib.contextmanager
    def answering(self, status: str, message: str) -> Iterator[None]:
        """Whatever is asked next gets this answer."""
        thread = threading.Thread(target=self._answer, args=(status, message))
        thread.start()
        yield
        thread.join(60)

    def _answer(self, status: str, message: str) -> None:
        action = wait_for(lambda: next((a for a in self.actions if "status" not in a), None), "somebody asks")
        assert action is not None
        ready = {
            "type": "Ready",
            "status": status,
            "reason": "Taken" if status == "True" else "Refused",
            "message": message,
            "lastTransitionTime": "2026-11-21T12:00:00Z",
        }
        patch = {"status": {"conditions": [ready]}}
        self.api.patch("RolloutAction", self.namespace, action["metadata"]["name"], patch, "status")


@pytest.fixture
def fake_operator(operators: OperatorCluster, guarded: OperatorCluster, ns: Namespace) -> FakeOperator:
    return FakeOperator(ns)


@contextlib.contextmanager
def _running(trimtab: Shell, *args: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "trimtab", *args],
        env={**os.environ, "KUBECONFIG": str(trimtab.kubeconfig)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _said(process: subprocess.Popen[str], text: str) -> list[str]:
    """The lines up to one with this text."""
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        if text in line:
            return lines
    raise AssertionError(
        f"it never says {text!r}; it says {lines} and {process.stderr and process.stderr.read()}"
    )


# Looking and watching.


def test_status_and_preview_are_what_the_operator_wrote(fake_operator: FakeOperator, trimtab: Shell) -> None:
    assert trimtab("rollout", "status", "calmer", "-n", fake_operator.namespace).returncode == 3

    fake_operator.says("AwaitingApproval", **UNDERWAY, preview=PREVIEW)
    waiting = trimtab("rollout", "status", "prollout/calmer", "-n", fake_operator.namespace)
    assert waiting.returncode == 4
    assert "canary  1       10       10m   needed    held" in waiting.stdout

    preview = trimtab("rollout", "preview", "calmer", "-n", fake_operator.namespace)
    assert preview.returncode == 0
    assert preview.stdout.splitlines()[-1].endswith(f"-n {fake_operator.namespace} --content-hash {HASH}")

    fake_operator.says("Succeeded")
    assert trimtab.json("rollout", "status", "calmer", "-n", fake_operator.namespace)["final"] is True
    assert trimtab("rollout", "status", "calmer", "-n", fake_operator.namespace).returncode == 0


def test_watch_follows_the_object_to_its_end(fake_operator: FakeOperator, trimtab: Shell) -> None:
    fake_operator.says("Progressing", **UNDERWAY)
    with _running(trimtab, "rollout", "watch", "calmer", "-n", fake_operator.namespace) as watching:
        _said(watching, "Progressing (wave 1/2, 0/2 groups): it is Progressing")
        fake_operator.says("Soaking", currentWave=1, waveState="Soaking", updated="1/2")
        _said(watching, "Soaking (wave 1/2, 1/2 groups): it is Soaking")
        fake_operator.says("RolledBack", failure={"reason": "GateFailed", "at": "2026-11-21T12:00:00Z"})
        _said(watching, "RolledBack (wave 1/2, 1/2 groups): it is RolledBack")
        assert watching.wait(60) == 1


def test_watch_sees_the_groups_move(fake_operator: FakeOperator, trimtab: Shell) -> None:
    labels = {"trimtab.dev/template": "app"}
    fake_operator.api.create(
        manifest("RenderedGroup", fake_operator.namespace, "app-free", group_spec(), labels=labels)
    )
    fake_operator.says("Progressing", **UNDERWAY)
    with _running(
        trimtab, "rollout", "watch", "calmer", "-n", fake_operator.namespace, "-o", "json"
    ) as watching:
        _said(watching, '"group": "free"')
        status = {"currentRevision": 4, "share": {"revision": 5, "percent": 10}}
        fake_operator.api.patch(
            "RenderedGroup", fake_operator.namespace, "app-free", {"status": status}, "status"
        )
        _said(watching, '"share": "10% on 5"')


def test_ctrl_c_ends_a_watch_without_a_word(fake_operator: FakeOperator, trimtab: Shell) -> None:
    fake_operator.says("Progressing", **UNDERWAY)
    with _running(trimtab, "rollout", "watch", "calmer", "-n", fake_operator.namespace) as watching:
        _said(watching, "Progressing")
        watching.send_signal(signal.SIGINT)
        _, errors = watching.communicate(timeout=60)
        assert (watching.returncode, errors) == (130, "")


def test_a_watched_rollout_that_is_deleted_ends_the_watch(
    fake_operator: FakeOperator, trimtab: Shell
) -> None:
    fake_operator.says("Progressing", **UNDERWAY)
    with _running(trimtab, "rollout", "watch", "calmer", "-n", fake_operator.namespace) as watching:
        _said(watching, "Progressing")
        fake_operator.ns.drop("PolicyRollout", "calmer")
        _, errors = watching.communicate(timeout=60)
        assert (watching.returncode, "was deleted" in errors) == (1, True)


# Acting.


def test_an_approval_is_an_action_in_the_name_of_the_requester(
    fake_operator: FakeOperator, trimtab: Shell
) -> None:
    fake_operator.says("AwaitingApproval", **UNDERWAY, preview=PREVIEW)
    with fake_operator.answering("True", "wave canary is approved"):
        answer = trimtab(
            "rollout", "approve", "calmer", "-n", fake_operator.namespace, "--reason", "looks right"
        )
    (action,) = fake_operator.actions
    who = fake_operator.ns.operator_cluster.kubectl(
        "auth", "whoami", "-o", "jsonpath={.status.userInfo.username}"
    ).stdout

    assert action["spec"] == {
        "rolloutRef": {"kind": "PolicyRollout", "name": "calmer"},
        "action": "Approve",
        "contentHash": HASH,
        "requester": who,
        "reason": "looks right",
    }
    assert action["metadata"]["generateName"] == "approve-"
    assert answer.returncode == 0
    assert "wave canary is approved" in answer.stdout


def test_what_the_operator_refuses_is_1_with_its_words(fake_operator: FakeOperator, trimtab: Shell) -> None:
    fake_operator.says("Soaking", **UNDERWAY)
    with fake_operator.answering("False", "the rollout is Soaking, allowed actions: Promote, Pause or Abort"):
        answer = trimtab("rollout", "resume", "calmer", "-n", fake_operator.namespace, "-o", "json")
    assert answer.returncode == 1
    assert yaml.safe_load(answer.stdout)["accepted"] is False
    assert "allowed actions: Promote, Pause or Abort" in answer.stderr


def test_a_command_without_a_result_keeps_the_action(fake_operator: FakeOperator, trimtab: Shell) -> None:
    fake_operator.says("Soaking", **UNDERWAY)
    answer = trimtab("rollout", "pause", "calmer", "-n", fake_operator.namespace, "--timeout", "100ms")
    assert answer.returncode == 3
    assert "is `trimtab run` running?" in answer.stderr
    assert [action["spec"]["action"] for action in fake_operator.actions] == ["Pause"]


def test_a_forbidden_action_names_the_missing_permission(fake_operator: FakeOperator, hire: Hire) -> None:
    fake_operator.says("Soaking", **UNDERWAY)
    ann = hire()
    ann.grant(may("policyrollouts", "get"), may("configtemplates", "get"))
    theirs = Shell(ann.kubeconfig)
    first = theirs("rollout", "abort", "calmer", "-n", fake_operator.namespace)
    assert first.returncode == 1
    assert (
        "you need the verb create on rolloutactions.trimtab.dev and the verb abort on policyrollouts"
        in first.stderr
    )

    ann.grant(CREATES)
    second = theirs("rollout", "abort", "calmer", "-n", fake_operator.namespace)
    assert second.returncode == 1
    assert f'"{ann.username}" cannot abort policyrollouts.trimtab.dev "calmer"' in second.stderr
    assert "verbs: [abort]" in second.stderr
    assert fake_operator.actions == []

    ann.grant(may("policyrollouts", "abort", named="calmer"))
    third = theirs("rollout", "abort", "calmer", "-n", fake_operator.namespace)
    assert third.returncode == 3  # it is made, and who may not read it is told so
    assert "you may not read RolloutActions here" in third.stderr
    assert [action["spec"]["requester"] for action in fake_operator.actions] == [ann.username]


# A real operator.


def test_a_rollout_from_its_preview_to_its_undo_by_commands(
    operator: Operator, guarded: OperatorCluster, ns: Namespace, trimtab: Shell
) -> None:
    # given: a policy whose only wave wants an approval
    ns.template()
    ns.preference("ann", {"agent.temperature": 1.5})
    ns.accepted("ann")
    constraint = {"key": "agent.temperature", "maximum": 1.0, "reason": "COST-7"}
    content = {"values": {"session.minutes": 25}, "constraints": [constraint]}
    ns.policy(content=content, strategy=waves(wave("all", approval=True)))

    def call(*args: str) -> subprocess.CompletedProcess[str]:
        return trimtab("rollout", *args, "-n", ns.name)

    # when: it is watched, previewed, approved
    assert call("watch", "calmer", "--for", "AwaitingApproval", "--timeout", "60s").returncode == 0
    preview = trimtab.json("rollout", "preview", "calmer", "-n", ns.name)
    assert (preview["changedGroups"], preview["clampedUsers"]) == (2, 1)
    assert call("promote", "calmer").returncode == 1
    assert call("approve", "calmer", "--content-hash", "0123").returncode == 1
    approved = call("approve", "calmer")
    assert approved.returncode == 0, approved.stderr

    # then: it arrives, and history and diff tell of it
    done = call("watch", "calmer", "--timeout", "60s")
    assert (done.returncode, "Succeeded" in done.stdout) == (0, True)
    ns.wait_user("ann", {"agent.temperature": 1.0, "session.minutes": 25})
    history = trimtab.json("history", "app", "free", "-n", ns.name)["groups"][0]
    assert [(r["number"], r.get("by")) for r in history["revisions"]] == [
        (2, "PolicyRollout calmer"),
        (1, None),
    ]
    assert (
        "session.minutes  30 (default) -> 25 (policy/calmer)"
        in trimtab("diff", "app", "free", "-n", ns.name).stdout
    )
    wait_for(lambda: trimtab("status", "-n", ns.name).returncode == 0, "status says that all is well")

    # and when: the group is undone, then: the rollout that made its revision is
    undone = trimtab("undo", "app", "free", "-n", ns.name, "--reason", "too calm")
    assert undone.returncode == 0, undone.stderr
    assert call("watch", "calmer", "--for", "RolledBack", "--timeout", "60s").returncode == 0
    ns.wait_user("ann", {"agent.temperature": 1.5, "session.minutes": 30})


def _template(ns: Namespace, minutes: int, token: str) -> None:
    creds = {"name": "creds", "kind": "Secret", "format": "JSON", "fileName": "c.json", "include": ["api.*"]}
    values = {"session.minutes": minutes, "api.token": token}
    ns.template(
        keys=[*KEYS, SECRET_KEY], groups=[{"name": "free", "values": values}], outputs=[APP, PREFS, creds]
    )


def _revision(ns: Namespace) -> int:
    group = ns.get("RenderedGroup", "app-free") or {}
    return int(group.get("status", {}).get("currentRevision") or 0)


def test_revisions_are_listed_compared_and_can_be_undone_to(
    operator: Operator, ns: Namespace, trimtab: Shell
) -> None:
    # given: a template that was edited once, its secret too
    _template(ns, 20, "hunter1")
    wait_for(lambda: _revision(ns) == 1, "the first revision")
    _template(ns, 25, "hunter2")
    wait_for(lambda: _revision(ns) == 2, "the second revision")
    ns.rendered()

    # then: history has both, diff tells what changed and nothing secret, undo what would change back
    history = trimtab.json("history", "app", "free", "-n", ns.name)["groups"][0]
    assert [(r["number"], "current" in r["marks"]) for r in history["revisions"]] == [(2, True), (1, False)]
    found = trimtab("diff", "app", "free", "1", "2", "-n", ns.name)
    assert found.returncode == 1
    assert "session.minutes  20 (group/free) -> 25 (group/free)" in found.stdout
    assert (
        "api.token        (sensitive) (group/free) -> (sensitive), another value (group/free)" in found.stdout
    )
    same = trimtab("diff", "app", "free", "2", "2", "-n", ns.name)
    assert (same.returncode, same.stdout.splitlines()[-1]) == (0, "no difference")
    undo = trimtab("undo", "app", "free", "-n", ns.name)
    assert (undo.returncode, "session.minutes  25 (group/free) -> 20 (group/free)" in undo.stdout) == (
        0,
        True,
    )
    sealed = trimtab("undo", "app", "free", "-n", ns.name, "-o", "yaml")
    assert (sealed.returncode, "groups/free/values/api.token are encrypted" in sealed.stderr) == (1, True)
    for answer in (found, same, undo, sealed):
        assert "hunter" not in answer.stdout + answer.stderr


def test_a_user_returns_to_earlier_values(operator: Operator, ns: Namespace, trimtab: Shell) -> None:
    # given: a preference that two people have edited, one of them adding a key
    ns.template()
    ns.preference("ann", {"session.minutes": 5, "session.greeting": "hi"})
    ns.accepted("ann")
    first = preference(ns.name, "ann", {"session.minutes": 5, "session.greeting": "hi"})
    ns.operator_cluster.kubectl("apply", "-f", "-", input=yaml.safe_dump(first))
    ns.api.apply(first, manager="kubectl-ann")  # only people manage it
    _people_only(ns)
    patch = {"spec": {"values": {"session.minutes": 9, "agent.temperature": 1.5}}}
    ns.operator_cluster.kubectl(
        "patch", "upref", "ann", "-n", ns.name, "--type=merge", "-p", yaml.safe_dump(patch)
    )
    ns.wait_user("ann", {"session.minutes": 9, "agent.temperature": 1.5, "session.greeting": "hi"})
    wait_for(lambda: _history(ns) != [], "the operator keeps what was before")

    # when: what differs is looked at, printed and applied
    found = trimtab("diff", "--user", "ann", "-n", ns.name)
    assert found.returncode == 1
    assert "agent.temperature  0.7 (default) -> 1.5 (user)" in found.stdout
    printed = yaml.safe_load(trimtab("undo", "--user", "ann", "-n", ns.name).stdout)
    assert printed["spec"]["values"] == {"session.minutes": 5, "session.greeting": "hi"}
    applied = trimtab("undo", "--user", "ann", "-n", ns.name, "--apply")
    assert applied.returncode == 0, applied.stderr

    # then: the values are the older ones whole, and whoever asks sees who applied them
    assert ns.one("UserPreference", "ann")["spec"]["values"] == {
        "session.minutes": 5,
        "session.greeting": "hi",
    }
    ns.wait_user("ann", {"session.minutes": 5, "agent.temperature": 0.7})
    managers = ns.one("UserPreference", "ann")["metadata"]["managedFields"]
    assert ("trimtab-cli", "Apply") in {(entry["manager"], entry["operation"]) for entry in managers}


def _people_only(ns: Namespace) -> None:
    """Take the test's own client out of the managers: to the command line it is a tool."""
    entries = ns.one("UserPreference", "ann")["metadata"]["managedFields"]
    kept = [entry for entry in entries if entry["manager"] != "tests"]
    ns.api.patch("UserPreference", ns.name, "ann", {"metadata": {"managedFields": kept}})


def _history(ns: Namespace) -> list[Body]:
    return list((ns.one("UserPreference", "ann").get("status") or {}).get("history") or [])


def test_fields_that_a_gitops_tool_applied_are_only_changed_with_force(
    operator: Operator, ns: Namespace, trimtab: Shell
) -> None:
    ns.template()
    for minutes in (5, 9):
        ns.api.apply(preference(ns.name, "ann", {"session.minutes": minutes}), manager="argocd-controller")
        ns.wait_user("ann", {"session.minutes": minutes})
    wait_for(lambda: _history(ns) != [], "the operator keeps what was before")
    refused = trimtab("undo", "--user", "ann", "-n", ns.name, "--apply")
    assert refused.returncode == 1
    assert "managed by field manager argocd-controller, which would revert the change" in refused.stderr

    forced = trimtab("undo", "--user", "ann", "-n", ns.name, "--apply", "--force")
    assert forced.returncode == 0

    ns.wait_user("ann", {"session.minutes": 5})
