"""Random templates, and values that users may write into them: valid, hostile and everything between."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from trimtab.api.config_template import ConfigTemplateSpec
from trimtab.core.resolve.resolve import GroupView, group_view
from trimtab.core.schema.template import compile_template
from trimtab.core.violations import RejectedError
from trimtab.kube.port import Body

CANARY = "canary"
"""Every random sensitive value begins so."""

TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
SMALL = st.integers(-5, 5)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
DURATIONS = st.sampled_from(["0", "5s", "1m", "90s", "1h30m", "250ms"])
_OF: dict[str, st.SearchStrategy[Any]] = {
    "String": TEXT,
    "Integer": st.integers(-(2**63), 2**63 - 1),
    "Number": NUMBERS,
    "Boolean": st.booleans(),
    "Duration": DURATIONS,
    "StringList": st.lists(TEXT, max_size=4),
    "NumberMap": st.dictionaries(TEXT.filter(bool), NUMBERS, max_size=4),
    "StringMap": st.dictionaries(TEXT.filter(bool), TEXT, max_size=4),
}
_MERGE = {
    "StringList": ["Replace", "Append"],
    "NumberMap": ["Replace", "Merge"],
    "StringMap": ["Replace", "Merge"],
}
_LIMITS: dict[str, st.SearchStrategy[Body]] = {
    "String": st.sampled_from([{}, {"maxLength": 6}, {"minLength": 1}, {"pattern": "^[a-z0-9 ]*$"}]),
    "Integer": st.sampled_from([{}, {"minimum": 0}, {"maximum": 1000}, {"minimum": -3, "maximum": 3}]),
    "Number": st.sampled_from([{}, {"minimum": 0}, {"maximum": 1}]),
    "Boolean": st.just({}),
    "Duration": st.sampled_from([{}, {"minimum": "1s"}, {"maximum": "1h"}]),
    "StringList": st.sampled_from([{}, {"maxItems": 3}, {"items": {"maxLength": 5}}]),
    "NumberMap": st.sampled_from([{}, {"maxItems": 3}, {"items": {"minimum": 0}}]),
    "StringMap": st.sampled_from([{}, {"maxItems": 3}, {"items": {"maxLength": 5}}]),
}
SEGMENTS = st.from_regex(r"[A-Za-z][A-Za-z0-9_]{0,4}", fullmatch=True)
NAMES = st.lists(SEGMENTS, min_size=1, max_size=3).map(".".join)


@dataclass(frozen=True)
class Template:
    """A spec that compiles, with a group ``g``; ``kinds`` are its keys' types."""

    spec: Body
    kinds: dict[str, str]

    @property
    def view(self) -> GroupView:
        return group_view(compile_template("app", ConfigTemplateSpec.model_validate(self.spec)), "g")


def secret_of(kind: str) -> st.SearchStrategy[Any]:
    """A sensitive value that can be told apart from all else."""
    words = st.integers(0, 999).map(lambda n: f"{CANARY}{n}")
    return {
        "String": words,
        "StringList": st.lists(words, min_size=1, max_size=2),
        "StringMap": st.dictionaries(words, words, min_size=1, max_size=2),
    }[kind]


@st.composite
def _keys(draw: st.DrawFn, sensitive: bool) -> list[Body]:
    keys: list[Body] = []
    for name in draw(st.lists(NAMES, min_size=1, max_size=6, unique_by=lambda n: n.lower().replace("_", ""))):
        kind = draw(st.sampled_from(sorted(_OF)))
        key: Body = {"name": name, "type": kind}
        if sensitive and draw(st.booleans()):
            kind = key["type"] = draw(st.sampled_from(["String", "StringList", "StringMap"]))
            key |= {"sensitive": True, "default": draw(secret_of(kind))}
        else:
            key |= draw(_LIMITS[kind])
            if draw(st.booleans()):
                key["default"] = draw(_OF[kind])
        if kind in _MERGE:
            key["merge"] = draw(st.sampled_from(_MERGE[kind]))
        key["setBy"] = draw(st.sampled_from(["User", "User", "User", "Group"]))
        if draw(st.integers(0, 5)) == 0:
            key["deprecated"] = {"message": "no more"}
        if draw(st.integers(0, 5)) == 0:
            key["required"] = True
        keys.append(key)
    return keys


@st.composite
def templates(draw: st.DrawFn, *, sensitive: bool = False) -> Template:
    """Templates that compile; with ``sensitive``, some keys are, and their values begin with the canary."""
    keys = draw(_keys(sensitive))
    kinds = {key["name"]: key["type"] for key in keys}
    secret = {key["name"] for key in keys if key.get("sensitive")}

    def layer() -> Body:
        chosen = draw(st.lists(st.sampled_from(sorted(kinds)), unique=True, max_size=3))
        return {n: draw(secret_of(kinds[n]) if n in secret else _OF[kinds[n]]) for n in chosen}

    outputs: list[Body] = [
        {"name": "all", "format": "JSON", "fileName": "all.json"},
        {"name": "user", "format": "JSON", "fileName": "user.json", "scope": "User"},
        {"name": "sealed", "format": "JSON", "fileName": "sealed.json", "kind": "Secret"},
        {"name": "own", "format": "YAML", "fileName": "own.yaml", "kind": "Secret", "scope": "User"},
    ]
    made: Body = {
        "keys": keys,
        "coercion": draw(st.sampled_from(["Lossless", "Strict"])),
        "profiles": [{"name": "p", "values": layer()}],
        "groups": [{"name": "g", "profile": "p", "values": layer()}],
        "outputs": draw(st.permutations(outputs)),
        "users": {"delivery": draw(st.sampled_from(["Sharded", "PerUser"]))},
    }
    return Template(_mended(made), kinds)


def _mended(spec: Body) -> Body:
    """The same without what is refused, so that it compiles."""
    for _ in range(20):
        try:
            compile_template("app", ConfigTemplateSpec.model_validate(spec))
        except RejectedError as error:
            wrong = {violation.key for violation in error.violations}
            spec = {
                **spec,
                "keys": [
                    {
                        n: v
                        for n, v in key.items()
                        if key["name"] not in wrong or n in ("name", "type", "sensitive")
                    }
                    for key in spec["keys"]
                    if not (key["name"] in wrong and len(key) <= 3)
                ],
                "profiles": [_less(entry, wrong) for entry in spec["profiles"]],
                "groups": [_less(entry, wrong) for entry in spec["groups"]],
            }
        else:
            return spec
    return {**spec, "keys": [], "profiles": [{"name": "p"}], "groups": [{"name": "g"}]}


def _less(entry: Body, wrong: set[str]) -> Body:
    return {**entry, "values": {n: v for n, v in entry.get("values", {}).items() if n not in wrong}}


@st.composite
def values_for(draw: st.DrawFn, template: Template, *, hostile: bool = True) -> Body:
    """Some values for a template's keys: of the right type, coercible, or plain nonsense."""
    chosen = draw(st.lists(st.sampled_from(sorted(template.kinds)), unique=True, max_size=5))
    made: Body = {}
    for name in chosen:
        fitting = _OF[template.kinds[name]]
        made[name] = draw(st.one_of(fitting, fitting, SMALL, SMALL.map(str), JSON) if hostile else fitting)
    if hostile and draw(st.integers(0, 3)) == 0:
        made[draw(TEXT)] = draw(JSON)
    return made


@st.composite
def cases(
    draw: st.DrawFn, *, sensitive: bool = False, hostile: bool = True, users: int = 1
) -> tuple[Template, list[Body]]:
    """A template, and values of some users for it."""
    template = draw(templates(sensitive=sensitive))
    return template, [draw(values_for(template, hostile=hostile)) for _ in range(users)]
