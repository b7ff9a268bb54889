"""Compiled patterns: one of each text, however many keys, constraints and templates use it.

A large one takes 25 ms to compile and some megabytes, so it is never compiled twice while it is in use.
"""

from __future__ import annotations

from weakref import WeakValueDictionary

from pydantic_core import SchemaValidator
from pydantic_core import core_schema as cs


class Matcher:
    """A compiled pattern, as a function that takes a text if it matches."""

    __slots__ = ("__weakref__", "validator")

    def __init__(self, pattern: str) -> None:
        """:raises pydantic_core.SchemaError: it is none."""
        self.validator = SchemaValidator(cs.str_schema(pattern=pattern, regex_engine="rust-regex"))

    def __call__(self, text: str) -> str:
        """:raises pydantic_core.ValidationError: it does not match."""
        taken: str = self.validator.validate_python(text)
        return taken


_matchers: WeakValueDictionary[str, Matcher] = WeakValueDictionary()


def matcher(pattern: str) -> Matcher:
    """:raises pydantic_core.SchemaError: it is no pattern."""
    made = _matchers.get(pattern)
    if made is None:
        made = _matchers[pattern] = Matcher(pattern)
    return made
