"""A user's preference, found by the user, and what it was before: accepted specs that were superseded."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trimtab.cli.errors import Failure
from trimtab.core.suggestion import nearest
from trimtab.kube import errors
from trimtab.kube.resources import USER_PREFERENCES

if TYPE_CHECKING:
    from trimtab.cli.cluster.connection import Cluster

Body = dict[str, Any]
_USER = re.compile(r"[A-Za-z0-9_-]{1,63}\Z")


@dataclass(frozen=True, slots=True)
class Accepted:
    """Inputs of a user that are, or once were, in force. ``schema_version`` None: the template's own then."""

    generation: int
    schema_version: int | None
    values: Body

    @classmethod
    def of(cls, entry: Body) -> Accepted:
        return cls(int(entry.get("generation") or 0), entry.get("schemaVersion"), entry.get("values") or {})

    def to_dict(self) -> Body:
        version = {} if self.schema_version is None else {"schemaVersion": self.schema_version}
        return {"generation": self.generation, **version, "values": self.values}


@dataclass(frozen=True, slots=True)
class Whose:
    """A preference as the cluster has it."""

    body: Body

    @property
    def namespace(self) -> str:
        return str(self.body["metadata"]["namespace"])

    @property
    def name(self) -> str:
        return str(self.body["metadata"]["name"])

    @property
    def spec(self) -> Body:
        return self.body.get("spec") or {}

    @property
    def user(self) -> str:
        return str(self.spec.get("user") or self.name)

    @property
    def template(self) -> tuple[str, str]:
        """Namespace and name of its template."""
        reference = self.spec.get("templateRef") or {}
        return str(reference.get("namespace") or self.namespace), str(reference.get("name", ""))

    @property
    def group(self) -> str:
        """The group that the user is served in."""
        accepted = (self.body.get("status") or {}).get("accepted") or {}
        return str(accepted.get("group") or self.spec.get("group", ""))

    @property
    def accepted(self) -> Accepted | None:
        """What is in force now."""
        found = (self.body.get("status") or {}).get("accepted")
        return Accepted.of(found) if found else None

    @property
    def history(self) -> list[Accepted]:
        """What was in force before, the newest first."""
        return [Accepted.of(entry) for entry in (self.body.get("status") or {}).get("history") or ()]

    def once(self, generation: int | None) -> Accepted:
        """What was accepted with that generation, by default what was before. :raises Failure: it is not kept."""
        kept = self.history
        if generation is None and kept:
            return kept[0]
        found = next((entry for entry in [*kept, *self._now()] if entry.generation == generation), None)
        if found is not None:
            return found
        known = ", ".join(str(entry.generation) for entry in kept) or "none"
        which = "nothing before" if generation is None else f"no generation {generation}"
        raise Failure(
            f"{self} has {which} in its history (kept: {known}); a template's users.historyLimit says how many are"
        )

    def _now(self) -> Iterator[Accepted]:
        if self.accepted is not None:
            yield self.accepted

    def __str__(self) -> str:
        return f"UserPreference {self.namespace}/{self.name}"


async def find(cluster: Cluster, namespace: str, user: str, template: str | None, how: str) -> Whose:
    """The user's preference in a namespace; ``how`` says how to name one of several templates.

    :raises Failure: there is none, or several.
    """
    if not _USER.match(user):
        raise Failure(
            f"{user[:80] or 'an empty text'} is no user's name: A-Z, a-z, 0-9, _ and -, 63 at most", 2
        )
    found = {w.name: w for w in await _claims(cluster, namespace, user) if template in (None, w.template[1])}
    if len(found) == 1:
        return next(iter(found.values()))
    if found:
        known = ", ".join(f"{w.template[1]} ({name})" for name, w in sorted(found.items()))
        raise Failure(f"user {user} has {len(found)} preferences in namespace {namespace}: {known}; {how}", 2)
    whose = f"user {user}" + (f" and template {template}" if template else "")
    raise Failure(
        f"no preference in namespace {namespace} is for {whose}; {await _hint(cluster, namespace, user)}"
    )


async def _claims(cluster: Cluster, namespace: str, user: str) -> list[Whose]:
    try:
        named = await cluster.matching(USER_PREFERENCES, {"metadata.name": user}, namespace)
        claiming = await cluster.matching(USER_PREFERENCES, {"spec.user": user}, namespace)
    except errors.InvalidError:  # an API server before 1.31 cannot select by fields of the spec
        named = [body async for body in cluster.each(USER_PREFERENCES, dict[str, Any], namespace)]
        claiming = []
    return [whose for whose in map(Whose, [*named, *claiming]) if whose.user == user]


async def _hint(cluster: Cluster, namespace: str, user: str) -> str:
    listed = [Whose(body) async for body in cluster.each(USER_PREFERENCES, dict[str, Any], namespace)]
    hint = nearest(user, sorted({whose.user for whose in listed}))
    return f"did you mean {hint}?" if hint else "-n names the namespace that the preference lives in"
