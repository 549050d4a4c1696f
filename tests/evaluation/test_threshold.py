"""Thresholds of an evaluation: by themselves, and against a baseline."""

from pathlib import Path
from typing import Any

import pytest

from runstone.errors import EvaluationFailed, UsageError
from runstone.evaluation import EvaluationResult, MetricThreshold, validate_evaluation_results

RESULT = EvaluationResult({"auc": 0.9, "loss": 0.2, "nan": float("nan")}, {}, "run-a")

CASES: list[tuple[str, dict[str, Any], dict[str, float], str | None]] = [
    ("auc", {"threshold": 0.9, "greater_is_better": True}, {}, None),
    ("auc", {"threshold": 0.91, "greater_is_better": True}, {}, "`auc` is 0.9, and at least 0.91 is asked for."),
    ("loss", {"threshold": 0.2, "greater_is_better": False}, {}, None),
    ("loss", {"threshold": 0.1, "greater_is_better": False}, {}, "`loss` is 0.2, and at most 0.1 is asked for."),
    ("nan", {"threshold": 0.0, "greater_is_better": True}, {}, "`nan` is nan, and at least 0.0 is asked for."),
    ("f1", {"threshold": 0.0, "greater_is_better": True}, {}, "`f1` was not measured."),
    ("auc", {"min_absolute_change": 0.1, "greater_is_better": True}, {"auc": 0.75}, None),
    ("auc", {"min_absolute_change": 0.25, "greater_is_better": True}, {"auc": 0.75},
     "`auc` is 0.9, and at least 1.0 is asked for, since the baseline has 0.75."),
    ("loss", {"min_relative_change": 0.5, "greater_is_better": False}, {"loss": 0.5}, None),
    ("loss", {"min_relative_change": 0.5, "greater_is_better": False}, {"loss": 0.25},
     "`loss` is 0.2, and at most 0.125 is asked for, since the baseline has 0.25."),
    ("auc", {"min_relative_change": 0.5, "greater_is_better": True}, {"auc": -2.0}, None),
    ("auc", {"min_relative_change": 0.0, "greater_is_better": True}, {"auc": 0.0}, None),
    ("auc", {"min_relative_change": 0.1, "greater_is_better": True}, {"f1": 1.0},
     "`auc` of the baseline was not measured."),
]  # fmt: skip


@pytest.mark.parametrize(("metric", "asked", "baseline", "problem"), CASES)
def test_thresholds(metric: str, asked: dict[str, Any], baseline: dict[str, float], problem: str | None) -> None:
    """Met or not, with all figures; NaN meets none."""
    held = EvaluationResult(baseline, {}) if baseline else None
    if problem is None:
        validate_evaluation_results({metric: MetricThreshold(**asked)}, RESULT, held)
        return
    with pytest.raises(EvaluationFailed) as found:
        validate_evaluation_results({metric: MetricThreshold(**asked)}, RESULT, held)
    expected = f"The model does not pass: {problem} See what was measured: `runstone runs show run-a`"
    assert expected == str(found.value)


@pytest.mark.mlflow
def test_mlflow_decides_likewise() -> None:
    """Every case above is met by MLflow's own check where it is by ours."""
    base: Any = pytest.importorskip("mlflow.models.evaluation.base", reason="the extra `mlflow` is not installed")
    theirs: Any = pytest.importorskip("mlflow.models.evaluation.validation")
    result = base.EvaluationResult(dict(RESULT.metrics), {}, run_id="a")
    for metric, asked, baseline, problem in CASES:
        held = base.EvaluationResult(baseline, {}, run_id="b") if baseline else None
        try:
            theirs.validate_evaluation_results({metric: theirs.MetricThreshold(**asked)}, result, held)
            is_met = True
        except (theirs.ModelValidationFailedException, KeyError):  # it trips over a baseline that lacks the metric
            is_met = False
        assert (problem is None) == is_met, (metric, asked)


def test_nan_is_never_an_improvement() -> None:
    """MLflow lets it pass where a share of the baseline is asked, since no comparison with NaN holds; we do not."""
    asked = {"nan": MetricThreshold(min_relative_change=0.1, greater_is_better=True)}
    with pytest.raises(EvaluationFailed, match="`nan` is nan"):
        validate_evaluation_results(asked, RESULT, EvaluationResult({"nan": 0.5}, {}))


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"threshold": 1.0}, "Say whether a higher value is better: `MetricThreshold(…, greater_is_better=True)`"),
        (
            {"greater_is_better": True},
            "A threshold asks for `threshold`, `min_absolute_change` or `min_relative_change`.",
        ),
        ({"greater_is_better": True, "threshold": "high"}, "`threshold` must be a number, but is 'high'."),
        (
            {"greater_is_better": True, "min_absolute_change": -1.0},
            "`min_absolute_change` must be above 0, but is -1.0.",
        ),
        (
            {"greater_is_better": True, "min_relative_change": 2.0},
            "`min_relative_change` must be from 0 to 1, but is 2.0.",
        ),
    ],
)
def test_thresholds_that_ask_for_nothing(asked: dict[str, Any], message: str) -> None:
    """Are refused when they are made."""
    with pytest.raises(UsageError) as found:
        MetricThreshold(**asked)
    assert message == str(found.value)


def test_a_change_needs_a_baseline() -> None:
    """It is not silently taken as met."""
    with pytest.raises(UsageError, match="needs a baseline"):
        validate_evaluation_results({"auc": MetricThreshold(min_absolute_change=0.1, greater_is_better=True)}, RESULT)


def test_a_failed_evaluation_is_recorded(here: Path) -> None:
    """The baseline is measured on the same data, and only the candidate is recorded."""
    pytest.importorskip("sklearn", reason="the extra `sklearn` is not installed")
    import runstone
    from tests.evaluation.support import rows

    asked = {"accuracy_score": MetricThreshold(min_absolute_change=0.01, greater_is_better=True)}
    with (
        pytest.raises(EvaluationFailed, match="since the baseline has") as found,
        pytest.warns(UserWarning, match="No probabilities"),
    ):
        runstone.evaluate(
            lambda it: (it["b"] > 0).astype(int),
            rows(),
            targets="y",
            model_type="classifier",
            baseline_model=lambda it: (it["a"] > 0.5).astype(int),
            validation_thresholds=asked,
        )
    (run,) = runstone.search_runs(output_format="list")
    assert (found.value.run_id, "FINISHED") == (run.id, run.status)
    assert run.data.metrics["accuracy_score"] < 0.7
