"""Resolved values to data entries of ConfigMaps and Secrets, for a group and for each of its users."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field

from trimtab.core import naming
from trimtab.core.formats import UnwritableError
from trimtab.core.resolve.resolve import GroupView, Resolution
from trimtab.core.schema.key import Value
from trimtab.core.schema.outputs import Output
from trimtab.core.steps import Steps, finished
from trimtab.core.violations import TOO_LARGE, Fault, Notice, Violation, invalid

CONFIG_MAP, SECRET = "ConfigMap", "Secret"
KINDS = (CONFIG_MAP, SECRET)

OBJECT_LIMIT = 900 * 1024
"""Bytes of data that one object may hold; etcd refuses a request beyond 1.5 MiB and the API server a ConfigMap
beyond 1 MiB (https://kubernetes.io/docs/concepts/configuration/configmap/)."""


@dataclass(frozen=True, slots=True)
class Entries:
    """Data entries for the two kinds of objects: entry name to text."""

    config: Mapping[str, str] = field(default_factory=dict)
    secret: Mapping[str, str] = field(default_factory=dict)

    def of(self, kind: str) -> Mapping[str, str]:
        return self.config if kind == CONFIG_MAP else self.secret

    def size(self) -> int:
        """Bytes of the names and texts together."""
        return sum(
            len(name) + (len(text) if text.isascii() else len(text.encode()))
            for data in (self.config, self.secret)
            for name, text in data.items()
        )


@dataclass(frozen=True, slots=True)
class Rendered:
    """Entries, or the reasons why there are none; ``notices`` are for the author of the values."""

    entries: Entries
    violations: tuple[Violation, ...] = ()
    notices: tuple[Notice, ...] = ()


def render_group(view: GroupView) -> Rendered:
    """The group's own object: its files, and ``_default.<fileName>`` for users without a preference."""
    schema = view.schema
    layer = f"group/{view.group.name}"
    files = finished(_render(schema.group_outputs, view.values, layer, schema.sensitive))
    if files.violations or schema.delivery == "None":
        return _bounded(files, layer)
    defaults = finished(_render(schema.user_outputs, view.values, layer, schema.sensitive))
    merged = Entries(
        {**files.entries.config, **named(naming.DEFAULT_USER, defaults.entries).config},
        {**files.entries.secret, **named(naming.DEFAULT_USER, defaults.entries).secret},
    )
    return _bounded(
        Rendered(merged, (*files.violations, *defaults.violations), (*files.notices, *defaults.notices)),
        layer,
    )


def render_user(view: GroupView, resolution: Resolution, *, per_user: bool) -> Rendered:
    """:func:`user_files`, in one step."""
    return finished(user_files(view, resolution, per_user=per_user))


def user_files(view: GroupView, resolution: Resolution, *, per_user: bool) -> Steps[Rendered]:
    """One user's files, named by file only.

    ``per_user`` is for objects in the user's own namespace (delivery PerUser), from which sensitive values of other
    layers are omitted.
    """
    values = resolution.values
    if per_user:
        values = {n: v for n, v in values.items() if n in resolution.own or not view.schema.keys[n].sensitive}
    files = yield from _render(view.schema.user_outputs, values, "user", view.schema.sensitive)
    return _bounded(files, "user")


def named(user: str, entries: Entries) -> Entries:
    """The same entries as a shard holds them: ``<user>.<fileName>``."""
    return Entries(
        {naming.data_key(user, name): text for name, text in entries.config.items()},
        {naming.data_key(user, name): text for name, text in entries.secret.items()},
    )


def _render(
    outputs: tuple[Output, ...], values: Mapping[str, Value], layer: str, sensitive: Container[str]
) -> Steps[Rendered]:
    config: dict[str, str] = {}
    secret: dict[str, str] = {}
    violations: list[Violation] = []
    notices: list[Notice] = []
    size = 0
    for output in outputs:
        if size > OBJECT_LIMIT:
            break  # too large already
        yield
        try:
            made = output.entries(values)
        except UnwritableError:
            violations += _unwritable(output, values, layer, sensitive)
            continue
        if output.file_name:
            notices += [
                Notice(w.key, w.reason, f"{w.message} (output {output.name})")
                for w in output.writer.warnings(values)
                if w.key not in sensitive
            ]
        (config if output.kind == CONFIG_MAP else secret).update(made)
        size += sum(map(len, made.values()))
    return Rendered(Entries(config, secret), tuple(violations), tuple(notices))


def _unwritable(
    output: Output, values: Mapping[str, Value], layer: str, sensitive: Container[str]
) -> Iterator[Violation]:
    """Values that the output's format cannot hold."""
    for found in output.writer.problems(values):
        problem = f"{found.message} (output {output.name}, format {output.format})"
        fault = Fault(problem, "remove the character or use another format")
        yield invalid(found.key, layer) if found.key in sensitive else fault.at(found.key, layer, "format")


def _bounded(rendered: Rendered, layer: str) -> Rendered:
    size = rendered.entries.size()
    if size <= OBJECT_LIMIT:
        return rendered
    problem = (
        f"the rendered files are at least {size} bytes, more than the {OBJECT_LIMIT} that one object can hold"
    )
    too_large = Fault(problem, "shorten the values").at("*", layer, TOO_LARGE)
    return Rendered(Entries(), (too_large,), rendered.notices)
