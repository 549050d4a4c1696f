"""Thresholds: what an evaluation must reach, by itself or against a baseline. Names and meaning are MLflow's."""

from collections.abc import Mapping
from dataclasses import dataclass

from runstone.errors import EvaluationFailed, UsageError
from runstone.evaluation.result import EvaluationResult

_LEAST = 1e-10
"""What counts as better than a baseline of 0, of which no share can be asked."""


@dataclass(frozen=True, slots=True)
class MetricThreshold:
    """What is asked of one metric.

    Attributes:
        threshold: The value that must be reached.
        min_absolute_change: By how much it must be better than the baseline's.
        min_relative_change: By which share of the baseline's value it must be better, from 0 to 1.
        greater_is_better: Whether a higher value is better.
    """

    threshold: float | None = None
    min_absolute_change: float | None = None
    min_relative_change: float | None = None
    greater_is_better: bool | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.greater_is_better, bool):
            raise UsageError("Say whether a higher value is better: `MetricThreshold(…, greater_is_better=True)`")
        asked = (self.threshold, self.min_absolute_change, self.min_relative_change)
        if all(each is None for each in asked):
            raise UsageError("A threshold asks for `threshold`, `min_absolute_change` or `min_relative_change`.")
        for name in ("threshold", "min_absolute_change", "min_relative_change"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
                raise UsageError(f"`{name}` must be a number, but is {value!r}.")
        if self.min_absolute_change is not None and not self.min_absolute_change > 0:
            raise UsageError(f"`min_absolute_change` must be above 0, but is {self.min_absolute_change!r}.")
        if self.min_relative_change is not None and not 0 <= self.min_relative_change <= 1:
            raise UsageError(f"`min_relative_change` must be from 0 to 1, but is {self.min_relative_change!r}.")

    @property
    def needs_baseline(self) -> bool:
        """Whether there must be something to compare with."""
        return self.min_absolute_change is not None or self.min_relative_change is not None

    def problems(self, name: str, value: float | None, baseline: float | None) -> list[str]:
        """What a value does not meet, a sentence each."""
        if value is None:
            return [f"`{name}` was not measured."]
        bounds: list[tuple[float, str]] = []
        sign = 1 if self.greater_is_better else -1
        if self.threshold is not None:
            bounds.append((self.threshold, ""))
        if self.needs_baseline and baseline is None:
            return [f"`{name}` of the baseline was not measured."]
        if self.min_absolute_change is not None and baseline is not None:
            bounds.append((baseline + sign * self.min_absolute_change, f", since the baseline has {baseline:g}"))
        if self.min_relative_change is not None and baseline is not None:
            change = self.min_relative_change * abs(baseline) if baseline else _LEAST
            bounds.append((baseline + sign * change, f", since the baseline has {baseline:g}"))
        word = "at least" if sign > 0 else "at most"
        return [
            f"`{name}` is {value!r}, and {word} {bound!r} is asked for{why}."
            for bound, why in bounds
            if not sign * value >= sign * bound
        ]


def validate_evaluation_results(
    validation_thresholds: Mapping[str, MetricThreshold],
    candidate_result: EvaluationResult,
    baseline_result: EvaluationResult | None = None,
) -> None:
    """Hold an evaluation against thresholds.

    Args:
        validation_thresholds: Metric → what is asked of it.
        candidate_result: The evaluation.
        baseline_result: That of the model which it is to be better than.

    Raises:
        EvaluationFailed: It does not meet them; the message has every figure.
        UsageError: A threshold needs a baseline, and there is none.
    """
    problems = []
    for name, threshold in validation_thresholds.items():
        if threshold.needs_baseline and baseline_result is None:
            raise UsageError(f"The threshold of `{name}` asks for a change, so it needs a baseline.")
        baseline = None if baseline_result is None else baseline_result.metrics.get(name)
        problems += threshold.problems(name, candidate_result.metrics.get(name), baseline)
    if problems:
        raise EvaluationFailed(candidate_result.run_id, problems)
