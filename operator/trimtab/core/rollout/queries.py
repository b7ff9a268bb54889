"""What progress records; nothing is decided here."""

from __future__ import annotations

from collections.abc import Mapping

from trimtab.api.rollout_status import Content, PlannedWave, RolloutProgress
from trimtab.core import durations
from trimtab.core.rollout.types import Intent

NOTHING = Content(hash="")
"""A policy before its first content."""
HELD = ("Paused", "Rejected")


def intents(progress: RolloutProgress) -> Mapping[str, Intent]:
    """What the rollout requires of each group, by name; of none before its first wave."""
    return intents_with(progress, hold=progress.phase in HELD)


def intents_basis(progress: RolloutProgress) -> tuple[object, ...]:
    """What :func:`intents` depends on."""
    hold = progress.phase in HELD
    return progress.underway, progress.epoch, len(started(progress)), hold


def intents_with(progress: RolloutProgress, *, hold: bool) -> dict[str, Intent]:
    """As :func:`intents`, for progress whose phase is not recorded yet."""
    if progress.underway is None:
        return {}
    epoch = progress.epoch or 0
    if progress.underway == "Back":
        back = Intent("Stable", 0, epoch)
        return dict.fromkeys(planned(progress), back)
    moved = shares(progress)
    stay = Intent("Stable", 0, epoch, hold)
    go = {percent: Intent("Target", percent, epoch, hold) for percent in set(moved.values())}
    return {name: go[moved[name]] if name in moved else stay for name in planned(progress)}


def planned(progress: RolloutProgress) -> list[str]:
    """All groups of the plan, in its order."""
    return list(dict.fromkeys(name for wave in progress.waves for name in wave.groups))


def started(progress: RolloutProgress) -> list[PlannedWave]:
    """The waves that have started, completed ones too."""
    number = progress.current_wave or 0
    if progress.wave_state == "Held":
        number -= 1
    return progress.waves[: max(number, 0)]


def shares(progress: RolloutProgress) -> dict[str, int]:
    """The percentage of each group's users that moves, without groups of later waves."""
    found: dict[str, int] = {}
    for wave in started(progress):
        for name in wave.groups:
            found[name] = max(found.get(name, 0), wave.percent)
    return found


def present(progress: RolloutProgress) -> PlannedWave | None:
    """The current wave, or the first one; None without a plan."""
    number = min(
        max(progress.current_wave or 0, 1), len(progress.waves)
    )  # another client may have written more
    return progress.waves[number - 1] if number else None


def measuring(progress: RolloutProgress) -> bool:
    """Whether gates are measured: from a wave's start to the end of its soak, unless it rolls back."""
    return progress.underway == "Forward" and progress.wave_state in ("Moving", "Soaking")


def same(one: Content | None, other: Content | None) -> bool:
    return (one or NOTHING).hash == (other or NOTHING).hash


def short(content: Content | None) -> str:
    """The first digits of the content's hash."""
    return (content.hash[:12] if content else "") or "none"


def described(content: Content | None) -> str:
    """Content in a sentence; a policy's first content has no previous one."""
    return f"content {short(content)}" if content and content.hash else "the values without this policy"


def soak_of(wave: PlannedWave) -> float:
    """In seconds; 0 for an invalid soak that another client wrote into status."""
    try:
        return durations.seconds(wave.soak)
    except ValueError:
        return 0.0
