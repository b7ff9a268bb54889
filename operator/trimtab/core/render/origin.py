"""What proves that Trimtab manages an object: its kind, namespace and name, and a mark that is bound to them.

Every client that may write the object can write labels, annotations and the name of a field manager. Three things
cannot be forged: the place (a group's names in its target namespace, ``<template>-u-<preference>`` in the namespace of
a preference that holds its user), the mark (an HMAC of kind, namespace, name and template), and the uid in the
RenderedGroup's status.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from trimtab.core import naming
from trimtab.core.refs import Ref
from trimtab.core.render.plan import Desired, Observed


class Place(NamedTuple):
    """What an object with this name holds: a shard's users, one user's own files, or (neither) the group's files."""

    shard: int | None = None
    preference: str | None = None


def place(ref: Ref, template: str, group: str) -> Place | None:
    """Which of the group's outputs has this name; None if no output can have it."""
    if ref.name == naming.group_object(template, group):
        return Place()
    number = naming.shard_number(template, group, ref.name)
    if number is not None:
        return Place(shard=number)
    preference = naming.preference_of(template, ref.name)
    return Place(preference=preference) if preference is not None else None


def is_proved(have: Observed, mark: str, uid: str) -> bool:
    """Whether the object has this mark, or the uid that is recorded for its place."""
    carried = have.annotations.get(naming.ANNOTATION_MARK, "")
    marked = bool(mark) and hmac.compare_digest(carried.encode(), mark.encode())
    return marked or (bool(uid) and have.uid == uid)


def requests_adoption(have: Observed) -> bool:
    """Whether the object's annotation lets Trimtab adopt it."""
    return have.annotations.get(naming.ANNOTATION_ADOPT) == "true"


def is_managed(have: Observed, desired: Desired) -> bool:
    """Whether the existing object at the place of ``desired`` is Trimtab's."""
    return is_proved(have, desired.annotations[naming.ANNOTATION_MARK], desired.uid)


@dataclass(frozen=True, slots=True)
class Claims:
    """What one group can prove. ``recorded`` are the outputs that its RenderedGroup lists with their uids, ``mark``
    returns the mark of a place.

    A RenderedGroup that a version without marks wrote lists no uids. Then (``upgrading``) an object is the group's if
    it has all of the group's ``labels``, was applied by Trimtab, and is where that version wrote: at a listed name, at
    a shard's name in the namespace of one, or in the namespace of a preference of the group (``has_preference``). An
    object that is ``anothers`` is never the group's, whatever is recorded of it.
    """

    template: str
    group: str
    labels: Mapping[str, str]
    mark: Callable[[Ref], str]
    recorded: Mapping[Ref, str]
    has_preference: Callable[[str, str], bool]
    anothers: Callable[[Observed], bool] = lambda _: False

    @property
    def upgrading(self) -> bool:
        return bool(self.recorded) and not any(self.recorded.values())

    @property
    def namespaces(self) -> set[str]:
        """The namespaces of the outputs that the group wrote last."""
        return {ref.namespace for ref in self.recorded}

    def prove(self, have: Observed) -> bool:
        """Whether the object is one of the group's outputs, also in an earlier target namespace."""
        found = place(have.ref, self.template, self.group)
        if found is None or self.anothers(have):
            return False
        if is_proved(have, self.mark(have.ref), self.recorded.get(have.ref, "")):
            return True
        return self.upgrading and self._was_ours(have, found)

    def _was_ours(self, have: Observed, found: Place) -> bool:
        if not have.applied or any(have.labels.get(name) != value for name, value in self.labels.items()):
            return False
        if found.preference is not None:
            return self.has_preference(have.ref.namespace, found.preference)
        return have.ref in self.recorded or (
            found.shard is not None and have.ref.namespace in self.namespaces
        )


@dataclass(slots=True)
class Written:
    """What the operator has written for one group, and the objects that it can prove to be the group's own."""

    claims: Claims
    objects: dict[Ref, Desired] = field(default_factory=dict)
    """What was last written"""
    uids: dict[Ref, str] = field(default_factory=dict)
    """The group's own objects: those that status records, and those that were proved since"""
    adopted: set[Ref] = field(default_factory=set)
    """Those of them with the annotation that lets Trimtab adopt an existing object"""
    foreign: set[Ref] = field(default_factory=set)
    """Objects with the group's labels that Trimtab did not create"""
    upgrading: bool = False
    """Whether objects without a mark may be left, so that status records no uid yet"""

    def adopt(self, have: Observed) -> Place | None:
        """What an object of the cluster holds, if it is the group's own; else it is foreign."""
        found = place(have.ref, self.claims.template, self.claims.group)
        if found is None or not self.claims.prove(have):
            self.foreign.add(have.ref)
            return None
        self.uids[have.ref] = have.uid
        return found

    def uid(self, ref: Ref) -> str:
        """The recorded uid of an object; empty if there is none."""
        return self.uids.get(ref, "")

    def owns(self, have: Observed) -> bool:
        """Whether the object is the group's own, whatever its target namespace is now."""
        found = place(have.ref, self.claims.template, self.claims.group)
        return found is not None and is_proved(have, self.claims.mark(have.ref), self.uid(have.ref))

    def settle(self, ref: Ref, want: Desired | None, have: Observed | None) -> None:
        """The cluster has ``want`` now, and ``have`` is the object there."""
        self.adopted.discard(ref)
        if want is None:
            self.objects.pop(ref, None)
            self.uids.pop(ref, None)
            return
        self.objects[ref] = want
        if have is not None and is_managed(have, want):
            self.uids[ref] = have.uid
            if requests_adoption(have):
                self.adopted.add(ref)


def recorded(claims: Claims) -> Written:
    """What a RenderedGroup records of earlier writes."""
    uids = {ref: uid for ref, uid in claims.recorded.items() if uid}
    return Written(claims, uids=uids, upgrading=claims.upgrading)
