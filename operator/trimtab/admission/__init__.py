"""The ValidatingAdmissionPolicies, which the API server itself evaluates: there is no webhook to keep available.

The YAML files in this package are their only source. `trimtab crds --admission` prints them, the sandbox installs them,
and `python -m trimtab.generate` copies them into the chart. Imports nothing, because the sandbox imports it.
"""

from __future__ import annotations

from importlib.resources import files as _packaged

NAMES = ("rollout-actions", "join", "operator")
"""Each file holds a policy `trimtab-<name>` and the binding of the same name."""
CHART = "charts/trimtab/templates/admission"


def texts() -> dict[str, str]:
    """The YAML of each policy with its binding, by name."""
    folder = _packaged(__name__)
    return {name: folder.joinpath(f"{name}.yaml").read_text(encoding="utf-8") for name in NAMES}


def text() -> str:
    """All policies as one YAML stream."""
    return "---\n".join(texts().values())


def files() -> dict[str, str]:
    """The chart's copies, by path."""
    return {f"{CHART}/{name}.yaml": content for name, content in texts().items()}
