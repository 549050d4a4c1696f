"""`runstone export`: tables of runs, and MLflow's own stores, so that whoever wants to leave can."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from runstone.cli.command import group
from runstone.cli.import_ import print_report
from runstone.cli.output import Form, clean, counted, emit_json, hint, json_option
from runstone.cli.session import EXPERIMENT_NAME, Session, pass_session, progress


@group(
    "export",
    examples="""
    runstone export csv > runs.csv
    runstone export mlflow sqlite:///mlflow.db
    """,
)
def export() -> None:
    """Write runs as CSV, Parquet or JSON, or everything into a store of MLflow's."""


def choice_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say which runs."""
    named = click.option(
        "-e", "--experiment", "experiments", type=EXPERIMENT_NAME, multiple=True, help="Only its runs; may be repeated."
    )
    filtered = click.option("-f", "--filter", "filter_string", metavar="FILTER", default="", help="Only what meets it.")
    deleted = click.option("-a", "--all", "with_deleted", is_flag=True, help="Deleted runs, too.")
    return named(filtered(deleted(function)))


def table_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of a table."""
    output = click.option(
        "-o", "--output", type=click.Path(dir_okay=False, allow_dash=True), default="-", help="A file; else the output."
    )
    return output(choice_options(function))


@export.command(
    "csv",
    examples="""
    runstone export csv -o runs.csv                         a row a run
    runstone export csv -e churn --history -o points.csv    a row a point of a metric
    """,
)
@table_options
@click.option("--history", is_flag=True, help="A row a point of a metric instead.")
@pass_session
def csv_(session: Session, /, **options: Any) -> None:
    """Write runs as CSV.

    Columns are named as MLflow names them: run_id, start_time, params.lr, metrics.loss (the last value), tags.team. A
    text that a spreadsheet would run as a formula gets a ' before it.
    """
    _write(session, "csv", **options)


@export.command(
    "parquet",
    examples="""
    runstone export parquet -o runs.parquet
    runstone export parquet --history -f "metrics.auc > 0.9" -o points.parquet
    """,
)
@table_options
@click.option("--history", is_flag=True, help="A row a point of a metric instead.")
@pass_session
def parquet(session: Session, /, **options: Any) -> None:
    """Write runs as Parquet.

    Params and tags are text, metrics numbers, times times. Needs the extra `parquet`.
    """
    _write(session, "parquet", **options)


@export.command(
    "json",
    examples="""
    runstone export json | jq .params
    runstone export json --history -o runs.jsonl            with all points of all metrics
    """,
)
@table_options
@click.option("--history", is_flag=True, help="With all points: [key, step, time, value].")
@pass_session
def json_(session: Session, /, **options: Any) -> None:
    """Write runs as JSON, a line a run.

    A line is the whole record with its types, and the digests of its artifacts. NaN and the infinities, which JSON
    has not, are the texts "nan", "inf" and "-inf".
    """
    _write(session, "json", **options)


@export.command(
    "mlflow",
    examples="""
    runstone export mlflow sqlite:///mlflow.db              a database, new or there; artifacts in mlartifacts beside it
    runstone export mlflow postgresql://db/mlflow --artifacts /data/mlflow
    runstone export mlflow mlruns                           a folder, as older MLflows have it
    runstone export mlflow http://localhost:5000            a server
    """,
)
@click.argument("target")
@choice_options
@click.option("--artifacts", metavar="DIR", type=click.Path(file_okay=False), help="Where a database's artifacts go.")
@click.option("--no-artifacts", is_flag=True, help="Leave artifacts out; versions of models then have no files there.")
@click.option("--no-models", is_flag=True, help="Leave the registered models out.")
@json_option
@pass_session
def mlflow(
    session: Session,
    target: str,
    experiments: tuple[str, ...],
    filter_string: str,
    with_deleted: bool,
    artifacts: str | None,
    no_artifacts: bool,
    no_models: bool,
    form: Form,
) -> None:
    """Write runs and models into a store of MLflow's.

    Ids and times stay; only a server gives ids and times of its own, and tags then keep the ids from here. It may be
    repeated: what is there and has not changed is left alone. Needs MLflow. Ends with 1 if something was lost.
    """
    from runstone.exports.choice import Choice
    from runstone.exports.mlflow.store import export_to_mlflow

    session.repo  # noqa: B018  # runs of dead processes are recorded first
    with progress("Exporting") as tell:
        report = export_to_mlflow(
            session.workspace,
            target,
            Choice(experiments or None, filter_string, with_deleted),
            artifacts=None if artifacts is None else Path(artifacts),
            with_artifacts=not no_artifacts,
            with_models=not no_models,
            progress=tell,
        )
    if form == "json":
        emit_json(report.to_document())
    else:
        print_report(report, empty="There is nothing to export.")
    if not report.is_whole:
        click.get_current_context().exit(1)


def _write(
    session: Session,
    form: Any,
    *,
    output: str,
    experiments: tuple[str, ...],
    filter_string: str,
    with_deleted: bool,
    history: bool,
) -> None:
    from runstone.exports.choice import Choice
    from runstone.exports.table import export_table

    session.repo  # noqa: B018  # runs of dead processes are recorded first
    choice = Choice(experiments or None, filter_string, with_deleted)
    path = None if output == "-" else Path(output)
    if path is None and form == "parquet" and sys.stdout.isatty():
        raise click.UsageError("Parquet is nothing for a terminal. Name a file: -o runs.parquet")
    if path is None:
        export_table(session.workspace, form, None, choice, history=history)
        return
    with progress("Exporting") as tell:
        number = export_table(session.workspace, form, path, choice, history=history, progress=tell)
    hint(f"{counted(number, 'row')} written to {clean(output)}")
