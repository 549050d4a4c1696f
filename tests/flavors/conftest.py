"""Models and data that the tests of this folder share. MLflow here is the real one, told to keep to itself."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression

from runstone.flavors import sklearn as flavor
from runstone.flavors.protocol import SaveOptions


@pytest.fixture(autouse=True)
def quiet_mlflow(isolated_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow sends no telemetry, and a tracking server it should not need is one that refuses."""
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")


@pytest.fixture(scope="session")
def frame() -> pd.DataFrame:
    """Two columns of numbers, one whole."""
    return pd.DataFrame({"a": [1.0, 2.0, 4.0], "b": [1, 0, 1]})


@pytest.fixture(scope="session")
def model(frame: pd.DataFrame) -> LinearRegression:
    """A regression that gives back 1, 2 and 3 for them."""
    return LinearRegression().fit(frame, np.array([1.0, 2.0, 3.0]))


@pytest.fixture
def folder(tmp_path: Path, model: LinearRegression, frame: pd.DataFrame) -> Path:
    """The regression as a pickle, saved by us with an example and so a signature."""
    flavor.save(model, tmp_path / "model", SaveOptions(input_example=frame), serialization_format="cloudpickle")
    return tmp_path / "model"
