"""`runstone evaluate`: a model, held against known answers."""

import re
import sys
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from runstone.cli.command import command
from runstone.cli.output import Column, Form, emit, emit_json, hint, json_option
from runstone.cli.session import Session, pass_session
from runstone.tracking.shown import strict

if TYPE_CHECKING:
    from runstone.evaluation import EvaluationResult, MetricThreshold

_REQUIRED = re.compile(r"\s*(?P<name>.+?)\s*(?P<sign>>=|<=)\s*(?P<value>\S+)\s*")


@command(
    "evaluate",
    examples="""
    runstone evaluate models:/churn@champion --data test.csv --targets churned --model-type classifier
    runstone evaluate models:/prices/3 --data june.parquet --targets price --model-type regressor --name june
    runstone evaluate models:/churn/4 --data t.csv --targets y --model-type classifier --require 'roc_auc>=0.9'
    """,
)
@click.option("--data", required=True, metavar="FILE", help="Features and answers: CSV or Parquet.")
@click.option("--targets", required=True, metavar="COLUMN", help="The column of the right answers.")
@click.option("--model-type", required=True, type=click.Choice(["classifier", "regressor"]), help="What it predicts.")
@click.option("--name", help="What to call the data.  [default: the file's name]")
@click.option("--prefix", default="", metavar="TEXT", help="What the names of the metrics begin with, as `june/`.")
@click.option("--positive", metavar="LABEL", help="Of two classes the positive one.  [default: the last in order]")
@click.option(
    "--require",
    "required",
    multiple=True,
    metavar="METRIC>=VALUE",
    help="Fail unless the metric is at least (>=) or at most (<=) so; may be repeated.",
)
@click.option("--experiment", metavar="NAME", help="The experiment of the run that records it.")
@click.option("--no-importance", is_flag=True, help="Do not measure how much each feature matters.")
@click.option("--allow-pickle", is_flag=True, help="You trust the folder: loading its weights may run code.")
@click.argument("uri")
@json_option
@pass_session
def evaluate(
    session: Session,
    uri: str,
    data: str,
    targets: str,
    model_type: str,
    name: str | None,
    prefix: str,
    positive: str | None,
    required: Sequence[str],
    experiment: str | None,
    no_importance: bool,
    allow_pickle: bool,
    form: Form,
) -> None:
    """Measure a model on data with known answers, and record that as a run.

    URI is `models:/NAME/VERSION`, `models:/NAME@ALIAS`, `models:/NAME/STAGE`, `runs:/RUN/PATH`, or a model folder. The
    run keeps metrics, tables, and plots. What was measured of a registered model shows in its card, and gates of the
    policy count it where the version's own run did not log the metric, or where they name the data.

    Exits with 1 if a --require is not met; it is recorded all the same.
    """
    thresholds = dict(map(_threshold, required))
    from runstone import fluent
    from runstone.evaluation import evaluate as measure
    from runstone.evaluation import validate_evaluation_results

    if session.path is not None:
        fluent.set_tracking_uri(session.path)
    if experiment is not None:
        fluent.set_experiment(experiment)
    config = {
        "metric_prefix": prefix,
        "pos_label": positive,
        "log_model_explainability": not no_importance,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # what is left out is said below
        result = measure(
            uri,
            data,
            model_type=model_type,
            targets=targets,
            evaluator_config=config,
            dataset_name=name,
            allow_pickle=allow_pickle,
        )
    _say(result, form)
    sys.stdout.flush()
    validate_evaluation_results({f"{prefix}{key}": each for key, each in thresholds.items()}, result)


def _say(result: "EvaluationResult", form: Form) -> None:
    if form == "json":
        about = {"run_id": result.run_id, "digest": result.digest, "omitted": list(result.omitted)}
        artifacts = {name: file.uri for name, file in result.artifacts.items()}
        emit_json(strict({**about, "metrics": dict(result.metrics), "artifacts": artifacts}))
        return
    emit([Column("metric"), Column("value", "number")], sorted(result.metrics.items()), "table")
    for sentence in result.omitted:
        hint(sentence)
    hint(f"Recorded as the run {result.run_id}. See its files: `runstone artifacts list {result.run_id}`")


def _threshold(text: str) -> "tuple[str, MetricThreshold]":
    from runstone.evaluation import MetricThreshold

    found = _REQUIRED.fullmatch(text)
    try:
        value = float(found["value"]) if found is not None else None
    except ValueError:
        value = None
    if found is None or value is None:
        raise click.UsageError(f"--require {text!r} must be as `roc_auc>=0.9` or `log_loss<=0.3`.")
    return found["name"], MetricThreshold(threshold=value, greater_is_better=found["sign"] == ">=")
