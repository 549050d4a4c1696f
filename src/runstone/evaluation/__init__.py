"""Evaluate a model on data with known answers, and record it: metrics, tables, plots, and which model on which data.

What MLflow has too is named and means as there; see `evaluate`.
"""

from runstone.evaluation.result import EvaluationArtifact as EvaluationArtifact
from runstone.evaluation.result import EvaluationResult as EvaluationResult
from runstone.evaluation.run import evaluate as evaluate
from runstone.evaluation.threshold import MetricThreshold as MetricThreshold
from runstone.evaluation.threshold import validate_evaluation_results as validate_evaluation_results

__all__ = ["EvaluationArtifact", "EvaluationResult", "MetricThreshold", "evaluate", "validate_evaluation_results"]
