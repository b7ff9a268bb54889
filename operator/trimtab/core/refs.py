"""Which object is meant: keys that stores and decisions share."""

from __future__ import annotations

from typing import NamedTuple


class TemplateKey(NamedTuple):
    """A namespaced object of a known kind, most often a ConfigTemplate."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class GroupKey(NamedTuple):
    """A group of a ConfigTemplate."""

    namespace: str
    template: str
    group: str

    @property
    def template_key(self) -> TemplateKey:
        return TemplateKey(self.namespace, self.template)

    def __str__(self) -> str:
        return f"{self.namespace}/{self.template}/{self.group}"


class Ref(NamedTuple):
    """An output (ConfigMap or Secret), or a workload (Deployment, StatefulSet or DaemonSet)."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"
