"""`runstone.evaluate`: what it measures, records and returns, and how it says what cannot be."""

import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("matplotlib", reason="matplotlib is not installed")
pytest.importorskip("sklearn", reason="the extra `sklearn` is not installed")

import numpy as np  # after what may skip the file
import pandas as pd  # likewise
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier  # likewise

import runstone  # likewise
from runstone.errors import MissingLibrary, ModelNotFound, UsageError  # likewise
from runstone.evaluation import EvaluationResult  # likewise
from tests.evaluation.support import register, rows  # likewise

CURVES = ["roc_curve", "precision_recall_curve", "calibration_curve", "lift_curve"]
LIGHT = {"log_model_explainability": False}


@pytest.fixture
def model() -> Any:
    """A classifier of the rows."""
    data = rows(60)
    return LogisticRegression().fit(data[["a", "b"]], data["y"])


def evaluate(
    model: Any = None,
    data: Any = None,
    targets: Any = None,
    model_type: Any = None,
    config: dict[str, Any] | None = None,
    **options: Any,
) -> EvaluationResult:
    """As `runstone.evaluate`, without the importance of features; any warning is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        settings = {**LIGHT, **(config or {})}
        return runstone.evaluate(
            model, data, targets=targets, model_type=model_type, evaluator_config=settings, **options
        )


def test_a_version_is_evaluated_in_a_run_of_its_own(here: Path, model: Any) -> None:
    """The run has the metrics, the data with its role, the files, and a tag that names the model by its digest."""
    digest = register(model)
    result = runstone.evaluate(
        "models:/churn/latest", rows(), targets="y", model_type="classifier", dataset_name="june"
    )
    assert runstone.active_run() is None
    run = runstone.get_run(str(result.run_id))
    assert "FINISHED" == run.status
    assert dict(result.metrics) == dict(run.data.metrics)
    assert [("june", "eval", result.digest, (120, 3))] == [(d.name, d.role, d.digest, d.shape) for d in run.datasets]
    tag = run.tags[f"runstone.evaluated.{digest.removeprefix('md5:').removesuffix('.dir')}"]
    assert '"model": "models:/churn/1"' in tag
    names = [f"{name}_plot" for name in [*CURVES, "feature_importance"]]
    assert {"confusion_matrix", *names} == {n for n, a in result.artifacts.items() if a.uri.endswith(".png")}
    assert {"confusion_matrix_data", "per_class_metrics", "feature_importance", *CURVES} == result.tables.keys()
    client = runstone.Client()
    for artifact in result.artifacts.values():
        path = artifact.uri.removeprefix(f"runs:/{result.run_id}/")
        assert artifact.content == Path(client.download_artifacts(str(result.run_id), path)).read_bytes()
    assert all(a.content.startswith(b"\x89PNG") for n, a in result.artifacts.items() if n.endswith("_plot"))


def test_the_active_run_takes_it(here: Path, model: Any) -> None:
    """It stays open, and two data sets lie side by side in it."""
    with runstone.start_run() as run:
        first = evaluate(model, rows(), "y", "classifier", config={"metric_prefix": "a_"})
        second = evaluate(model, rows(50), "y", "classifier")
        assert run.is_open
    assert (run.id, run.id) == (first.run_id, second.run_id)
    recorded = runstone.get_run(run.id)
    assert {first.digest, second.digest} == {each.digest for each in recorded.datasets}
    assert (120, 50) == (recorded.data.metrics["a_example_count"], recorded.data.metrics["example_count"])
    assert {} == recorded.tags  # git does not know this model
    folders = {each.uri.rpartition("/")[0] for result in (first, second) for each in result.artifacts.values()}
    assert 2 == len(folders)


def test_what_can_be_evaluated(here: Path, model: Any, tmp_path: Path) -> None:
    """A loaded model, an estimator, a function and predictions give the same; so do frame, array and file."""
    register(model)
    data = rows()
    data.to_csv(tmp_path / "data.csv", index=False)
    data.to_parquet(tmp_path / "data.parquet")
    features, targets = data[["a", "b"]], data["y"].to_numpy()
    same: list[Any] = [
        evaluate("models:/churn/1", data, "y", "classifier"),
        evaluate(runstone.pyfunc.load_model("models:/churn/1"), features, targets, "classifier"),
        evaluate(model, features, data["y"], "classifier"),
        evaluate(model, str(tmp_path / "data.csv"), "y", "classifier"),
        evaluate(model, tmp_path / "data.parquet", "y", "classifier"),
        evaluate(model, data.assign(noise=1.0), "y", "classifier", feature_names=["a", "b"]),
    ]
    assert [dict(same[0].metrics)] * 6 == [pytest.approx(dict(each.metrics)) for each in same]
    with pytest.warns(UserWarning, match="No probabilities"):
        by_function = runstone.evaluate(
            model.predict, features, targets=targets, model_type="classifier", evaluator_config=LIGHT
        )
    predicted = data.assign(said=model.predict(features))
    with pytest.warns(UserWarning, match="No probabilities"):
        given = runstone.evaluate(data=predicted, targets="y", predictions="said", model_type="classifier")
    assert by_function.metrics == given.metrics
    assert same[0].metrics["f1_score"] == given.metrics["f1_score"]
    assert {"log_loss", "roc_auc", "precision_recall_auc", "score"} == same[0].metrics.keys() - given.metrics.keys()


def test_the_digest_covers_the_targets(here: Path, model: Any) -> None:
    """The same features with other answers are other data; the same data are the same, whoever is evaluated."""
    features, targets = rows()[["a", "b"]].to_numpy(), rows()["y"].to_numpy()
    plain = LogisticRegression().fit(features, targets)
    first = evaluate(plain, features, targets, "classifier")
    other = evaluate(plain, features, 1 - targets, "classifier")
    again = evaluate(RidgeClassifier().fit(features, targets).predict, features, targets, "regressor")
    assert first.digest == again.digest
    assert first.digest != other.digest


def test_a_file_of_the_repository_is_recorded_by_its_path(here: Path, model: Any) -> None:
    """With the digest of the file, so that anybody can find what it was evaluated on."""
    rows().to_csv(here / "test.csv", index=False)
    run = runstone.get_run(str(evaluate(model, "test.csv", "y", "classifier").run_id))
    assert [("test.csv", "test.csv", "eval")] == [(each.name, each.path, each.role) for each in run.datasets]


def test_a_regressor(here: Path) -> None:
    """Residuals of a sample, and their plots; the metrics are of all rows."""
    data = rows(500)
    model = LinearRegression().fit(data[["a"]], data["y"])
    result = evaluate(model, data[["a", "y"]], "y", "regressor", config={"max_rows": 100})
    assert {"residuals", "residuals_plot", "predictions_plot"} == result.artifacts.keys()
    table = result.tables["residuals"]
    assert 100 == len(table)
    assert list(data["y"][table["row"]]) == list(table["target"])
    assert np.allclose(table["target"] - table["prediction"], table["residual"])
    assert 500 == result.metrics["example_count"]


def test_importance_finds_the_feature_that_tells(here: Path, model: Any) -> None:
    """Shuffling it costs most; the model's own coefficients stand beside; the seed makes it repeatable."""
    first, second = (
        runstone.evaluate(model, rows(), targets="y", model_type="classifier").tables["feature_importance"]
        for _ in "ab"
    )
    assert ["a", "b"] == list(first["feature"])
    assert first["permutation"][0] > 0.2 > abs(first["permutation"][1])
    assert pytest.approx(model.coef_[0]) == list(first["model"])
    pd.testing.assert_frame_equal(first, second)


def test_probabilities_where_classes_are_expected(here: Path, model: Any) -> None:
    """Columns are probabilities, and one column between 0 and 1 is that of the positive class: as with the model."""
    data = rows()
    expected = evaluate(model, data, "y", "classifier").metrics
    columns = evaluate(model.predict_proba, data, "y", "classifier")
    with pytest.warns(UserWarning, match="taken for probabilities of the class 1"):
        one = runstone.evaluate(
            lambda it: model.predict_proba(it)[:, 1], data, targets="y", model_type="classifier", evaluator_config=LIGHT
        )
    wanted = {key: value for key, value in expected.items() if key != "score"}
    assert pytest.approx(wanted) == dict(columns.metrics)
    assert pytest.approx(wanted) == dict(one.metrics)


def test_metrics_of_ones_own(here: Path, model: Any) -> None:
    """By name in a map or a list, as scikit-learn's take their arguments, or by the names that MLflow gives these."""
    from sklearn.metrics import matthews_corrcoef

    def missed(predictions: Any, targets: Any, metrics: Any) -> float:
        assert "accuracy_score" in metrics
        return float(((targets == 1) & (predictions == 0)).sum())

    extra = {"mcc": matthews_corrcoef, "missed": missed}
    result = evaluate(model, rows(), "y", "classifier", extra_metrics=extra)
    data = rows()
    assert matthews_corrcoef(data["y"], model.predict(data[["a", "b"]])) == pytest.approx(result.metrics["mcc"])
    assert result.metrics["false_negatives"] == result.metrics["missed"]
    listed = evaluate(model, rows(), "y", "classifier", extra_metrics=[matthews_corrcoef])
    assert result.metrics["mcc"] == listed.metrics["matthews_corrcoef"]


def test_one_class_in_the_data_of_a_model_that_knows_two(here: Path, model: Any) -> None:
    """Scores are there; areas and curves are not, and it is said why."""
    data = rows()
    only = data[data["y"] == 1]
    with pytest.warns(UserWarning, match="none of the class 0"):
        result = runstone.evaluate(model, only, targets="y", model_type="classifier", evaluator_config=LIGHT)
    assert {"roc_auc", "precision_recall_auc"}.isdisjoint(result.metrics)
    assert {"per_class_metrics", "confusion_matrix_data"} == result.tables.keys()
    assert 0 == result.metrics["true_negatives"] + result.metrics["false_positives"]


def test_classes_that_the_data_lack_keep_their_columns(here: Path) -> None:
    """A model of three classes, on data of two: probabilities are not taken for another class's."""
    data = rows(300, 3)
    model = LogisticRegression().fit(data[["a", "b"]], data["y"])
    part = data[data["y"] != 1]
    with pytest.warns(UserWarning, match="none of the class 1"):
        result = runstone.evaluate(model, part, targets="y", model_type="classifier", evaluator_config=LIGHT)
    table = result.tables["per_class_metrics"].set_index("positive_class")
    from sklearn.metrics import roc_auc_score

    shares = model.predict_proba(part[["a", "b"]])[:, 2]
    assert roc_auc_score(part["y"] == 2, shares) == pytest.approx(table["roc_auc"][2])


def test_odd_names_of_classes_are_drawn_as_they_are(here: Path) -> None:
    r"""What matplotlib would take for a formula, as `$\foo$`, is text."""
    data = rows()
    names = np.where(data["y"] == 1, r"$\frac{$", "a\nb" * 40)
    model = LogisticRegression().fit(data[["a", "b"]], names)
    result = evaluate(model, data[["a", "b"]], names, "classifier")
    assert "roc_curve_plot" in result.artifacts


def test_the_callers_figures_are_left_alone(here: Path, model: Any) -> None:
    """Drawing touches no state of pyplot."""
    from matplotlib import pyplot

    before = pyplot.get_fignums()
    evaluate(model, rows(), "y", "classifier")
    assert before == pyplot.get_fignums()


def test_without_scikit_learn(here: Path, model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said what to install."""
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(MissingLibrary) as found:
        evaluate(model, rows(), "y", "classifier")
    assert str(found.value) == (
        "`sklearn` is needed to evaluate models, and is not installed. Install it: `pip install 'runstone[evaluate]'`"
    )


def test_without_matplotlib(here: Path, model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """All but the plots is there."""
    monkeypatch.setitem(sys.modules, "matplotlib.backends.backend_agg", None)
    with pytest.warns(UserWarning, match=r"The plots are left out.*pip install 'runstone\[evaluate\]'"):
        result = runstone.evaluate(model, rows(), targets="y", model_type="classifier", evaluator_config=LIGHT)
    assert result.tables.keys() == result.artifacts.keys()


def bad(data: pd.DataFrame) -> list[tuple[dict[str, Any], str]]:
    """What is asked wrongly, and what is said."""
    arrays = data[["a", "b"]].to_numpy()
    kinds = {"model_type": "classifier", "data": data, "targets": "y"}
    return [
        ({**kinds, "model_type": "cluster"}, "`model_type` must be one of classifier, regressor, but is 'cluster'."),
        ({**kinds, "targets": None},
         "The targets are missing: name their column, or give one value a row, as `targets`."),
        ({**kinds, "targets": "z"},
         "`targets` names the column 'z', which the data does not have. It has: 'a', 'b', 'y'"),
        ({**kinds, "targets": [1, 2, 3]}, "`targets` has 3 values, and the data 120 rows."),
        ({**kinds, "data": arrays},
         "`targets` names the column 'y', but an array has none. Give the values themselves."),
        ({**kinds, "data": None}, "There is nothing to evaluate on: give `data`."),
        ({**kinds, "data": data[:0]}, "The data has no rows."),
        ({**kinds, "data": data.assign(y=data["y"].where(data.index != 5))},
         "`targets` lacks 1 of 120 values, the first in row 5. Leave these rows out, or fill them."),
        ({**kinds, "data": data.assign(y=np.where(data["y"] == 1, "yes", "no"))},
         "The targets are text ('yes'), and the predictions are numbers (1). Encode the targets as the "
         "model was trained with them."),
        ({**kinds, "data": data.assign(y="yes"), "model_type": "regressor"},
         "A regressor needs numbers, and `targets` holds 'yes'. For classes: `model_type='classifier'`"),
        ({**kinds, "data": data.assign(y=np.inf), "model_type": "regressor"},
         "`targets` must be finite, but row 0 is not."),
        ({**kinds, "predictions": "a"}, "What is to be evaluated? Give either a `model` or its `predictions`."),
        ({**kinds, "env_manager": "conda"},
         "`env_manager` must be `local`, but is 'conda': run this in the model's environment."),
        ({**kinds, "evaluators": "mine"},
         "There is no evaluator 'mine'. Measure what is your own with `extra_metrics`."),
        ({**kinds, "evaluator_config": {"posLabel": 1}},
         "`evaluator_config` has no setting 'posLabel'. It has: average, calibration_n_bins, label_list, "
         "log_model_explainability, max_classes_for_multiclass_roc_pr, max_rows, metric_prefix, pos_label, "
         "sample_weights, seed"),
        ({**kinds, "evaluator_config": {"pos_label": 7}}, "`pos_label` 7 is none of the classes: [0, 1]."),
        ({**kinds, "evaluator_config": {"label_list": [0, 2]}},
         "`label_list` lacks the class 1, which targets or predictions have."),
        ({**kinds, "evaluator_config": {"log_explainer": True}},
         "SHAP explainers are not logged: leave `log_explainer` out."),
        ({**kinds, "evaluator_config": {"sample_weights": [1.0]}}, "`weights` has 1 values, and the data 120 rows."),
        ({**kinds, "extra_metrics": [lambda t, p: 0]},
         "`extra_metrics` must be functions of (targets, predictions) with names. Name them: "
         "`extra_metrics={'name': function}`"),
        ({**kinds, "extra_metrics": {"mine": lambda t, p: "high"}},
         "The metric `mine` must be a number, but is 'high'."),
    ]  # fmt: skip


def test_what_cannot_be_evaluated(here: Path, model: Any) -> None:
    """Each is said in a sentence, and no run is left behind."""
    for options, message in bad(rows()):
        with pytest.raises(UsageError) as found:
            evaluate(model, config=options.pop("evaluator_config", None), **options)
        assert message == str(found.value)
    assert [] == runstone.search_runs(output_format="list")


def test_models_that_do_not_answer_as_they_must(here: Path) -> None:
    """One class only, numbers for classes, too few answers, NaN: each is an error."""
    data = rows()
    answers: list[tuple[Any, str, str]] = [
        (lambda it: np.zeros(len(it), int), "classifier", "There is only one class, 0, and a classifier needs two"),
        (lambda it: it["a"] * 10, "classifier", "The predictions are no classes, but numbers such as"),
        (lambda it: [1, 0], "classifier", "For 120 rows the model must give as many predictions"),
        (lambda it: it["a"].where(it.index != 3), "regressor", "`predictions` lacks 1 of 120 values"),
        (lambda it: it[["a", "b"]].to_numpy(), "regressor", "The model predicts 2 numbers a row"),
        (lambda it: it[["a", "b", "b"]].to_numpy(), "classifier", "The model predicts 3 columns for 2 classes"),
    ]  # fmt: skip
    for answer, model_type, message in answers:
        target = 0 if message.startswith("There is only one") else data["y"]
        with pytest.raises(UsageError, match=message.replace("(", r"\(").replace(")", r"\)")):
            evaluate(answer, data.assign(y=target), "y", model_type)
    with pytest.raises(ModelNotFound, match="churn"):
        evaluate("models:/churn/9", data, "y", "classifier")
    with pytest.raises(UsageError, match="There is no file"):
        evaluate(lambda it: it["a"], "nowhere.csv", "y", "regressor")
