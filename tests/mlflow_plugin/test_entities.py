"""What the two spell differently: ids of experiments, values of params and metrics, what a record shows as tags."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.utils.validation import _EXPERIMENT_ID_REGEX

from runstone import names
from runstone.mlflow_plugin.entities import DEFAULT_FOLDER, MAX_FLOAT, ours, shown_value, tags_of, theirs, typed

pytestmark = pytest.mark.mlflow


@given(st.text() | st.integers().map(str) | st.floats().map(str) | st.sampled_from(["True", "None", "1_0", "١"]))
def test_a_param_reads_back_as_the_very_text(text: str) -> None:
    """Whatever type it is recorded with, MLflow reads what it wrote."""
    assert text == str(typed(text))


@pytest.mark.parametrize(
    ("text", "value"),
    [("10", 10), ("-3", -3), ("0.01", 0.01), ("1e-05", 1e-05), ("True", True), ("None", None), ("inf", math.inf)]
    + [(text, text) for text in "010|1.50|1e5|true|null|+1| 1|1 ||[1, 2]|0x1".split("|")]
    + [("9" * 5000, "9" * 5000)],
)
def test_a_param_is_a_number_where_its_text_is_that_number(text: str, value: object) -> None:
    """So that the record holds YAML's own types, and the filters of Runstone compare numbers."""
    found = typed(text)
    assert (type(value), value) == (type(found), found)


def test_what_is_no_text_is_left_alone() -> None:
    """As a value that a caller within the process gives."""
    assert [5, None] == [typed(5), typed(None)]


@pytest.mark.parametrize(
    ("id_", "folder"), [("0", DEFAULT_FOLDER), (None, DEFAULT_FOLDER), ("", DEFAULT_FOLDER), ("a.b", "a.b")]
)
def test_experiment_0_is_default(id_: str | None, folder: str) -> None:
    """MLflow's id of `Default`, which callers may leave out, is the id of a folder here."""
    assert folder == ours(id_)
    assert (id_ or "0") == theirs(folder)


@pytest.mark.parametrize("name", ["churn", "Random Forest", "Ä ö", "x" * 500, "1", "a_b-c", "CON"])
def test_mlflow_takes_most_ids_of_experiments(name: str) -> None:
    """MLflow's own pattern of ids takes what a name becomes here, but for one with a dot, and one of 65 letters."""
    id_ = names.experiment_id(name)
    assert len(name) > 60 or _EXPERIMENT_ID_REGEX.match(id_)


@pytest.mark.parametrize(("value", "shown"), [(math.inf, MAX_FLOAT), (-math.inf, -MAX_FLOAT), (0.5, 0.5), (-0.0, -0.0)])
def test_an_infinite_metric_is_the_greatest_float(value: float, shown: float) -> None:
    """As MLflow's SQL store gives it back; the record holds the infinity."""
    assert repr(shown) == repr(shown_value(value))
    assert math.isnan(shown_value(math.nan))


def test_a_record_shows_its_fields_as_mlflows_tags() -> None:
    """Name, user, parent, code and command of a run that Runstone recorded; a tag that somebody set wins."""
    document = {
        "name": "brave-otter",
        "user": "kim",
        "parent": "abc",
        "source": {"commit": "1" * 40, "branch": "main", "command": ["python", "my train.py"]},
        "tags": {"team": "red", "mlflow.user": "lee"},
    }
    assert {
        "mlflow.runName": "brave-otter",
        "mlflow.user": "lee",
        "mlflow.parentRunId": "abc",
        "mlflow.source.git.commit": "1" * 40,
        "mlflow.source.git.branch": "main",
        "mlflow.source.name": "python 'my train.py'",
        "mlflow.note.content": "Fine.",
        "team": "red",
    } == tags_of(document, "Fine.")
    assert {"mlflow.runName": "a"} == tags_of({"name": "a"}, None)
