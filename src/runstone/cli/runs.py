"""`runstone runs`: list, show, search, delete, restore and tag runs."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from runstone.cli.command import group
from runstone.cli.output import Form, emit, emit_json, form_options, hint, json_option, list_options
from runstone.cli.session import EXPERIMENT, RUN, Session, pass_session

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
@list_options(columns=_COLUMNS)
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
@list_options(columns=_COLUMNS)
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
    "rm",
    examples="""
    runstone runs rm brave-otter-17 0192f3ab --reason "wrong data"
    runstone runs restore brave-otter-17   undo it
    """,
)
@click.argument("run_ids", metavar="RUN...", type=RUN, nargs=-1, required=True)
@click.option("--reason", help="Why, kept in the record.")
@pass_session
def rm(session: Session, run_ids: Sequence[str], reason: str | None) -> None:
    """Delete runs: lists leave them out, and their records stay, with the reason, until they are restored."""
    for run_id in run_ids:
        session.client.delete_run(run_id, reason=reason)
        click.echo(f"deleted {run_id}")
    hint(f"Undo: `runstone runs restore {' '.join(run_ids)}`")
    _say_push(session)


@runs.command(
    "restore",
    examples="""
    runstone runs restore brave-otter-17
    """,
)
@click.argument("run_ids", metavar="RUN...", type=RUN, nargs=-1, required=True)
@pass_session
def restore(session: Session, run_ids: Sequence[str]) -> None:
    """Restore deleted runs."""
    for run_id in run_ids:
        session.client.restore_run(run_id)
        click.echo(f"restored {run_id}")
    _say_push(session)


@runs.command(
    "tag",
    examples="""
    runstone runs tag brave-otter-17 team=growth reviewed=yes
    runstone runs tag brave-otter-17 --delete team
    """,
)
@click.argument("run_id", metavar="RUN", type=RUN)
@click.argument("pairs", metavar="[KEY=VALUE]...", nargs=-1)
@click.option("-d", "--delete", "deleted", metavar="KEY", multiple=True, help="Remove a tag; may be repeated.")
@pass_session
def tag(session: Session, run_id: str, pairs: Sequence[str], deleted: Sequence[str]) -> None:
    """Set tags of a run, or delete them; without either, print them."""
    from runstone.cli.pairs import parse_pairs

    tags = parse_pairs(pairs)
    if not tags and not deleted:
        _print_tags(session, run_id)
        return
    with session.client.handle(run_id):  # one commit for all
        for key in deleted:
            session.client.delete_tag(run_id, key)
        if tags:
            session.client.log_batch(run_id, tags=tags)
    _say_push(session)


def _print_tags(session: Session, run_id: str) -> None:
    for key, value in session.client.get_run(run_id).tags.items():
        from runstone.cli.output import clean

        click.echo(f"{clean(key)}={clean(value)}")


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


def _say_push(session: Session) -> None:
    command = session.push_hint(session.workspace.repo.config.branch)
    if command:
        hint(f"Share it: `{command}`")
