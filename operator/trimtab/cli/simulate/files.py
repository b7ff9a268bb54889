"""Files to verdicts: what ``render``, ``validate`` and ``explain -f`` have in common."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from trimtab.api import ConfigTemplate, PolicyRollout, Resource, UserPreference
from trimtab.cli.files import manifests, misread
from trimtab.cli.files.manifests import Flaw, Manifest, Manifests
from trimtab.cli.files.schema import parse
from trimtab.cli.simulate import assumed_namespaces
from trimtab.cli.simulate.simulation import Simulation
from trimtab.kube.resources import CONFIG_TEMPLATES, NAMESPACES, POLICY_ROLLOUTS, USER_PREFERENCES

_RESOURCES = {
    "ConfigTemplate": CONFIG_TEMPLATES,
    "UserPreference": USER_PREFERENCES,
    "PolicyRollout": POLICY_ROLLOUTS,
}


@dataclass(slots=True)
class Examined:
    """Files, evaluated. ``models`` are the objects whose shape is right."""

    read: Manifests
    simulation: Simulation
    models: list[tuple[Manifest, Resource]] = field(default_factory=list)
    flaws: list[Flaw] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def examine(paths: Sequence[str], namespace: str) -> Examined:
    """Read and evaluate the files.

    :raises trimtab.cli.errors.Failure: a file cannot be read.
    """
    read = manifests.load(paths, namespace)
    done = Examined(read, Simulation(), flaws=list(read.flaws), notes=list(read.notes))
    _parse(done)
    done.flaws += _misread(done.models)
    _put_namespaces(done)
    for manifest, model in done.models:
        if manifest.kind in _RESOURCES:  # as the API server keeps it: without nulls
            done.simulation.put(_RESOURCES[manifest.kind], {**manifest.body, "spec": model.spec.to_dict()})
    done.simulation.run()
    return done


def _parse(done: Examined) -> None:
    for manifest in done.read.objects:
        if manifest.kind == "RenderedGroup":
            done.read.ignored.append(f"{manifest.place}: {manifest}, which only Trimtab writes")
            continue
        model, violations = parse(manifest)
        done.flaws += [Flaw(manifest.place, str(manifest), v, manifest.spot(v)) for v in violations]
        if model is not None:
            done.models.append((manifest, model))


def _put_namespaces(done: Examined) -> None:
    """Those of the files, and those that have to be assumed, with notes."""
    given = done.read.namespaces
    assumed, notes = assumed_namespaces.namespaces(
        [model for _, model in done.models if isinstance(model, ConfigTemplate)],
        [model for _, model in done.models if isinstance(model, UserPreference)],
        [manifest.name for manifest in given],
    )
    done.notes += notes
    for body in (*(assumed_namespaces.labelled(_plain(manifest)) for manifest in given), *assumed):
        done.simulation.put(NAMESPACES, body)


def _misread(models: Sequence[tuple[Manifest, Resource]]) -> Iterator[Flaw]:
    """Values whose text says something else than what YAML reads, for keys of the templates in these files."""
    keys = {
        (manifest.namespace, manifest.name): {key.name: key for key in model.spec.keys}
        for manifest, model in models
        if isinstance(model, ConfigTemplate)
    }
    for manifest, model in models:
        template = (manifest.namespace, manifest.name)
        if isinstance(model, UserPreference):
            template = (model.spec.template_ref.namespace or manifest.namespace, model.spec.template_ref.name)
        elif isinstance(model, PolicyRollout):
            template = (manifest.namespace, model.spec.template_ref.name)
        for violation, spot in misread.violations(manifest, keys.get(template, {})):
            yield Flaw(manifest.place, str(manifest), violation, spot)


def _plain(manifest: Manifest) -> dict[str, object]:
    """A Namespace with labels and annotations that are text, as the API server would insist."""
    meta = manifest.body["metadata"]
    kept = {
        part: {str(k): v for k, v in (meta.get(part) or {}).items() if isinstance(v, str)}
        for part in ("labels", "annotations")
        if isinstance(meta.get(part), dict)
    }
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": manifest.name, **kept}}
