"""What policies do to values, in words: what a user is told, and whoever wrote the policy.

==============  ==================================================================================
reason          a user set a key
==============  ==================================================================================
Locked          that a policy enforces: its value is in force, and it is another one
Clamped         to a value that a constraint forbids: the nearest one that it allows is in force
Dropped         to a value that a constraint forbids: the layer below is in force, or no value
PolicyConflict  (or none), and their document fails because of policies: the group's is in force
==============  ==================================================================================

Values of sensitive keys are never shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from trimtab.core.policy.clamping import CLAMPED, DROPPED, Settled
from trimtab.core.policy.constraint import Constraint
from trimtab.core.schema.key import Key, Value
from trimtab.core.schema.template import USER
from trimtab.core.text import short
from trimtab.core.violations import Notice, Violation

LOCKED, CONFLICT = "Locked", "PolicyConflict"
_REASON_LENGTH = 400
"""Characters of a policy's reason in a message, so that a status has room for the rest of it."""


@dataclass(frozen=True, slots=True)
class Lock:
    """Who enforces a key's value, and why."""

    policy: str
    reason: str


def locked(key: Key, lock: Lock, given: Value, held: Value | None) -> list[Notice]:
    """To a user who set a key that is enforced, to anything but the value that is in force."""
    if given == held:
        return []
    values = "" if key.sensitive else f": {_shown(held)} is in force, not {short(given)}"
    return [Notice(key.name, LOCKED, f"is locked by PolicyRollout {lock.policy}{values}{_why(lock.reason)}")]


def limited(key: Key, settled: Settled) -> list[Notice]:
    """To a user whose value a constraint has changed."""
    if settled.by is None:
        return []
    who, why = f"PolicyRollout {settled.by.policy}", _why(settled.by.reason)
    if settled.effect == CLAMPED:
        values = "" if key.sensitive else f" from {short(settled.before)} to {_shown(settled.value)}"
        return [Notice(key.name, CLAMPED, f"was clamped{values} by {who}{why}")]
    lost = dict(settled.dropped)
    if USER not in lost and settled.value == settled.before:
        return []  # others' values were dropped, and the user's stands
    given = lost.get(USER, settled.dropped[0][1])
    values = "" if key.sensitive else f": {_shown(settled.value)} is in force, not {short(given)}"
    return [Notice(key.name, DROPPED, f"was dropped by {who}{values}{why}")]


def outgrown(violation: Violation, authors: Sequence[str]) -> Notice:
    """To a user whose value is too much together with what policies set."""
    return _conflict(violation.key, f"together with what {_policies(authors)} sets, it {violation.problem}")


def bereft(key: str, by: Constraint | None) -> Notice:
    """To a user for whom a required key has lost its value."""
    who = f"PolicyRollout {by.policy}" if by is not None else "the policies"
    why = _why(by.reason) if by is not None else ""
    return _conflict(key, f"is required, and {who} leaves no value for it{why}")


def of_group(violation: Violation, group: str, authors: Sequence[str]) -> Violation:
    """To whoever wrote a policy under which a group's own document has this fault."""
    who = _policies(authors) if authors else "no policy"
    if violation.rule == "required":
        problem = f"is required, and group {group} is left without a value by {who}"
        return replace(violation, problem=problem, remedy="allow one or enforce one")
    return replace(
        violation, problem=f"in the document of group {group}, with what {who} says, it {violation.problem}"
    )


def _conflict(key: str, message: str) -> Notice:
    return Notice(
        key, CONFLICT, f"{message}; the group's values are in force until the policy or yours change"
    )


def _policies(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"PolicyRollout{'s' if len(names) > 1 else ''} {', '.join(names[:5])}{more}"


def _why(reason: str) -> str:
    if not reason:
        return ""
    return f" ({reason if len(reason) <= _REASON_LENGTH else reason[: _REASON_LENGTH - 3] + '...'})"


def _shown(value: Value | None) -> str:
    return "no value" if value is None else short(value)
