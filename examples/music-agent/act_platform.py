"""Act 2: the platform team changes the template, correctly and incorrectly. Last act: deletion."""

from __future__ import annotations

import yaml
from scene import MUSIC, TEMPLATE, Scene, ready, rolled_out

from trimtab.kube.resources import CONFIG_MAPS


class Platform(Scene):
    """One change that restarts a workload, and one that is rejected."""

    async def restart(self) -> None:
        self.tell.title(
            "The platform team moves the free tier to another provider: only its workload restarts"
        )
        before = self.digests()
        await self.patch_template("add", "/spec/groups/0/values/agent.provider", "local")
        await self.cluster.deployments.until(
            "the free tier's Deployment has restarted",
            lambda: self.digests()["free"] != before["free"] and rolled_out(self.deployment("free")),
        )
        provider = self.output(f"{TEMPLATE}-free")["APP_AGENT_PROVIDER"]
        self.check(provider == "local", "ConfigMap music-agent-free: APP_AGENT_PROVIDER=local")
        await self.show("get", "deploy", "-n", MUSIC)
        self.check(
            self.restarted_since(before) == ["free"],
            "music-agent-free has restarted; the other Deployments are unchanged",
        )

    async def bad_template(self) -> None:
        self.tell.title("An invalid template is rejected and changes nothing")
        before = await self.versions()
        await self.patch_template("replace", "/spec/groups/1/values/session.minutes", 1000)
        await self.cluster.templates.until(
            "the template is Rejected", lambda: ready(self.template, "False", "Rejected")
        )
        await self.show("get", "ctmpl", "-n", MUSIC)
        refused = self.template["status"]["violations"]
        self.tell.output(yaml.safe_dump({"violations": refused}, sort_keys=False, width=105))
        self.check(
            await self.versions() == before,
            f"all {len(before)} outputs have the same resourceVersion as before the change",
        )
        await self.patch_template("replace", "/spec/groups/1/values/session.minutes", 120)
        await self.cluster.templates.until(
            "the template is Rendered", lambda: ready(self.template, "True", "Rendered")
        )
        self.tell.fact("corrected: the template is Ready again")


class Leaving(Scene):
    """Deletion of a preference and of the template."""

    async def leave(self) -> None:
        self.tell.title("A user leaves: the operator deletes the user's files")
        shard = self.document("alice")[0]
        await self.show("delete", "upref", "alice", "-n", MUSIC)
        await self.cluster.maps.until(
            "alice's file is deleted",
            lambda: not any("alice.prefs.json" in m["data"] for m in self.cluster.maps.all()),
        )
        left = len(self.output(shard))
        self.tell.fact(f"alice.prefs.json is deleted from {shard}; the {left} other files in it stay")

    async def remove(self) -> None:
        self.tell.title("The template is deleted, with everything that was rendered from it and nothing else")
        bystander = {
            "metadata": {"name": "bystander", "namespace": MUSIC},
            "data": {"made-by": "another client"},
        }
        await self.cluster.client.create(CONFIG_MAPS, {"apiVersion": "v1", "kind": "ConfigMap", **bystander})
        await self.show("delete", "ctmpl", TEMPLATE, "-n", MUSIC)
        await self.cluster.maps.until(
            "no ConfigMap of Trimtab's is left", lambda: not self.cluster.maps.all()
        )
        await self.cluster.secrets.until(
            "no Secret of Trimtab's is left", lambda: not self.cluster.secrets.all()
        )
        await self.cluster.groups.until("no RenderedGroup is left", lambda: not self.cluster.groups.all())
        await self.show("get", "cm,secret,rgroup", "-n", MUSIC)
        await self.cluster.client.get(CONFIG_MAPS, MUSIC, "bystander")
        self.tell.fact("only objects that Trimtab did not create are left")
