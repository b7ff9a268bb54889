"""What the operator knows of the cluster, in one place, and the queue that changes of it feed."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field

from trimtab.core import naming
from trimtab.core.objects import AnyObject, MetaOnly, rendered_group_key, template_of
from trimtab.core.refs import GroupKey, Ref, TemplateKey
from trimtab.engine.metrics import EVENTS
from trimtab.engine.scheduling.queue import Queue, Work
from trimtab.engine.store.objects import Objects
from trimtab.engine.store.outputs import Outputs
from trimtab.engine.store.preferences import Preferences
from trimtab.engine.store.retained import Kept
from trimtab.engine.store.workload_listings import Listings

_PREFERENCE_EVENTS = EVENTS.labels("UserPreference")

REPORT_SECONDS = 0.0005
"""What groups report reaches their template's pass after this much for each group that it has: as the pass looks at all
of them, reports of many groups are taken together, and the pass costs a bounded share of a core."""


@dataclass(slots=True)
class Dirt:
    """What of a group changed: users by the namespace of their preferences, outputs, or ``everything``.
    ``assignment``: something changed that decides which content the group is on."""

    users: dict[str, dict[str, None]] = field(default_factory=dict)
    outputs: set[Ref] = field(default_factory=set)
    assignment: bool = False
    everything: bool = False

    def __bool__(self) -> bool:
        return bool(self.users or self.outputs or self.assignment or self.everything)

    def add_user(self, namespace: str, user: str) -> None:
        self.users.setdefault(namespace, {})[user] = None

    def all_users(self) -> set[str]:
        return {user for users in self.users.values() for user in users}

    def take(self, most: int) -> list[str]:
        """Up to ``most`` users, the namespaces taking turns; they are no longer dirty."""
        taken: list[str] = []
        turns = deque(self.users)
        while turns and len(taken) < most:
            namespace = turns.popleft()
            waiting = self.users[namespace]
            share = max(1, (most - len(taken)) // (len(turns) + 1))
            for _ in range(min(share, len(waiting))):
                user = next(iter(waiting))
                del waiting[user]
                taken.append(user)
            if waiting:
                turns.append(namespace)
            else:
                del self.users[namespace]
        return taken


@dataclass(frozen=True, slots=True)
class OpenAction:
    """A RolloutAction that nobody has answered. ``version`` is its resourceVersion when it was seen first: those of one
    second are in the order in which they were made."""

    item: AnyObject
    version: int

    @property
    def order(self) -> tuple[str, int, str]:
        """Sorts by when they were made."""
        return self.item.metadata.creationTimestamp or "", self.version, self.item.metadata.name


class ClusterState:
    """Stores, and what is dirty. Nothing here talks to the API server."""

    def __init__(self) -> None:
        self.queue = Queue()
        self.dirt: dict[GroupKey, Dirt] = {}
        self.preferences = Preferences(self.user_changed)
        self.outputs = Outputs(self.output_changed)
        self.listings = Listings()
        self.templates: Objects[AnyObject] = Objects(self._template_changed)
        self.groups: Objects[AnyObject] = Objects(self._rendered_group_changed)
        self.rollouts: Objects[AnyObject] = Objects(self._rollout_changed)
        self.actions: Objects[AnyObject] = Objects(self._action_changed)
        self.open_actions: dict[TemplateKey, OpenAction] = {}
        """Those that nobody has answered: actions are never removed, so that looking at all would cost more and more"""
        self._rendered: dict[TemplateKey, dict[TemplateKey, AnyObject]] = {}
        """The RenderedGroups of each template, by their own place"""
        self._by_group: dict[GroupKey, AnyObject] = {}
        """Those of them that have the name which their group's is given"""
        self.namespaces: Objects[MetaOnly] = Objects(self._namespace_changed)
        self.snapshots: Objects[MetaOnly] = Objects(self._snapshot_changed)
        self.kept = Kept()
        self.synced = False
        self.admission = 0
        """Another one whenever what decides which preferences a group takes may have changed"""

    def dirty(self, key: GroupKey) -> Dirt:
        return self.dirt.setdefault(key, Dirt())

    def enqueue_group(self, key: GroupKey) -> None:
        """Queue the group, whose assignment may have changed."""
        if self.synced:
            self.dirty(key).assignment = True
            self.requeue_group(key)

    def requeue_group(self, key: GroupKey) -> None:
        """Queue the group for what is dirty already."""
        if self.synced:
            self.queue.add(Work("group", key), key.namespace)

    def enqueue_template(self, key: TemplateKey) -> None:
        if self.synced:
            self.queue.add(Work("template", key), key.namespace)

    def report(self, key: TemplateKey) -> None:
        """A group of the template has something to say that the template's status sums up."""
        if self.synced:
            delay = REPORT_SECONDS * len(self.rendered(key))
            self.queue.add_after(Work("template", key), key.namespace, delay)

    def enqueue_rollouts(self, key: TemplateKey) -> None:
        if self.synced:
            self.queue.add(Work("rollout", key), key.namespace)

    def everything(self, key: GroupKey) -> None:
        """Look at all of a group again."""
        self.dirty(key).everything = True
        self.enqueue_group(key)

    def enqueue_workload(self, key: Ref) -> None:
        """The health of a workload may have changed."""
        if self.synced:
            self.queue.add(Work("workload", key), key.namespace)

    def enqueue_everything(self) -> None:
        """What to keep may have changed for all objects."""
        if self.synced:
            self.queue.add(Work("cluster", TemplateKey("", "")), "")

    def start(self) -> None:
        """All stores are complete: from now on changes are queued."""
        self.dirt.clear()
        self.synced = True

    def stop(self) -> None:
        """Another process leads: changes only fill the stores."""
        self.synced = False
        self.dirt.clear()
        self.queue.clear()

    def rendered(self, key: TemplateKey) -> Collection[AnyObject]:
        """The RenderedGroups of a template."""
        return self._rendered.get(key, {}).values()

    def rendered_group(self, key: GroupKey) -> AnyObject | None:
        """The group's RenderedGroup, unless an object of its name is about another group."""
        return self._by_group.get(key)

    def groups_of(self, key: TemplateKey) -> set[GroupKey]:
        """The groups of a template that are rendered."""
        return {rendered_group_key(item) for item in self.rendered(key)}

    def known_groups_of(self, key: TemplateKey) -> set[GroupKey]:
        """The groups of a template that are, that were, or that somebody names."""
        return self.groups_of(key) | set(self.outputs.groups_of(key)) | set(self.preferences.groups_of(key))

    # Callbacks of the stores.

    def user_changed(self, key: GroupKey, namespace: str, user: str) -> None:
        _PREFERENCE_EVENTS.inc()
        if not self.synced:
            return  # the start looks at everything
        self.dirty(key).add_user(namespace, user)
        self.requeue_group(key)

    def output_changed(self, key: GroupKey, ref: Ref) -> None:
        EVENTS.labels("output").inc()
        if self.synced:
            self.dirty(key).outputs.add(ref)
            self.requeue_group(key)

    def _template_changed(self, key: TemplateKey, old: AnyObject | None, new: AnyObject | None) -> None:
        EVENTS.labels("ConfigTemplate").inc()
        if new is not None:
            self.kept.templates.discard(key)
        same = old is not None and new is not None and old.metadata.uid == new.metadata.uid
        if not same or old.metadata.generation != new.metadata.generation or old.status != new.status:  # type: ignore[union-attr]
            self.enqueue_template(key)
            self.enqueue_rollouts(key)
        if not same or old.metadata.generation != new.metadata.generation:  # type: ignore[union-attr]
            for other in self.listings.put(key, new):
                self.enqueue_template(other)

    def _rendered_group_changed(
        self, place: TemplateKey, old: AnyObject | None, new: AnyObject | None
    ) -> None:
        if old is not None:
            about = rendered_group_key(old)
            self._rendered[about.template_key].pop(place)
            if not self._rendered[about.template_key]:
                del self._rendered[about.template_key]
            if self._by_group.get(about) is old:
                del self._by_group[about]
        if new is not None:
            about = rendered_group_key(new)
            self._rendered.setdefault(about.template_key, {})[place] = new
            if place.name == naming.group_object(about.template, about.group):
                self._by_group[about] = new
        some = new or old
        if some is not None and self.synced:
            group = rendered_group_key(some)
            self.enqueue_group(group)
            if _moved(old) != _moved(new):
                self.enqueue_rollouts(group.template_key)
            if _counts(old) != _counts(new):  # the template's status adds them up
                self.report(group.template_key)

    def _snapshot_changed(self, key: TemplateKey, old: MetaOnly | None, new: MetaOnly | None) -> None:
        """A new one may be of content that was edited again meanwhile, so that it is not needed; one that is gone, or
        another one now, may be needed, and is made again where its content is known."""
        some = new or old
        other = old is None or new is None or old.metadata.uid != new.metadata.uid
        if some is not None and other:
            template = TemplateKey(key.namespace, (some.metadata.labels or {}).get(naming.LABEL_TEMPLATE, ""))
            self.enqueue_template(template)
            if new is None:
                self.enqueue_rollouts(template)

    def _rollout_changed(self, place: TemplateKey, old: AnyObject | None, new: AnyObject | None) -> None:
        EVENTS.labels("PolicyRollout").inc()
        if new is not None:
            self.kept.policies.discard(place)
        if new is None:
            self.enqueue_rollouts(place)  # its unprocessed actions concern no rollout now
        for template in {template_of(item) for item in (old, new) if item is not None}:
            self.enqueue_rollouts(template)
            if new is None or template_of(new) != template:
                # Its policy is deleted; its snapshots may no longer be needed.
                self.enqueue_template(template)
                for group in self.groups_of(template):
                    self.enqueue_group(group)

    def _action_changed(self, key: TemplateKey, old: AnyObject | None, new: AnyObject | None) -> None:
        known = self.open_actions.pop(key, None)
        if new is None:
            return
        if not _answered(new):
            same = known is not None and known.item.metadata.uid == new.metadata.uid
            self.open_actions[key] = OpenAction(new, known.version if known and same else new.version)
        if known is not None or key in self.open_actions:
            self.enqueue_target(new)

    def enqueue_target(self, action: AnyObject) -> None:
        """Queue the rollouts that a RolloutAction is about."""
        reference = action.spec.get("rolloutRef") or {}
        key = TemplateKey(action.metadata.namespace, str(reference.get("name") or ""))
        if reference.get("kind") == "PolicyRollout":
            rollout = self.rollouts.get(key)
            key = template_of(rollout) if rollout is not None else key
        self.enqueue_rollouts(key)

    def _namespace_changed(self, _: TemplateKey, old: MetaOnly | None, new: MetaOnly | None) -> None:
        """Labels decide which preferences a group takes, annotations which templates a target lets in."""
        if _marks(old) == _marks(new):
            return
        self.admission += 1
        if self.synced:
            name = (new or old).metadata.name  # type: ignore[union-attr]
            self.queue.add(Work("namespace", TemplateKey(name, name)), name)

    def namespace(self, name: str) -> MetaOnly | None:
        return self.namespaces.get(TemplateKey("", name))


def _answered(action: AnyObject) -> bool:
    return any(c.get("type") == "Ready" for c in action.status.get("conditions") or ())


def _counts(item: AnyObject | None) -> object:
    return item and (item.status.get("users"), item.status.get("invalidUsers"))


def _moved(item: AnyObject | None) -> object:
    fields = ("currentRevision", "share", "operation")
    return item and [item.status.get(name) for name in fields]


def _marks(item: MetaOnly | None) -> object:
    return item and (item.metadata.labels, item.metadata.annotations)
