"""A user's preference, found by the user, and the previous specs that were accepted."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated

import typer

from trimtab.cli.cluster.connection import Cluster
from trimtab.cli.cluster.objects import Body, StoredObject, meant
from trimtab.cli.errors import Failure
from trimtab.kube import errors
from trimtab.kube.resources import USER_PREFERENCES

_USER = re.compile(r"[A-Za-z0-9_-]{1,63}\Z")
TemplateOption = Annotated[
    str | None, typer.Option("--template", help="With --user: the template, if the user has several.")
]


@dataclass(frozen=True, slots=True)
class Accepted:
    """A user's values that are, or were, in force. ``schema_version`` None: the template's own at that time."""

    generation: int
    schema_version: int | None
    values: Body

    @classmethod
    def of(cls, entry: Body) -> Accepted:
        return cls(int(entry.get("generation") or 0), entry.get("schemaVersion"), entry.get("values") or {})

    def content(self) -> Body:
        version = {} if self.schema_version is None else {"schemaVersion": self.schema_version}
        return {"generation": self.generation, **version, "values": self.values}


@dataclass(frozen=True, slots=True)
class StoredPreference(StoredObject):
    """A UserPreference as the cluster has it."""

    kind: str = USER_PREFERENCES.kind

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
        """The group whose files contain the user."""
        accepted = self.status.get("accepted") or {}
        return str(accepted.get("group") or self.spec.get("group", ""))

    @property
    def accepted(self) -> Accepted | None:
        """What is in force."""
        found = self.status.get("accepted")
        return Accepted.of(found) if found else None

    @property
    def history(self) -> list[Accepted]:
        """What was in force before, the newest first."""
        return [Accepted.of(entry) for entry in self.status.get("history") or ()]

    def previous(self, generation: int | None) -> Accepted:
        """What was accepted of that generation, by default the previous one. :raises Failure: it is not kept."""
        kept = self.history
        if generation is None and kept:
            return kept[0]
        now = [self.accepted] if self.accepted is not None else []
        found = next((entry for entry in [*kept, *now] if entry.generation == generation), None)
        if found is not None:
            return found
        known = ", ".join(str(entry.generation) for entry in kept) or "none"
        which = "no previous generation" if generation is None else f"no generation {generation}"
        limit = "the template's users.historyLimit sets how many are kept"
        raise Failure(f"{self} has {which} in its history (kept: {known}); {limit}")

    @property
    def about(self) -> Body:
        """Its user and reference, for programs."""
        return {"user": self.user, "preference": self.reference}

    def __str__(self) -> str:
        return f"UserPreference {self.namespace}/{self.name}"


async def find(cluster: Cluster, user: str, template: str | None, command: str) -> StoredPreference:
    """The user's preference; ``command`` chooses among several templates.

    :raises Failure: there is none, or several.
    """
    if not _USER.match(user):
        shown = user[:80] or "an empty text"
        raise Failure(
            f"{shown} is not a valid name of a user: use A-Z, a-z, 0-9, _ and - (at most 63 characters)", 2
        )
    claims = await _claims(cluster, user)
    found = {p.name: p for p in claims if template in (None, p.template[1])}
    if len(found) == 1:
        return next(iter(found.values()))
    where = f"in namespace {cluster.namespace}"
    if found:
        known = ", ".join(f"{p.template[1]} ({name})" for name, p in sorted(found.items()))
        raise Failure(f"user {user} has {len(found)} preferences {where}: {known}; choose one: {command}", 2)
    of = f"user {user}" + (f" and template {template}" if template else "")
    everyone = map(StoredPreference, await cluster.all(USER_PREFERENCES, cluster.namespace))
    hint = meant(user, sorted({p.user for p in everyone}), "use -n for the preference's namespace")
    raise Failure(f"there is no preference {where} for {of}; {hint}")


async def _claims(cluster: Cluster, user: str) -> list[StoredPreference]:
    try:
        found = await cluster.matching(USER_PREFERENCES, {"metadata.name": user}, cluster.namespace)
        found += await cluster.matching(USER_PREFERENCES, {"spec.user": user}, cluster.namespace)
    except errors.InvalidError:  # an API server before 1.31 cannot select by fields of the spec
        found = await cluster.all(USER_PREFERENCES, cluster.namespace)
    return [preference for preference in map(StoredPreference, found) if preference.user == user]
