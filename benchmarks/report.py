"""Results as text: tables with the aims beside them, and the README that keeps them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.api_server import REFUSED
from benchmarks.bulk import Bulk
from benchmarks.cold import ColdStart
from benchmarks.core import Speed
from benchmarks.hostile import Hostile
from benchmarks.process import MIB
from benchmarks.propagation import Propagation
from benchmarks.rollback import Attempt, Rollbacks
from benchmarks.soak import SECONDS, Soak
from benchmarks.stats import count, median, ms, percentile, times

README = Path(__file__).with_name("README.md")
BEGIN = "<!-- results: everything below is written by `make bench` -->"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def aim(text: str, measured: str, reached: bool) -> str:
    """One line that says plainly whether an aim was reached."""
    return f"- {'Reached' if reached else '**Not reached**'}: {text}; measured {measured}."


def core(speeds: Sequence[Speed], users: int) -> str:
    ours, others = speeds[0], speeds[1:]
    rows = [
        [s.name, count(s.median), f"{count(s.least)} to {count(s.most)}", times(ours.median / s.median)]
        for s in speeds
    ]
    against = next(s for s in others if s.name == "OmegaConf")
    return "\n\n".join(
        [
            "### Core: resolve, validate and render",
            f"{users:,} users, 20 keys, three of them set by the user, one core, median of the repetitions.",
            table(["", "users/s", "range", "Trimtab is faster by"], rows),
            "\n".join(
                [
                    aim("20,000 users a second", count(ours.median), ours.median >= 20_000),
                    aim(
                        "at least 10x OmegaConf",
                        times(ours.median / against.median),
                        ours.median >= 10 * against.median,
                    ),
                ]
            ),
        ]
    )


def propagation(found: Sequence[Propagation]) -> str:
    rows = []
    aims = []
    for one in found:
        low = [percentile(one.floor, share) for share in (0.5, 0.99)]
        for name, seconds in (("floor", one.floor), ("Trimtab", one.trimtab), ("plain kopf", one.plain)):
            if seconds:
                half, most = (percentile(seconds, share) for share in (0.5, 0.99))
                rows.append(
                    [f"{one.users:,}", name, str(len(seconds)), ms(half), times(half / low[0]), ms(most),
                     times(most / low[1])]
                )  # fmt: skip
        half, most = (percentile(one.trimtab, share) for share in (0.5, 0.99))
        of = f"among {one.users:,}"
        aims += [
            aim(f"p50 at most 2x the floor, {of}", times(half / low[0]), half <= 2 * low[0]),
            aim(f"p99 at most 5x the floor, {of}", times(most / low[1]), most <= 5 * low[1]),
        ]
        if one.plain_problem:
            aims.append(f"- Not measured, {of}: {one.plain_problem}")
        elif one.plain:
            aims.append(
                f"- The plain operator took {one.plain_first:.0f} s to render everybody at first, {of}."
            )
    if len(found) > 1:
        small, large = (
            percentile(one.trimtab, 0.5) / percentile(one.floor, 0.5) for one in (found[0], found[-1])
        )
        text = (
            f"flat from {found[0].users:,} to {found[-1].users:,} (p50 over the floor's, at most 1.25x more)"
        )
        aims.append(aim(text, f"{times(small)} and {times(large)} the floor", large <= 1.25 * small))
    return "\n\n".join(
        [
            "### Propagation: an edit to its sight in the ConfigMap",
            f"Shards of {count(found[0].shard_bytes)} bytes; one edit at a time.",
            table(["preferences", "", "edits", "p50", "of the floor", "p99", "of the floor"], rows),
            "\n".join(aims),
        ]
    )


def bulk(found: Bulk) -> str:
    outputs = sum(n for what, n in found.writes.items() if not what.endswith("status"))
    statuses = sum(n for what, n in found.writes.items() if what.endswith("status"))
    rows = [
        ["preferences written in", f"{found.loading:.1f} s ({count(found.users / found.loading)}/s)"],
        ["all rendered, beyond the last write", f"{found.beyond:.2f} s"],
        ["all statuses written, beyond the last write", f"{found.settled:.1f} s"],
        ["output writes", f"{count(outputs)} ({found.shards} shards)"],
        ["status writes", count(statuses)],
        ["the operator's CPU", f"{found.cpu:.1f} s"],
    ]
    return "\n\n".join(
        [
            f"### Bulk: {found.users:,} preferences as fast as the API server takes them",
            table(["", ""], rows),
            "\n".join(
                [
                    aim("rendered within 1 s of the last write", f"{found.beyond:.2f} s", found.beyond < 1),
                    f"- The writes, by kind: {_writes(found.writes)}.",
                ]
            ),
        ]
    )


def _writes(writes: dict[str, int]) -> str:
    return ", ".join(f"{what} {number:,}" for what, number in sorted(writes.items())) or "none"


def cold(found: Sequence[Sequence[ColdStart]]) -> str:
    """Each size's repetitions."""
    rows, aims = [], []
    for runs in found:
        cpu, peak = median([r.usage.cpu for r in runs]), max(r.usage.peak for r in runs)
        rows.append(
            [f"{runs[0].users:,}", str(len(runs)), *(f"{median([getattr(r, at) for r in runs]):.1f} s" for at in
             ("ready", "acting", "idle")), f"{cpu:.1f} s", f"{median([r.waited for r in runs]):.1f} s",
             f"{peak / MIB:.0f} MiB", f"{median([r.usage.rss for r in runs]) / MIB:.0f} MiB",
             _writes(runs[0].writes)]
        )  # fmt: skip
        of = f"{runs[0].users:,} preferences"
        made = max(sum(r.writes.values()) for r in runs)
        aims.append(aim(f"no writes, {of}", f"{made}", made == 0))
        if runs[0].users >= 100_000:
            aims.append(aim(f"under 15 CPU-seconds, {of}", f"{cpu:.1f}", cpu < 15))
            aims.append(aim(f"under 400 MB, {of}", f"{peak / 1e6:.0f} MB at most", peak < 400e6))
    head = [
        "preferences",
        "runs",
        "ready",
        "acting",
        "idle",
        "CPU",
        "waited for a core",
        "peak RSS",
        "RSS after",
    ]
    return "\n\n".join(
        [
            "### Cold start: nothing has changed",
            table([*head, "writes"], rows),
            "\n".join(aims),
        ]
    )


STATUSES, OBJECTS = "RenderedGroup status", "ConfigMap apply"


def rollback(found: Sequence[Rollbacks]) -> str:
    """Each number of groups' repetitions."""
    times_, costs, aims = [], [], []
    for one in found:
        runs, of = one.attempts, f"{one.groups:,} groups"

        def half(what: Callable[[Attempt], float], runs: Sequence[Attempt] = runs) -> float:
            return median([what(run) for run in runs])

        back, over, ground = half(lambda r: r.back), half(lambda r: r.over), median(one.floor)
        times_.append(
            [f"{one.groups:,}", str(len(runs)), ms(half(lambda r: r.decided)),
             f"{half(lambda r: percentile(r.pointers, 0.5)):.2f} s", f"{half(lambda r: r.pointers[-1]):.2f} s",
             f"{half(lambda r: r.content):.2f} s", f"{back:.2f} s", f"{over:.2f} s", f"{ground:.2f} s",
             times(over / ground)]
        )  # fmt: skip
        cpu, made = half(lambda r: r.cpu), half(lambda r: _made(r.writes))
        statuses = max(r.writes.get(STATUSES, 0) for r in runs) / one.groups
        spared = one.objects - runs[0].differing
        costs.append(
            [f"{one.groups:,}", f"{one.objects:,}", f"{runs[0].differing:,}",
             count(half(lambda r: r.writes.get(OBJECTS, 0))), f"{statuses:.2f}", count(made), ms(back / one.groups),
             f"{cpu:.2f} s", ms(cpu / one.groups), ms(cpu / made)]
        )  # fmt: skip
        slowest = max(r.decided for r in runs)
        wrong = [r.writes.get(OBJECTS, 0) - r.differing for r in runs]
        aims += [
            aim(f"decided in under 1 s of the evidence, {of}", f"{ms(slowest)} at most", slowest < 1),
            aim(f"two writes a RenderedGroup, {of}", f"{statuses:.2f} at most", statuses <= 2),
            aim(
                f"one write for each object whose content differs, {of}",
                f"{max(wrong, key=abs):+d} ({spared:,} objects do not differ)",
                not any(wrong),
            ),
        ]
        aims.append(f"- The writes, by kind, {of}: {_writes(runs[-1].writes)}.")
    for few, many in itertools.pairwise(found):
        less, more = (median([r.cpu / _made(r.writes) for r in one.attempts]) for one in (few, many))
        text = f"linear: CPU a write, from {few.groups:,} to {many.groups:,} groups, at most 1.5x"
        aims.append(aim(text, times(more / less), more <= 1.5 * less))
    return "\n\n".join(
        [
            "### Rollback: from a gate's first failure to everything as before",
            f"{found[0].users:,} users spread over the groups, medians; seconds from the gate's first 500.",
            table(
                ["groups", "runs", "decided", "half of the pointers", "all pointers", "all content", "all back",
                 "and told", "floor", "of the floor"], times_
            ),
            table(
                ["groups", "objects", "of which differ", "written", "RenderedGroup writes a group", "all writes",
                 "time a group", "CPU", "a group", "a write"], costs
            ),
            "\n".join(aims),
        ]
    )  # fmt: skip


def _made(writes: dict[str, int]) -> int:
    """Those that succeeded."""
    return sum(number for what, number in writes.items() if REFUSED not in what)


def soak(found: Soak) -> str:
    rows = [
        [what, f"{minute.core:.2%}", str(minute.asked), count(_made(minute.writes))]
        for what, minute in (("no rollout", found.idle), (f"{found.rollouts:,} rollouts soak", found.soaking))
    ]
    more = found.soaking.core - found.idle.core
    return "\n\n".join(
        [
            f"### Soak: {found.rollouts:,} rollouts wait",
            f"The same process, {SECONDS:.0f} s each; every rollout has a workload and an HTTP gate of the default "
            "interval.",
            table(["while", "of a core", "gate measurements", "API writes"], rows),
            "\n".join(
                [
                    aim("idle: at most 2% of a core more than without rollouts", f"{more:.2%}", more <= 0.02),
                    f"- The writes, by kind: {_writes(found.soaking.writes)}.",
                ]
            ),
        ]
    )


def hostile(found: Hostile, late: float) -> str:
    delays = sorted(delay for delay, _ in found.delays)
    worst = sorted(found.delays, reverse=True)[:5]
    rows = [
        [
            "inputs (objects that the API server itself refused)",
            f"{count(found.inputs)} ({count(found.refused)})",
        ],
        ["the loop's longest block before, and with them", f"{ms(found.before)}, {ms(found.lag)}"],
        ["an idle process beside it was late by", ms(late)],
        ["the bystander's edits", count(len(delays))],
        [
            "their delay: p50, p99, worst",
            f"{ms(median(delays))}, {ms(percentile(delays, 0.99))}, {ms(delays[-1])}",
        ],
        ["the operator's CPU, peak RSS", f"{found.cpu:.1f} s, {found.peak / MIB:.0f} MiB"],
    ]
    return "\n\n".join(
        [
            "### Hostile input",
            "The cases of issue 9 and inputs generated from a seed, one after another, while a bystander in another "
            "namespace edits all the time.",
            table(["", ""], rows),
            "\n".join(
                [
                    aim("the loop's longest block is 50 ms", ms(found.lag), found.lag <= 0.05),
                    aim("a bystander's edit takes 1 s at most", ms(delays[-1]), delays[-1] <= 1),
                    "- The block grew under: "
                    + ("; ".join(f"{what} ({ms(lag)})" for what, lag in found.blocks) or "none of them")
                    + ".",
                    "- The slowest edits came after: "
                    + "; ".join(f"{what} ({ms(delay)})" for delay, what in worst)
                    + ".",
                ]
            ),
        ]
    )


def loop(rows: Sequence[tuple[str, float, float]]) -> str:
    """(what, the operator's longest loop iteration, the idle process's latest wake-up)."""
    return "\n\n".join(
        [
            "### The event loop's longest block",
            table(
                ["while", "operator, start included", "an idle process beside it was late by"],
                [[what, ms(lag), ms(late)] for what, lag, late in rows],
            ),
            "\n".join(aim(f"50 ms, {what}", ms(lag), lag <= 0.05) for what, lag, _ in rows),
        ]
    )


def write(sections: Sequence[str]) -> None:
    """Put them in the place of the README's last results; what was written by hand above stays."""
    text = README.read_text() if README.exists() else ""
    hand = text.split(BEGIN, 1)[0].rstrip()
    README.write_text("\n\n".join([hand, BEGIN, "## Results", *sections]) + "\n")
