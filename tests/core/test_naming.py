"""Names of objects, entries and reasons."""

from __future__ import annotations

import pytest

from trimtab.core import naming, reasons


@pytest.mark.parametrize("group", ["users-0", "a-users-12", "u", "u-a"])
def test_a_group_name_that_could_be_a_shard_s_or_a_user_s_is_ambiguous(group: str) -> None:
    assert naming.ambiguous_group(group)


@pytest.mark.parametrize(
    "group", ["users", "users-", "users-a", "users-1a", "1-users", "ux", "au-b", "a-u-b"]
)
def test_other_group_names_are_not(group: str) -> None:
    assert naming.ambiguous_group(group) == ""


def test_objects_are_named_as_the_contract_specifies() -> None:
    assert naming.group_object("app", "free") == "app-free"
    assert naming.shard_object("app", "free", 3) == "app-free-users-3"
    assert naming.user_object("app", "ann") == "app-u-ann"
    assert naming.data_key("ann", "prefs.json") == "ann.prefs.json"


def test_every_reason_is_documented() -> None:
    named = {value for name, value in vars(reasons).items() if name.isupper()}
    documented = {line.split()[0] for line in (reasons.__doc__ or "").splitlines() if line[:1].isupper()}

    assert named <= documented
