"""Users resolved, validated and rendered per second on one core: Trimtab's core, OmegaConf, plain pydantic.

All do the same: take a user's JSON text (three of 20 keys), lay it over the group's values, which are themselves
default, profile and group merged once beforehand, check types and limits, refuse unknown keys, and write JSON.
OmegaConf and pydantic get the values nested, as they like them; OmegaConf has no limits, so they are checked by
plain comparisons. All three must come to equal documents before anything is measured.
"""

from __future__ import annotations

import json
import re
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Annotated, Any, Literal

import msgspec
from omegaconf import OmegaConf
from pydantic import BaseModel, ConfigDict, Field

from benchmarks import content
from trimtab.api.config_template import ConfigTemplateSpec
from trimtab.core.durations import nanoseconds
from trimtab.core.render.render import render_user
from trimtab.core.resolve.resolve import group_view
from trimtab.core.schema.template import compile_template

Render = Callable[[bytes], str]
"""One user's values as JSON text, to their document."""
GROUP = "internal"
DURATION = r"^([0-9]+(\.[0-9]+)?(ns|us|ms|s|m|h))+$"


@dataclass(frozen=True, slots=True)
class Speed:
    """Users a second: the median of ``runs`` repetitions, and their range."""

    name: str
    median: float
    least: float
    most: float


def measure(users: int, repetitions: int = 5) -> list[Speed]:
    """Trimtab first."""
    values = [content.user_values(number) for number in range(users)]
    flat = [msgspec.json.encode(v) for v in values]
    nested = [msgspec.json.encode(nest(v)) for v in values]
    contenders = [
        ("trimtab.core", trimtab(), flat),
        ("pydantic", plain_pydantic(), nested),
        ("OmegaConf", omegaconf(), nested[: max(1, users // 10)]),
    ]
    _agree([(name, render, texts[:200]) for name, render, texts in contenders])
    rates: dict[str, list[float]] = {name: [] for name, _, _ in contenders}
    for _ in range(repetitions):  # in turns, so that a noisy moment harms all alike
        for name, render, texts in contenders:
            started = time.process_time()
            for text in texts:
                render(text)
            rates[name].append(len(texts) / (time.process_time() - started))
    return [Speed(name, statistics.median(r), min(r), max(r)) for name, r in rates.items()]


def _agree(contenders: Sequence[tuple[str, Render, Sequence[bytes]]]) -> None:
    """:raises AssertionError: two of them make different documents of one user's values."""
    documents = {name: [json.loads(render(t)) for t in texts] for name, render, texts in contenders}
    first, *others = documents.values()
    for other in others:
        for one, two in zip(first, other, strict=False):
            assert one == two, f"not the same work: {one} and {two}"


def nest(values: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted keys as nested mappings."""
    root: dict[str, Any] = {}
    for name, value in values.items():
        *parents, leaf = name.split(".")
        node = root
        for part in parents:
            node = node.setdefault(part, {})
        node[leaf] = value
    return root


def trimtab() -> Render:
    spec = ConfigTemplateSpec.model_validate(content.template("bench")["spec"])
    view = group_view(compile_template(content.TEMPLATE, spec), GROUP)

    def render(text: bytes) -> str:
        resolution = view.resolve(text)
        assert not resolution.violations
        rendered = render_user(view, resolution, per_user=False)
        return rendered.entries.config[content.FILE]

    return render


# Plain pydantic: the way one writes settings by hand.


def _duration(text: str) -> str:
    nanoseconds(text)
    return text


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Agent(_Model):
    temperature: Annotated[float, Field(ge=0, le=2)]
    topP: Annotated[float, Field(ge=0, le=1)]  # noqa: N815
    maxTokens: Annotated[int, Field(ge=1, le=32768)]  # noqa: N815
    provider: Literal["openai", "anthropic", "local"]
    tone: Literal["neutral", "warm", "terse"]
    name: Annotated[str, Field(min_length=1, max_length=40)]


class _Session(_Model):
    minutes: Annotated[int, Field(ge=1, le=480)]
    idleTimeout: Annotated[str, Field(pattern=DURATION)]  # noqa: N815
    resume: bool


class _Day(_Model):
    minutes: Annotated[int, Field(ge=1, le=1440)]


class _Cache(_Model):
    enabled: bool
    entries: Annotated[int, Field(ge=0, le=100000)]
    ttl: Annotated[str, Field(pattern=DURATION)]


class _Ui(_Model):
    theme: Literal["system", "light", "dark"]
    language: Annotated[str, Field(pattern=r"^[a-z]{2}(-[A-Z]{2})?$")]
    fontScale: Annotated[float, Field(ge=0.5, le=3)]  # noqa: N815


class _Taste(_Model):
    genres: dict[str, Annotated[float, Field(ge=0, le=1)]]
    blocked: Annotated[list[str], Field(max_length=50)]


class _Notify(_Model):
    email: bool


class _Document(_Model):
    agent: _Agent
    session: _Session
    day: _Day
    cache: _Cache
    ui: _Ui
    taste: _Taste
    notify: _Notify
    mark: Annotated[int, Field(ge=0, le=2_000_000_000)]


def plain_pydantic() -> Render:
    base = nest(_group_values())

    def render(text: bytes) -> str:
        return _Document.model_validate(_merge(base, json.loads(text))).model_dump_json()

    return render


def _merge(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(lower)
    for name, value in upper.items():
        below = merged.get(name)
        merged[name] = _merge(below, value) if isinstance(value, dict) and isinstance(below, dict) else value
    return merged


def _group_values() -> dict[str, Any]:
    """Default, profile and group, merged once."""
    values: dict[str, Any] = {key["name"]: key["default"] for key in content.KEYS}
    for layer in (content.PROFILE, content.GROUP_VALUES[GROUP]):
        for name, value in layer.items():
            values[name] = {**values[name], **value} if isinstance(value, dict) else value
    return values


# OmegaConf: structured configs for the types; limits by hand.


class _Provider(Enum):
    openai = "openai"
    anthropic = "anthropic"
    local = "local"


class _Tone(Enum):
    neutral = "neutral"
    warm = "warm"
    terse = "terse"


class _Theme(Enum):
    system = "system"
    light = "light"
    dark = "dark"


@dataclass
class _OcAgent:
    temperature: float = 0.7
    topP: float = 1.0  # noqa: N815
    maxTokens: int = 1024  # noqa: N815
    provider: _Provider = _Provider.openai
    tone: _Tone = _Tone.neutral
    name: str = "Robin"


@dataclass
class _OcSession:
    minutes: int = 30
    idleTimeout: str = "5m"  # noqa: N815
    resume: bool = True


@dataclass
class _OcDay:
    minutes: int = 240


@dataclass
class _OcCache:
    enabled: bool = True
    entries: int = 500
    ttl: str = "10m"


@dataclass
class _OcUi:
    theme: _Theme = _Theme.system
    language: str = "en"
    fontScale: float = 1.0  # noqa: N815


@dataclass
class _OcTaste:
    genres: dict[str, float] = field(default_factory=lambda: {"jazz": 0.5, "folk": 0.5})
    blocked: list[str] = field(default_factory=list)


@dataclass
class _OcNotify:
    email: bool = False


@dataclass
class _OcDocument:
    agent: _OcAgent = field(default_factory=_OcAgent)
    session: _OcSession = field(default_factory=_OcSession)
    day: _OcDay = field(default_factory=_OcDay)
    cache: _OcCache = field(default_factory=_OcCache)
    ui: _OcUi = field(default_factory=_OcUi)
    taste: _OcTaste = field(default_factory=_OcTaste)
    notify: _OcNotify = field(default_factory=_OcNotify)
    mark: int = 0


_DURATION = re.compile(DURATION)
_LANGUAGE = re.compile(r"^[a-z]{2}(-[A-Z]{2})?$")


def omegaconf() -> Render:
    layers = [nest(content.PROFILE), nest(content.GROUP_VALUES[GROUP])]
    base = OmegaConf.merge(OmegaConf.structured(_OcDocument), *layers)

    def render(text: bytes) -> str:
        merged = OmegaConf.merge(base, json.loads(text))
        document: Any = OmegaConf.to_container(merged, enum_to_str=True)
        _check(document)
        return json.dumps(document)

    return render


def _check(document: Any) -> None:
    agent, session, ui, cache = document["agent"], document["session"], document["ui"], document["cache"]
    taste = document["taste"]
    fits = (
        0 <= agent["temperature"] <= 2
        and 0 <= agent["topP"] <= 1
        and 1 <= agent["maxTokens"] <= 32768
        and 1 <= len(agent["name"]) <= 40
        and 1 <= session["minutes"] <= 480
        and _DURATION.match(session["idleTimeout"])
        and 1 <= document["day"]["minutes"] <= 1440
        and 0 <= cache["entries"] <= 100000
        and _DURATION.match(cache["ttl"])
        and _LANGUAGE.match(ui["language"])
        and 0.5 <= ui["fontScale"] <= 3
        and all(0 <= weight <= 1 for weight in taste["genres"].values())
        and len(taste["blocked"]) <= 50
        and 0 <= document["mark"] <= 2_000_000_000
    )
    if not fits:
        raise ValueError("a value is out of range")
