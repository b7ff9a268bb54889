"""Output formats, case by case: what people see in a file. tests/laws proves that it reads back."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from trimtab.core.formats import (
    FORMATS,
    WITH_COMPACT,
    WITH_ENTRIES,
    WITH_PREFIX,
    Clash,
    UnwritableError,
    Value,
    clashes,
    compile_writer,
)
from trimtab.core.formats.env import env_name, quoted
from trimtab.core.formats.ini import ini_text

NESTED = sorted({"JSON", "YAML", "TOML"})
OTHERS = sorted(set(FORMATS) - {"Env"})


def line(fmt: str, value: Value) -> str:
    """What stands in a file for a key ``key`` of this value."""
    return compile_writer(fmt, ["key"]).text({"key": value}).removeprefix("[DEFAULT]\n").rstrip("\n")


# Names


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("spotify.clientSecret", "SPOTIFY_CLIENT_SECRET"),
        ("httpURL2Path", "HTTP_URL2_PATH"),
        ("HTTPServer", "HTTP_SERVER"),
        ("baseURL", "BASE_URL"),
        ("userID", "USER_ID"),
        ("allowedIPs", "ALLOWED_IPS"),
        ("IDsOfUsers", "IDS_OF_USERS"),
        ("oauth2Token", "OAUTH2_TOKEN"),
        ("sha256sum", "SHA256SUM"),
        ("S3Bucket", "S3_BUCKET"),
        ("snake_case.name", "SNAKE_CASE_NAME"),
        ("with_Capital", "WITH_CAPITAL"),
        ("a.b.c", "A_B_C"),
        ("ALL", "ALL"),
    ],
)
def test_a_variable_is_segments_and_humps_in_upper_case(key: str, name: str) -> None:
    assert env_name(key) == name
    assert env_name(key, "app_") == "app_" + name


@pytest.mark.parametrize(
    ("fmt", "keys", "name"),
    [
        ("Env", ["client.secret", "clientSecret"], "CLIENT_SECRET"),
        ("Env", ["a.b", "a_b"], "A_B"),
        ("INI", ["agent.Mode", "agent.mode"], "[agent] mode"),
        ("INI", ["Agent.mode", "agent.mode"], "[agent] mode"),
        ("INI", ["mode", "DEFAULT.mode"], "[default] mode"),
    ],
)
def test_two_keys_that_meet_in_one_name_clash(fmt: str, keys: list[str], name: str) -> None:
    assert clashes(fmt, ["other", *keys]) == [Clash(name, keys[0], keys[1])]
    with pytest.raises(ValueError, match="are both"):
        compile_writer(fmt, keys)


@pytest.mark.parametrize("fmt", [*NESTED, "Properties"])
def test_names_that_differ_do_not_clash_where_the_dots_are_kept(fmt: str) -> None:
    assert clashes(fmt, ["a.b", "a_b", "A.b", "mode", "DEFAULT.mode", "clientSecret", "client.secret"]) == []


def test_a_clash_of_variables_names_the_prefix_too() -> None:
    assert clashes("Env", ["a.b", "a_b"], "APP_")[0].name == "APP_A_B"


# Options


@pytest.mark.parametrize("fmt", FORMATS)
def test_only_some_formats_take_a_prefix_or_compact_or_go_without_a_file(fmt: str) -> None:
    for takes, option in ((WITH_PREFIX, {"prefix": "APP_"}), (WITH_COMPACT, {"compact": True})):
        if fmt in takes:
            compile_writer(fmt, ["a"], **option)
        else:
            with pytest.raises(ValueError, match=f"{fmt} takes no"):
                compile_writer(fmt, ["a"], **option)
    if fmt not in WITH_ENTRIES:
        with pytest.raises(TypeError, match="fileName"):
            compile_writer(fmt, ["a"]).entries({})


@pytest.mark.parametrize("prefix", ["1", "A-", "a b", "A=", "É", "A\n"])
def test_a_prefix_that_no_variable_can_begin_with_is_refused(prefix: str) -> None:
    with pytest.raises(ValueError, match="a prefix must be"):
        compile_writer("Env", ["a"], prefix=prefix)


@pytest.mark.parametrize("fmt", NESTED)
@pytest.mark.parametrize("keys", [["a", "a.b"], ["a.b", "a"], ["a", "a"]])
def test_keys_that_cannot_nest_are_refused(fmt: str, keys: list[str]) -> None:
    with pytest.raises(ValueError, match=r"keys|twice"):
        compile_writer(fmt, keys)


def test_an_unknown_format_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        compile_writer("XML", ["a"])


# Files as a whole


@pytest.mark.parametrize(
    ("fmt", "text"),
    [("JSON", "{}\n"), ("YAML", "{}\n"), ("TOML", ""), ("Env", ""), ("Properties", ""), ("INI", "")],
)
def test_with_no_value_a_file_is_an_empty_document(fmt: str, text: str) -> None:
    assert compile_writer(fmt, ["a.b", "c"]).text({}) == text


@pytest.mark.parametrize("fmt", FORMATS)
def test_absent_keys_leave_nothing_behind_and_unknown_values_are_not_written(fmt: str) -> None:
    some = compile_writer(fmt, ["gone.deep.a", "here.b", "gone.c"]).text({"here.b": 1, "other": 2})
    assert some == compile_writer(fmt, ["here.b"]).text({"here.b": 1})


@pytest.mark.parametrize("fmt", FORMATS)
def test_keys_are_in_the_order_of_the_template(fmt: str) -> None:
    text = compile_writer(fmt, ["z.b", "z.a", "c.x"]).text({"c.x": 1, "z.a": 1, "z.b": 1}).lower()
    places = [re.search(rf"\b{name}\b", text.replace("_", " ")) for name in "bax"]
    assert [m.start() for m in places if m] == sorted(m.start() for m in places if m)


def test_compact_json_is_one_line() -> None:
    assert (
        compile_writer("JSON", ["a.b", "c"], compact=True).text({"a.b": 1, "c": "é"})
        == '{"a":{"b":1},"c":"é"}\n'
    )


def test_toml_keeps_keys_without_dots_above_every_table() -> None:
    text = compile_writer("TOML", ["a.b", "m", "c"]).text({"a.b": 1, "m": {"x y": "z"}, "c": 2.0})
    assert text == 'c = 2.0\n\n[m]\n"x y" = "z"\n\n[a]\nb = 1\n'


def test_ini_puts_keys_without_dots_and_those_of_default_in_one_section() -> None:
    text = compile_writer("INI", ["a.b.c", "DEFAULT.d", "e"]).text({"a.b.c": 1, "DEFAULT.d": 2, "e": 3})
    assert text == "[DEFAULT]\nd = 2\ne = 3\n\n[a]\nb.c = 1\n"


# Values

WORDS = [
    "no", "NO", "y", "N", "off", "On", "true", "null", "~", "1e3", "0o7", "0x1f", "1_000", "1", ".5", ".inf",
    "2001-01-01", "12:30:45", "1.2.3", "<<", "=", "-", "?", "*a", "&a", "!a", "@a", "%a", "[a]", "{a}", "a:",
]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "flat", "structured"),
    [
        (2.0, "2", "2.0"),
        (0.1, "0.1", "0.1"),
        (-0.0, "-0", "-0.0"),
        (2, "2", "2"),
        (-(2**63), str(-(2**63)), str(-(2**63))),
        (True, "true", "true"),
        (False, "false", "false"),
    ],
)
def test_numbers_are_short_in_text_formats_and_floats_stay_floats_in_typed_ones(
    value: Value, flat: str, structured: str
) -> None:
    assert line("Env", value) == f"KEY='{flat}'"
    assert line("Properties", value) == f"key={flat}"
    assert line("INI", value) == f"key = {flat}"
    assert line("JSON", value) == f'{{\n  "key": {structured}\n}}'
    assert line("YAML", value) == f"key: {structured}"
    assert line("TOML", value) == f"key = {structured}"


@pytest.mark.parametrize(
    ("value", "text"),
    [(["a", "é\n"], '["a","é\\n"]'), ({"b": 1.0, "a": 2.0}, '{"a":2.0,"b":1.0}'), ([], "[]"), ({}, "{}")],
)
def test_lists_and_maps_are_json_in_text_formats(value: Value, text: str) -> None:
    assert compile_writer("Env", ["key"]).entries({"key": value}) == {"KEY": text}
    assert line("INI", value) == f"key = {text}"


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("gpt-4o", "gpt-4o"),
        ("a b, c", "a b, c"),
        ("it's", "it's"),
        ("/etc/x", "/etc/x"),
        ("http://a:80/b#c", "http://a:80/b#c"),
        ("5m", "5m"),
        ("1h30m", "1h30m"),
        *((word, f'"{word}"') for word in WORDS),
        ("", '""'),
        (" a", '" a"'),
        ("a ", '"a "'),
        ("a: b", '"a: b"'),
        ("a #b", '"a #b"'),
        ("Zoë 😀", '"Zoë 😀"'),
        ("a\tb", '"a\\tb"'),
        ("\x85\ufeff\x7f", '"\\u0085\\ufeff\\u007f"'),
        ("a\nb", "|-\n  a\n  b"),
        ("a\n\n  b\n", "|\n  a\n\n    b"),
        ("a\r\nb", '"a\\r\\nb"'),
        (" a\nb", '" a\\nb"'),
    ],
)
def test_yaml_text_is_plain_only_where_every_yaml_version_reads_text(text: str, written: str) -> None:
    assert line("YAML", text) == f"key: {written}"


@pytest.mark.parametrize(("value", "written"), [(1e16, "1.0e+16"), (1e-7, "1.0e-07"), (1.5e300, "1.5e+300")])
def test_yaml_numbers_always_have_a_point(value: float, written: str) -> None:
    assert line("YAML", value) == f"key: {written}"


def test_yaml_names_that_are_words_are_quoted() -> None:
    assert (
        compile_writer("YAML", ["on.no", "on.a"]).text({"on.no": 1, "on.a": 2})
        == '"on":\n  "no": 1\n  a: 2\n'
    )


def test_very_long_yaml_names_get_a_question_mark() -> None:
    assert line("YAML", {"x" * 2000: "z"}) == f"key:\n  ? {'x' * 2000}\n  : z"


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ('a "b" \\ \x7f', '"a \\"b\\" \\\\ \\u007f"'),
        ("a\r\nb", '"a\\r\\nb"'),
        ('"""a"\\\nb"', '"""\n\\"\\""a"\\\\\nb\\""""'),
        ("a\n", '"""\na\n"""'),
    ],
)
def test_toml_strings_of_several_lines_are_multi_line_unless_they_hold_control_characters(
    text: str, written: str
) -> None:
    assert line("TOML", text) == f"key = {written}"


def test_a_long_toml_list_has_a_line_for_each_item() -> None:
    assert line("TOML", ["a", "b"]) == 'key = ["a", "b"]'
    assert line("TOML", ["a" * 50, "b" * 50]) == f'key = [\n  "{"a" * 50}",\n  "{"b" * 50}",\n]'


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("a b=c", "a b=c"),
        ("Zoë", "Zo\\u00eb"),
        ("😀", "\\ud83d\\ude00"),
        (" a ", "\\ a "),
        ("#a:b!\\", "\\#a\\:b\\!\\\\"),
        ("a\r\n\t\0", "a\\r\\n\\t\\u0000"),
    ],
)
def test_properties_are_ascii_with_the_escapes_of_java(text: str, written: str) -> None:
    assert line("Properties", text) == f"key={written}".replace("b=c", "b\\=c")


@pytest.mark.parametrize(
    "text",
    ["", "a b", "C:\\dir", "a=b: c", "%(a)s", "Zoë 😀", "it's", 'say "a"', "[a]", "true", "12", '["a"]'],
)
def test_ini_text_is_raw_where_it_reads_back_exactly(text: str) -> None:
    assert ini_text(text) == text


@pytest.mark.parametrize(
    ("text", "written"),
    [
        (" a", '" a"'),
        ("a\xa0", '"a\xa0"'),
        ("a\nb", '"a\\nb"'),
        ('"a"', '"\\"a\\""'),
        ("'a'", "\"'a'\""),
        ("`a`", '"`a`"'),
        ("#ff8800", '"#ff8800"'),
        ("a ;b", '"a ;b"'),
        ("a\\", '"a\\\\"'),
        ("\x7f\x85\u2028", '"\\u007f\\u0085\\u2028"'),
    ],
)
def test_ini_text_that_any_common_reader_would_change_is_a_json_string(text: str, written: str) -> None:
    assert ini_text(text) == written


def test_ini_lists_hide_comment_signs_from_readers_that_cut_there() -> None:
    assert ini_text(["a;b", "#"]) == '["a\\u003bb","\\u0023"]'


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("", "''"),
        ("a b", "'a b'"),
        ('$HOME `id` \\d "a"', "'$HOME `id` \\d \"a\"'"),
        ("${a:b}", "'${a:b}'"),
        ("it's", '"it\'s"'),
        ("a\nit's", '"a\nit\'s"'),
        ("C:\\dir\\", '"C:\\\\dir\\\\"'),
        ("\\\\host", '"\\\\\\\\host"'),
        ('it\'s "a\\b"', '"it\'s \\"a\\\\b\\""'),
    ],
)
def test_env_quoting_suits_a_shell_and_python_dotenv_alike(text: str, written: str) -> None:
    assert quoted(text) == (written, True)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("${HOME}", "'${HOME}'"),
        ("${a:-b}", "'${a:-b}'"),
        ("a\\\\b$", "'a\\\\b$'"),
        ("it's $5", '"it\'s \\$5"'),
        ("it's `x`", '"it\'s \\`x\\`"'),
        ("$\\", '"\\$\\\\"'),
        ("a\rb", '"a\rb"'),
    ],
)
def test_env_quoting_serves_the_shell_where_both_cannot_be_had(text: str, written: str) -> None:
    assert quoted(text) == (written, False)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize("text", ["${", "${:-", "${a:", "a ", " #", "a:", '"', "'", "\\", "\n", "\n ", "a\n"])
def test_no_text_takes_more_than_linear_time(fmt: str, text: str) -> None:
    writer = compile_writer(fmt, ["a"])
    for long in (text * 100_000, "}" + text * 100_000 + ":", text * 100_000 + "\x01"):
        assert len(writer.text({"a": long})) >= len(long)
        writer.warnings({"a": long})


def test_an_env_value_that_ends_in_a_backslash_cannot_reach_later_quotes_in_an_old_python_dotenv() -> None:
    writer = compile_writer("Env", ["a", "b", "c"])
    text = writer.text({"a": "C:\\", "b": "it's\nEVIL=1", "c": "D:\\"})
    assert text == 'A="C:\\\\" # "\nB="it\'s\nEVIL=1"\nC="D:\\\\"\n'


def test_a_warning_names_the_key_and_never_the_value() -> None:
    writer = compile_writer("Env", ["a.b", "c"], prefix="APP_")
    (notice,) = writer.warnings({"a.b": "it's s3cret$", "c": "fine"})
    assert (notice.key, notice.reason) == ("a.b", "Dotenv")
    assert "s3cret" not in str(notice)


@pytest.mark.parametrize("key", ["uid", "random", "seconds", "groups", "optind"])
def test_a_variable_that_the_shell_keeps_for_itself_is_a_warning_that_a_prefix_cures(key: str) -> None:
    assert [n.reason for n in compile_writer("Env", [key]).warnings({key: "1"})] == ["ShellVariable"]
    assert compile_writer("Env", [key]).warnings({}) == []
    assert compile_writer("Env", [key], prefix="APP_").warnings({key: "1"}) == []


def test_env_refuses_nul_by_name_and_never_writes_something_else() -> None:
    writer = compile_writer("Env", ["a", "b", "c"])
    values: dict[str, Value] = {"a": "s3cret\0", "b": ["\0"], "c": "fine"}
    (problem,) = writer.problems(values)

    assert problem.key == "a"
    assert "s3cret" not in problem.message
    for write in (writer.text, writer.entries):
        with pytest.raises(UnwritableError) as refused:
            write(values)
        assert refused.value.problem == problem
        assert "s3cret" not in str(refused.value)
    assert writer.warnings(values) == []


@pytest.mark.parametrize("fmt", OTHERS)
def test_the_other_formats_hold_every_string_and_have_nothing_to_warn_of(fmt: str) -> None:
    writer = compile_writer(fmt, ["a"])
    assert writer.problems({"a": "\0"}) == []
    assert writer.warnings({"a": "it's ${HOME}\r"}) == []
    assert writer.text({"a": "\0"})


# The page for users shows what is really written

SAMPLE: dict[str, Value] = {
    "locale": "no",
    "agent.temperature": 1.0,
    "agent.greeting": "It's me.\nHello!",
    "theme.accentColor": "#ff8800",
    "taste.genres": {"jazz": 0.8, "hip hop": 1.0},
    "plugins": ["last.fm"],
    "cache.ttl": "5m",
}


@pytest.mark.parametrize("fmt", FORMATS)
def test_docs_show_each_format_as_written(fmt: str) -> None:
    page = (Path(__file__).parents[2] / "docs" / "formats.md").read_text("utf-8")
    section = page.split(f"\n## {fmt}\n")[1].split("\n## ")[0]
    sample = section.split("```")[1].partition("\n")[2]
    assert sample == compile_writer(fmt, list(SAMPLE)).text(SAMPLE)
