"""The kinds that Trimtab reads and writes, and their paths on the API server."""

from __future__ import annotations

from dataclasses import dataclass

GROUP = "trimtab.dev"
VERSION = "v1alpha1"


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource. ``group`` is empty for the core group."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str = "") -> str:
        """The URL path of the collection, of one object, or of its subresource."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        scope = f"/namespaces/{namespace}" if namespace and self.namespaced else ""
        rest = f"/{name}" if name else ""
        return f"{root}{scope}/{self.plural}{rest}{'/' + subresource if subresource else ''}"


CONFIG_TEMPLATES = Resource(GROUP, VERSION, "configtemplates", "ConfigTemplate")
USER_PREFERENCES = Resource(GROUP, VERSION, "userpreferences", "UserPreference")
POLICY_ROLLOUTS = Resource(GROUP, VERSION, "policyrollouts", "PolicyRollout")
ROLLOUT_ACTIONS = Resource(GROUP, VERSION, "rolloutactions", "RolloutAction")
RENDERED_GROUPS = Resource(GROUP, VERSION, "renderedgroups", "RenderedGroup")
CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap")
SECRETS = Resource("", "v1", "secrets", "Secret")
NAMESPACES = Resource("", "v1", "namespaces", "Namespace", namespaced=False)
CONTROLLER_REVISIONS = Resource("apps", "v1", "controllerrevisions", "ControllerRevision")
DEPLOYMENTS = Resource("apps", "v1", "deployments", "Deployment")
STATEFUL_SETS = Resource("apps", "v1", "statefulsets", "StatefulSet")
DAEMON_SETS = Resource("apps", "v1", "daemonsets", "DaemonSet")
EVENTS = Resource("events.k8s.io", "v1", "events", "Event")
PODS = Resource("", "v1", "pods", "Pod")
CRON_JOBS = Resource("batch", "v1", "cronjobs", "CronJob")
JOBS = Resource("batch", "v1", "jobs", "Job")
CUSTOM_RESOURCE_DEFINITIONS = Resource(
    "apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", namespaced=False
)
LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease")

OUTPUTS = {"ConfigMap": CONFIG_MAPS, "Secret": SECRETS}
WORKLOADS = {"Deployment": DEPLOYMENTS, "StatefulSet": STATEFUL_SETS, "DaemonSet": DAEMON_SETS}
