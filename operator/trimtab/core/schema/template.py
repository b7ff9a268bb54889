"""A ConfigTemplate compiled once: everything that can be known before any user is looked at.

Compiling either gives a :class:`Schema` that is safe to serve, or raises with every reason why not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic_core import SchemaValidator
from pydantic_core import core_schema as cs

from trimtab.api.config_template import ConfigTemplateSpec, GroupSpec
from trimtab.core import naming
from trimtab.core.schema import coerce, patterns
from trimtab.core.schema.key import Key, Value, check, compile_key
from trimtab.core.schema.key_messages import coerced, counted, unknown_key
from trimtab.core.schema.outputs import Output, compile_outputs
from trimtab.core.steps import Steps, finished
from trimtab.core.suggestion import Guess
from trimtab.core.violations import ENOUGH, Notice, RejectedError, Violation

LOSSLESS = "Lossless"
USER = "user"
TOO_LARGE = "tooLarge"
"""The rule of whatever is refused for its size alone."""

Workload = tuple[str, str, str]
"""Kind, namespace and name."""


@dataclass(frozen=True, slots=True)
class Layer:
    """Checked values that one author set; ``name`` is how provenance and violations call it."""

    name: str
    values: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Group:
    """A compiled group: its layers from lowest to highest, its users' layer left out."""

    name: str
    spec: GroupSpec
    layers: tuple[Layer, ...]


@dataclass(frozen=True, slots=True)
class Schema:
    """A compiled template.

    ``user_values`` checks a whole mapping of a user's values in one call; ``notices`` are what the author of
    the template should know.
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
    shared: frozenset[Workload] = field(default_factory=frozenset)
    """Workloads that more than one group lists."""
    heaviest: int = 0
    """States of the largest pattern: what a character of a user's values costs at most."""
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

    :raises RejectedError: with every violation found; nothing of such a template may be served.
    """
    return finished(compiling(name, spec, home))


def compiling(name: str, spec: ConfigTemplateSpec, home: str = "") -> Steps[Schema]:
    """:func:`compile_template`, in steps."""
    keys, found = yield from _keys(spec)
    unusable = {key.name for key in spec.keys or []} - keys.keys()
    outputs: tuple[Output, ...] = ()
    if not unusable and not any(_above(name, keys) for name in keys):  # else no file can nest them
        outputs, broken = yield from compile_outputs(spec.outputs or [], keys)
        found += broken
    coercion = spec.coercion or LOSSLESS
    notices: list[Notice] = []

    def checked(name: str, values: Mapping[str, Any]) -> Layer:
        if len(found) > ENOUGH:
            return Layer(name, {})
        given = {key: value for key, value in values.items() if key not in unusable}
        layer, problems, said = check_layer(keys, name, given, coercion)
        found.extend(problems)
        notices.extend(said[: max(0, ENOUGH - len(notices))])
        return layer

    profiles: dict[str, Layer] = {}
    for profile in spec.profiles or []:
        yield
        if profile.name in profiles:
            found.append(_twice("profiles", profile.name))
        profiles[profile.name] = checked(f"profile/{profile.name}", profile.values or {})
    defaults = checked("default", {k.name: k.default for k in spec.keys or [] if k.default is not None})
    groups, problems = yield from _groups(spec, keys, profiles, defaults, checked)
    found += problems
    if found:
        raise RejectedError(found)
    return Schema(
        name=name,
        spec=spec,
        keys=keys,
        groups=groups,
        outputs=outputs,
        user_values=_user_validator(keys),
        coercion=coercion,
        version=spec.schema_version or 1,
        delivery=(spec.users.delivery if spec.users and spec.users.delivery else "Sharded"),
        notices=(*notices, *_empty(spec)),
        sensitive=frozenset(name for name, key in keys.items() if key.sensitive),
        special=frozenset(
            n
            for n, k in keys.items()
            if k.merge != "Replace" or k.set_by != "User" or k.sensitive or k.spec.deprecated
        ),
        shared=_shared_workloads(spec, home),
        lengths=(
            _lengths([defaults])
            + _lengths(profiles.values())
            + _lengths(group.layers[-1] for group in groups.values())
        ),
        heaviest=max((key.states for key in keys.values()), default=0),
        namespace=home,
    )


def _empty(spec: ConfigTemplateSpec) -> Iterator[Notice]:
    """Said of a template that renders nothing, as it may be on its way to be written."""
    if not spec.groups:
        yield Notice("groups", "NoGroups", "the template has no groups, so it renders nothing; add a group")
    if not spec.outputs:
        yield Notice(
            "outputs", "NoOutputs", "the template has no outputs, so it renders nothing; add an output"
        )


def _twice(section: str, name: str) -> Violation:
    problem = f"two {section} have this name"
    return Violation(f"{section}[{name}]", "template", "name", problem, remedy="rename one")


def _keys(spec: ConfigTemplateSpec) -> Steps[tuple[dict[str, Key], list[Violation]]]:
    keys: dict[str, Key] = {}
    found: list[Violation] = []
    declared = {key.name: None for key in spec.keys or []}
    seen: set[str] = set()
    budget = patterns.Budget(patterns.TEMPLATE_STATES)
    for declaration in spec.keys or []:
        yield
        items = declaration.items.pattern if declaration.items else None
        costly = budget.problem(declaration.pattern) or budget.problem(items)
        if costly:
            problem, remedy = costly
            found.append(Violation(declaration.name, "template", TOO_LARGE, problem, remedy=remedy))
            break
        name = declaration.name
        if name in seen:
            problem = "this key is declared twice"
            found.append(Violation(name, "template", "name", problem, remedy="remove one"))
            continue
        seen.add(name)
        found += _name_problems(name, declared)
        replaced_by = declaration.deprecated.replaced_by if declaration.deprecated else None
        if replaced_by and replaced_by not in declared:
            problem, guess = f"replacedBy names the unknown key {replaced_by}", Guess(replaced_by, declared)
            found.append(
                Violation(name, "template", "deprecated", problem, remedy="correct it", suggestion=guess)
            )
        key, problems = compile_key(declaration)
        found += problems
        if key is not None:
            keys[name] = key
    return keys, found


def _above(name: str, names: Container[str]) -> list[str]:
    """Those of ``names`` that ``name`` stands under: ``a`` and ``a.b`` for ``a.b.c``."""
    segments = name.split(".")
    parents = (".".join(segments[:depth]) for depth in range(1, len(segments)))
    return [parent for parent in parents if parent in names]


def _name_problems(name: str, declared: Container[str]) -> list[Violation]:
    found = [
        Violation(
            name,
            "template",
            "name",
            f"{parent} is a key as well, so it cannot also be a section",
            remedy="rename one",
        )
        for parent in _above(name, declared)
    ]
    if name.split(".")[0] == "flags":
        problem = "flags is reserved for feature flags"
        found.append(Violation(name, "template", "name", problem, remedy="use another first segment"))
    return found


def _groups(
    spec: ConfigTemplateSpec,
    keys: Mapping[str, Key],
    profiles: Mapping[str, Layer],
    defaults: Layer,
    checked: Callable[[str, Mapping[str, Any]], Layer],
) -> Steps[tuple[dict[str, Group], list[Violation]]]:
    groups: dict[str, Group] = {}
    found: list[Violation] = []
    for group in spec.groups or []:
        yield
        path = f"groups[{group.name}]"
        if group.name in groups:
            found.append(_twice("groups", group.name))
            continue
        ambiguous = naming.ambiguous_group(group.name)
        if ambiguous:
            found.append(Violation(path, "template", "name", ambiguous))
        layers = [defaults]
        if group.profile and group.profile in profiles:
            layers.append(profiles[group.profile])
        elif group.profile:
            problem, guess = f"unknown profile {group.profile}", Guess(group.profile, profiles)
            found.append(
                Violation(path, "template", "profile", problem, remedy="correct it", suggestion=guess)
            )
        layers.append(checked(f"group/{group.name}", group.values or {}))
        groups[group.name] = Group(group.name, group, tuple(layers))
        found += document_problems(keys, group.name, overlay(keys, layers), layers)
        if len(found) > ENOUGH:
            break
    return groups, found


def _shared_workloads(spec: ConfigTemplateSpec, home: str) -> frozenset[Workload]:
    """The workloads that several groups list."""
    listed = Counter(
        (workload.kind, group.target_namespace or home, workload.name)
        for group in spec.groups or ()
        for workload in {(w.kind, w.name): w for w in group.workloads or ()}.values()
    )
    return frozenset(workload for workload, groups in listed.items() if groups > 1)


def document_problems(
    keys: Mapping[str, Key], group: str, values: Mapping[str, Value], layers: Sequence[Layer]
) -> list[Violation]:
    """What is wrong with a group's own document: merged values beyond limits, required keys without a value.

    ``values`` is that document, and ``layers`` are what it is made of.
    """
    found = []
    layer = f"group/{group}"
    for name, key in keys.items():
        if key.required and key.set_by == "Group" and name not in values:
            problem = f"is required and group {group} has no value for it"
            remedy = "set one in the group, its profile or as default"
            found.append(Violation(name, layer, "required", problem, remedy=remedy))
        if key.merge != "Replace" and name in values:
            found += check_combined(key, values[name], layer, layers)
    return found


def check_combined(key: Key, value: Value, layer: str, layers: Iterable[Layer]) -> list[Violation]:
    """A value that ``merge`` made of several layers' values, the highest last, against the key's own limits."""
    found = check(key, value, layer)[1]
    parts = [(part.name, part.values[key.name]) for part in layers if key.name in part.values]
    return [counted(key, violation, value, parts) for violation in found]


def overlay(keys: Mapping[str, Key], layers: Iterable[Layer]) -> dict[str, Value]:
    """Layers from lowest to highest as one mapping, in the template's key order."""
    values: dict[str, Value] = {}
    for layer in layers:
        for name, value in layer.values.items():
            values[name] = keys[name].combine(values.get(name), value)
    return {name: values[name] for name in keys if name in values}


def _user_validator(keys: Mapping[str, Key]) -> SchemaValidator:
    fields = {name: cs.typed_dict_field(key.schema, required=False) for name, key in keys.items()}
    return SchemaValidator(cs.typed_dict_schema(fields, extra_behavior="forbid"))


def check_layer(
    keys: Mapping[str, Key], layer: str, given: Mapping[str, Any], coercion: str
) -> tuple[Layer, list[Violation], list[Notice]]:
    """Check one author's values key by key: unknown keys, types and limits, lossless coercion."""
    values: dict[str, Value] = {}
    states = {name: keys[name].states for name in given if name in keys and keys[name].states}
    costly = too_costly(states, layer, {name: patterns.characters(given[name]) for name in states})
    if costly is not None:
        return Layer(layer, values), [costly], []
    found: list[Violation] = []
    notices: list[Notice] = []
    for name, raw in given.items():
        key = keys.get(name)
        if key is None:
            found.append(unknown_key(keys, name, layer, raw))
            continue
        value, problems, notice = check_value(key, raw, layer, coercion)
        found += problems
        if notice:
            notices.append(notice)
        if key.sensitive and layer != USER:
            notices.append(in_clear(name, layer))
        if value is not None:
            values[name] = value
    return Layer(layer, values), found, notices


def too_costly(states: Mapping[str, int], layer: str, lengths: Mapping[str, int]) -> Violation | None:
    """Why values take too long to check against patterns, if they do: ``states`` are those of each key's patterns,
    ``lengths`` the characters of its value."""
    costs = {name: count * lengths[name] for name, count in states.items() if name in lengths}
    total = sum(costs.values())
    if total <= patterns.TOTAL_STEPS:
        return None
    worst = max(costs, key=lambda name: costs[name])
    problem = (
        f"checking all values against their patterns would take {total:,} steps (states times characters), the limit "
        f"is {patterns.TOTAL_STEPS:,}, and this key takes most of them"
    )
    return Violation(worst, layer, TOO_LARGE, problem, remedy="shorten its value, or simplify its pattern")


def _lengths(layers: Iterable[Layer]) -> Counter[str]:
    """The most characters that any of the layers sets for a key."""
    most: Counter[str] = Counter()
    for layer in layers:
        most |= Counter({name: patterns.characters(value) for name, value in layer.values.items()})
    return most


def in_clear(name: str, layer: str) -> Notice:
    """Said to the author of a sensitive value that stands in an object's spec."""
    of_policy = layer.startswith(("policy/", "enforced/"))
    where = "PolicyRollout" if of_policy else "template"
    message = f"this sensitive value ({layer}) is readable by whoever may read the {where}"
    return Notice(name, "SensitiveInPolicy" if of_policy else "SensitiveInTemplate", message)


def check_value(
    key: Key, raw: Any, layer: str, coercion: str
) -> tuple[Value | None, list[Violation], Notice | None]:
    """One value: as given if it fits, else coerced where nothing is lost, else its violations."""
    value, problems = check(key, raw, layer)
    if not problems or coercion != LOSSLESS:
        return value, problems, None
    taken = coerce.lossless(key.type, raw)
    if taken is None:
        return None, problems, None
    value, beyond = check(key, taken, layer)
    if beyond or key.sensitive:  # how a sensitive value was written is nobody else's business
        return value, beyond, None
    return value, [], coerced(key, raw, taken)
