"""The violations and warnings of files by object, each with its key, problem, remedy and nearest name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from trimtab.api import ConfigTemplate, PolicyRollout, Resource, UserPreference, not_supported
from trimtab.cli.errors import Failure
from trimtab.cli.files.composer import Spot
from trimtab.cli.files.manifests import Manifest, Place
from trimtab.cli.output import notes
from trimtab.cli.simulate.files import Examined
from trimtab.cli.simulate.simulation import Simulation
from trimtab.core import reasons
from trimtab.core.evaluate.template import validating_groups
from trimtab.core.formats import FORMATS
from trimtab.core.refs import TemplateKey
from trimtab.core.resolve.preference import Preference
from trimtab.core.schema.template import compile_template
from trimtab.core.status import FALSE, Verdict
from trimtab.core.steps import finished
from trimtab.core.suggestion import nearest
from trimtab.core.violations import Fault, Notice, RejectedError, Violation

_FIELDS = {
    reasons.GROUP_NOT_FOUND: "spec.group",
    reasons.GROUP_FULL: "spec.group",
    reasons.USER_TAKEN: "spec.user",
    reasons.USER_RESERVED: "spec.user",
    reasons.NAMESPACE_NOT_ALLOWED: "metadata.namespace",
    reasons.AHEAD_OF_REVISION: "spec.schemaVersion",
    reasons.BEHIND_SCHEMA: "spec.schemaVersion",
    reasons.NAME_COLLISION: "metadata.name",
}
_ADD_IT = "add its file with -f, or correct the name"
_UNSUPPORTED = Fault("is not supported in this version of Trimtab", "remove it")


@dataclass(frozen=True, slots=True)
class Finding:
    """One violation, with its position in the file."""

    key: str
    layer: str
    rule: str
    problem: str
    remedy: str
    nearest: str
    message: str
    line: int
    column: int
    subject: str
    """The key or path, with the layer that sets it if there are several."""
    question: str
    """``did you mean ...?``"""

    def __str__(self) -> str:
        text = f"{self.problem} -> {self.remedy}" if self.remedy else self.problem
        text += f"; {self.question}" if self.question else ""
        return f"{self.subject}: {text}" if self.subject else text

    def to_dict(self) -> dict[str, Any]:
        fields = ("key", "layer", "rule", "message", "problem", "remedy", "nearest", "line", "column")
        return {name: getattr(self, name) for name in fields if getattr(self, name)}


@dataclass(slots=True)
class Entry:
    """One object of the files."""

    place: Place
    subject: str
    findings: list[Finding] = field(default_factory=list)
    warnings: list[dict[str, str]] = field(default_factory=list)

    def tidy(self) -> None:
        """Sort the findings by position, and drop warnings of coerced values that are refused for their type."""
        self.findings.sort(key=lambda found: (found.line, found.column))
        refused = {each.key for each in self.findings if each.rule == "type"}
        self.warnings = [w for w in self.warnings if w["reason"] != "Coerced" or w["key"] not in refused]

    def lines(self) -> Iterator[str]:
        """The findings as lines, equal ones once."""
        counts = Counter(f"{self.place.source}:{f.line}:{f.column}: error: {f}" for f in self.findings)
        for line, count in counts.items():
            yield f"{line} (x{count})" if count > 1 else line

    def to_dict(self) -> dict[str, Any]:
        return {
            "object": self.subject,
            "file": self.place.source,
            "document": self.place.document,
            "line": self.place.line,
            "valid": not self.findings,
            "violations": [{"file": self.place.source} | each.to_dict() for each in self.findings],
            "warnings": self.warnings,
        }


def finding(violation: Violation, spot: Spot = Spot(0, 0, 0, 0)) -> Finding:
    """A violation as the CLI shows it, at its position in a file."""
    return Finding(
        key=violation.key,
        layer=violation.layer,
        rule=violation.rule,
        problem=violation.problem,
        remedy=violation.remedy,
        nearest=violation.nearest,
        message=violation.message,
        line=spot.key_line,
        column=spot.key_column,
        subject=violation.subject,
        question=violation.question,
    )


def report(done: Examined) -> list[Entry]:
    """One entry an object, in the order of the files.

    :raises Failure: the files contain no object.
    """
    entries: dict[tuple[Place, str], Entry] = {}

    def entry(place: Place, subject: str) -> Entry:
        return entries.setdefault((place, subject), Entry(place, subject))

    for flaw in done.flaws:
        entry(flaw.place, flaw.subject).findings.append(finding(flaw.violation, flaw.spot))
    for manifest, model in done.models:
        here = entry(manifest.place, str(manifest))
        violations, notices = _verdict(done.simulation, manifest, model)
        _add(here, manifest, violations)
        here.warnings += [{"key": n.key, "reason": n.reason, "message": n.message} for n in notices]
    if not entries:
        notes(done.notes)
        raise Failure("no object of trimtab.dev in these files; name other files", 2)
    for here in entries.values():
        here.tidy()
    return sorted(entries.values(), key=lambda e: _order(done, e.place))


def _verdict(
    simulation: Simulation, manifest: Manifest, model: Resource
) -> tuple[Iterable[Violation], Iterable[Notice]]:
    """All violations of an object, not only those that fit into a status, and its notices."""
    if isinstance(model, ConfigTemplate):
        verdict = simulation.template_verdict(TemplateKey(manifest.namespace, manifest.name))
        return _of_template(manifest, model, verdict), verdict.notices
    if isinstance(model, PolicyRollout):
        policy = simulation.policies.get(TemplateKey(manifest.namespace, manifest.name))
        return _of_policy(policy.refusal if policy else None), policy.notices if policy else ()
    if isinstance(model, UserPreference):
        record = simulation.preference(manifest.namespace, manifest.name)
        refusal = simulation.preference_verdict(manifest.namespace, manifest.name)
        if record is not None and refusal is not None:
            return _of_preference(simulation, record, refusal), refusal.notices
    return (), ()


def _add(here: Entry, manifest: Manifest, violations: Iterable[Violation]) -> None:
    """Add violations, except of values that YAML misread: the value that they are about was not intended."""
    misread = {(each.line, each.column) for each in here.findings}
    found = [finding(violation, manifest.spot(violation)) for violation in violations]
    here.findings += [each for each in found if (each.line, each.column) not in misread]


def _order(done: Examined, place: Place) -> tuple[int, int, int]:
    return done.read.sources.index(place.source), place.document, place.item


def _of_template(manifest: Manifest, model: ConfigTemplate, verdict: Verdict) -> Iterator[Violation]:
    for path in not_supported(model.spec):
        yield _UNSUPPORTED.at(path, "template", reasons.NOT_SUPPORTED)
    built = [output for output in model.spec.outputs if output.format in FORMATS]
    try:
        spec = model.spec.model_copy(update={"outputs": built})
        finished(validating_groups(compile_template(manifest.name, spec, manifest.namespace)))
    except RejectedError as error:
        yield from error.violations
        return
    if verdict.ready == FALSE and verdict.reason not in (reasons.NOT_SUPPORTED, reasons.REJECTED):
        yield _refusal(verdict)


def _of_policy(verdict: Verdict | None) -> Iterable[Violation]:
    if verdict is None or verdict.violations:
        return verdict.violations if verdict else ()
    if verdict.reason != reasons.TEMPLATE_NOT_FOUND:
        return (verdict.fault.at("spec", "policy", verdict.reason),)
    fault = Fault(f"{verdict.fault.problem} in the files", _ADD_IT)
    return (fault.at("spec.templateRef.name", "policy", verdict.reason),)


def _of_preference(simulation: Simulation, record: Preference, verdict: Verdict) -> Iterator[Violation]:
    """Why the preference is refused, and which of its values would be."""
    if verdict.ready == FALSE and not verdict.violations:
        yield from _refusals(simulation, record, verdict)
    view = simulation.view(record.group_key)
    readable = view is not None and not record.problem and not record.oversize
    yield from (view.resolve(record.values).violations if view and readable else ()) or verdict.violations


def _refusals(simulation: Simulation, record: Preference, verdict: Verdict) -> Iterator[Violation]:
    reason = verdict.reason
    if reason == reasons.NOT_SUPPORTED:
        yield from (_UNSUPPORTED.at(path, "user", reason) for path in record.unsupported)
    elif reason == reasons.TEMPLATE_NOT_FOUND:
        yield _no_template(simulation.judged, record.template).at("spec.templateRef", "user", reason)
    elif reason == reasons.TEMPLATE_NOT_VALID:
        problem = f"ConfigTemplate {record.template} is not valid, so this was not validated"
        yield Fault(problem, "correct the template first").at("spec.templateRef", "user", reason)
    else:
        yield _refusal(verdict)


def _no_template(templates: Collection[TemplateKey], key: TemplateKey) -> Fault:
    """That the files lack a template, and the one that was probably intended."""
    absent = f"there is no ConfigTemplate {key} in the files"
    near = nearest(key.name, [other.name for other in templates if other.namespace == key.namespace])
    elsewhere = sorted(str(other) for other in templates if other.name == key.name)
    if elsewhere:
        return Fault(absent, f"set spec.templateRef.namespace, as there is {', '.join(elsewhere[:3])}", near)
    return Fault(absent, _ADD_IT, near)


def _refusal(verdict: Verdict) -> Violation:
    return verdict.fault.at(_FIELDS.get(verdict.reason, ""), "user", verdict.reason)
