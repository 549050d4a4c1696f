"""Plots of an evaluation's tables, as PNG: drawn without pyplot, whose state belongs to the caller."""

import io
import math
from collections.abc import Callable, Mapping
from typing import Any

_MATRIX = 30
"""Classes in a confusion matrix beyond which it cannot be read."""
_BARS = 30


def draw(tables: Mapping[str, Any]) -> dict[str, bytes]:
    """Name → PNG, for each table that there is a plot of; the names are MLflow's where it draws the same.

    Raises:
        ImportError: matplotlib is not installed.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    drawn = {}
    for name, (table, paint) in _PLOTS.items():
        if table not in tables or len(tables[table]) == 0:
            continue
        figure = Figure(figsize=(6.0, 4.5), dpi=120, layout="constrained")
        FigureCanvasAgg(figure)
        if paint(figure.add_subplot(), tables[table]):
            buffer = io.BytesIO()
            figure.savefig(buffer, format="png", metadata={"Software": None})
            drawn[name] = buffer.getvalue()
    return drawn


def _plain(text: object) -> str:
    """A label as it is: `$` would begin a formula."""
    shown = "".join(c if c.isprintable() else " " for c in str(text))
    return (shown if len(shown) <= 30 else f"{shown[:29]}…").replace("$", r"\$")


def _lines(axes: Any, frame: Any, x: str, y: str, **style: Any) -> None:
    for label, points in frame.groupby("class", sort=False):
        axes.plot(points[x], points[y], label=_plain(label), linewidth=1.2, **style)
    axes.legend(title="class", fontsize="small")


def _roc(axes: Any, frame: Any) -> bool:
    _lines(axes, frame, "false_positive_rate", "true_positive_rate", drawstyle="steps-post")
    axes.plot([0, 1], [0, 1], color="gray", linestyle="dashed", linewidth=0.8)
    axes.set(xlabel="False positive rate", ylabel="True positive rate", title="ROC curve")
    return True


def _precision_recall(axes: Any, frame: Any) -> bool:
    _lines(axes, frame, "recall", "precision", drawstyle="steps-post")
    axes.set(xlabel="Recall", ylabel="Precision", title="Precision-recall curve", ylim=(0, 1.05))
    return True


def _calibration(axes: Any, frame: Any) -> bool:
    _lines(axes, frame, "mean_predicted", "share_of_positives", marker="o", markersize=3)
    axes.plot([0, 1], [0, 1], color="gray", linestyle="dashed", linewidth=0.8)
    axes.set(xlabel="Mean predicted probability", ylabel="Share of positives", title="Calibration")
    return True


def _lift(axes: Any, frame: Any) -> bool:
    _lines(axes, frame, "share_of_sample", "lift")
    axes.axhline(1, color="gray", linestyle="dashed", linewidth=0.8)
    axes.set(xlabel="Share of the sample", ylabel="Lift", title="Lift curve")
    return True


def _confusion(axes: Any, frame: Any) -> bool:
    counts = frame.drop(columns="target").to_numpy(dtype=float)
    if len(counts) > _MATRIX:
        return False
    sums = counts.sum(axis=1, keepdims=True)
    shares = counts / (sums + (sums == 0))
    axes.figure.colorbar(axes.imshow(shares, cmap="Blues", vmin=0, vmax=1), ax=axes)
    size = max(4, min(9, math.ceil(60 / len(counts))))
    for row in range(len(counts)):
        for column in range(len(counts)):
            color = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, f"{counts[row, column]:.0f}", ha="center", va="center", fontsize=size, color=color)
    labels = [_plain(label) for label in frame["target"]]
    axes.set_xticks(range(len(labels)), labels, rotation=90 if len(labels) > 5 else 0, fontsize=size)
    axes.set_yticks(range(len(labels)), labels, fontsize=size)
    axes.set(xlabel="Predicted", ylabel="Target", title="Confusion matrix (colour: share of the row)")
    return True


def _residuals(axes: Any, frame: Any) -> bool:
    axes.scatter(frame["prediction"], frame["residual"], s=8, alpha=0.5)
    axes.axhline(0, color="gray", linestyle="dashed", linewidth=0.8)
    axes.set(xlabel="Prediction", ylabel="Target minus prediction", title="Residuals")
    return True


def _predictions(axes: Any, frame: Any) -> bool:
    axes.scatter(frame["target"], frame["prediction"], s=8, alpha=0.5)
    ends = [frame["target"].min(), frame["target"].max()]
    axes.plot(ends, ends, color="gray", linestyle="dashed", linewidth=0.8)
    axes.set(xlabel="Target", ylabel="Prediction", title="Predictions against targets")
    return True


def _importance(axes: Any, frame: Any) -> bool:
    shown = frame.head(_BARS).iloc[::-1]
    axes.barh(range(len(shown)), shown["permutation"], xerr=shown["deviation"], height=0.7, ecolor="gray")
    axes.set_yticks(range(len(shown)), [_plain(each) for each in shown["feature"]], fontsize=7)
    axes.set(xlabel="Fall of the score when shuffled", title="Importance of features")
    return True


_PLOTS: dict[str, tuple[str, Callable[[Any, Any], bool]]] = {
    "confusion_matrix": ("confusion_matrix_data", _confusion),
    "roc_curve_plot": ("roc_curve", _roc),
    "precision_recall_curve_plot": ("precision_recall_curve", _precision_recall),
    "calibration_curve_plot": ("calibration_curve", _calibration),
    "lift_curve_plot": ("lift_curve", _lift),
    "residuals_plot": ("residuals", _residuals),
    "predictions_plot": ("residuals", _predictions),
    "feature_importance_plot": ("feature_importance", _importance),
}
"""Name of the plot → the table it shows, and what draws it."""
