"""`runstone.pyfunc` loads any flavor behind one `predict`."""

import warnings
from pathlib import Path

import mlflow.pyfunc
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression

import runstone
from runstone.errors import InputMismatch

X = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": [0.0, 1.0, 0.0]})
MODEL = LinearRegression().fit(X, [1.0, 3.0, 3.0])


@pytest.mark.mlflow
def test_a_registered_model_predicts_as_mlflow_does(
    git_repo: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With the signature checked: a column that is missing is refused before the model is asked."""
    monkeypatch.chdir(git_repo)
    with runstone.start_run():
        runstone.sklearn.log_model(MODEL, "model", input_example=X, registered_model_name="linear")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded = runstone.pyfunc.load_model("models:/linear/1", suppress_warnings=True, dst_path=tmp_path)
    theirs = mlflow.pyfunc.load_model(str(tmp_path / "model"))
    assert np.allclose(loaded.predict(X), theirs.predict(X))
    with pytest.raises(InputMismatch):
        loaded.predict(X[["a"]])
