"""NAME to a rollout: `policyrollout/x`, `prollout/x`, `configtemplate/x`, `ctmpl/x`, or the bare name of either."""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trimtab.cli.errors import Failure

if TYPE_CHECKING:
    from trimtab.cli.cluster.connection import Cluster
    from trimtab.kube.resources import Resource

Body = dict[str, Any]
_LASTING = ("labels", "annotations", "finalizers", "ownerReferences")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?\Z")


class Kind(enum.StrEnum):
    """What rolls out."""

    POLICY_ROLLOUT = "PolicyRollout"
    CONFIG_TEMPLATE = "ConfigTemplate"


_WORDS: Mapping[str, Kind] = {
    "policyrollout": Kind.POLICY_ROLLOUT,
    "policyrollouts": Kind.POLICY_ROLLOUT,
    "prollout": Kind.POLICY_ROLLOUT,
    "configtemplate": Kind.CONFIG_TEMPLATE,
    "configtemplates": Kind.CONFIG_TEMPLATE,
    "ctmpl": Kind.CONFIG_TEMPLATE,
}


def checked(name: str) -> str:
    """An object's name as it is given. :raises Failure: no object can be called so."""
    if not _NAME.match(name) or len(name) > 253:
        raise Failure(f"{name or 'an empty text'} is no object's name: a-z, 0-9, - and . alone", 2)
    return name


@dataclass(frozen=True, slots=True)
class Reference:
    """What somebody asked for; ``kind`` is None if they did not say."""

    kind: Kind | None
    name: str

    @classmethod
    def parse(cls, text: str, kind: Kind | None = None) -> Reference:
        """``text`` with what ``--kind`` says. :raises Failure: they contradict, or there is no such kind."""
        word, slash, name = text.rpartition("/")
        checked(name)
        if not slash:
            return cls(kind, name)
        said = _WORDS.get(word.lower().removesuffix(".trimtab.dev"))
        if said is None:
            raise Failure(f"{word} does not roll out; name policyrollout/{name} or configtemplate/{name}", 2)
        if kind not in (None, said):
            raise Failure(f"{text} is a {said} and --kind says {kind}; leave one of them away", 2)
        return cls(said, name)


@dataclass(frozen=True, slots=True)
class Found:
    """A rollout as the cluster has it."""

    kind: Kind
    body: Body

    @property
    def namespace(self) -> str:
        return str(self.body["metadata"]["namespace"])

    @property
    def name(self) -> str:
        return str(self.body["metadata"]["name"])

    @property
    def generation(self) -> int:
        return int(self.body["metadata"].get("generation") or 0)

    @property
    def template(self) -> str:
        """The name of the ConfigTemplate whose groups it moves."""
        if self.kind is Kind.CONFIG_TEMPLATE:
            return self.name
        return str((self.body.get("spec") or {}).get("templateRef", {}).get("name", ""))

    @property
    def word(self) -> str:
        """As whoever reads this may type it, and it is never ambiguous."""
        return f"{self.kind.lower()}/{self.name}"

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


def resource(kind: Kind) -> Resource:
    from trimtab.kube.resources import CONFIG_TEMPLATES, POLICY_ROLLOUTS

    return POLICY_ROLLOUTS if kind is Kind.POLICY_ROLLOUT else CONFIG_TEMPLATES


async def find(cluster: Cluster, namespace: str, wanted: Reference) -> Found:
    """The rollout.

    :raises Failure: there is none of that name, or one of each kind.
    :raises trimtab.kube.errors.ApiError: the cluster refused.
    """
    from trimtab.kube import errors

    found: list[Found] = []
    refused: errors.ForbiddenError | None = None
    for kind in Kind if wanted.kind is None else (wanted.kind,):
        try:
            body = await cluster.get(resource(kind), namespace, wanted.name)
        except errors.ForbiddenError as error:
            refused = error
            continue
        if body is not None:
            found.append(Found(kind, body))
    if len(found) > 1:
        raise Failure(
            f"there is a PolicyRollout and a ConfigTemplate {wanted.name} in namespace {namespace}; "
            f"say which by --kind, or as policyrollout/{wanted.name} or configtemplate/{wanted.name}",
            2,
        )
    if found:
        return found[0]
    if refused is not None:
        raise refused
    raise Failure(await _absent(cluster, namespace, wanted))


async def _absent(cluster: Cluster, namespace: str, wanted: Reference) -> str:
    from trimtab.core.suggestion import nearest
    from trimtab.kube import errors

    names: list[str] = []
    kinds = tuple(Kind) if wanted.kind is None else (wanted.kind,)
    for kind in kinds:
        try:
            listed = [b async for b in cluster.each(resource(kind), dict[str, Any], namespace)]
        except errors.ForbiddenError:
            continue
        names += [body["metadata"]["name"] for body in listed]
    what = " or ".join(kinds)
    hint = nearest(wanted.name, names) or ", ".join(sorted(set(names))[:5])
    more = f"there is {hint}" if hint else "-n names another namespace"
    return f"there is no {what} {wanted.name} in namespace {namespace}; {more}"


def lasting(meta: Mapping[str, Any]) -> Body:
    """What of an object's metadata is to outlast a replacement of it: kubectl replace takes away what is not there."""
    return {name: meta[name] for name in _LASTING if meta.get(name)}
