"""What is stored of sensitive values: sealed, keyed, and never shown."""

from __future__ import annotations

import base64

import pytest
from cryptography.fernet import Fernet

from trimtab.core.naming import DIGITS, UNBOUND_DIGITS
from trimtab.crypto import Keys, Purpose, UnreadableError


def test_keys_survive_their_secret() -> None:
    keys = Keys.fresh()

    assert Keys.from_secret(keys.to_secret()) == keys


def test_fresh_keys_differ() -> None:
    assert Keys.fresh() != Keys.fresh()


def test_keys_are_never_shown() -> None:
    keys = Keys.fresh()

    for shown in (repr(keys), str(keys), f"{keys}"):
        assert keys.fernet[0].decode() not in shown
        assert repr(keys.digest_key) not in shown


@pytest.mark.parametrize("value", [None, "", "é😀", 1.5, 2**53, [1, "a"], {"b": {"a": [None, True]}}])
def test_what_is_sealed_opens_again(value: object) -> None:
    keys = Keys.fresh()

    token = keys.seal(value)

    assert keys.open(token) == value


def test_equal_values_are_sealed_differently() -> None:
    keys = Keys.fresh()

    assert keys.seal("canary") != keys.seal("canary")
    assert "canary" not in keys.seal("canary")


def test_after_a_rotation_the_new_key_seals_and_the_old_one_still_opens() -> None:
    old = Keys.fresh()
    rotated = Keys((Fernet.generate_key(), *old.fernet), old.digest_key)

    assert rotated.open(old.seal("x")) == "x"
    with pytest.raises(UnreadableError):
        old.open(rotated.seal("x"))
    assert Keys((rotated.fernet[0],), old.digest_key).open(rotated.seal("x")) == "x"


@pytest.mark.parametrize("token", ["", "x", "gAAAAA==", "é"])
def test_what_no_key_opens_is_unreadable(token: str) -> None:
    with pytest.raises(UnreadableError):
        Keys.fresh().open(token)


@pytest.mark.parametrize(
    "change",
    [
        {"fernet": None},
        {"digest": None},
        {"fernet": ""},
        {"fernet": base64.b64encode(b"short").decode()},
        {"fernet": "***"},
        {"digest": base64.b64encode(b"short").decode()},
        {"digest": "*"},
    ],
)
def test_malformed_keys_are_refused_without_being_shown(change: dict[str, str | None]) -> None:
    data = {**Keys.fresh().to_secret(), **change}

    with pytest.raises(UnreadableError) as caught:
        Keys.from_secret({name: text for name, text in data.items() if text is not None})

    assert not any(text and text in str(caught.value) for text in data.values())


def test_a_digest_is_keyed_and_the_same_for_equal_values() -> None:
    keys = Keys.fresh()

    def digest(value: object, keys: Keys = keys) -> str:
        return keys.digest("value", ("music", "app"), value)

    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    assert digest("a") != digest("b")
    assert digest("a") != digest("a", Keys.fresh()), "a guess cannot be confirmed by hashing it"
    assert keys.unbound("a") != Keys.fresh().unbound("a")
    assert {len(digest("a")), len(keys.unbound("a"))} == {DIGITS, UNBOUND_DIGITS}


@pytest.mark.parametrize(
    ("purpose", "place"),
    [
        ("output", ("music", "app")),
        ("value", ("music2", "app")),
        ("value", ("music", "app2")),
        ("value", ("music",)),
        ("value", ("music", "app", "")),
        ("value", ("musicapp",)),
    ],
)
def test_equal_values_have_different_digests_elsewhere_and_for_another_purpose(
    purpose: Purpose, place: tuple[str, ...]
) -> None:
    keys = Keys.fresh()

    assert keys.digest(purpose, place, "4711") != keys.digest("value", ("music", "app"), "4711")
