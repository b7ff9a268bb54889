"""Every output parses back to the values that made it, in its own format, by a reader that did not write."""

from __future__ import annotations

import configparser
import json
import os
import random
import shutil
import subprocess
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jproperties  # type: ignore[import-untyped]
import pytest
import ruamel.yaml
import yaml
from dotenv import dotenv_values
from hypothesis import example, given, settings
from hypothesis import strategies as st

from trimtab.core.formats import FORMATS, Value, clashes, compile_writer

HOSTILE = [
    "", " ", "  lead", "trail ", "\tlead", "trail\t", "\n", "\n\n", "a\n", "a\n\n", "\na", "a\n b\n",
    " a\nb", "a\n\nb",
    "a \nb", "a\nb ", "a\n \nb", "a\n\tb", "a\r\nb", "a\rb", "\r", "a\\\nb", "\\", "\\\\", "a\\", "a\\\\",
    "\\n", "C:\\dir\\",
    "'", '"', "''", '"""', '""""""\n', "'''", "it's", "it's $5", "it's `x`", "it's\\", "\\'", '\\"', 'a"b',
    '"a"', "'a'", "`a`",
    "$(x)", "${HOME}", "$HOME", "${HOME:-x}", "${a:b}", "${", "$", "$$", "`id`", "$'", "\\$HOME",
    "\\\\$HOME", "\\${HOME}\\",
    "'\nEVIL=1\n'$", "\\\nEVIL=1$", "x' EVIL='1", 'x"\nEVIL="1$`', "!", "a!b", "'!'", "%", "%(a)s", "%%",
    "=", "a=b", "a: b", "a:", ":", "#", "a #b", "a#b", ";", "a ;b", "# a", "- a", "? a", "-", "---", "...",
    "[a]", "{a}", "[", "{",
    "no", "No", "y", "N", "off", "true", "True", "null", "~", "Null", "1", "01", "0o7", "0x1f", "1e3",
    "1.5", ".5", "+1", "1_000",
    "1:30", "12:30:45", "2001-01-01", "2001-01-01T00:00:00Z", ".inf", ".nan", "inf", "<<", "=", "*a", "&a",
    "!a", "@a", "|", ">",
    "5m", "1h30m", "1.5h", "5m5", "1.2.3", "http://a:80/b?c=d&e#f", "/etc", "a, b", "a b  c", "gpt-4o",
    "back\\slash\\d+",
    '"\\n"', '"\\u0041"', "[1,", '["a"]', '{"a": 1}', '{"a;b": "#"}', "\x01", "\x7f", "\x1b[0m", "\x80",
    "\x85", "a\x85b", "\xa0",
    "\u2028", "a\u2029b", "\ufeff", "a\ufeff", "\ufffe", "\uffff", "\u3000a", "é", "Zoë", "日本", "😀",
    "a😀\nb", "\U0010ffff", "𝕏" * 9,
    "x" * 5000, "é" * 2000, "a b " * 1500, "line\n" * 2000, "'" * 2000, "\\" * 2001, "😀\\'" * 300,
]  # fmt: skip
NUL = ["\0", "a\0b"]

NASTY = st.text(
    st.sampled_from("'\"\\$`{}()=:;#%!&*|>[]-?,~ \t\n\r01eany_xé\x85\u2028😀\x01\x7f"), max_size=12
)
POSIX_TEXT = st.one_of(
    st.sampled_from(HOSTILE), NASTY, st.text(st.characters(exclude_characters="\0", codec="utf-8"))
)
TEXT = st.one_of(POSIX_TEXT, st.sampled_from(NUL), st.text())
FLOATS = st.one_of(
    st.sampled_from([0.0, -0.0, 2.0, 1e16, 1e22, -1e300, 1e-7, 5e-324, 0.1, 1.7976931348623157e308]),
    st.floats(allow_nan=False, allow_infinity=False),
)
INTEGERS = st.one_of(st.sampled_from([0, -1, 8, 10, -(2**63), 2**63 - 1]), st.integers(-(2**63), 2**63 - 1))
WORDS = ["no", "y", "n", "on", "null", "true", "inf", "nan", "e1", "DEFAULT", "default", "a", "A", "userIDs"]
SEGMENTS = st.one_of(
    st.sampled_from(WORDS),
    st.from_regex(r"[A-Za-z][A-Za-z0-9_]{0,6}", fullmatch=True),
)


def of(texts: st.SearchStrategy[str]) -> st.SearchStrategy[Value]:
    """A value of any type, its strings from ``texts``."""
    entries = st.one_of(st.dictionaries(texts, FLOATS, max_size=4), st.dictionaries(texts, texts, max_size=4))
    return st.one_of(texts, texts, st.booleans(), INTEGERS, FLOATS, st.lists(texts, max_size=4), entries)


@st.composite
def key_lists(draw: st.DrawFn) -> list[str]:
    """Keys as a template may have them: none is a part of another."""
    names = draw(st.lists(st.lists(SEGMENTS, min_size=1, max_size=3).map(".".join), max_size=10, unique=True))
    return [n for n in names if not any(other.startswith(n + ".") for other in names)]


@st.composite
def documents(draw: st.DrawFn, fmt: str, texts: st.SearchStrategy[str] = TEXT) -> dict[str, Value]:
    keys = draw(key_lists())
    clashing = {c.second for c in clashes(fmt, keys)}
    values: st.SearchStrategy[Value] = of(texts)
    return {key: draw(values) for key in keys if key not in clashing}


def nested(values: Mapping[str, Value]) -> dict[str, Any]:
    root: dict[str, Any] = {}
    for key, value in values.items():
        *parents, last = key.split(".")
        node = root
        for part in parents:
            node = node.setdefault(part, {})
        node[last] = value
    return root


def exact(value: Any) -> Any:
    """What tells apart ``1``, ``1.0`` and ``True``, ``0.0`` and ``-0.0``; a map's order is no part of it."""
    if isinstance(value, dict):
        return {"map": {str(key): exact(entry) for key, entry in value.items()}}
    if isinstance(value, list):
        return [exact(entry) for entry in value]
    return type(value).__name__, repr(value)


def typed(text: str, like: Value) -> Any:
    """A flat format's text as a reader reads it who knows the key's type."""
    if isinstance(like, str):
        return text
    if isinstance(like, bool):
        return {"true": True, "false": False}[text]
    return type(like)(text) if isinstance(like, int | float) else json.loads(text)


def written(fmt: str, values: Mapping[str, Value], **options: Any) -> str:
    return compile_writer(fmt, list(values), **options).text(values)


EVERY: dict[str, Value] = {
    **{f"a.k{n}": text for n, text in enumerate(HOSTILE + NUL)},
    "b.list": HOSTILE + NUL,
    "b.map": {text: text for text in HOSTILE + NUL},
    "numbers": {text: float(n) for n, text in enumerate(HOSTILE + NUL)},
}

laws = settings(deadline=None, max_examples=80)


@laws
@example(values=EVERY, compact=False)
@given(values=documents("JSON"), compact=st.booleans())
def test_json_parses_back_with_the_standard_library(values: dict[str, Value], compact: bool) -> None:
    text = written("JSON", values, compact=compact)
    assert exact(json.loads(text)) == exact(nested(values))
    assert text.endswith("\n")
    assert not compact or text.count("\n") == 1


@laws
@example(values=EVERY)
@given(values=documents("YAML"))
def test_yaml_parses_back_alike_with_versions_1_1_and_1_2(values: dict[str, Value]) -> None:
    text = written("YAML", values)
    for read in YAML_READERS:
        assert exact(read(text)) == exact(nested(values))


YAML_READERS: tuple[Callable[[str], Any], ...] = (
    lambda text: yaml.load(text, Loader=yaml.SafeLoader),
    lambda text: yaml.load(text, Loader=yaml.CSafeLoader),
    lambda text: ruamel.yaml.YAML(typ="safe", pure=True).load(text),
)


@laws
@example(values=EVERY)
@given(values=documents("TOML"))
def test_toml_parses_back_with_tomllib(values: dict[str, Value]) -> None:
    assert exact(tomllib.loads(written("TOML", values))) == exact(nested(values))


@laws
@given(values=documents("Properties", TEXT.filter(lambda text: "\ufeff" not in text)))  # jproperties drops it
def test_properties_parse_back_with_jproperties_as_latin_1_and_as_utf_8(values: dict[str, Value]) -> None:
    text = written("Properties", values)
    for encoding in ("iso-8859-1", "utf-8"):
        reader: Any = jproperties.Properties()
        reader.load(text.encode("ascii"), encoding)
        got = {key: typed(joined(found.data), values[key]) for key, found in reader.items()}
        assert exact(got) == exact(dict(values))


@pytest.mark.skipif(not shutil.which("javac"), reason="needs a JDK")
def test_properties_parse_back_with_java_as_latin_1_and_as_utf_8(tmp_path: Path) -> None:
    values: dict[str, Value] = {f"k{n}": text for n, text in enumerate(HOSTILE + NUL)}
    (tmp_path / "Read.java").write_text(READ_JAVA)
    (tmp_path / "a.properties").write_text(written("Properties", values), "ascii")
    done = subprocess.run(
        ["java", str(tmp_path / "Read.java"), str(tmp_path / "a.properties")], capture_output=True, check=True
    )
    lines = [line.partition("=") for line in done.stdout.decode().splitlines()]
    assert len(lines) == 2 * len(values)
    assert all(bytes.fromhex(utf16).decode("utf-16-be") == values[key] for key, _, utf16 in lines)


READ_JAVA = """
import java.io.*; import java.util.*; import java.nio.charset.StandardCharsets;
class Read { public static void main(String[] args) throws Exception {
    Properties latin1 = new Properties(), utf8 = new Properties();
    latin1.load(new FileInputStream(args[0]));
    utf8.load(new InputStreamReader(new FileInputStream(args[0]), StandardCharsets.UTF_8));
    for (Properties read : List.of(latin1, utf8))
        for (String key : read.stringPropertyNames()) {
            byte[] value = read.getProperty(key).getBytes("UTF-16BE");
            System.out.println(key + "=" + HexFormat.of().formatHex(value));
        }
} }
"""


def joined(text: str) -> str:
    """Java's strings are UTF-16: two escapes make one character beyond 16 bits."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16")


@laws
@example(values=EVERY)
@given(values=documents("INI"))
def test_ini_parses_back_with_configparser(values: dict[str, Value]) -> None:
    reader = configparser.ConfigParser(interpolation=None)
    reader.read_string(written("INI", values))
    for key, value in values.items():
        section, dot, name = key.partition(".")
        raw = reader[section][name] if dot else reader["DEFAULT"][key]
        assert exact(typed(unquoted(raw), value)) == exact(value)
    assert {s for s in reader.sections() if s != "DEFAULT"} <= {key.partition(".")[0] for key in values}


def unquoted(raw: str) -> str:
    """The one rule for readers: a value that parses as a JSON string is that string."""
    try:
        value = json.loads(raw)
    except ValueError:
        return raw
    return value if isinstance(value, str) else raw


@laws
@example(values=EVERY)
@given(values=documents("INI"))
def test_ini_lines_end_where_every_reader_thinks_they_do(values: dict[str, Value]) -> None:
    lines = written("INI", values).splitlines()  # also at form feeds, NEL and the like
    assert len([line for line in lines if line and not line.startswith("[")]) == len(values)
    for line in lines:
        assert not line.endswith("\\")
        assert not any(mark in line for mark in "#;") or line.endswith('"')


SHELLS = [name for name in ("sh", "dash", "bash", "busybox") if shutil.which(name)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("env")


def sourced(shell: str, file: Path) -> dict[str, str]:
    command = [str(shutil.which(shell)), *(["sh"] if shell == "busybox" else [])]
    script = f"set -a; . {file}; exec {shutil.which('env')} -0"
    done = subprocess.run([*command, "-c", script], env={}, capture_output=True, check=True)
    assert done.stderr == b""
    pairs = (entry.partition("=") for entry in done.stdout.decode().split("\0")[:-1])
    return {name: value for name, _, value in pairs if name.startswith("T_")}


ENV_VALUES = st.lists(of(POSIX_TEXT), max_size=25).map(lambda vs: {f"k{n}": v for n, v in enumerate(vs)})


@pytest.mark.parametrize("shell", SHELLS)
@settings(deadline=None, max_examples=40)
@example(values={f"k{n}": text for n, text in enumerate(HOSTILE)})
@given(values=ENV_VALUES)
def test_a_posix_shell_that_sources_an_env_file_gets_the_exact_values(
    shell: str, folder: Path, values: dict[str, Value]
) -> None:
    file = folder / "values.env"
    file.write_bytes(written("Env", values, prefix="T_").encode())
    got = sourced(shell, file)
    assert exact({key: typed(got[f"T_{key.upper()}"], value) for key, value in values.items()}) == exact(
        values
    )
    assert len(got) == len(values)


@laws
@example(values={f"k{n}": text for n, text in enumerate(HOSTILE)})
@given(values=ENV_VALUES)
def test_python_dotenv_gets_the_exact_values_of_every_key_without_a_warning(
    folder: Path, values: dict[str, Value]
) -> None:
    writer = compile_writer("Env", list(values), prefix="T_")
    warned = {notice.key for notice in writer.warnings(values)}
    file = folder / "values.env"
    file.write_bytes(writer.text(values).encode())
    got = dotenv_values(file)
    assert list(got) == [f"T_{key.upper()}" for key in values], "and never another variable out of a value"
    for key, value in values.items():
        if key not in warned:
            assert exact(typed(str(got[f"T_{key.upper()}"]), value)) == exact(value)


@laws
@given(text=st.one_of(POSIX_TEXT, st.sampled_from(HOSTILE)))
def test_an_env_warning_has_one_of_three_causes(text: str) -> None:
    warned = compile_writer("Env", ["key"]).warnings({"key": text})
    mixed = ("'" in text or "\\" in text) and ("$" in text or "`" in text)
    assert not warned or "\r" in text or "${" in text or mixed


@laws
@given(values=documents("Env"))
def test_env_entries_are_the_values_themselves_and_nul_is_the_only_problem(values: dict[str, Value]) -> None:
    writer = compile_writer("Env", list(values))
    bad = {problem.key for problem in writer.problems(values)}
    assert bad == {key for key, value in values.items() if isinstance(value, str) and "\0" in value}
    good = {key: value for key, value in values.items() if key not in bad}
    entries = writer.entries(good)
    assert exact([typed(t, v) for t, v in zip(entries.values(), good.values(), strict=True)]) == exact(
        list(good.values())
    )


@pytest.mark.parametrize("fmt", FORMATS)
@settings(deadline=None, max_examples=30)
@given(data=st.data(), seed=st.integers())
def test_equal_values_give_equal_bytes_in_whatever_order_they_come(
    fmt: str, data: st.DataObject, seed: int
) -> None:
    values = data.draw(documents(fmt, POSIX_TEXT))
    writer = compile_writer(fmt, list(values))

    def shuffled(given: Any) -> Any:
        entries = list(given.items())
        random.Random(seed).shuffle(entries)
        return {key: shuffled(entry) if isinstance(entry, dict) else entry for key, entry in entries}

    assert writer.text(values).encode() == writer.text(shuffled(values)).encode()


@pytest.mark.parametrize("fmt", FORMATS)
@settings(deadline=None, max_examples=60)
@given(keys=key_lists())
def test_names_are_distinct_exactly_where_nothing_clashes(fmt: str, keys: list[str]) -> None:
    names = FORMATS[fmt].names(keys, "")
    found = clashes(fmt, keys)
    assert len(set(names.values())) == len(keys) - len(found)
    assert all(names[c.first] == names[c.second] == c.name for c in found)
    if found:
        with pytest.raises(ValueError, match="are both"):
            compile_writer(fmt, keys)


def test_this_machine_has_a_posix_shell() -> None:
    assert os.name != "posix" or SHELLS, "the Env laws would pass unseen"
