"""What is measured of a classifier: scikit-learn's metrics under MLflow's names, tables, and curves.

Classes are numbers here, so that texts are compared only once.
"""

from collections.abc import Mapping
from typing import Any

from runstone.evaluation.findings import Findings, thinned
from runstone.evaluation.labels import Classified
from runstone.evaluation.settings import Settings

_MATRIX = 500
"""Classes beyond which a confusion matrix, of all pairs of them, is megabytes that nobody reads."""


def measure(given: Classified, settings: Settings, findings: Findings) -> None:
    """Add metrics and tables of a classifier.

    Source: MLflow's evaluator `classifier`, for the names and what each of them means.
    """
    from sklearn import metrics

    count, numbers = len(given.labels), list(range(len(given.labels)))
    matrix = metrics.confusion_matrix(given.targets, given.predictions, labels=numbers)
    if given.positive is not None:
        findings.metrics |= _outcomes(matrix, given.positive)
    findings.metrics |= _common(
        given.targets, given.predictions, given.positive, "weighted" if count == 2 else settings.average, given.weights
    )
    findings.tables["confusion_matrix_data"] = _matrix(matrix, given.labels)
    if count > _MATRIX:
        del findings.tables["confusion_matrix_data"]
        findings.omitted.append(f"{count} classes are more than {_MATRIX}, so the confusion matrix is left out.")
    classes = _of_classes(given, matrix)
    if given.probabilities is not None:
        _add_probable(given, settings, findings, classes)
    import pandas as pd

    findings.tables["per_class_metrics"] = pd.DataFrame(classes)


def _outcomes(matrix: Any, number: int) -> dict[str, float]:
    right = int(matrix[number, number])
    false_positives = int(matrix[:, number].sum()) - right
    false_negatives = int(matrix[number].sum()) - right
    return {
        "true_negatives": int(matrix.sum()) - right - false_positives - false_negatives,
        "false_positives": false_positives,
        "false_negatives": false_negatives,
        "true_positives": right,
    }


def _common(targets: Any, predictions: Any, positive: int | None, average: str, weights: Any) -> dict[str, float]:
    from sklearn import metrics

    how: dict[str, Any] = {"average": average} if positive is None else {"average": "binary", "pos_label": positive}
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(
        targets, predictions, sample_weight=weights, zero_division=0, **how
    )
    return {
        "example_count": len(targets),
        "accuracy_score": float(metrics.accuracy_score(targets, predictions, sample_weight=weights)),
        "recall_score": float(recall),
        "precision_score": float(precision),
        "f1_score": float(f1),
    }


def _of_classes(given: Classified, matrix: Any) -> list[dict[str, Any]]:
    """Each class against all others; from sums, since scikit-learn's functions take a minute for thousands of them."""
    import numpy as np

    count = len(given.labels)
    weights = np.ones(len(given.targets)) if given.weights is None else given.weights
    is_right = given.targets == given.predictions
    right = np.bincount(given.targets[is_right], weights[is_right], count)
    asked, said = (np.bincount(each, weights, count) for each in (given.targets, given.predictions))

    def share(part: Any, whole: Any) -> Any:
        return np.divide(part, whole, out=np.zeros(count), where=whole != 0)

    total = weights.sum()
    accuracy = (total - asked - said + 2 * right) / total
    scores = zip(accuracy, share(right, asked), share(right, said), share(2 * right, asked + said), strict=True)
    return [
        {
            "positive_class": given.labels[number],
            **_outcomes(matrix, number),
            "example_count": len(given.targets),
            **dict(zip(("accuracy_score", "recall_score", "precision_score", "f1_score"), found, strict=True)),
        }
        for number, found in enumerate(scores)
    ]


def _matrix(matrix: Any, labels: Any) -> Any:
    import pandas as pd

    frame = pd.DataFrame(matrix, columns=[str(label) for label in labels])
    frame.insert(0, "target", labels)
    return frame


def _add_probable(given: Classified, settings: Settings, findings: Findings, classes: list[dict[str, Any]]) -> None:
    """What needs probabilities: `log_loss`, areas, curves."""
    from sklearn import metrics

    numbers = list(range(len(given.labels)))
    findings.attempt(
        "log_loss",
        lambda: metrics.log_loss(given.targets, given.probabilities, labels=numbers, sample_weight=given.weights),
    )
    seen = {number for number in numbers if (given.targets == number).any()}
    lacking = [str(given.labels[number]) for number in numbers if number not in seen]
    if lacking:
        findings.omitted.append(
            f"The targets have none of the class {', '.join(lacking[:10])}: `roc_auc` over all classes is left out, "
            "and so are their curves."
        )
    elif given.positive is None and settings.average in ("macro", "weighted"):
        findings.attempt("roc_auc", lambda: _area_of_all(given, settings.average))
    if given.positive is not None and not lacking:
        findings.metrics |= _areas(given, given.positive)
    if len(numbers) > settings.max_classes_for_multiclass_roc_pr:
        findings.omitted.append(
            f"{len(numbers)} classes are more than {settings.max_classes_for_multiclass_roc_pr}, so there are no "
            "curves. Raise `max_classes_for_multiclass_roc_pr` for them."
        )
        return
    shown = [number for number in numbers if number in seen and len(seen) > 1]
    for number in shown:
        classes[number] |= _areas(given, number)
    for name, points in _curves(given, shown, settings).items():
        findings.tables[name] = points


def _area_of_all(given: Classified, average: str) -> float:
    from sklearn import metrics

    return float(
        metrics.roc_auc_score(
            given.targets, given.probabilities, sample_weight=given.weights, average=average, multi_class="ovr"
        )
    )


def _areas(given: Classified, number: int) -> dict[str, float]:
    """`precision_recall_auc` is the average precision, as MLflow's is."""
    from sklearn import metrics

    is_it, shares = given.targets == number, given.probabilities[:, number]
    return {
        "roc_auc": float(metrics.roc_auc_score(is_it, shares, sample_weight=given.weights)),
        "precision_recall_auc": float(metrics.average_precision_score(is_it, shares, sample_weight=given.weights)),
    }


def _curves(given: Classified, numbers: list[int], settings: Settings) -> Mapping[str, Any]:
    """The curves of each class; of two classes ROC, precision-recall and calibration only of the positive one."""
    import pandas as pd

    parts: dict[str, list[Any]] = {}
    for number in numbers:
        is_main = given.positive in (None, number)
        for name, points in _of_one(given, number, settings, is_main).items():
            frame = thinned(pd.DataFrame(points), settings.max_rows)
            frame.insert(0, "class", given.labels[number])
            parts.setdefault(name, []).append(frame)
    return {name: pd.concat(frames, ignore_index=True) for name, frames in parts.items()}


def _of_one(given: Classified, number: int, settings: Settings, is_main: bool) -> dict[str, dict[str, Any]]:
    import numpy as np
    from sklearn import metrics
    from sklearn.calibration import calibration_curve

    is_it, shares, found = given.targets == number, given.probabilities[:, number], {}
    if is_main:
        false, true, thresholds = metrics.roc_curve(is_it, shares, sample_weight=given.weights)
        found["roc_curve"] = {"false_positive_rate": false, "true_positive_rate": true, "threshold": thresholds}
        precision, recall, thresholds = metrics.precision_recall_curve(is_it, shares, sample_weight=given.weights)
        at = np.append(thresholds, np.inf)
        found["precision_recall_curve"] = {"recall": recall, "precision": precision, "threshold": at}
        if shares.min() >= 0 and shares.max() <= 1:
            true_share, mean = calibration_curve(is_it, shares, n_bins=settings.calibration_n_bins)
            found["calibration_curve"] = {"mean_predicted": mean, "share_of_positives": true_share}
    if given.positive is not None:
        gained = np.cumsum(is_it[np.argsort(shares, kind="stable")[::-1]]) / is_it.sum()
        sample = np.arange(1, len(gained) + 1) / len(gained)
        found["lift_curve"] = {"share_of_sample": sample, "lift": gained / sample}
    return found
