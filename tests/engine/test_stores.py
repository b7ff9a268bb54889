"""The stores: what is older than what is known changes nothing, and nothing is lost or kept by mistake."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from trimtab.core import naming
from trimtab.core.objects import AnyObject
from trimtab.core.refs import GroupKey, Ref, TemplateKey
from trimtab.core.resolve.preference import Preference, PreferenceObject, read
from trimtab.engine.store.cluster_state import ClusterState
from trimtab.engine.store.objects import Objects
from trimtab.engine.store.outputs import OutputObject, Outputs, observe
from trimtab.engine.store.preferences import Preferences

APP = TemplateKey("music", "app")
FREE, PAID = GroupKey("music", "app", "free"), GroupKey("music", "app", "paid")


def preference(name: str = "ann", version: int = 1, **fields: Any) -> PreferenceObject:
    spec = {"templateRef": {"name": "app"}, "group": "free", **fields.pop("spec", {})}
    meta = {
        "name": name,
        "namespace": "music",
        "uid": f"uid-{name}",
        "resourceVersion": str(version),
        "generation": 1,
        "creationTimestamp": "2026-01-01T00:00:00Z",
        **fields.pop("meta", {}),
    }
    return msgspec.json.decode(
        msgspec.json.encode({"metadata": meta, "spec": spec, **fields}), type=PreferenceObject
    )


class Marks:
    """Preferences, and who was marked dirty since the last look."""

    def __init__(self) -> None:
        self.seen: set[tuple[str, str]] = set()
        self.store = Preferences(lambda group, _, user: self.seen.add((group.group, user)))

    def put(self, *items: PreferenceObject) -> set[tuple[str, str]]:
        return self.after(lambda: [self.store.put(item) for item in items])

    def after(self, act: Any) -> set[tuple[str, str]]:
        self.seen.clear()
        act()
        return set(self.seen)

    def holder(self, user: str) -> str:
        found = self.store.claimants(APP, user)
        return found[0].name if found else ""


@pytest.fixture
def marks() -> Marks:
    return Marks()


# Reading preferences


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"templateRef": None}, "spec cannot be read"),
        ({"group": 3}, "spec cannot be read"),
        ({"values": [1]}, "values"),
        ({"values": "text"}, "values"),
        ({"suspend": "yes"}, "spec cannot be read"),
        ({"user": "a.b"}, "user"),
        ({"user": "a/b"}, "user"),
    ],
)
def test_a_malformed_object_becomes_a_record_that_reports_it(spec: dict[str, Any], words: str) -> None:
    record = read(preference(spec=spec))

    assert words in record.problem


def test_the_user_is_the_name_unless_the_spec_sets_it() -> None:
    assert read(preference()).user == "ann"
    assert read(preference(spec={"user": "Ann_1"})).user == "Ann_1"


def test_values_that_are_spelt_differently_are_the_same() -> None:
    one, two = {"b": 1, "a": [1.0, "x"]}, {"a": [1.0, "x"], "b": 1}

    assert read(preference(spec={"values": one})).values == read(preference(spec={"values": two})).values


@pytest.mark.parametrize("field", ["sealedValues", "secretRefs", "flags"])
def test_fields_that_are_not_built_are_named_unless_they_are_empty(field: str) -> None:
    full: Any = [{"key": "a"}] if field == "secretRefs" else {"a": "b"}

    assert read(preference(spec={field: full})).unsupported == (f"spec.{field}",)
    assert read(preference(spec={field: type(full)()})).unsupported == ()


def test_every_field_of_a_status_is_read_back() -> None:
    status = {
        "observedGeneration": 3,
        "conditions": [{"type": "Ready", "status": "False", "lastTransitionTime": "t"}],
        "violations": [{"rule": "type", "message": "m"}],
        "warnings": [{"reason": "r", "message": "m"}],
        "accepted": {"generation": 2, "group": "free", "values": {"a": 1}},
        "history": [{"generation": 1}],
    }

    record = read(preference(status=status))

    assert record.accepted is not None
    assert (record.accepted.generation, record.accepted.values) == (2, b'{"a":1}')
    assert record.history == b'[{"generation":1}]'
    assert record.conditions == (("Ready", "False", "t"),)
    assert record.print != 0


@pytest.mark.parametrize(
    "status",
    [{"conditions": "x"}, {"conditions": [{}]}, {"accepted": 3}, {"conditions": [{"type": None}]}, 3],
)
def test_an_invalid_status_is_ignored(status: Any) -> None:
    assert read(preference(status=status)).accepted is None


# The store of preferences


def test_a_new_preference_marks_its_user(marks: Marks) -> None:
    assert marks.put(preference()) == {("free", "ann")}
    assert marks.store.members(FREE).keys() == {("music", "ann")}


@pytest.mark.parametrize("version", [0, 1])
def test_what_is_not_newer_changes_nothing(marks: Marks, version: int) -> None:
    marks.put(preference(version=1))

    assert marks.put(preference(version=version, spec={"group": "paid"}, meta={"generation": 2})) == set()
    assert marks.store.members(FREE)


def test_a_change_of_labels_marks_no_user(marks: Marks) -> None:
    marks.put(preference(version=1))

    assert marks.put(preference(version=2, meta={"labels": {"a": "b"}})) == set()
    assert marks.store.get("music", "ann").version == 2  # type: ignore[union-attr]


def test_a_move_marks_the_user_in_both_groups(marks: Marks) -> None:
    marks.put(preference(version=1))
    moved = preference(version=2, spec={"group": "paid"}, meta={"generation": 2})

    assert marks.put(moved) == {("free", "ann"), ("paid", "ann")}
    assert marks.store.members(FREE) == {}


def test_the_oldest_claim_holds_in_any_order_of_events(marks: Marks) -> None:
    ages = {"b": "2026-01-02T00:00:00Z", "a": "2026-01-01T00:00:00Z", "c": "2026-01-03T00:00:00Z"}
    for name, age in ages.items():
        marks.put(preference(name, spec={"user": "ann"}, meta={"creationTimestamp": age}))
        if name == "b":
            assert marks.holder("ann") == "b"
    assert marks.holder("ann") == "a"

    assert ("free", "ann") in marks.after(lambda: marks.store.drop(preference("a", version=9)))

    assert marks.holder("ann") == "b"
    marks.store.drop(preference("b"))
    assert marks.holder("ann") == "c"
    marks.store.drop(preference("c"))
    assert marks.holder("ann") == ""


def test_of_two_claims_of_one_second_the_lesser_uid_holds(marks: Marks) -> None:
    marks.put(preference("x", spec={"user": "ann"}, meta={"uid": "2"}))
    marks.put(preference("y", spec={"user": "ann"}, meta={"uid": "1"}))

    assert marks.holder("ann") == "y"


def test_a_claim_in_another_group_marks_the_first_holder_too(marks: Marks) -> None:
    marks.put(preference("x", spec={"user": "ann"}))

    again = preference("y", spec={"user": "ann", "group": "paid"})

    assert marks.put(again) == {("free", "ann"), ("paid", "ann")}


def test_a_late_deletion_of_an_earlier_namesake_changes_nothing(marks: Marks) -> None:
    marks.put(preference(version=5, meta={"uid": "second"}))

    assert marks.after(lambda: marks.store.drop(preference(version=4, meta={"uid": "first"}))) == set()
    assert len(marks.store) == 1


def test_a_namesake_of_another_uid_replaces_the_old_one_and_what_it_had_accepted(marks: Marks) -> None:
    marks.put(preference(version=1))
    _accept(marks.store.get("music", "ann"))

    marks.put(preference(version=7, meta={"uid": "second"}))

    assert marks.store.get("music", "ann").accepted is None  # type: ignore[union-attr]


def _accept(record: Preference | None) -> None:
    assert record is not None
    made = read(preference(status={"accepted": {"generation": record.generation, "group": "free"}}))
    record.accepted = made.accepted


def test_what_was_accepted_is_kept_until_the_cluster_s_status_has_it(marks: Marks) -> None:
    marks.put(preference(version=1))
    _accept(marks.store.get("music", "ann"))

    marks.put(preference(version=2, meta={"generation": 2}, spec={"values": {"a": 1}}))

    record = marks.store.get("music", "ann")
    assert record is not None
    assert record.accepted is not None
    assert record.accepted.generation == 1


def test_a_complete_list_removes_what_it_did_not_show(marks: Marks) -> None:
    marks.put(preference("ann", 1), preference("bob", 2))
    marks.store.begin()
    marks.put(preference("bob", 2))

    assert marks.after(lambda: marks.store.end(5)) == {("free", "ann")}
    assert [p.name for p in marks.store] == ["bob"]


def test_a_complete_list_keeps_what_is_newer_than_it(marks: Marks) -> None:
    marks.put(preference("ann", 9))
    marks.store.begin()

    marks.store.end(8)

    assert len(marks.store) == 1


def test_a_restarted_list_forgets_the_previous_one(marks: Marks) -> None:
    marks.put(preference("ann", 1), preference("bob", 1))
    marks.store.begin()
    marks.put(preference("ann", 1))
    marks.store.begin()
    marks.put(preference("bob", 1))

    marks.store.end(5)

    assert [p.name for p in marks.store] == ["bob"]


def test_an_empty_store_holds_nothing_at_all(marks: Marks) -> None:
    marks.put(preference("ann", 1), preference("bob", 1, spec={"user": "ann"}))
    for name in ("ann", "bob"):
        marks.store.drop(preference(name))

    assert len(marks.store) == 0
    assert (marks.store._groups, marks.store._claims) == ({}, {})


# Outputs


def output(name: str = "x", version: int = 1, group: str = "free", **fields: Any) -> OutputObject:
    labels = {
        naming.LABEL_MANAGED_BY: naming.MANAGER,
        naming.LABEL_TEMPLATE: "app",
        naming.LABEL_TEMPLATE_NAMESPACE: "music",
        naming.LABEL_GROUP: group,
    }
    meta = {"name": name, "namespace": "music", "uid": "u", "resourceVersion": str(version), "labels": labels}
    meta |= fields.pop("meta", {})
    return msgspec.convert({"metadata": meta, **fields}, OutputObject)


class Reports:
    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []
        self.store = Outputs(lambda group, ref: self.seen.append((group.group, ref.name)))

    def put(self, item: OutputObject, kind: str = "ConfigMap") -> list[tuple[str, str]]:
        self.seen.clear()
        self.store.put(kind, item)
        return self.seen


def test_an_output_is_reported_when_it_is_new_or_newer() -> None:
    case = Reports()

    assert case.put(output(version=2)) == [("free", "x")]
    assert case.put(output(version=2)) == []
    assert case.put(output(version=1)) == []
    assert case.put(output(version=3)) == [("free", "x")]


def test_our_own_write_is_not_reported_when_its_event_comes() -> None:
    case = Reports()
    case.store.wrote("ConfigMap", msgspec.to_builtins(output(version=5)))

    assert case.put(output(version=5)) == []


def test_an_output_that_changes_groups_is_reported_to_both() -> None:
    case = Reports()
    case.put(output(version=1))

    assert sorted(case.put(output(version=2, group="paid"))) == [("free", "x"), ("paid", "x")]
    assert case.store.of(FREE) == {}
    assert len(case.store.of(PAID)) == 1


def test_a_list_of_one_kind_does_not_affect_the_other() -> None:
    case = Reports()
    case.put(output("cm"))
    case.put(output("secret"), "Secret")
    sink = case.store.sink("ConfigMap")
    sink.begin()
    sink.end(9)

    assert [o.ref for o in case.store] == [Ref("Secret", "music", "secret")]


def test_what_was_written_during_a_list_outlives_it() -> None:
    case = Reports()
    sink = case.store.sink("ConfigMap")
    sink.begin()
    case.store.wrote("ConfigMap", msgspec.to_builtins(output(version=3)))
    sink.end(9)

    assert len(list(case.store)) == 1


def test_a_deletion_of_an_earlier_object_changes_nothing() -> None:
    case = Reports()
    case.put(output(version=5))
    case.store.drop("ConfigMap", output(version=4))
    case.store.drop("ConfigMap", output(version=9, meta={"uid": "other"}))
    assert len(list(case.store)) == 1

    case.store.drop("ConfigMap", output(version=6))

    assert list(case.store) == []


def test_a_secret_is_decoded_and_what_no_output_has_is_strange_or_locked() -> None:
    assert observe("Secret", output(data={"a": "eA=="})).data == {"a": "x"}
    plain = observe("Secret", output(data={"a": "eA=="}, type="Opaque"))
    assert not plain.has_foreign_data
    assert not plain.is_immutable
    assert observe("Secret", output(type="kubernetes.io/tls")).is_immutable
    assert observe("ConfigMap", output(immutable=True)).is_immutable
    assert observe("Secret", output(data={"a": "/w=="})).has_foreign_data, "no UTF-8"
    assert observe("ConfigMap", output(binaryData={"a": "eA=="})).has_foreign_data


# Whole objects


class Changes:
    def __init__(self) -> None:
        self.seen: list[tuple[int, int]] = []
        self.store: Objects[AnyObject] = Objects(
            lambda _, old, new: self.seen.append((old.version if old else 0, new.version if new else 0))
        )


def item(version: int, uid: str = "u", name: str = "app") -> AnyObject:
    meta = {"name": name, "namespace": "music", "uid": uid, "resourceVersion": str(version)}
    return msgspec.convert({"metadata": meta}, AnyObject)


def test_of_two_sources_the_newer_word_counts() -> None:
    case = Changes()
    for version in (3, 2, 3, 4):
        case.store.put(item(version))

    assert case.seen == [(0, 3), (3, 4)]


def test_a_list_does_not_bring_back_what_a_watch_saw_go() -> None:
    case = Changes()
    case.store.put(item(3))
    case.store.begin()
    case.store.drop(item(4))
    case.store.put(item(3))
    case.store.end(3)

    assert list(case.store) == []


def test_a_list_does_not_bring_back_an_earlier_namesake() -> None:
    case = Changes()
    case.store.begin()
    case.store.put(item(7, uid="second"))
    case.store.put(item(3, uid="first"))
    case.store.end(3)

    assert case.store.get(APP).metadata.uid == "second"  # type: ignore[union-attr]


def test_a_list_drops_what_went_unseen_but_not_what_is_newer() -> None:
    case = Changes()
    case.store.put(item(3, name="gone"))
    case.store.put(item(9, name="new"))
    case.store.begin()
    case.store.end(5)

    assert [o.metadata.name for o in case.store] == ["new"]


# Actions.


def action(name: str, version: int, *, answered: bool = False, uid: str = "") -> AnyObject:
    body: dict[str, Any] = {
        "metadata": {
            "name": name,
            "namespace": "music",
            "uid": uid or f"uid-{name}",
            "resourceVersion": str(version),
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": {"rolloutRef": {"kind": "ConfigTemplate", "name": "app"}, "action": "Pause"},
    }
    if answered:
        body["status"] = {"conditions": [{"type": "Ready", "status": "True"}]}
    return msgspec.convert(body, AnyObject)


def open_names(cluster: ClusterState) -> list[str]:
    """Of the open actions, in their order."""
    return [a.item.metadata.name for a in sorted(cluster.open_actions.values(), key=lambda a: a.order)]


def test_only_actions_without_a_result_are_open() -> None:
    cluster = ClusterState()
    for number in range(1, 6):
        cluster.actions.put(action(f"a{number}", number, answered=number == 2))
    assert open_names(cluster) == ["a1", "a3", "a4", "a5"]

    cluster.actions.put(action("a3", 9, answered=True))
    cluster.actions.drop(action("a4", 10))
    assert open_names(cluster) == ["a1", "a5"]
    cluster.actions.begin()
    cluster.actions.end(11)
    assert open_names(cluster) == []


def test_an_action_keeps_its_position_when_it_is_labelled() -> None:
    cluster = ClusterState()
    cluster.actions.put(action("z", 9))
    cluster.actions.put(action("a", 10))
    cluster.actions.put(action("z", 11))
    assert open_names(cluster) == ["z", "a"]

    cluster.actions.put(action("z", 12, uid="made anew"))
    assert open_names(cluster) == ["a", "z"]
