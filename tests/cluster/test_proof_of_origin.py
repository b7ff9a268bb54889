"""People who may write objects in one namespace, with tokens of their own, against outputs of others."""

from __future__ import annotations

from support.live_objects import wait_for
from support.manifests import config_map
from support.namespace import Namespace
from support.operator_process import Operator
from support.service_accounts import Hire, may

MAKES = may("configmaps", "create", "get", "patch", "delete", group="")


def test_forged_labels_and_copied_marks_get_nothing_written_served_or_deleted(
    operator: Operator, ns: Namespace, hire: Hire
) -> None:
    # given: a user whose files are suspended, and mallory, who may write ConfigMaps beside them
    mallory = hire("mallory")
    mallory.grant(MAKES)
    ns.template()
    ns.preference("alice", {"session.minutes": 5})
    ns.wait_user("alice", {"session.minutes": 5})
    ns.preference("alice", {"session.minutes": 5}, suspend=True)
    before = ns.data("app-free-users-0")
    real = ns.one("ConfigMap", "app-free-users-0")["metadata"]

    # when: she makes forged ones with all labels and the real one's mark, and the operator starts anew
    names = ("planted", "app-free-users-7", "app-u-alice")
    notes = {**real["annotations"], "trimtab.dev/user": "alice"}
    forged = {"alice.prefs.json": "forged", "prefs.json": "forged"}
    for name in names:
        body = config_map(ns.name, name, forged, annotations=notes)
        body["metadata"]["labels"] = real["labels"]
        mallory.api.create(body)
    made = {name: ns.one("ConfigMap", name) for name in names}
    operator.restart()
    operator.quiet()

    # then: they stay as they are, status lists them, and alice's files are hers
    assert {name: ns.one("ConfigMap", name) for name in names} == made
    assert ns.data("app-free-users-0") == before
    listed = ns.one("RenderedGroup", "app-free")["status"]["foreign"]
    assert {entry["name"] for entry in listed} == set(names)


def test_an_output_that_is_immutable_or_lost_its_labels_is_restored(
    operator: Operator, ns: Namespace
) -> None:
    ns.template()
    ns.rendered()
    before = ns.one("ConfigMap", "app-free")
    labels = dict.fromkeys(before["metadata"]["labels"])
    ns.api.patch("ConfigMap", ns.name, "app-free", {"immutable": True, "metadata": {"labels": labels}})

    def right() -> bool:
        found = ns.get("ConfigMap", "app-free")
        return (
            found is not None
            and not found.get("immutable")
            and found["data"] == before["data"]
            and found["metadata"]["labels"] == before["metadata"]["labels"]
        )

    wait_for(right, lambda: str(ns.get("ConfigMap", "app-free")))
    ns.rendered()
