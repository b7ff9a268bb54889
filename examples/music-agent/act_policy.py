"""Act 3: an admin's policy rolls out to one ring, and to the others after an approval."""

from __future__ import annotations

import json
from typing import Any

import yaml
from scene import HERE, MUSIC, TEMPLATE, Scene, ready, rolled_out

CALMER = "calmer-agents"
MAIN = ("pro", "team")
APPROVE = ("rollout", "approve", CALMER, "-n", MUSIC, "--reason", "read the preview")


class Calmer(Scene):
    """A good rollout in two waves."""

    async def canary(self) -> None:
        self.tell.title("An admin rolls out a policy: first to the canary ring, the free tier")
        file = f"rollouts/{CALMER}.yaml"
        self.tell.output((HERE / file).read_text().partition("\nspec:\n")[2])
        before, main = self.digests(), await self.versions(*MAIN)
        async with self.watching(CALMER) as until:
            await self.apply(file)
            await until("AwaitingApproval", "1/3")
        await self.comes(
            self.cluster.deployments,
            "music-agent-free has restarted for its new provider, and all of its pods are ready",
            lambda: self.digests()["free"] != before["free"] and rolled_out(self.deployment("free")),
        )
        self.check(await self.versions(*MAIN) == main, "no write so far for pro and team")

    async def approval(self) -> None:
        self.tell.title("What would change for the main ring? Only some users can approve it")
        await self.trimtab("rollout", "preview", CALMER, "-n", MUSIC, most=15)
        samples = self.rollout(CALMER)["status"]["preview"]["samples"]
        clamped = {(s["user"], s["key"]): (s["old"], s["new"]) for s in samples if s["effect"] == "Clamped"}
        self.check(
            clamped.get(("alice", "agent.temperature")) == ("1.05", "1.0"),
            "so alice gets 1.0 instead of 1.05",
        )
        await self.apply("rollouts/rbac.yaml")
        for name in ("ann", "bob"):
            await self._token(name)
        said = await self.trimtab(*APPROVE, who="bob", code=1)
        self.check(
            "cannot approve" in said,
            "the API server has refused bob, who can only pause, resume and abort it",
        )

    async def everybody(self) -> None:
        self.tell.title("Ann approves it: the main ring is updated, and workloads restart where required")
        before = self.digests()
        async with self.watching(CALMER) as until:
            await self.trimtab(*APPROVE, who="ann")
            await until("Succeeded", "3/3")
        by = {t["reason"]: t.get("by") for t in self.transitions(CALMER)}["RolloutApproved"]
        self.check(by == f"system:serviceaccount:{MUSIC}:ann", f"on record: approved by {by}")
        await self.show("get", "prollout", "-n", MUSIC)
        await self.comes(
            self.cluster.deployments,
            "music-agent-pro has restarted for its new provider, and all of its pods are ready",
            lambda: self.digests()["pro"] != before["pro"] and rolled_out(self.deployment("pro")),
        )
        await self.comes(
            self.cluster.maps,
            "team had that provider; it gets its 25 minutes without a restart (reload: None)",
            lambda: self._minutes("team") == 25,
        )
        self.check(self.restarted_since(before) == ["pro"], "in this ring, only pro has restarted")

    async def whose(self) -> None:
        self.tell.title("Preferences stay unchanged, and their status shows the effect of the policy")
        await self.comes(
            self.cluster.maps,
            "alice's file now has 1.0",
            lambda: json.loads(self.document("alice")[1])["agent"]["temperature"] == 1,
        )
        seen = await self.cluster.preferences.until(
            "alice is warned", lambda: self.preference("alice")["status"].get("warnings")
        )
        alice = self.preference("alice")
        self.check(
            ready(alice, "True", "Accepted") and alice["spec"]["values"]["agent.temperature"] == 1.05,
            "her preference still has 1.05, is Ready, and has a warning:",
        )
        self.tell.output(yaml.safe_dump({"warnings": seen.value}, sort_keys=False, width=105))
        said = await self.trimtab("explain", TEMPLATE, "alice", "agent.temperature", "-n", MUSIC)
        self.check(
            "clamped" in said and "COST-7" in said, "explain shows which policy clamped it, and why: COST-7"
        )

    def _minutes(self, group: str) -> int:
        return int(yaml.safe_load(self.output(f"{TEMPLATE}-{group}")["config.yaml"])["session"]["minutes"])

    async def _token(self, name: str) -> None:
        """Write a kubeconfig with a token of this service account."""
        token = (await self.kubectl("create", "token", name, "-n", MUSIC)).strip()
        config: dict[str, Any] = yaml.safe_load(self.stage.sandbox.kubeconfig.read_text())
        config["users"][0]["user"] = {"token": token}
        (self.stage.folder / name).write_text(yaml.safe_dump(config))
