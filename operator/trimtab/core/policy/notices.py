"""What policies do to values: the notices of users, and the violations of policies' authors.

==============  ===================================================================================
reason          a user set a key
==============  ===================================================================================
Locked          that a policy enforces: the policy's value is in effect, and is another one
Clamped         to a value that a constraint forbids: the nearest one that it allows is in effect
Dropped         to a value that a constraint forbids: the layer below is in effect, or no value
PolicyConflict  (or none), and their document fails because of policies: the group's is in effect
==============  ===================================================================================

Values of sensitive keys are never shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from trimtab.core.policy.clamping import CLAMPED, DROPPED, Settled
from trimtab.core.policy.constraint import Constraint
from trimtab.core.schema.key import Key, Value
from trimtab.core.schema.layer import USER
from trimtab.core.text import cut, listed, short
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
    """For a user who set an enforced key to another value than the one in effect."""
    if given == held:
        return []
    values = "" if key.sensitive else f": {_shown(held)} is in force, not {short(given)}"
    return [Notice(key.name, LOCKED, f"is locked by PolicyRollout {lock.policy}{values}{_why(lock.reason)}")]


def limited(key: Key, settled: Settled) -> list[Notice]:
    """For a user whose value a constraint has changed."""
    if settled.by is None:
        return []
    who, why = f"PolicyRollout {settled.by.policy}", _why(settled.by.reason)
    if settled.effect == CLAMPED:
        values = "" if key.sensitive else f" from {short(settled.before)} to {_shown(settled.value)}"
        return [Notice(key.name, CLAMPED, f"was clamped{values} by {who}{why}")]
    lost = dict(settled.dropped)
    if USER not in lost and settled.value == settled.before:
        return []  # only other layers' values were dropped
    given = lost.get(USER, settled.dropped[0][1])
    values = "" if key.sensitive else f": {_shown(settled.value)} is in force, not {short(given)}"
    return [Notice(key.name, DROPPED, f"was dropped by {who}{values}{why}")]


def exceeded(violation: Violation, authors: Sequence[str]) -> Notice:
    """For a user whose value breaks a limit of the key together with what policies set."""
    return _conflict(violation.key, f"together with what {_policies(authors)} sets, it {violation.problem}")


def left_unset(key: str, by: Constraint | None) -> Notice:
    """For a user who has no value for a required key, as a constraint dropped it."""
    who = f"PolicyRollout {by.policy}" if by is not None else "the policies"
    why = _why(by.reason) if by is not None else ""
    return _conflict(key, f"is required, and {who} leaves no value for it{why}")


def of_group(violation: Violation, group: str, authors: Sequence[str]) -> Violation:
    """For the author of a policy under which a group's own document has this fault."""
    under = f" under {_policies(authors)}" if authors else ""
    if violation.rule == "required":
        problem = f"is required, and group {group} has no value for it{under}"
        return replace(violation, problem=problem, remedy="allow one or enforce one")
    return replace(violation, problem=f"in the document of group {group}{under}, it {violation.problem}")


def _conflict(key: str, message: str) -> Notice:
    return Notice(
        key, CONFLICT, f"{message}; the group's values are in force until the policy or yours change"
    )


def _policies(names: Sequence[str]) -> str:
    return f"PolicyRollout{'s' if len(names) > 1 else ''} {listed(names, 5)}"


def _why(reason: str) -> str:
    return f" ({cut(reason, _REASON_LENGTH)})" if reason else ""


def _shown(value: Value | None) -> str:
    return "no value" if value is None else short(value)
