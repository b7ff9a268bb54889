"""Outputs stay as rendered, whoever edits them; what Trimtab did not make stays as it is."""

from __future__ import annotations

import base64

import pytest

from support.cluster_fixtures import Place
from support.live_objects import wait_for
from support.manifests import APP, PREFS, config_map
from support.operator_process import Operator


def test_a_hand_edit_is_put_back_and_counted_as_drift(operator: Operator, place: Place) -> None:
    place.template()
    place.rendered()
    before = place.data("app-free")
    counted = operator.metrics().get("trimtab_drift_total", 0)
    place.api.patch("ConfigMap", place.name, "app-free", {"data": {"app.json": "{}"}})
    place.wait_data("app-free", "app.json", before["app.json"])
    wait_for(lambda: operator.metrics()["trimtab_drift_total"] == counted + 1, "drift is counted once")


def test_entries_added_by_hand_are_removed(operator: Operator, place: Place) -> None:
    place.template()
    place.preference("alice", {"session.minutes": 5})
    place.wait_user("alice", {"session.minutes": 5})
    place.rendered()
    for name in ("app-free", "app-free-users-0"):
        before = place.data(name)
        extra = {"data": {"extra": "by hand"}, "binaryData": {"blob": "AAE="}}
        place.api.patch("ConfigMap", place.name, name, extra)
        wait_for(
            lambda name=name, before=before: (
                place.data(name) == before and not place.one("ConfigMap", name).get("binaryData")
            ),
            lambda name=name: f"{name} is as it was; it has {place.one('ConfigMap', name)}",
        )


def test_an_entry_of_a_user_who_never_was_is_removed(operator: Operator, place: Place) -> None:
    place.template()
    place.preference("alice", {"session.minutes": 5})
    place.wait_user("alice", {"session.minutes": 5})
    before = place.data("app-free-users-0")
    place.api.patch("ConfigMap", place.name, "app-free-users-0", {"data": {"mallory.prefs.json": "{}"}})
    wait_for(lambda: place.data("app-free-users-0") == before, "mallory is gone")
    operator.restart()
    operator.quiet()
    assert place.data("app-free-users-0") == before


def test_an_entry_of_a_user_who_never_was_goes_also_when_it_came_while_the_operator_was_down(
    operator: Operator, place: Place
) -> None:
    place.template()
    place.preference("alice", {"session.minutes": 5})
    place.wait_user("alice", {"session.minutes": 5})
    place.rendered()
    before = place.data("app-free-users-0")
    operator.stop()
    forged = {"mallory.prefs.json": "{}", "alice.other.json": "{}", "alice.prefs.json": "forged"}
    place.api.patch("ConfigMap", place.name, "app-free-users-0", {"data": forged})
    operator.start().acting()
    wait_for(lambda: place.data("app-free-users-0") == before, lambda: str(place.data("app-free-users-0")))


def test_an_output_deleted_by_hand_comes_back(operator: Operator, place: Place) -> None:
    place.template()
    place.preference("alice", {"session.minutes": 5})
    place.wait_user("alice", {"session.minutes": 5})
    place.rendered()
    for name in ("app-free", "app-free-users-0"):
        before = place.one("ConfigMap", name)
        place.api.delete("ConfigMap", place.name, name)
        after = wait_for(lambda name=name: place.get("ConfigMap", name), f"{name} is back")
        assert after["metadata"]["uid"] != before["metadata"]["uid"]  # type: ignore[index]
        assert after["data"] == before["data"]  # type: ignore[index]


def test_a_secret_edited_by_hand_is_put_back(operator: Operator, place: Place) -> None:
    place.template(outputs=[{**APP, "kind": "Secret"}, PREFS])
    place.rendered()
    before = place.data("app-free", "Secret")
    forged = base64.b64encode(b"\xff\xfe not even text").decode()
    place.api.patch("Secret", place.name, "app-free", {"data": {"app.json": forged, "more": forged}})
    wait_for(lambda: place.data("app-free", "Secret") == before, "the Secret is as it was")


@pytest.mark.parametrize(
    "label",
    [
        "app.kubernetes.io/managed-by",
        "app.kubernetes.io/part-of",
        "trimtab.dev/template",
        "trimtab.dev/template-namespace",
        "trimtab.dev/group",
    ],
)
def test_a_label_taken_off_by_hand_comes_back(operator: Operator, place: Place, label: str) -> None:
    place.template()
    place.rendered()
    before = place.one("ConfigMap", "app-free")["metadata"]["labels"]
    place.api.patch("ConfigMap", place.name, "app-free", {"metadata": {"labels": {label: None}}})
    wait_for(
        lambda: place.one("ConfigMap", "app-free")["metadata"]["labels"] == before,
        lambda: f"{label} is back; {place.one('ConfigMap', 'app-free')['metadata']['labels']}",
        patience=45,
    )
    place.rendered()


def test_an_output_relabelled_to_another_group_comes_back(operator: Operator, place: Place) -> None:
    place.template()
    place.rendered()
    before = place.one("ConfigMap", "app-free")["metadata"]["labels"]
    moved = {"metadata": {"labels": {"trimtab.dev/group": "pro"}}}
    place.api.patch("ConfigMap", place.name, "app-free", moved)
    wait_for(
        lambda: (
            (found := place.get("ConfigMap", "app-free")) is not None
            and found["metadata"]["labels"] == before
        ),
        lambda: f"{place.get('ConfigMap', 'app-free')}",
    )
    place.rendered()


def test_labels_and_annotations_of_others_are_left_alone(operator: Operator, place: Place) -> None:
    place.template()
    place.rendered()
    others = {"labels": {"team": "music"}, "annotations": {"note": "ours"}}
    place.api.patch("ConfigMap", place.name, "app-free", {"metadata": others})
    place.template(groups=[{"name": "free", "values": {"session.minutes": 7}}, {"name": "pro"}])
    wait_for(lambda: '"minutes": 7' in place.data("app-free").get("app.json", ""), "the new revision")
    meta = place.one("ConfigMap", "app-free")["metadata"]
    assert meta["labels"]["team"] == "music"
    assert meta["annotations"]["note"] == "ours"


def test_a_foreign_config_map_is_never_overwritten_until_it_goes_or_asks_to_be_adopted(
    operator: Operator, place: Place
) -> None:
    foreign = {
        name: place.api.create(config_map(place.name, name, {"mine": "yes"}))
        for name in ("app-free", "web-free")
    }
    place.template()
    place.template("web")
    place.preference("bob", {"session.minutes": 5}, group="pro")
    for template in ("app", "web"):
        ready = place.wait_verdict("ConfigTemplate", template, "False", "Conflict")
        for word in (f"{template}-free", "was not made by Trimtab", "trimtab.dev/adopt"):
            assert word in ready["message"]
        place.wait_verdict("RenderedGroup", f"{template}-free", "False", "Conflict")
    place.wait_user("bob", {"session.minutes": 5}, group="pro")
    for name, before in foreign.items():
        assert place.one("ConfigMap", name) == before
    place.drop("ConfigMap", "app-free")
    adopt = {"metadata": {"annotations": {"trimtab.dev/adopt": "true"}}}
    place.api.patch("ConfigMap", place.name, "web-free", adopt)
    for template in ("app", "web"):
        place.rendered(template)
        assert set(place.data(f"{template}-free")) == {"app.json", "_default.prefs.json"}


def test_a_foreign_object_in_the_way_of_one_users_own_blocks_only_that_user(
    operator: Operator, place: Place
) -> None:
    foreign = place.api.create(config_map(place.name, "app-u-alice", {"mine": "yes"}))
    place.template(users={"delivery": "PerUser"})
    place.preference("alice", {"session.minutes": 5})
    place.preference("bob", {"session.minutes": 6})
    place.invalid("alice", "Conflict")
    place.wait_data("app-u-bob", "prefs.json")
    place.accepted("bob")
    assert place.one("ConfigMap", "app-u-alice") == foreign
    place.drop("ConfigMap", "app-u-alice")
    place.wait_data("app-u-alice", "prefs.json")
    place.accepted("alice")


def test_a_foreign_object_that_asks_to_be_adopted_is_taken_over(operator: Operator, place: Place) -> None:
    adopt = {"trimtab.dev/adopt": "true"}
    place.api.create(config_map(place.name, "app-free", {"mine": "yes"}, annotations=adopt))
    place.template()
    place.rendered()
    assert set(place.data("app-free")) == {"app.json", "_default.prefs.json"}
