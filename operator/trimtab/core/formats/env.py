"""Environment variables: a file that a shell sources, or one entry per key for ``envFrom``.

Names: ``prefix`` as written, then segments and camel humps in upper case, joined by underscores. A hump
begins at a capital after a small letter or digit, and at the last capital of an acronym that a small letter
follows; digits belong to the letters before them, and so does the plural s of an acronym:
``spotify.clientSecret`` is ``SPOTIFY_CLIENT_SECRET``, ``httpURL2Path`` is ``HTTP_URL2_PATH``, ``allowedIPs``
is ``ALLOWED_IPS``.

Values in a file are quoted so that a POSIX shell reads them exactly (POSIX.1-2017, XCU 2.2 Quoting), and
python-dotenv too wherever one quoting suits both. What python-dotenv does (its parser.py and variables.py,
1.0 to 1.2):

=========  ===============================================  ==============================================
quotes     a POSIX shell                                    python-dotenv
=========  ===============================================  ==============================================
single     all is literal, ``'`` impossible                 ``\\\\`` and ``\\'`` are escapes
double     ``$`` and backtick act; ``\\`` before them,      ``\\`` before ``\\ ' " a b f n r t v`` escapes,
           ``"``, ``\\`` and newline escapes                ``\\`` before anything else stays
any                                                         ``${NAME}`` is replaced (``interpolate=True``),
                                                            a carriage return in a file is a newline
=========  ===============================================  ==============================================

If no quoting suits both, the text is for the shell, in a form in which python-dotenv never reads part of a value as
another variable, and :meth:`EnvWriter.warnings` reports it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trimtab.core.formats.flat import flat_text
from trimtab.core.formats.writer import Format, Problem, UnwritableError, Value, Writer
from trimtab.core.violations import Notice

_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z](?!s(?![a-z]))[a-z])")
_PREFIX = re.compile(r"(?:[A-Za-z_][A-Za-z0-9_]*)?")
_UNEASY = re.compile(r"['\\\r\0]|\$\{")
_REPLACED = re.compile(r"\$\{(?:[^}:$]|\$(?!\{))*+(?::-[^}]*)?\}")
_SPECIAL = re.compile(r'["\\$`]')

SHELL_NAMES = frozenset(
    {"BASHOPTS", "BASHPID", "BASH_ARGV0", "BASH_VERSINFO", "DIRSTACK", "EPOCHREALTIME", "EPOCHSECONDS"}
    | {"EUID", "FUNCNAME", "GROUPS", "HISTCMD", "LINENO", "OPTIND", "PIPESTATUS", "PPID", "RANDOM", "SECONDS"}
    | {"SHELLOPTS", "SHLVL", "SRANDOM", "UID", "BASH_COMMAND", "BASH_SUBSHELL", "BASH_ARGC", "BASH_ARGV"}
    | {"BASH_LINENO", "BASH_SOURCE", "BASH_COMPAT", "BASH_XTRACEFD", "OLDPWD", "PWD", "CDPATH", "GLOBIGNORE"}
    | {
        "LC_ALL",
        "LC_COLLATE",
        "LC_CTYPE",
        "LC_MESSAGES",
        "LC_NUMERIC",
        "LC_TIME",
        "LANG",
        "TMOUT",
        "FUNCNEST",
    }
    | {"EXECIGNORE", "POSIXLY_CORRECT", "PS0", "PS1", "PS2", "_"}
    | {"PATH", "IFS", "HOME", "ENV", "BASH_ENV", "LD_PRELOAD", "LD_LIBRARY_PATH", "PS4", "PROMPT_COMMAND"}
)
"""Variables that sh or bash manage, so that an assignment fails or does not last, or that change how they or the
programs that they start behave (bash(1), ld.so(8))."""

_TRAILING = '\\"\n'
_NUL = "an environment variable cannot hold a NUL character"
_DOTENV = "a shell reads this value exactly, python-dotenv does not: no quoting suits both"
_SHELL = (
    "is a variable of the shell itself, which may not keep this value or acts on it: give the output a prefix"
)


def env_name(key: str, prefix: str = "") -> str:
    """The variable for a key, by the rule above."""
    return prefix + _HUMP.sub("_", key).replace(".", "_").upper()


def _names(keys: Sequence[str], prefix: str) -> dict[str, str]:
    return {key: env_name(key, prefix) for key in keys}


def quoted(text: str) -> tuple[str, bool]:
    """``text`` (without NUL) in quotes that a shell reads exactly, and whether python-dotenv does too."""
    if not _UNEASY.search(text):
        return f"'{text}'", True
    exact, expands = "\r" not in text, "$" in text or "`" in text
    if "'" not in text and text[-1] != "\\":  # else python-dotenv would read past the closing quote
        exact_single = exact and "\\\\" not in text and not _replaced(text)
        if exact_single or expands:
            return f"'{text}'", exact_single
    return '"' + _SPECIAL.sub(r"\\\g<0>", text) + '"', exact and not expands


def _fenced(lines: list[str]) -> list[str]:
    """The lines, with a quote in a comment after each value that ends in a backslash, if quotes follow.

    python-dotenv before 1.2.3 reads the closing quote after a backslash as part of the value and continues to the next
    quote: without the comment, one value could hide other keys, or define variables of its own.
    """
    fenced, quotes = [], False
    for line in reversed(lines):
        fenced.append(line[:-1] + ' # "\n' if quotes and line.endswith(_TRAILING) else line)
        quotes = quotes or '"' in line
    return fenced[::-1]


def _replaced(text: str) -> bool:
    """Whether python-dotenv replaces something; up to the last brace, so that no text takes quadratic time."""
    return bool(_REPLACED.search(text, 0, text.rfind("}") + 1))


@dataclass(frozen=True, slots=True)
class EnvWriter(Writer):
    """``variables``: each key with its variable's name."""

    variables: tuple[tuple[str, str], ...]

    def text(self, values: Mapping[str, Value]) -> str:
        lines = [f"{name}={quoted(text)[0]}\n" for name, text in self._texts(values)]
        whole = "".join(lines)
        return "".join(_fenced(lines)) if _TRAILING in whole else whole

    def entries(self, values: Mapping[str, Value]) -> dict[str, str]:
        return dict(self._texts(values))

    def _texts(self, values: Mapping[str, Value]) -> list[tuple[str, str]]:
        texts = []
        for key, name in self.variables:
            if key in values:
                text = flat_text(values[key])
                if "\0" in text:
                    raise UnwritableError(Problem(key, _NUL))
                texts.append((name, text))
        return texts

    def warnings(self, values: Mapping[str, Value]) -> list[Notice]:
        found = []
        for key, name in self.variables:
            if key not in values:
                continue
            text = flat_text(values[key])
            if "\0" not in text and not quoted(text)[1]:
                found.append(Notice(key, "Dotenv", _DOTENV))
            if name in SHELL_NAMES:
                found.append(Notice(key, "ShellVariable", f"{name} {_SHELL}"))
        return found

    def problems(self, values: Mapping[str, Value]) -> list[Problem]:
        texts = ((key, values[key]) for key, _ in self.variables if key in values)
        return [Problem(key, _NUL) for key, value in texts if type(value) is str and "\0" in value]


def _compile(keys: Sequence[str], prefix: str, compact: bool) -> EnvWriter:
    if not _PREFIX.fullmatch(prefix):
        raise ValueError("a prefix must be letters, digits and underscores, and not begin with a digit")
    return EnvWriter(tuple(_names(keys, prefix).items()))


FORMAT = Format("Env", _names, _compile)
