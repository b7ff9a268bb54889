"""Two revisions of a group: differences of documents and of structure, and never a sensitive value."""

from __future__ import annotations

import copy
import hashlib
import json
from typing import Any

import pytest

from trimtab.api.policy_rollout import PolicyRolloutSpec
from trimtab.core.policy.policy import compile_policy
from trimtab.core.resolve import diff, redaction, snapshot
from trimtab.core.resolve.diff import Contents, KeyChange, PartChange, Side, documents, structures
from trimtab.core.resolve.resolve import Trace, group_view, trace
from trimtab.core.schema.template import compile_template

Spec = dict[str, Any]
SPEC: Spec = {
    "keys": [
        {"name": "agent.temperature", "type": "Number", "default": 0.7, "minimum": 0, "maximum": 2},
        {"name": "session.minutes", "type": "Integer", "default": 30},
        {"name": "debug", "type": "Boolean"},
        {"name": "plugins", "type": "StringList", "merge": "Append", "default": ["a"]},
        {"name": "api.token", "type": "String", "sensitive": True, "minLength": 4, "pattern": "^[a-z0-9]+$"},
        {
            "name": "api.headers",
            "type": "StringMap",
            "sensitive": True,
            "merge": "Merge",
            "default": {"x": "hunter1"},
        },
    ],
    "profiles": [{"name": "calm", "values": {"agent.temperature": 0.5}}, {"name": "wild", "values": {}}],
    "groups": [
        {"name": "free", "profile": "calm", "values": {"session.minutes": 20, "api.token": "hunter2"}},
        {"name": "pro"},
    ],
    "outputs": [{"name": "app", "kind": "Secret", "format": "JSON", "fileName": "app.json"}],
}
SECRETS = ("hunter", "^[a-z")


def _digest(path: list[str], value: Any) -> str:
    """As keyed ones: the place is part of it."""
    return hashlib.sha256(json.dumps([path, value], sort_keys=True).encode()).hexdigest()[:20]


def _data(part: str, content: tuple[Spec, snapshot.Taken], *, digests: bool = True) -> Spec:
    public, taken = content
    sealed = {"sealed": "gAAAA"} if taken else {}
    told = (
        {"digests": {"/".join(path): _digest(path, value) for path, value in taken}}
        if taken and digests
        else {}
    )
    return {part: public, **sealed, **told}


def _template(spec: Spec, *, digests: bool = True) -> Spec:
    return _data("spec", snapshot.split(spec), digests=digests)


def _policy(spec: Spec) -> Spec:
    return _data("policy", snapshot.split_policy(spec, {"api.token", "api.headers"}))


def _changed(**edits: Any) -> Spec:
    """The template with some of its parts replaced."""
    return {**copy.deepcopy(SPEC), **edits}


def _keys(**fields: Any) -> list[Spec]:
    """The keys, session.minutes with other fields."""
    return [{**key, **fields} if key["name"] == "session.minutes" else dict(key) for key in SPEC["keys"]]


def _groups(values: Spec, **fields: Any) -> list[Spec]:
    return [{"name": "free", "profile": "calm", "values": values, **fields}, {"name": "pro"}]


class Revision:
    """What the command line makes of a revision's snapshots."""

    def __init__(self, spec: Spec, **policies: Spec) -> None:
        made = redaction.template(_template(spec))
        held = {name: redaction.policy(_policy(content)) for name, content in policies.items()}
        self.contents = Contents(made.content, {name: policy.content for name, policy in held.items()})

    def traces(self, group: str = "free") -> dict[str, Trace]:
        schema = compile_template("app", redaction.compilable(self.contents.template))
        kinds = redaction.sensitive(self.contents.template)
        policies = [
            compile_policy(name, redaction.compilable_policy(content, kinds), schema)
            for name, content in self.contents.policies.items()
        ]
        return trace(group_view(schema, group, policies), {})


def _documents(old: Revision, new: Revision) -> dict[str, KeyChange]:
    return {change.key: change for change in documents(old.traces(), new.traces())}


def _structures(old: Revision, new: Revision) -> dict[str, PartChange]:
    told = set(_documents(old, new))
    return {change.path: change for change in structures(old.contents, new.contents, "free", told)}


def _policy_spec(**policy: Any) -> Spec:
    return {"templateRef": {"name": "app"}, "policy": policy}


# Documents.


def test_equal_revisions_do_not_differ() -> None:
    assert _documents(Revision(SPEC), Revision(SPEC)) == {}
    assert _structures(Revision(SPEC), Revision(SPEC)) == {}


def test_each_key_has_both_values_and_their_sources() -> None:
    new = _changed(groups=_groups({"debug": True, "api.token": "hunter2"}))
    assert _documents(Revision(SPEC), Revision(new)) == {
        "session.minutes": KeyChange(
            "session.minutes", diff.CHANGED, Side(20, "group/free"), Side(30, "default")
        ),
        "debug": KeyChange("debug", diff.ADDED, None, Side(True, "group/free")),
    }
    assert _documents(Revision(new), Revision(SPEC))["debug"].change == diff.REMOVED


def test_a_deleted_key_is_removed_and_comes_last() -> None:
    without = [key for key in SPEC["keys"] if key["name"] != "agent.temperature"]
    new = Revision(
        _changed(
            keys=without,
            profiles=[{"name": "calm"}],
            groups=_groups({"session.minutes": 9, "api.token": "hunter2"}),
        )
    )
    found = documents(Revision(SPEC).traces(), new.traces())

    assert [(change.key, change.change) for change in found] == [
        ("session.minutes", diff.CHANGED),
        ("agent.temperature", diff.REMOVED),
    ]


def test_the_same_value_from_another_source_is_reported_as_such() -> None:
    new = _changed(keys=_keys(default=20), groups=_groups({"api.token": "hunter2"}))
    assert _documents(Revision(SPEC), Revision(new)) == {
        "session.minutes": KeyChange(
            "session.minutes", diff.MOVED, Side(20, "group/free"), Side(20, "default")
        )
    }


def test_true_is_not_one() -> None:
    def of(value: Any) -> dict[str, Trace]:
        return {"x": Trace("x", value, "default", (), False, False)}

    assert [c.change for c in documents(of(True), of(1))] == [diff.CHANGED]
    assert documents(of(1), of(1.0)) == []


def test_policies_are_layers_and_clamps_are_reported() -> None:
    policy = _policy_spec(
        values={"session.minutes": 25},
        enforced=[{"key": "debug", "value": False}],
        constraints=[{"key": "agent.temperature", "maximum": 0.4}],
    )

    assert _documents(Revision(SPEC), Revision(SPEC, calmer=policy)) == {
        "agent.temperature": KeyChange(
            "agent.temperature",
            diff.CHANGED,
            Side(0.5, "profile/calm"),
            Side(0.4, "profile/calm", "clamped by calmer"),
        ),
        "session.minutes": KeyChange(
            "session.minutes", diff.CHANGED, Side(20, "group/free"), Side(25, "policy/calmer")
        ),
        "debug": KeyChange("debug", diff.ADDED, None, Side(False, "enforced/calmer")),
    }


# What is sensitive.


@pytest.mark.parametrize(
    ("values", "change"),
    [
        ({"session.minutes": 20, "api.token": "hunter2"}, None),
        ({"session.minutes": 20, "api.token": "hunter3"}, diff.CHANGED),
        ({"session.minutes": 20}, diff.REMOVED),
    ],
)
def test_of_a_sensitive_value_only_whether_it_changed_is_reported(values: Spec, change: str | None) -> None:
    found = _documents(Revision(SPEC), Revision(_changed(groups=_groups(values))))
    assert (found["api.token"].change if found else None) == change
    if change:
        assert found["api.token"].old == Side(diff.SENSITIVE, "group/free")
        assert found["api.token"].sensitive


def test_a_sensitive_value_that_another_layer_sets_cannot_be_compared() -> None:
    new = _changed(
        profiles=[{"name": "calm", "values": {"agent.temperature": 0.5, "api.token": "hunter2"}}],
        groups=_groups({"session.minutes": 20}),
    )
    assert _documents(Revision(SPEC), Revision(new))["api.token"].change == diff.UNKNOWN


def test_a_sensitive_map_of_several_layers_is_compared_as_a_whole() -> None:
    values = {"session.minutes": 20, "api.token": "hunter2", "api.headers": {"y": "hunter4"}}
    new = {**values, "api.headers": {"y": "hunter5"}}
    found = _documents(Revision(_changed(groups=_groups(values))), Revision(_changed(groups=_groups(new))))
    assert [(c.key, c.change) for c in found.values()] == [("api.headers", diff.CHANGED)]


def test_a_sensitive_value_of_a_policy_is_masked_as_well() -> None:
    def revision(token: str, pattern: str) -> Revision:
        policy = _policy_spec(
            enforced=[{"key": "api.token", "value": token}],
            constraints=[{"key": "api.token", "pattern": pattern, "onViolation": "Drop"}],
        )
        return Revision(SPEC, keys=policy)

    old, new = revision("hunter5", "^[a-z0-9]+$"), revision("hunter6", "^[a-z0-9]*$")
    assert _documents(old, new)["api.token"].new == Side(diff.SENSITIVE, "enforced/keys")
    assert _structures(old, new) == {
        "policies[keys].constraints[api.token].pattern": PartChange(
            "policies[keys].constraints[api.token].pattern", diff.CHANGED, diff.SENSITIVE, diff.SENSITIVE
        )
    }


def test_when_a_key_becomes_sensitive_its_clear_values_are_not_told() -> None:
    open_keys = [{**key, "sensitive": False} if key["name"] == "api.token" else key for key in SPEC["keys"]]
    old, new = Revision(_changed(keys=open_keys)), Revision(SPEC)
    found = documents(old.traces(), new.traces())
    assert [(c.key, c.change, c.old) for c in found] == [
        ("api.token", diff.UNKNOWN, Side(diff.SENSITIVE, "group/free"))
    ]
    parts = structures(old.contents, new.contents, "free", {"api.token"})
    assert [(p.path, p.old, p.new) for p in parts] == [("keys[api.token].sensitive", False, True)]


def test_nothing_sensitive_is_ever_in_a_difference() -> None:
    policy = _policy_spec(
        values={"api.token": "hunter7"}, constraints=[{"key": "api.token", "enum": ["hunter7"]}]
    )
    bare: Spec = {"keys": [{"name": "x", "type": "String"}], "groups": [{"name": "free"}]}
    open_keys = [{**key, "sensitive": False} for key in SPEC["keys"]]
    revisions = [Revision(SPEC), Revision(SPEC, p=policy), Revision(bare), Revision(_changed(keys=open_keys))]
    for old in revisions:
        for new in revisions:
            if {id(old), id(new)} == {id(revision) for revision in revisions[2:]}:
                continue  # between those two nothing is sensitive
            found = [*documents(old.traces(), new.traces()), *structures(old.contents, new.contents, "free")]
            assert not any(secret in repr(found) for secret in SECRETS)


def test_without_digests_sensitive_values_are_left_out() -> None:
    data = _template(SPEC, digests=False)
    assert redaction.template(data).blind
    assert not redaction.template(_template(SPEC)).blind
    assert not redaction.template({"spec": {"keys": []}}).blind
    blind = redaction.template(_template(SPEC), blind=True)
    assert "api.token" not in blind.content["groups"][0]["values"]
    assert compile_template("app", redaction.compilable(blind.content))


@pytest.mark.parametrize(
    "data", [{}, {"spec": 3}, {"spec": {"keys": 3}}, {"spec": {}, "digests": {"keys/x/default": "ab"}}]
)
def test_what_is_no_snapshot_is_unreadable(data: Spec) -> None:
    with pytest.raises(redaction.UnreadableError):
        redaction.template(data)


# Structure.


@pytest.mark.parametrize(
    ("new", "changes"),
    [
        (
            _changed(keys=_keys(type="Number", default=30.0)),
            {"keys[session.minutes].type": ("Changed", "Integer", "Number")},
        ),
        (_changed(keys=_keys(maximum=90)), {"keys[session.minutes].maximum": ("Added", None, 90)}),
        (
            _changed(keys=_keys(reload="None")),
            {"keys[session.minutes].reload": ("Changed", "Restart", "None")},
        ),
        (
            _changed(outputs=[{**SPEC["outputs"][0], "format": "YAML"}]),
            {"outputs[app].format": ("Changed", "JSON", "YAML")},
        ),
        (
            _changed(groups=[*SPEC["groups"], {"name": "vip"}]),
            {"groups[vip]": ("Added", None, {"name": "vip"})},
        ),
        (_changed(groups=SPEC["groups"][:1]), {"groups[pro]": ("Removed", {"name": "pro"}, None)}),
        (_changed(groups=[SPEC["groups"][0], {"name": "pro", "maxUsers": 3}]), {}),
        (_changed(profiles=[SPEC["profiles"][0], {"name": "wild", "values": {"debug": True}}]), {}),
        (_changed(schemaVersion=2), {"schemaVersion": ("Changed", 1, 2)}),
        (_changed(schemaVersion=1, coercion="Lossless"), {}),
        (
            _changed(groups=_groups(SPEC["groups"][0]["values"], labels={"a.b/c": "d"})),
            {"groups[free].labels[a.b/c]": ("Added", None, "d")},
        ),
        (
            _changed(
                groups=_groups(SPEC["groups"][0]["values"], workloads=[{"kind": "Deployment", "name": "x"}])
            ),
            {"groups[free].workloads[Deployment/x]": ("Added", None, {"kind": "Deployment", "name": "x"})},
        ),
    ],
)
def test_structure_is_reported_by_its_path(new: Spec, changes: Spec) -> None:
    found = _structures(Revision(SPEC), Revision(new))
    assert {path: (c.change, c.old, c.new) for path, c in found.items()} == changes


def test_an_overridden_default_is_reported_as_structure() -> None:
    found = _structures(Revision(SPEC), Revision(_changed(keys=_keys(default=45))))
    assert found["keys[session.minutes].default"] == PartChange(
        "keys[session.minutes].default", diff.CHANGED, 30, 45
    )


def test_a_value_that_was_reported_by_key_is_not_reported_twice() -> None:
    new = _changed(groups=_groups({"session.minutes": 9, "api.token": "hunter2"}))
    assert _structures(Revision(SPEC), Revision(new)) == {}


def test_another_order_is_reported_once() -> None:
    found = _structures(Revision(SPEC), Revision(_changed(keys=SPEC["keys"][::-1])))
    assert {path: change.change for path, change in found.items()} == {"keys": diff.REORDERED}


def test_policies_come_and_go_and_change() -> None:
    limit = {"key": "agent.temperature", "maximum": 1.0, "reason": "COST-7"}
    old = Revision(SPEC, calmer=_policy_spec(constraints=[limit]))
    new = Revision(SPEC, calmer={**_policy_spec(constraints=[{**limit, "maximum": 0.9}]), "priority": 5})
    found = _structures(old, new)
    assert {path: (c.change, c.old, c.new) for path, c in found.items()} == {
        "policies[calmer].priority": (diff.ADDED, None, 5),
        "policies[calmer].constraints[agent.temperature].maximum": (diff.CHANGED, 1.0, 0.9),
    }

    (path,) = _structures(Revision(SPEC), old)
    assert path == "policies[calmer]"


def test_a_policy_whose_key_is_no_longer_sensitive_still_compiles() -> None:
    open_keys = [{**key, "sensitive": False} for key in SPEC["keys"]]
    policy = _policy_spec(
        values={"api.token": "hunter9", "session.minutes": 3},
        enforced=[{"key": "api.token", "value": "hunter9"}],
    )
    made = redaction.policy(_policy(policy))
    spec = redaction.compilable_policy(made.content, redaction.sensitive({"keys": open_keys}))

    assert isinstance(spec, PolicyRolloutSpec)
    assert spec.policy.values == {"session.minutes": 3}
    assert spec.policy.enforced == []
