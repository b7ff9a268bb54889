"""Planned writes on the API server: over exactly what was planned against, and never over what is others'."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from support.in_memory import HOME, Cluster
from support.memory_api import Memory
from trimtab.core import naming, reasons
from trimtab.core.refs import GroupKey, Ref
from trimtab.core.render.plan import Desired, Observed, plan
from trimtab.engine.groups.writer import Failure, Writer
from trimtab.engine.store.outputs import OutputObject, Outputs
from trimtab.kube import errors
from trimtab.kube.port import Body
from trimtab.kube.resources import CONFIG_MAPS, OUTPUTS, SECRETS

FREE, PAID = GroupKey(HOME, "app", "free"), GroupKey(HOME, "app", "paid")


class Case:
    """A writer with its store over a memory server."""

    def __init__(self, memory: Memory | None = None) -> None:
        self.memory = memory or Cluster().memory
        self.store = Outputs(lambda *_: None)
        self.writer = Writer(self.memory, self.store, lambda ref, value: "digest")
        self.last: dict[Ref, Desired] = {}

    async def make(self, *wanted: Desired) -> list[Failure]:
        """Make these the group's only objects."""
        desired = {d.ref: d for d in wanted}
        results = [await self.writer.write(w) for w in plan(desired, self.observed(), self.last)]
        failures = [failure for failure in results if failure is not None]
        if not failures:
            self.last = desired
        return failures

    def observed(self) -> dict[Ref, Observed]:
        return {o.ref: o for o in self.store}

    async def look(self) -> None:
        """What a watch would tell."""
        for kind, resource in OUTPUTS.items():
            async for page in self.memory.pages(
                resource, OutputObject, selector=f"{naming.LABEL_MANAGED_BY}={naming.MANAGER}"
            ):
                for item in page.items or ():
                    self.store.put(kind, item)

    def data(self, name: str = "x", kind: str = "ConfigMap") -> Any:
        bodies = {b["metadata"]["name"]: b for b in self.memory.objects(OUTPUTS[kind])}
        return bodies[name].get("data") if name in bodies else None

    def edited(self, **fields: Any) -> Body:
        """Our own object, as somebody has changed it."""
        marked = {naming.ANNOTATION_MARK: "mark of ConfigMap x"}
        meta = {"labels": naming.group_labels(FREE), "annotations": marked, **fields.pop("metadata", {})}
        return self.theirs(metadata=meta, **fields)

    def theirs(self, **fields: Any) -> Body:
        meta = {"name": "x", "namespace": HOME, **fields.pop("metadata", {})}
        return self.memory.put(CONFIG_MAPS, {"metadata": meta, **fields})


def wanted(name: str = "x", kind: str = "ConfigMap", key: GroupKey = FREE, **data: str) -> Desired:
    notes = {naming.ANNOTATION_REVISION: "1", naming.ANNOTATION_MARK: f"mark of {kind} {name}"}
    return Desired(Ref(kind, HOME, name), data, naming.group_labels(key), notes)


async def test_planning_after_writing_is_empty() -> None:
    case = Case()
    desired = [wanted("a", a="1"), wanted("b", "Secret", b="2")]
    assert await case.make(*desired) == []

    assert plan({d.ref: d for d in desired}, case.observed(), case.last) == []


async def test_a_secret_is_encoded_and_opaque() -> None:
    case = Case()
    await case.make(wanted(kind="Secret", a="1"))

    body = case.memory.objects(SECRETS)[0]

    assert (body["data"], body["type"]) == ({"a": "MQ=="}, "Opaque")


async def test_entries_that_are_no_longer_desired_are_removed() -> None:
    case = Case()
    await case.make(wanted(a="1", b="1"))
    await case.make(wanted(b="2"))

    assert case.data() == {"b": "2"}


async def test_entries_that_others_added_go() -> None:
    case = Case()
    await case.make(wanted(a="1"))
    case.edited(data={"a": "1", "z": "9"}, binaryData={"b": "eA=="})
    await case.look()
    assert await case.make(wanted(a="1")) == []

    assert case.data() == {"a": "1"}
    assert "binaryData" not in case.memory.objects(CONFIG_MAPS)[0]


async def test_an_unlabelled_object_is_left_unchanged() -> None:
    case = Case()
    case.theirs(data={"z": "9"})

    (failure,) = await case.make(wanted(a="1"))

    assert (failure.reason, failure.again) == (reasons.CONFLICT, False)
    assert "was not made by Trimtab" in failure.message
    assert case.data() == {"z": "9"}


@pytest.mark.parametrize("key", [FREE, PAID], ids=["the same group's", "another group's"])
@pytest.mark.parametrize("mark", ["", "mark of ConfigMap y"], ids=["no mark", "another object's mark"])
async def test_labels_without_the_mark_prove_nothing(key: GroupKey, mark: str) -> None:
    case = Case()
    annotations = {naming.ANNOTATION_MARK: mark} if mark else {}
    case.theirs(metadata={"labels": naming.group_labels(key), "annotations": annotations}, data={"z": "9"})
    for look in (False, True):
        if look:
            await case.look()
        (failure,) = await case.make(wanted(a="1"))
        assert f"labels of group {key}" in failure.message

    assert case.data() == {"z": "9"}


async def test_an_object_whose_uid_is_recorded_is_marked_again() -> None:
    case = Case()
    body = case.theirs(metadata={"labels": naming.group_labels(FREE)}, data={"a": "1"})
    recorded = replace(wanted(a="1"), uid=body["metadata"]["uid"])
    await case.look()

    assert await case.make(recorded) == []

    (marked,) = case.memory.objects(CONFIG_MAPS)
    assert marked["metadata"]["annotations"][naming.ANNOTATION_MARK] == "mark of ConfigMap x"
    assert marked["metadata"]["uid"] == body["metadata"]["uid"]


@pytest.mark.parametrize("kind", ["ConfigMap", "Secret"])
async def test_an_immutable_output_is_recreated_immediately(kind: str) -> None:
    case = Case()
    await case.make(wanted(kind=kind, a="1"))
    (body,) = case.memory.objects(OUTPUTS[kind])
    case.memory.put(OUTPUTS[kind], {**body, "immutable": True})
    await case.look()

    assert await case.make(wanted(kind=kind, a="2")) == []

    (made,) = case.memory.objects(OUTPUTS[kind])
    assert "immutable" not in made
    assert made["metadata"]["uid"] != body["metadata"]["uid"]
    assert [w.verb for w in case.memory.writes] == ["apply", "delete", "apply"]


async def test_a_secret_of_another_type_that_is_annotated_for_adoption_is_recreated() -> None:
    case = Case()
    meta = {"name": "x", "namespace": HOME, "annotations": {naming.ANNOTATION_ADOPT: "true"}}
    case.memory.put(SECRETS, {"metadata": meta, "type": "kubernetes.io/tls", "data": {"z": "OQ=="}})

    assert await case.make(wanted(kind="Secret", a="1")) == []

    (made,) = case.memory.objects(SECRETS)
    assert (made["type"], made["data"]) == ("Opaque", {"a": "MQ=="})


async def test_an_object_created_between_read_and_write_is_left_to_its_owner_whatever_its_manager() -> None:
    class Racing(Memory):
        async def apply(self, resource: Any, body: Body, **options: Any) -> Body:
            answer = await super().apply(resource, body, **options)
            theirs = {"manager": "trimtab", "operation": "Update"}
            return {**answer, "metadata": {**answer["metadata"], "managedFields": [theirs]}}

    memory = Racing()
    memory.put(*_namespace())
    case = Case(memory)

    (failure,) = await case.make(wanted(a="1"))

    assert failure.reason == reasons.CONFLICT


@pytest.mark.parametrize("labels", [{}, naming.group_labels(PAID)], ids=["nobody's", "another group's"])
async def test_an_object_that_is_annotated_for_adoption_is_adopted_whole(labels: dict[str, str]) -> None:
    case = Case()
    adopt = {naming.ANNOTATION_ADOPT: "true"}
    case.theirs(metadata={"labels": labels, "annotations": adopt}, data={"z": "9"})
    await case.look()

    assert await case.make(wanted(a="1")) == []

    assert case.data() == {"a": "1"}


@pytest.mark.parametrize("value", ["false", "True", "", "yes"])
async def test_only_true_allows_the_adoption_of_an_object(value: str) -> None:
    case = Case()
    case.theirs(metadata={"annotations": {naming.ANNOTATION_ADOPT: value}}, data={"z": "9"})

    (failure,) = await case.make(wanted(a="1"))

    assert failure.reason == reasons.CONFLICT


async def test_a_stale_plan_is_refused_and_the_store_refreshed() -> None:
    case = Case()
    await case.make(wanted(a="1"))
    case.edited(data={"a": "theirs"})

    (failure,) = await case.make(wanted(a="2"))
    assert failure.again
    assert case.data() == {"a": "theirs"}

    assert await case.make(wanted(a="2")) == []
    assert case.data() == {"a": "2"}


async def test_a_stale_deletion_is_refused_and_the_store_refreshed() -> None:
    case = Case()
    await case.make(wanted(a="1"))
    case.edited(metadata={"labels": {}}, data={"a": "1"})

    (failure,) = await case.make()
    assert failure.again

    assert await case.make() == []
    assert case.data() == {"a": "1"}, "without labels it is not listed: nothing deletes it unseen"


async def test_an_object_that_does_not_exist_counts_as_deleted() -> None:
    case = Case()
    await case.make(wanted(a="1"))
    case.memory.remove(CONFIG_MAPS, HOME, "x")

    assert await case.make() == []
    assert case.observed() == {}


async def test_a_deleted_object_is_recreated() -> None:
    case = Case()
    await case.make(wanted(a="1"))
    case.memory.remove(CONFIG_MAPS, HOME, "x")
    await case.make(wanted(a="2"))

    assert await case.make(wanted(a="2")) == []
    assert case.data() == {"a": "2"}


def _namespace() -> tuple[Any, Body]:
    from trimtab.kube.resources import NAMESPACES

    return NAMESPACES, {"metadata": {"name": HOME}}


async def test_a_message_of_the_api_server_about_a_secret_is_not_repeated() -> None:
    class Quoting(Memory):
        async def apply(self, *args: Any, **options: Any) -> Body:
            raise errors.InvalidError(422, "Invalid", "data: canary is not valid")

    memory = Quoting()
    memory.put(*_namespace())

    secret, plain = await Case(memory).make(wanted("s", "Secret", a="canary"), wanted("c", a="1"))

    assert "canary" not in secret.message
    assert "422 Invalid" in secret.message
    assert "canary" in plain.message


async def test_a_released_object_stays_unchanged_and_has_no_owner() -> None:
    case = Case()
    await case.make(wanted(a="1"))
    await case.writer.release(next(iter(case.store)))

    (body,) = case.memory.objects(CONFIG_MAPS)

    assert body["data"] == {"a": "1"}
    assert not any("trimtab" in name + value for name, value in body["metadata"].get("labels", {}).items())
    assert naming.ANNOTATION_MARK not in body["metadata"]["annotations"]
    assert case.observed() == {}


async def test_the_namespace_that_is_missing_is_named() -> None:
    case = Case(Memory())

    (failure,) = await case.make(wanted(a="1"))

    assert HOME in failure.message
