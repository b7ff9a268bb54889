"""Finds the objects of Trimtab in the given files, each with its location."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from trimtab.api import API_VERSION, GROUP
from trimtab.cli.errors import Failure
from trimtab.cli.files import helm, kinds, metadata, sources
from trimtab.cli.files.composer import Spot
from trimtab.cli.files.documents import Document, read
from trimtab.cli.files.location import path_of
from trimtab.cli.files.scalars import MalformedError
from trimtab.cli.files.sources import SourceFile
from trimtab.core.text import short
from trimtab.core.violations import Fault, Violation

_FEW = 10_000
"""The most items of a List whose lines are computed."""


@dataclass(frozen=True, slots=True)
class Place:
    """The location of an object. ``item`` counts from 1 within a List; 0 outside of one."""

    source: str
    document: int
    line: int
    item: int = 0

    def __str__(self) -> str:
        item = f", item {self.item}" if self.item else ""
        return f"{self.source}:{self.line} (document {self.document}{item})"

    def spot(self, document: Document, body: Any, violation: Violation) -> Spot:
        """The position of a violation of the object at this location."""
        within = ("items", self.item - 1) if self.item else ()
        path = path_of(body, violation) if isinstance(body, dict) else ()
        return document.spot((*within, *path))


@dataclass(frozen=True, slots=True)
class Manifest:
    """An object of Trimtab, or a Namespace, with its namespace set."""

    place: Place
    kind: str
    namespace: str
    name: str
    body: dict[str, Any]
    document: Document = field(compare=False, repr=False, default=Document(1, 1, None))

    @property
    def key(self) -> tuple[str, str, str]:
        return self.kind, self.namespace, self.name

    def spot(self, violation: Violation) -> Spot:
        """The position of a violation; the object's first line if the field does not exist."""
        return self.place.spot(self.document, self.body, violation)

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True)
class Flaw:
    """A violation of an object that could not be read as an object of Trimtab."""

    place: Place
    subject: str
    violation: Violation
    spot: Spot


@dataclass(slots=True)
class Manifests:
    """The objects that were read, and in ``flaws`` the violations of those that could not be."""

    sources: list[str] = field(default_factory=list)
    objects: list[Manifest] = field(default_factory=list)
    namespaces: list[Manifest] = field(default_factory=list)
    flaws: list[Flaw] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    skipped: int = 0
    """Helm templates with objects of Trimtab, which cannot be read."""


def load(paths: Sequence[str], namespace: str) -> Manifests:
    """Read files, folders (recursively) and ``-``; ``namespace`` is that of objects without one.

    A folder may contain files of other programs: those that contain no object, or cannot be read, get a note.

    :raises Failure: with exit code 2, naming each file that cannot be read.
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
        except ValueError as error:  # an invalid path
            problems.append(f"{source.shown!r}: {error}")
    if problems:
        raise Failure("\n".join(problems), 2)
    _refuse_doubles(found)
    return found


def _documents(found: Manifests, source: SourceFile, content: bytes, problems: list[str]) -> list[Document]:
    """The documents of a file, or none with a note or a problem."""
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
    source: SourceFile
    document: Document
    namespace: str

    def sort(self) -> None:
        value = self.document.value
        place = Place(self.source.shown, self.document.index, self.document.line)
        if not isinstance(value, dict):
            kind = "a list" if isinstance(value, list) else "text" if isinstance(value, str) else short(value)
            fault = Fault(f"is {kind}, not an object", "begin with apiVersion and kind")
            self._not_an_object(place, "document", fault)
        elif not kinds.is_list(value):
            self._object(place, value)
        elif self.document.flaws and kinds.is_ours(value):
            self._flawed(place, "document")
        else:
            self._items(place, value)

    def _items(self, place: Place, value: dict[str, Any]) -> None:
        wrong, items = kinds.list_fault(value), value["items"]
        for index, item in enumerate(items, 1):
            line = self.document.spot(("items", index - 1)).line if len(items) <= _FEW else place.line
            here = Place(place.source, place.document, line, index)
            within = wrong or (kinds.NESTED if isinstance(item, dict) and kinds.is_list(item) else None)
            if within is not None and kinds.is_ours(item):
                self._refuse(here, "item", item, within.at("", "object", "shape"))
            else:
                self._object(here, item)

    def _not_an_object(self, place: Place, subject: str, fault: Fault) -> None:
        if self.source.found:
            self.found.notes.append(f"{place}: {fault.problem}; ignored")
        else:
            self._refuse(place, subject, None, fault.at("", "object", "shape"))

    def _refuse(self, place: Place, subject: str, body: Any, violation: Violation) -> None:
        spot = place.spot(self.document, body, violation)
        self.found.flaws.append(Flaw(place, subject, violation, spot))

    def _flawed(self, place: Place, subject: str) -> None:
        for spot, fault in self.document.flaws:
            self.found.flaws.append(Flaw(place, subject, fault.at("", "object", "shape"), spot))

    def _object(self, place: Place, body: Any) -> None:
        if not isinstance(body, dict):
            self._not_an_object(place, "item", Fault("is not an object", "remove it"))
            return
        version, kind = str(body.get("apiVersion")), str(body.get("kind"))
        missing = [n for n in ("apiVersion", "kind") if not isinstance(body.get(n), str) or not body[n]]
        if missing:
            self._untyped(place, body, missing)
        elif kinds.is_meant(version, kind) or kinds.is_namespace(body):
            self._add(place, body)
        else:
            if kind in kinds.SERVED:
                self.found.notes.append(
                    f"{place}: ignored {kind} of {version}; Trimtab's is of {API_VERSION}"
                )
            self.found.ignored.append(f"{place}: {kind} of {version}")

    def _untyped(self, place: Place, body: dict[str, Any], missing: list[str]) -> None:
        are, them = ("are", "them") if len(missing) > 1 else ("is", "it")
        fault = Fault(f"{' and '.join(missing)} {are} missing", f"set {them}")
        if body.get("kind") in kinds.SERVED or kinds.group_of(str(body.get("apiVersion"))) == GROUP:
            self._refuse(place, "object", body, fault.at("", "object", "shape"))
        else:
            self._not_an_object(place, "object", fault)

    def _add(self, place: Place, body: dict[str, Any]) -> None:
        meta = body.get("metadata")
        subject, is_namespace = self._subject(body, meta), kinds.is_namespace(body)
        wrong = [*(() if is_namespace else kinds.header_violations(body))] or list(metadata.problems(meta))
        self._flawed(place, subject)
        for violation in wrong:
            self._refuse(place, subject, body, violation)
        if not wrong and not self.document.flaws and isinstance(meta, dict):
            listed = self.found.namespaces if is_namespace else self.found.objects
            listed.append(self._manifest(place, body, meta))

    def _subject(self, body: dict[str, Any], meta: Any) -> str:
        """The object as messages name it before its metadata is known to be valid."""
        kind, meta = body["kind"], meta if isinstance(meta, dict) else {}
        name, home = meta.get("name"), self._home(body, meta)
        if not isinstance(name, str):
            return str(kind)
        return f"{kind} {home[:63]}/{name[:253]}" if home else f"{kind} {name[:253]}"

    def _home(self, body: dict[str, Any], meta: dict[str, Any]) -> str:
        """The object's namespace; empty for a Namespace."""
        if kinds.is_namespace(body):
            return ""
        given = meta.get("namespace")
        return given if isinstance(given, str) and given else self.namespace

    def _manifest(self, place: Place, body: dict[str, Any], meta: dict[str, Any]) -> Manifest:
        kind, home = body["kind"], self._home(body, meta)
        kept = metadata.stored(metadata.named(meta, len(self.found.objects)))
        if home and not meta.get("name") and kind != "RolloutAction":
            note = f"{kind} {kept['name']}: a cluster completes generateName with other characters"
            self.found.notes.append(f"{place}: {note}")
        kept |= {"namespace": home} if home else {}
        return Manifest(place, kind, home, kept["name"], {**body, "metadata": kept}, self.document)


def _refuse_doubles(found: Manifests) -> None:
    """Reject a second object of the same kind and name: it would silently replace the first one."""
    first: dict[tuple[str, str, str], Place] = {}
    for manifest in (*found.objects, *found.namespaces):
        place = first.setdefault(manifest.key, manifest.place)
        if place is not manifest.place:
            violation = Violation("", "object", "double", f"is also at {place}", remedy="remove one")
            spot = manifest.spot(violation)
            found.flaws.append(Flaw(manifest.place, str(manifest), violation, spot))
    found.objects = [each for each in found.objects if first[each.key] is each.place]
    found.namespaces = [each for each in found.namespaces if first[each.key] is each.place]
