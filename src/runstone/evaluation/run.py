"""`evaluate`: measure, then record. Nothing is recorded of what cannot be measured."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from runstone import fluent
from runstone.errors import MissingLibrary, UsageError
from runstone.evaluation import plots
from runstone.evaluation.data import EXTRA, Cases, read_cases
from runstone.evaluation.findings import Findings
from runstone.evaluation.measured import ExtraMetrics, measure, name_metrics
from runstone.evaluation.result import EvaluationArtifact, EvaluationResult
from runstone.evaluation.settings import MODEL_TYPES, Settings
from runstone.evaluation.subject import Subject, open_subject
from runstone.evaluation.threshold import MetricThreshold, validate_evaluation_results
from runstone.flavors.saving import library
from runstone.registry.evaluations import Evaluation, format_tag, tag_of
from runstone.tracking.run import ActiveRun

FOLDER = "evaluation"
"""Among the run's artifacts; below it a folder for each data digest."""


def evaluate(
    model: Any = None,
    data: Any = None,
    *,
    model_type: str | None = None,
    targets: Any = None,
    predictions: Any = None,
    dataset_path: str | None = None,
    feature_names: Sequence[str] | None = None,
    evaluators: str | Sequence[str] | None = None,
    evaluator_config: Mapping[str, Any] | None = None,
    extra_metrics: ExtraMetrics | None = None,
    env_manager: str | None = "local",
    model_config: Mapping[str, Any] | None = None,
    inference_params: Mapping[str, Any] | None = None,
    validation_thresholds: Mapping[str, MetricThreshold] | None = None,
    baseline_model: Any = None,
    dataset_name: str | None = None,
    allow_pickle: bool = False,
) -> EvaluationResult:
    """Evaluate a model on data with known answers, and record it in the active run, or else in one of its own.

    What was measured of a model that git knows counts for its versions, too: gates of the policy and the model card
    read it, see `registry.evaluations`.

    Args:
        model: `models:/…`, `runs:/…` or a folder; a loaded model; or a function of the data. None if the predictions
            are given.
        data: DataFrame or array, (n_samples, n_features), or the path of a CSV or Parquet file.
        model_type: `classifier` or `regressor`.
        targets: The right answers: a column of the data, or one value a row.
        predictions: Without a model its answers: a column of the data, or one value a row.
        dataset_path: Where the data came from, for people: what they are called if `dataset_name` is not given.
        feature_names: The columns that the model takes, or the names of an array's.
        evaluators: For MLflow's signature only; None or `default`.
        evaluator_config: See `evaluation.settings.Settings`.
        extra_metrics: Functions of (targets, predictions), in a map by name or in a list; they get what they name, of
            `targets`, `predictions`, `probabilities`, `features`, `metrics` and `sample_weight`.
        env_manager: For MLflow's signature only; `local`: the model is asked in this process.
        model_config: Settings to load the model with.
        inference_params: Values for params of the signature.
        validation_thresholds: Metric → what is asked of it.
        baseline_model: A model, or an `EvaluationResult`, that thresholds of change compare with.
        dataset_name: What people call the data; a file's name if not given.
        allow_pickle: You trust the folder that the model is loaded from; see `pyfunc.load_model`.

    Returns:
        Metrics, tables and plots. `.omitted` says what could not be had; it is a warning, too.

    Writes:
        The run: metrics; artifacts in `evaluation/<digest>/`; the data, with the role `eval`; and a tag that names the
        model by its digest.

    Raises:
        UsageError: Something is missing, or does not fit together: nothing is recorded then.
        EvaluationFailed: A threshold is not met; it is all recorded.
        VersionNotFound: There is no such version; and likewise what `pyfunc.load_model` raises.
    """
    settings = Settings.of(evaluator_config)
    extra, thresholds = name_metrics(extra_metrics), dict(validation_thresholds or {})
    _check(model, predictions, model_type, evaluators)
    if env_manager not in (None, "local"):
        raise UsageError(f"`env_manager` must be `local`, but is {env_manager!r}: run this in the model's environment.")
    if baseline_model is None and any(each.needs_baseline for each in thresholds.values()):
        raise UsageError("A threshold asks for a change, so it needs a `baseline_model`.")
    library("sklearn", "evaluate models", EXTRA)
    active = fluent.active_run()
    workspace = fluent.client().workspace if active is None else active.workspace
    cases = read_cases(
        workspace.repo,
        data,
        targets,
        predictions,
        feature_names=feature_names,
        weights=settings.sample_weights,
        name=dataset_name or dataset_path,
    )

    def find(asked: Any) -> tuple[Subject, Findings]:
        subject = open_subject(
            workspace, asked, params=inference_params, model_config=model_config, allow_pickle=allow_pickle
        )
        return subject, measure(cases, subject, str(model_type), settings, extra)

    subject, found = find(model)
    baseline = baseline_model
    if baseline is not None and not isinstance(baseline, EvaluationResult):
        baseline = EvaluationResult(_prefixed(find(baseline)[1].metrics, settings), {})
    files = _files(found)
    if active is not None:
        result = _record(active, cases, subject, settings, found, files)
    else:
        with fluent.start_run() as run:
            result = _record(run, cases, subject, settings, found, files)
    for sentence in result.omitted:
        warnings.warn(sentence, stacklevel=2)
    validate_evaluation_results(thresholds, result, baseline)
    return result


def _check(model: Any, predictions: Any, model_type: str | None, evaluators: Any) -> None:
    if model_type not in MODEL_TYPES:
        raise UsageError(f"`model_type` must be one of {', '.join(MODEL_TYPES)}, but is {model_type!r}.")
    if evaluators not in (None, "default", ["default"], model_type, [model_type]):
        raise UsageError(f"There is no evaluator {evaluators!r}. Measure what is your own with `extra_metrics`.")
    if (model is None) == (predictions is None):
        raise UsageError("What is to be evaluated? Give either a `model` or its `predictions`.")


def _files(found: Findings) -> dict[str, tuple[str, bytes]]:
    """Name → ending and bytes of each artifact."""
    files = {name: (".csv", table.to_csv(index=False).encode()) for name, table in found.tables.items()}
    try:
        drawn = plots.draw(found.tables)
    except ImportError:
        missing = MissingLibrary("matplotlib", "draw the plots", EXTRA)
        found.omitted.append(f"The plots are left out, and their tables are there. {missing}")
        drawn = {}
    return files | {name: (".png", data) for name, data in drawn.items()}


def _prefixed(metrics: Mapping[str, float], settings: Settings) -> dict[str, float]:
    return {f"{settings.metric_prefix}{name}": value for name, value in metrics.items()}


def _record(
    run: ActiveRun,
    cases: Cases,
    subject: Subject,
    settings: Settings,
    found: Findings,
    files: Mapping[str, tuple[str, bytes]],
) -> EvaluationResult:
    dataset, metrics = cases.dataset, _prefixed(found.metrics, settings)
    folder = f"{FOLDER}/{dataset.digest.partition(':')[2][:12]}"
    run.log_dataset(dataset)
    run.log_metrics(metrics)
    artifacts = {}
    for name, (ending, data) in files.items():
        named = f"{settings.metric_prefix}{name}"
        path = f"{folder}/{named}{ending}"
        run.log_bytes(data, path)
        artifacts[named] = EvaluationArtifact(f"runs:/{run.id}/{path}", data)
    tag = tag_of(subject.digest) if subject.digest is not None else None
    if tag is not None:
        made = Evaluation(str(subject.uri), dataset.name, dataset.digest, metrics)
        run.set_tags({tag: format_tag(run.data.tags.get(tag), made)})
    return EvaluationResult(metrics, artifacts, run.id, dataset.digest, tuple(found.omitted))
