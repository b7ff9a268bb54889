"""Whatever the API server refuses, whatever it accepts is as it would be without that."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from support.failing_writes import REFUSALS, Refusing, Rule, named, new_objects, word
from support.in_memory import HOME, Cluster, Operator, settled, spec
from support.virtual_time import run
from trimtab.kube.port import Body
from trimtab.kube.resources import CONFIG_TEMPLATES, RENDERED_GROUPS, USER_PREFERENCES

USERS = [f"user-{number}" for number in range(9)]
BAD = "FORBIDDEN"
CHANCE = st.integers(0, 2**32).map(random.Random)


File = tuple[str, str]
"""Of a user, in an object of a kind."""


def files(cluster: Cluster, *, hindered: bool = False) -> dict[File, str]:
    """Each user's files, wherever they are. An old one is beside it only where an object may not change."""
    found: dict[File, str] = {}
    for body in cluster.outputs():
        for entry, text in body["data"].items():
            own = body["metadata"]["name"].removeprefix("app-u-")
            file = own if own in USERS else entry.split(".")[0], body["kind"]
            if file[0] in USERS:
                assert hindered or file not in found, f"{file} is in two objects"
                found[file] = text
    return found


async def unhindered(cluster: Cluster) -> Cluster:
    """The same specs on a cluster that refuses nothing."""
    fresh = Cluster()
    for kind in (CONFIG_TEMPLATES, USER_PREFERENCES):
        for body in cluster.memory.objects(kind):
            fresh.memory.put(kind, {name: value for name, value in body.items() if name != "status"})
    await settled(fresh)
    return fresh


def template(chance: random.Random, deliveries: list[str]) -> Body:
    groups = [{"name": "free", "values": {"session.minutes": chance.randint(1, 99)}}]
    made = spec(groups=groups, users={"delivery": chance.choice(deliveries)})
    secret = {"name": "keys", "kind": "Secret", "format": "JSON", "scope": "User", "fileName": "keys.json"}
    return {**made, "outputs": [*made["outputs"], secret]}


def mischief(cluster: Cluster, chance: random.Random, deliveries: list[str]) -> None:
    """Some things that people do at once."""
    for _ in range(chance.choice([1, 1, 4])):
        user = chance.choice(USERS)
        act = chance.choice(["edit"] * 5 + ["remove", "template"])
        if act == "edit":
            text = BAD if chance.random() < 0.3 else "fine" * chance.choice([1, 1, 2500])
            cluster.preference(user, {"agent.voice": f"{text}-{chance.randint(0, 99)}"})
        elif act == "template":
            cluster.template(template(chance, deliveries))
        elif cluster.find(USER_PREFERENCES, user) is not None:
            cluster.remove(USER_PREFERENCES, user)


def obstacle(chance: random.Random) -> list[Rule]:
    error = chance.choice(REFUSALS)
    names = ["app-free", "app-free-users-0", "app-free-users-1", "app-u-user-0"]
    return chance.choice([[], [named(chance.choice(names), error)], [new_objects(error=error)]])


@settings(max_examples=60)
@given(CHANCE, st.sampled_from([["Sharded"], ["PerUser"], ["Sharded", "PerUser"]]))
def test_a_refusal_affects_only_its_owner(chance: random.Random, deliveries: list[str]) -> None:
    async def scene() -> None:
        cluster = Cluster()
        cluster.template(template(chance, deliveries))
        kinds = chance.choice([["ConfigMap"], ["Secret"], ["ConfigMap", "Secret"]])
        content = word(BAD, chance.choice(REFUSALS), kinds)
        api = Refusing(cluster, content)
        operator = Operator(cluster, api)
        operator.start()
        await operator.engine.lead()
        good: dict[File, str] = {}
        for _ in range(chance.randint(2, 7)):
            mischief(cluster, chance, deliveries)
            if chance.random() < 0.15:
                await operator.kill()
                operator = Operator(cluster, api)
                operator.start()
                await operator.engine.lead()
            await operator.quiet()

            present = {body["metadata"]["name"] for body in cluster.memory.objects(USER_PREFERENCES)}
            wanted = files(await unhindered(cluster))
            refused = {file for file, text in wanted.items() if BAD in text and file[1] in kinds}
            good = {
                file: good.get(file) if file in refused else text
                for file, text in wanted.items()
                if file not in refused or file in good
            }  # type: ignore[misc]
            assert files(cluster) == good
            failed = {user for user, _ in refused}
            for user in present:
                verdict = ("False", "WriteFailed") if user in failed else ("True", "Accepted")
                assert cluster.ready(USER_PREFERENCES, user) == verdict, user
                status = cluster.find_status(user)
                assert BAD not in str([status.get("accepted"), status.get("history")]), (
                    "it was never in force"
                )

            # an object is in the way for a while: who has a file keeps one
            api.rules = [content, *obstacle(chance)]
            mischief(cluster, chance, deliveries)
            await operator.quiet()
            left = {body["metadata"]["name"] for body in cluster.memory.objects(USER_PREFERENCES)}
            kept = files(cluster, hindered=True)
            assert {file for file in good if file[0] in present & left} <= kept.keys()
            assert not any(BAD in text for (_, kind), text in kept.items() if kind in kinds)
            api.rules = [content]
            await operator.quiet()
            wanted = files(await unhindered(cluster))
            now = files(cluster)
            good = {file: text for file, text in now.items() if file in wanted}
            refused = {file for file, text in wanted.items() if BAD in text and file[1] in kinds}
            assert {file: text for file, text in wanted.items() if file not in refused} == {
                file: text for file, text in now.items() if file not in refused
            }
        api.rules.clear()
        await operator.quiet()
        await operator.kill()
        fresh = await unhindered(cluster)
        assert cluster.documents() == fresh.documents()
        for kind in (USER_PREFERENCES, RENDERED_GROUPS):
            for body in cluster.memory.objects(kind):
                assert cluster.ready(kind, body["metadata"]["name"], HOME)[0] == "True"
        assert await settled(cluster) == []

    run(scene())
