"""How much one template may render and merge for all of its groups together; users' files are counted apart."""

from __future__ import annotations

import re
from dataclasses import dataclass

from trimtab.core.render.render import Entries
from trimtab.core.resolve.resolve import GroupView
from trimtab.core.schema.patterns import characters
from trimtab.core.schema.template import Schema
from trimtab.core.violations import TOO_LARGE, Fault, Violation

DEFAULT_OUTPUT = 4 * 1024 * 1024
FLAG = "--max-template-output"
_UNITS = {"": 1, "k": 1000, "M": 1000**2, "G": 1000**3, "Ki": 1024, "Mi": 1024**2, "Gi": 1024**3}
_QUANTITY = re.compile(r"([1-9][0-9]{0,14})(k|M|G|Ki|Mi|Gi)?\Z")
_NAMED = 3
_ENTRY = 8
"""The least bytes of an entry of a list or map, whatever it contains."""


def parse(text: str) -> int:
    """A number of bytes as Kubernetes writes it: 8Mi. :raises ValueError: it is not one."""
    found = _QUANTITY.match(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is not a valid size; write a number of bytes, for example 8Mi or 900Ki")
    return int(found[1]) * _UNITS[found[2] or ""]


@dataclass(slots=True)
class Total:
    """The bytes of a template's groups so far; ``groups`` are those that were counted."""

    schema: Schema
    limit: int = DEFAULT_OUTPUT
    size: int = 0
    groups: int = 0

    def add(self, view: GroupView, entries: Entries) -> Violation | None:
        """Count one group's files, and the values that ``merge`` combines only for it. Returns why that is too much, if
        it is, so that nothing more needs to be rendered."""
        self.size += entries.size() + merged(view)
        self.groups += 1
        if self.size <= self.limit:
            return None
        count = len(self.schema.groups)
        estimate = ""
        if self.groups < count:
            estimate = (
                f" ({self.groups} of {count} groups; about {self.size * count // self.groups:,} for all)"
            )
        problem = (
            f"the files and merged values of its groups are {self.size:,} bytes{estimate}, more than the "
            f"{self.limit:,} that one template may render; the largest outputs are {self._largest(entries)}"
        )
        remedy = f"remove outputs, groups or keys, merge less, or start the operator with a higher {FLAG}"
        return Fault(problem, remedy).at("outputs", "template", TOO_LARGE)

    def _largest(self, entries: Entries) -> str:
        data = {**entries.config, **entries.secret}
        sizes = {
            output.name: sum(
                len(data[name].encode(errors="surrogatepass"))
                for entry in output.data_keys()
                for name in (entry, f"_default.{entry}")
                if name in data
            )
            for output in self.schema.outputs
        }
        largest = sorted(sizes, key=lambda name: (-sizes[name], name))[:_NAMED]
        return ", ".join(f"{name} ({sizes[name]:,} bytes a group)" for name in largest)


def merged(view: GroupView) -> int:
    """About how many bytes the values have that are merged from several layers, so that no other group shares them."""
    size = 0
    for name, key in view.schema.keys.items():
        value = view.values.get(name)
        if key.merge == "Replace" or not isinstance(value, list | dict):
            continue
        if not any(layer.values.get(name) is value for layer in view.layers):
            size += characters(value) + _ENTRY * len(value)
    return size
