"""The API server in memory keeps the promises that tests of the engine lean on."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from support.in_memory import HOME, Cluster
from support.memory_api import Memory
from trimtab.core.objects import MetaOnly
from trimtab.kube import errors
from trimtab.kube.port import Body
from trimtab.kube.resources import CONFIG_MAPS, CONFIG_TEMPLATES


@pytest.fixture
def memory() -> Memory:
    return Cluster().memory


def config(name: str = "a", **fields: Any) -> Body:
    meta = fields.pop("metadata", {})
    return {"metadata": {"name": name, "namespace": HOME, **meta}, **fields}


async def test_every_change_has_a_version_and_no_version_is_without_change(memory: Memory) -> None:
    first = await memory.apply(CONFIG_MAPS, config(data={"x": "1"}))
    again = await memory.apply(CONFIG_MAPS, config(data={"x": "1"}))
    changed = await memory.apply(CONFIG_MAPS, config(data={"x": "2"}))

    versions = [int(b["metadata"]["resourceVersion"]) for b in (first, again, changed)]
    assert versions[0] == versions[1] < versions[2]
    assert first["metadata"]["uid"] == changed["metadata"]["uid"]
    assert [w.verb for w in memory.writes] == ["apply", "apply"]


async def test_apply_removes_what_it_set_and_keeps_what_others_set(memory: Memory) -> None:
    await memory.apply(CONFIG_MAPS, config(data={"x": "1", "y": "1"}, metadata={"labels": {"ours": "1"}}))
    await memory.merge_patch(
        CONFIG_MAPS, HOME, "a", {"data": {"theirs": "1"}, "metadata": {"labels": {"t": "1"}}}
    )

    found = await memory.apply(CONFIG_MAPS, config(data={"x": "2"}, metadata={"annotations": {"n": "1"}}))

    assert found["data"] == {"x": "2", "theirs": "1"}
    assert found["metadata"]["labels"] == {"t": "1"}
    assert found["metadata"]["annotations"] == {"n": "1"}


async def test_apply_without_force_respects_other_owners(memory: Memory) -> None:
    memory.put(CONFIG_MAPS, config(data={"x": "theirs"}))

    with pytest.raises(errors.ConflictError):
        await memory.apply(CONFIG_MAPS, config(data={"x": "ours"}), force=False)

    assert (await memory.apply(CONFIG_MAPS, config(data={"x": "ours"})))["data"] == {"x": "ours"}


async def test_a_stale_version_is_a_conflict_whatever_the_verb(memory: Memory) -> None:
    old = await memory.apply(CONFIG_MAPS, config(data={"x": "1"}))
    await memory.apply(CONFIG_MAPS, config(data={"x": "2"}))
    version = old["metadata"]["resourceVersion"]
    stale = {"metadata": {"resourceVersion": version}}

    for call in (
        memory.apply(CONFIG_MAPS, config(data={"x": "3"}, **stale)),
        memory.merge_patch(CONFIG_MAPS, HOME, "a", {**stale, "data": {"x": "3"}}),
        memory.replace_status(CONFIG_MAPS, HOME, "a", {}, version=version),
        memory.delete(CONFIG_MAPS, HOME, "a", version=version),
        memory.delete(CONFIG_MAPS, HOME, "a", uid="another"),
        memory.apply(CONFIG_MAPS, config("missing", **stale)),
        memory.create(CONFIG_MAPS, config()),
    ):
        with pytest.raises(errors.ConflictError):
            await call


async def test_what_is_not_there_is_not_found(memory: Memory) -> None:
    for call in (
        memory.get(CONFIG_MAPS, HOME, "b"),
        memory.delete(CONFIG_MAPS, HOME, "b"),
        memory.merge_patch(CONFIG_MAPS, HOME, "b", {}),
        memory.replace_status(CONFIG_MAPS, HOME, "b", {}, version="1"),
        memory.create(CONFIG_MAPS, {"metadata": {"name": "a", "namespace": "no-such"}}),
    ):
        with pytest.raises(errors.NotFoundError):
            await call


async def test_the_status_is_apart_and_the_generation_follows_the_spec(memory: Memory) -> None:
    made = await memory.create(CONFIG_TEMPLATES, config(spec={"a": 1}, status={"ignored": True}))
    assert "status" not in made

    said = await memory.replace_status(
        CONFIG_TEMPLATES, HOME, "a", {"x": 1}, version=made["metadata"]["resourceVersion"]
    )
    edited = await memory.merge_patch(CONFIG_TEMPLATES, HOME, "a", {"spec": {"a": 2}, "status": {"x": 2}})

    assert said["metadata"]["generation"] == 1
    assert edited["metadata"]["generation"] == 2
    assert edited["status"] == {"x": 1}


async def test_responses_are_copies(memory: Memory) -> None:
    made = await memory.create(CONFIG_MAPS, config(data={"x": "1"}))
    made["data"]["x"] = "changed"

    assert (await memory.get(CONFIG_MAPS, HOME, "a"))["data"] == {"x": "1"}


async def test_pages_are_of_one_moment(memory: Memory) -> None:
    for name in "abcde":
        memory.put(CONFIG_MAPS, config(name))
    names = []
    async for page in memory.pages(CONFIG_MAPS, MetaOnly, limit=2):
        names += [item.metadata.name for item in page.items or ()]
        if "e" not in names:
            memory.put(CONFIG_MAPS, config("zz"))

    assert names == list("abcde")


async def test_a_compaction_between_pages_or_before_a_watch_is_gone(memory: Memory) -> None:
    for name in "abcde":
        memory.put(CONFIG_MAPS, config(name))
    pages = memory.pages(CONFIG_MAPS, MetaOnly, limit=2)
    await anext(pages)
    memory.compact()
    with pytest.raises(errors.GoneError):
        await anext(pages)

    with pytest.raises(errors.GoneError):
        await anext(memory.watch(CONFIG_MAPS, MetaOnly, version="1"))


async def test_a_watch_sends_all_events_since_a_version_and_ends_in_time(memory: Memory) -> None:
    version = memory.version
    memory.put(CONFIG_MAPS, config("a"))
    memory.put(CONFIG_MAPS, config("a", data={"x": "1"}))
    memory.put(CONFIG_TEMPLATES, config("other"))
    memory.remove(CONFIG_MAPS, HOME, "a")
    memory.bookmark(CONFIG_MAPS)

    events = [e async for e in memory.watch(CONFIG_MAPS, MetaOnly, version=str(version), timeout=0)]

    assert [e.type for e in events] == ["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]
    assert [int(e.object.metadata.resourceVersion) - version for e in events] == [1, 2, 4, 5]


async def test_a_stream_is_a_list_and_then_a_watch(memory: Memory) -> None:
    memory.put(CONFIG_MAPS, config("a"))
    kinds = []

    async def read() -> None:
        async for event in memory.stream(CONFIG_MAPS, MetaOnly):
            kinds.append((event.type, event.object.metadata.name))  # noqa: PERF401

    task = asyncio.create_task(read())
    await asyncio.sleep(0.005)
    memory.remove(CONFIG_MAPS, HOME, "a")
    await asyncio.sleep(0.005)
    task.cancel()

    assert kinds == [("ADDED", "a"), ("SYNCED", ""), ("DELETED", "a")]
