"""The engine's verdicts on files, told per object: every violation with its key, problem, remedy and nearest name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from trimtab.api import ConfigTemplate, Resource, not_supported
from trimtab.cli.errors import Failure
from trimtab.cli.files.composer import Spot
from trimtab.cli.files.manifests import Manifest, Place
from trimtab.cli.output import notes
from trimtab.cli.simulate.files import Examined
from trimtab.core import reasons
from trimtab.core.formats import FORMATS
from trimtab.core.refs import TemplateKey
from trimtab.core.status import FALSE
from trimtab.core.suggestion import nearest
from trimtab.core.violations import RejectedError, Violation

_FIELDS = {
    reasons.TEMPLATE_NOT_FOUND: "spec.templateRef",
    reasons.TEMPLATE_NOT_VALID: "spec.templateRef",
    reasons.GROUP_NOT_FOUND: "spec.group",
    reasons.GROUP_FULL: "spec.group",
    reasons.USER_TAKEN: "spec.user",
    reasons.USER_RESERVED: "spec.user",
    reasons.NAMESPACE_NOT_ALLOWED: "metadata.namespace",
    reasons.AHEAD_OF_REVISION: "spec.schemaVersion",
    reasons.BEHIND_SCHEMA: "spec.schemaVersion",
    reasons.NAME_COLLISION: "metadata.name",
}
_ASIDE = (" (what was accepted last", " (the group's values")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong. ``problem`` and ``remedy`` are the message's two halves."""

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
    """Which value it is about, with the layer that set it."""
    question: str
    """Whether something else was meant."""

    def __str__(self) -> str:
        said = self.problem
        if self.remedy:
            said += f" -> {self.remedy}"
        if self.question:
            said += f"; {self.question}"
        return f"{self.subject}: {said}" if self.subject else said

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

    def lines(self) -> Iterator[str]:
        """The findings for people, equal ones once."""
        said = Counter(f"{self.place.source}:{f.line}:{f.column}: error: {f}" for f in self.findings)
        for line, count in said.items():
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
    """A violation as the CLI shows it; one whose message was written whole has its remedy after a semicolon.
    ``spot`` is where what is wrong stands in a file."""
    problem, remedy = violation.problem, violation.remedy
    if not remedy:
        before, _, after = problem.rpartition("; ")
        problem, remedy = (before, after) if before else (problem, "")
    return Finding(
        key=violation.key,
        layer=violation.layer,
        rule=violation.rule,
        problem=problem,
        remedy=remedy,
        nearest=violation.nearest,
        message=violation.message,
        line=spot.key_line,
        column=spot.key_column,
        subject=violation.subject,
        question=violation.question,
    )


def report(done: Examined) -> list[Entry]:
    """One entry an object, in the order of the files.

    :raises Failure: they hold none.
    """
    entries: dict[tuple[Place, str], Entry] = {}

    def entry(place: Place, subject: str) -> Entry:
        return entries.setdefault((place, subject), Entry(place, subject))

    for manifest, _ in done.models:
        entry(manifest.place, str(manifest))
    for flaw in done.flaws:
        entry(flaw.place, flaw.subject).findings.append(finding(flaw.violation, flaw.spot))
    for manifest, model in done.models:
        here = entry(manifest.place, str(manifest))
        if manifest.kind == "ConfigTemplate":
            _add(here, manifest, template_violations(done, manifest, model))
            key = TemplateKey(manifest.namespace, manifest.name)
            notices = done.simulation.template_verdict(key).notices
            here.warnings += [{"key": n.key, "reason": n.reason, "message": n.message} for n in notices]
        elif manifest.kind == "PolicyRollout":
            _add(here, manifest, policy_violations(done, manifest))
            case = done.simulation.policies.get(TemplateKey(manifest.namespace, manifest.name))
            here.warnings += [
                {"key": n.key, "reason": n.reason, "message": n.message}
                for n in (case.notices if case else ())
            ]
        elif manifest.kind == "UserPreference":
            status = done.simulation.preference_status(manifest.namespace, manifest.name)
            _add(here, manifest, preference_violations(done, manifest, status))
            here.warnings += status.get("warnings", [])
    if not entries:
        notes(done.notes)
        raise Failure("no object of trimtab.dev in these files; name other files", 2)
    for here in entries.values():
        here.findings.sort(key=lambda found: (found.line, found.column))
        refused = {each.key for each in here.findings if each.rule == "type"}
        here.warnings = [w for w in here.warnings if w["reason"] != "Coerced" or w["key"] not in refused]
    return sorted(entries.values(), key=lambda e: _order(done, e.place))


def _add(here: Entry, manifest: Manifest, violations: Iterable[Violation]) -> None:
    """The engine's findings, but those of a value that was misread: what it was taken for says nothing."""
    misread = {(each.line, each.column) for each in here.findings}
    found = [finding(violation, manifest.spot(violation)) for violation in violations]
    here.findings += [each for each in found if (each.line, each.column) not in misread]


def _order(done: Examined, place: Place) -> tuple[int, int, int]:
    return done.read.sources.index(place.source), place.document, place.item


def template_violations(done: Examined, manifest: Manifest, model: Resource) -> Iterator[Violation]:
    """All that is wrong with a template, not only what a status has room for."""
    from trimtab.core.evaluate.template import validating_groups
    from trimtab.core.schema.template import compile_template
    from trimtab.core.steps import finished

    if not isinstance(model, ConfigTemplate):
        return
    for path in not_supported(model.spec):
        yield Violation(
            path, "template", reasons.NOT_SUPPORTED, "is not supported in this version of Trimtab; remove it"
        )
    built = [output for output in model.spec.outputs if output.format in FORMATS]
    try:
        spec = model.spec.model_copy(update={"outputs": built})
        finished(validating_groups(compile_template(manifest.name, spec, manifest.namespace)))
    except RejectedError as error:
        yield from error.violations
        return
    verdict = done.simulation.template_verdict(TemplateKey(manifest.namespace, manifest.name))
    if verdict.ready == FALSE and verdict.reason not in (reasons.NOT_SUPPORTED, reasons.REJECTED):
        yield _said(verdict.reason, verdict.message)


def policy_violations(done: Examined, manifest: Manifest) -> Iterator[Violation]:
    """All that is wrong with a policy and its strategy."""
    case = done.simulation.policies.get(TemplateKey(manifest.namespace, manifest.name))
    verdict = case.refusal if case is not None else None
    if verdict is None:
        return
    if verdict.violations:
        yield from verdict.violations
    elif verdict.reason == reasons.TEMPLATE_NOT_FOUND:
        message = f"{verdict.message.split('; ')[0]} in the files; add its file with -f, or correct the name"
        yield Violation("spec.templateRef.name", "policy", verdict.reason, message)
    else:
        yield Violation("spec", "policy", verdict.reason, verdict.message)


def preference_violations(done: Examined, manifest: Manifest, status: dict[str, Any]) -> Iterator[Violation]:
    """All that is wrong with a preference: why it does not count, and what of its values would be refused."""
    ready = next((c for c in status.get("conditions", ()) if c["type"] == "Ready"), None)
    record = done.simulation.preference(manifest.namespace, manifest.name)
    if ready is None or record is None:
        return
    reason = ready["reason"]
    listed = status.get("violations", [])
    if ready["status"] == FALSE and not listed:
        if reason == reasons.NOT_SUPPORTED:
            for path in record.unsupported:
                message = "is not supported in this version of Trimtab; remove it"
                yield Violation(path, "user", reason, message)
        elif reason == reasons.TEMPLATE_NOT_FOUND:
            known = [key.name for key in done.simulation.judged if key.namespace == record.template.namespace]
            absent = f"there is no ConfigTemplate {record.template} in the files"
            message = f"{absent}; add its file with -f, or correct the name"
            elsewhere = sorted(str(key) for key in done.simulation.judged if key.name == record.template.name)
            if elsewhere:
                message = f"{absent}; set spec.templateRef.namespace, as there is {', '.join(elsewhere[:3])}"
            yield Violation(_FIELDS[reason], "user", reason, message, nearest(record.template.name, known))
        elif reason == reasons.TEMPLATE_NOT_VALID:
            refused = f"ConfigTemplate {record.template} is not valid, so this was not judged"
            message = f"{refused}; correct the template first"
            yield Violation(_FIELDS[reason], "user", reason, message)
        else:
            yield _said(reason, ready["message"])
    view = done.simulation.view(record.group_key)
    values = (
        view.resolve(record.values).violations if view and not (record.problem or record.oversize) else ()
    )
    yield from values or (_violation(each) for each in listed)


def _said(reason: str, message: str) -> Violation:
    hint = ""
    if " (did you mean " in message:
        message, _, rest = message.partition(" (did you mean ")
        hint, _, rest = rest.partition("?)")
        message += rest
    for aside in _ASIDE:
        message = message.split(aside)[0]
    return Violation(_FIELDS.get(reason, ""), "user", reason, message, hint)


def _violation(fields: dict[str, str]) -> Violation:
    said = {"key": "", "layer": "", **fields}
    return Violation(said["key"], said["layer"], said["rule"], said["message"], said.get("nearest", ""))
