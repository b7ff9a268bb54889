"""kill -9 between any two API calls: the next operator reaches the state that an undisturbed one would have."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable
from typing import Any

import pytest

from support.in_memory import SYSTEM, Cluster, Operator, spec
from support.memory_api import Memory
from trimtab.crypto import Keys
from trimtab.engine.leadership.encryption_keys import KEYS_SECRET
from trimtab.engine.leadership.write_guard import WriteGuard
from trimtab.kube.port import Body
from trimtab.kube.resources import (
    CONFIG_MAPS,
    CONFIG_TEMPLATES,
    CONTROLLER_REVISIONS,
    EVENTS,
    POLICY_ROLLOUTS,
    RENDERED_GROUPS,
    SECRETS,
    USER_PREFERENCES,
)

KEYS = Keys((b"MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",), b"digest-key-of-the-tests")
KINDS = (CONFIG_TEMPLATES, USER_PREFERENCES, RENDERED_GROUPS, CONTROLLER_REVISIONS, CONFIG_MAPS, SECRETS)
_OF_THE_SERVER = ("uid", "resourceVersion", "creationTimestamp")

Step = Callable[[Cluster], object]


class Dying(WriteGuard):
    """An API port whose process dies at its ``at``-th write, before or after that has taken effect: no call
    that is made from then on, or that is under way, ever returns."""

    def __init__(self, memory: Memory, at: int, *, after: bool) -> None:
        super().__init__(memory, lambda: True)
        self.count, self.at, self.after = 0, at, after
        self.dead = asyncio.Event()

    def __getattribute__(self, name: str) -> Any:
        call = super().__getattribute__(name)
        if name not in ("get", "create", "apply", "merge_patch", "replace_status", "delete"):
            return call

        async def one(*args: Any, **options: Any) -> Any:
            if name != "get":
                self.count += 1
            now = name != "get" and self.count == self.at
            if now and not self.after:
                self.dead.set()
            if self.dead.is_set():
                await asyncio.Event().wait()
            try:
                return await call(*args, **options)
            finally:
                if now:
                    self.dead.set()
                if self.dead.is_set():
                    await asyncio.Event().wait()

        return one


def state(cluster: Cluster) -> list[Body]:
    """All that the cluster holds, without what differs between any two runs."""
    found = []
    for kind in KINDS:
        for body in cluster.memory.objects(kind):
            meta = {k: v for k, v in body["metadata"].items() if k not in _OF_THE_SERVER}
            body["metadata"] = meta
            (body.get("data") or {}).pop("sealed", None)  # a Fernet token differs each time
            (body.get("status") or {}).pop("epoch", None)
            (body.get("status") or {}).get("operation", {}).pop("uid", None)
            for output in (body.get("status") or {}).get("outputs") or ():
                output.pop("uid", None)
            found.append(body)
    return found + [_rollout(body) for body in cluster.memory.objects(POLICY_ROLLOUTS)] + _events(cluster)


def _rollout(body: Body) -> Body:
    """A rollout without moments; uids of actions count only by number."""
    status = {k: v for k, v in (body.get("status") or {}).items() if not k.endswith(("At", "Since"))}
    told = [{**t, "at": "", "message": _timeless(t.get("message"))} for t in status.get("transitions") or ()]
    status |= {"transitions": told, "handled": len(status.get("handled") or ())}
    for part in ("failure", "halt"):
        if part in status:
            status[part] = {k: v for k, v in status[part].items() if k not in ("at", "since")}
    status["quarantine"] = [q["hash"] for q in status.get("quarantine") or ()]
    conditions = [{**c, "message": _timeless(c.get("message"))} for c in status.get("conditions") or ()]
    return {"rollout": body["metadata"]["name"], **status, "conditions": conditions, "message": ""}


def _events(cluster: Cluster) -> list[Body]:
    """What was told, each as often as it was."""
    told = [
        (e["regarding"]["name"], e["reason"], _timeless(e["note"])) for e in cluster.memory.objects(EVENTS)
    ]
    return [{"event": event} for event in sorted(told)]


def _timeless(message: str | None) -> str:
    return re.sub(r"[0-9-]{10}T[0-9:.]+Z|uid-[0-9]+", "...", message or "")


def fresh() -> Cluster:
    cluster = Cluster("music", "tenant")
    place = {"name": KEYS_SECRET, "namespace": SYSTEM}
    cluster.memory.put(SECRETS, {"metadata": place, "data": KEYS.to_secret()})
    return cluster


async def play(steps: list[Step], at: int = 0, *, after: bool = False) -> tuple[list[list[Body]], bool]:
    """Take the steps one by one; the state after each, and whether somebody died on the way."""
    cluster = fresh()
    dying = Dying(cluster.memory, at, after=after)
    operator = Operator(cluster, dying)
    states: list[list[Body]] = []
    died = False
    operator.start()
    try:
        lead = asyncio.create_task(operator.engine.lead())
        for step in steps:
            step(cluster)
            if not died:
                quiet = asyncio.create_task(_quiet(lead, operator))
                dead = asyncio.create_task(dying.dead.wait())
                await asyncio.wait([quiet, dead], return_when=asyncio.FIRST_COMPLETED)
                if not dying.dead.is_set():
                    dead.cancel()
                    await quiet
                else:
                    died = True
                    quiet.cancel()
                    await operator.kill()
                    operator = Operator(cluster)
                    operator.start()
                    await operator.engine.lead()
            await operator.quiet()
            states.append(state(cluster))
    finally:
        lead.cancel()
        await operator.kill()
    return states, died


async def _quiet(lead: asyncio.Task[None], operator: Operator) -> None:
    await asyncio.shield(lead)
    await operator.quiet()


def _create(cluster: Cluster) -> None:
    cluster.template(SHARDED)
    for name, minutes in (("ann", 5), ("bob", 6), ("cid", "seven")):
        cluster.preference(name, {"session.minutes": minutes})
    cluster.preference("dan", {"agent.temperature": 1.5}, group="paid")


def _move(cluster: Cluster) -> None:
    cluster.preference("bob", {"session.minutes": 8}, group="paid")
    cluster.preference("ann", {"session.minutes": -1})


def edited(base: Body, **changes: Any) -> Step:
    return lambda cluster: cluster.template({**base, **changes})


SECRET_KEY = {"name": "music.token", "type": "String", "sensitive": True, "default": "s3cr3t-canary"}
SHARDED = spec(
    keys=[*spec()["keys"], SECRET_KEY],
    outputs=[*spec()["outputs"], {"name": "creds", "kind": "Secret", "format": "TOML", "fileName": "c.toml"}],
)
PER_USER = {**SHARDED, "users": {"delivery": "PerUser"}}

LIFE: list[Step] = [
    _create,
    edited(SHARDED, groups=[{"name": "free", "values": {"session.minutes": 21}}, {"name": "paid"}]),
    edited(SHARDED, keys=[{"name": "broken", "type": "Number", "default": "x"}]),
    _move,
    lambda cluster: cluster.remove(USER_PREFERENCES, "bob"),
    edited(SHARDED, groups=[{"name": "free"}]),
    edited(PER_USER, groups=[{"name": "free"}]),
    lambda cluster: cluster.remove(CONFIG_TEMPLATES, "app"),
]

RETAINED: list[Step] = [
    lambda cluster: cluster.template({**SHARDED, "deletionPolicy": "Retain"}),
    lambda cluster: cluster.preference("ann", {"session.minutes": 5}),
    lambda cluster: cluster.remove(CONFIG_TEMPLATES, "app"),
]


LOUD: Body = {"enforced": [{"key": "agent.voice", "value": "loud", "reason": "SEC-12"}]}
CALM: Body = {"constraints": [{"key": "agent.temperature", "maximum": 1, "reason": "COST-7"}]}
ASKED: Body = {
    "waves": [
        {"name": "some", "groups": ["free"], "percent": 50, "soak": "2s"},
        {"name": "first", "groups": ["free"], "soak": "2s"},
        {"name": "rest", "approval": True},
    ]
}


def _approve(cluster: Cluster) -> None:
    found = cluster.find(POLICY_ROLLOUTS, "lock") or {}
    cluster.act("Approve", "lock", contentHash=found["status"]["target"]["hash"])


ROLLOUTS: list[Step] = [
    _create,
    lambda cluster: cluster.policy("lock", CALM),
    lambda cluster: cluster.policy("lock", LOUD, strategy=ASKED),
    lambda cluster: cluster.act("Abort", "lock", reason="no"),
    lambda cluster: cluster.act("Retry", "lock"),
    _approve,
    lambda cluster: cluster.act("Undo", "lock"),
    lambda cluster: cluster.remove(POLICY_ROLLOUTS, "lock"),
]


def _difference(left: list[Body], right: list[Body]) -> str:
    lost = [b for b in left if b not in right]
    new = [b for b in right if b not in left]
    return f"undisturbed: {lost}\nwith a crash: {new}"


@pytest.mark.parametrize(
    "steps", [LIFE, RETAINED, ROLLOUTS], ids=["a whole life", "deletionPolicy Retain", "rollouts"]
)
@pytest.mark.parametrize("after", [False, True], ids=["before the write", "after the write"])
async def test_a_crash_at_any_write_changes_nothing_in_the_end(steps: list[Step], after: bool) -> None:
    undisturbed, _ = await play(steps)
    at, died = 0, True
    while died:
        at += 1
        states, died = await play(steps, at, after=after)
        for number, (expected, got) in enumerate(zip(undisturbed, states, strict=True)):
            assert got == expected, f"write {at}, step {number}: {_difference(expected, got)}"
    assert at > 20 or steps is RETAINED


async def test_an_undisturbed_life_ends_with_nothing_left_behind() -> None:
    states, _ = await play(LIFE)

    kinds = [body["kind"] for body in states[-1]]

    assert sorted(set(kinds)) == ["Secret", "UserPreference"], "the keys and the preferences alone"
    assert kinds.count("Secret") == 1


async def test_the_keys_are_created_once_even_if_the_first_leader_dies_meanwhile() -> None:
    cluster = Cluster()
    cluster.template()
    for after in (False, True):
        dying = Dying(cluster.memory, 1, after=after)
        operator = Operator(cluster, dying)
        operator.start()
        lead = asyncio.create_task(operator.engine.lead())
        await dying.dead.wait()
        lead.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await lead
        await operator.kill()
    kept = cluster.find(SECRETS, KEYS_SECRET, SYSTEM)
    async with Operator(cluster) as operator:
        await operator.quiet()

    assert kept is not None
    assert cluster.find(SECRETS, KEYS_SECRET, SYSTEM) == kept
