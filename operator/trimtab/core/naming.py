"""The names of rendered objects, and which names would be ambiguous.

==================================  =============================================
object                              name
==================================  =============================================
RenderedGroup                       ``<template>-<group>``, in the template's namespace
group ConfigMap, Secret             ``<template>-<group>``, in the target namespace
users' shard ``n``                  ``<template>-<group>-users-<n>``
one user's own (PerUser)            ``<template>-u-<preference>``, in the preference's namespace
template's snapshot                 ``<template>-<hash>``
policy's snapshot                   ``<policy>-policy-<hash>``
==================================  =============================================
"""

from __future__ import annotations

import re

from trimtab.core.refs import GroupKey, TemplateKey

LABEL_MANAGED_BY = "app.kubernetes.io/managed-by"
LABEL_PART_OF = "app.kubernetes.io/part-of"
LABEL_TEMPLATE = "trimtab.dev/template"
LABEL_TEMPLATE_NAMESPACE = "trimtab.dev/template-namespace"
LABEL_GROUP = "trimtab.dev/group"
LABEL_SHARD = "trimtab.dev/shard"
LABEL_PREFERENCE = "trimtab.dev/preference"
LABEL_POLICY = "trimtab.dev/policy"
LABEL_ROLLOUT = "trimtab.dev/rollout"
LABEL_DELETION_POLICY = "trimtab.dev/deletion-policy"
"""On outputs, so that it is known whether to delete them when the template and all else no longer exists."""
ANNOTATION_REVISION = "trimtab.dev/revision"
ANNOTATION_DIGEST = "trimtab.dev/digest"
ANNOTATION_USER = "trimtab.dev/user"
ANNOTATION_ADOPT = "trimtab.dev/adopt"
ANNOTATION_MARK = "trimtab.dev/mark"
"""On outputs: an HMAC of the object's place, which proves that Trimtab wrote it there (core/render/origin.py)."""
ANNOTATION_ALLOW_FROM = "trimtab.dev/allow-from"
ANNOTATION_ROTATE = "trimtab.dev/rotate-keys"
"""On the Secret of the keys: the leader puts a new Fernet key first, then removes the annotation."""
MANAGER = "trimtab"

DEFAULT_USER = "_default"
"""Represents all users without a preference; a user may not have this name."""

MAX_NAME = 253
DIGITS, UNBOUND_DIGITS = 20, 16
"""Hex digits of an HMAC, and of one of versions that did not bind digests to their place, which distinguishes them."""
_RESERVED_GROUP = re.compile(r"(^|-)users-[0-9]+$|^u(-|$)")
_SHARD = re.compile(r"-users-(0|[1-9][0-9]{0,8})")


def group_object(template: str, group: str) -> str:
    return f"{template}-{group}"


def shard_object(template: str, group: str, number: int) -> str:
    return f"{template}-{group}-users-{number}"


def shard_number(template: str, group: str, name: str) -> int | None:
    """The number of the shard with this name, or None."""
    found = _SHARD.fullmatch(name.removeprefix(group_object(template, group)))
    number = int(found[1]) if found else None
    return number if number is not None and name == shard_object(template, group, number) else None


def user_object(template: str, preference: str) -> str:
    return f"{template}-u-{preference}"


def preference_of(template: str, name: str) -> str | None:
    """The preference whose user's own object has this name, or None."""
    rest = name.removeprefix(user_object(template, ""))
    return rest if rest and rest != name else None


def snapshot_object(stem: str, content_hash: str) -> str:
    """``stem`` is the template's name, or a policy's :func:`policy_stem`."""
    return f"{stem}-{content_hash}"


def policy_stem(policy: str) -> str:
    """The name of a policy's snapshots without their hash."""
    return f"{policy[:200].rstrip('-.')}-policy"


def stem_and_hash(snapshot: str) -> tuple[str, str]:
    """A snapshot's name without its content's hash, and the hash."""
    stem, _, content_hash = snapshot.rpartition("-")
    return stem, content_hash


def is_unbound(digest: str) -> bool:
    """Whether a digest is of a version that did not bind digests to their place."""
    return len(digest) == UNBOUND_DIGITS


def ambiguous_group(group: str) -> str:
    """Why a group may not have this name, or an empty string."""
    if _RESERVED_GROUP.search(group):
        return f"the group name {group} is ambiguous (users-<n> names shards, u-... one user's objects)"
    return ""


def data_key(user: str, file_name: str) -> str:
    """The entry of a shard that holds one user's file; users have no dots, so it splits one way only."""
    return f"{user}.{file_name}"


def template_labels(key: TemplateKey) -> dict[str, str]:
    """The labels of every object that is rendered for a template."""
    return {
        LABEL_MANAGED_BY: MANAGER,
        LABEL_PART_OF: key.name,
        LABEL_TEMPLATE: key.name,
        LABEL_TEMPLATE_NAMESPACE: key.namespace,
    }


def group_labels(key: GroupKey) -> dict[str, str]:
    return {**template_labels(key.template_key), LABEL_GROUP: key.group}
