"""Whether a text is a Helm template rather than YAML: a folder may hold both."""

from __future__ import annotations

import re
from collections import deque

from trimtab.cli.files.documents import read
from trimtab.cli.files.scalars import MalformedError

ADVICE = "looks like a Helm template; render it first (helm template)"
_PLAIN_ACTION = r"\{\{[^{}]*\}\}|\{\{[^\n]*?\}\}|\{\{[^\n]*"
"""The last alternative skips the rest of a line without }}, so that the search stays linear."""
_END = re.compile(r"\*/\s*-?\}\}")
_COMMENTED = re.compile(r"\{\{-?\s*/\*.*?\*/\s*-?\}\}|" + _PLAIN_ACTION, re.DOTALL)
_ACTION = re.compile(_PLAIN_ACTION)
_COMMENT = re.compile(r"^[ \t]*#.*$", re.MULTILINE)
_EMPTY = re.compile(
    r"\{\{-?\s*(?:/\*|(?:if|else|end|range|with|define|block|template)\b|\$\w+\s*:?=)|toYaml|indent"
)
"""Actions that render no text on their own line."""
_LINE = re.compile(r"line ([0-9]+)")


def is_template(text: str, error: MalformedError) -> bool:
    """Whether ``{{ ... }}`` is why the text cannot be read: with plain words instead, all or more of it can be read."""
    plain = _plain(text)
    if plain == text:
        return False
    try:
        for _ in read(plain):
            pass
    except MalformedError as other:
        return line_of(other) > line_of(error)
    return True


def line_of(error: MalformedError) -> int:
    """The line of the error; 0 if it names none."""
    found = _LINE.match(str(error))
    return int(found[1]) if found else 0


def _plain(text: str) -> str:
    """The text with a word for each action, on as many lines; comments stay, as YAML does not read them."""
    end = max((found.end() for found in _END.finditer(text)), default=0)  # no comment of Helm's ends later
    return _worded(_COMMENTED, text[:end]) + _worded(_ACTION, text[end:])


def _worded(action: re.Pattern[str], text: str) -> str:
    comments = deque(found.span() for found in _COMMENT.finditer(text))

    def replaced(found: re.Match[str]) -> str:
        while comments and comments[0][1] <= found.start():
            comments.popleft()
        if (comments and comments[0][0] <= found.start()) or not found[0].endswith("}}"):
            return found[0]
        word = "" if _EMPTY.search(found[0]) else "x"
        return word + "\n" * found[0].count("\n")

    return action.sub(replaced, text)
