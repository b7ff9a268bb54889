"""How much code one change passes through: files and functions of operator/trimtab, by ``sys.setprofile``.

    python -m benchmarks.walks [--files] [--functions] [-o json]

Two walks over the API server in memory, after the start is quiet. *A preference edit*: from the watch event until
its ConfigMap and its status are written. *A rollout*: from the creation of a PolicyRollout of two waves until it is
Succeeded. Both run on a virtual clock, so the figures do not depend on the machine's speed.

How it counts: a function is passed if Python calls or resumes it during the walk. Comprehensions belong to the
function around them; what a library generates (``__init__`` of a dataclass) belongs to no file. A file is passed if
one of its functions is: a module that is only imported, as most of ``api`` at that time, is not. The API
server is the tests' one in memory, and no part of the package. Logging, metrics and status writes count.
"""

from __future__ import annotations

import argparse
import asyncio
import inspect
import json
import re
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType
from typing import Any
from unittest.mock import patch

import trimtab
from trimtab.kube.port import Body
from trimtab.kube.resources import CONFIG_MAPS, CONFIG_TEMPLATES, POLICY_ROLLOUTS, USER_PREFERENCES, Resource

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

# The only names that this needs of the tests' harness: a virtual clock, an engine and an API server in memory.
from support import virtual_time  # noqa: E402
from support.in_memory import Cluster, Operator  # noqa: E402
from support.memory_api import Memory  # noqa: E402

PACKAGE = f"{Path(trimtab.__file__).parent}/"
COMPREHENSIONS = re.compile(r"(\.<locals>\.<(listcomp|setcomp|dictcomp|genexpr)>)+$")
SPACE = "music"
LIMIT = 4000
"""Seconds of the virtual clock in which a walk must have ended."""
VOICE = "agent.voice"
TEMPLATE: Body = {
    "keys": [
        {"name": "agent.temperature", "type": "Number", "default": 0.7, "minimum": 0, "maximum": 2},
        {"name": "session.minutes", "type": "Integer", "default": 30, "minimum": 1},
        {"name": VOICE, "type": "String", "default": "calm"},
    ],
    "groups": [
        {"name": "free", "labels": {"ring": "canary"}, "values": {"session.minutes": 20}},
        {"name": "paid", "labels": {"ring": "main"}},
    ],
    "outputs": [
        {"name": "app", "format": "YAML", "fileName": "config.yaml"},
        {"name": "prefs", "format": "JSON", "scope": "User", "fileName": "prefs.json"},
    ],
}
ROLLOUT: Body = {
    "templateRef": {"name": "app"},
    "policy": {"enforced": [{"key": VOICE, "value": "bright", "reason": "SEC-12"}]},
    "strategy": {
        "waves": [
            {"name": "canary", "groupSelector": {"matchLabels": {"ring": "canary"}}, "soak": "10m"},
            {"name": "all"},
        ]
    },
}


@dataclass(slots=True)
class Walk:
    """The code objects that were called or resumed while :meth:`recording`."""

    name: str
    passed: set[CodeType] = field(default_factory=set)

    @contextmanager
    def recording(self) -> Iterator[None]:
        sys.setprofile(self._called)
        try:
            yield
        finally:
            sys.setprofile(None)

    def _called(self, frame: FrameType, event: str, _: Any) -> None:
        if event == "call":
            self.passed.add(frame.f_code)

    @property
    def functions(self) -> list[str]:
        """``file:qualified name`` of each, sorted."""
        found = set()
        for code in self.passed:
            file = code.co_filename.removeprefix(PACKAGE)
            if file != code.co_filename and code.co_flags & inspect.CO_OPTIMIZED:
                found.add(f"{file}:{COMPREHENSIONS.sub('', code.co_qualname)}")
        return sorted(found)

    @property
    def files(self) -> list[str]:
        return sorted({name.split(":")[0] for name in self.functions})


async def preference_edit() -> Walk:
    """One user changes one value."""
    cluster = _cluster()
    walk = Walk("a preference edit")
    async with Operator(cluster) as operator:
        await operator.quiet()
        memory = cluster.memory
        edited = _put(memory, USER_PREFERENCES, "alice", {**_preference(), "values": {VOICE: "bright"}})

        def done() -> bool:
            status = _find(memory, USER_PREFERENCES, "alice").get("status", {})
            files = [body.get("data", {}).get("alice.prefs.json", "") for body in memory.objects(CONFIG_MAPS)]
            current = status.get("observedGeneration") == edited["metadata"]["generation"]
            return current and any("bright" in text for text in files)

        await _record(walk, done)
    return walk


async def rollout() -> Walk:
    """A PolicyRollout changes a value of two groups, one wave each, with a soak between them."""
    cluster = _cluster()
    walk = Walk("a rollout of two waves")
    async with Operator(cluster) as operator:
        await operator.quiet()
        memory = cluster.memory
        _put(memory, POLICY_ROLLOUTS, "lock", ROLLOUT)
        await _record(
            walk, lambda: _find(memory, POLICY_ROLLOUTS, "lock").get("status", {}).get("phase") == "Succeeded"
        )
    return walk


async def _record(walk: Walk, done: Callable[[], bool]) -> None:
    loop = asyncio.get_running_loop()
    limit = loop.time() + LIMIT
    while not done():
        if loop.time() > limit:
            raise AssertionError(f"{walk.name} did not end")
        with walk.recording():
            await asyncio.sleep(0.01)


def _cluster() -> Cluster:
    cluster = Cluster(SPACE)
    _put(cluster.memory, CONFIG_TEMPLATES, "app", TEMPLATE)
    _put(cluster.memory, USER_PREFERENCES, "alice", _preference())
    return cluster


def _preference() -> Body:
    return {"templateRef": {"name": "app", "namespace": SPACE}, "group": "free", "values": {VOICE: "calm"}}


def _put(memory: Memory, resource: Resource, name: str, spec: Body) -> Body:
    return memory.put(resource, {"metadata": {"name": name, "namespace": SPACE}, "spec": spec})


def _find(memory: Memory, resource: Resource, name: str) -> Body:
    return next(body for body in memory.objects(resource) if body["metadata"]["name"] == name)


WALKS: tuple[Callable[[], Awaitable[Walk]], ...] = (preference_edit, rollout)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.walks", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--files", action="store_true", help="list the files")
    parser.add_argument("--functions", action="store_true", help="list the functions")
    parser.add_argument("-o", "--output", choices=("markdown", "json"), default="markdown")
    given = parser.parse_args()
    with patch("time.perf_counter", lambda: 0.0):  # a time slice never expires, however slow the machine is
        walks = [virtual_time.run(walk()) for walk in WALKS]
    if given.output == "json":
        print(json.dumps({w.name: {"files": w.files, "functions": w.functions} for w in walks}, indent=2))
        return
    print("| walk | files | functions |\n|---|---|---|")
    for walk in walks:
        print(f"| {walk.name} | {len(walk.files)} | {len(walk.functions)} |")
    for walk in walks:
        for wanted, names in ((given.files, walk.files), (given.functions, walk.functions)):
            if wanted:
                print(f"\n{walk.name}:", *names, sep="\n  ")


if __name__ == "__main__":
    main()
