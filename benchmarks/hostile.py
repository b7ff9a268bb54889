"""Hostile input, one after another, beside a bystander in another namespace who edits all the time.

The cases of issue 9 and inputs that are generated from a seed. What the API server itself refuses is counted apart.
Nothing is asserted: the longest block of the operator's loop and the bystander's worst delay are told.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from benchmarks import content, edits, load
from benchmarks.edits import Watcher
from benchmarks.progress import say
from benchmarks.subject import Subject
from trimtab.kube import errors
from trimtab.kube.client import Client
from trimtab.kube.port import Body
from trimtab.kube.resources import (
    CONFIG_MAPS,
    CONFIG_TEMPLATES,
    POLICY_ROLLOUTS,
    ROLLOUT_ACTIONS,
    USER_PREFERENCES,
    Resource,
)

GENERATED = 200
SEED = 9
SPACE = "hostile"
PAUSE = 0.1
WATCHED = 2
"""Edits of the bystander that are seen after each input before the next one comes."""
PATIENCE = 120.0

Object = tuple[Resource, Body]


@dataclass(frozen=True, slots=True)
class Input:
    """Objects that are written one after the other; ``edits`` times each."""

    what: str
    objects: tuple[Object, ...]
    edits: int = 1


@dataclass(slots=True)
class Hostile:
    """``blocks`` are the inputs under which the loop's longest block grew, and how long it was then; ``delays`` the
    bystander's, each with the input that was the last one when it was seen."""

    inputs: int = 0
    refused: int = 0
    before: float = 0.0
    lag: float = 0.0
    blocks: list[tuple[str, float]] = field(default_factory=list)
    delays: list[tuple[float, str]] = field(default_factory=list)
    cpu: float = 0.0
    peak: int = 0


def _object(kind: str, name: str, spec: Body, **meta: Any) -> Body:
    return {
        "apiVersion": "trimtab.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": name, "namespace": SPACE, **meta},
        "spec": spec,
    }


def template(name: str, spec: Body, **meta: Any) -> Object:
    return CONFIG_TEMPLATES, _object(
        "ConfigTemplate", name, {"groups": [{"name": "g"}], "outputs": [], **spec}, **meta
    )


def preference(name: str, of: str, values: Any, **meta: Any) -> Object:
    spec = {"templateRef": {"name": of}, "group": "g", "values": values}
    return USER_PREFERENCES, _object("UserPreference", name, spec, **meta)


def policy(name: str, of: str, said: Body) -> Object:
    return POLICY_ROLLOUTS, _object("PolicyRollout", name, {"templateRef": {"name": of}, "policy": said})


def action(name: str, of: str) -> Object:
    spec = {
        "rolloutRef": {"kind": "PolicyRollout", "name": of},
        "action": "Pause",
        "requester": "trimtab-sandbox-admin",
    }
    return ROLLOUT_ACTIONS, _object("RolloutAction", name, spec)


FILES = [{"name": "p", "scope": "User", "format": "JSON", "fileName": "p.json"}]
TEXTS = [
    {"name": "nick", "type": "String", "default": "n"},
    {"name": "number", "type": "Integer", "default": 1},
]


def cases() -> Iterator[Input]:
    """Those of the issue, and where they were found."""
    names = [f"service{n % 20:02}.component{n // 20:02}.timeoutMillis" for n in range(300)]
    chance = random.Random(1)
    yield Input(
        "F01 a character",
        (
            template("f01", {"keys": TEXTS, "outputs": FILES}),
            preference("f01", "f01", {"nick": "a\x7f\u0085\u2028b\ufffe"}),
        ),
    )
    huge = "(?:(?:(?:[a-z]?){30}){30}){30}[A-Z]"
    yield Input(
        "F04 a pattern",
        (
            template(
                "f04",
                {
                    "keys": [{"name": "k", "type": "String", "pattern": huge}],
                    "groups": [{"name": "g", "values": {"k": "a" * 30_000}}],
                },
            ),
        ),
    )
    unknown = {
        "".join(chance.sample("timeoutMillisservicecomponent", 25)) + f"{n:03}": 1 for n in range(1000)
    }
    keys = [{"name": name, "type": "Integer", "default": 1} for name in names]
    yield Input(
        "F05 unknown keys",
        (template("f05", {"keys": keys, "outputs": FILES}), preference("f05", "f05", unknown)),
    )
    yield Input(
        "F08 large preferences",
        (
            template("f08", {"keys": TEXTS, "outputs": FILES}),
            *(preference(f"f08-{n}", "f08", {"nick": "x" * 1_200_000}) for n in range(10)),
            *(preference(f"f08-fit-{n}", "f08", {"nick": "x" * 500_000}) for n in range(5)),
        ),
    )
    many = [
        {"name": f"section{n // 50}.key{n:04}", "type": "String", "default": "v" * 20} for n in range(1000)
    ]
    files = [{"name": f"o{n}", "format": "JSON", "fileName": f"o{n}.json"} for n in range(20)]
    for count in (5, 1000):
        yield Input(
            f"F12 {count} groups",
            (
                template(
                    f"f12-{count}",
                    {"keys": many, "outputs": files, "groups": [{"name": f"g{n}"} for n in range(count)]},
                ),
            ),
        )
    values = {f"k{n}": "\u0001" * 40_000 for n in range(20)}
    texts = [{"name": f"k{n}", "type": "String"} for n in range(20)]
    yield Input(
        "cluster 04 a large snapshot",
        (template("c04", {"keys": texts, "groups": [{"name": "g", "values": values}], "outputs": FILES}),),
    )
    word = lambda length: "".join(chance.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(length))  # noqa: E731
    long = [{"name": ".".join(word(40) for _ in range(3)), "type": "String"} for _ in range(300)]
    yield Input(
        "values 06 long unknown keys",
        (
            template("v06", {"keys": long, "outputs": FILES}),
            preference("v06", "v06", {word(200): "x" for _ in range(300)}),
        ),
    )


KINDS: dict[str, Callable[[random.Random, str], Input]] = {}


def _kind(make: Callable[[random.Random, str], Input]) -> Callable[[random.Random, str], Input]:
    KINDS[make.__name__.strip("_").replace("_", " ")] = make
    return make


@_kind
def _patterns(chance: random.Random, name: str) -> Input:
    """Nested repeats, with and without a length, over values of users, groups and policies."""
    pattern = chance.choice(["[a-z]?", "[ab]*a[ab]", r"\w?", ".", "(a|b|ab)?"])
    for _ in range(chance.randint(1, 3)):
        pattern = f"(?:{pattern}){{{chance.choice([2, 5, 10, 20, 30])}}}"
    pattern += chance.choice(["[A-Z]", "$", "[^a]"])
    keys = [{"name": f"k{n}", "type": "String"} for n in range(chance.choice([1, 20, 100]))]
    where = chance.choice(["key", "policy"])
    if where == "key":
        keys = [key | {"pattern": pattern} for key in keys]
    value = {key["name"]: "".join(chance.choices("ab", k=chance.choice([100, 2000]))) for key in keys}
    constraints = [{"key": key["name"], chance.choice(["pattern", "notPattern"]): pattern} for key in keys]
    said = (policy(name, name, {"constraints": constraints}),) if where == "policy" else ()
    return Input(
        "patterns", (template(name, {"keys": keys, "outputs": FILES}), *said, preference(name, name, value))
    )


@_kind
def _large_values(chance: random.Random, name: str) -> Input:
    size = chance.choice([10_000, 100_000, 500_000, 1_000_000])
    kind = chance.choice(["String", "StringList", "NumberMap", "StringMap"])
    given: Any = {
        "String": lambda: chance.choice(["x", "\u0001", "\U0001f600"]) * (size // 6),
        "StringList": lambda: ["a"] * (size // 4),
        "NumberMap": lambda: {f"k{n}": n for n in range(size // 14)},
        "StringMap": lambda: {f"k{n}": "v" for n in range(size // 14)},
    }[kind]()
    outputs = [
        {"name": f.lower(), "scope": "User", "format": f, "fileName": f"{f}.txt"}
        for f in ("JSON", "YAML", "TOML", "INI")
    ]
    keys = [{"name": "k", "type": kind, **({"merge": "Merge"} if kind.endswith("Map") else {})}]
    return Input(
        "large values",
        (template(name, {"keys": keys, "outputs": outputs}), preference(name, name, {"k": given})),
        2,
    )


@_kind
def _wide_templates(chance: random.Random, name: str) -> Input:
    keys = [
        {"name": f"s{n % 30}.k{n}", "type": "String", "default": "v"}
        for n in range(chance.choice([100, 1000]))
    ]
    groups = [
        {"name": f"g{n}", "values": {"s0.k0": str(n)}} for n in range(chance.choice([10, 100, 500, 1000]))
    ]
    outputs = [
        {
            "name": f"o{n}",
            "format": chance.choice(["JSON", "YAML", "TOML", "INI", "Properties", "Env"]),
            "fileName": f"o{n}",
        }
        for n in range(chance.choice([1, 10, 50]))
    ]
    return Input("wide templates", (template(name, {"keys": keys, "groups": groups, "outputs": outputs}),))


@_kind
def _violations(chance: random.Random, name: str) -> Input:
    count = chance.choice([100, 1000])
    keys = [{"name": f"k{n}", "type": "Integer", "maximum": 1, "enum": [0, 1]} for n in range(count)]
    wrong = chance.choice(["text", 10**15, [], {}, -1.5, "x" * 500])
    return Input(
        "violations",
        (
            template(name, {"keys": keys, "outputs": FILES}),
            preference(name, name, {f"k{n}": wrong for n in range(count)}),
        ),
    )


@_kind
def _nesting(chance: random.Random, name: str) -> Input:
    value: Any = 1
    for _ in range(chance.choice([50, 500, 900])):
        value = chance.choice([[value], {"a": value}])
    return Input(
        "nesting",
        (template(name, {"keys": TEXTS, "outputs": FILES}), preference(name, name, {"nick": value})),
    )


@_kind
def _metadata(chance: random.Random, name: str) -> Input:
    notes = {f"a{n}": "x" * 10_000 for n in range(20)}
    labels = {f"l{n}": "x" * 60 for n in range(500)}
    return Input(
        "metadata",
        (
            template(name, {"keys": TEXTS, "outputs": FILES}, annotations=notes),
            preference(name, name, {"number": 2}, annotations=notes, labels=labels),
        ),
        3,
    )


@_kind
def _policies(chance: random.Random, name: str) -> Input:
    keys = [{"name": f"k{n}", "type": "String", "default": "v"} for n in range(500)]
    groups = [{"name": f"g{n}"} for n in range(chance.choice([10, 200]))]
    said = {
        "values": {f"k{n}": "x" * chance.choice([10, 1000]) for n in range(300)},
        "enforced": [{"key": f"k{n}", "value": "y"} for n in range(300, 400)],
        "constraints": [{"key": f"k{n}", "enum": [str(m) for m in range(100)]} for n in range(400, 500)],
    }
    files = [{"name": "o", "format": "JSON", "fileName": "o.json"}]
    return Input(
        "policies",
        (
            template(name, {"keys": keys, "groups": groups, "outputs": files}),
            *(policy(f"{name}-{n}", name, said) for n in range(3)),
        ),
    )


@_kind
def _actions(chance: random.Random, name: str) -> Input:
    return Input("actions", tuple(action(f"{name}-{n}", name) for n in range(50)))


@_kind
def _edits(chance: random.Random, name: str) -> Input:
    made = (
        template(name, {"keys": TEXTS, "outputs": FILES}),
        preference(name, name, {"nick": "x" * chance.choice([10, 100_000])}),
    )
    return Input("edits", made, 30)


def generated(count: int = GENERATED) -> Iterator[Input]:
    chance = random.Random(SEED)
    kinds = list(KINDS.values())
    for number in range(count):
        yield kinds[number % len(kinds)](chance, f"h{number:03}")


async def measure(
    client: Client, operator: Subject, space: str, users: int, count: int = GENERATED
) -> Hostile:
    """All inputs against an operator that has rendered ``users`` of the bystander's namespace."""
    await load.namespace(client, SPACE)
    found = Hostile(before=operator.metrics()["trimtab_loop_lag_max_seconds"])
    found.lag, cpu = found.before, operator.usage().cpu
    async with _bystander(client, space, users, found) as bystander:
        for each in [*cases(), *generated(count)]:
            bystander.last = each.what
            await _write(client, each, found)
            await bystander.more(WATCHED)
            _note(operator, each.what, found)
        bystander.last = "F09 half requests"
        with _half_requests(operator.port, 300):
            await bystander.more(10)
        _note(operator, bystander.last, found)
        await _forget(client)
        bystander.last = "deleting it all"
        await bystander.more(20)
    _note(operator, "deleting it all", found)
    used = operator.usage()
    found.cpu, found.peak = used.cpu - cpu, used.peak
    return found


def _note(operator: Subject, what: str, found: Hostile) -> None:
    lag = operator.metrics()["trimtab_loop_lag_max_seconds"]
    if lag > found.lag:
        say(f"{what}: the loop was blocked for {lag * 1000:.0f} ms")
        found.blocks.append((what, lag))
        found.lag = lag


async def _write(client: Client, each: Input, found: Hostile) -> None:
    found.inputs += 1
    for resource, body in each.objects:
        try:
            await client.create(resource, body)
            for number in range(1, each.edits):
                note = {"metadata": {"annotations": {"edited": str(number)}}}
                if "values" in body["spec"]:
                    note["spec"] = {"values": {"number": number}}  # type: ignore[dict-item]
                await client.merge_patch(resource, SPACE, body["metadata"]["name"], note)
        except errors.ApiError:
            found.refused += 1
        except RecursionError:
            found.refused += 1


async def _forget(client: Client) -> None:
    for resource in (POLICY_ROLLOUTS, USER_PREFERENCES, CONFIG_TEMPLATES, ROLLOUT_ACTIONS):
        await load.delete_all(client, resource, SPACE)


class _Bystander:
    def __init__(self) -> None:
        self.last = "nothing yet"
        self.seen = 0
        self._changed = asyncio.Event()

    def saw(self) -> None:
        self.seen += 1
        self._changed.set()

    async def more(self, count: int) -> None:
        """Wait for so many more edits to be seen."""
        wanted = self.seen + count
        while self.seen < wanted:
            self._changed.clear()
            await asyncio.wait_for(self._changed.wait(), PATIENCE)


@contextlib.asynccontextmanager
async def _bystander(client: Client, space: str, users: int, found: Hostile) -> AsyncIterator[_Bystander]:
    bystander = _Bystander()

    async def edit() -> None:
        chance = random.Random(SEED)
        async with Watcher(client, CONFIG_MAPS, content.outputs_of(space)).following() as outputs:
            while True:
                user, mark = content.user_name(chance.randrange(users)), next(edits.marks)
                seen = outputs.expect(edits.shows(user, mark))
                started = time.perf_counter()
                await edits.patch(client, space, user, mark)
                found.delays.append((await asyncio.wait_for(seen, PATIENCE) - started, bystander.last))
                bystander.saw()
                await asyncio.sleep(PAUSE)

    task = asyncio.create_task(edit())
    try:
        yield bystander
        if task.done():
            task.result()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@contextlib.contextmanager
def _half_requests(port: int, count: int) -> Iterator[None]:
    made: list[socket.socket] = []
    try:
        for _ in range(count):
            made.append(socket.create_connection(("127.0.0.1", port), timeout=5))
            made[-1].sendall(b"GET /healthz HTTP/1.1\r\nX-")
        yield
    finally:
        for one in made:
            one.close()
