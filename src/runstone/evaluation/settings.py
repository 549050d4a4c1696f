"""The settings of an evaluation: MLflow's `evaluator_config`, checked, so that a misspelt one is an error."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runstone.errors import UsageError

MODEL_TYPES = ("classifier", "regressor")
AVERAGES = ("micro", "macro", "weighted")
_KEYS = frozenset(
    "average calibration_n_bins label_list log_explainer log_model_explainability max_classes_for_multiclass_roc_pr "
    "max_rows metric_prefix pos_label sample_weights seed".split()
)


@dataclass(frozen=True, slots=True)
class Settings:
    """How to evaluate; names and defaults are MLflow's, but for `max_rows` and `seed`.

    Attributes:
        pos_label: Of two classes the positive one; the last in order if None.
        label_list: All classes, where the data may lack some; found in targets and predictions if None.
        average: How a metric of several classes becomes one: `micro`, `macro` or `weighted`.
        sample_weights: One weight a row.
        metric_prefix: What the names of metrics and artifacts begin with.
        log_model_explainability: Whether to measure the importance of features.
        max_classes_for_multiclass_roc_pr: With more classes there are no ROC and no precision-recall curves.
        calibration_n_bins: Bins of the calibration curve.
        max_rows: Rows at most for the importance of features, and points in a plot or its table.
        seed: Of the samples.
    """

    pos_label: Any = None
    label_list: Sequence[Any] | None = None
    average: str = "weighted"
    sample_weights: Any = None
    metric_prefix: str = ""
    log_model_explainability: bool = True
    max_classes_for_multiclass_roc_pr: int = 10
    calibration_n_bins: int = 10
    max_rows: int = 1000
    seed: int = 0

    @classmethod
    def of(cls, config: Mapping[str, Any] | None) -> "Settings":
        """The settings that an `evaluator_config` says.

        Args:
            config: Name → value; MLflow's `{"default": {…}}` is understood too.

        Raises:
            UsageError: There is no such setting, or not with this value.
        """
        config = dict(config or {})
        if set(config) == {"default"} and isinstance(config["default"], Mapping):
            config = dict(config["default"])
        unknown = sorted(set(config) - _KEYS)
        if unknown:
            known = ", ".join(sorted(_KEYS - {"log_explainer"}))
            raise UsageError(f"`evaluator_config` has no setting {unknown[0]!r}. It has: {known}")
        if config.pop("log_explainer", False):
            raise UsageError("SHAP explainers are not logged: leave `log_explainer` out.")
        made = cls(**{key: value for key, value in config.items() if value is not None})
        if made.average not in AVERAGES:
            raise UsageError(f"`average` must be one of {', '.join(AVERAGES)}, but is {made.average!r}.")
        if not isinstance(made.metric_prefix, str):
            raise UsageError(f"`metric_prefix` must be text, but is {made.metric_prefix!r}.")
        for name in ("max_classes_for_multiclass_roc_pr", "calibration_n_bins", "max_rows"):
            value = getattr(made, name)
            if type(value) is not int or value < 1:
                raise UsageError(f"`{name}` must be a whole number from 1, but is {value!r}.")
        return made
