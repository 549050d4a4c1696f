"""Input examples: the files that MLflow writes for the same data, and back."""

import datetime as dt
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from runstone.errors import InvalidModelFolder, UsageError
from runstone.flavors.example import read_example, write_example
from runstone.flavors.mlmodel import MLmodel
from runstone.flavors.signature import infer_signature
from runstone.flavors.trust import Trust

EXAMPLES: dict[str, Any] = {
    "table": pd.DataFrame({"a": [1.5, 2.0], "b": [1, 2], "c": ["x", "y"], "d": [True, False]}),
    "table of times": pd.DataFrame({"t": pd.to_datetime(["2024-01-01 10:00"])}),
    "table of bytes": pd.DataFrame({"b": [b"xyz"]}),
    "numbered columns": pd.DataFrame([[1.0, 2.0]]),
    "array": np.array([[1.0, 2.0]]),
    "array with gaps": np.array([1.0, np.nan]),
    "whole numbers": np.array([[1, 2]], dtype="int32"),
    "map of arrays": {"x": np.zeros((1, 2)), "y": np.array(["a"])},
    "map": {"a": 1, "b": ["x"], "c": {"d": 0.5}},
    "list": [1, 2],
    "records": [{"a": 1}],
    "text": "what is it?",
    "with params": (pd.DataFrame({"a": [1]}), {"top": 3}),
    "map with params": ({"a": 1}, {"top": 3}),
    "csr": sparse.csr_matrix(np.eye(2)),
}


@pytest.mark.mlflow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("what", EXAMPLES)
def test_an_example_is_written_as_mlflow_writes_it(tmp_path: Path, what: str) -> None:
    """Both files hold the same values, and the MLmodel file says the same of them."""
    from mlflow.models.utils import _Example as TheirExample

    theirs = TheirExample(EXAMPLES[what])
    assert theirs.info == write_example(tmp_path, EXAMPLES[what])
    assert json.loads(theirs.json_input_example) == json.loads((tmp_path / "input_example.json").read_text())
    assert json.loads(theirs.json_serving_input) == json.loads((tmp_path / "serving_input_example.json").read_text())


@pytest.mark.parametrize(
    "what", ["table", "numbered columns", "array", "whole numbers", "map of arrays", "map", "list"]
)
def test_an_example_reads_back(tmp_path: Path, what: str) -> None:
    """With the signature's dtypes, arrays and tables come back as they were."""
    data = EXAMPLES[what]
    info = write_example(tmp_path, data)
    model = MLmodel(flavors={}, signature=infer_signature(data), saved_input_example_info=info)
    found = read_example(tmp_path, model, trust=Trust())
    if isinstance(data, pd.DataFrame):
        pd.testing.assert_frame_equal(data, found)
    elif isinstance(data, np.ndarray) or what == "map of arrays":
        np.testing.assert_equal(found, data)
        dtypes = [array.dtype for array in (data.values() if isinstance(data, dict) else [data])]
        assert dtypes == [array.dtype for array in (found.values() if isinstance(found, dict) else [found])]
    else:
        assert data == found


def test_a_sparse_example_and_its_params_read_back(tmp_path: Path) -> None:
    """The data of a pair comes back without its params; a CSR matrix as one."""
    matrix = EXAMPLES["csr"]
    info = write_example(tmp_path, (matrix, {"when": dt.date(2024, 1, 1)}))
    found = read_example(tmp_path, MLmodel(flavors={}, saved_input_example_info=info), trust=Trust())
    assert matrix.toarray().tolist() == found.toarray().tolist()
    assert {"when": "2024-01-01"} == json.loads((tmp_path / "input_example.json").read_text())["params"]


def test_missing_values_are_null(tmp_path: Path) -> None:
    """NaN is not JSON: readers stop at it, MLflow 3.17's own with pandas 3 too."""
    write_example(tmp_path, pd.DataFrame({"a": [1.5, None], "c": ["x", None]}))
    assert {"columns": ["a", "c"], "data": [[1.5, "x"], [None, None]]} == json.loads(
        (tmp_path / "input_example.json").read_text(), parse_constant=pytest.fail
    )


def test_what_json_cannot_hold_is_refused(tmp_path: Path) -> None:
    """The error names the type and what can be given instead."""
    with pytest.raises(UsageError) as error:
        write_example(tmp_path, {"a": object()})
    assert (
        "An input example cannot hold a object. Give a pandas DataFrame, a numpy array, a map of arrays, a CSR or CSC "
        "matrix, or plain lists, maps and scalars; with params, a pair of data and params."
    ) == str(error.value)


@pytest.mark.parametrize(
    ("text", "info"),
    [
        ("{", {"type": "dataframe", "artifact_path": "e.json"}),
        ("[]", {"type": "dataframe", "artifact_path": "e.json"}),
        ("[]", {"type": "pickle", "artifact_path": "e.json"}),
        ("[]", {"type": "ndarray", "artifact_path": "../e.json"}),
        ("[]", {"type": "ndarray"}),
        ("[" * 100000, {"type": "ndarray", "artifact_path": "e.json"}),
    ],
)
def test_an_example_that_cannot_be_read_is_an_error_of_ours(tmp_path: Path, text: str, info: dict[str, Any]) -> None:
    """Damage, odd types and paths that leave the folder are all told as such."""
    (tmp_path / "e.json").write_text(text)
    with pytest.raises(InvalidModelFolder):
        read_example(tmp_path, MLmodel(flavors={}, saved_input_example_info=info), trust=Trust())
