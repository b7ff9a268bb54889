"""What proves that an object is Trimtab's own: the mark of its very place, or a recorded uid; labels never do."""

from __future__ import annotations

import pytest

from trimtab.core import naming
from trimtab.core.refs import Ref
from trimtab.core.render.origin import Claims, Place, is_proved, place
from trimtab.core.render.plan import Observed
from trimtab.crypto import Keys

LABELS = {naming.LABEL_MANAGED_BY: naming.MANAGER, naming.LABEL_GROUP: "free"}
SHARD = Ref("ConfigMap", "ns", "app-free-users-0")


def have(
    ref: Ref = SHARD, mark: str = "", applied: bool = False, labels: dict[str, str] = LABELS
) -> Observed:
    annotations = {naming.ANNOTATION_MARK: mark} if mark else {}
    return Observed(ref, "uid", 1, labels, annotations, {}, applied=applied)


def claims(recorded: dict[Ref, str] | None = None, holds: bool = True) -> Claims:
    return Claims("app", "free", LABELS, str, recorded or {}, lambda *_: holds)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("app-free", Place()),
        ("app-free-users-0", Place(shard=0)),
        ("app-free-users-12", Place(shard=12)),
        ("app-u-ann", Place(preference="ann")),
        ("app-u-", None),
        ("app-free-users-", None),
        ("app-free-users-007", None),
        ("app-free-users-٣", None),
        ("app-free-users-0\n", None),
        ("app-free-users-99999999999999999999", None),
        ("app-free-users-0-more", None),
        ("app-paid", None),
        ("app", None),
        ("web-free", None),
        ("app-free-", None),
        ("planted", None),
    ],
)
def test_an_output_has_a_name_of_its_group(name: str, found: Place | None) -> None:
    assert place(Ref("ConfigMap", "ns", name), "app", "free") == found


@pytest.mark.parametrize(
    ("mark", "uid", "proved"),
    [("m", "", True), ("", "uid", True), ("other", "uid", True), ("other", "", False), ("", "gone", False)],
)
def test_the_mark_or_the_recorded_uid_is_proof(mark: str, uid: str, proved: bool) -> None:
    assert is_proved(have(mark=mark), "m", uid) is proved


def test_no_mark_is_never_equal_to_no_mark() -> None:
    assert not is_proved(have(), "", "")


def test_a_mark_is_of_one_place_and_one_template_under_one_key() -> None:
    keys = Keys.fresh()
    places = [
        ("ConfigMap", "ns", "app-free", "ns", "app"),
        ("Secret", "ns", "app-free", "ns", "app"),
        ("ConfigMap", "other", "app-free", "ns", "app"),
        ("ConfigMap", "ns", "app-paid", "ns", "app"),
        ("ConfigMap", "ns", "app-free", "other", "app"),
        ("ConfigMap", "ns", "app-free", "ns", "app-free"),
        ("ConfigMap", "nsapp-free", "", "ns", "app"),
    ]

    assert len({keys.digest("mark", each, None) for each in places}) == len(places)
    assert keys.rotated().digest("mark", places[0], None) == keys.digest("mark", places[0], None)
    assert Keys.fresh().digest("mark", places[0], None) != keys.digest("mark", places[0], None)
    assert keys.digest("output", places[0], None) != keys.digest("mark", places[0], None)


# The first start of a version with marks

BEFORE = {Ref("ConfigMap", "ns", "app-free"): ""}


@pytest.mark.parametrize(
    ("ref", "recorded", "holds", "ours"),
    [
        (Ref("ConfigMap", "ns", "app-free"), BEFORE, True, True),
        (Ref("ConfigMap", "ns", "app-free-users-3"), BEFORE, True, True),
        (Ref("ConfigMap", "ns", "app-u-ann"), BEFORE, True, True),
        (Ref("ConfigMap", "ns", "app-u-ann"), BEFORE, False, False),
        (Ref("ConfigMap", "other", "app-free"), BEFORE, True, False),
        (Ref("ConfigMap", "other", "app-free-users-3"), BEFORE, True, False),
        (Ref("Secret", "ns", "app-free"), BEFORE, True, False),
        (Ref("ConfigMap", "ns", "planted"), BEFORE, True, False),
        (Ref("ConfigMap", "ns", "app-free"), {}, True, False),
        (Ref("ConfigMap", "ns", "app-free-users-3"), dict.fromkeys(BEFORE, "another uid"), True, False),
    ],
)
def test_objects_without_marks_count_where_the_version_before_wrote(
    ref: Ref, recorded: dict[Ref, str], holds: bool, ours: bool
) -> None:
    assert claims(recorded, holds).prove(have(ref, applied=True)) is ours


def test_an_object_without_a_mark_needs_all_labels_and_our_apply() -> None:
    assert claims(BEFORE).prove(have(applied=True))
    assert not claims(BEFORE).prove(have(applied=False))
    assert not claims(BEFORE).prove(have(applied=True, labels={naming.LABEL_GROUP: "free"}))
