"""Two changes of one record become one, and what loses is told."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstone.errors import RecordInvalid
from runstone.git.runs.merge import ABSENT, merge_documents, merge_experiment, merge_run, show
from runstone.records import yaml
from runstone.records.run import Run

Document = dict[str, Any]
BASE: Document = {
    "schema": "runstone/run/v1",
    "id": "r1",
    "name": "one",
    "experiment": "Default",
    "status": "FINISHED",
    "user": "kim",
    "started": "2026-01-01T00:00:00.000Z",
}


def text(document: Document) -> bytes:
    """A record's bytes."""
    return yaml.dump(document).encode()


def join(base: Document | None, ours: Document, theirs: Document) -> tuple[Document, list[str]]:
    """Two changes of one run, joined, and the lines that tell what lost."""
    before = None if base is None else text(BASE | base)
    merged, notes = merge_run(before, text(BASE | ours), text(BASE | theirs), run_id="r1")
    found = yaml.load(merged, "merged")
    return {key: value for key, value in found.items() if BASE.get(key) != value}, [str(note) for note in notes]


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "merged", "notes"),
    [
        ({}, {"tags": {"a": "1"}}, {"tags": {"b": "2"}}, {"tags": {"a": "1", "b": "2"}}, []),
        ({}, {"tags": {"a": "1"}}, {"tags": {"a": "2"}}, {"tags": {"a": "1"}}, ['Replaced: tags.a: "2" -> "1"']),
        ({"tags": {"a": "1"}}, {}, {"tags": {"a": "1", "b": "2"}}, {"tags": {"b": "2"}}, []),
        ({"tags": {"a": "1"}}, {}, {"tags": {"a": "2"}}, {}, ['Replaced: tags.a: "2" -> removed']),
        ({"tags": {"a": "1"}}, {"tags": {"a": "2"}}, {}, {"tags": {"a": "2"}}, ['Replaced: tags.a: removed -> "2"']),
        ({"params": {"a": 1}}, {"params": {"a": 1.0}}, {"params": {"a": 1}}, {"params": {"a": 1.0}}, []),
        (
            {"params": {"a": 1}},
            {"params": {"a": True}},
            {"params": {"a": 1.0}},
            {"params": {"a": True}},
            ["Replaced: params.a: 1.0 -> true"],
        ),
        (
            {"params": {"net": {"depth": 1, "width": 2}}},
            {"params": {"net": {"depth": 3, "width": 2}}},
            {"params": {"net": {"depth": 1, "width": 4, "new": None}}},
            {"params": {"net": {"depth": 3, "width": 4, "new": None}}},
            [],
        ),
        (
            {},
            {"params": {"a": [1]}},
            {"params": {"a": [2]}},
            {"params": {"a": [1]}},
            ["Replaced: params.a: [2] -> [1]"],
        ),
        ({}, {"new": {"x": 1}}, {"new": {"y": 2}, "more": 3}, {"new": {"x": 1, "y": 2}, "more": 3}, []),
        (
            {},
            {"lifecycle": "deleted", "deleted": {"at": "1"}},
            {"lifecycle": "deleted", "deleted": {"at": "2", "reason": "x"}},
            {"lifecycle": "deleted", "deleted": {"at": "1"}},
            ['Replaced: deleted: {"at": "2", "reason": "x"} -> {"at": "1"}'],
        ),
        (
            {},
            {"tags": {"a": "1"}},
            {"lifecycle": "deleted", "deleted": {"at": "2"}},
            {"tags": {"a": "1"}, "lifecycle": "deleted", "deleted": {"at": "2"}},
            [],
        ),
        (
            {"lifecycle": "deleted", "deleted": {"at": "1"}},
            {"lifecycle": "deleted", "deleted": {"at": "2"}},
            {},
            {},
            ['Replaced: deleted: removed -> {"at": "2"}', 'Replaced: deleted: {"at": "2"} -> removed'],
        ),
        (
            {"attempts": [{"n": 0}]},
            {"attempts": [{"n": 0}, {"n": 1}]},
            {"attempts": [{"n": 0}, {"n": 2}]},
            {"attempts": [{"n": 0}, {"n": 2}, {"n": 1}]},
            [],
        ),
        (
            {"conflicts": [{"k": 1}, {"k": 2}]},
            {"conflicts": [{"k": 2}]},
            {"conflicts": [{"k": 1}, {"k": 2}, {"k": 3}]},
            {"conflicts": [{"k": 2}, {"k": 3}]},
            [],
        ),
    ],
)
def test_fields_are_joined(
    base: Document, ours: Document, theirs: Document, merged: Document, notes: list[str]
) -> None:
    """What one side changed is taken; where both did, ours stays and a line tells the other value."""
    assert (merged, notes) == join(base, ours, theirs)


def test_models_and_datasets_are_sets() -> None:
    """Models are joined by path, datasets by name and digest; one changed on both sides stays whole."""
    model = {"path": "m", "flavors": ["sklearn"], "digest": "md5:1.dir", "size": 1}
    data = {"name": "d", "digest": "md5:1"}
    ours = {"models": [model | {"digest": "md5:2.dir", "size": 2}], "datasets": [data]}
    theirs = {"models": [model | {"digest": "md5:3.dir"}, model | {"path": "n"}], "datasets": [data | {"digest": "x"}]}
    merged, notes = join({"models": [model]}, ours, theirs)
    assert [("m", "md5:2.dir", 2), ("n", "md5:1.dir", 1)] == [
        (found["path"], found["digest"], found["size"]) for found in merged["models"]
    ]
    assert ["x", "md5:1"] == [found["digest"] for found in merged["datasets"]]
    assert 1 == len(notes)
    assert "md5:3.dir" in notes[0]


def test_what_was_measured_of_models_is_a_set() -> None:
    """Points of different models, metrics or datasets are joined, and so are the models that a run read and made."""
    points = {"model": "m-1", "metric": "acc", "points": "0 1 0.5"}
    ours = {"model_metrics": [points, points | {"dataset": "d"}], "model_outputs": [{"model": "m-1", "step": 0}]}
    theirs = {"model_metrics": [points, points | {"metric": "f1"}], "model_outputs": [{"model": "m-2", "step": 0}]}
    merged, notes = join({"model_metrics": [points]}, ours, theirs)
    assert [] == notes
    assert [points, points | {"metric": "f1"}, points | {"dataset": "d"}] == merged["model_metrics"]
    assert ["m-2", "m-1"] == [found["model"] for found in merged["model_outputs"]]


def test_an_experiment_made_twice_is_as_old_as_the_first() -> None:
    """The earlier one in the line tells when it was made, whatever the clocks say; descriptions are joined."""
    base = {"schema": "runstone/experiment/v1", "name": "E"}
    ours = text(base | {"created": "2020-01-01T00:00:00.000Z", "tags": {"a": "1"}})
    theirs = text(base | {"created": "2026-01-01T00:00:00.000Z", "description": "d"})
    merged, notes = merge_experiment(None, ours, theirs, experiment_id="e")
    assert {"created": "2026-01-01T00:00:00.000Z", "description": "d", "tags": {"a": "1"}} == {
        key: value for key, value in yaml.load(merged, "x").items() if key not in base
    }
    assert ['Replaced: created: "2020-01-01T00:00:00.000Z" -> "2026-01-01T00:00:00.000Z"'] == list(map(str, notes))


@pytest.mark.parametrize("broken", [b"", b"not: [yaml", b"\xff", b"[]", b"schema: runstone/run/v9\n", b"id: x\n"])
def test_what_is_no_record_is_refused(broken: bytes) -> None:
    """A record that cannot be read is not joined; the caller takes a whole file then."""
    from runstone.errors import NewerFormat

    for sides in ((text(BASE), text(BASE), broken), (text(BASE), broken, text(BASE)), (broken, text(BASE), text(BASE))):
        with pytest.raises((RecordInvalid, NewerFormat)):
            merge_run(*sides, run_id="r1")


def test_values_are_shown_in_one_harmless_line() -> None:
    """Control characters, line ends and what turns text around are escaped; a long value is cut; NaN has a form."""
    assert '"a\\n\\u001b[31m\\u0085\\u202e\\u2028\\u007f"' == show("a\n\x1b[31m\x85\u202e\u2028\x7f")
    assert "removed" == show(ABSENT)
    assert "NaN" == show(math.nan)
    assert 1050 > len(show("x" * 9999))
    notes = merge_documents({}, {"a\nSubject: b": 1}, {"a\nSubject: b": 2}, "r")[1]
    assert 'Replaced: "a\\nSubject: b": 2 -> 1' == str(notes[0])


leaves = st.none() | st.booleans() | st.integers(-3, 3) | st.floats(allow_nan=True, width=16) | st.text(max_size=3)
trees = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abcd"), inner, max_size=3)
)
documents = st.dictionaries(st.sampled_from("abcd"), trees, max_size=4)


def leaves_of(value: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], str]:
    """Path → one-line text of every field that is no map, or an empty one."""
    if isinstance(value, dict) and value:
        return {key: leaf for name, inner in value.items() for key, leaf in leaves_of(inner, (*path, name)).items()}
    return {path: show(value)}


@given(base=documents, ours=documents, theirs=documents)
def test_no_value_is_lost(base: Document, ours: Document, theirs: Document) -> None:
    """Every value that a side set is in the record or in a note; every value of the record comes from a side."""
    merged, notes = merge_documents(base, ours, theirs, "r")
    kept, told = leaves_of(merged), "\n".join(map(str, notes))
    before = leaves_of(base)
    for side in (ours, theirs):
        for path, leaf in leaves_of(side).items():
            if before.get(path) != leaf and leaf != "{}":
                assert kept.get(path) == leaf or leaf in told
    sources = leaves_of(ours) | leaves_of(theirs)
    assert all(path in sources or leaf == "{}" for path, leaf in kept.items())


def canonical(value: Any) -> str:
    """A value as text, in which NaN is itself."""
    return json.dumps(value, sort_keys=True)


@given(base=documents, ours=documents, theirs=documents)
def test_joining_is_a_three_way_merge(base: Document, ours: Document, theirs: Document) -> None:
    """A side that did nothing changes nothing, equal changes are one, and joining twice is joining once."""
    assert canonical(theirs) == canonical(merge_documents(base, base, theirs, "r")[0])
    assert canonical(ours) == canonical(merge_documents(base, ours, base, "r")[0])
    assert (canonical(ours), []) == (
        canonical(merge_documents(base, ours, ours, "r")[0]),
        merge_documents(base, ours, ours, "r")[1],
    )
    merged = merge_documents(base, ours, theirs, "r")[0]
    assert canonical(merged) == canonical(merge_documents(base, merged, merged, "r")[0])


def test_the_result_is_a_record() -> None:
    """What is joined is read as a run again."""
    merged, _ = merge_run(text(BASE), text(BASE | {"tags": {"a": "1"}}), text(BASE | {"user": "lee"}), run_id="r1")
    run = Run.from_document(yaml.load(merged, "x"), "default", "x")
    assert ("lee", {"a": "1"}) == (run.user, run.tags)
