"""The JSON Schemas: they accept what the dataclasses accept, and say in a sentence what is wrong."""

import copy
import json
import math
import re
from collections.abc import Callable
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runstone.errors import NewerFormat, RecordInvalid
from runstone.records import schema, yaml
from runstone.records.alias import Alias
from runstone.records.approval import ApprovalNote
from runstone.records.config import Config
from runstone.records.dataset import Dataset
from runstone.records.experiment import Experiment
from runstone.records.metric import MetricSummary, format_metrics, parse_metrics
from runstone.records.model import ModelReference, VersionBody
from runstone.records.model_file import ModelFile
from runstone.records.policy import Policy
from runstone.records.registration import Registration
from runstone.records.run import Run
from runstone.records.stage import Stage
from runstone.records.upgrade import VERSIONS
from runstone.records.version_notes import VersionNotes

SCHEMAS = {path.name: json.loads(path.read_text()) for path in sorted(schema.folder().glob("*.json"))}
WRITTEN = ["run", "experiment", "version", "registered-model", "version-notes", "stage", "alias", "registration"]
WRITTEN += ["approval"]
READERS: dict[str, Callable[[Any], Any]] = {
    "run": lambda document: Run.from_document(document, "exp", "x.yaml"),
    "experiment": lambda document: Experiment.from_document(document, "exp", "x.yaml"),
    "version": lambda document: VersionBody.from_document(document, "x.yaml"),
    "registered-model": lambda document: ModelFile.from_document(document, "x.yaml"),
    "version-notes": lambda document: VersionNotes.from_document(document, "x.yaml"),
    "stage": lambda document: Stage.from_document(document, "x.yaml"),
    "alias": lambda document: Alias.from_document(document, "x.yaml"),
    "registration": lambda document: Registration.from_document(document, "x.yaml"),
    # A model's own: whether the stages that rules name exist is no matter of a schema.
    "policy": lambda document: Policy.from_document(document, "x.yaml", own=True),
    "approval": lambda document: ApprovalNote.from_document(document, "x.yaml"),
    "config": lambda document: Config.from_document(document, "x.yaml"),
    "dataset": lambda document: Dataset.from_document(document, "x.yaml", ""),
    "model": lambda document: ModelReference.from_document(document, "x.yaml", ""),
}


def full(kind: str) -> Any:
    """An example in which every key of the schema stands."""
    document = copy.deepcopy(SCHEMAS[f"{kind}.v1.json"]["examples"][0])
    if kind == "run":
        document |= {"parent": "abc", "lifecycle": "deleted", "deleted": {"reason": "old"}}
        document |= {"attempts": [{"status": "FAILED"}], "conflicts": [{"key": "lr"}]}
    if kind == "version":
        document |= {"signature": {"inputs": "[]"}, "description": "good", "tags": {"team": "growth"}}
    if kind == "model":
        document |= {"signature": {"inputs": "[]"}}
    if kind == "config":
        document |= {"branch": "runs", "registry": "registry"}
        document["secrets"] |= {"values": ["^ghp_"]}
    return document


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value inside a document."""
    found = [path]
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        found += places(inner, (*path, key))
    return found


_ODDITIES: list[Any] = [
    *[None, "", "text", 0, -1, 1, 1.0, 0.5, math.nan, math.inf, True, False, 10**400, 2**70, [], [1], ["a"], [None]],
    *[{}, {"a": 1}, {"a": "b"}, [{}], [["a"]], "../up", "a/../b", "/abs", "C:/x", "a\\b", "a\n", "..", "a/b..c", "."],
    *["2026-11-22T06:12:03Z", "2026-02-30T00:00:00Z", "2026-11-22T25:00:00Z", "2026-11-22 06:12:03"],
    *["0000-01-01T00:00:00Z", "2026-11-22T06:12:03.123Z\n", "２026-11-22T06:12:03Z", "RUNNING", "active", "deleted"],
    *["auto", "review", "con", "con.x", "conx", "a.lock", "a..b", "ab", "A1", "a", "x" * 100, "x" * 101, "ab\n", "a."],
    *["2%", "2.5%", "%", "-2%", "90d", "90", "d", "higher", "None", "*", "9ab1c3d5e7f90214365870a9bcbddeef01122334"],
    *["-a", "runstone/run/v1", "runstone/run/v2", "runstone/run/v0", "runstone/experiment/v1"],
]
oddities = st.sampled_from(_ODDITIES).map(copy.deepcopy)


@pytest.mark.parametrize("kind", READERS)
@settings(max_examples=250, deadline=None)
@given(data=st.data())
def test_schema_and_dataclass_accept_the_same_documents(kind: str, data: st.DataObject) -> None:
    """Change, remove or add a value anywhere: schema and reader both accept the document, or both refuse it."""
    document = full(kind)
    for _ in range(data.draw(st.integers(1, 2))):
        path = data.draw(st.sampled_from([p for p in places(document) if p]))
        holder = document
        for step in path[:-1]:
            holder = holder[step]
        action = data.draw(st.sampled_from(["change", "change", "remove", "add"]))
        if action == "change":
            holder[path[-1]] = data.draw(oddities)
        elif action == "remove":
            del holder[path[-1]]
        elif isinstance(holder, dict):
            holder["unknown"] = data.draw(oddities)
    outcomes = []
    for check in (READERS[kind], lambda d: schema.validate(d, kind, "x.yaml")):
        try:
            check(copy.deepcopy(document))
            outcomes.append("accepted")
        except (RecordInvalid, NewerFormat) as error:
            outcomes.append(type(error).__name__)
    assert outcomes[0] == outcomes[1], document


@pytest.mark.parametrize("kind", WRITTEN)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_unknown_keys_are_carried_through(kind: str, data: st.DataObject) -> None:
    """A key that this version does not know is written again as it was read, wherever it stood."""
    document = full(kind)
    maps = [p for p in places(document) if isinstance(_at(document, p), dict) and (not p or p[-1] != "tags")]
    _at(document, data.draw(st.sampled_from(maps)))["zz-new"] = data.draw(oddities.filter(lambda v: v == v))
    try:
        record = READERS[kind](copy.deepcopy(document))
    except RecordInvalid:  # an odd value where only summaries may stand
        return
    assert document == record.to_document()


def _at(document: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        document = document[step]
    return document


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_schema_is_one_and_its_examples_fit(name: str) -> None:
    """Each schema is valid draft 2020-12, has id, title, description and an example, and accepts that example."""
    document = SCHEMAS[name]
    jsonschema.Draft202012Validator.check_schema(document)
    assert "https://json-schema.org/draft/2020-12/schema" == document["$schema"]
    assert f"https://runstone.dev/schemas/{name}" == document["$id"]
    assert document["title"]
    assert document["description"]
    for example in document["examples"]:
        schema.validate(example, name.partition(".")[0], "example.yaml")


def test_every_kind_of_record_has_a_schema_of_its_version() -> None:
    """The table of versions and the folder of schemas agree."""
    expected = {f"{kind}.v{version}.json" for kind, version in VERSIONS.items()}
    assert expected | {"dataset.v1.json", "model.v1.json"} == set(SCHEMAS)


def test_every_rule_has_words_for_its_error() -> None:
    """A pattern or a fixed value is told by its title, so each place that has one has a title or is `schema`."""
    untitled: list[str] = []

    def walk(value: Any, path: str) -> None:
        if isinstance(value, dict):
            if ("pattern" in value or "format" in value) and "title" not in value:
                untitled.append(path)
            for key, inner in value.items():
                walk(inner, f"{path}/{key}")
        elif isinstance(value, list):
            for i, inner in enumerate(value):
                walk(inner, f"{path}/{i}")

    for name, document in SCHEMAS.items():
        walk(document, name)
    assert [] == untitled


@pytest.mark.parametrize(
    ("kind", "change", "problem"),
    [
        ("run", {"metrics.mse.value": "0.3x"}, None),
        ("run", {"metrics.mse.last": "0.3x"}, '`metrics.mse.last` must be a number, but is the text "0.3x"'),
        ("run", {"metrics.mse.step": 1.0}, "`metrics.mse.step` must be a whole number, but is the number 1.0"),
        ("run", {"models": [{"path": "m", "digest": "d", "size": 1.0}]},
         "`models[0].size` must be a whole number, but is the number 1.0"),
        ("run", {"metrics.mse": 3}, "`metrics.mse` must be a map, but is the number 3"),
        ("run", {"metrics.mse": {}}, "`metrics.mse.last` is missing"),
        ("run", {"id": "../x"},
         '`id` must be a run id: 32 hex digits, or 2 to 100 of a-z 0-9 . _ -, but is the text "../x"'),
        ("run", {"status": "DONE"},
         '`status` must be one of RUNNING, SCHEDULED, FINISHED, FAILED, KILLED, but is the text "DONE"'),
        ("run", {"started": "today"},
         '`started` must be a time such as 2026-11-22T06:12:03.123Z, but is the text "today"'),
        ("run", {"source.command": ["python", 3]}, "`source.command[1]` must be text, but is the number 3"),
        ("run", {"source": []}, "`source` must be a map, but is a list"),
        ("run", {"tags.team": True}, "`tags.team` must be text, but is `true`"),
        ("run", {"datasets": [{"name": "d"}]}, "`datasets[0].digest` is missing"),
        ("run", {"models": [{"path": "../m", "digest": "d", "size": 1}]},
         '`models[0].path` must be a relative path with forward slashes and no `..`, but is the text "../m"'),
        ("run", {"schema": "runstone/experiment/v1"},
         "`schema` must be `runstone/run/v1`, but is 'runstone/experiment/v1'"),
        ("alias", {"version": 0}, "`version` must be 1 or more, but is the number 0"),
        ("alias", {"version": "4"}, '`version` must be a whole number, but is the text "4"'),
        ("stage", {"versions": [4, 0]}, "`versions[1]` must be 1 or more, but is the number 0"),
        ("stage", {"versions": [4, 4]}, "`versions` must be a list in which each version stands once, but is a list"),
        ("registration", {"commit": "HEAD"}, '`commit` must be a full object id of git, but is the text "HEAD"'),
        ("approval", {"approvals": [{}]}, "`approvals[0].by` is missing"),
        ("policy", {"stages": {"a b": {}}},
         "the keys of `stages` must be names of stages: letters, digits, `_`, `-` and `.`, but not `None`, `latest` or "
         'a number, but one is the text "a b"'),
        ("policy", {"stages": {"Latest": {}}},
         "the keys of `stages` must be names of stages: letters, digits, `_`, `-` and `.`, but not `None`, `latest` or "
         'a number, but one is the text "Latest"'),
        ("policy", {"aliases": {"v1": {}}},
         'the keys of `aliases` must be names of aliases, or `*` for all others, but one is the text "v1"'),
        ("policy", {"stages.Production.holder": 1},
         "`stages.Production.holder` is unknown here; known are from, holders, previous, gates, approvals, bypass"),
        ("policy", {"stages.Production.holders": 0},
         "`stages.Production.holders` must be 1 or more, but is the number 0"),
        ("policy", {"stages.Production.gates": [{}]},
         "`stages.Production.gates[0]` must be a map of one key, the kind of the gate, but is a map"),
        ("policy", {"stages.Production.gates": [{"clean": False}]},
         "`stages.Production.gates[0].clean` must be true; leave the gate out otherwise, but is `false`"),
        ("policy", {"stages.Production.gates": [{"metric": {"name": "auc"}}]},
         "`stages.Production.gates[0].metric.at_least` is missing"),
        ("policy", {"stages.Production.gates": [{"metric": {"name": "auc", "at_least": math.nan}}]},
         "`stages.Production.gates[0].metric.at_least` must be a number to compare with, but is the number nan"),
        ("policy", {"stages.Production.gates": [{"no_worse": {"metric": "auc", "by": "two"}}]},
         "`stages.Production.gates[0].no_worse.by` must be a number of 0 or more, or a share such as 2%, but is the "
         'text "two"'),
        ("policy", {"stages.Production.gates": [{"age": {"at_least": "1 day"}}]},
         "`stages.Production.gates[0].age.at_least` must be a duration such as 90s, 90m, 12h or 30d, but is the text "
         '"1 day"'),
        ("policy", {"stages.Production.gates": [{"command": {"run": []}}]},
         "`stages.Production.gates[0].command.run` must be a list of words: the program, then its arguments, but is a "
         "list"),
        ("policy", {"stages.Production.approvals.counts": 2},
         "`stages.Production.approvals.counts` is unknown here; known are count, by, by_author, signed, "
         "trailers"),
        ("policy", {"metrics.auc": "up"}, '`metrics.auc` must be one of higher, lower, but is the text "up"'),
        ("config", {"push": "sometimes"}, '`push` must be one of manual, auto, but is the text "sometimes"'),
        ("config", {"secrets.keys": "x"}, '`secrets.keys` must be a list, but is the text "x"'),
    ],
)  # fmt: skip
def test_errors_are_sentences_with_file_key_and_what_was_found(
    kind: str, change: dict[str, Any], problem: str | None
) -> None:
    """A person who never saw JSON Schema can correct the file from the message alone."""
    document = copy.deepcopy(SCHEMAS[f"{kind}.v1.json"]["examples"][0])
    for path, value in change.items():
        *steps, last = path.split(".")
        _at(document, tuple(steps))[last] = value
    if problem is None:
        schema.validate(document, kind, "runs/4f2a.yaml")
        return
    with pytest.raises(RecordInvalid) as error:
        schema.validate(document, kind, "runs/4f2a.yaml at 9c1e2ab")
    expected = f"`runs/4f2a.yaml` at 9c1e2ab: {problem}. Correct it, then: `runstone validate runs/4f2a.yaml`"
    assert expected == str(error.value)


def test_a_newer_format_is_refused_by_name() -> None:
    """Schema, dataclass and metrics reader name the format they cannot read, and what they can."""
    message = (
        "`x.yaml` has the format `runstone/{0}/v2`, and this Runstone reads up to `runstone/{0}/v1`. "
        "Upgrade: `pip install --upgrade runstone`"
    )
    for kind in (*WRITTEN, "policy", "config"):
        document = full(kind) | {"schema": f"runstone/{kind}/v2"}
        for check in (READERS[kind], lambda d, k=kind: schema.validate(d, k, "x.yaml")):
            with pytest.raises(NewerFormat) as error:
                check(document)
            assert message.format(kind) == str(error.value)
    with pytest.raises(NewerFormat) as error:
        list(parse_metrics("# schema: runstone/metrics/v2\nanything\n", "x.yaml"))
    assert message.format("metrics") == str(error.value)


@pytest.mark.parametrize("kind", [*WRITTEN, "policy", "config"])
def test_a_file_is_checked_by_the_format_it_names(kind: str) -> None:
    """`validate_text` finds the schema by the document's own `schema` key."""
    text = yaml.dump(full(kind))
    assert kind == schema.validate_text(text, "x.yaml")
    assert kind == schema.validate_text(text.encode(), "x.yaml")


@pytest.mark.parametrize(
    ("text", "where", "problem"),
    [
        ("[]\n", "x.yaml", "the document must be a map, but is a list"),
        ("", "x.yaml", "the document must be a map, but is nothing"),
        ("a: 1\n", "x.yaml", "`schema` must be one of {known}, but is nothing"),
        ("schema: runstone/x/v1\n", "x.yaml", '`schema` must be one of {known}, but is the text "runstone/x/v1"'),
        ("push: never\n", "runstone.yaml", '`push` must be one of manual, auto, but is the text "never"'),
        ("# schema: runstone/metrics/v1\n", "m.tsv",
         "must begin with the lines '# schema: runstone/metrics/v1\\nkey\\tstep\\ttimestamp\\tvalue'"),
        (b"# schema: runstone/metrics/v1\n\xff", "m.tsv", "the file is not UTF-8 text"),
    ],
)  # fmt: skip
def test_a_file_without_a_known_format_is_refused(text: str | bytes, where: str, problem: str) -> None:
    """The message lists the formats, or says what is wrong with the file as a whole."""
    kinds = [*WRITTEN[:-1], "policy", "approval", "config"]
    known = ", ".join(f"runstone/{kind}/v1" for kind in kinds)
    with pytest.raises(RecordInvalid) as error:
        schema.validate_text(text, where)
    assert problem.replace("{known}", known) == error.value.problem


def test_a_configuration_needs_no_schema_key() -> None:
    """`runstone.yaml` is written by hand, so its name is enough, in any folder and at any commit."""
    assert "config" == schema.validate_text("push: auto\n", "sub/runstone.yaml at 9c1e2ab")
    with pytest.raises(RecordInvalid):
        schema.validate_text("push: auto\n", "otherrunstone.yaml")


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.builds(
            lambda key, value, timestamp, step: (key, value, timestamp, step),
            st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=5) | st.sampled_from(["#"]),
            st.floats(),
            st.integers(-(2**63), 2**63),
            st.integers(-(2**63), 2**63),
        )
    )
)  # fmt: skip
def test_metrics_come_back_as_they_were_written(rows: list[tuple[str, float, int, int]]) -> None:
    """Every float round-trips, NaN and infinities too; keys such as `#` and `key` are no headers."""
    from runstone.records.metric import Metric

    points = [Metric(*row) for row in rows]
    text = format_metrics(points)
    back = list(parse_metrics(text, "m.tsv"))
    expected = sorted(points, key=lambda p: p.key)
    assert [repr(p) for p in expected] == [repr(p) for p in back]
    assert text == format_metrics(back)
    assert "metrics" == schema.validate_text(text, "m.tsv")
    for p in back:
        document = {"key": p.key, "step": p.step, "timestamp": p.timestamp, "value": p.value}
        schema.validate(document, "metrics", "m.tsv")


HEADER = "# schema: runstone/metrics/v1\nkey\tstep\ttimestamp\tvalue\n"


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ("a\t1\t2\n", "line 3 must be key, step, timestamp and value with tabs between, but is 'a\\t1\\t2'"),
        ("a\t1\t2\tx\n", "line 3 must be key, step, timestamp and value with tabs between, but is 'a\\t1\\t2\\tx'"),
        ("a\t1.5\t2\t3\n", "line 3 must be key, step, timestamp and value with tabs between, but is 'a\\t1.5\\t2\\t3'"),
        ("a\t1\t2\t3\n\n", "line 4 must be key, step, timestamp and value with tabs between, but is ''"),
        ("a\t1\t2\t3", "line 3 is torn: the file must end with a line end"),
    ],
)  # fmt: skip
def test_a_damaged_metrics_file_is_refused_with_the_line(rows: str, problem: str) -> None:
    """No line is skipped or half read."""
    with pytest.raises(RecordInvalid) as error:
        list(parse_metrics(HEADER + rows, "m.tsv"))
    assert problem == error.value.problem


def test_summary_schema_and_dataclass_agree_on_infinite_values() -> None:
    """`.nan` and `.inf` are numbers, and a whole number beyond all floats reads as infinity, as 1.0e+400 does."""
    document = {"last": math.nan, "step": 0, "min": 10**400, "max": -(10**400), "count": 1}
    summary = MetricSummary.from_document(document, "x.yaml", "metrics.a")
    assert (math.inf, -math.inf) == (summary.min, summary.max)
    assert math.isnan(summary.last)


def test_patterns_stand_for_themselves_in_other_languages() -> None:
    """Patterns use what the regular expressions of ECMAScript and Python share: no letter classes, no inline flags."""
    patterns = re.findall(r'"pattern": (".*")', "\n".join(json.dumps(d, indent=1) for d in SCHEMAS.values()))
    assert patterns
    for pattern in map(json.loads, patterns):
        assert pattern.startswith("^")
        assert pattern.endswith("$")
        assert re.search(r"\\[dwsAZb]|\(\?[^!:=]", pattern) is None
