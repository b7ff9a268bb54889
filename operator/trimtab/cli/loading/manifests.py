"""Files to objects: what of the given files, folders and standard input is Trimtab's, and where it stands."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from trimtab.api import GROUP
from trimtab.cli.documents import Document, read
from trimtab.cli.failure import Failure
from trimtab.cli.scalars import MalformedError
from trimtab.core.problems import Violation, nearest

MAX_BYTES = 64 * 1024 * 1024
"""What one file may hold: enough for 100,000 preferences."""
OBJECT_BYTES = 1_500_000
"""About what etcd takes in one request, so no object is larger."""
STDIN = "-"
_SUFFIXES = frozenset((".yaml", ".yml", ".json"))
_SERVED = ("ConfigTemplate", "UserPreference", "PolicyRollout", "RenderedGroup", "RolloutAction")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\Z")
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?\Z")


@dataclass(frozen=True, slots=True)
class Place:
    """Where an object was found. ``item`` counts from 1 within a List; 0 is none."""

    source: str
    document: int
    line: int
    item: int = 0

    def __str__(self) -> str:
        item = f", item {self.item}" if self.item else ""
        return f"{self.source}:{self.line} (document {self.document}{item})"


@dataclass(frozen=True, slots=True)
class Manifest:
    """An object of Trimtab's, or a Namespace, with its namespace filled in."""

    place: Place
    kind: str
    namespace: str
    name: str
    body: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True)
class Flaw:
    """What is wrong with an object that could not even be taken as one of Trimtab's."""

    place: Place
    subject: str
    violation: Violation


@dataclass(slots=True)
class Manifests:
    """All that was read. ``flaws`` are objects that are left out for what is wrong with them."""

    sources: list[str] = field(default_factory=list)
    ours: list[Manifest] = field(default_factory=list)
    namespaces: list[Manifest] = field(default_factory=list)
    flaws: list[Flaw] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)

    def of(self, kind: str) -> list[Manifest]:
        return [manifest for manifest in self.ours if manifest.kind == kind]


def load(paths: Sequence[str], namespace: str) -> Manifests:
    """Read files, folders (recursively) and ``-``; ``namespace`` is for objects that name none.

    :raises Failure: with exit code 2, when something cannot be read: every such file is named.
    """
    if not paths:
        raise Failure("nothing to read; name files or folders with -f, or -f - for standard input", 2)
    found = Manifests()
    problems: list[str] = []
    for source in _sources(paths, problems):
        shown = "<stdin>" if source == STDIN else source
        found.sources.append(shown)
        try:
            for document in read(_text(source)):
                _sort(found, Place(shown, document.index, document.line), document, namespace)
        except MalformedError as error:
            problems.append(f"{shown}: {error}")
        except OSError as error:
            problems.append(f"{shown}: {error.strerror or error}")
        except ValueError as error:  # a path that no system takes
            problems.append(f"{shown!r}: {error}")
    if problems:
        raise Failure("\n".join(problems), 2)
    _refuse_doubles(found)
    return found


def _sources(paths: Sequence[str], problems: list[str]) -> Iterator[str]:
    """Each file once, folders opened, in a stable order."""
    seen: set[str] = set()
    for path in paths:
        here: list[str] = [path]
        if path != STDIN and Path(path).is_dir():
            here = [
                str(file)
                for file in sorted(Path(path).rglob("*"))
                if file.suffix.lower() in _SUFFIXES and file.is_file()
            ]
            if not here:
                problems.append(f"{path}: no *.yaml, *.yml or *.json in this folder; name the files")
        for file in here:
            if file not in seen:
                seen.add(file)
                yield file


def _text(source: str) -> str:
    if source == STDIN:
        content = sys.stdin.buffer.read(MAX_BYTES + 1)
    else:
        with Path(source).open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise MalformedError(f"larger than {MAX_BYTES // 2**20} MiB; split it into several files")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise MalformedError(f"line {line}: not UTF-8 (byte {error.start}); save it as UTF-8") from None


def _sort(found: Manifests, place: Place, document: Document, namespace: str) -> None:
    """A document's objects to where they belong."""
    value = document.value
    if not isinstance(value, dict):
        kind = "a list" if isinstance(value, list) else "text"
        found.flaws.append(
            _flaw(place, "document", "shape", f"is {kind}, not an object; begin with apiVersion and kind")
        )
        return
    items = value.get("items")
    if str(value.get("kind")).endswith("List") and isinstance(items, list):
        if document.flaws:
            found.flaws += [_flaw(place, "document", "shape", flaw) for flaw in document.flaws]
            return
        for index, item in enumerate(items, 1):
            _object(
                found,
                Place(place.source, place.document, place.line, index),
                Document(place.document, place.line, item),
                namespace,
            )
        return
    _object(found, place, document, namespace)


def _object(found: Manifests, place: Place, document: Document, namespace: str) -> None:
    body = document.value
    if not isinstance(body, dict):
        found.flaws.append(_flaw(place, "item", "shape", "is no object; remove it"))
        return
    version, kind = body.get("apiVersion"), body.get("kind")
    missing = [n for n, v in (("apiVersion", version), ("kind", kind)) if not isinstance(v, str) or not v]
    if missing:
        found.flaws.append(
            _flaw(place, "object", "shape", f"has no {' and no '.join(missing)}; write them first")
        )
        return
    ours = str(version).split("/")[0] == GROUP
    is_namespace = (version, kind) == ("v1", "Namespace")
    if not ours and not is_namespace:
        if kind in _SERVED:
            found.notes.append(
                f"{place}: {kind} of {version} was ignored; Trimtab's is of trimtab.dev/v1alpha1"
            )
        found.ignored.append(f"{place}: {kind} of {version}")
        return
    subject, meta = str(kind), body.get("metadata")
    name = meta.get("name") if isinstance(meta, dict) else None
    if isinstance(name, str):
        subject += f" {name[:253]}"
    if kind == "RolloutAction" and isinstance(meta, dict) and not name and meta.get("generateName"):
        # As the API server would, so that several of them are no doubles.
        meta = meta | {"name": f"{meta['generateName']}{len(found.ours)}"}
    wrong = [Violation("", "object", "shape", flaw) for flaw in document.flaws]
    wrong += _header_problems(str(version), str(kind), meta) if ours else _name_problems(meta)
    if wrong:
        found.flaws += [Flaw(place, subject, violation) for violation in wrong]
        return
    metadata: dict[str, Any] = dict(meta or {})
    if ours:
        metadata["namespace"] = metadata.get("namespace") or namespace
    manifest = Manifest(
        place,
        str(kind),
        metadata["namespace"] if ours else "",
        metadata["name"],
        {**body, "metadata": metadata},
    )
    (found.ours if ours else found.namespaces).append(manifest)


def _header_problems(version: str, kind: str, meta: Any) -> list[Violation]:
    if kind not in _SERVED:
        hint = nearest(kind, _SERVED)
        return [Violation("kind", "object", "kind", f"{kind[:60]} is no kind of {GROUP}; correct it", hint)]
    if version != f"{GROUP}/v1alpha1":
        return [
            Violation(
                "apiVersion", "object", "apiVersion", f"{version[:60]} is not served; write {GROUP}/v1alpha1"
            )
        ]
    return _name_problems(meta)


def _name_problems(meta: Any) -> list[Violation]:
    if not isinstance(meta, dict) or not isinstance(meta.get("name"), str) or not meta["name"]:
        return [Violation("metadata.name", "object", "required", "is missing; give the object a name")]
    found = []
    if len(meta["name"]) > 253 or not _NAME.match(meta["name"]):
        message = "must be lower-case letters, digits, - and . (at most 253); rename it"
        found.append(Violation("metadata.name", "object", "name", message))
    space = meta.get("namespace")
    if space is not None and (not isinstance(space, str) or len(space) > 63 or not _LABEL.match(space)):
        message = "must be lower-case letters, digits and - (at most 63); correct it"
        found.append(Violation("metadata.namespace", "object", "namespace", message))
    return found


def size_problem(manifest: Manifest) -> Violation | None:
    """Whether the API server would refuse the object for its size."""
    size = len(msgspec.json.encode({k: v for k, v in manifest.body.items() if k != "status"}))
    if size <= OBJECT_BYTES:
        return None
    message = (
        f"the object has {size} bytes, more than the {OBJECT_BYTES} that a cluster stores; shorten its values"
    )
    return Violation("", "object", "tooLarge", message)


def _refuse_doubles(found: Manifests) -> None:
    """The same object twice: the cluster would hold only the last one, silently."""
    first: dict[tuple[str, str, str], Place] = {}
    for listed in (found.ours, found.namespaces):
        for manifest in list(listed):
            key = (manifest.kind, manifest.namespace, manifest.name)
            place = first.setdefault(key, manifest.place)
            if place is not manifest.place:
                listed.remove(manifest)
                found.flaws.append(
                    _flaw(manifest.place, str(manifest), "double", f"is also at {place}; remove one")
                )


def _flaw(place: Place, subject: str, rule: str, message: str) -> Flaw:
    return Flaw(place, subject, Violation("", "object", rule, message))
