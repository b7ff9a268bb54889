"""What the API server itself holds people to: ValidatingAdmissionPolicies, so that no webhook has to be up.

The YAML files beside this one are their only source. `trimtab crds --admission` prints them, the sandbox installs them,
and `python -m trimtab.crd` copies them into the chart. Imports nothing, because the sandbox imports it.
"""

from __future__ import annotations

from importlib.resources import files as _packaged

NAMES = ("rollout-actions", "join", "operator")
"""One file each, with a policy `trimtab-<name>` and the binding of the same name that puts it in force."""
CHART = "charts/trimtab/templates/admission"


def texts() -> dict[str, str]:
    """The YAML of each policy with its binding, by name."""
    folder = _packaged(__name__)
    return {name: folder.joinpath(f"{name}.yaml").read_text(encoding="utf-8") for name in NAMES}


def text() -> str:
    """All of them as one YAML stream."""
    return "---\n".join(texts().values())


def files() -> dict[str, str]:
    """The chart's copies, by path."""
    return {f"{CHART}/{name}.yaml": content for name, content in texts().items()}
