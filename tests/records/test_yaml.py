"""Canonical YAML: one text for one value, read alike by every reader; and what is refused."""

import math
import random
import subprocess
import sys
from enum import Enum, StrEnum
from io import StringIO
from typing import Any

import pytest
import yaml as pyyaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from runstone.errors import InvalidValue, RecordInvalid
from runstone.records import yaml
from runstone.records.yaml_read import NotCanonical, parse

# What some reader takes for a number, a word, a time or a mark, and what needs quotes or escapes.
_WORDS = """
~ null Null yes No ON off y N true False = << 1 0 -1 +1 010 0o10 0x1f 0b1 1_000 1:20 1e5 1e-05 1.5 .5 5. . .nan .inf
-.inf -inf nan 2026-11-22 2026-11-22T06:12:03.123Z 1abc e5 a: #a - -- --- ... ? : > | %TAG @a `a` !a &a *a {a [a a] a,b
' " it's \\ \\n é 日本 🦦 --lr --lr=0.1 ./train.py ../x /abs a@b __x__ md5:00.dir
"""
TRICKY = [
    *_WORDS.split(),
    *[
        "",
        " ",
        " a",
        "a ",
        "x y",
        "x  y",
        "a: b",
        "a #b",
        "- a",
        "? a",
        'say "x"',
        "2026-11-22 06:12:03",
        "a\nb",
        "\t",
    ],
    *["\r\n", "\x00", "\x07", "\x1b[0m", "\x7f", "\x85", "\xa0", "\u2028", "\u2029", "\ufeff", "\ufffe"],
]
texts = st.one_of(st.sampled_from(TRICKY), st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
scalars = st.one_of(texts, st.integers(), st.floats(), st.booleans(), st.none(), st.sampled_from([10**30, -(2**64)]))
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
summaries = st.fixed_dictionaries(
    {
        "last": st.floats(),
        "step": st.integers(),
        "min": st.floats(),
        "max": st.floats(),
        "count": st.integers(1),
    }
)
documents = st.fixed_dictionaries(
    {"schema": st.sampled_from(["runstone/run/v1", "runstone/alias/v2", "other", ""])},
    optional={
        "id": texts,
        "version": st.integers(1),
        "source": st.fixed_dictionaries({}, optional={"command": st.lists(texts, max_size=3), "zz": values}),
        "environment": st.dictionaries(texts, values, max_size=3),
        "params": st.dictionaries(texts, values, max_size=4),
        "metrics": st.dictionaries(texts, summaries | values, max_size=3),
        "tags": st.dictionaries(texts, texts, max_size=3),
        "datasets": st.lists(st.dictionaries(texts | st.sampled_from(["digest", "name"]), values), max_size=2),
        "models": values,
    },
) | st.dictionaries(texts, values, max_size=4)


class Size(StrEnum):
    BIG = "big"


class Kind(str, Enum):  # noqa: UP042  # str() of this kind of enumeration gives `Kind.A`, not its text
    A = "x y"


def same(a: Any, b: Any) -> bool:
    """Equal in value and kind, NaN being equal to itself and -0.0 not to 0.0."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float):
        return (math.isnan(a) and math.isnan(b)) or (a == b and math.copysign(1, a) == math.copysign(1, b))
    return bool(a == b)


def shuffled(value: Any, rng: random.Random) -> Any:
    """The same value with the keys of every map in another order."""
    if isinstance(value, dict):
        keys = list(value)
        rng.shuffle(keys)
        return {key: shuffled(value[key], rng) for key in keys}
    return [shuffled(item, rng) for item in value] if isinstance(value, list) else value


def ruamel(text: str) -> Any:
    """What a YAML 1.2 reader makes of a text."""
    return YAML(typ="safe", pure=True).load(StringIO(text))


@settings(max_examples=250, deadline=None)
@given(documents)
@example({text: text for text in TRICKY})
@example({"params": {"a": [[], {}, [[]], {"b": {}}], "b": {"c": {"d": [1.5, {"e": None}]}}, "c": {}}})
@example({"params": {"x": 1e-05, "y": 1e22, "z": -0.0, "w": 1.5e300, "n": float("nan"), "i": float("-inf")}})
def test_every_reader_gives_back_what_was_dumped(document: dict[str, Any]) -> None:
    """Our fast parser, our safe loader, PyYAML (1.1) and ruamel (1.2) read each dumped document as it was."""
    text = yaml.dump(document)
    assert same(document, yaml.load(text, "x.yaml"))
    if document:
        assert same(document, parse(text))
    assert same(document, yaml._Loader(text, "x.yaml").load())
    assert same(document, pyyaml.load(text, Loader=pyyaml.CSafeLoader))
    assert same(document, ruamel(text))


@settings(max_examples=50, deadline=None)
@given(documents)
@example({text: text for text in TRICKY})
def test_pyyaml_without_its_c_library_reads_the_same(document: dict[str, Any]) -> None:
    """The pure Python half of PyYAML agrees with the C one on what we dump."""
    assert same(document, pyyaml.load(yaml.dump(document), Loader=pyyaml.SafeLoader))


@settings(max_examples=100, deadline=None)
@given(documents, st.integers(0, 2**32))
def test_equal_documents_give_equal_bytes(document: dict[str, Any], seed: int) -> None:
    """The order of keys in memory does not show, and a document that was read is written as it was."""
    text = yaml.dump(document)
    assert text == yaml.dump(shuffled(document, random.Random(seed)))
    assert text == yaml.dump(yaml.load(text, "x.yaml"))
    assert text.endswith("\n")
    assert not text.endswith("\n\n")


fragments = st.one_of(
    st.sampled_from([*TRICKY, "\n", "  ", " ", ": ", "- ", "{", "}", "[", "]", ", ", ",", "'", '"', "\\x", "#"]),
    st.sampled_from(["a: 1\n", "  b: 2\n", "- {a: 1}\n", "{a: 1, a: 2}", "0", "_", "e", ".", "-", "\ud800"]),
)


@settings(max_examples=400, deadline=None)
@given(documents, st.lists(st.tuples(st.floats(0, 1), st.integers(0, 3), fragments), min_size=1, max_size=3))
def test_what_the_fast_parser_accepts_pyyaml_reads_alike(
    document: dict[str, Any], edits: list[tuple[float, int, str]]
) -> None:
    """Damage a dumped text at random: either the fast parser leaves it to PyYAML, or both read the same."""
    text = yaml.dump(document)
    for place, cut, insert in edits:
        at = int(place * len(text))
        text = text[:at] + insert + text[at + cut :]
    try:
        fast = parse(text)
    except (NotCanonical, ValueError):
        return
    assert same(fast, yaml._Loader(text, "x.yaml").load())
    assert same(fast, ruamel(text))


@settings(max_examples=150, deadline=None)
@given(documents, st.lists(st.tuples(st.floats(0, 1), st.integers(0, 3), fragments), min_size=1, max_size=3))
def test_any_text_is_read_or_refused_in_one_way(document: dict[str, Any], edits: list[tuple[float, int, str]]) -> None:
    """Whatever the text, `load` gives a value or RecordInvalid, and no other error."""
    text = yaml.dump(document)
    for place, cut, insert in edits:
        at = int(place * len(text))
        text = text[:at] + insert + text[at + cut :]
    try:
        yaml.load(text, "x.yaml")
    except RecordInvalid as error:
        message = str(error)
    else:
        return
    assert message.startswith("`x.yaml`: ")


def test_a_record_is_written_as_the_format_page_shows() -> None:
    """Blocks for what people grep; one line a metric, dataset, model and attempt; known keys in order."""
    document = {
        "zebra": [1, {"b": 2, "a": 1}],
        "tags": {"team": "growth", "a/b": "x: y"},
        "models": [{"size": 1, "flavors": ["sklearn"], "digest": "md5:a.dir", "path": "m"}],
        "metrics": {"mse": {"count": 2, "last": 1e-07, "step": 1, "min": 1e-07, "max": float("inf")}},
        "params": {"opt": {"name": "adam", "betas": (0.9, 0.999), "empty": {}}, "lr": 0.01, "none": None},
        "environment": {"requirements": "requirements.txt", "python": "3.11.7"},
        "source": {"dirty": True, "command": ["python", "train.py", "--lr", "0.1"]},
        "started": "2026-11-22T06:12:03.123Z",
        "schema": "runstone/run/v1",
    }
    expected = """\
# yaml-language-server: $schema=https://runstone.dev/schemas/run.v1.json
schema: runstone/run/v1
started: '2026-11-22T06:12:03.123Z'
source:
  command: [python, train.py, --lr, '0.1']
  dirty: true
environment: {python: '3.11.7', requirements: requirements.txt}
params:
  lr: 0.01
  none: null
  opt:
    betas: [0.9, 0.999]
    empty: {}
    name: adam
metrics:
  mse: {last: 1.0e-07, step: 1, min: 1.0e-07, max: .inf, count: 2}
tags:
  a/b: 'x: y'
  team: growth
models:
- {path: m, flavors: [sklearn], digest: 'md5:a.dir', size: 1}
zebra: [1, {a: 1, b: 2}]
"""
    assert expected == yaml.dump(document)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("plain text", "plain text"),
        ("it's", "'it''s'"),
        ('a\nb\t"\\', '"a\\nb\\t\\"\\\\"'),
        ("\x85\u2028\ufeff\x00", '"\\x85\\u2028\\uFEFF\\x00"'),
        (True, "true"),
        (-0.0, "-0.0"),
        (float("nan"), ".nan"),
        (1e22, "1.0e+22"),
        (2**70, "1180591620717411303424"),
        (Size.BIG, "big"),
        (Kind.A, "x y"),
    ],
)
def test_each_scalar_has_one_form(value: Any, expected: str) -> None:
    """Bare where no reader could misread it, else single quotes, else double quotes with escapes."""
    assert f"x: {expected}\n" == yaml.dump({"x": value})


HOLDS = "and a record holds text, numbers, true, false, null, lists and maps of these."


def _nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def _block_nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = {"a": value}
    return value


@pytest.mark.parametrize("nest", [_nested, _block_nested])
def test_the_depth_that_can_be_written_can_be_read(nest: Any) -> None:
    """32 maps and lists inside one another pass through writer, fast parser and loader; 33 pass none."""
    text = yaml.dump({"a": nest(31)})
    assert parse(text) == yaml._Loader(text, "x.yaml").load() == {"a": nest(31)}
    with pytest.raises(InvalidValue, match="nested more than 32 deep"):
        yaml.dump({"a": nest(32)})
    deeper = text.replace("1", "[1]")
    with pytest.raises(NotCanonical):
        parse(deeper)
    with pytest.raises(RecordInvalid, match="nested more than 32 deep"):
        yaml.load(deeper, "x.yaml")


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (
            {"params": {"a": [1, {"b": {1, 2}}]}},
            "`params.a[1].b` cannot be recorded: it is a set, " + HOLDS,
        ),
        (
            {"datasets": [{"x": 1}, {"x": b"bytes"}]},
            "`datasets[1].x` cannot be recorded: it is a bytes, " + HOLDS,
        ),
        ({"params": {"a": {1: 2, "b": 3}}}, "`params.a` cannot be recorded: its keys are not all text."),
        ({"params": {"a": {1: 2}}}, "`params.a.1` cannot be recorded: its key 1 is not text."),
        (
            {"params": {"a": "\ud800"}},
            "`params.a` cannot be recorded: its text holds half a surrogate pair, which UTF-8 cannot hold.",
        ),
        (
            {"params": {"a": 10**5000}},
            "`params.a` cannot be recorded: it is a whole number with too many digits; log it as text.",
        ),
        (
            {"k" * 1001: 1},
            f"`{'k' * 1001}` cannot be recorded: its key has 1001 characters, too many for YAML.",
        ),
    ],
)
def test_what_cannot_be_recorded_is_named_by_its_path(document: dict[str, Any], message: str) -> None:
    """A value without a YAML form is refused before anything is written, and the message says where it is."""
    with pytest.raises(InvalidValue) as error:
        yaml.dump(document)
    assert message == str(error.value)


def test_a_map_that_holds_itself_is_refused() -> None:
    """A cycle ends at the depth limit instead of running for ever."""
    cycle: dict[str, Any] = {}
    cycle["self"] = cycle
    with pytest.raises(InvalidValue, match="nested more than 32 deep"):
        yaml.dump({"params": cycle})


LOOK = "look for a missing quote or bracket, a tab, or wrong indentation there"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: &x 1\nb: 2\n", "line 1 has the anchor `x`; write the value out where it is used instead"),
        ("a: 1\nb: *x\n", "line 2 refers to the anchor `x`; write the value out instead"),
        ("a: !!python/name:os.system ''\n",
         "line 1 has the YAML tag `tag:yaml.org,2002:python/name:os.system`; leave it out"),
        ("a: 1\n<<: {b: 2}\n", "line 2 has a merge key (`<<`); write the keys out instead"),
        ("a: 1\nb:\n  c: 1\n  c: 2\n", "line 4 has the key `c` for the second time"),
        ("1: a\n", "line 1 has the key the number 1, and keys must be text; put it in quotes"),
        ("on: a\n", "line 1 has the key `true`, and keys must be text; put it in quotes"),
        ("[a]: b\n", "line 1 has the key a list, and keys must be text; put it in quotes"),
        ("a: 1\n---\nb: 2\n", "line 2 begins a second document, and a file holds one"),
        ("a: 1\nb: 'x\n", "line 3 is not YAML; " + LOOK),
        ("a: 1\n\tb: 2\n", "line 2 is not YAML; " + LOOK),
        ("a: 1\nb: \x07\n", "line 2 holds the character U+0007, which must be escaped"),
        ("a: \ud800\n", "line 1 holds the character U+D800, which must be escaped"),
        (b"a: 1\nb: \xff\n", "line 2 is not UTF-8 text"),
        (f"a: {'1' * 5000}\n", "line 1 holds a number that cannot be read; put it in quotes"),
        ("a: '" + "x" * (16 * 1024**2) + "'\n", "the file is larger than 16 MiB"),
        ("[" * 100_000, "line 1 is nested more than 32 deep"),
    ],
)  # fmt: skip
def test_what_has_no_place_in_a_record_is_refused_with_its_line(text: str | bytes, problem: str) -> None:
    """A file from another's push can neither run code, grow without bound, nor mean two things."""
    with pytest.raises(RecordInvalid) as error:
        yaml.load(text, "a/x.yaml")
    assert f"`a/x.yaml`: {problem}. Correct it, then: `runstone validate a/x.yaml`" == str(error.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None),
        ("# only a remark\n", None),
        ("{}\n", {}),
        ("a:\n- 1\n- b: 2\n", {"a": [1, {"b": 2}]}),
        ("a: >-\n  folded\n  text\n", {"a": "folded text"}),
        ("started: 2026-11-22T06:12:03.123Z  # bare\n", {"started": "2026-11-22T06:12:03.123Z"}),
        ("day: 2026-11-22\n", {"day": "2026-11-22"}),
        ("a: =\nb: <<\n", {"a": "=", "b": "<<"}),
        ("'<<': 1\n", {"<<": 1}),
        ("a: yes\nb: 0x10\nc: 1e3\n", {"a": True, "b": 16, "c": "1e3"}),
        ("\ufeffa: 1\r\nb: 2\r\n", {"a": 1, "b": 2}),
        ("---\na: 1\n...\n", {"a": 1}),
        (b"a: '\xc3\xa9'\n", {"a": "é"}),
    ],
)
def test_what_people_write_by_hand_is_read(text: str | bytes, expected: Any) -> None:
    """Remarks, other styles, Windows line ends and bare times are fine; times stay text."""
    assert expected == yaml.load(text, "x.yaml")


@settings(max_examples=300)
@given(st.from_regex(r"[-+]?(0[xob]?)?[0-9_.:]{0,5}[0-9a-f](e[-+][0-9])?", fullmatch=True))
@example("010")
@example("-010")
@example("1:30")
@example("1:30.5")
@example("1_000")
@example("0b11")
@example("+0x1f")
@example("1.e+3")
def test_no_number_is_read_otherwise_than_by_yaml_1_2(text: str) -> None:
    """What people write as a number is that number, or it is refused; text may be told from it later, by its type."""
    try:
        found = yaml.load(f"a: {text}\n", "x.yaml")
    except RecordInvalid:
        return
    if isinstance(found, dict) and isinstance(found["a"], int | float):
        assert same(found, ruamel(f"a: {text}\n"))


@pytest.mark.parametrize("text", ["010", "1:30", "1_000", "0b11", "1:30.5", "+0x10", "1_0.5"])
def test_a_number_that_readers_differ_on_is_refused(text: str) -> None:
    """With file and line, and what to do."""
    with pytest.raises(RecordInvalid) as caught:
        yaml.load(f"schema: runstone/stage/v1\nversions: [{text}]\n", "Production.yaml")
    assert str(caught.value) == (
        f"`Production.yaml`: line 2 holds {text}, which readers of YAML take for different numbers; write it in plain "
        "digits, or put it in quotes if it is text. Correct it, then: `runstone validate Production.yaml`"
    )


def test_a_param_of_one_megabyte_passes() -> None:
    """Long text is one line, and comes back whole."""
    document = {"params": {"prompt": "line with 'quotes' and é\n" * 40_000, "list": list(range(5000))}}
    text = yaml.dump(document)
    assert text.count("\n") + 1 == 4
    assert document == parse(text) == yaml._Loader(text, "x.yaml").load()


def test_canonical_text_needs_no_yaml_library() -> None:
    """Writing and reading records does not import PyYAML, which would cost each command its start-up time."""
    code = (
        "import sys; from runstone.records import yaml; "
        "t = yaml.dump({'schema': 'runstone/run/v1', 'params': {'a': [1, 'x y']}}); yaml.load(t, 'x'); "
        "print('yaml' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"
