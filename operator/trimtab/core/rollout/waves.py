"""Planned waves: which groups move in each one, and which percentage of their users."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from trimtab.api.rollout_status import PLANNED_GROUPS, PlannedWave
from trimtab.api.strategy import WaveSpec
from trimtab.core import durations
from trimtab.core.selector import chooser
from trimtab.core.steps import Steps
from trimtab.core.suggestion import Guess
from trimtab.core.text import listed
from trimtab.core.violations import Violation

WHOLE, REST = "all", "rest"
ALL = 100
LARGEST_PLAN = 256 * 1024
"""The bytes of all waves' group names: status holds the plan, and an object has at most 1.5 MiB."""


def planning(
    waves: Sequence[WaveSpec],
    groups: Mapping[str, Mapping[str, str]],
    template_groups: Collection[str],
    wrong: list[Violation],
) -> Steps[tuple[PlannedWave, ...]]:
    """The waves, and a last one for the groups that none of them moves to 100%. Adds violations to ``wrong``."""
    problem = _scope_problem(groups)
    if problem is not None:
        wrong.append(problem)
        return ()
    moved = dict.fromkeys(groups, 0)
    planned: list[PlannedWave] = []
    for wave in waves:
        yield
        path = f"spec.strategy.waves[{wave.name}]"
        if any(other.name == wave.name for other in planned):
            wrong.append(_bad(f"{path}.name", "unique", f"two waves have the name {wave.name}", "rename one"))
        percent = ALL if wave.percent is None else wave.percent
        names = _groups(wave, path, groups, template_groups, moved, wrong)
        _grow(names, percent, path, moved, wrong)
        planned.append(
            PlannedWave(
                name=wave.name,
                groups=names,
                percent=percent,
                soak=_soak(wave, path, wrong),
                approval=bool(wave.approval),
            )
        )
    rest = _rest(moved)
    if rest:
        planned.append(PlannedWave(name=_last(planned), groups=rest))
    too_large = _size_problem([name for wave in planned for name in wave.groups])
    if too_large is not None:
        wrong.append(too_large)
    return tuple(planned)


def _rest(moved: Mapping[str, int]) -> list[str]:
    """The groups that are not moved to 100%."""
    return [name for name, percent in moved.items() if percent < ALL]


def _size_problem(names: Sequence[str]) -> Violation | None:
    if sum(len(name) + 3 for name in names) <= LARGEST_PLAN:
        return None
    problem = f"the plan lists {len(names)} group names, more than status holds"
    return _bad("spec.strategy.waves", "size", problem, "use fewer waves, or waves of fewer groups")


def _scope_problem(groups: Collection[str]) -> Violation | None:
    if not groups:
        return _bad("spec", "scope", "no group is in the scope", "name groups of the template")
    if len(groups) <= PLANNED_GROUPS:
        return None
    problem = (
        f"{len(groups)} groups are in the scope, with those that it would remove, and status holds at most "
        f"{PLANNED_GROUPS}"
    )
    return _bad("spec", "scope", problem, "change fewer groups at a time")


def _groups(
    wave: WaveSpec,
    path: str,
    groups: Mapping[str, Mapping[str, str]],
    template_groups: Collection[str],
    moved: Mapping[str, int],
    wrong: list[Violation],
) -> list[str]:
    """The wave's groups in the template's order."""
    if wave.groups is not None and wave.group_selector is not None:
        wrong.append(_bad(path, "exactlyOne", "sets groups and groupSelector", "remove one of the two"))
    if wave.groups is not None:
        return _named(wave.groups, f"{path}.groups", groups, template_groups, wrong)
    if wave.group_selector is not None:
        chooses = chooser(wave.group_selector)
        chosen = [name for name, labels in groups.items() if chooses(labels)]
        if not chosen:
            problem = "selects none of the groups in scope"
            remedy = "correct its labels, or those of the template's groups"
            wrong.append(_bad(f"{path}.groupSelector", "empty", problem, remedy))
        return chosen
    rest = _rest(moved)
    if not rest:
        problem = "no group is left: earlier waves move every group to 100%"
        wrong.append(_bad(path, "nothingLeft", problem, "remove it"))
    return rest


def _named(
    names: Sequence[str],
    path: str,
    groups: Collection[str],
    template_groups: Collection[str],
    wrong: list[Violation],
) -> list[str]:
    unknown = [name for name in dict.fromkeys(names) if name not in groups]
    wrong += [_missing(name, path, groups, template_groups) for name in unknown]
    if not names:
        wrong.append(_bad(path, "empty", "names no group", "name groups, or remove the field for the rest"))
    named = set(names)
    return [name for name in groups if name in named]


def _grow(names: list[str], percent: int, path: str, moved: dict[str, int], wrong: list[Violation]) -> None:
    stuck = [name for name in names if moved[name] >= percent]
    if stuck:
        shown = listed([f"{name} ({moved[name]}%)" for name in stuck])
        wrong.append(
            _bad(
                f"{path}.percent",
                "grows",
                f"an earlier wave moves {shown} to {percent}% or more",
                "raise percent, or remove these groups",
            )
        )
    for name in names:
        moved[name] = max(moved[name], percent)


def _missing(name: str, path: str, groups: Collection[str], template_groups: Collection[str]) -> Violation:
    if name in template_groups:
        problem, remedy = (
            f"the group {name} is not in the rollout's scope",
            "remove it here, or extend the scope",
        )
        return Violation(path, "", "scope", problem, remedy=remedy)
    problem, remedy = f"the rollout's scope has no group {name}", "remove it or correct its name"
    return Violation(path, "", "unknown", problem, remedy=remedy, suggestion=Guess(name, groups))


def _soak(wave: WaveSpec, path: str, wrong: list[Violation]) -> str:
    try:
        durations.nanoseconds(wave.soak or "0")
    except ValueError as error:
        wrong.append(_bad(f"{path}.soak", "duration", f"{error}", "for example 10m"))
        return "0"
    return wave.soak or "0"


def _last(planned: Sequence[PlannedWave]) -> str:
    if not planned:
        return WHOLE
    taken = {wave.name for wave in planned}
    names = (REST, *(f"{REST}-{number}" for number in range(2, len(taken) + 3)))
    return next(name for name in names if name not in taken)


def _bad(path: str, rule: str, problem: str, remedy: str) -> Violation:
    return Violation(path, "", rule, problem, remedy=remedy)
