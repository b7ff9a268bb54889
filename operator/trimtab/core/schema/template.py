"""A ConfigTemplate compiled once: everything that depends on no user.

Compiling either returns a :class:`Schema` that is safe to render, or raises with every reason why not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic_core import SchemaValidator
from pydantic_core import core_schema as cs

from trimtab.api.config_template import ConfigTemplateSpec, GroupSpec, KeySpec
from trimtab.core import naming
from trimtab.core.refs import Ref
from trimtab.core.schema import patterns
from trimtab.core.schema.key import Key, compile_key
from trimtab.core.schema.layer import LOSSLESS, Layer, check_layer, document_problems, overlay
from trimtab.core.schema.outputs import Output, compile_outputs
from trimtab.core.steps import Steps, finished
from trimtab.core.suggestion import Guess
from trimtab.core.violations import ENOUGH, TOO_LARGE, Fault, Notice, RejectedError, Violation


@dataclass(frozen=True, slots=True)
class Group:
    """A compiled group: its layers from lowest to highest, without its users'."""

    name: str
    spec: GroupSpec
    layers: tuple[Layer, ...]


@dataclass(frozen=True, slots=True)
class Schema:
    """A compiled template.

    ``user_values`` checks a whole mapping of a user's values in one call; ``notices`` are for the template's author.
    """

    name: str
    spec: ConfigTemplateSpec
    keys: Mapping[str, Key]
    groups: Mapping[str, Group]
    outputs: tuple[Output, ...]
    user_values: SchemaValidator
    coercion: str
    version: int
    delivery: str
    notices: tuple[Notice, ...] = ()
    sensitive: frozenset[str] = frozenset()
    special: frozenset[str] = field(default_factory=frozenset)
    """Keys that need more than a plain overlay for a user: merged, set by the group, sensitive or deprecated."""
    shared: frozenset[Ref] = field(default_factory=frozenset)
    """Workloads that more than one group lists."""
    heaviest: int = 0
    """States of the largest pattern: the highest cost of one character of a user's values."""
    lengths: Mapping[str, int] = field(default_factory=dict)
    """The most characters that the layers below users' set for a key."""
    namespace: str = ""
    """The template's."""

    @property
    def user_delivery(self) -> str:
        """How users get their files: Sharded, PerUser, or None if they have no files."""
        return self.delivery if self.user_outputs else "None"

    @property
    def user_outputs(self) -> tuple[Output, ...]:
        return tuple(o for o in self.outputs if o.scope == "User")

    @property
    def group_outputs(self) -> tuple[Output, ...]:
        return tuple(o for o in self.outputs if o.scope == "Group")


def compile_template(name: str, spec: ConfigTemplateSpec, home: str = "") -> Schema:
    """Check a template's declarations against one another and compile them. ``home`` is the template's namespace.

    :raises RejectedError: with every violation found; such a template must not be rendered.
    """
    return finished(compiling(name, spec, home))


def compiling(name: str, spec: ConfigTemplateSpec, home: str = "") -> Steps[Schema]:
    """:func:`compile_template`, in steps."""
    draft = _Draft(spec)
    yield from draft.compile_keys()
    outputs = yield from draft.compile_outputs()
    profiles = yield from draft.compile_profiles()
    defaults = draft.layer("default", _defaults(spec))
    groups = yield from draft.compile_groups(profiles, defaults)
    if draft.found:
        raise RejectedError(draft.found)
    keys, users = draft.keys, spec.users
    return Schema(
        name=name,
        spec=spec,
        keys=keys,
        groups=groups,
        outputs=outputs,
        user_values=_user_validator(keys),
        coercion=draft.coercion,
        version=spec.schema_version or 1,
        delivery=(users and users.delivery) or "Sharded",
        notices=(*draft.notices, *_empty(spec)),
        sensitive=frozenset(name for name, key in keys.items() if key.sensitive),
        special=_special(keys),
        shared=_shared_workloads(spec, home),
        lengths=_lengths([defaults], profiles.values(), [group.layers[-1] for group in groups.values()]),
        heaviest=max((key.states for key in keys.values()), default=0),
        namespace=home,
    )


class _Draft:
    """A template while it is compiled: its keys, and all that was found."""

    def __init__(self, spec: ConfigTemplateSpec) -> None:
        self.spec = spec
        self.coercion = spec.coercion or LOSSLESS
        self.keys: dict[str, Key] = {}
        self.unusable: frozenset[str] = frozenset()
        """Declared keys that do not compile: their values are not checked."""
        self.found: list[Violation] = []
        self.notices: list[Notice] = []

    def compile_keys(self) -> Steps[None]:
        declared = {key.name: None for key in self.spec.keys or []}
        seen: set[str] = set()
        budget = patterns.Budget(patterns.TEMPLATE_STATES)
        for spec in self.spec.keys or []:
            yield
            if costly := budget.problem(spec.pattern, spec.items.pattern if spec.items else None):
                self.found.append(costly.at(spec.name, "template", TOO_LARGE))
                break
            if spec.name in seen:
                fault = Fault("this key is declared twice", "remove one")
                self.found.append(fault.at(spec.name, "template", "name"))
                continue
            seen.add(spec.name)
            key, problems = compile_key(spec)
            self.found += [
                *_name_problems(spec.name, declared),
                *_replacement_problems(spec, declared),
                *problems,
            ]
            if key is not None:
                self.keys[spec.name] = key
        self.unusable = frozenset(declared) - self.keys.keys()

    def compile_outputs(self) -> Steps[tuple[Output, ...]]:
        if self.unusable or any(_above(name, self.keys) for name in self.keys):  # no file can nest them
            return ()
        outputs, problems = yield from compile_outputs(self.spec.outputs or [], self.keys)
        self.found += problems
        return outputs

    def compile_profiles(self) -> Steps[dict[str, Layer]]:
        profiles: dict[str, Layer] = {}
        for profile in self.spec.profiles or []:
            yield
            if profile.name in profiles:
                self.found.append(_twice("profiles", profile.name))
            profiles[profile.name] = self.layer(f"profile/{profile.name}", profile.values or {})
        return profiles

    def compile_groups(self, profiles: Mapping[str, Layer], defaults: Layer) -> Steps[dict[str, Group]]:
        groups: dict[str, Group] = {}
        for group in self.spec.groups or []:
            yield
            if group.name in groups:
                self.found.append(_twice("groups", group.name))
                continue
            self.found += _group_problems(group, profiles)
            profile = profiles.get(group.profile or "")
            own = self.layer(f"group/{group.name}", group.values or {})
            layers = (defaults, own) if profile is None else (defaults, profile, own)
            groups[group.name] = Group(group.name, group, layers)
            self.found += document_problems(self.keys, group.name, overlay(self.keys, layers), layers)
            if len(self.found) > ENOUGH:
                break
        return groups

    def layer(self, name: str, values: Mapping[str, Any]) -> Layer:
        if len(self.found) > ENOUGH:
            return Layer(name, {})
        given = {key: value for key, value in values.items() if key not in self.unusable}
        layer, problems, notices = check_layer(self.keys, name, given, self.coercion)
        self.found += problems
        self.notices += notices[: max(0, ENOUGH - len(self.notices))]
        return layer


def _defaults(spec: ConfigTemplateSpec) -> dict[str, Any]:
    return {key.name: key.default for key in spec.keys or [] if key.default is not None}


def _special(keys: Mapping[str, Key]) -> frozenset[str]:
    """The keys for :attr:`Schema.special`."""
    return frozenset(
        name
        for name, key in keys.items()
        if key.merge != "Replace" or key.set_by != "User" or key.sensitive or key.spec.deprecated
    )


def _empty(spec: ConfigTemplateSpec) -> Iterator[Notice]:
    """For a template that renders nothing, which may be unfinished."""
    if not spec.groups:
        yield Notice("groups", "NoGroups", "the template has no groups, so it renders nothing; add a group")
    if not spec.outputs:
        yield Notice(
            "outputs", "NoOutputs", "the template has no outputs, so it renders nothing; add an output"
        )


def _twice(section: str, name: str) -> Violation:
    return Fault(f"two {section} have this name", "rename one").at(f"{section}[{name}]", "template", "name")


def _above(name: str, names: Container[str]) -> list[str]:
    """Those of ``names`` that are sections of ``name``: ``a`` and ``a.b`` for ``a.b.c``."""
    segments = name.split(".")
    parents = (".".join(segments[:depth]) for depth in range(1, len(segments)))
    return [parent for parent in parents if parent in names]


def _name_problems(name: str, declared: Container[str]) -> Iterator[Violation]:
    for parent in _above(name, declared):
        fault = Fault(f"{parent} is a key as well, so it cannot also be a section", "rename one")
        yield fault.at(name, "template", "name")
    if name.split(".")[0] == "flags":
        fault = Fault("flags is reserved for feature flags", "use another first segment")
        yield fault.at(name, "template", "name")


def _replacement_problems(spec: KeySpec, declared: Collection[str]) -> Iterator[Violation]:
    name = spec.deprecated.replaced_by if spec.deprecated else None
    if name and name not in declared:
        fault = Fault(f"replacedBy names the unknown key {name}", "correct it", Guess(name, declared))
        yield fault.at(spec.name, "template", "deprecated")


def _group_problems(group: GroupSpec, profiles: Collection[str]) -> Iterator[Violation]:
    path = f"groups[{group.name}]"
    if ambiguous := naming.ambiguous_group(group.name):
        yield Fault(ambiguous, "rename it").at(path, "template", "name")
    if group.profile and group.profile not in profiles:
        fault = Fault(f"unknown profile {group.profile}", "correct it", Guess(group.profile, profiles))
        yield fault.at(path, "template", "profile")


def _shared_workloads(spec: ConfigTemplateSpec, home: str) -> frozenset[Ref]:
    """The workloads that several groups list."""
    listed = Counter(
        Ref(workload.kind, group.target_namespace or home, workload.name)
        for group in spec.groups or ()
        for workload in {(w.kind, w.name): w for w in group.workloads or ()}.values()
    )
    return frozenset(workload for workload, groups in listed.items() if groups > 1)


def _user_validator(keys: Mapping[str, Key]) -> SchemaValidator:
    fields = {name: cs.typed_dict_field(key.schema, required=False) for name, key in keys.items()}
    return SchemaValidator(cs.typed_dict_schema(fields, extra_behavior="forbid"))


def _lengths(*kinds: Iterable[Layer]) -> Counter[str]:
    """The most characters that any layer of a kind sets for a key, over all kinds together."""
    total: Counter[str] = Counter()
    for layers in kinds:
        most: Counter[str] = Counter()
        for layer in layers:
            most |= Counter({name: patterns.characters(value) for name, value in layer.values.items()})
        total += most
    return total
