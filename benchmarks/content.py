"""What is benchmarked on: a usual template of 20 keys, and users who each set three of them."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from typing import Any

TEMPLATE = "assistant"
GROUPS = ("free", "pro", "team", "internal")
GENRES = ("jazz", "folk", "metal", "ambient", "soul", "techno")
MARK = "mark"
"""The key that an edit changes: its value tells which edit a rendered file shows."""

KEYS: tuple[dict[str, Any], ...] = (
    {"name": "agent.temperature", "type": "Number", "default": 0.7, "minimum": 0, "maximum": 2},
    {"name": "agent.topP", "type": "Number", "default": 1.0, "minimum": 0, "maximum": 1},
    {"name": "agent.maxTokens", "type": "Integer", "default": 1024, "minimum": 1, "maximum": 32768},
    {"name": "agent.provider", "type": "String", "default": "openai", "enum": ["openai", "anthropic", "local"]},
    {"name": "agent.tone", "type": "String", "default": "neutral", "enum": ["neutral", "warm", "terse"]},
    {"name": "agent.name", "type": "String", "default": "Robin", "minLength": 1, "maxLength": 40},
    {"name": "session.minutes", "type": "Integer", "default": 30, "minimum": 1, "maximum": 480},
    {"name": "session.idleTimeout", "type": "Duration", "default": "5m"},
    {"name": "session.resume", "type": "Boolean", "default": True},
    {"name": "day.minutes", "type": "Integer", "default": 240, "minimum": 1, "maximum": 1440},
    {"name": "cache.enabled", "type": "Boolean", "default": True},
    {"name": "cache.entries", "type": "Integer", "default": 500, "minimum": 0, "maximum": 100000},
    {"name": "cache.ttl", "type": "Duration", "default": "10m"},
    {"name": "ui.theme", "type": "String", "default": "system", "enum": ["system", "light", "dark"]},
    {"name": "ui.language", "type": "String", "default": "en", "pattern": "^[a-z]{2}(-[A-Z]{2})?$"},
    {"name": "ui.fontScale", "type": "Number", "default": 1.0, "minimum": 0.5, "maximum": 3},
    {"name": "taste.genres", "type": "NumberMap", "default": {"jazz": 0.5, "folk": 0.5}, "merge": "Merge",
     "items": {"minimum": 0, "maximum": 1}},
    {"name": "taste.blocked", "type": "StringList", "default": [], "maxItems": 50},
    {"name": "notify.email", "type": "Boolean", "default": False},
    {"name": MARK, "type": "Integer", "default": 0, "minimum": 0, "maximum": 2_000_000_000},
)  # fmt: skip
PROFILE: Mapping[str, Any] = {"agent.temperature": 0.5, "cache.entries": 2000, "ui.theme": "dark"}
GROUP_VALUES: Mapping[str, Mapping[str, Any]] = {
    "free": {"session.minutes": 20, "agent.maxTokens": 512},
    "pro": {"session.minutes": 60},
    "team": {"session.minutes": 90, "agent.tone": "terse"},
    "internal": {"agent.provider": "local", "taste.genres": {"soul": 0.3}},
}
FILE = "prefs.json"
LOCKED, LOCKED_TO = "agent.provider", "anthropic"
"""What the policy of a rollout enforces; every tenth of many groups has it already."""


def groups(count: int = 0) -> list[dict[str, Any]]:
    """The usual four groups, or ``count`` that are like them in turn."""
    if not count:
        return [_group(name, name) for name in GROUPS]
    made = [_group(f"group-{number:04}", GROUPS[number % len(GROUPS)]) for number in range(count)]
    for group in made[::10]:
        group["values"][LOCKED] = LOCKED_TO
    return made


def _group(name: str, like: str) -> dict[str, Any]:
    return {"name": name, "profile": "prod", "values": dict(GROUP_VALUES[like])}


def template(namespace: str, count: int = 0) -> dict[str, Any]:
    """The ConfigTemplate, with the usual groups or ``count`` of them."""
    return {
        "apiVersion": "trimtab.dev/v1alpha1",
        "kind": "ConfigTemplate",
        "metadata": {"name": TEMPLATE, "namespace": namespace},
        "spec": {
            "keys": list(KEYS),
            "profiles": [{"name": "prod", "values": dict(PROFILE)}],
            "groups": groups(count),
            "outputs": [
                {"name": "app", "format": "YAML", "fileName": "config.yaml"},
                {"name": "prefs", "scope": "User", "format": "JSON", "fileName": FILE},
            ],
        },
    }


def outputs_of(space: str) -> str:
    """The label selector of a namespace's outputs."""
    return f"trimtab.dev/template={TEMPLATE},trimtab.dev/template-namespace={space}"


def user_name(number: int) -> str:
    return f"user-{number:06d}"


def group_of(number: int, count: int = 0) -> str:
    return f"group-{number % count:04}" if count else GROUPS[number % len(GROUPS)]


def user_values(number: int) -> dict[str, Any]:
    """Three keys that this user sets, always the same ones."""
    chance = random.Random(number)
    makers: dict[str, Any] = {
        "agent.temperature": round(chance.uniform(0, 2), 2),
        "agent.maxTokens": chance.randrange(1, 8192),
        "agent.tone": chance.choice(("neutral", "warm", "terse")),
        "agent.name": f"Robin {number}",
        "session.minutes": chance.randrange(1, 480),
        "session.idleTimeout": f"{chance.randrange(1, 60)}m",
        "cache.entries": chance.randrange(0, 100_000),
        "ui.theme": chance.choice(("light", "dark")),
        "ui.language": chance.choice(("de", "fr", "pt-BR", "en")),
        "ui.fontScale": round(chance.uniform(0.5, 3), 1),
        "taste.genres": {name: round(chance.random(), 2) for name in chance.sample(GENRES, 2)},
        "notify.email": chance.random() < 0.5,
    }
    return {name: makers[name] for name in chance.sample(sorted(makers), 3)}


def preference(namespace: str, number: int, count: int = 0) -> dict[str, Any]:
    """The UserPreference of one user, in one of the usual groups or of ``count``."""
    return {
        "apiVersion": "trimtab.dev/v1alpha1",
        "kind": "UserPreference",
        "metadata": {"name": user_name(number), "namespace": namespace},
        "spec": {
            "templateRef": {"name": TEMPLATE},
            "group": group_of(number, count),
            "values": user_values(number),
        },
    }


def preferences(namespace: str, numbers: range, count: int = 0) -> Iterator[dict[str, Any]]:
    return (preference(namespace, number, count) for number in numbers)


def policy(namespace: str, name: str, template: str, reason: str, strategy: dict[str, Any]) -> dict[str, Any]:
    """A PolicyRollout over all groups; another ``reason`` is other content that comes to the same documents."""
    return {
        "apiVersion": "trimtab.dev/v1alpha1",
        "kind": "PolicyRollout",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "templateRef": {"name": template},
            "policy": {"enforced": [{"key": LOCKED, "value": LOCKED_TO, "reason": reason}]},
            "strategy": strategy,
        },
    }
