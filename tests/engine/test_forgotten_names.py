"""No state of deleted objects is kept, whichever new names are created and deleted."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from typing import Any

from support.failing_writes import BROKEN, Refusing, word
from support.in_memory import HOME, Cluster, Operator, spec
from support.wave_rollouts import CLAMP, LOCK
from trimtab.kube.resources import (
    CONFIG_MAPS,
    CONFIG_TEMPLATES,
    NAMESPACES,
    POLICY_ROLLOUTS,
    ROLLOUT_ACTIONS,
    USER_PREFERENCES,
)

MANY = (dict, set, frozenset, list, deque)


def held(engine: Any) -> Counter[str]:
    """How many elements each kind of container has that belongs to the engine."""
    found: Counter[str] = Counter()
    seen, todo = set[int](), [("Engine", engine)]
    while todo:
        path, one = todo.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        kind = type(one)
        if isinstance(one, (*MANY, tuple)):
            found[path] += len(one) if isinstance(one, MANY) else 0
            todo += [(f"{path}[]", each) for each in (one.values() if isinstance(one, dict) else one)]
        elif kind.__module__.startswith("trimtab"):
            slots = [name for base in kind.__mro__ for name in getattr(base, "__slots__", ())]
            names = {*getattr(one, "__dict__", ()), *slots, *getattr(kind, "__struct_fields__", ())}
            todo += [(f"{kind.__name__}.{name}", getattr(one, name, None)) for name in names]
    return found


async def come_and_go(cluster: Cluster, api: Refusing, names: list[str]) -> None:
    """Templates good and bad, with and without a strategy, in namespaces of their own; users of all kinds, policies
    and actions; drift and refusals. At the end nothing of it is there."""
    keys = [*spec()["keys"], {"name": "token", "type": "String", "default": "x", "sensitive": True}]
    bad = {"keys": [{"name": "broken", "type": "Number", "default": "x"}]}
    waves = {"waves": [{"name": "some", "percent": 50, "soak": "1h"}, {"name": "all"}]}
    for name in names:
        cluster.namespace(name, {"a": "b"}, {"trimtab.dev/allow-from": HOME})
        workloads = [{"kind": "Deployment", "name": f"web-{name}"}]
        selector = {"matchLabels": {"a": "b"}}
        free = {
            "name": "free",
            "maxUsers": 2,
            "workloads": workloads,
            "preferenceNamespaceSelector": selector,
        }
        free["targetNamespace"] = name
        more: dict[str, dict[str, Any]] = {
            "": {},
            "-own": {"users": {"delivery": "PerUser"}},
            "-bad": bad,
            "-waves": {"strategy": waves},
        }
        for suffix, fields in more.items():
            cluster.template(
                spec(**{"groups": [free, {"name": "paid"}], "keys": keys, **fields}), f"{name}{suffix}"
            )
        for suffix in (*more, "-none"):
            template = f"{name}{suffix}"
            for user in "abc":
                cluster.preference(f"{user}-{template}", template=template, namespace=name)
            cluster.preference(f"d-{template}", {"agent.voice": "FORBIDDEN"}, template=template, group="paid")
            cluster.preference(f"e-{template}", template=template, group="nope", user=f"a-{template}")
            cluster.policy(f"p-{template}", LOCK, template=template)
            cluster.policy(f"q-{template}", CLAMP, template=template, strategy=waves)
        cluster.act("Pause", f"p-{name}")
        cluster.act("Pause", f"nothing-{name}")
    await asyncio.sleep(60)
    api.rules.append(word("FORBIDDEN"))
    for name in names:
        cluster.template(spec(keys=keys, strategy=waves), f"{name}-waves")
        cluster.preference(f"f-{name}", {"agent.voice": "FORBIDDEN"}, template=name, group="paid")
    for body in list(cluster.outputs()):
        if body["kind"] == "ConfigMap":
            cluster.memory.put(CONFIG_MAPS, {**body, "data": {**body["data"], "x.y": "z"}})
    await asyncio.sleep(60)
    api.rules.append(word("", BROKEN))
    await asyncio.sleep(300)
    api.rules.clear()
    for resource in (USER_PREFERENCES, POLICY_ROLLOUTS, CONFIG_TEMPLATES, ROLLOUT_ACTIONS):
        for body in list(cluster.memory.objects(resource)):
            cluster.remove(resource, body["metadata"]["name"], body["metadata"]["namespace"])
        await asyncio.sleep(20)
    for name in names:
        cluster.remove(NAMESPACES, name, "")
    await asyncio.sleep(1500)
    assert not list(cluster.documents())


async def test_deleted_objects_leave_nothing_behind() -> None:
    cluster = Cluster()
    api = Refusing(cluster)
    async with Operator(cluster, api) as operator:
        await come_and_go(cluster, api, ["one"])
        before = held(operator.engine)
        await come_and_go(cluster, api, [f"many-{number}" for number in range(4)])
        after = held(operator.engine)
    assert {path: count for path, count in after.items() if count > before[path]} == {}
