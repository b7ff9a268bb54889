"""Namespaces that the files do not contain: what is assumed of them, with a note for each assumption."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from trimtab.api import ConfigTemplate, LabelSelector, UserPreference
from trimtab.core import naming
from trimtab.core.selector import selects

NAME_LABEL = "kubernetes.io/metadata.name"
"""Every namespace of a cluster carries its own name under this label."""


def labelled(body: dict[str, Any]) -> dict[str, Any]:
    """A Namespace with the label that every cluster gives it."""
    meta = body["metadata"]
    return {**body, "metadata": {**meta, "labels": {NAME_LABEL: meta["name"], **(meta.get("labels") or {})}}}


def namespaces(
    templates: Iterable[ConfigTemplate],
    preferences: Iterable[UserPreference],
    known: Iterable[str],
) -> tuple[list[dict[str, Any]], list[str]]:
    """Namespaces that allow what the objects require, and a note on each assumption."""
    made: dict[str, dict[str, Any]] = {}
    notes: dict[str, None] = {}
    given = set(known)

    def namespace(name: str) -> dict[str, Any]:
        return made.setdefault(name, {"name": name, "labels": {NAME_LABEL: name}, "annotations": {}})

    groups = {}
    for template in templates:
        home = template.namespaced_name.namespace
        for group in template.spec.groups:
            groups[home, template.metadata.name, group.name] = group
            target = group.target_namespace or home
            if target != home and target not in given:
                allowed = namespace(target)["annotations"]
                before = allowed.get(naming.ANNOTATION_ALLOW_FROM)
                allowed[naming.ANNOTATION_ALLOW_FROM] = f"{before},{home}" if before else home
                notes[
                    f"namespace {target} is not in the files: it is assumed to exist with the annotation "
                    f"{naming.ANNOTATION_ALLOW_FROM}: {home}"
                ] = None
    for preference in preferences:
        reference, here = preference.spec.template_ref, preference.namespaced_name.namespace
        asked = groups.get((reference.namespace or here, reference.name, preference.spec.group))
        selector = asked.preference_namespace_selector if asked else None
        if selector is None or asked is None or here in given:
            continue
        labels = namespace(here)["labels"]
        if not selects(selector, labels):
            labels |= _satisfying(selector)
            notes[
                f"namespace {here} is not in the files, so whether group {asked.name} takes preferences from it "
                "(preferenceNamespaceSelector) could not be checked; add its manifest with -f"
            ] = None
    return [{"apiVersion": "v1", "kind": "Namespace", "metadata": meta} for meta in made.values()], list(
        notes
    )


def _satisfying(selector: LabelSelector) -> dict[str, str]:
    labels = dict(selector.match_labels)
    for requirement in selector.match_expressions:
        if requirement.operator == "In" and requirement.values:
            labels[requirement.key] = requirement.values[0]
        elif requirement.operator == "Exists":
            labels.setdefault(requirement.key, "")
    return labels


def anything(template: dict[str, Any], names: Iterable[str]) -> list[dict[str, Any]]:
    """Namespaces that the user may not read, assumed to allow what a template requires."""
    home = template["metadata"]["namespace"]
    labels: dict[str, str] = {}
    for group in template.get("spec", {}).get("groups") or ():
        if group.get("preferenceNamespaceSelector"):
            labels |= _satisfying(LabelSelector.model_validate(group["preferenceNamespaceSelector"]))
    annotations = {naming.ANNOTATION_ALLOW_FROM: home}
    return [
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": name, "labels": {**labels, NAME_LABEL: name}, "annotations": annotations},
        }
        for name in names
    ]
