"""Laws of the desired state: it is what the engine makes of the same objects, on the API server in memory."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.expected_outputs import differences, expected
from support.in_memory import HOME, SYSTEM, Cluster, settled, spec
from support.virtual_time import run
from trimtab.core import naming
from trimtab.crypto import Keys
from trimtab.kube import resources
from trimtab.kube.port import Body
from trimtab.kube.resources import CONFIG_TEMPLATES, SECRETS, USER_PREFERENCES, Resource

KEYS = Keys((b"MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",), b"digest-key-of-the-tests")
KINDS = {found.kind: found for found in vars(resources).values() if isinstance(found, Resource)}
TENANT = {"matchLabels": {"tenant": "yes"}}
NAMESPACES = (HOME, "blue", "green")

GROUPS = st.fixed_dictionaries(
    {},
    optional={
        "maxUsers": st.integers(1, 3),
        "preferenceNamespaceSelector": st.just(TENANT),
        "targetNamespace": st.sampled_from(NAMESPACES),
        "values": st.sampled_from([{"session.minutes": 20}, {"agent.voice": "deep"}]),
    },
)
TEMPLATES = st.fixed_dictionaries(
    {
        "groups": st.fixed_dictionaries({"free": GROUPS, "paid": GROUPS}, optional={"free-paid": GROUPS}),
        "delivery": st.sampled_from(["Sharded", "PerUser", "None"]),
        "broken": st.sampled_from([False, False, False, True]),
    }
)
VALUES = st.sampled_from(
    [{}, {"session.minutes": 5}, {"session.minutes": -1}, {"agent.voice": "x"}, {"agent.temperature": "hot"}]
)
PREFERENCES = st.fixed_dictionaries(
    {
        "user": st.sampled_from(["ann", "bob", "cid", "_default"]),
        "group": st.sampled_from(["free", "paid", "paid", "none"]),
        "template": st.sampled_from(["app", "app", "app-free", "absent"]),
        "namespace": st.sampled_from(NAMESPACES),
        "values": VALUES,
    },
    optional={"suspend": st.booleans(), "schemaVersion": st.integers(1, 2), "flags": st.just({"x": "on"})},
)
MARKS = st.fixed_dictionaries({"tenant": st.booleans(), "allowed": st.booleans()})


def _body(made: Body) -> Body:
    groups = [{"name": name, **fields} for name, fields in made["groups"].items()]
    broken = {"keys": [{"name": "x", "type": "Number", "default": "x"}]} if made["broken"] else {}
    return spec(groups=groups, users={"delivery": made["delivery"]}, **broken)


def _put(
    cluster: Cluster, templates: Body, preferences: dict[str, Body], namespaces: dict[str, Body]
) -> None:
    for name, marks in namespaces.items():
        allowed = {naming.ANNOTATION_ALLOW_FROM: HOME} if marks["allowed"] else {}
        cluster.namespace(name, {"tenant": "yes"} if marks["tenant"] else {}, allowed)
    for age, (name, made) in enumerate(templates.items()):
        if made is not None:
            cluster.template(_body(made), name, creationTimestamp=f"2026-01-0{age + 1}T00:00:00Z")
    for age, (name, made) in enumerate(preferences.items()):
        fields: dict[str, Any] = {k: v for k, v in made.items() if k not in ("values", "namespace")}
        meta = {"creationTimestamp": f"2026-01-1{age % 3}T00:00:00Z"}
        cluster.preference(name, made["values"], namespace=made["namespace"], meta=meta, **fields)


@settings(max_examples=80, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.fixed_dictionaries({"app": TEMPLATES, "app-free": st.none() | TEMPLATES}),
    st.dictionaries(st.sampled_from(["ann", "bob", "p1", "p2", "p3", "p4"]), PREFERENCES, max_size=6),
    st.fixed_dictionaries(dict.fromkeys(NAMESPACES, MARKS)),
)
def test_the_engine_makes_exactly_the_desired_state(
    templates: Body, preferences: dict[str, Body], namespaces: dict[str, Body]
) -> None:
    cluster = Cluster(*NAMESPACES)
    keys = {"metadata": {"name": "trimtab-keys", "namespace": SYSTEM}, "data": KEYS.to_secret()}
    cluster.memory.put(SECRETS, keys)
    _put(cluster, templates, preferences, namespaces)

    def objects(kind: str) -> list[Body]:
        return cluster.memory.objects(KINDS[kind])

    fresh = expected(objects, KEYS, collisions=True)
    run(settled(cluster))

    assert not differences(expected(objects, KEYS, collisions=True), objects)
    assert not [*_changed(fresh.ready, cluster)], "what was expected before the engine had seen anything"


def _changed(ready: dict[tuple[str, str, str], tuple[str, str]], cluster: Cluster) -> list[str]:
    found = []
    for kind in (CONFIG_TEMPLATES, USER_PREFERENCES):
        for item in cluster.memory.objects(kind):
            place = item["metadata"]["namespace"], item["metadata"]["name"]
            says = cluster.ready(kind, place[1], place[0])
            if says != ready[kind.kind, *place]:
                found.append(f"{kind.kind} {place}: {says}, expected {ready[kind.kind, *place]}")
    return found
