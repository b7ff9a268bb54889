"""The pass over one group: pointer first, then users, then objects, then what status says of it."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from trimtab.core import naming, reasons
from trimtab.core.plan import Apply, Ref, plan
from trimtab.core.resolve import group_view
from trimtab.core.selector import selects
from trimtab.core.status import FALSE, TRUE, UNKNOWN, Verdict, conditions
from trimtab.engine import users
from trimtab.engine.group_state import GroupState
from trimtab.engine.metrics import USERS_RESOLVED, WRITE_FAILURES
from trimtab.engine.observed import AnyObject
from trimtab.engine.preferences import GroupKey, Preference, TemplateKey
from trimtab.engine.slices import Turn
from trimtab.engine.templates import Served, Templates, group_labels
from trimtab.engine.verdicts import Verdicts
from trimtab.engine.world import Dirt, Work, World, rendered_group_key
from trimtab.engine.writer import Failure, Writer
from trimtab.kube import errors
from trimtab.kube.port import Api, Body
from trimtab.kube.resources import CONFIG_TEMPLATES, RENDERED_GROUPS

log = logging.getLogger(__name__)

BATCH = 500
"""Users that one pass takes: a group's turn ends, its next one comes after the other namespaces'."""
CONFLICT_SECONDS = 15.0
"""After how long a foreign object in the way is looked at again: it is not watched."""


@dataclass(slots=True)
class Groups:
    """Every group's state and the pass over it."""

    api: Api
    world: World
    templates: Templates
    writer: Writer
    verdicts: Verdicts
    now: Callable[[], str]
    states: dict[GroupKey, GroupState] = field(default_factory=dict)
    outcomes: dict[GroupKey, Verdict] = field(default_factory=dict)

    def reset(self) -> None:
        """Forget everything that was worked out: another process has led meanwhile."""
        self.states.clear()
        self.outcomes.clear()

    async def reconcile(self, key: GroupKey) -> None:
        """One pass.

        :raises trimtab.kube.errors.ApiError: nothing was lost; the caller tries again later.
        """
        served = await self._target(key)
        if served is None:
            await self._without_target(key)
            return
        dirt = self.world.dirty(key)
        state = await self._state(key, served)
        if dirt.everything:
            await self._all_dirty(state, dirt)
        state.touched |= dirt.outputs
        dirt.outputs.clear()
        judged = await self._users(state, dirt)
        await self._write(state, dirt, judged)
        if dirt:
            self.world.enqueue_group(key)

    # Which revision the group is on.

    async def _target(self, key: GroupKey) -> Served | None:
        """The accepted content; while the template is refused, what the group's pointer says; None: no such group."""
        judgement = await self.templates.judge(key.template_key)
        if judgement is None:
            return None
        if judgement.accepted is not None:
            return judgement.accepted if key.group in judgement.accepted.schema.groups else None
        pointer = self._pointer(key)
        if pointer is None:
            return None
        schema = await self.templates.load(key.template_key, pointer["snapshot"])
        return Served(schema, pointer["snapshot"]) if schema and key.group in schema.groups else None

    def _rendered_group(self, key: GroupKey) -> AnyObject | None:
        name = naming.group_object(key.template, key.group)
        found = self.world.groups.get(TemplateKey(key.namespace, name))
        return found if found is not None and rendered_group_key(found) == key else None

    def _pointer(self, key: GroupKey) -> dict[str, Any] | None:
        """The RenderedGroup's current revision entry."""
        item = self._rendered_group(key)
        if item is None:
            return None
        current = item.status.get("currentRevision")
        return next((r for r in item.status.get("revisions") or () if r["number"] == current), None)

    async def _state(self, key: GroupKey, served: Served) -> GroupState:
        """The group's state, moved to ``served``; the pointer is written before anything else."""
        state = self.states.get(key)
        pointer = self._pointer(key)
        moved = pointer is None or pointer["snapshot"] != served.snapshot
        if moved:
            pointer = await self._point(key, served)
        revision = int(pointer["number"])  # type: ignore[index]
        if state is not None and not moved and state.served.snapshot == served.snapshot:
            state.revision = revision
            return state
        view = group_view(served.schema, key.group)
        if state is None:
            state = GroupState(key, served, view, "", revision)
            turn = Turn()
            for _ in state.adopt(dict(self.world.outputs.of(key))):
                await turn.over()
            self.states[key] = state
        state.set_view(served, view, revision)
        self.world.dirty(key).everything = True
        return state

    async def _point(self, key: GroupKey, served: Served) -> dict[str, Any]:
        """Put a new revision on the RenderedGroup's list and make it the current one."""
        name = naming.group_object(key.template, key.group)
        item = self._rendered_group(key)
        if item is None:
            body: Body = {
                "metadata": {"name": name, "namespace": key.namespace, "labels": group_labels(key)},
                "spec": {"templateRef": {"name": key.template}, "group": key.group},
            }
            item = self._take(await self.api.apply(RENDERED_GROUPS, body))
        template = self.world.templates.get(key.template_key)
        generation = template.metadata.generation if template else 0
        listed = item.status.get("revisions") or []
        number = max((int(r["number"]) for r in listed), default=0) + 1
        entry = {
            "number": number,
            "snapshot": served.snapshot,
            "createdAt": self.now(),
            "reason": f"ConfigTemplate generation {generation}",
        }
        verdict = Verdict(UNKNOWN, reasons.PROGRESSING, f"revision {number} is being written")
        status = {
            **item.status,
            "observedGeneration": item.metadata.generation,
            "conditions": conditions(
                verdict, item.metadata.generation, self.now(), item.status.get("conditions") or ()
            ),
            "currentRevision": number,
            "stableRevision": item.status.get("stableRevision", number),
            "epoch": int(item.status.get("epoch") or 0) + 1,
            "revisions": sorted([*listed, entry], key=lambda r: -r["number"])[
                : served.schema.spec.revision_history_limit
            ],
        }
        try:
            self._take(
                await self.api.replace_status(
                    RENDERED_GROUPS, key.namespace, name, status, version=item.metadata.resourceVersion
                )
            )
        except errors.ConflictError:
            self._take(await self.api.get(RENDERED_GROUPS, key.namespace, name))
            raise
        self.outcomes[key] = verdict
        log.info("revision", extra={"group": str(key), "revision": number, "snapshot": served.snapshot})
        return entry

    def _take(self, body: Body) -> AnyObject:
        item = msgspec.convert(body, AnyObject)
        self.world.groups.put(item)
        return item

    # Users.

    async def _all_dirty(self, state: GroupState, dirt: Dirt) -> None:
        """Everybody that something is rendered for, in the order of the shards, then who is new."""
        dirt.everything = False
        state.set_view(state.served, state.view, state.revision)
        turn = Turn()
        where: dict[str, str] = {}
        for preference in list(self.world.preferences.members(state.key).values()):
            where[preference.user] = preference.namespace
            await turn.over()
        for user in [*state.users(), *where]:
            dirt.users.setdefault(where.get(user, ""), {})[user] = None
            await turn.over()

    async def _users(self, state: GroupState, dirt: Dirt) -> list[tuple[Preference, users.Outcome]]:
        """Judge and render this pass's share of the dirty users, in slices."""
        judged: list[tuple[Preference, users.Outcome]] = []
        taken = dirt.take(BATCH)
        if not taken:
            return judged
        rules = self._rules(state, dirt)
        turn = Turn()
        for user in taken:
            judged += self._user(state, user, rules)
            await turn.over()
        USERS_RESOLVED.inc(len(taken))
        return judged

    def _user(
        self, state: GroupState, user: str, rules: users.Rules
    ) -> list[tuple[Preference, users.Outcome]]:
        key = state.key
        claimants = self.world.preferences.claimants(key.template_key, user)
        mine = [p for p in claimants if p.group == key.group]
        if not mine or claimants[0].group != key.group:
            state.drop_user(user)
        judged = []
        for preference in mine:
            rendered = state.has(user)
            outcome = users.judge(state.view, preference, claimants[0], rules, rendered=rendered)
            if preference is claimants[0]:
                state.set_user(preference, outcome)
            self.verdicts.accept(preference, outcome, state.view.schema.spec.users.history_limit)
            (state.invalid.discard if outcome.verdict.ready == TRUE else state.invalid.add)(preference.key)
            judged.append((preference, outcome))
        return judged

    def _rules(self, state: GroupState, dirt: Dirt) -> users.Rules:
        spec = state.view.group.spec
        members = self.world.preferences.members(state.key)
        over: frozenset[tuple[str, str]] = frozenset()
        if spec.max_users is not None and len(members) > spec.max_users:
            over = frozenset(p.key for p in sorted(members.values(), key=lambda p: p.age)[spec.max_users :])
        for namespace, name in over ^ state.over_limit:
            preference = self.world.preferences.get(namespace, name)
            if preference is not None:
                dirt.users.setdefault(namespace, {})[preference.user] = None
        state.over_limit = over
        admitted: dict[str, bool] = {}

        def admits(namespace: str) -> bool:
            if namespace not in admitted:
                admitted[namespace] = self._admits(state, namespace)
            return admitted[namespace]

        return users.Rules(
            admits=admits,
            full=lambda preference: preference.key in over,
            delivered=state.delivery != "None",
            alone=state.delivery == "PerUser",
        )

    def _admits(self, state: GroupState, namespace: str) -> bool:
        selector = state.view.group.spec.preference_namespace_selector
        if selector is None:
            return namespace == state.key.namespace
        found = self.world.namespace(namespace)
        return found is not None and selects(selector, found.metadata.labels or {})

    # Objects.

    async def _write(
        self, state: GroupState, dirt: Dirt, judged: list[tuple[Preference, users.Outcome]]
    ) -> None:
        """Make the touched objects as they should be; then say so."""
        barred = self._barred(state)
        failures: list[Failure] = []
        if barred is None:
            refs, state.touched = state.touched, set()
            outputs = self.world.outputs
            observed = {ref: have for ref in refs if (have := outputs.get(ref)) is not None}
            desired = state.desired(refs)
            for ref, want in desired.items():
                have = observed.get(ref)
                if have is not None and have.data == want.data:
                    have.data = want.data  # equal: keep one copy in memory
            writes = plan(desired, observed, state.written)
            if dirt.users:  # until all users are placed, nothing is surplus for sure
                early = [w for w in writes if not isinstance(w, Apply)]
                writes = [w for w in writes if isinstance(w, Apply)]
                state.touched |= {w.observed.ref for w in early}
            try:
                failures = await self.writer.carry_out(writes)
            except BaseException:
                state.touched |= refs
                raise
            self._settle(state, refs, desired, failures)
        self._conclude(state, barred, failures, judged)

    def _settle(
        self, state: GroupState, refs: set[Ref], desired: dict[Ref, Any], failures: list[Failure]
    ) -> None:
        failed = {
            f.write.desired.ref if isinstance(f.write, Apply) else f.write.observed.ref for f in failures
        }
        for ref in refs - failed:
            if ref in desired:
                state.written[ref] = desired[ref]
            else:
                state.written.pop(ref, None)
        state.touched |= failed
        if failures:
            # Deletions wait for everything before them: look at all of this pass's objects again.
            state.touched |= refs

    def _barred(self, state: GroupState) -> str | None:
        """Why the target namespace may not be written to, or None."""
        target, home = state.target, state.key.namespace
        if target == home:
            return None
        found = self.world.namespace(target)
        if found is None:
            return f"the target namespace {target} does not exist; create it, annotated {naming.ANNOTATION_ALLOW_FROM}: {home}"
        allowed = (found.metadata.annotations or {}).get(naming.ANNOTATION_ALLOW_FROM, "")
        if home in {name.strip() for name in allowed.split(",")}:
            return None
        return (
            f"the target namespace {target} does not let templates of {home} in; annotate it "
            f"{naming.ANNOTATION_ALLOW_FROM}: {home}. What was rendered before stays"
        )

    def _conclude(
        self,
        state: GroupState,
        barred: str | None,
        failures: list[Failure],
        judged: list[tuple[Preference, users.Outcome]],
    ) -> None:
        key = state.key
        if barred is not None:
            verdict = Verdict(FALSE, reasons.TARGET_NOT_ALLOWED, barred)
        elif failures:
            first = failures[0]
            verdict = Verdict(FALSE, first.reason, first.message)
            for failure in failures:
                WRITE_FAILURES.labels(failure.reason).inc()
            self._retry(state, failures)
        else:
            state.failures = 0
            if self.world.dirty(key).users:
                verdict = Verdict(UNKNOWN, reasons.PROGRESSING, "users are being rendered")
            else:
                verdict = Verdict(TRUE, reasons.RENDERED, f"revision {state.revision} is rendered")
        verdict = self._brief(key, verdict, failures)
        changed = self.outcomes.get(key) != verdict
        self.outcomes[key] = verdict
        blocked = {
            state.own_refs[f.write.desired.ref]: f
            for f in failures
            if isinstance(f.write, Apply) and f.write.desired.ref in state.own_refs
        }
        for preference, outcome in judged:
            self.verdicts.offer(preference, outcome, blocked.get(preference.user))
        self.verdicts.group(state, verdict, now=changed)
        if changed:
            self.world.enqueue_template(key.template_key)

    def _brief(self, key: GroupKey, verdict: Verdict, failures: list[Failure]) -> Verdict:
        """A failure that the next try may well mend is not worth a status of its own."""
        before = self.outcomes.get(key)
        if failures and all(f.again for f in failures) and self.states[key].failures < 3:
            return before or Verdict(UNKNOWN, reasons.PROGRESSING, "being written")
        return verdict

    def _retry(self, state: GroupState, failures: list[Failure]) -> None:
        state.failures += 1
        soon = any(f.again for f in failures)
        delay = min(30.0, 0.05 * 2**state.failures) if soon else CONFLICT_SECONDS
        self.world.queue.add_after(Work("group", state.key), state.key.namespace, delay)

    # Groups that are no more.

    async def _without_target(self, key: GroupKey) -> None:
        """No such template or group (any more), or one that was never valid."""
        judgement = self.templates.judged.get(key.template_key)
        refused = judgement is not None and judgement.accepted is None
        if not refused:
            await self._clean_up(key, template_gone=judgement is None)
        never_valid = refused and not any(
            rendered_group_key(g).template_key == key.template_key for g in self.world.groups
        )
        dirt = self.world.dirt.pop(key, Dirt())
        self.states.pop(key, None)
        self.outcomes.pop(key, None)
        groups = list(judgement.accepted.schema.groups) if judgement and judgement.accepted else []
        members = self.world.preferences.members(key).values()
        named = {user for waiting in dirt.users.values() for user in waiting}
        turn = Turn()
        for preference in list(members):
            if dirt.everything or preference.user in named:
                verdict = users.homeless(
                    preference, template=judgement is not None, served=not never_valid, groups=groups
                )
                self.verdicts.offer(preference, users.Outcome(verdict, None), None)
            await turn.over()

    async def _clean_up(self, key: GroupKey, *, template_gone: bool) -> None:
        """Remove what was rendered for the group, after a live look at what says that it is gone."""
        item = self._rendered_group(key)
        outputs = list(self.world.outputs.of(key).values())
        if item is None and not outputs:
            return
        if template_gone and await self._exists(key.template_key):
            raise errors.UnavailableError(
                0, "StaleStore", f"template {key.template_key} exists; its event is on the way"
            )
        if template_gone and await self._retained(key):
            for observed in outputs:
                try:
                    await self.writer.release(observed)
                except errors.NotFoundError:
                    self.world.outputs.forget(observed)
        else:
            failures = await self.writer.carry_out(plan({}, {o.ref: o for o in outputs}))
            if failures:
                raise errors.UnavailableError(0, failures[0].reason, failures[0].message)
        if item is not None:
            with contextlib.suppress(errors.NotFoundError):
                await self.api.delete(
                    RENDERED_GROUPS, key.namespace, item.metadata.name, uid=item.metadata.uid
                )
            self.world.groups.drop(item)
        log.info("group removed", extra={"group": str(key), "outputs": len(outputs)})
        self.world.enqueue_template(key.template_key)

    async def _exists(self, key: TemplateKey) -> bool:
        try:
            body = await self.api.get(CONFIG_TEMPLATES, key.namespace, key.name)
        except errors.NotFoundError:
            return False
        self.world.templates.put(msgspec.convert(body, AnyObject))
        return True

    async def _retained(self, key: GroupKey) -> bool:
        """Whether the template said ``deletionPolicy: Retain`` when it was last served."""
        state = self.states.get(key)
        schema = state.view.schema if state else None
        pointer = self._pointer(key)
        if schema is None and pointer is not None:
            schema = await self.templates.load(key.template_key, pointer["snapshot"])
        return schema is not None and schema.spec.deletion_policy == "Retain"
