"""What is measured of a regressor: scikit-learn's metrics under MLflow's names, and a sample of the residuals."""

from functools import partial
from typing import Any

from runstone.errors import UsageError
from runstone.evaluation.data import Cases, check_known
from runstone.evaluation.findings import Findings
from runstone.evaluation.settings import Settings
from runstone.evaluation.subject import Subject


def measure(cases: Cases, subject: Subject, settings: Settings, findings: Findings) -> Any:
    """Add metrics and the table `residuals`; returns the predictions, (n_samples,).

    Raises:
        UsageError: Targets or predictions are no finite numbers, or several a row.

    Source: MLflow's evaluator `regressor`, for the names and what each of them means.
    """
    import numpy as np
    from sklearn import metrics

    targets = _numbers("targets", cases.targets)
    answers = cases.predictions if subject.model is None else subject.predict(cases.features)
    if answers.ndim != 1:
        raise UsageError(f"The model predicts {answers.shape[1]} numbers a row, and a regressor of one is evaluated.")
    predictions = _numbers("predictions", check_known(np, "predictions", answers))
    weights = cases.weights
    total = float(targets.sum() if weights is None else (targets * weights).sum())
    findings.metrics |= {
        "example_count": len(targets),
        "sum_on_target": total,
        "mean_on_target": total / len(targets),
        "max_error": float(metrics.max_error(targets, predictions)),
    }
    squared = float(metrics.mean_squared_error(targets, predictions, sample_weight=weights))
    findings.metrics |= {"mean_squared_error": squared, "root_mean_squared_error": squared**0.5}
    for name in ("mean_absolute_error", "mean_absolute_percentage_error", "r2_score"):
        findings.attempt(name, partial(getattr(metrics, name), targets, predictions, sample_weight=weights))
    findings.tables["residuals"] = _sample(targets, predictions, settings)
    return predictions


def _numbers(word: str, values: Any) -> Any:
    import numpy as np

    if values.dtype.kind not in "iufb":
        raise UsageError(
            f"A regressor needs numbers, and `{word}` holds {values.tolist()[0]!r:.60}. For classes: "
            "`model_type='classifier'`"
        )
    values = values.astype(float)
    if not np.isfinite(values).all():
        raise UsageError(f"`{word}` must be finite, but row {int(np.argmin(np.isfinite(values)))} is not.")
    return values


def _sample(targets: Any, predictions: Any, settings: Settings) -> Any:
    import numpy as np
    import pandas as pd

    rows = np.arange(len(targets))
    if len(rows) > settings.max_rows:
        rows = np.sort(np.random.default_rng(settings.seed).choice(rows, settings.max_rows, replace=False))
    columns = {"row": rows, "target": targets[rows], "prediction": predictions[rows]}
    return pd.DataFrame({**columns, "residual": targets[rows] - predictions[rows]})
