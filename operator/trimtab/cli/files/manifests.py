"""Documents to objects: what of the given files is Trimtab's, and where it stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from trimtab.api import API_VERSION, GROUP
from trimtab.cli.errors import Failure
from trimtab.cli.files import helm, metadata, sources
from trimtab.cli.files.composer import Spot
from trimtab.cli.files.documents import Document, read
from trimtab.cli.files.location import path_of
from trimtab.cli.files.scalars import MalformedError
from trimtab.cli.files.sources import RolloutSource
from trimtab.core.suggestion import nearest
from trimtab.core.text import short
from trimtab.core.violations import Violation

_SERVED = ("ConfigTemplate", "UserPreference", "PolicyRollout", "RenderedGroup", "RolloutAction")


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

    def spot(self, document: Document, body: Any, violation: Violation) -> Spot:
        """Where that stands which is wrong with an object here."""
        within = ("items", self.item - 1) if self.item else ()
        path = path_of(body, violation) if isinstance(body, dict) else ()
        return document.spot((*within, *path))


@dataclass(frozen=True, slots=True)
class Manifest:
    """An object of Trimtab's, or a Namespace, with its namespace filled in."""

    place: Place
    kind: str
    namespace: str
    name: str
    body: dict[str, Any]
    document: Document = field(compare=False, repr=False, default=Document(1, 1, None))

    def spot(self, violation: Violation) -> Spot:
        """Where that stands which is wrong; the object's first line, if it is not there."""
        return self.place.spot(self.document, self.body, violation)

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True)
class Flaw:
    """What is wrong with an object that could not even be taken as one of Trimtab's."""

    place: Place
    subject: str
    violation: Violation
    spot: Spot


@dataclass(slots=True)
class Manifests:
    """All that was read. ``flaws`` are objects that are left out for what is wrong with them."""

    sources: list[str] = field(default_factory=list)
    ours: list[Manifest] = field(default_factory=list)
    namespaces: list[Manifest] = field(default_factory=list)
    flaws: list[Flaw] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    skipped: int = 0
    """Files that speak of Trimtab and were left out all the same: Helm templates."""

    def of(self, kind: str) -> list[Manifest]:
        return [manifest for manifest in self.ours if manifest.kind == kind]


def load(paths: Sequence[str], namespace: str) -> Manifests:
    """Read files, folders (recursively) and ``-``; ``namespace`` is for objects that name none.

    A folder may hold files of other programs: what of them is no object, or cannot be read, gets a note.

    :raises Failure: with exit code 2, when something cannot be read: every such file is named.
    """
    if not paths:
        raise Failure("nothing to read; name files or folders, or -f - for standard input", 2)
    found = Manifests()
    problems: list[str] = []
    for source in sources.sources(paths, problems):
        found.sources.append(source.shown)
        try:
            content = sources.content(source)
            for document in _documents(found, source, content, problems):
                _Reading(found, source, document, namespace).sort()
        except OSError as error:
            problems.append(f"{source.shown}: {error.strerror or error}")
        except ValueError as error:  # a path that no system takes
            problems.append(f"{source.shown!r}: {error}")
    if problems:
        raise Failure("\n".join(problems), 2)
    _refuse_doubles(found)
    return found


def _documents(
    found: Manifests, source: RolloutSource, content: bytes, problems: list[str]
) -> list[Document]:
    """All documents of a file, or none: then a note or a problem tells why."""
    text = ""
    try:
        text = sources.text(content)
        return list(read(text))
    except MalformedError as error:
        said = f"{source.shown}: {error}"
        ours = f"{GROUP}/".encode() in content.replace(b"\0", b"")  # which UTF-16 has between its letters
        if helm.is_template(text, error):
            line = helm.line_of(error)
            said = f"{source.shown}: {f'line {line} ' if line else ''}{helm.ADVICE}"
            found.skipped += ours and source.found
        elif ours or not source.found:
            problems.append(said)
            return []
    if source.found:
        found.notes.append(f"{said}; skipped")
    else:
        problems.append(said)
    return []


@dataclass(slots=True)
class _Reading:
    """One document on its way to where its objects belong."""

    found: Manifests
    source: RolloutSource
    document: Document
    namespace: str

    def sort(self) -> None:
        value = self.document.value
        place = Place(self.source.shown, self.document.index, self.document.line)
        if not isinstance(value, dict):
            kind = "a list" if isinstance(value, list) else "text" if isinstance(value, str) else short(value)
            self._no_object(place, "document", f"is {kind}, not an object; begin with apiVersion and kind")
        elif not _is_list(value):
            self._object(place, value)
        elif self.document.flaws and _is_ours(value):
            self._flawed(place, "document")
        else:
            wrong, items = _list_problem(value), value["items"]
            for index, item in enumerate(items, 1):
                spot = self.document.spot(("items", index - 1)) if len(items) <= _FEW else None
                line = spot.line if spot is not None else place.line
                here = Place(place.source, place.document, line, index)
                within = wrong or (_IN_A_LIST if isinstance(item, dict) and _is_list(item) else "")
                if within and _is_ours(item):
                    self._refuse(here, "item", item, Violation("", "object", "shape", within))
                else:
                    self._object(here, item)

    def _no_object(self, place: Place, subject: str, message: str) -> None:
        if self.source.found:
            self.found.notes.append(f"{place}: {message.split(';')[0]}; ignored")
        else:
            self._refuse(place, subject, None, Violation("", "object", "shape", message))

    def _refuse(self, place: Place, subject: str, body: Any, violation: Violation) -> None:
        spot = place.spot(self.document, body, violation)
        self.found.flaws.append(Flaw(place, subject, violation, spot))

    def _flawed(self, place: Place, subject: str) -> None:
        for line, column, message in self.document.flaws:
            violation = Violation("", "object", "shape", message)
            self.found.flaws.append(Flaw(place, subject, violation, Spot(line, column, line, column)))

    def _object(self, place: Place, body: Any) -> None:
        if not isinstance(body, dict):
            self._no_object(place, "item", "is no object; remove it")
            return
        version, kind = body.get("apiVersion"), body.get("kind")
        missing = [n for n, v in (("apiVersion", version), ("kind", kind)) if not isinstance(v, str) or not v]
        if missing:
            message = f"has no {' and no '.join(missing)}; write {'them' if len(missing) > 1 else 'it'}"
            if kind in _SERVED or _group(str(version)) == GROUP:
                self._refuse(place, "object", body, Violation("", "object", "shape", message))
            else:
                self._no_object(place, "object", message)
            return
        ours = _is_meant(str(version), str(kind))
        if ours or (version, kind) == ("v1", "Namespace"):
            self._take(place, body, ours=ours)
            return
        if kind in _SERVED:
            said = f"{place}: {kind} of {version} was ignored; Trimtab's is of {API_VERSION}"
            self.found.notes.append(said)
        self.found.ignored.append(f"{place}: {kind} of {version}")

    def _take(self, place: Place, body: dict[str, Any], *, ours: bool) -> None:
        kind, meta = str(body["kind"]), body.get("metadata")
        name = meta.get("name") if isinstance(meta, dict) else None
        space = meta.get("namespace") if isinstance(meta, dict) else None
        home = f"{space[:63] if isinstance(space, str) and space else self.namespace}/" if ours else ""
        subject = f"{kind} {home}{name[:253]}" if isinstance(name, str) else kind
        wrong = [*(_header_problems(body) if ours else ())] or list(metadata.problems(meta))
        self._flawed(place, subject)
        for violation in wrong:
            self._refuse(place, subject, body, violation)
        if wrong or self.document.flaws or not isinstance(meta, dict):
            return
        kept = metadata.stored(metadata.named(meta, len(self.found.ours)))
        if ours and not name and kind != "RolloutAction":
            message = f"{kind} {kept['name']}: a cluster completes generateName by other characters"
            self.found.notes.append(f"{place}: {message}")
        if ours:
            kept["namespace"] = meta.get("namespace") or self.namespace
        home = kept["namespace"] if ours else ""
        made = Manifest(place, kind, home, kept["name"], {**body, "metadata": kept}, self.document)
        (self.found.ours if ours else self.found.namespaces).append(made)


_IN_A_LIST = "is a List within a List, which kubectl refuses; write its items into the outer one"


def _is_list(body: dict[str, Any]) -> bool:
    kind = str(body.get("kind"))
    return (kind.endswith("List") or kind == "list") and isinstance(body.get("items"), list)


def _is_ours(body: Any) -> bool:
    """Whether it is an object of Trimtab's, or a List with one."""
    if not isinstance(body, dict):
        return False
    return str(body.get("apiVersion")).startswith(f"{GROUP}/") or (
        _is_list(body)
        and any(isinstance(each, dict) and _is_ours({**each, "items": ()}) for each in body["items"])
    )


def _list_problem(body: dict[str, Any]) -> str:
    """Why kubectl would take none of a list's items; empty if it would."""
    version, kind = str(body.get("apiVersion") or ""), str(body["kind"])
    if (version, kind) == ("v1", "List") or (version == API_VERSION and kind.removesuffix("List") in _SERVED):
        return ""
    of = f"a {kind[:60]} of {version[:60]}" if version else f"a {kind[:60]} without apiVersion"
    return f"stands in {of}, which kubectl refuses; write apiVersion: v1 and kind: List"


_FEW = 10_000
"""Items of a List up to which each one's line is looked up."""


def _group(version: str) -> str:
    return version.split("/")[0]


def _is_meant(version: str, kind: str) -> bool:
    """Whether an object is Trimtab's, or would be but for its apiVersion: another version, a group much like ours, or
    none at all."""
    if _group(version) == GROUP:
        return True
    known = kind.casefold() in {each.casefold() for each in _SERVED}
    return known and ("/" not in version or nearest(_group(version), [GROUP]) == GROUP)


def _header_problems(body: dict[str, Any]) -> list[Violation]:
    version, kind = body["apiVersion"], body["kind"]
    found = []
    if kind not in _SERVED:
        problem, hint = f"{kind[:60]} is no kind of {GROUP}", nearest(kind, _SERVED)
        found.append(Violation("kind", "object", "kind", problem, hint, remedy="correct it"))
    if version != API_VERSION:
        problem = f"{version[:60]} is not served"
        found.append(Violation("apiVersion", "object", "apiVersion", problem, remedy=f"write {API_VERSION}"))
    return found


def _refuse_doubles(found: Manifests) -> None:
    """The same object twice: the cluster would hold only the last one, silently."""
    first: dict[tuple[str, str, str], Place] = {}
    for listed in (found.ours, found.namespaces):
        for manifest in list(listed):
            key = (manifest.kind, manifest.namespace, manifest.name)
            place = first.setdefault(key, manifest.place)
            if place is not manifest.place:
                listed.remove(manifest)
                violation = Violation("", "object", "double", f"is also at {place}; remove one")
                spot = manifest.spot(violation)
                found.flaws.append(Flaw(manifest.place, str(manifest), violation, spot))
