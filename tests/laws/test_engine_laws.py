"""Laws of the whole engine, on the API server in memory."""

from __future__ import annotations

import asyncio
import copy
import logging
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import generate_latest

from support.failing_writes import Flaky
from support.in_memory import HOME, Cluster, Operator, settled, spec
from support.manifests import preference_spec
from support.random_templates import CANARY, JSON, Template, cases, values_for
from support.virtual_time import run
from trimtab.engine.leadership.write_guard import WriteGuard
from trimtab.kube import errors
from trimtab.kube.port import Body
from trimtab.kube.resources import (
    CONFIG_MAPS,
    CONFIG_TEMPLATES,
    CONTROLLER_REVISIONS,
    RENDERED_GROUPS,
    USER_PREFERENCES,
)

USERS = ("ann", "bob", "cid", "dan")
CHANCE = st.integers(0, 2**32).map(random.Random)
"""Seeded by Hypothesis, but not drawn from it: how often it is asked depends on timers."""
few = settings(
    max_examples=25, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)


def served(cluster: Cluster) -> dict[tuple[str, ...], Any]:
    """What people see: documents, and every verdict."""
    made: dict[tuple[str, ...], Any] = dict(cluster.documents())
    for kind in (CONFIG_TEMPLATES, USER_PREFERENCES, RENDERED_GROUPS):
        for body in cluster.memory.objects(kind):
            name = (kind.kind, body["metadata"]["namespace"], body["metadata"]["name"])
            made[name] = cluster.ready(kind, name[2], name[1])
    return made


def template(made: Template) -> Body:
    return {"metadata": {"name": "app", "namespace": HOME}, "spec": made.spec}


def preference(name: str, values: Body, age: int, **fields: Any) -> Body:
    meta = {
        "name": name,
        "namespace": HOME,
        "uid": f"u{age}",
        "creationTimestamp": f"2026-01-0{age}T00:00:00Z",
    }
    return {"metadata": meta, "spec": preference_spec(values, group="g", **fields)}


def put_all(cluster: Cluster, objects: list[Body]) -> None:
    for body in objects:
        kind = USER_PREFERENCES if "templateRef" in body["spec"] else CONFIG_TEMPLATES
        cluster.memory.put(kind, body)


# One scene, several orders


@few
@given(cases(users=4), CHANCE, st.booleans())
def test_the_order_of_events_does_not_change_any_document(
    case: tuple[Template, list[Body]], chance: random.Random, contested: bool
) -> None:
    made, values = case
    made.spec["groups"][0]["maxUsers"] = 3
    users = [
        preference(name, values[n], n + 1, **({"user": "same"} if contested and n % 2 else {}))
        for n, name in enumerate(USERS)
    ]
    objects = [template(made), *users]

    async def scene() -> None:
        at_once, one_by_one = Cluster(), Cluster()
        put_all(at_once, objects)
        await settled(at_once)
        async with Operator(one_by_one) as operator:
            shuffled = objects.copy()
            chance.shuffle(shuffled)
            for body in shuffled:
                put_all(one_by_one, [body])
                for _ in range(chance.choice([0, 0, 1, 5, 40])):
                    await asyncio.sleep(0)
            await operator.quiet()
        assert served(one_by_one) == served(at_once)

    run(scene())


@few
@given(cases(users=3, sensitive=True))
def test_restarting_changes_nothing_and_writes_nothing(case: tuple[Template, list[Body]]) -> None:
    made, values = case

    async def scene() -> None:
        cluster = Cluster()
        put_all(cluster, [template(made), *(preference(USERS[n], v, n + 1) for n, v in enumerate(values))])
        await settled(cluster)
        assert await settled(cluster) == []

    run(scene())


@few
@given(cases(users=3))
def test_no_user_s_document_depends_on_another_user(case: tuple[Template, list[Body]]) -> None:
    made, values = case
    users = [preference(USERS[n], v, n + 1) for n, v in enumerate(values)]

    async def scene() -> None:
        together = Cluster()
        put_all(together, [template(made), *users])
        await settled(together)
        for body in users:
            alone = Cluster()
            put_all(alone, [template(made), body])
            await settled(alone)
            both = served(together)
            assert {place: both.get(place) for place in served(alone) if "app" not in place[1:3]} == {
                place: text for place, text in served(alone).items() if "app" not in place[1:3]
            }

    run(scene())


# What must never be seen


@few
@given(cases(users=2, sensitive=True), st.data())
def test_no_sensitive_value_leaves_secrets(
    caplog: pytest.LogCaptureFixture, case: tuple[Template, list[Body]], data: st.DataObject
) -> None:
    """Not even when the template is broken, a preference holds one in clear, or a write is refused."""
    made, values = case
    secret = [key["name"] for key in made.spec["keys"] if key.get("sensitive")]
    for entry in values:
        for name in secret:
            entry[name] = data.draw(st.sampled_from([CANARY, [CANARY], {CANARY: CANARY}, {"x": CANARY}]))
    broken = copy.deepcopy(made.spec)
    for key in broken["keys"]:
        if key.get("sensitive"):
            key["default"] = data.draw(st.sampled_from([{CANARY: [CANARY]}, [[CANARY]]]))

    class Refusing(WriteGuard):
        async def apply(self, resource: Any, body: Body, **options: Any) -> Body:
            if resource.kind == "Secret" and refusals:
                refusals.pop()
                raise errors.InvalidError(422, "Invalid", f"data: {body['data']} is not valid")
            return await super().apply(resource, body, **options)

    refusals = [1, 1]

    async def scene() -> None:
        cluster = Cluster()
        put_all(cluster, [template(made), *(preference(USERS[n], v, n + 1) for n, v in enumerate(values))])
        async with Operator(cluster, Refusing(cluster.memory, lambda: True)) as operator:
            await operator.quiet()
            cluster.memory.put(CONFIG_TEMPLATES, {**template(made), "spec": broken})
            await operator.quiet()
        for kind in (CONFIG_MAPS, CONTROLLER_REVISIONS, RENDERED_GROUPS, CONFIG_TEMPLATES, USER_PREFERENCES):
            for body in cluster.memory.objects(kind):
                written = body if kind not in (CONFIG_TEMPLATES, USER_PREFERENCES) else body.get("status")
                assert CANARY not in str(written), kind.kind

    caplog.clear()
    with caplog.at_level(logging.DEBUG):
        run(scene())
    said = [str(vars(record)) for record in caplog.records if record.name != "asyncio"]
    assert CANARY not in "\n".join(said)
    assert CANARY not in generate_latest().decode()


@few
@given(
    cases(users=1), st.lists(st.dictionaries(st.text(max_size=5), JSON, max_size=4), max_size=4), st.data()
)
def test_hostile_objects_harm_no_other(
    case: tuple[Template, list[Body]], specs: list[Body], data: st.DataObject
) -> None:
    made, (values,) = case
    fields = ["templateRef", "group", "values", "user", "schemaVersion", "suspend", "flags", "sealedValues"]
    hostile: list[tuple[Body, Any]] = []
    for given_spec in specs:
        base = {"templateRef": {"name": "app"}, "group": "g", "values": data.draw(values_for(made))}
        base |= {data.draw(st.sampled_from(fields)): data.draw(JSON)} | given_spec
        hostile.append((base, data.draw(JSON)))

    async def scene() -> None:
        calm, rough = Cluster(), Cluster()
        for cluster in (calm, rough):
            put_all(cluster, [template(made), preference("ann", values, 1)])
        for number, (body, status) in enumerate(hostile):
            meta = {"name": f"h{number}", "namespace": HOME, "creationTimestamp": "2026-02-01T00:00:00Z"}
            rough.memory.put(USER_PREFERENCES, {"metadata": meta, "spec": body, "status": status})
        await settled(calm)
        await settled(rough)
        expected = {place: text for place, text in served(calm).items() if "ann" in place[-1]}
        assert expected.items() <= served(rough).items()

    run(scene())


# Whatever happens


def _mischief(cluster: Cluster, chance: random.Random, deliveries: list[str]) -> None:
    """One thing that people, or the machine, do."""
    memory = cluster.memory
    act = chance.choice(
        ["pref"] * 6 + ["unpref", "template", "template", "broken", "edit", "lose", "break", "compact"]
    )
    if act == "pref":
        values = {"session.minutes": chance.choice([-1, 5, "6", 7]), "agent.voice": chance.choice("xyz")}
        cluster.preference(chance.choice(USERS), values, group=chance.choice(["free", "paid"]))
    elif act == "unpref":
        found = memory.objects(USER_PREFERENCES)
        if found:
            cluster.remove(USER_PREFERENCES, chance.choice(found)["metadata"]["name"])
    elif act in ("template", "broken"):
        broken = {"keys": [{"name": "x", "type": "Number", "default": "x"}]} if act == "broken" else {}
        cluster.template(spec(users={"delivery": chance.choice(deliveries)}, **broken))
    elif act in ("edit", "lose"):
        found = memory.objects(CONFIG_MAPS)
        if found:
            body = chance.choice(found)
            if act == "lose":
                cluster.remove(CONFIG_MAPS, body["metadata"]["name"])
            else:
                memory.put(
                    CONFIG_MAPS, {**body, "data": {**(body.get("data") or {}), "ann.prefs.json": "theirs"}}
                )
    elif act == "break":
        memory.break_watches()
    else:
        memory.compact()


@settings(few, max_examples=40)
@given(CHANCE, st.integers(1, 30), st.booleans())
def test_whatever_happens_the_end_is_what_a_fresh_operator_would_make(
    chance: random.Random, steps: int, streams: bool
) -> None:
    """Edits, drift, broken watches, failed writes and crashes; then the same specs on a cluster that saw none of it."""

    async def scene() -> None:
        cluster = Cluster()
        cluster.memory.streams = streams
        api = Flaky(cluster, chance)
        operator = Operator(cluster)
        operator.start()
        await operator.engine.lead()
        await operator.kill()
        operator = Operator(cluster, api)
        operator.start()
        await operator.engine.lead()
        for _ in range(steps):
            _mischief(cluster, chance, ["Sharded", "PerUser", "None"])
            for _ in range(chance.choice([0, 0, 1, 5, 40])):
                await asyncio.sleep(0)
            if chance.random() < 0.1:
                await operator.kill()
                operator = Operator(cluster, api)
                operator.start()
                await operator.engine.lead()
        api.calm = True
        cluster.template(spec(users={"delivery": chance.choice(["Sharded", "PerUser", "None"])}))
        for body in cluster.memory.objects(USER_PREFERENCES):
            values = {"agent.voice": chance.choice("xyz")}
            cluster.preference(body["metadata"]["name"], values, group=body["spec"]["group"])
        await operator.quiet()
        await operator.kill()

        fresh = Cluster()
        for kind in (CONFIG_TEMPLATES, USER_PREFERENCES):
            for body in cluster.memory.objects(kind):
                body.pop("status", None)
                fresh.memory.put(kind, body)
        await settled(fresh)
        assert served(cluster) == served(fresh)
        assert await settled(cluster) == []

    run(scene())
