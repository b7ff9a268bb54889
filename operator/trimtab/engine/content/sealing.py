"""A snapshot's body: composed with its sensitive part sealed, and opened only if it holds what its name says.

The name ends in a keyed hash of the whole content, bound to the namespace and to whose content it is. So a snapshot
that was edited, copied to another place or made by another client is told from one that Trimtab stored (decision 024).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from trimtab.core import naming
from trimtab.core.refs import TemplateKey
from trimtab.core.resolve import snapshot
from trimtab.core.resolve.snapshot import Part, Spec, Taken
from trimtab.crypto import Keys, Purpose, UnreadableError
from trimtab.kube.port import Body
from trimtab.kube.resources import CONTROLLER_REVISIONS

LIMIT = 1_000_000
"""Bytes that a snapshot may have. Etcd takes 1.5 MiB, and the object that it is of has to hold its status too: without
a rollout's plan and history, no rollback could be written."""
_PURPOSES: Mapping[Part, Purpose] = {"spec": "template", "policy": "policy"}
_encode = msgspec.json.Encoder().encode


class TooLargeError(ValueError):
    """Content that the API server cannot store."""


class NotStoredError(ValueError):
    """Content that the API server refuses to store; it is tried again after ``seconds``."""

    def __init__(self, place: TemplateKey, said: str, seconds: float) -> None:
        super().__init__(f"its content could not be stored as ControllerRevision {place}: {said}")
        self.seconds = max(seconds, 0.05)


@dataclass(frozen=True, slots=True)
class Content:
    """What one snapshot holds: its public half, what is sensitive by path, and what is written beside them."""

    part: Part
    public: Spec
    taken: Taken
    labels: Mapping[str, str]
    generation: int

    @property
    def whole(self) -> Spec:
        return snapshot.joined(self.part, self.public, self.taken)

    @property
    def sealed(self) -> frozenset[str]:
        """The paths of what is sensitive."""
        return frozenset("/".join(path) for path, _ in self.taken)

    @property
    def owner(self) -> str:
        """The name of the template that it is of, or for."""
        return self.labels.get(naming.LABEL_TEMPLATE, "")


@dataclass(frozen=True, slots=True)
class Vault:
    """``trusting``: take content as it is given, which offline verbs do, that have no keys."""

    keys: Keys
    trusting: bool = False

    def hash(self, part: Part, namespace: str, stem: str, whole: Spec) -> str:
        """The hash that the name of that content's snapshot ends in; ``stem`` is the rest of the name."""
        return self.keys.digest(_PURPOSES[part], (namespace, stem), whole)

    def body(self, place: TemplateKey, content: Content) -> Body:
        """The ControllerRevision. :raises TooLargeError: it could not be stored."""
        data: dict[str, Any] = {content.part: content.public}
        if content.taken:
            data["sealed"] = self.keys.seal(content.taken)
            data["digests"] = self._digests(place, content)
        made = {
            "apiVersion": CONTROLLER_REVISIONS.api_version,
            "kind": CONTROLLER_REVISIONS.kind,
            "metadata": {"name": place.name, "namespace": place.namespace, "labels": dict(content.labels)},
            "data": data,
            "revision": content.generation,
        }
        size = len(_encode(made))
        if size > LIMIT:
            sealed = " (encryption makes sensitive values a third larger)" if content.taken else ""
            raise TooLargeError(
                f"its snapshot would have {size:,} bytes{sealed}, and the API server stores at most {LIMIT:,}"
            )
        return made

    def opened(self, place: TemplateKey, part: Part, body: Body) -> Content:
        """:raises UnreadableError: it holds no such content, or not what its name says."""
        try:
            data = body["data"]
            taken = self.keys.open(data["sealed"]) if "sealed" in data else []
            labels = {
                **(body["metadata"].get("labels") or {}),
                naming.LABEL_TEMPLATE: _owner(place, part, data),
            }
            content = Content(part, data[part], taken, labels, int(body.get("revision") or 0))
            named = self.trusting or self._is_named(place, content)
        except UnreadableError:
            raise
        except (LookupError, TypeError, ValueError, AttributeError, StopIteration, RecursionError) as error:
            raise UnreadableError(f"it holds no {part} ({type(error).__name__})") from None
        if not named:
            raise UnreadableError("its content is not what its name says")
        return content

    def is_current(self, place: TemplateKey, body: Body, content: Content) -> bool:
        """Whether it holds nothing in clear that is sensitive now, and the digests that this version makes."""
        digests = (body.get("data") or {}).get("digests") or {}
        wanted = self._digests(place, content)
        return isinstance(digests, dict) and wanted == {path: digests.get(path) for path in wanted}

    def _is_named(self, place: TemplateKey, content: Content) -> bool:
        stem, hashed = naming.stem_and_hash(place.name)
        if naming.is_unbound(hashed):
            return hashed == self.keys.unbound(content.whole)
        return hashed == self.hash(content.part, place.namespace, stem, content.whole)

    def _digests(self, place: TemplateKey, content: Content) -> dict[str, str]:
        return {
            "/".join(path): self._digest(place, content.part, path, value) for path, value in content.taken
        }

    def _digest(self, place: TemplateKey, part: Part, path: list[str], value: Any) -> str:
        """Of one sensitive value: two of them can be compared at one path of one template's, or policy's, content."""
        stem, _ = naming.stem_and_hash(place.name)
        return self.keys.digest("value", (place.namespace, part, stem, *path), value)


def _owner(place: TemplateKey, part: Part, data: Mapping[str, Any]) -> str:
    """The name of the template that the content is of, or for: by what its name is made of, not by its labels."""
    return naming.stem_and_hash(place.name)[0] if part == "spec" else str(data[part]["templateRef"]["name"])
