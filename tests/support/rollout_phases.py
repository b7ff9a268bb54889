"""Rollouts in each of their phases, to begin tests with."""

from __future__ import annotations

from typing import Any

from support.rollout_follower import RolloutModel, strategy

GATE = {"name": "errors", "interval": "30s", "http": {"url": "http://errors"}}
JOB = {"name": "smoke", "job": {"cronJob": "smoke"}}
TWO_WAVES = [{"name": "canary", "groups": ["a"], "soak": "5m"}, {"name": "all", "soak": "5m"}]


def new_rollout(spec: dict[str, Any] | None = None, **fields: Any) -> RolloutModel:
    return RolloutModel(strategy(spec or {}), **fields)


def canary(**fields: Any) -> RolloutModel:
    """Its first wave (group a, 5m of soak) has started and its group has followed; one gate."""
    rollout = new_rollout({"waves": TWO_WAVES, "gates": [GATE], **fields})
    rollout.settle()
    assert (rollout.phase, rollout.progress.current_wave) == ("Progressing", 1)
    return rollout


def soaking(**fields: Any) -> RolloutModel:
    """As :func:`canary`, once its gate has passed."""
    rollout = canary(**fields)
    rollout.measure("Successful")
    rollout.settle()
    assert rollout.phase == "Soaking"
    return rollout


def second(**fields: Any) -> RolloutModel:
    """The second wave has started and its groups have followed."""
    rollout = soaking(**fields)
    rollout.pass_time(300)
    assert (rollout.phase, rollout.progress.current_wave) == ("Progressing", 2)
    return rollout


def succeeded(**fields: Any) -> RolloutModel:
    rollout = second(**fields)
    rollout.measure("Successful")
    rollout.settle()
    rollout.pass_time(300)
    assert rollout.phase == "Succeeded"
    return rollout


def rolled_back(**fields: Any) -> RolloutModel:
    rollout = canary(**fields)
    rollout.measure("Failed")
    rollout.settle()
    assert rollout.phase == "RolledBack"
    return rollout


def awaiting() -> RolloutModel:
    rollout = new_rollout({"waves": [{"name": "all", "approval": True}], "gates": [GATE]})
    rollout.settle()
    return rollout


def waiting() -> RolloutModel:
    rollout = new_rollout({"freezes": [{"schedule": "0 6 * * *", "duration": "3h"}], "gates": [GATE]})
    rollout.settle()
    return rollout


def rejected() -> RolloutModel:
    rollout = new_rollout(target=None)
    rollout.settle()
    return rollout


def rejected_midway() -> RolloutModel:
    rollout = canary()
    rollout.target = None
    rollout.settle()
    return rollout


def paused() -> RolloutModel:
    rollout = canary()
    rollout.ask("Pause")
    return rollout


def paused_by_spec() -> RolloutModel:
    return new_rollout({"paused": True, "gates": [GATE]})


def pending() -> RolloutModel:
    rollout = new_rollout(previewed=False)
    rollout.settle()
    return rollout


def rolling_back() -> RolloutModel:
    rollout = second()
    rollout.ask("Abort")
    return rollout


def rollback_failed() -> RolloutModel:
    rollout = rolling_back()
    for _ in range(11):
        rollout.now += 60
        rollout.act()
    return rollout


def moving() -> RolloutModel:
    rollout = new_rollout({"gates": [GATE]})
    rollout.act()
    return rollout


STATES = {
    "Pending": pending,
    "Waiting": waiting,
    "AwaitingApproval": awaiting,
    "Rejected": rejected,
    "Rejected, midway": rejected_midway,
    "Progressing": canary,
    "Progressing, groups not updated": moving,
    "Soaking": soaking,
    "Paused": paused,
    "Paused by the spec": paused_by_spec,
    "Succeeded": succeeded,
    "RollingBack": rolling_back,
    "RolledBack": rolled_back,
    "RollbackFailed": rollback_failed,
}
