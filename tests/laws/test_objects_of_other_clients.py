"""Trimtab never touches what it did not make, and never serves a byte of it (README)."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.failing_writes import Flaky
from support.in_memory import HOME, Cluster, Operator, spec
from support.virtual_time import run
from trimtab.core import naming
from trimtab.core.refs import GroupKey
from trimtab.kube.port import Body
from trimtab.kube.resources import CONFIG_MAPS, CONFIG_TEMPLATES, RENDERED_GROUPS, SECRETS, USER_PREFERENCES

FORGED = "Rk9SR0VE"
"""Valid in a ConfigMap and as base64 in a Secret."""
USERS = ("ann", "bob", "cid")
NAMES = (
    *("planted", "app-free", "app-paid", "app-free-users-0", "app-free-users-1", "app-free-users-7"),
    *("app-paid-users-0", "app-u-ann", "app-u-bob", "app-u-zed", "app-u-", "app-free-users-00"),
)
CHANCE = st.integers(0, 2**32).map(random.Random)

Place = tuple[str, str, str]


def _foreign(cluster: Cluster, chance: random.Random) -> Body | None:
    """An object as an attacker or a copying controller makes it, where nothing stands yet."""
    name, namespace = chance.choice(NAMES), chance.choice(("aaa", "tenant", HOME))
    resource = chance.choice((CONFIG_MAPS, SECRETS))
    if cluster.find(resource, name, namespace) is not None:
        return None
    group = GroupKey(HOME, chance.choice(("app", "nothing")), chance.choice(("free", "paid", "none")))
    labels = {k: v for k, v in naming.group_labels(group).items() if chance.random() < 0.95}
    labels |= {naming.LABEL_SHARD: "7"} if chance.random() < 0.5 else {}
    meta: Body = {"name": name, "namespace": namespace, "labels": labels}
    meta["annotations"] = {naming.ANNOTATION_USER: chance.choice(USERS), naming.ANNOTATION_REVISION: "9"}
    meta["managedFields"] = [{"manager": "trimtab", "operation": chance.choice(("Apply", "Update"))}]
    real = list(cluster.outputs())
    if real and chance.random() < 0.7:
        theirs = chance.choice(real)["metadata"]
        if (theirs["namespace"], theirs["name"]) != (namespace, name):
            meta["annotations"] |= theirs.get("annotations") or {}
    data = {f"{chance.choice(USERS)}.prefs.json": FORGED, "prefs.json": FORGED, "config.yaml": FORGED}
    return cluster.memory.put(resource, {"metadata": meta, "data": data})


def _act(cluster: Cluster, chance: random.Random) -> None:
    act = chance.choice(
        ("template", "pref", "pref", "suspend", "unpref", "untemplate", "lose group", "target")
    )
    user = chance.choice(USERS)
    groups = chance.choice(([{"name": "free"}, {"name": "paid"}], [{"name": "paid"}]))
    delivery = {"delivery": chance.choice(("Sharded", "PerUser"))}
    if act == "template":
        cluster.template(spec(users=delivery, groups=groups))
    elif act == "target":
        cluster.template(spec(users=delivery, groups=[{"name": "free", "targetNamespace": "tenant"}]))
    elif act in ("pref", "suspend"):
        values = {"agent.voice": chance.choice("xyz")}
        cluster.preference(user, values, group=chance.choice(("free", "paid")), suspend=act == "suspend")
    elif act == "unpref" and cluster.find(USER_PREFERENCES, user):
        cluster.remove(USER_PREFERENCES, user)
    elif act == "untemplate" and cluster.find(CONFIG_TEMPLATES, "app"):
        cluster.remove(CONFIG_TEMPLATES, "app")
    elif act == "lose group":
        found = cluster.memory.objects(RENDERED_GROUPS)
        if found:
            cluster.remove(RENDERED_GROUPS, chance.choice(found)["metadata"]["name"])


def _place(body: Body) -> Place:
    return body["kind"], body["metadata"]["namespace"], body["metadata"]["name"]


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(CHANCE, st.integers(3, 25), st.booleans())
def test_what_trimtab_did_not_make_never_changes_and_is_never_served(
    chance: random.Random, steps: int, flaky: bool
) -> None:
    """Forged labels, copied marks and manager names, among edits, failed writes and restarts."""

    async def scene() -> None:
        cluster = Cluster(HOME, "aaa")
        cluster.namespace("tenant", annotations={naming.ANNOTATION_ALLOW_FROM: HOME})
        api = Flaky(cluster, chance)
        api.calm = True
        planted: dict[Place, Body] = {}
        cluster.template()

        async def start() -> Operator:
            api.calm = True
            operator = Operator(cluster, api)
            operator.start()
            await operator.engine.lead()
            api.calm = not flaky
            return operator

        operator = await start()
        for _ in range(steps):
            body: Any = None
            if chance.random() < 0.5:
                body = _foreign(cluster, chance)
            else:
                _act(cluster, chance)
            if body is not None:
                planted[_place(body)] = body
            for _ in range(chance.choice((0, 1, 5, 60))):
                await asyncio.sleep(0)
            if chance.random() < 0.2:
                await operator.kill()
                operator = await start()
        api.calm = True
        await operator.quiet()
        await operator.kill()

        found = {_place(b): b for kind in (CONFIG_MAPS, SECRETS) for b in cluster.memory.objects(kind)}
        assert {place: found.get(place) for place in planted} == planted
        for place, body in found.items():
            assert place in planted or FORGED not in str(body.get("data")), place

    run(scene())
