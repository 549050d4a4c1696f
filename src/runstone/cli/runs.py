"""`runstone runs`: list, show, search, delete, restore and tag runs, and the log of what happened to them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from runstone.cli.command import group
from runstone.cli.output import Form, emit, emit_json, form_options, json_option, list_options
from runstone.cli.run_edits import EDITS
from runstone.cli.session import EXPERIMENT, FIELD, RUN, Session, pass_session

if TYPE_CHECKING:
    from runstone.records.experiment import Experiment

_COLUMNS = "name,metrics.mse,params.lr,min(metrics.loss),tags.team,started,duration"


@group(
    "runs",
    examples="""
    runstone runs list                         the newest 20
    runstone runs show brave-otter-17          all of one run
    runstone runs search "metrics.mse < 0.5"   those that meet a filter
    """,
)
def runs() -> None:
    """List, show, search, delete, restore and tag runs.

    A RUN is given by its id, by an unambiguous beginning of it, or by its name.
    """


for _edit in EDITS:
    runs.add_command(_edit)


@runs.command(
    "list",
    examples="""
    runstone runs list                              the newest 20
    runstone runs list -e churn -s metrics.mse -n 5 the five lowest of an experiment
    runstone runs list -c name,params.lr,metrics.mse
    runstone runs list -c +params.lr                the usual columns, and one more
    runstone runs list --json | jq '.[].params'     whole records, for programs
    """,
)
@click.option("-e", "--experiment", type=EXPERIMENT, help="Only runs of this experiment; name or id.")
@click.option("--all", "with_deleted", is_flag=True, help="Deleted runs too.")
@list_options(columns=_COLUMNS, fields=FIELD)
@pass_session
def list_(session: Session, /, **options: Any) -> None:
    """List runs, the newest first.

    Without --columns a table shows the metrics that most of its runs have; JSON holds whole records, and CSV a column
    for every param, metric and tag. Columns and fields are those of filters.
    """
    _list(session, **options)


@runs.command(
    "search",
    examples="""
    runstone runs search "metrics.mse < 0.5 AND params.lr = 0.01"
    runstone runs search "status = 'FAILED' OR tags.team = 'growth'" -s "started DESC"
    runstone runs search "max(metrics.auc) > 0.9" --csv
    """,
)
@click.argument("filter_", metavar="FILTER")
@click.option("-e", "--experiment", type=EXPERIMENT, help="Only runs of this experiment; name or id.")
@click.option("--all", "with_deleted", is_flag=True, help="Deleted runs too.")
@list_options(columns=_COLUMNS, fields=FIELD)
@pass_session
def search(session: Session, /, filter_: str, filter_string: str, **options: Any) -> None:
    """List the runs that meet FILTER.

    A filter compares metrics.NAME, params.NAME, tags.NAME, dataset.name and attributes such as name, status, user,
    started, experiment, branch, with AND, OR, NOT, IN, BETWEEN, LIKE, IS NULL.
    """
    both = f"({filter_}) AND ({filter_string})" if filter_string else filter_
    _list(session, filter_string=both, **options)


@runs.command(
    "show",
    short_help="Show one run, whole.",
    examples="""
    runstone runs show brave-otter-17
    runstone runs show 0192f3ab --json   the record, for programs
    """,
)
@click.argument("run_id", metavar="RUN", type=RUN)
@json_option
@pass_session
def show(session: Session, run_id: str, form: Form) -> None:
    """Show one run: where it came from, its params, metrics, tags, artifacts and notes."""
    from runstone.cli.run_page import print_run, run_document

    run = session.client.get_run(run_id)
    if form == "json":
        emit_json(run_document(run) | {"notes": session.client.get_note(run_id)})
    else:
        print_run(session, run)


@runs.command(
    "metrics",
    examples="""
    runstone runs metrics brave-otter-17 val/loss
    runstone runs metrics brave-otter-17 --csv > history.csv
    """,
)
@click.argument("run_id", metavar="RUN", type=RUN)
@click.argument("key", required=False)
@click.option("-n", "--limit", type=click.IntRange(min=0), metavar="N", default=0, help="Only the last so many points.")
@form_options
@pass_session
def metrics(session: Session, run_id: str, key: str | None, limit: int, form: Form) -> None:
    """Print the history of a run's metrics, or of the one called KEY."""
    from runstone.cli.output import Column
    from runstone.tracking.read import read_metrics

    points = read_metrics(session.workspace, run_id, key)
    if key is not None and not points:
        known = ", ".join(session.client.get_run(run_id).metrics) or "none"
        raise click.UsageError(f"Run {run_id} has no metric {key!r}. It has: {known}.")
    columns = [Column("metric"), Column("step", "number"), Column("time", "time"), Column("value", "number")]
    rows = [(point.key, point.step, point.timestamp, point.value) for point in points[-limit:]]
    emit(columns, rows, form, empty="The run has no metrics.")


@runs.command(
    "artifacts",
    short_help="List a run's artifacts, or those below PATH.",
    examples="""
    runstone runs artifacts brave-otter-17
    runstone runs artifacts brave-otter-17 model
    """,
)
@click.argument("run_id", metavar="RUN", type=RUN)
@click.argument("path", required=False, default="")
@form_options
@pass_session
def artifacts(session: Session, run_id: str, path: str, form: Form) -> None:
    """List a run's artifacts, or those below PATH; the same as `runstone artifacts list`."""
    from runstone.cli.artifacts import print_artifacts

    print_artifacts(session, run_id, path, form)


@runs.command(
    "log",
    short_help="Show what happened to the runs, or to one.",
    examples="""
    runstone runs log                         what happened, the newest first
    runstone runs log -n 5 --oneline          the last five, a line each
    runstone runs log brave-otter-17          what happened to one run, with what changed in its record
    runstone runs log -e churn --since 2026-11-01
    runstone runs log --since '3 days' --json
    """,
)
@click.argument("run", metavar="[RUN]", required=False)
@click.option("-n", "--limit", type=click.IntRange(min=0), metavar="N", default=0, help="Only so many, the newest.")
@click.option("-e", "--experiment", type=EXPERIMENT, help="Only of this experiment and its runs; name or id.")
@click.option("--since", metavar="TIME", help="Not older: as 2026-11-22, 2026-11-22T06:12Z, '3 days', 2h, yesterday.")
@click.option("--until", metavar="TIME", help="Not newer; a day counts as a whole.")
@click.option("--oneline", is_flag=True, help="One line for each.")
@click.option("--reverse", is_flag=True, help="The oldest of them first.")
@json_option
@pass_session
def log(session: Session, /, run: str | None, **options: Any) -> None:
    """Show what happened to the runs, one entry for each commit of their branch: who recorded, changed or deleted what.

    As `git log --first-parent` on that branch; it is paged as git's is. With RUN, also one that was removed, only what
    happened to it, and what changed in its record, field by field.
    """
    from runstone.cli.run_log import print_log

    print_log(session, run, **options)


def _list(
    session: Session,
    *,
    experiment: "Experiment | None",
    with_deleted: bool,
    columns: Sequence[str],
    sort: Sequence[str],
    filter_string: str,
    limit: int | None,
    form: Form,
) -> None:
    from runstone.cli.run_list import RunList

    asked = RunList(
        experiment_ids=None if experiment is None else [experiment.experiment_id],
        filter_string=filter_string,
        view="ALL" if with_deleted else "ACTIVE_ONLY",
        sort=tuple(sort),
        limit=limit,
    )
    asked.print(session.light_repo, columns, form)
