"""Outputs stay as rendered, whichever client edits them; what Trimtab did not create stays unchanged."""

from __future__ import annotations

import base64

import pytest

from support.live_objects import wait_for
from support.manifests import APP, PREFS, config_map
from support.namespace import Namespace
from support.operator_process import Operator


def test_a_manual_change_is_reverted_and_counted_as_drift(operator: Operator, ns: Namespace) -> None:
    ns.template()
    ns.rendered()
    before = ns.data("app-free")
    counted = operator.metrics().get("trimtab_drift_total", 0)
    ns.api.patch("ConfigMap", ns.name, "app-free", {"data": {"app.json": "{}"}})
    ns.wait_data("app-free", "app.json", before["app.json"])
    wait_for(lambda: operator.metrics()["trimtab_drift_total"] == counted + 1, "drift is counted once")


def test_manually_added_entries_are_removed(operator: Operator, ns: Namespace) -> None:
    ns.with_alice()

    for name in ("app-free", "app-free-users-0"):
        before = ns.data(name)
        extra = {"data": {"extra": "by hand"}, "binaryData": {"blob": "AAE="}}
        ns.api.patch("ConfigMap", ns.name, name, extra)
        wait_for(
            lambda name=name, before=before: (
                ns.data(name) == before and not ns.one("ConfigMap", name).get("binaryData")
            ),
            lambda name=name: f"{name} is as it was; it has {ns.one('ConfigMap', name)}",
        )


def test_an_entry_of_a_user_who_never_was_is_removed(operator: Operator, ns: Namespace) -> None:
    ns.template()
    ns.preference("alice", {"session.minutes": 5})
    ns.wait_user("alice", {"session.minutes": 5})
    before = ns.data("app-free-users-0")
    ns.api.patch("ConfigMap", ns.name, "app-free-users-0", {"data": {"mallory.prefs.json": "{}"}})
    wait_for(lambda: ns.data("app-free-users-0") == before, "mallory is gone")
    operator.restart()
    operator.quiet()
    assert ns.data("app-free-users-0") == before


def test_an_entry_of_a_user_who_never_was_goes_also_when_it_came_while_the_operator_was_down(
    operator: Operator, ns: Namespace
) -> None:
    ns.with_alice()

    before = ns.data("app-free-users-0")
    operator.stop()
    forged = {"mallory.prefs.json": "{}", "alice.other.json": "{}", "alice.prefs.json": "forged"}
    ns.api.patch("ConfigMap", ns.name, "app-free-users-0", {"data": forged})
    operator.start().acting()
    wait_for(lambda: ns.data("app-free-users-0") == before, lambda: str(ns.data("app-free-users-0")))


def test_a_manually_deleted_output_is_recreated(operator: Operator, ns: Namespace) -> None:
    ns.with_alice()

    for name in ("app-free", "app-free-users-0"):
        before = ns.one("ConfigMap", name)
        ns.api.delete("ConfigMap", ns.name, name)
        after = wait_for(lambda name=name: ns.get("ConfigMap", name), f"{name} is back")
        assert after["metadata"]["uid"] != before["metadata"]["uid"]  # type: ignore[index]
        assert after["data"] == before["data"]  # type: ignore[index]


def test_a_manually_edited_secret_is_restored(operator: Operator, ns: Namespace) -> None:
    ns.template(outputs=[{**APP, "kind": "Secret"}, PREFS])
    ns.rendered()
    before = ns.data("app-free", "Secret")
    forged = base64.b64encode(b"\xff\xfe not even text").decode()
    ns.api.patch("Secret", ns.name, "app-free", {"data": {"app.json": forged, "more": forged}})
    wait_for(lambda: ns.data("app-free", "Secret") == before, "the Secret is as it was")


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
def test_a_manually_removed_label_is_restored(operator: Operator, ns: Namespace, label: str) -> None:
    ns.template()
    ns.rendered()

    before = ns.one("ConfigMap", "app-free")["metadata"]["labels"]
    ns.api.patch("ConfigMap", ns.name, "app-free", {"metadata": {"labels": {label: None}}})
    wait_for(
        lambda: ns.one("ConfigMap", "app-free")["metadata"]["labels"] == before,
        lambda: f"{label} is back; {ns.one('ConfigMap', 'app-free')['metadata']['labels']}",
        patience=45,
    )
    ns.rendered()


def test_an_output_relabelled_to_another_group_comes_back(operator: Operator, ns: Namespace) -> None:
    ns.template()
    ns.rendered()

    before = ns.one("ConfigMap", "app-free")["metadata"]["labels"]
    moved = {"metadata": {"labels": {"trimtab.dev/group": "pro"}}}
    ns.api.patch("ConfigMap", ns.name, "app-free", moved)
    wait_for(
        lambda: (
            (found := ns.get("ConfigMap", "app-free")) is not None and found["metadata"]["labels"] == before
        ),
        lambda: f"{ns.get('ConfigMap', 'app-free')}",
    )
    ns.rendered()


def test_labels_and_annotations_of_other_clients_are_left_unchanged(
    operator: Operator, ns: Namespace
) -> None:
    ns.template()
    ns.rendered()
    others = {"labels": {"team": "music"}, "annotations": {"note": "ours"}}
    ns.api.patch("ConfigMap", ns.name, "app-free", {"metadata": others})
    ns.template(groups=[{"name": "free", "values": {"session.minutes": 7}}, {"name": "pro"}])
    wait_for(lambda: '"minutes": 7' in ns.data("app-free").get("app.json", ""), "the new revision")
    meta = ns.one("ConfigMap", "app-free")["metadata"]
    assert meta["labels"]["team"] == "music"
    assert meta["annotations"]["note"] == "ours"


def test_a_foreign_config_map_is_never_overwritten_until_it_is_deleted_or_annotated_for_adoption(
    operator: Operator, ns: Namespace
) -> None:
    foreign = {
        name: ns.api.create(config_map(ns.name, name, {"mine": "yes"})) for name in ("app-free", "web-free")
    }
    ns.template()
    ns.template("web")
    ns.preference("bob", {"session.minutes": 5}, group="pro")
    for template in ("app", "web"):
        ready = ns.wait_verdict("ConfigTemplate", template, "False", "Conflict")
        for word in (f"{template}-free", "was not made by Trimtab", "trimtab.dev/adopt"):
            assert word in ready["message"]
        ns.wait_verdict("RenderedGroup", f"{template}-free", "False", "Conflict")
    ns.wait_user("bob", {"session.minutes": 5}, group="pro")
    for name, before in foreign.items():
        assert ns.one("ConfigMap", name) == before

    ns.drop("ConfigMap", "app-free")
    adopt = {"metadata": {"annotations": {"trimtab.dev/adopt": "true"}}}
    ns.api.patch("ConfigMap", ns.name, "web-free", adopt)
    for template in ("app", "web"):
        ns.rendered(template)
        assert set(ns.data(f"{template}-free")) == {"app.json", "_default.prefs.json"}


def test_a_foreign_object_with_the_name_of_a_per_user_object_blocks_only_that_user(
    operator: Operator, ns: Namespace
) -> None:
    foreign = ns.api.create(config_map(ns.name, "app-u-alice", {"mine": "yes"}))
    ns.template(users={"delivery": "PerUser"})
    ns.preference("alice", {"session.minutes": 5})
    ns.preference("bob", {"session.minutes": 6})
    ns.invalid("alice", "Conflict")
    ns.wait_data("app-u-bob", "prefs.json")
    ns.accepted("bob")

    assert ns.one("ConfigMap", "app-u-alice") == foreign

    ns.drop("ConfigMap", "app-u-alice")
    ns.wait_data("app-u-alice", "prefs.json")
    ns.accepted("alice")


def test_a_foreign_object_that_is_annotated_for_adoption_is_adopted(
    operator: Operator, ns: Namespace
) -> None:
    adopt = {"trimtab.dev/adopt": "true"}
    ns.api.create(config_map(ns.name, "app-free", {"mine": "yes"}, annotations=adopt))
    ns.template()
    ns.rendered()
    assert set(ns.data("app-free")) == {"app.json", "_default.prefs.json"}
