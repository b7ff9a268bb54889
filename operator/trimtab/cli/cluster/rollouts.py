"""Rollouts by name: `policyrollout/x`, `prollout/x`, `configtemplate/x`, `ctmpl/x`, or the name only."""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import typer

from trimtab.cli.cluster.connection import Cluster
from trimtab.cli.cluster.objects import Body, StoredObject, absent
from trimtab.cli.errors import Failure
from trimtab.cli.options import ClusterOptions, name
from trimtab.kube import errors
from trimtab.kube.resources import CONFIG_TEMPLATES, POLICY_ROLLOUTS, Resource

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?\Z")


class Kind(enum.StrEnum):
    """The kinds that roll out."""

    POLICY_ROLLOUT = "PolicyRollout"
    CONFIG_TEMPLATE = "ConfigTemplate"

    @property
    def resource(self) -> Resource:
        return POLICY_ROLLOUTS if self is Kind.POLICY_ROLLOUT else CONFIG_TEMPLATES


_WORDS: Mapping[str, Kind] = {
    "policyrollout": Kind.POLICY_ROLLOUT,
    "policyrollouts": Kind.POLICY_ROLLOUT,
    "prollout": Kind.POLICY_ROLLOUT,
    "configtemplate": Kind.CONFIG_TEMPLATE,
    "configtemplates": Kind.CONFIG_TEMPLATE,
    "ctmpl": Kind.CONFIG_TEMPLATE,
}


@dataclass(frozen=True, kw_only=True)
class RolloutOptions(ClusterOptions):
    """Which rollout, in which cluster."""

    name: Annotated[str, name("NAME", "policyrollout/NAME, configtemplate/NAME, or the name only.")]
    kind: Annotated[Kind | None, typer.Option(help="The kind, if both kinds have an object NAME.")] = None


def checked(text: str) -> str:
    """An object's name. :raises Failure: it is not a valid one."""
    if not _NAME.match(text) or len(text) > 253:
        raise Failure(f"{text or 'an empty text'} is not a valid name: use a-z, 0-9, - and .", 2)
    return text


class Reference(NamedTuple):
    """A rollout as the user names it; ``kind`` is None if not given."""

    kind: Kind | None
    name: str

    @classmethod
    def parse(cls, text: str, kind: Kind | None = None) -> Reference:
        """:raises Failure: ``text`` contradicts ``--kind``, or names another kind."""
        word, slash, name = text.rpartition("/")
        checked(name)
        if not slash:
            return cls(kind, name)
        named = _WORDS.get(word.lower().removesuffix(".trimtab.dev"))
        if named is None:
            raise Failure(f"{word} does not roll out; name policyrollout/{name} or configtemplate/{name}", 2)
        if kind not in (None, named):
            raise Failure(f"{text} is a {named}, so it cannot be combined with --kind {kind}", 2)
        return cls(named, name)


@dataclass(frozen=True, slots=True)
class Rollout(StoredObject):
    """A PolicyRollout or ConfigTemplate as the cluster has it."""

    kind: Kind

    @property
    def template(self) -> str:
        """The name of the ConfigTemplate whose groups it updates."""
        if self.kind is Kind.CONFIG_TEMPLATE:
            return self.name
        return str(self.spec.get("templateRef", {}).get("name", ""))

    @property
    def typed(self) -> str:
        """Its unambiguous name on the command line."""
        return f"{self.kind.lower()}/{self.name}"

    @property
    def rolls_out(self) -> bool:
        """Whether changes roll out: those of a ConfigTemplate without a strategy take effect immediately."""
        return self.kind is Kind.POLICY_ROLLOUT or self.spec.get("strategy") is not None


async def get(cluster: Cluster, kind: Kind, name: str) -> Rollout | None:
    """The rollout of that kind, or None."""
    body = await cluster.get(kind.resource, cluster.namespace, name)
    return None if body is None else Rollout(body, kind)


async def find(cluster: Cluster, wanted: Reference) -> Rollout:
    """The rollout.

    :raises Failure: none has that name, or one of each kind has.
    :raises trimtab.kube.errors.ApiError: the cluster refused.
    """
    found: list[Rollout] = []
    refused: errors.ForbiddenError | None = None
    for kind in Kind if wanted.kind is None else (wanted.kind,):
        try:
            rollout = await get(cluster, kind, wanted.name)
        except errors.ForbiddenError as error:
            refused = error
            continue
        found += [rollout] if rollout is not None else []
    if len(found) > 1:
        raise Failure(
            f"PolicyRollout and ConfigTemplate {wanted.name} exist in namespace {cluster.namespace}; "
            f"set --kind, or name policyrollout/{wanted.name} or configtemplate/{wanted.name}",
            2,
        )
    if found:
        return found[0]
    raise refused or await _absent(cluster, wanted)


async def _absent(cluster: Cluster, wanted: Reference) -> Failure:
    listed: list[Body] = []
    kinds = tuple(Kind) if wanted.kind is None else (wanted.kind,)
    for kind in kinds:
        try:
            listed += await cluster.all(kind.resource, cluster.namespace)
        except errors.ForbiddenError:
            continue
    known = [body["metadata"]["name"] for body in listed]
    where = f"in namespace {cluster.namespace}"
    return Failure(absent(" or ".join(kinds), wanted.name, where, known))
