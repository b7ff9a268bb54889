"""The content of a snapshot: split into a public and a sensitive part, and joined."""

from __future__ import annotations

from typing import Any

from trimtab.core.resolve import snapshot

SPEC: dict[str, Any] = {
    "keys": [
        {"name": "open", "type": "String", "default": "d"},
        {
            "name": "shut",
            "type": "StringList",
            "sensitive": True,
            "default": ["canary-1"],
            "items": {"enum": ["canary-1", "canary-2"], "pattern": "canary"},
            "description": "what for",
        },
        {"name": "code", "type": "String", "sensitive": True, "enum": ["canary-3"], "pattern": "canary-4"},
    ],
    "profiles": [{"name": "p", "values": {"open": "o", "code": "canary-3"}}, {"name": "q"}],
    "groups": [{"name": "g", "profile": "p", "values": {"shut": ["canary-2"], "open": "x"}}],
    "outputs": [{"name": "o", "format": "JSON", "fileName": "f"}],
}


def test_a_snapshot_s_public_part_holds_nothing_sensitive() -> None:
    public, taken = snapshot.split(SPEC)

    assert "canary" not in str(public)
    assert len(taken) == 6
    assert public["keys"][1]["description"] == "what for"


def test_a_snapshot_is_restored_unchanged() -> None:
    before = str(SPEC)

    assert snapshot.join(*snapshot.split(SPEC)) == SPEC
    assert str(SPEC) == before, "and the original is left alone"


def test_a_spec_without_secrets_is_stored_unchanged() -> None:
    spec = {"keys": [{"name": "a", "type": "String"}], "groups": [{"name": "g"}]}

    assert snapshot.split(spec) == (spec, [])
    assert snapshot.split({}) == ({}, [])


def test_how_a_change_rolls_out_is_no_part_of_its_content() -> None:
    assert snapshot.content({"keys": [], "strategy": {"paused": True}}) == {"keys": []}
