"""Work is proportional to what changed, also of a template with hundreds of groups: counted in passes, never timed."""

from __future__ import annotations

from collections import Counter
from unittest import mock

from support.in_memory import HOME, Cluster, Operator, spec
from support.wave_rollouts import progress, until
from trimtab.api.strategy import GateSpec
from trimtab.core import times
from trimtab.core.refs import GroupKey
from trimtab.core.rollout.strategy import Gate
from trimtab.engine.groups.assignments import Assignments
from trimtab.engine.scheduling.queue import Work
from trimtab.engine.term import Term
from trimtab.gates import Measurement, Subject
from trimtab.kube.resources import POLICY_ROLLOUTS

GROUPS = 200
FEW = 20
"""Passes over the template, or all of its rollouts, each of which looks at all of its groups."""


class Passes:
    """Counts an engine's passes, by what they are over, and its writes of RenderedGroups."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._reconcile = Term.reconcile

    def __enter__(self) -> Passes:
        async def counted(term: Term, work: Work) -> None:
            self.counts[work.what] += 1
            await self._reconcile(term, work)

        self._patch = mock.patch.object(Term, "reconcile", counted)
        self._patch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._patch.stop()

    def taken(self) -> Counter[str]:
        """Those since the last time that it was asked."""
        found, self.counts = self.counts, Counter()
        return found


def template(cluster: Cluster) -> None:
    made = [{"name": f"g{number}", "values": {"session.minutes": 20}} for number in range(GROUPS)]
    cluster.template(spec(groups=made))


async def test_groups_that_roll_out_and_back_take_few_passes_of_their_template() -> None:
    cluster = Cluster()
    template(cluster)
    with Passes() as passes:
        async with Operator(cluster) as operator:
            await operator.quiet()
            first = passes.taken()
            cluster.policy("lock", {"values": {"session.minutes": 5}}, strategy={"waves": [{"name": "all"}]})
            await until(cluster, "Succeeded")
            await operator.quiet()
            forth = passes.taken()
            cluster.act("Undo", "lock")
            await until(cluster, "RolledBack")
            await operator.quiet()
            back = passes.taken()

    for found in (first, forth, back):
        assert found["template"] <= FEW, found
        assert found["rollout"] <= FEW, found
        assert GROUPS <= found["group"] <= 6 * GROUPS, found


async def test_one_preference_costs_one_group() -> None:
    cluster = Cluster()
    template(cluster)
    cluster.preference("ann", {"agent.voice": "loud"}, group="g7")
    with Passes() as passes:
        async with Operator(cluster) as operator:
            await operator.quiet()
            passes.taken()
            cluster.preference("ann", {"agent.voice": "calm"}, group="g7")
            await operator.quiet()

    assert passes.taken()["group"] <= 4


async def test_a_gate_that_succeeds_again_and_again_costs_nothing() -> None:
    cluster = Cluster()
    template(cluster)
    gates = [{"name": "alive", "http": {"url": "http://nobody.test"}, "interval": "1h"}]
    strategy = {"waves": [{"name": "all", "soak": "1h"}], "gates": gates}
    cluster.policy("lock", {"values": {"session.minutes": 5}}, strategy=strategy)
    async with Operator(cluster) as operator:
        memories = operator.term.memories
        await until(cluster, "Progressing")
        await operator.engine.idle()
        status, source = progress(cluster), cluster.find(POLICY_ROLLOUTS, "lock")
        assert source is not None

        def measured(result: str) -> None:
            begun = operator.term.rollouts.clock()
            subject = Subject(
                "PolicyRollout",
                HOME,
                "lock",
                source["metadata"]["uid"],
                status["epoch"],
                1,
                times.read(status["waveStartedAt"]) or 0.0,
                status["settledAt"],
            )
            gate = Gate("alive", GateSpec.model_validate(gates[0]), rule=status["gates"][0]["rule"])
            memories.measured(subject, gate, Measurement(result), begun)  # type: ignore[arg-type]

        measured("Successful")
        await until(cluster, "Soaking")
        await operator.engine.idle()
        queue = operator.engine.cluster.queue
        measured("Successful")
        assert not queue.busy
        measured("Failed")
        measured("Successful")  # it ends a row of failures: that is news
        assert queue.busy
        assert len(memories.of(source["metadata"]["uid"]).evidence) == 2
    assert GroupKey(HOME, "app", "g0") in operator.term.groups.states


async def test_an_edit_evaluates_its_user_and_not_the_content_of_its_group() -> None:
    cluster = Cluster()
    cluster.template()
    cluster.preference("ann", {"session.minutes": 5})
    evaluate = Assignments.of
    evaluated: list[GroupKey] = []

    async def counted(assignments: Assignments, key: GroupKey) -> object:
        evaluated.append(key)
        return await evaluate(assignments, key)

    async with Operator(cluster) as operator:
        await operator.quiet()
        with mock.patch.object(Assignments, "of", counted):
            cluster.preference("ann", {"session.minutes": 6})
            await operator.quiet()
            after_edit = list(evaluated)
            cluster.template(spec(groups=[{"name": "free"}]))
            await operator.quiet()

    assert '"minutes":6' in (cluster.file("ann") or "")
    assert after_edit == []
    assert GroupKey(HOME, "app", "free") in evaluated
