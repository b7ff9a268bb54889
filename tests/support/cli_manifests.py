"""Files that the tests of the command line write, and the results of its calls."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TEMPLATE = """\
apiVersion: trimtab.dev/v1alpha1
kind: ConfigTemplate
metadata: {name: app, namespace: team}
spec:
  keys:
  - {name: agent.temperature, type: Number, default: 0.7, minimum: 0, maximum: 2}
  - {name: agent.provider, type: String, enum: [openai, local], default: openai, setBy: Group}
  - {name: session.minutes, type: Integer, default: 30, minimum: 1}
  - {name: plugins, type: StringList, maxItems: 3, merge: Append}
  - {name: api.token, type: String, sensitive: true, pattern: '^[a-z0-9]+$'}
  - {name: agent.mood, type: String, deprecated: {message: use agent.temperature, replacedBy: agent.temperature}}
  profiles:
  - {name: calm, values: {agent.temperature: 0.5}}
  groups:
  - {name: free, profile: calm, values: {session.minutes: 20, plugins: [a], api.token: hunter2}}
  - {name: pro}
  outputs:
  - {name: app, format: YAML, fileName: app.yaml, include: [agent.*, session.*]}
  - {name: creds, kind: Secret, format: JSON, fileName: creds.json, include: [api.*]}
  - {name: prefs, scope: User, format: JSON, fileName: prefs.json, include: [agent.*, session.*, plugins]}
"""


@dataclass(frozen=True)
class Answer:
    """What a call came to."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Call = Callable[..., Answer]
Write = Callable[..., Path]


def preference(
    name: str, values: str = "{}", *, group: str = "free", more: str = "", namespace: str = "team"
) -> str:
    return (
        "apiVersion: trimtab.dev/v1alpha1\nkind: UserPreference\n"
        f"metadata: {{name: {name}, namespace: {namespace}}}\n"
        f"spec: {{templateRef: {{name: app, namespace: team}}, group: {group}, values: {values}{more}}}\n"
    )
