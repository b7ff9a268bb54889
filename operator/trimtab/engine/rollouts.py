"""The pass over all rollouts of one template: look, step, write what was decided, and only then act on it.

What the machine decides is in status before anything follows from it; groups then follow their assignment by
themselves. One pass handles all rollouts of a template, one after the other, so that no two of them start over the
same group.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from trimtab.api.rollout_status import TRANSITIONS, Content, RolloutProgress, Transition
from trimtab.core import times
from trimtab.core.rollout import Intent, Seen, Step, intents, step
from trimtab.core.status import Verdict, conditions, notice_fields, violation_fields
from trimtab.engine.answers import Answers
from trimtab.engine.audit import Audit
from trimtab.engine.cases import Case, Cases
from trimtab.engine.drafts import Drafts
from trimtab.engine.group_state import GroupState
from trimtab.engine.observed import AnyObject
from trimtab.engine.preferences import GroupKey, TemplateKey
from trimtab.engine.sightings import Sightings
from trimtab.engine.sources import FIELDS, POLICY, TEMPLATE, Source, Sources
from trimtab.engine.templates import rollout_verdict
from trimtab.engine.watching import Watching
from trimtab.engine.world import Work, World
from trimtab.kube import errors
from trimtab.kube.errors import NotLeaderError
from trimtab.kube.port import Api
from trimtab.kube.resources import CONFIG_TEMPLATES, POLICY_ROLLOUTS

log = logging.getLogger(__name__)

WARM_SECONDS = 30.0
"""How long a new leader waits at most until it has looked at all groups of a rollout that is under way."""
SETTLE_SECONDS = 1.0
"""Counters in a rollout's status are written at most this often."""


@dataclass(frozen=True, slots=True)
class _Sent:
    """What of a rollout groups and others were told to look at."""

    wanted: Mapping[str, Intent] = field(default_factory=dict)
    stable: Content | None = None
    target: Content | None = None
    phase: str | None = None
    underway: str | None = None


@dataclass(slots=True)
class Rollouts:
    """``clock`` gives seconds since 1970, ``now`` the same as RFC 3339 text."""

    api: Api
    world: World
    sources: Sources
    cases: Cases
    sightings: Sightings
    drafts: Drafts
    watching: Watching
    audit: Audit
    answers: Answers
    clock: Callable[[], float]
    now: Callable[[], str]
    states: dict[GroupKey, GroupState]
    _sent: dict[str, _Sent] = field(default_factory=dict)
    """uid -> what its groups were sent to work for"""
    _written: dict[str, float] = field(default_factory=dict)
    _unsure: dict[str, frozenset[str]] = field(default_factory=dict)
    """uid -> the groups that it holds if a write went well of which nobody knows"""
    _warm_at: float = 0.0
    looked: set[TemplateKey] = field(default_factory=set)
    """Templates whose rollouts this leader has looked at: until then nobody knows what their content needs."""

    def reset(self) -> None:
        """Another process has led meanwhile: look at every group before anything is concluded."""
        self._warm_at = self.clock() + WARM_SECONDS
        self._sent.clear()
        self.looked.clear()
        self.drafts.keep(())

    async def reconcile(self, key: TemplateKey) -> None:
        """One pass.

        :raises trimtab.kube.errors.ApiError: nothing was lost; the caller tries again later.
        """
        wake: list[float] = []
        failures: list[Exception] = []
        for uid in [source.uid for source in self.sources.of(key)]:
            with _apart(failures):
                wake += await self._advance(key, uid)
        if not failures and key not in self.looked:
            self.looked.add(key)
            self.world.enqueue_template(key)
        with _apart(failures):
            await self._forget_progress(key)
        self.watching.keep(key, self.sources.of(key), self.states)
        with _apart(failures):
            await self.answers.refuse_strays(key)
        self._tidy()
        if wake:
            delay = max(0.0, min(wake) - self.clock())
            self.world.queue.add_after(Work("rollout", key), key.namespace, delay)
        if failures:
            raise failures[0]

    def _tidy(self) -> None:
        """Keep nothing of rollouts that are gone."""
        present = {
            item.metadata.uid for store in (self.world.rollouts, self.world.templates) for item in store
        }
        self.audit.forget(present)
        self.cases.forget()
        self.drafts.keep(present)
        self._written = {uid: at for uid, at in self._written.items() if uid in present}
        self._unsure = {uid: names for uid, names in self._unsure.items() if uid in present}
        self._sent = {uid: sent for uid, sent in self._sent.items() if uid in present}

    async def _forget_progress(self, key: TemplateKey) -> None:
        """A template whose strategy was taken away does not roll out any more: its status says nothing of it."""
        item = self.world.templates.get(key)
        if item is None or item.spec.get("strategy") is not None or not FIELDS & item.status.keys():
            return
        status = {name: value for name, value in item.status.items() if name not in FIELDS}
        self.watching.forget(item.metadata.uid)
        await self._put(TEMPLATE, item, status)
        for group in self.world.groups_of(key):
            self.world.enqueue_group(group)

    async def _advance(self, key: TemplateKey, uid: str) -> list[float]:
        """One rollout's turn; when it wants to be looked at again."""
        source = next((source for source in self.sources.of(key) if source.uid == uid), None)
        if source is None:
            return []
        case = await self.cases.of(key, source)
        source = case.source
        warming = source.progress.underway and self.clock() < self._warm_at
        if warming and not self.sightings.complete(key, source):
            return [self._warm_at]  # a start: groups are being compared, and that is no news of them
        seen = await self._see(key, case)
        made = step(source.progress, seen, self.clock())
        if made.transitions:
            made = _numbered(made, self.now_text())
        delayed = self._may_wait(source, made)
        if delayed is None:
            source = await self._write(source, case, made.progress)
        self._moved(key, source)
        self.watching.consumed(source, seen.evidence)
        self.watching.follow(key, source, case, measure=made.measure)
        await self.answers.tell(made.answers)
        await self.audit.tell(source, source.progress.transitions, self.clock())
        return [at for at in (made.wake_at, delayed) if at is not None]

    def now_text(self) -> str:
        return times.text(self.clock())

    # Seeing.

    async def _see(self, key: TemplateKey, case: Case) -> Seen:
        source = case.source
        preview = source.progress.preview
        if case.target is not None and self._wants_preview(case):
            preview = await self.drafts.of(key, source, case.target, case.scope) or preview
        else:
            self.drafts.forget(source.uid)
        return Seen(
            target=case.target,
            refusal=case.refusal.message if case.refusal else "",
            strategy=case.strategy,
            groups=await self.sightings.of(key, source, case.scope),
            busy=self._busy(key, case),
            preview=preview,
            evidence=self.watching.evidence(source),
            requests=tuple(self.answers.requests(source)),
            unprotected=case.unprotected,
        )

    @staticmethod
    def _wants_preview(case: Case) -> bool:
        """Only for what would start: known content, of which no preview has been made for these very groups."""
        progress, target = case.source.progress, case.target
        if target is None or case.unprotected or progress.underway == "Back":
            return False
        known = {c.hash for c in (progress.stable,) if c} | {q.hash for q in progress.quarantine}
        if target.hash in known:
            return False
        preview, started = progress.preview, progress.underway is not None
        if preview is None or preview.hash != target.hash:
            return True
        return not started and preview.groups != len(case.scope)

    def _busy(self, key: TemplateKey, case: Case) -> str:
        """Another rollout that is under way in a group of this one."""
        mine = (
            {name for wave in case.source.progress.waves for name in wave.groups}
            if (case.source.progress.underway)
            else set(case.scope)
        )
        for other in self.sources.of(key):
            claimed = other.wanted.keys() | self._unsure.get(other.uid, ())
            shared = mine & claimed if other.uid != case.source.uid else set()
            if shared:
                return f"{other.label} is under way in group {min(shared)}"
        return ""

    # Saying.

    def _may_wait(self, source: Source, made: Step) -> float | None:
        """When to write it, if only its counters moved and they were written a moment ago."""
        quiet = {"message": None, "updated": None}
        if made.progress.model_copy(update=quiet) != source.progress.model_copy(update=quiet):
            return None
        meta, said = source.item.metadata, source.item.status.get("observedGeneration")
        if made.progress == source.progress or (source.kind == POLICY and said != meta.generation):
            return None
        at = self._written.get(source.uid, 0.0) + SETTLE_SECONDS
        return at if at > self.clock() else None

    async def _write(self, source: Source, case: Case, progress: RolloutProgress) -> Source:
        """Put it into status, over the object that was looked at.

        :raises trimtab.kube.errors.ConflictError: it has changed; what is there now is in the store.
        """
        item = self._newest(source)
        status = {name: value for name, value in item.status.items() if name not in FIELDS}
        status |= progress.to_dict()
        if source.kind == POLICY:
            generation = item.metadata.generation
            verdict = _verdict(case, progress)
            before = item.status.get("conditions") or ()
            status |= {
                "observedGeneration": generation,
                "conditions": conditions(verdict, generation, self.now(), before),
                "violations": violation_fields(verdict.violations),
                "warnings": notice_fields(verdict.notices),
            }
        elif progress.phase != "Succeeded" and case.refusal is None:  # its phase and Ready are never at odds
            generation, before = item.metadata.generation, item.status.get("conditions") or ()
            verdict = rollout_verdict(progress, ())
            status |= {
                "observedGeneration": generation,
                "conditions": conditions(verdict, generation, self.now(), before),
            }
        status = {name: value for name, value in status.items() if value not in (None, [])}
        wanted = intents(progress)
        if _plain(status) == _plain(item.status):
            self._unsure.pop(source.uid, None)
            return source
        try:
            item = await self._put(source.kind, item, status)
        except errors.UnavailableError:
            self._unsure[source.uid] = frozenset(wanted)
            raise
        except errors.ApiError:
            self._unsure.pop(source.uid, None)
            raise
        self._unsure.pop(source.uid, None)
        self._written[source.uid] = self.clock()
        return Source(source.kind, item, progress, wanted)

    def _newest(self, source: Source) -> AnyObject:
        """What was looked at, or how it stands now if only others' fields of its status have changed meanwhile: that a
        look takes long must not have its outcome refused."""
        seen = source.item
        now = self.sources.store(source.kind).get(source.key)
        same = now is not None and (now.metadata.uid, now.metadata.generation, _ours(now)) == (
            seen.metadata.uid,
            seen.metadata.generation,
            _ours(seen),
        )
        return now if now is not None and same else seen

    async def _put(self, kind: str, item: AnyObject, status: dict[str, Any]) -> AnyObject:
        """Write a status over exactly ``item``; what stands there now."""
        resource = POLICY_ROLLOUTS if kind == POLICY else CONFIG_TEMPLATES
        store = self.sources.store(kind)
        try:
            answer = await self.api.replace_status(
                resource, *item.key, status, version=item.metadata.resourceVersion
            )
        except errors.ConflictError:
            store.put(msgspec.convert(await self.api.get(resource, *item.key), AnyObject))
            raise
        except errors.NotFoundError:
            store.drop(item)
            raise errors.UnavailableError(0, "Gone", f"{kind} {item.key} is gone") from None
        now = msgspec.convert(answer, AnyObject)
        store.put(now)
        return now

    def _moved(self, key: TemplateKey, source: Source) -> None:
        """Send the groups to work that it wants something else of than when they were sent last.

        By what was sent, not by what this pass has written: a write may have come through whose answer was lost.
        """
        progress = source.progress
        before = self._sent.get(source.uid, _Sent())
        after = _Sent(source.wanted, progress.stable, progress.target, progress.phase, progress.underway)
        self._sent[source.uid] = after
        names = {*before.wanted, *after.wanted}
        changed = {name for name in names if before.wanted.get(name) != after.wanted.get(name)}
        if before.phase is None or (before.stable, before.target) != (after.stable, after.target):
            changed |= {group.group for group in self.world.groups_of(key)}
        for name in changed:
            self.world.enqueue_group(GroupKey(key.namespace, key.name, name))
        if before.phase != after.phase:
            self.world.enqueue_template(key)
        if before.underway and not after.underway:
            self.world.enqueue_rollouts(key)  # others may have waited for it


def _numbered(made: Step, at: str) -> Step:
    """The step with its transitions on the list in status."""
    progress = made.progress
    last = max((t.number for t in progress.transitions), default=0)
    fresh = [
        Transition(
            number=last + index,
            at=at,
            reason=t.reason,
            message=t.message,
            by=t.by or None,
            phase=t.to_phase,
            warning=t.warning,
            before=t.before or None,
            after=t.after or None,
        )
        for index, t in enumerate(made.transitions, 1)
    ]
    listed = [*reversed(fresh), *progress.transitions][:TRANSITIONS]
    changed = progress.model_copy(update={"transitions": listed})
    return Step(changed, made.transitions, made.answers, made.measure, made.wake_at)


@contextlib.contextmanager
def _apart(failures: list[Exception]) -> Iterator[None]:
    """What fails in it stops nothing else of the pass."""
    try:
        yield
    except NotLeaderError:
        raise
    except Exception as error:
        if failures:
            log.warning("and another part of the pass failed: %s", error)
        failures.append(error)


def _ours(item: AnyObject) -> dict[str, Any]:
    """The fields of status that are a rollout's."""
    return {name: value for name, value in item.status.items() if name in FIELDS}


def _verdict(case: Case, progress: RolloutProgress) -> Verdict:
    if case.refusal is not None:
        return case.refusal
    return rollout_verdict(progress, case.notices)


def _plain(status: Mapping[str, Any]) -> dict[str, Any]:
    """A status without the times of its conditions, to compare."""
    spoken = [
        {**{k: v for k, v in c.items() if k != "lastTransitionTime"}, "message": c.get("message") or ""}
        for c in status.get("conditions") or ()
    ]
    return {**status, "conditions": spoken}
