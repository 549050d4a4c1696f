"""What serving needs beyond the plain install, and models that several tests serve."""

from pathlib import Path
from typing import Any

import pytest

for _module in ("uvicorn", "httptools", "orjson", "prometheus_client", "packaging", "sklearn"):
    pytest.importorskip(_module, reason="the extras `serve` and `sklearn` are not installed")

from tests.serving.support import save, save_odd  # noqa: E402  # after what may skip the file


@pytest.fixture(scope="session")
def diabetes() -> tuple[Any, Any]:
    """A linear model, and the DataFrame it was fitted with."""
    from sklearn.datasets import load_diabetes
    from sklearn.linear_model import LinearRegression

    x, y = load_diabetes(return_X_y=True, as_frame=True)
    return LinearRegression().fit(x, y), x


@pytest.fixture(scope="session")
def signed_folder(tmp_path_factory: pytest.TempPathFactory, diabetes: tuple[Any, Any]) -> Path:
    """The linear model with a signature and an example."""
    from runstone.models import infer_signature

    model, x = diabetes
    signature = infer_signature(x, model.predict(x))
    return save(model, tmp_path_factory.mktemp("models") / "signed", signature, input_example=x[:2])


@pytest.fixture(scope="session")
def plain_folder(tmp_path_factory: pytest.TempPathFactory, diabetes: tuple[Any, Any]) -> Path:
    """The linear model without a signature."""
    return save(diabetes[0], tmp_path_factory.mktemp("models") / "plain")


@pytest.fixture(scope="session")
def odd_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model that does what its input says."""
    return save_odd(tmp_path_factory.mktemp("models") / "odd")


@pytest.fixture(autouse=True)
def quiet_mlflow(isolated_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow, where it is asked for its answers, sends no telemetry."""
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
