"""`runstone.evaluate` at its limits: many classes, few rows, slow models, models that fail, and odd data."""

import time
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("matplotlib", reason="the extra `evaluate` is not installed")
pytest.importorskip("sklearn", reason="the extra `evaluate` is not installed")

import numpy as np  # after what may skip the file
import pandas as pd  # likewise
from sklearn.linear_model import LogisticRegression  # likewise
from sklearn.metrics import precision_recall_fscore_support  # likewise

import runstone  # likewise
from runstone.errors import UsageError  # likewise
from runstone.evaluation import EvaluationResult, importance  # likewise
from tests.evaluation.support import rows  # likewise

LIGHT = {"log_model_explainability": False}


def evaluate(model: Any, data: Any, model_type: str = "classifier", **options: Any) -> tuple[EvaluationResult, str]:
    """The result, and the warnings in one text."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        made = runstone.evaluate(model, data, targets="y", model_type=model_type, **options)
    assert set(made.omitted) == {str(each.message) for each in told}
    return made, " ".join(made.omitted)


def test_thousands_of_classes(here: Path) -> None:
    """They take seconds; the scores of each class are scikit-learn's; what nobody could read is left out."""
    random = np.random.default_rng(1)
    target = np.arange(10_000) % 2000
    said = np.where(random.random(10_000) < 0.5, target, random.integers(0, 2000, 10_000))
    weights = random.random(10_000)
    start = time.process_time()
    result, told = evaluate(
        lambda it: it["said"].to_numpy(),
        pd.DataFrame({"said": said, "y": target}),
        evaluator_config={**LIGHT, "sample_weights": weights},
    )
    assert time.process_time() - start < 30
    assert "2000 classes are more than 500, so the confusion matrix is left out." in told
    assert {"per_class_metrics"} == result.artifacts.keys()
    table = result.tables["per_class_metrics"]
    expected = precision_recall_fscore_support(target, said, sample_weight=weights, zero_division=0)
    for column, values in zip(["precision_score", "recall_score", "f1_score"], expected, strict=False):
        assert pytest.approx(list(values), rel=1e-9) == list(table[column])


@pytest.mark.parametrize("model_type", ["classifier", "regressor"])
def test_one_row(here: Path, model_type: str) -> None:
    """What it defines is measured, and the rest is said to be left out."""
    data = rows()
    model = LogisticRegression().fit(data[["a", "b"]], data["y"])
    result, told = evaluate(model, data[:1], model_type)
    assert 1 == result.metrics["example_count"]
    assert {"roc_auc", "r2_score"}.isdisjoint(result.metrics)
    assert "one row cannot be shuffled" in told


def test_labels_that_the_model_does_not_know(here: Path) -> None:
    """They are a class of their own, which it never finds."""
    data = rows()
    model = LogisticRegression().fit(data[["a", "b"]], data["y"])
    result, _ = evaluate(model, data.assign(y=data["y"].replace(1, 7)), evaluator_config=LIGHT)
    table = result.tables["per_class_metrics"].set_index("positive_class")
    assert [0, 1, 7] == list(table.index)
    assert (0, int((data["y"] == 1).sum())) == (table["true_positives"][7], table["false_negatives"][7])


def test_a_slow_model_is_not_asked_for_ever(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where one round would take too long there is none."""
    data = rows().assign(c=0.0)
    asked = []

    def model(features: pd.DataFrame) -> Any:
        asked.append(len(features))
        return (features["a"] > 0.5).astype(int)

    evaluate(model, data)
    assert 2 + 5 * 3 == len(asked)
    monkeypatch.setattr(importance, "_SECONDS", 0.0)
    result, told = evaluate(model, data)
    assert "feature_importance" not in result.tables
    assert "asking it for 3 features would take longer than 0 s" in told
    assert 2 == len(asked) - 17


def test_rounds_end_with_the_time(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One round is whole; the features of further ones are not measured, and their deviation is 0."""
    clock = SimpleNamespace(monotonic=iter([0.0, 0.1, 31.0]).__next__)
    monkeypatch.setattr(importance, "time", clock)
    result, _ = evaluate(lambda it: (it["a"] > 0.5).astype(int), rows())
    table = result.tables["feature_importance"]
    assert ["a", "b"] == list(table["feature"])
    assert (0.0, 0.0) == tuple(table["deviation"])


def test_what_a_library_warns_of_is_not_repeated(here: Path) -> None:
    """Importance asks the model often; scikit-learn's warning of nameless columns comes with the first answers only."""
    data = rows()
    model = LogisticRegression().fit(data[["a", "b"]], data["y"])
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        runstone.evaluate(model, data[["a", "b"]].to_numpy(), targets=data["y"], model_type="classifier")
    assert 2 == len(["valid feature names" in str(each.message) for each in told])  # classes, and probabilities


@pytest.mark.parametrize("weights", [[-1.0] * 120, [0.0] * 120, ["a"] * 120, [float("inf")] * 120])
def test_weights_that_weigh_nothing(here: Path, weights: list[Any]) -> None:
    """Are refused."""
    with pytest.raises(UsageError, match="`sample_weights` must be numbers of 0 or more, and not all of them 0"):
        evaluate(lambda it: it["a"], rows(), "regressor", evaluator_config={"sample_weights": weights})


@pytest.mark.parametrize("data", [5, {"a": [1], "y": [1]}, object()])
def test_data_that_are_no_table(data: Any) -> None:
    """It is said what they may be."""
    with pytest.raises(
        UsageError, match="`data` must be a DataFrame, an array, a list of rows or a file, but is of the type"
    ):
        evaluate(lambda it: it, data)


def test_measurements_are_no_classes(here: Path) -> None:
    """Broken numbers as targets are told from labels that happen to be broken."""
    data = rows()
    model = LogisticRegression().fit(data[["a", "b"]], data["y"])
    with pytest.raises(UsageError, match=r"The targets are no classes, but numbers such as .*model_type='regressor'"):
        evaluate(model, data.assign(y=data["a"]))
    result, _ = evaluate(lambda it: np.ones(len(it)), data.assign(y=data["y"] / 2), evaluator_config=LIGHT)
    assert 0 == result.metrics["accuracy_score"]


def test_a_model_that_fails(here: Path) -> None:
    """Its own words are told, in one line, and nothing is recorded."""
    data = rows()
    model = LogisticRegression().fit(data[["a", "b"]], data["y"])
    with pytest.raises(UsageError, match="The model cannot predict on these data: ValueError: The feature names"):
        evaluate(model, data[["a", "y"]])
    with pytest.raises(UsageError, match="ZeroDivisionError: division by zero") as found:
        evaluate(lambda it: 1 / 0, data)
    assert isinstance(found.value.__cause__, ZeroDivisionError)
    assert [] == runstone.search_runs(output_format="list")
