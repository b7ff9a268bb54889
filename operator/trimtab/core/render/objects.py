"""The ConfigMaps and Secrets of a group: names, labels, annotations, and users packed into shards."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from trimtab.core import naming
from trimtab.core.refs import GroupKey, Ref
from trimtab.core.render.plan import Desired
from trimtab.core.render.render import KINDS, Entries, named, render_group
from trimtab.core.render.shard import Shards
from trimtab.core.resolve.resolve import GroupView


def target_of(key: GroupKey, view: GroupView) -> str:
    """The namespace of the group's objects."""
    return view.group.spec.target_namespace or key.namespace


@dataclass(frozen=True, slots=True)
class GroupObjects:
    """Builds the objects of one revision of a group. ``mark`` returns the HMAC that proves who wrote an object."""

    key: GroupKey
    view: GroupView
    revision: int
    mark: Callable[[Ref], str]

    @property
    def target(self) -> str:
        return target_of(self.key, self.view)

    def of_group(self) -> Iterator[Desired]:
        """The group's own objects: its files, and those of users without a preference."""
        rendered, schema = render_group(self.view).entries, self.view.schema
        name = naming.group_object(self.key.template, self.key.group)
        for kind in KINDS:
            if any(
                output.kind == kind and (output.scope == "Group" or schema.delivery != "None")
                for output in schema.outputs
            ):
                yield self.built(Ref(kind, self.target, name), rendered.of(kind))

    def shard(self, ref: Ref, number: int, data: Mapping[str, str], uid: str = "") -> Desired:
        """A shard; it holds files of several users."""
        return self.built(ref, data, uid, labels={naming.LABEL_SHARD: str(number)})

    def own(self, ref: Ref, user: str, data: Mapping[str, str], uid: str = "") -> Desired:
        """A user's own object, in the namespace of their preference."""
        return self.built(ref, data, uid, annotations={naming.ANNOTATION_USER: user})

    def built(
        self,
        ref: Ref,
        data: Mapping[str, str],
        uid: str = "",
        *,
        labels: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
    ) -> Desired:
        """An object with the labels and annotations that every object of the group has, and these."""
        return Desired(
            ref,
            data,
            {
                **naming.group_labels(self.key),
                naming.LABEL_DELETION_POLICY: self.view.schema.spec.deletion_policy,
                **(labels or {}),
            },
            {
                **(annotations or {}),
                naming.ANNOTATION_REVISION: str(self.revision),
                naming.ANNOTATION_MARK: self.mark(ref),
            },
            uid=uid,
        )

    def shards(self, users: Iterable[tuple[str, Entries]]) -> Iterator[Desired]:
        """The shards of users' files, packed as for a cluster without objects."""
        packed, entries = Shards(), dict[str, Entries]()
        for user, files in users:
            entries[user] = named(user, files)
            if files.config or files.secret:
                packed.place(user, entries[user].size())
        for number, members in sorted(packed.members.items()):
            name = naming.shard_object(self.key.template, self.key.group, number)
            for kind in KINDS:
                data = {entry: text for user in members for entry, text in entries[user].of(kind).items()}
                if data:
                    yield self.shard(Ref(kind, self.target, name), number, data)

    def own_objects(self, namespace: str, preference: str, user: str, files: Entries) -> Iterator[Desired]:
        """A user's own objects next to their preference."""
        name = naming.user_object(self.key.template, preference)
        for kind in KINDS:
            if files.of(kind):
                yield self.own(Ref(kind, namespace, name), user, files.of(kind))
