"""Callbacks, and collaborators that an object receives after its construction: two counts of ``structure``."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from benchmarks.source import Assignment, Function, Module, assigned_attributes, parameters, type_names

CALLABLE = "Callable"
CLOCKS = ("now", "clock")
VALUE_BASES = {"BaseModel", "Struct", "NamedTuple", "Enum", "StrEnum", "IntEnum", "TypedDict", "Exception"}
Scope = Mapping[str, set[str]]
"""The classes that a name or an attribute may be of, by name."""


def callbacks(modules: Iterable[Module], rooms: Iterable[str], *, kept: bool) -> list[str]:
    """Parameters, fields and attributes of those rooms that are annotated as a function.

    ``Callable[...]`` counts, also in a union, and so does an alias of it. Clocks (``now``, ``clock``) do not count.
    With ``kept``, only what an object keeps counts: fields, attributes and parameters of ``__init__``.
    """
    modules, rooms = list(modules), list(rooms)
    callables = _callables(modules)
    return sorted(
        {
            module.locate(annotation, name)
            for module in modules
            if any(module.within(room) for room in rooms)
            for name, annotation, is_kept in _annotations(module)
            if (is_kept or not kept) and name not in CLOCKS and type_names(annotation) & callables
        }
    )


def late_bindings(modules: Iterable[Module]) -> list[str]:
    """Assignments ``x.y = ...``, x not ``self``, that give a constructed object a collaborator.

    A collaborator is a function, or an object of a class of the package that acts: that has a method other than
    properties and dunder methods, and is no frozen dataclass, no model, enum or exception. The class of x is read from
    the annotations and constructor calls of its function and of the classes around; where that does not name it, the
    classes that declare a y decide by majority. Assigning None is no binding.
    """
    modules = list(modules)
    classes = [cls for module in modules for cls in module.classes()]
    acting = {cls.name for cls in classes if _acts(cls)}
    rule = _Rule({cls.name: _attributes(cls) for cls in classes}, _callables(modules) | acting)
    return [
        module.locate(node, ast.unparse(target))
        for module in modules
        for scope, node in _assignments(module.tree, {})
        if not _is_none(node.value)
        for target in rule.bound(node, scope)
    ]


@dataclass(frozen=True, slots=True)
class _Rule:
    classes: Mapping[str, Scope]
    """The attributes of each class of the package."""
    collaborators: set[str]

    def bound(self, node: Assignment, scope: Scope) -> list[ast.Attribute]:
        return [target for target in assigned_attributes(node) if self.is_binding(target, scope)]

    def is_binding(self, target: ast.Attribute, scope: Scope) -> bool:
        if isinstance(target.value, ast.Name) and target.value.id in ("self", "cls"):
            return False
        known = [self.classes[name] for name in self.types(target.value, scope) if name in self.classes]
        if known:
            return any(attributes.get(target.attr, set()) & self.collaborators for attributes in known)
        votes = [
            bool(attributes[target.attr] & self.collaborators)
            for attributes in self.classes.values()
            if target.attr in attributes
        ]
        return sum(votes) * 2 > len(votes)

    def types(self, node: ast.expr, scope: Scope) -> set[str]:
        """The classes that the expression may be of; empty if unknown."""
        if isinstance(node, ast.Name):
            return scope.get(node.id, set())
        if isinstance(node, ast.Attribute):
            owners = self.types(node.value, scope)
            return set[str]().union(
                *(self.classes[owner].get(node.attr, set()) for owner in owners if owner in self.classes)
            )
        return set()


def _assignments(node: ast.AST, scope: Scope) -> Iterator[tuple[Scope, Assignment]]:
    """Assignments, each with the names whose class the text around it shows."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Assignment):
            yield scope, child
        inner = scope
        if isinstance(child, ast.ClassDef):
            inner = {"self": {child.name}}
        elif isinstance(child, Function):
            inner = {**scope, **_locals(child)}
        yield from _assignments(child, inner)


def _locals(function: Function) -> dict[str, set[str]]:
    found = {p.arg: type_names(p.annotation) for p in parameters(function)}
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    found[target.id] = type_names(node.value.func)
    return found


def _attributes(cls: ast.ClassDef) -> dict[str, set[str]]:
    """The types of its attributes, as annotated or as the constructor's parameter or call shows."""
    found = {name: type_names(annotation) for name, annotation in _fields(cls)}
    for method in cls.body:
        if isinstance(method, Function):
            scope = {p.arg: type_names(p.annotation) for p in parameters(method)}
            for name, node in _self_assignments(method):
                found.setdefault(name, set()).update(_value_types(node, scope))
    return found


def _fields(cls: ast.ClassDef) -> Iterator[tuple[str, ast.expr]]:
    for item in cls.body:
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
            yield item.target.id, item.annotation


def _self_assignments(method: Function) -> Iterator[tuple[str, Assignment]]:
    for node in ast.walk(method):
        if isinstance(node, Assignment):
            for target in assigned_attributes(node):
                if isinstance(target.value, ast.Name) and target.value.id == "self":
                    yield target.attr, node


def _value_types(node: Assignment, scope: Scope) -> set[str]:
    if isinstance(node, ast.AnnAssign):
        return type_names(node.annotation)
    if isinstance(node.value, ast.Name):
        return scope.get(node.value.id, set())
    return type_names(node.value.func) if isinstance(node.value, ast.Call) else set()


def _annotations(module: Module) -> Iterator[tuple[str, ast.expr, bool]]:
    """(name, annotation, whether an object keeps it) of parameters, fields and attributes."""
    for function in module.functions():
        for parameter in parameters(function):
            if parameter.annotation is not None:
                yield parameter.arg, parameter.annotation, function.name == "__init__"
    for node in ast.walk(module.tree):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Attribute):
            yield node.target.attr, node.annotation, True
    for cls in module.classes():
        yield from ((name, annotation, True) for name, annotation in _fields(cls))


def _callables(modules: Iterable[Module]) -> set[str]:
    """``Callable`` and its aliases."""
    return {CALLABLE} | {
        target.id
        for module in modules
        for node in module.tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Subscript)
        if CALLABLE in type_names(node.value)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def _acts(cls: ast.ClassDef) -> bool:
    bases = set[str]().union(*(type_names(base) for base in cls.bases))
    if bases & VALUE_BASES or any(base.endswith("Error") for base in bases):
        return False
    if any("frozen=True" in ast.unparse(decorator) for decorator in cls.decorator_list):
        return False
    return any(isinstance(item, Function) and _is_action(item) for item in cls.body)


def _is_action(method: Function) -> bool:
    decorators = {ast.unparse(decorator) for decorator in method.decorator_list}
    return not method.name.startswith("__") and not decorators & {"property", "classmethod", "staticmethod"}


def _is_none(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and node.value is None
