"""Stored content with digests instead of sensitive values: it compiles, and two such contents can be compared.

A snapshot holds the public part of a template or a policy and, by path, an HMAC of each sensitive part. A reader that
may not decrypt the sealed part can still find out which layer sets a sensitive value, and whether the value changed.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from typing import Any

from trimtab.api.config_template import ConfigTemplateSpec
from trimtab.api.meta import ApiModel
from trimtab.api.policy_rollout import PolicyRolloutSpec
from trimtab.core import naming
from trimtab.core.resolve import snapshot
from trimtab.core.resolve.snapshot import Spec, Taken, entries

SEALED_FIELDS = frozenset(("default", "enum", "minimum", "maximum", "pattern", "notPattern", "items"))
"""The fields of a sensitive key's declaration, or of a constraint on it, that are not stored in clear."""
_LIMITS = (SEALED_FIELDS - {"default"}) | {"minLength", "maxLength", "minItems", "maxItems"}
_STAND_INS = {"Append": "StringList", "Merge": "StringMap"}


class UnreadableError(ValueError):
    """A snapshot that does not have the structure that this version writes."""


@dataclass(frozen=True, slots=True)
class Hidden:
    """A sensitive value. Two digests at the same path show whether the values are equal; at two paths, nothing."""

    digest: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Redacted:
    """Content with a :class:`Hidden` at each sensitive path; ``blind`` if there may be more, of which nothing is
    known."""

    content: Spec
    blind: bool = False


def template(data: Mapping[str, Any], *, blind: bool = False) -> Redacted:
    """A template's snapshot, from its ``data``; with ``blind`` its sensitive values are omitted whatever is known.

    The fields that its author did not set have their defaults, so that two equivalent contents are equal.

    :raises UnreadableError: it is not a template's.
    """
    return _redacted(data, "spec", ConfigTemplateSpec, snapshot.join, blind=blind)


def policy(data: Mapping[str, Any], *, blind: bool = False) -> Redacted:
    """The same of a policy's snapshot."""
    return _redacted(data, "policy", PolicyRolloutSpec, snapshot.join_policy, blind=blind)


def _redacted(
    data: Mapping[str, Any],
    part: str,
    model: type[ApiModel],
    join: Callable[[Spec, Taken], Spec],
    *,
    blind: bool,
) -> Redacted:
    try:
        whole = model.model_validate(data[part]).model_dump(by_alias=True, exclude_none=True)
        digests = {} if blind else _digests(data)
        content = join(whole, [(path.split("/"), Hidden(digest)) for path, digest in digests.items()])
    except (KeyError, ValueError, TypeError, AttributeError, StopIteration) as error:
        raise UnreadableError(f"it holds no {part} ({type(error).__name__})") from None
    return Redacted(content, "sealed" in data and not digests)


def _digests(data: Mapping[str, Any]) -> Mapping[str, str]:
    """The digests by path. Those of versions before digests were bound to their path cannot be compared."""
    digests = data.get("digests") or {}
    return {} if any(map(naming.is_unbound, digests.values())) else digests


def compilable(content: Spec, *, blind: bool = False) -> ConfigTemplateSpec:
    """The content as a spec: each sensitive key accepts any text, and its values are their digests.

    In ``blind`` content it is not known whether a sensitive key has a value, so none is required.
    """
    dropped = _LIMITS | {"required"} if blind else _LIMITS
    kinds = sensitive(content)
    made = {**content, "keys": [_declared(key, kinds, dropped) for key in entries(content, "keys")]}
    for section in ("profiles", "groups"):
        made[section] = [
            {**entry, "values": filled(entry.get("values") or {}, kinds)}
            for entry in entries(content, section)
        ]
    return ConfigTemplateSpec.model_validate(made)


def _declared(key: Spec, kinds: Mapping[str, str], dropped: Container[str]) -> Spec:
    """A key's declaration; a sensitive one without limits."""
    kind = kinds.get(key["name"])
    if kind is None:
        return key
    made = {name: value for name, value in key.items() if name not in dropped} | {"type": kind}
    return made | {"default": stand_in(kind, key["default"])} if "default" in key else made


def compilable_policy(content: Spec, kinds: Mapping[str, str]) -> PolicyRolloutSpec:
    """A policy's content as a spec over a template whose sensitive keys are ``kinds``.

    Its constraints on those are omitted: they cannot be checked here.
    """
    policy = content.get("policy") or {}
    kept = filled({entry["key"]: entry.get("value") for entry in entries(policy, "enforced")}, kinds)
    made = {
        **policy,
        "values": filled(policy.get("values") or {}, kinds),
        "enforced": [
            {**entry, "value": kept[entry["key"]]}
            for entry in entries(policy, "enforced")
            if entry["key"] in kept
        ],
        "constraints": [
            entry
            for entry in entries(policy, "constraints")
            if entry["key"] not in kinds and not _has_hidden(entry)
        ],
    }
    return PolicyRolloutSpec.model_validate({**content, "policy": made})


def _has_hidden(entry: Spec) -> bool:
    return any(isinstance(value, Hidden) for value in entry.values())


def sensitive(content: Spec) -> dict[str, str]:
    """A template's sensitive keys, each with the type that :func:`compilable` gives it."""
    return {
        key["name"]: _STAND_INS.get(key.get("merge", ""), "String")
        for key in entries(content, "keys")
        if key.get("sensitive")
    }


def filled(values: Mapping[str, Any], kinds: Mapping[str, str]) -> dict[str, Any]:
    """Values with text for those of sensitive keys (``kinds``), without hidden values of other keys."""
    return {
        key: stand_in(kinds[key], value) if key in kinds else value
        for key, value in values.items()
        if key in kinds or not isinstance(value, Hidden)
    }


def stand_in(kind: str, value: Any) -> Any:
    """A valid value of that type that represents a hidden value."""
    text = value.digest if isinstance(value, Hidden) else "?"
    if kind == "StringList":
        return [text]
    return {text: text} if kind == "StringMap" else text
