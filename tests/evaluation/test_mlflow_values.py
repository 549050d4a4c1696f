"""The metrics are MLflow's: the same names and the same values, as its own `evaluate` gives them."""

from pathlib import Path
from typing import Any

import pytest

np: Any = pytest.importorskip("numpy", reason="the extra `sklearn` is not installed")
pd: Any = pytest.importorskip("pandas", reason="the extra `sklearn` is not installed")
pytest.importorskip("sklearn", reason="the extra `sklearn` is not installed")
pytest.importorskip("matplotlib", reason="matplotlib is not installed")
pytest.importorskip("sqlalchemy", reason="MLflow is not installed as a whole")
pytest.importorskip("mlflow", reason="MLflow is not installed")

import mlflow  # noqa: E402  # after what may skip the file
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor  # noqa: E402  # likewise

import runstone  # noqa: E402  # likewise

pytestmark = [pytest.mark.mlflow, pytest.mark.filterwarnings("ignore")]

OFF = {"log_explainer": False, "log_model_explainability": False}


@pytest.fixture(scope="module", autouse=True)
def their_store(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Where MLflow records; made once, since that takes it seconds."""
    folder = tmp_path_factory.mktemp("mlflow")
    mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
    mlflow.create_experiment("theirs", artifact_location=str(folder / "artifacts"))
    mlflow.set_experiment("theirs")


def rows(count: int = 200, classes: int = 2) -> tuple[Any, Any]:
    """Features that tell something of the classes, and these, from a fixed seed."""
    random = np.random.default_rng(7)
    target = random.integers(0, classes, count)
    features = pd.DataFrame(random.normal(size=(count, 3)), columns=["a", "b", "c"])
    features["a"] += target
    return features, target


def both(folder: Path, model: Any, data: Any, model_type: str, config: dict[str, Any]) -> tuple[Any, Any]:
    """What MLflow measures and what we do, of a model that each has saved and loaded itself."""
    mlflow.sklearn.save_model(
        model, str(folder / "their-model"), serialization_format="cloudpickle", pip_requirements=[]
    )
    runstone.sklearn.save_model(model, str(folder / "our-model"))
    with mlflow.start_run():
        theirs = mlflow.models.evaluate(
            str(folder / "their-model"),
            data,
            targets="y",
            model_type=model_type,
            evaluators="default",
            evaluator_config={**config, **OFF},
        )
    ours = runstone.evaluate(
        str(folder / "our-model"),
        data,
        targets="y",
        model_type=model_type,
        evaluator_config={**config, **OFF},
        allow_pickle=True,
    )
    return theirs, ours


def same(theirs: Any, ours: Any) -> None:
    """Every metric of MLflow's, with its value; and every file, by its name."""
    assert theirs.artifacts.keys() <= ours.artifacts.keys()
    assert theirs.metrics.keys() == ours.metrics.keys()
    assert {key: float(value) for key, value in theirs.metrics.items()} == pytest.approx(dict(ours.metrics), rel=1e-9)


@pytest.mark.parametrize("labels", [[0, 1], ["no", "yes"]], ids=["numbers", "texts"])
@pytest.mark.parametrize("is_weighted", [False, True], ids=["alike", "weighted"])
def test_two_classes(here: Path, tmp_path: Path, labels: list[Any], is_weighted: bool) -> None:
    """Counts, scores, loss and areas, with numbers or texts for classes, and with weights."""
    features, target = rows()
    names = np.asarray(labels)[target]
    model = RandomForestClassifier(10, max_depth=2, random_state=0).fit(features[:80], names[:80])
    weights = np.linspace(0.5, 2.0, 200) if is_weighted else None
    same(*both(tmp_path, model, features.assign(y=names), "classifier", {"sample_weights": weights}))


def test_the_first_class_is_the_positive_one(here: Path, tmp_path: Path) -> None:
    """`pos_label` turns counts, scores and areas round."""
    features, target = rows()
    model = RandomForestClassifier(10, max_depth=2, random_state=0).fit(features[:80], target[:80])
    theirs, ours = both(tmp_path, model, features.assign(y=target), "classifier", {"pos_label": 0})
    same(theirs, ours)
    assert float((model.predict(features) == 0)[target == 0].sum()) == ours.metrics["true_positives"]


@pytest.mark.parametrize("average", ["weighted", "macro", "micro"])
def test_several_classes(here: Path, tmp_path: Path, average: str) -> None:
    """Averages as asked for, and the table of each class."""
    features, target = rows(300, 3)
    model = RandomForestClassifier(10, max_depth=2, random_state=0).fit(features[:100], target[:100])
    theirs, ours = both(tmp_path, model, features.assign(y=target), "classifier", {"average": average})
    same(theirs, ours)
    expected = theirs.artifacts["per_class_metrics"].content
    pd.testing.assert_frame_equal(
        expected.astype(float), ours.tables["per_class_metrics"][expected.columns].astype(float), rtol=1e-9
    )


@pytest.mark.parametrize("is_weighted", [False, True], ids=["alike", "weighted"])
def test_a_regressor(here: Path, tmp_path: Path, is_weighted: bool) -> None:
    """Errors, their largest, the sum and the mean of the targets, and R²."""
    features, target = rows()
    values = target * 2.5 + features["b"] + 10
    model = RandomForestRegressor(10, max_depth=3, random_state=0).fit(features[:80], values[:80])
    weights = np.linspace(0.5, 2.0, 200) if is_weighted else None
    same(*both(tmp_path, model, features.assign(y=values), "regressor", {"sample_weights": weights}))


def test_the_prefix_of_names(here: Path, tmp_path: Path) -> None:
    """`metric_prefix` stands before every metric, as in MLflow."""
    features, target = rows()
    model = RandomForestRegressor(3, random_state=0).fit(features[:80], target[:80])
    same(*both(tmp_path, model, features.assign(y=target), "regressor", {"metric_prefix": "june_"}))
