"""`runstone run`: record any command as a run."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from runstone.cli.command import command
from runstone.cli.session import EXPERIMENT_NAME, RUN, Session, pass_session

if TYPE_CHECKING:
    from runstone.projects.execute import Executed


@command(
    "run",
    context_settings={"allow_interspersed_args": False},
    examples="""
    runstone run python train.py                   its arguments are params, its output is kept
    runstone run -e churn --metrics metrics.json python train.py data.csv
    runstone run --metrics log.csv --artifact model.pkl:model --name first -- ./train.sh
    runstone run -p machine=a100 -t team=growth make train
    """,
)
@click.option(
    "-e",
    "--experiment",
    type=EXPERIMENT_NAME,
    metavar="TEXT",
    envvar="RUNSTONE_EXPERIMENT_NAME",
    help="The name of its experiment; made if there is none.",
)
@click.option("--name", help="What to call the run; made up if not given.")
@click.option(
    "--parent",
    metavar="RUN",
    type=RUN,
    envvar="RUNSTONE_RUN_ID",
    help="The run that it is nested in; else RUNSTONE_RUN_ID.",
)
@click.option(
    "-t",
    "--tag",
    "tags",
    metavar="KEY=TEXT",
    multiple=True,
    help="A tag; may be repeated, as --param, --metrics and --artifact.",
)
@click.option("-p", "--param", "params", metavar="KEY=VALUE", multiple=True, help="A further param, typed as in YAML.")
@click.option("--metrics", metavar="FILE", multiple=True, help="A JSON, YAML, CSV or TSV file that it writes.")
@click.option("--artifact", "artifacts", metavar="FILE[:PATH]", multiple=True, help="A file or folder to keep.")
@click.option("--note", help="Notes, in Markdown.")
@click.option("--require-clean", is_flag=True, help="Refuse if the work tree differs from HEAD.")
@click.option("--no-params", is_flag=True, help="Do not read the command's arguments as params.")
@click.option("--json", "as_json", is_flag=True, help="Print what was recorded as a last line of JSON.")
@click.argument("command_", metavar="COMMAND...", nargs=-1, required=True, type=click.UNPROCESSED)
@pass_session
@click.pass_context
def run(
    ctx: click.Context,
    session: Session,
    experiment: str | None,
    name: str | None,
    parent: str | None,
    tags: Sequence[str],
    params: Sequence[str],
    metrics: Sequence[str],
    artifacts: Sequence[str],
    note: str | None,
    require_clean: bool,
    no_params: bool,
    as_json: bool,
    command_: Sequence[str],
) -> None:
    """Run COMMAND and record it as a run: its code, arguments, output, metrics, artifacts and how it ended.

    The exit code is the command's: 0 makes the run FINISHED, another FAILED, an interruption KILLED. A program that is
    not there ends with 127, one that cannot be executed with 126, and no run is recorded. Where a file of --metrics
    or --artifact is missing though the command succeeded, the run is recorded all the same, and the exit code is 1.

    Of `python train.py data.csv --lr 0.1 --layers 64 32 --no-cuda seed=1` the params are lr: 0.1, layers: [64, 32],
    cuda: false and seed: 1. What follows a further -- is not read. Files of --metrics and --artifact are read when the
    command has ended; nested keys of metrics are joined with /, and a column step, epoch or iteration gives the steps.

    The command sees pipes and no terminal, so it may leave out colours and bars; what it prints is kept as
    logs/stdout.txt and logs/stderr.txt. A script that uses Runstone itself joins the run. Options stand before COMMAND;
    one that begins with - needs -- before it.
    """
    from runstone.cli.pairs import parse_pairs, parse_params
    from runstone.projects.execute import Label, Task, run_command

    task = Task(command_, params=not no_params, metrics=metrics, artifacts=artifacts)
    label = Label(experiment, name, parent, None, parse_pairs(tags), parse_params(params), note)
    executed = run_command(session.workspace, task, label, require_clean=require_clean)
    say_recorded(executed)
    if as_json:
        _print_json(executed)
    ctx.exit(executed.outcome.code or (1 if executed.missing else 0))


def _print_json(executed: "Executed") -> None:
    """One line, on standard output: behind all that the command printed there."""
    import json

    outcome = executed.outcome
    known = {"run_id": executed.run_id, "run_name": executed.name, "status": outcome.status}
    click.echo(json.dumps({**known, "exit_code": outcome.code, "signal": outcome.signal, "done": "recorded"}))


def say_recorded(executed: "Executed") -> None:
    """One line, on standard error, on the run that was recorded."""
    from runstone.cli.output import clean, styled_status

    outcome = executed.outcome
    ended = "" if not outcome.code else f" ({outcome.signal or f'exit code {outcome.code}'})"
    status = click.unstyle(styled_status(outcome.status)) if not sys.stderr.isatty() else styled_status(outcome.status)
    click.echo(
        f"run {executed.run_id} {clean(executed.name)} {status}{ended}: `runstone runs show {executed.run_id}`",
        err=True,
    )
