"""Many preferences that claim one user, or one place in a group, cost others nothing: counted, not timed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from support.in_memory import Cluster, Operator, spec
from support.manifests import preference_spec
from trimtab.api.config_template import ConfigTemplateSpec, GroupSpec
from trimtab.core.evaluate import membership
from trimtab.core.refs import GroupKey, TemplateKey
from trimtab.core.resolve.preference import Preference, PreferenceObject
from trimtab.core.schema.template import Schema, compile_template
from trimtab.core.steps import Steps, finished
from trimtab.engine.groups import user_limit
from trimtab.engine.scheduling.time_slices import TimeSlice
from trimtab.engine.store.cluster_state import ClusterState
from trimtab.engine.store.preferences import Preferences
from trimtab.kube.resources import USER_PREFERENCES

APP = TemplateKey("music", "app")
MANY = 30
TENANTS = {"matchLabels": {"tenant": "yes"}}


class Marks:
    """Preferences, and every mark since the last look."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, str]] = []
        self.store = Preferences(lambda group, place, user: self.seen.append((group.group, place, user)))

    def put(
        self, name: str, version: int = 1, group: str = "free", **fields: Any
    ) -> list[tuple[str, str, str]]:
        self.seen.clear()
        self.store.put(claim(name, version, group, **fields))
        return list(self.seen)

    def drop(self, name: str, **fields: Any) -> list[tuple[str, str, str]]:
        self.seen.clear()
        self.store.drop(claim(name, 9, **fields))
        return list(self.seen)

    def names(self, user: str = "ann") -> list[str]:
        return [record.name for record in self.store.claimants(APP, user)]


def claim(
    name: str, version: int = 1, group: str = "free", user: str = "ann", born: int = 0
) -> PreferenceObject:
    meta = {
        "name": name,
        "namespace": "music",
        "uid": f"uid-{name}",
        "resourceVersion": str(version),
        "generation": version,
        "creationTimestamp": f"2026-01-01T00:00:{born:02}Z",
    }
    body = preference_spec({"n": version}, group=group, user=user)
    return msgspec.json.decode(msgspec.json.encode({"metadata": meta, "spec": body}), type=PreferenceObject)


def contested(marks: Marks) -> None:
    for number in range(MANY):
        marks.put(f"p{number:02}", born=number)


def test_an_edit_marks_once_however_many_claim_the_user() -> None:
    marks = Marks()
    contested(marks)

    assert marks.put("p07", version=2, born=7) == [("free", "music", "ann")]


def test_a_claim_and_its_end_mark_each_group_once() -> None:
    marks = Marks()
    contested(marks)
    marks.put("other", group="paid")

    assert sorted(marks.put("late")) == [("free", "music", "ann"), ("paid", "music", "ann")]
    assert sorted(marks.drop("late")) == [("free", "music", "ann"), ("paid", "music", "ann")]
    assert sorted(marks.drop("other")) == [("free", "music", "ann"), ("paid", "music", "ann")]


def test_claims_stay_in_order_of_age_through_edits_moves_and_ends() -> None:
    marks = Marks()
    for number in reversed(range(5)):
        marks.put(f"p{number}", born=number)
    marks.put("p3", version=2, born=3)
    marks.put("p1", version=2, group="paid", born=1)
    assert marks.names() == ["p0", "p1", "p2", "p3", "p4"]

    marks.drop("p0")
    marks.put("p4", version=3, born=4, user="ben")
    assert marks.names() == ["p1", "p2", "p3"]
    assert marks.names("ben") == ["p4"]

    marks.drop("p1")
    marks.drop("p3")
    assert marks.names() == ["p2"]
    marks.drop("p2")
    assert marks.names() == []


def test_an_edit_is_in_every_index() -> None:
    marks = Marks()
    marks.put("a")
    marks.put("b", born=1)
    for name in ("a", "b"):
        marks.put(name, version=2, born=int(name == "b"))
        found = marks.store.get("music", name)
        assert found is not None
        assert found.values == b'{"n":2}'
        assert marks.store.members(GroupKey("music", "app", "free"))["music", name] is found
        assert any(record is found for record in marks.store.claimants(APP, "ann"))


def test_only_claims_give_a_template_another_version() -> None:
    marks = Marks()
    versions = [marks.store.version(APP)]
    marks.put("a")
    versions.append(marks.store.version(APP))
    marks.put("a", version=2)
    assert marks.store.version(APP) == versions[-1]

    marks.put("a", version=3, group="paid")
    versions.append(marks.store.version(APP))
    marks.put("a", version=4, group="paid", user="ben")
    versions.append(marks.store.version(APP))
    assert len(set(versions)) == 4

    marks.drop("a")
    assert marks.store.version(APP) == 0
    marks.put("a")
    assert marks.store.version(APP) not in versions


async def test_a_namespace_marks_a_user_once_however_many_claim_it(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.namespace("tenant", labels={"tenant": "yes"})
    cluster.template(spec(groups=[{"name": "free", "preferenceNamespaceSelector": TENANTS}]))
    for number in range(MANY):
        cluster.preference(f"p{number}", namespace="tenant", user="ann")
    async with Operator(cluster) as operator:
        await operator.quiet()
        cluster_state = operator.engine.cluster
        marked: list[str] = []
        dirty = cluster_state.preferences._dirty

        def count(key: GroupKey, namespace: str, user: str) -> None:
            marked.append(user)
            dirty(key, namespace, user)

        monkeypatch.setattr(cluster_state.preferences, "_dirty", count)
        cluster.namespace("tenant")
        await operator.quiet()

    assert marked == ["ann"]


async def test_a_preference_that_holds_no_user_reports_its_generation_when_its_namespace_changes(
    cluster: Cluster,
) -> None:
    cluster.namespace("tenant", labels={"tenant": "yes"})
    cluster.namespace("rival", labels={"tenant": "yes"})
    cluster.template(
        spec(groups=[{"name": "free", "preferenceNamespaceSelector": TENANTS}, {"name": "paid"}])
    )
    for number in range(3):
        born = {"creationTimestamp": f"2026-01-0{number + 1}T00:00:00Z"}
        cluster.preference(f"p{number}", namespace="tenant", user="ann", meta=born)
    young = {"creationTimestamp": "2026-02-01T00:00:00Z"}
    cluster.preference("ann", namespace="rival", meta=young)
    async with Operator(cluster) as operator:
        await operator.quiet()
        assert cluster.ready(USER_PREFERENCES, "ann", "rival") == ("False", "UserTaken")
        assert cluster.ready(USER_PREFERENCES, "p2", "tenant") == ("False", "UserTaken")

        cluster.namespace("tenant")
        await operator.quiet()
        assert cluster.ready(USER_PREFERENCES, "ann", "rival") == ("True", "Accepted")
        assert cluster.ready(USER_PREFERENCES, "p2", "tenant") == ("False", "NamespaceNotAllowed")

        cluster.namespace("tenant", labels={"tenant": "yes"})
        await operator.quiet()
        assert cluster.ready(USER_PREFERENCES, "p0", "tenant") == ("True", "Accepted")
        assert cluster.ready(USER_PREFERENCES, "ann", "rival") == ("False", "UserTaken")

        cluster.preference("p2", {"session.minutes": 9}, namespace="tenant", user="ann")
        await operator.quiet()

    body = cluster.find(USER_PREFERENCES, "p2", "tenant") or {}
    assert body["status"]["observedGeneration"] == body["metadata"]["generation"]
    assert cluster.ready(USER_PREFERENCES, "p2", "tenant")[1] == "UserTaken"


async def test_a_slice_may_end_after_each_who_claims_a_user(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.template()
    for number in range(MANY):
        cluster.preference(f"p{number}", user="ann")
    async with Operator(cluster) as operator:
        await operator.quiet()
        groups = operator.term.groups
        state = groups.states[GroupKey("music", "app", "free")]
        ends = 0
        over = TimeSlice.over

        async def count(turn: TimeSlice) -> None:
            nonlocal ends
            ends += 1
            await over(turn)

        monkeypatch.setattr(TimeSlice, "over", count)
        limit = finished(state.limit.update(operator.engine.cluster, state.key, state.view))
        async with groups.slices.turn() as turn:
            judged = await groups.users.evaluate_user(state, "ann", limit.membership, turn)

    assert len(judged) == MANY
    assert ends >= MANY


async def test_users_beyond_the_limit_are_computed_only_when_claims_change(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.namespace("tenant", labels={"tenant": "yes"})
    group = {"name": "free", "maxUsers": 2, "preferenceNamespaceSelector": TENANTS}
    cluster.template(spec(groups=[group, {"name": "paid"}]))
    for number in range(5):
        born = {"creationTimestamp": f"2026-01-0{number + 1}T00:00:00Z"}
        cluster.preference(f"p{number}", {"session.minutes": 5}, namespace="tenant", meta=born)
    worked_out = 0
    over_limit = membership.over_limit

    def count(*arguments: Any) -> Steps[frozenset[tuple[str, str]]]:
        nonlocal worked_out
        worked_out += 1
        return over_limit(*arguments)

    monkeypatch.setattr(user_limit, "over_limit", count)
    async with Operator(cluster) as operator:
        await operator.quiet()
        before = worked_out
        for minutes in range(6, 10):
            born = {"creationTimestamp": "2026-01-01T00:00:00Z"}
            cluster.preference("p0", {"session.minutes": minutes}, namespace="tenant", meta=born)
            await operator.quiet()
        assert '"minutes":9' in str(cluster.file("p0"))
        assert worked_out == before
        assert cluster.ready(USER_PREFERENCES, "p2", "tenant") == ("False", "GroupFull")

        cluster.remove(USER_PREFERENCES, "p0", "tenant")
        await operator.quiet()
        assert worked_out > before
        assert cluster.ready(USER_PREFERENCES, "p2", "tenant") == ("True", "Accepted")
        assert cluster.ready(USER_PREFERENCES, "p3", "tenant") == ("False", "GroupFull")

        cluster.namespace("tenant")
        cluster.namespace("tenant", labels={"tenant": "yes"})
        cluster.template(spec(groups=[{**group, "maxUsers": 3}, {"name": "paid"}]))
        await operator.quiet()
        assert cluster.ready(USER_PREFERENCES, "p3", "tenant") == ("True", "Accepted")
        assert cluster.ready(USER_PREFERENCES, "p4", "tenant") == ("False", "GroupFull")


def test_users_beyond_the_limit_are_computed_in_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster_state, group = ClusterState(), GroupSpec.model_validate({"name": "free", "maxUsers": 20})
    key = GroupKey("music", "app", "free")
    schema = cast(Schema, SimpleNamespace(groups={"free": SimpleNamespace(spec=group)}))
    for number in range(95):
        cluster_state.preferences.put(claim(f"p{number:02}", user=f"u{number:02}", born=number % 60))
    looks, holder = 0, membership.holder

    def counted(*arguments: Any) -> Preference | None:
        nonlocal looks
        looks += 1
        return holder(*arguments)

    monkeypatch.setattr(membership, "holder", counted)
    monkeypatch.setattr(membership, "SOME", 10)
    longest = 0
    working_out = membership.over_limit(cluster_state, schema, key, cluster_state.preferences)
    found = None
    while found is None:
        looks = 0
        try:
            next(working_out)
        except StopIteration as end:
            found = end.value
        longest = max(longest, looks)
    members = sorted(cluster_state.preferences.members(key).values(), key=lambda p: p.age)
    assert found == {p.key for p in members[20:]}
    assert longest == 10


def test_the_search_for_the_holder_checks_each_namespace_once(monkeypatch: pytest.MonkeyPatch) -> None:
    marks = Marks()
    contested(marks)
    asked: list[str] = []
    monkeypatch.setattr(membership, "accepts_from", lambda *question: asked.append(question[-1]))
    schema = compile_template("app", ConfigTemplateSpec.model_validate(spec()), "music")

    assert membership.holder(ClusterState(), schema, marks.store.claimants(APP, "ann")) is None
    assert asked == ["music"]
