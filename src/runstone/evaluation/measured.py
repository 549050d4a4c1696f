"""All that is measured of one subject on one set of cases; nothing is recorded here."""

import inspect
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from runstone.errors import UsageError
from runstone.evaluation import classifier, importance, labels, regressor
from runstone.evaluation.data import Cases
from runstone.evaluation.findings import Findings
from runstone.evaluation.settings import Settings
from runstone.evaluation.subject import Subject

ExtraMetrics = Mapping[str, Callable[..., Any]] | Sequence[Callable[..., Any]]


def measure(
    cases: Cases, subject: Subject, model_type: str, settings: Settings, extra: Mapping[str, Callable[..., Any]]
) -> Findings:
    """Metrics and tables; raises `UsageError` for data that cannot be evaluated on."""
    findings = Findings()
    score: Callable[[Any, Any], float]
    if model_type == "classifier":
        given = labels.classify(cases, subject, settings, findings)
        classifier.measure(given, settings, findings)
        predictions, probabilities = given.labels[given.predictions], given.probabilities
        known = replace(settings, label_list=given.labels.tolist())

        def score(targets: Any, features: Any) -> float:
            part = replace(cases, features=features, targets=targets)
            return float((labels.decide(part, subject, known, Findings())[0] == targets).mean())
    else:
        predictions, probabilities = regressor.measure(cases, subject, settings, findings), None

        def score(targets: Any, features: Any) -> float:
            from sklearn import metrics

            return float(metrics.r2_score(targets, subject.predict(features)))

    _add_score(cases, subject, model_type, findings)
    for name, function in extra.items():
        findings.metrics[name] = _call(name, function, cases, predictions, probabilities, findings.metrics)
    if settings.log_model_explainability and subject.model is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what the library warns of was said at the first prediction
            importance.measure(cases, subject, score, settings, findings)
    return findings


def name_metrics(extra: ExtraMetrics | None) -> dict[str, Callable[..., Any]]:
    """Name → function; a function of a list is known by its own name.

    Raises:
        UsageError: One is no function, or has no name.
    """
    if isinstance(extra, Mapping):
        named = dict(extra)
    else:
        named = {getattr(each, "__name__", ""): each for each in extra or ()}
        if len(named) < len(extra or ()):
            raise UsageError("Two of `extra_metrics` have one name. Name them: `extra_metrics={'name': function}`")
    for name, function in named.items():
        if not callable(function) or not name or name == "<lambda>":
            raise UsageError(
                "`extra_metrics` must be functions of (targets, predictions) with names. Name them: "
                "`extra_metrics={'name': function}`"
            )
    return named


def _call(
    name: str,
    function: Callable[..., Any],
    cases: Cases,
    predictions: Any,
    probabilities: Any,
    metrics: Mapping[str, float],
) -> float:
    """Its value. It is given what it names, as MLflow's are, or, as scikit-learn's are, targets and predictions."""
    known = {
        "targets": cases.targets,
        "predictions": predictions,
        "probabilities": probabilities,
        "features": cases.features,
        "metrics": dict(metrics),
        "sample_weight": cases.weights,
    }
    try:
        asked = [each for each in inspect.signature(function).parameters if each in known]
    except (TypeError, ValueError):  # some builtins have no signature
        asked = []
    if {"targets", "predictions", "probabilities"} & set(asked):
        value = function(**{each: known[each] for each in asked})
    else:
        value = function(cases.targets, predictions)
    try:
        return float(value)
    except (TypeError, ValueError):
        raise UsageError(f"The metric `{name}` must be a number, but is {value!r:.80}.") from None


def _add_score(cases: Cases, subject: Subject, model_type: str, findings: Findings) -> None:
    """`score`, as scikit-learn's estimators have one; the model is not asked again where it is a metric we have."""
    raw = subject.raw
    own = getattr(type(raw), "score", None)
    if own is None or (not type(raw).__module__.startswith("sklearn.") and "sklearn" not in _bases(raw)):
        return
    home = getattr(own, "__qualname__", "")
    usual = {"ClassifierMixin.score": "accuracy_score", "RegressorMixin.score": "r2_score"}.get(home)
    if usual is not None:
        if usual in findings.metrics:
            findings.metrics["score"] = findings.metrics[usual]
        return
    weights = {} if cases.weights is None else {"sample_weight": cases.weights}
    try:
        value = float(raw.score(subject.enforced(cases.features), cases.targets, **weights))
    except Exception as error:  # an estimator's own code may raise anything
        findings.omitted.append(f"`score` is left out: {error!r:.200}")
        return
    if math.isfinite(value):
        findings.metrics["score"] = value


def _bases(raw: Any) -> set[str]:
    return {base.__module__.partition(".")[0] for base in type(raw).__mro__}
