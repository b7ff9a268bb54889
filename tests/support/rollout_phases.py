"""Rollouts in each of their phases, to begin tests with."""

from __future__ import annotations

from typing import Any

from support.rollout_follower import Place, strategy

GATE = {"name": "errors", "interval": "30s", "http": {"url": "http://errors"}}
JOB = {"name": "smoke", "job": {"cronJob": "smoke"}}
TWO_WAVES = [{"name": "canary", "groups": ["a"], "soak": "5m"}, {"name": "all", "soak": "5m"}]


def place(spec: dict[str, Any] | None = None, **fields: Any) -> Place:
    return Place(strategy(spec or {}), **fields)


def canary(**fields: Any) -> Place:
    """Its first wave (group a, 5m of soak) has started and its group has followed; one gate."""
    made = place({"waves": TWO_WAVES, "gates": [GATE], **fields})
    made.settle()
    assert (made.phase, made.progress.current_wave) == ("Progressing", 1)
    return made


def soaking(**fields: Any) -> Place:
    """As :func:`canary`, once its gate has passed."""
    made = canary(**fields)
    made.measure("Successful")
    made.settle()
    assert made.phase == "Soaking"
    return made


def second(**fields: Any) -> Place:
    """The second wave has started and its groups have followed."""
    made = soaking(**fields)
    made.pass_time(300)
    assert (made.phase, made.progress.current_wave) == ("Progressing", 2)
    return made


def succeeded(**fields: Any) -> Place:
    made = second(**fields)
    made.measure("Successful")
    made.settle()
    made.pass_time(300)
    assert made.phase == "Succeeded"
    return made


def rolled_back(**fields: Any) -> Place:
    made = canary(**fields)
    made.measure("Failed")
    made.settle()
    assert made.phase == "RolledBack"
    return made


def awaiting() -> Place:
    made = place({"waves": [{"name": "all", "approval": True}], "gates": [GATE]})
    made.settle()
    return made


def waiting() -> Place:
    made = place({"freezes": [{"schedule": "0 6 * * *", "duration": "3h"}], "gates": [GATE]})
    made.settle()
    return made


def rejected() -> Place:
    made = place(target=None)
    made.settle()
    return made


def rejected_midway() -> Place:
    made = canary()
    made.target = None
    made.settle()
    return made


def paused() -> Place:
    made = canary()
    made.ask("Pause")
    return made


def paused_by_spec() -> Place:
    return place({"paused": True, "gates": [GATE]})


def pending() -> Place:
    made = place(previewed=False)
    made.settle()
    return made


def rolling_back() -> Place:
    made = second()
    made.ask("Abort")
    return made


def rollback_failed() -> Place:
    made = rolling_back()
    for _ in range(11):
        made.now += 60
        made.act()
    return made


def moving() -> Place:
    made = place({"gates": [GATE]})
    made.act()
    return made


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
