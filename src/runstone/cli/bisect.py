"""`runstone bisect-metric`: the run, and the code, with which a metric went bad."""

from typing import TYPE_CHECKING, Any

import click

from runstone.cli.command import command
from runstone.cli.output import Form, clean, counted, emit_json, format_value, heading, hint, json_option
from runstone.cli.session import EXPERIMENT, METRIC, Session, pass_session

if TYPE_CHECKING:
    from runstone.records.experiment import Experiment
    from runstone.tracking.bisect import Crossing, Measured
    from runstone.tracking.compare import Comparison

_SECTIONS = ("params", "tags", "datasets", "environment", "packages", "commits", "code")


@command(
    "bisect-metric",
    examples="""
    runstone bisect-metric rmse --above 60
    runstone bisect-metric val/accuracy --below 0.9 -e churn
    runstone bisect-metric 'metrics.rmse > 60 OR metrics.mae > 40'
    runstone bisect-metric rmse --above 60 -f "params.model = 'forest'" --first
    """,
)
@click.argument("metric", metavar="METRIC|CONDITION", type=METRIC)
@click.option("--above", type=float, metavar="X", help="More than this is bad.")
@click.option("--below", type=float, metavar="X", help="Less than this is bad.")
@click.option("-e", "--experiment", type=EXPERIMENT, help="Only runs of this experiment; name or id.")
@click.option("-f", "--filter", "filters", multiple=True, metavar="FILTER", help="Only runs that meet a filter.")
@click.option("--reruns", is_flag=True, help="Reruns of other runs, too.")
@click.option("--any-status", is_flag=True, help="Runs that failed or were killed, too.")
@click.option("--first", is_flag=True, help="Where it went bad for the first time, not the last.")
@json_option
@pass_session
@click.pass_context
def bisect_metric(
    ctx: click.Context,
    session: Session,
    metric: str,
    above: float | None,
    below: float | None,
    experiment: "Experiment | None",
    filters: tuple[str, ...],
    reruns: bool,
    any_status: bool,
    first: bool,
    form: Form,
) -> None:
    """Find the run with which a metric went bad, and what differs between it and the last good one.

    What is bad is said by a bound, which a metric that is NaN breaks, too, or by a condition as filters have them. The
    runs of one experiment are looked at in the order in which they came onto their branch. Those that ended well, have
    the metric and repeat no other run count. The answer is the beginning of the newest stretch of bad runs.

    Exit codes: 0 found, 1 it never went from good to bad, 2 a wrong call.
    """
    from runstone.tracking.bisect import FINISHED, find_crossing, metric_condition

    has_bound = above is not None or below is not None
    condition = metric_condition(metric, above=above, below=below) if has_bound else metric
    if not has_bound and not any(sign in metric for sign in "<>=") and " " not in metric.strip():
        raise click.UsageError(f"Say what is bad: --above X or --below X, or a condition: '{metric} > X'.")
    chosen = [*filters, *([] if any_status else [FINISHED])]
    crossing = find_crossing(
        session.repo,
        condition,
        experiment_ids=None if experiment is None else [experiment.experiment_id],
        filter_string=" AND ".join(f"({each})" for each in chosen),
        first=first,
        reruns=reruns,
    )
    title = _bounds(metric, above, below) if has_bound else metric
    found = _compare(session, crossing)
    if form == "json":
        emit_json(_as_json(crossing, found))
    elif found is None:
        click.echo(_why_not(crossing, title))
        if not crossing.runs:
            from runstone.cli.advice import say_unknown_fields

            ids = None if experiment is None else [experiment.experiment_id]
            say_unknown_fields(session.repo, [crossing.condition, *filters], experiment_ids=ids)
    else:
        _print(session, crossing, found, title)
    if crossing.is_cut:
        hint("History is cut: of the runs before, the order is that of their ids. All: `git fetch --unshallow`")
    if found is None:
        ctx.exit(1)


def _compare(session: Session, crossing: "Crossing") -> "Comparison | None":
    from runstone.tracking.compare import compare_runs

    if crossing.good is None or crossing.bad is None:
        return None
    return compare_runs(session.workspace, crossing.good.run_id, crossing.bad.run_id, sections=_SECTIONS)


def _bounds(metric: str, above: float | None, below: float | None) -> str:
    """What is bad, as it was asked."""
    given = (("above", above), ("below", below))
    return f"{metric} {' or '.join(f'{word} {format_value(bound)}' for word, bound in given if bound is not None)}"


def _why_not(crossing: "Crossing", title: str) -> str:
    what = clean(title)
    if not crossing.runs:
        return f"{what}: no run has {clean(', '.join(crossing.fields))}."
    if not crossing.bad_runs:
        return f"{what}: never crossed, {_counted(crossing.runs, 'is', 'are')} good."
    if crossing.bad_runs == crossing.runs:
        return f"{what}: never crossed, {_counted(crossing.runs, 'is', 'are')} bad."
    return f"{what}: never crossed, bad from the first run on and good since: {crossing.bad_runs} of {crossing.runs}."


def _counted(number: int, one: str, more: str) -> str:
    return f"the only run {one}" if number == 1 else f"all {number} runs {more}"


def _print(session: Session, crossing: "Crossing", found: "Comparison", title: str) -> None:
    from runstone.cli.diff_text import print_code, print_commits, print_sections
    from runstone.tracking.code import fetch_command

    good, bad, recovered = crossing.good, crossing.bad, crossing.recovered
    assert good is not None
    assert bad is not None
    click.echo(clean(title))
    click.echo(f"{click.style('last good ', fg='green')} {_describe(good)}")
    click.echo(f"{click.style('first bad ', fg='red')} {_describe(bad)}")
    if recovered is not None:
        click.echo(f"{click.style('good again', fg='green')} {_describe(recovered)}")
    still = "so is the newest" if recovered is None else "then it was good again"
    row = counted(crossing.stretch, "run")
    click.echo(f"{row} in a row {'is' if crossing.stretch == 1 else 'are'} bad, {still}; {_looked_at(crossing)}")
    fetch = fetch_command(session.workspace.repo)
    printed = print_sections(found)
    if found.commits is not None:
        printed |= print_commits(found.commits, fetch)
    printed |= print_code(found, fetch, hints=False)
    if not printed:
        click.echo("\nNothing that was recorded differs: the same code, params, data and packages.")
    heading("Look further")
    for line in _commands(found):
        click.echo(f"  {line}")


def _looked_at(crossing: "Crossing") -> str:
    without = f", {crossing.unmeasured} without a value" if crossing.unmeasured else ""
    return f"{crossing.bad_runs} bad of {crossing.runs}{without}"


def _describe(measured: "Measured") -> str:
    values = ", ".join(format_value(value) for value in measured.values)
    return f"{clean(measured.name)}  {measured.run_id}  {values}  (recorded by {measured.commit[:12]})"


def _commands(found: "Comparison") -> list[str]:
    """What shows more; a search of git's only where there is more than one commit to search."""
    commands = [f"runstone diff {found.a.id} {found.b.id} --code"]
    commits = found.commits
    if commits is not None and commits.count_b > 1:
        commands.append(f"git bisect start {commits.b} {commits.a}")
    return commands


def _as_json(crossing: "Crossing", found: "Comparison | None") -> dict[str, Any]:
    from runstone.cli.diff_json import as_json

    return {
        "condition": crossing.condition,
        "fields": crossing.fields,
        "found": found is not None,
        "good": _measured(crossing.good),
        "bad": _measured(crossing.bad),
        "stretch": crossing.stretch,
        "recovered": _measured(crossing.recovered),
        "runs": crossing.runs,
        "bad_runs": crossing.bad_runs,
        "unmeasured": crossing.unmeasured,
        "cut": crossing.is_cut,
        "differences": None if found is None else as_json(found, False),
        "commands": [] if found is None else _commands(found),
    }


def _measured(measured: "Measured | None") -> dict[str, Any] | None:
    if measured is None:
        return None
    return {
        "run_id": measured.run_id,
        "run_name": measured.name,
        "values": measured.values,
        "commit": measured.commit,
    }
