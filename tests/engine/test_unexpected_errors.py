"""Unexpected errors: the status of the object that causes them reports it, without effect on others."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from support.in_memory import Cluster, Operator, settled
from support.wave_rollouts import LOCK, calm, until, waves
from trimtab.core.resolve.resolve import GroupView, Resolution
from trimtab.engine.scheduling.failures import fault
from trimtab.kube import errors
from trimtab.kube.resources import POLICY_ROLLOUTS, RENDERED_GROUPS, USER_PREFERENCES

EVIL = {"agent.voice": "s3cr3t"}


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """One whose values the operator cannot judge."""
    resolve = GroupView.resolve

    def failing(view: GroupView, values: dict[str, Any]) -> Resolution:
        if EVIL["agent.voice"] in str(values):
            raise RuntimeError(f"what is {values}?")
        return resolve(view, values)

    monkeypatch.setattr(GroupView, "resolve", failing)
    cluster = Cluster()
    cluster.template(calm())
    for name in ("ann", "bob"):
        cluster.preference(name, {"session.minutes": 5})
    return cluster


async def test_a_user_who_cannot_be_evaluated_keeps_their_content_and_blocks_no_other(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    await settled(cluster)
    caplog.set_level(logging.INFO)
    before = cluster.file("ann")
    async with Operator(cluster) as operator:
        cluster.preference("ann", EVIL)
        cluster.preference("new", EVIL)
        await asyncio.sleep(1)
        cluster.preference("bob", {"session.minutes": 7})
        cluster.template(calm(profiles=[{"name": "p"}]))
        await operator.quiet()

        assert cluster.file("ann") == before
        assert cluster.file("new") is None
        assert '"minutes":7' in (cluster.file("bob") or "")
        for name in ("ann", "new"):
            assert cluster.ready(USER_PREFERENCES, name) == ("False", "InternalError")
        assert "RuntimeError" in cluster.message(USER_PREFERENCES, "ann")
        assert "what was accepted last stays in force" in cluster.message(USER_PREFERENCES, "ann")
        assert cluster.find_status("ann")["accepted"]["values"] == {"session.minutes": 5}
        assert cluster.ready(RENDERED_GROUPS, "app-free") == ("True", "Rendered")

        cluster.preference("ann", {"session.minutes": 9})
        await operator.quiet()
        assert '"minutes":9' in (cluster.file("ann") or "")
    assert "s3cr3t" not in caplog.text
    assert "in failing" in caplog.text


async def test_a_user_who_cannot_be_evaluated_blocks_no_policy(cluster: Cluster) -> None:
    cluster.preference("ann", EVIL)
    cluster.policy("p", LOCK, strategy=waves())
    async with Operator(cluster):
        await until(cluster, "Succeeded", "p", POLICY_ROLLOUTS)


async def test_a_failing_pass_reports_where_and_never_which_values(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with Operator(cluster) as operator:
        await operator.quiet()

        async def failing(*_: object) -> None:
            raise ValueError("-".join(EVIL.values()))

        monkeypatch.setattr(type(operator.term.groups), "reconcile", failing)
        cluster.preference("bob", {"session.minutes": 7})
        await asyncio.sleep(5)
    assert "ValueError" in caplog.text
    assert "in failing" in caplog.text
    assert "s3cr3t" not in caplog.text


def test_a_message_of_the_api_server_is_repeated() -> None:
    assert fault(errors.ForbiddenError(403, "Forbidden", "not you")) == "403 Forbidden: not you"
