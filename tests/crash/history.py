"""What is reported of rollouts: transitions, Events, results of actions."""

from __future__ import annotations

import itertools
import json
from collections import Counter, defaultdict

from crash.journal import Change
from support.live_objects import Body


class History:
    """``broken`` takes the laws that do not hold. ``told`` are each rollout's reasons, the oldest first."""

    def __init__(self, broken: list[str]) -> None:
        self._laws = broken
        self._transitions: defaultdict[str, dict[int, str]] = defaultdict(dict)
        self._handled: dict[str, list[str]] = {}
        self._actions: dict[str, Body] = {}
        self._events: dict[str, str] = {}

    def _broken(self, change: Change, law: str) -> None:
        self._laws.append(f"{law} [{change.kind} {change.name} at {change.version}]")

    @property
    def told(self) -> dict[str, list[str]]:
        return {
            label: [json.loads(text)["reason"] for _, text in sorted(transitions.items())]
            for label, transitions in self._transitions.items()
        }

    def see_policyrollout(self, change: Change) -> None:
        if change.gone:
            return
        label, status = f"{change.kind} {change.name}", change.body.get("status") or {}
        self._handled[label] = status.get("handled") or []
        known, listed = self._transitions[label], status.get("transitions") or []
        numbers = [t["number"] for t in listed]
        if any(a - b != 1 for a, b in itertools.pairwise(numbers)):
            self._broken(change, f"transitions are numbered without gaps, newest first; they are {numbers}")
        top = max(known, default=0)
        if numbers and (max(numbers) < top or min(numbers) > top + 1):
            self._broken(change, f"transitions go on from {top}; they are {numbers}")
        for transition in listed:
            text = json.dumps({k: v for k, v in transition.items() if k != "number"}, sort_keys=True)
            if known.setdefault(transition["number"], text) != text:
                self._broken(change, f"transition {transition['number']} stays what it was")

    see_configtemplate = see_policyrollout

    def see_event(self, change: Change) -> None:
        body = change.body
        if change.gone or not body.get("reportingComponent", "").startswith("trimtab.dev"):
            return
        if change.name in self._events:
            self._broken(change, "an Event is written once")
        about = body["involvedObject"]
        self._events[change.name] = f"{about['kind']} {about['name']} {body['reason']}"

    def see_rolloutaction(self, change: Change) -> None:
        before = self._actions.get(change.name)
        self._actions[change.name] = change.body
        if before is not None and _answer(before) and before.get("status") != change.body.get("status"):
            self._broken(
                change, f"an action is answered once; {_answer(before)} became {_answer(change.body)}"
            )

    def end(self) -> None:
        """All has been seen."""
        told = Counter(f"{label} {reason}" for label, reasons in self.told.items() for reason in reasons)
        events = Counter(self._events.values())
        if told != events:
            lost, new = dict(told - events), dict(events - told)
            self._laws.append(f"each transition is one Event: missing {lost}, too many {new}")
        for name, action in self._actions.items():
            uid = action["metadata"]["uid"]
            times = sum(line.startswith(uid) for lines in self._handled.values() for line in lines)
            if not _answer(action) or times != 1:
                self._laws.append(
                    f"action {name} is answered ({_answer(action)}) and handled once, not {times} times"
                )


def _answer(action: Body) -> str:
    conditions = (action.get("status") or {}).get("conditions") or ()
    return next((f"{c['status']}: {c['message']}" for c in conditions if c["type"] == "Ready"), "")
