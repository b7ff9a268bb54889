"""Act 4: a policy that crashes the canary. The operator rolls it back and quarantines it."""

from __future__ import annotations

import asyncio
import json

from act_policy import CALMER, MAIN
from mirror import Body, DemoError
from pod_crashes import PodCrashes
from scene import HERE, MUSIC, TEMPLATE, Scene, documents, rolled_out
from stage import SYSTEM

from trimtab.api.config_template import ConfigTemplateSpec
from trimtab.api.policy_rollout import PolicyRolloutSpec
from trimtab.core.policy.policy import compile_policy
from trimtab.core.resolve.resolve import group_view
from trimtab.core.schema.template import compile_template
from trimtab.crypto import Keys
from trimtab.engine.leadership.encryption_keys import KEYS_SECRET
from trimtab.engine.workloads.restarts import restart_digest
from trimtab.kube.resources import SECRETS

NEWER = "newer-model"


class Newer(Scene):
    """A bad rollout, which rolls back."""

    async def fails(self) -> None:
        self.tell.title("A faulty policy: its canary crashes, and the operator rolls it back")
        file = f"rollouts/{NEWER}.yaml"
        policy = documents(file)[0]
        await self._no_pod_lives_with(policy)
        self.tell.output((HERE / file).read_text().partition("\nspec:\n")[2])
        main, canary = await self.versions(*MAIN), self.output(f"{TEMPLATE}-free")
        revision, digests = self._revision(), self.digests()

        async with self.watching(NEWER) as until:
            await self.apply(file)
            phases = await until("RolledBack", "0/3")
        await self._told("RollbackCompleted")
        await self.show("events", "-n", MUSIC, "--for", f"prollout/{NEWER}", prose=True)
        await self.show("get", "prollout", "-n", MUSIC)

        status = self.rollout(NEWER)["status"]
        failure = status["failure"]
        self.check(
            "RollingBack" in phases
            and failure["reason"] == "WorkloadFailed"
            and "CrashLoopBackOff" in failure["message"],
            f"it failed in its first wave, {status['wave']}: a pod of the canary is in CrashLoopBackOff",
        )
        self.check(
            await self.versions(*MAIN) == main, "the main ring never saw it: no write for pro and team"
        )
        await self.comes(
            self.cluster.maps,
            "the canary's ConfigMap is byte for byte the same as before",
            lambda: self.output(f"{TEMPLATE}-free") == canary,
        )
        await self.comes(
            self.cluster.deployments,
            "its Deployment has its old digest again, and all of its pods are ready",
            lambda: self.digests() == digests and rolled_out(self.deployment("free")),
        )
        await self.comes(
            self.cluster.groups,
            f"the group uses its revision {revision} again; the failed revision had changed:",
            lambda: self._revision() == revision,
        )
        await self.trimtab("diff", TEMPLATE, "free", str(revision), str(revision + 1), "-n", MUSIC, code=1)

    async def again(self) -> None:
        self.tell.title(
            "The same manifest is applied again, for example by a GitOps tool: it stays in quarantine"
        )
        before = await self.versions()
        await self.apply(f"rollouts/{NEWER}.yaml")
        await self.show(
            *("patch", "prollout", NEWER, "-n", MUSIC, "--type=merge"),
            *("-p", json.dumps({"spec": {"strategy": {"progressDeadline": "5m"}}})),
        )
        await self.cluster.rollouts.until(
            "the operator has observed generation 2",
            lambda: (self.rollout(NEWER).get("status") or {}).get("observedGeneration") == 2,
        )
        status = self.rollout(NEWER)["status"]
        self.check(
            (status["observedGeneration"], status["phase"], status["attempt"]) == (2, "RolledBack", 1),
            "generation 2 has the same content: it is still RolledBack, and there was no second attempt",
        )
        self.check(await self.versions() == before, "no write for any group")
        self.tell.text(
            "Other content would roll out automatically; this content requires `trimtab rollout retry`."
        )

    def _revision(self) -> int:
        """The revision that the canary uses."""
        return int(self.group("free")["status"]["currentRevision"])

    async def _told(self, reason: str) -> None:
        """Wait for this Event of the rollout: they follow its status."""

        def look() -> bool:
            return any(
                event["regarding"]["name"] == NEWER and event["reason"] == reason
                for event in self.cluster.events.all()
            )

        await self.cluster.events.until(f"there is an Event {reason}", look)

    async def _no_pod_lives_with(self, policy: Body) -> None:
        """kwok's pods run nothing: configure the digest of the configuration with which they crash."""
        secret = await self.cluster.client.get(SECRETS, SYSTEM, KEYS_SECRET)
        keys = Keys.from_secret(secret["data"])
        schema = compile_template(TEMPLATE, ConfigTemplateSpec.model_validate(self.template["spec"]), MUSIC)

        def made(*policies: Body) -> str:
            compiled = [
                compile_policy(p["metadata"]["name"], PolicyRolloutSpec.model_validate(p["spec"]), schema)
                for p in policies
            ]
            return restart_digest(keys, group_view(schema, "free", compiled))

        calmer = self.rollout(CALMER)
        if made(calmer) != self.digests()["free"]:
            raise DemoError("the digest of the canary's configuration is not the expected one")
        await asyncio.to_thread(PodCrashes(self.stage.sandbox.kubectl).start, made(calmer, policy))
        self.tell.text(
            "kwok's pods run no container, so the demo makes those with agent.model=huge-preview crash"
        )
