"""Stored content with digests in the place of what is sensitive: it compiles, and two of it can be compared.

A snapshot holds the public part of a template or a policy and, by path, a keyed digest of each sensitive part. Whoever
may not open the sealed part can still tell who sets a sensitive value, and whether it is another one than before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from trimtab.api.config_template import ConfigTemplateSpec
from trimtab.api.meta import ApiModel
from trimtab.api.policy_rollout import PolicyRolloutSpec
from trimtab.core import naming
from trimtab.core.resolve import snapshot
from trimtab.core.resolve.snapshot import Spec, Taken

SEALED_FIELDS = frozenset(("default", "enum", "minimum", "maximum", "pattern", "notPattern", "items"))
"""What of a sensitive key's declaration, or of a constraint on it, is taken out of what is stored in clear."""
_LIMITS = (SEALED_FIELDS - {"default"}) | {"minLength", "maxLength", "minItems", "maxItems"}
_STAND_INS = {"Append": "StringList", "Merge": "StringMap"}


class UnreadableError(ValueError):
    """A snapshot that is not of the shape that this version writes."""


@dataclass(frozen=True, slots=True)
class Hidden:
    """A sensitive value. Two digests of one place tell whether the values are equal; of two places, nothing."""

    digest: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Masked:
    """Content with a :class:`Hidden` in each sensitive place; ``blind`` if some are there of which nothing is known."""

    content: Spec
    blind: bool = False


def template(data: Mapping[str, Any], *, blind: bool = False) -> Masked:
    """A template's snapshot, from its ``data``; with ``blind`` its sensitive values stay out whatever is known.

    The fields that its author left out have their defaults, so that two contents that mean the same are equal.

    :raises UnreadableError: it is no template's.
    """
    return _masked(data, "spec", ConfigTemplateSpec, snapshot.join, blind=blind)


def policy(data: Mapping[str, Any], *, blind: bool = False) -> Masked:
    """The same of a policy's snapshot."""
    return _masked(data, "policy", PolicyRolloutSpec, snapshot.join_policy, blind=blind)


def _masked(
    data: Mapping[str, Any],
    part: str,
    model: type[ApiModel],
    join: Callable[[Spec, Taken], Spec],
    *,
    blind: bool,
) -> Masked:
    try:
        whole = model.model_validate(data[part]).model_dump(by_alias=True, exclude_none=True)
        digests = {} if blind else _digests(data)
        content = join(whole, [(path.split("/"), Hidden(digest)) for path, digest in digests.items()])
    except (KeyError, ValueError, TypeError, AttributeError, StopIteration) as error:
        raise UnreadableError(f"it holds no {part} ({type(error).__name__})") from None
    return Masked(content, "sealed" in data and not digests)


def _digests(data: Mapping[str, Any]) -> Mapping[str, str]:
    """The digests by path. Those of versions before digests were bound to their place compare with no others."""
    digests = data.get("digests") or {}
    return {} if any(map(naming.is_unbound, digests.values())) else digests


def compilable(content: Spec, *, blind: bool = False) -> ConfigTemplateSpec:
    """The content as a spec: each sensitive key takes any text, and its values are their digests.

    Of ``blind`` content nothing says whether a sensitive key has a value, so none is required.
    """
    judged = _LIMITS | {"required"} if blind else _LIMITS
    kinds = sensitive(content)
    keys = []
    for key in content.get("keys") or ():
        kind = kinds.get(key["name"])
        if kind is not None:
            key = {name: value for name, value in key.items() if name not in judged} | {"type": kind}
            if "default" in key:
                key["default"] = stand_in(kind, key["default"])
        keys.append(key)
    made = {**content, "keys": keys}
    for section in ("profiles", "groups"):
        made[section] = [
            {**entry, "values": filled(entry.get("values") or {}, kinds)}
            for entry in content.get(section) or ()
        ]
    return ConfigTemplateSpec.model_validate(made)


def compilable_policy(content: Spec, kinds: Mapping[str, str]) -> PolicyRolloutSpec:
    """A policy's content as a spec over a template whose sensitive keys are ``kinds``.

    Its constraints on those are left out: they cannot be judged here.
    """
    said = content.get("policy") or {}
    enforced = {entry["key"]: entry.get("value") for entry in said.get("enforced") or ()}
    kept = filled(enforced, kinds)
    made = {
        **said,
        "values": filled(said.get("values") or {}, kinds),
        "enforced": [
            {**entry, "value": kept[entry["key"]]}
            for entry in said.get("enforced") or ()
            if entry["key"] in kept
        ],
        "constraints": [
            entry
            for entry in said.get("constraints") or ()
            if entry["key"] not in kinds and not any(isinstance(v, Hidden) for v in entry.values())
        ],
    }
    return PolicyRolloutSpec.model_validate({**content, "policy": made})


def sensitive(content: Spec) -> dict[str, str]:
    """A template's sensitive keys, each with the type that :func:`compilable` gives it."""
    return {
        key["name"]: _STAND_INS.get(key.get("merge", ""), "String")
        for key in content.get("keys") or ()
        if key.get("sensitive")
    }


def filled(values: Mapping[str, Any], kinds: Mapping[str, str]) -> dict[str, Any]:
    """Values with text for those of sensitive keys (``kinds``); one that is hidden and whose key is not sensitive here
    cannot be told, and is left out."""
    return {
        key: stand_in(kinds[key], value) if key in kinds else value
        for key, value in values.items()
        if key in kinds or not isinstance(value, Hidden)
    }


def stand_in(kind: str, value: Any) -> Any:
    """What stands for a hidden value in a key of that type."""
    text = value.digest if isinstance(value, Hidden) else "?"
    if kind == "StringList":
        return [text]
    return {text: text} if kind == "StringMap" else text
