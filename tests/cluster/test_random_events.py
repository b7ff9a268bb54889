"""The law: whatever happens, in whatever order, the cluster ends as a fresh render of its live objects.

Templates, groups, users and policies come, change, break, mend, move and go; outputs are edited and deleted by hand;
the operator is killed and restarted; its watches are cut. Then it gets quiet, and everything is compared (see
expected).
A failing example prints its events; ``TRIMTAB_RANDOM_EVENTS=200`` runs that many examples with new randomness.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from support.expected_outputs import Expected, differences, expected
from support.fault_proxy import FaultProxy
from support.live_objects import Api, Body, RefusedError, wait_for
from support.manifests import (
    APP,
    KEYS,
    PREFS,
    config_map,
    namespace,
    policy,
    preference,
    template,
    wave,
    waves,
)
from support.operator_cluster import OperatorCluster
from support.operator_process import Operator

LONG = int(os.environ.get("TRIMTAB_RANDOM_EVENTS", "0"))
TEMPLATES = ("app", "web")
POLICIES = ("calmer", "safer")
GROUPS = ("free", "pro", "away")
TENANT = {"matchLabels": {"trimtab.dev/tenant": "true"}}
# Preference to the user that it claims, and whether it lives in the tenant's namespace.
CLAIMS = {
    "alice": ("alice", False),
    "bob": ("bob", False),
    "rival": ("alice", False),
    "tina": ("tina", True),
    "thief": ("bob", True),
    "carl": ("carl", False),
}
OWNED = "app.kubernetes.io/managed-by=trimtab"


def spec(groups: int, minutes: int, shrunk: bool, delivery: str, limit: int | None, file: str) -> Body:
    """A valid spec with so many of the groups; ``shrunk`` has lost a key that users may have set."""
    return {
        "keys": KEYS[:-1] if shrunk else KEYS,
        "groups": [
            {
                "name": "free",
                "values": {"session.minutes": minutes},
                **({"maxUsers": limit} if limit else {}),
            },
            {"name": "pro", "preferenceNamespaceSelector": TENANT},
            {"name": "away", "targetNamespace": "AWAY"},
        ][:groups],
        "outputs": [APP, {**PREFS, "fileName": file}, {**APP, "name": "secret", "kind": "Secret"}],
        "users": {"delivery": delivery},
    }


good_specs = st.builds(
    spec,
    st.integers(0, 3),
    st.integers(1, 5),
    st.booleans(),
    st.sampled_from(["Sharded", "Sharded", "PerUser", "None"]),
    st.sampled_from([None, None, 1, 2]),
    st.sampled_from(["prefs.json", "prefs.json", "own.json"]),
)
bad_specs = st.sampled_from(
    [
        {"groups": [{"name": "free", "values": {"session.minuts": 1}}]},
        {"keys": [{"name": "a", "type": "Integer", "default": "x"}]},
        {"rules": [{"name": "r", "expression": "true"}]},
    ]
)
values = st.one_of(
    st.fixed_dictionaries(
        {},
        optional={
            "session.minutes": st.integers(1, 9),
            "session.greeting": st.sampled_from(["", "hi", "x" * 900]),
        },
    ),
    st.sampled_from(
        [{"session.minutes": 0}, {"nonsense": 1}, {"session.minutes": "7"}, {"session.greeting": ["no"]}]
    ),
)
strategies = st.sampled_from(
    [None, None, waves(wave("first", "free", soak="1s")), waves(wave("nobody", "nobody", soak="1s"))]
)
scopes = st.sampled_from([{}, {}, {"groups": ["free"]}, {"groups": ["pro", "away"]}, {"groups": []}])
said = st.sampled_from(
    [
        {"values": {"session.minutes": 4}},
        {"values": {"session.greeting": "hi"}},
        {"enforced": [{"key": "session.minutes", "value": 3}]},
        {"enforced": [{"key": "session.minutes", "value": 5}]},
        {"constraints": [{"key": "session.minutes", "maximum": 4}]},
        {"constraints": [{"key": "session.greeting", "enum": ["hi", "ho"], "onViolation": "Drop"}]},
        {"values": {"session.minutes": 0}},
        {"enforced": [{"key": "session.minuts", "value": 3}]},
        {"enforced": [{"key": "session.minutes"}]},
    ]
)


class RandomEvents(RuleBasedStateMachine):
    """One example works in namespaces of its own; the operator lives on from one example to the next."""

    operator_cluster: OperatorCluster
    proxy: FaultProxy
    operator: Operator

    def __init__(self) -> None:
        super().__init__()
        self.api: Api = self.operator_cluster.api
        self.home, self.tenant, self.away = (
            f"{n}-{secrets.token_hex(4)}" for n in ("home", "tenant", "away")
        )
        self.specs: dict[str, list[Body]] = {name: [] for name in TEMPLATES}
        self.written: dict[tuple[str, str], list[Body]] = {}
        self.policies: list[Body] = []

    @initialize()
    def begin(self) -> None:
        tenant = {"labels": {"trimtab.dev/tenant": "true"}}
        allow = {"annotations": {"trimtab.dev/allow-from": self.home}}
        for name, meta in ((self.home, tenant), (self.tenant, tenant), (self.away, allow)):
            self.api.create(namespace(name, **meta))
        labels = {
            "trimtab.dev/template": "app",
            "trimtab.dev/group": "free",
            "app.kubernetes.io/part-of": "app",
        }
        self.bystanders = [
            self.api.create(config_map(where, name, {"mine": "yes"}, labels=labels))
            for where in (self.home, self.away, self.tenant)
            for name in ("app-free-users-77", "app-u-zoe", "web-other")
        ]
        self.put_good(name="app", spec={"groups": [{"name": "free"}, {"name": "pro"}]})

    # Events.

    @rule(name=st.sampled_from(TEMPLATES), spec=good_specs)
    def put_good(self, name: str, spec: Body) -> None:
        self._put_template(name, spec)

    @rule(name=st.sampled_from(TEMPLATES), spec=bad_specs)
    def put_bad(self, name: str, spec: Body) -> None:
        self._put_template(name, spec)

    @rule(name=st.sampled_from(TEMPLATES))
    def delete_template(self, name: str) -> None:
        self.api.delete("ConfigTemplate", self.home, name)

    @rule(
        name=st.sampled_from(list(CLAIMS)),
        of=st.sampled_from(("app", "app", "web")),
        group=st.sampled_from(("free", "free", "pro", "away", "nowhere")),
        given=values,
    )
    def put_preference(self, name: str, of: str, group: str, given: Body) -> None:
        user, tenant = CLAIMS[name]
        where = self.tenant if tenant else self.home
        body = preference(where, name, given, group=group, of=of, home=self.home, user=user)
        self.api.apply(body)
        self.written.setdefault((where, name), []).append(given)

    @rule(name=st.sampled_from(list(CLAIMS)))
    def delete_preference(self, name: str) -> None:
        self.api.delete("UserPreference", self.tenant if CLAIMS[name][1] else self.home, name)

    @rule(
        name=st.sampled_from(POLICIES),
        of=st.sampled_from(("app", "app", "web")),
        says=said,
        scope=scopes,
        strategy=strategies,
        priority=st.sampled_from([0, 0, 5]),
    )
    def put_policy(
        self, name: str, of: str, says: Body, scope: Body, strategy: Body | None, priority: int
    ) -> None:
        found = self.api.get("PolicyRollout", self.home, name)
        if found is not None and found["spec"]["templateRef"]["name"] != of:
            self.delete_policy(name)
        body = policy(self.home, name, says, strategy, of=of, priority=priority, **scope)
        body["spec"]["policy"] = says
        made = self.api.apply(body)["spec"]
        self.policies.append({field: value for field, value in made.items() if field != "strategy"})

    @rule(name=st.sampled_from(POLICIES))
    def delete_policy(self, name: str) -> None:
        self.api.delete("PolicyRollout", self.home, name)

    @rule(which=st.integers(0, 50), how=st.sampled_from(["edit", "add", "delete", "empty"]))
    def drift(self, which: int, how: str) -> None:
        """Somebody's hands in an output."""
        found = self._outputs()
        if not found:
            return
        (kind, where, name), item = sorted(found.items())[which % len(found)]
        if how == "delete":
            self.api.delete(kind, where, name)
            return
        entries = {
            "edit": dict.fromkeys(item.get("data") or {}, "Zm9yZ2Vk"),
            "add": {"mallory.prefs.json": "Zm9yZ2Vk"},
            "empty": dict.fromkeys(item.get("data") or {}),
        }[how]
        with contextlib.suppress(RefusedError):  # the operator has just removed it
            self.api.patch(kind, where, name, {"data": entries})

    @rule(which=st.integers(0, 9))
    def delete_rendered_group(self, which: int) -> None:
        found = sorted(item["metadata"]["name"] for item in self.api.list("RenderedGroup", self.home))
        live = {name for (_, name), valid in expected(self._objects).templates.items() if valid}
        found = [name for name in found if name.split("-")[0] in live]  # else it is the only memory
        if found:
            self.api.delete("RenderedGroup", self.home, found[which % len(found)])

    @precondition(lambda self: self.operator.running)
    @rule()
    def kill(self) -> None:
        self.operator.kill()

    @precondition(lambda self: self.operator.running)
    @rule()
    def stop(self) -> None:
        assert self.operator.stop() == 0

    @precondition(lambda self: not self.operator.running)
    @rule()
    def start(self) -> None:
        self._up()

    @precondition(lambda self: self.operator.running)
    @rule()
    def cut_watches(self) -> None:
        self.proxy.cut_watches()

    @rule()
    def get_quiet(self) -> None:
        self._check()

    def teardown(self) -> None:
        try:
            self._check()
        finally:
            for where in (self.home, self.tenant):
                for kind in ("UserPreference", "PolicyRollout", "ConfigTemplate"):
                    for item in self.api.list(kind, where):
                        self.api.delete(kind, where, item["metadata"]["name"])

    @invariant()
    def bystanders_are_untouched(self) -> None:
        for before in getattr(self, "bystanders", ()):
            meta = before["metadata"]
            assert self.api.one("ConfigMap", meta["namespace"], meta["name"]) == before

    # The law.

    def _check(self) -> None:
        self._up()
        wait_for(
            lambda: not self._wrong(),
            lambda: (
                "differs from a fresh render:\n  "
                + "\n  ".join(self._wrong())
                + f"\nthe operator says {self.operator.text()[-2500:]}"
            ),
            patience=60,
        )

    def _wrong(self) -> list[str]:
        """What is not as it should be; empty when all is."""
        wanted = expected(self._objects)
        return differences(wanted, self._objects) + self._history(wanted)

    def _objects(self, kind: str) -> list[Body]:
        places = (self.home, self.tenant, self.away)
        if kind == "Namespace":
            return [self.api.one(kind, "", name) for name in places]
        return [item for name in places for item in self.api.list(kind, name)]

    def _history(self, wanted: Expected) -> list[str]:
        """What is said to have been accepted, or is served of a broken template, was once written so."""
        found = []
        for where in (self.home, self.tenant):
            for item in self.api.list("UserPreference", where):
                name, status = item["metadata"]["name"], item.get("status") or {}
                accepted = (status.get("accepted") or {}).get("values") or {}
                known = self.written.get((where, name), [])
                if status.get("accepted") and accepted not in known:
                    found.append(f"preference {name} never said {accepted}")
                if wanted.verdicts[where, name] == "Accepted" and accepted != (
                    item["spec"].get("values") or {}
                ):
                    found.append(f"preference {name} is accepted, but status.accepted says {accepted}")
        for item in self.api.list("ControllerRevision", self.home):
            name = item["metadata"]["labels"]["trimtab.dev/template"]
            data = item["data"]
            if (
                (data["spec"] not in self.specs[name])
                if "spec" in data
                else (data["policy"] not in self.policies)
            ):
                found.append(f"snapshot {item['metadata']['name']} is nothing that anybody ever wrote")
        return found

    def _put_template(self, name: str, spec: Body) -> None:
        spec = json.loads(json.dumps(spec).replace("AWAY", self.away))
        made = self.api.apply(template(self.home, name, **spec))
        self.specs[name].append(made["spec"])

    def _outputs(self) -> dict[tuple[str, str, str], Body]:
        return {
            (kind, where, item["metadata"]["name"]): item
            for kind in ("ConfigMap", "Secret")
            for where in (self.home, self.tenant, self.away)
            for item in self.api.list(kind, where, OWNED)
        }

    def _up(self) -> None:
        if not self.operator.running:
            self.operator_cluster.release_lease()
            self.operator.start()
        self.operator.acting()


@pytest.mark.timeout(3600 if LONG else 300)
def test_the_cluster_ends_as_a_fresh_render_of_its_live_objects(
    operators: OperatorCluster, proxy: FaultProxy
) -> None:
    RandomEvents.operator_cluster, RandomEvents.proxy = operators, proxy
    RandomEvents.operator = operators.operator("random", kubeconfig=proxy.kubeconfig).start().acting()
    run_state_machine_as_test(
        RandomEvents,
        settings=settings(
            max_examples=LONG or 12,
            stateful_step_count=18,
            deadline=None,
            derandomize=not LONG,
            database=None,
            print_blob=False,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
