"""`runstone log`: record a run, or add to one, from a shell."""

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from runstone.cli.command import command
from runstone.cli.output import Form, emit_json, json_option
from runstone.cli.session import EXPERIMENT_NAME, RUN, Session, pass_session


@command(
    "log",
    examples="""
    runstone log -e churn -p lr=0.1 -m auc=0.93 --artifact model.bin
    id=$(runstone log -p lr=0.1)                  only the id is printed
    runstone log --run "$id" -m loss=0.4@1 -m loss=0.3@2
    runstone log --run "$id" --status FAILED --note "diverged"
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
    "--run", "run_id", metavar="RUN", type=RUN, envvar="RUNSTONE_RUN_ID", help="Add to this run; else RUNSTONE_RUN_ID."
)
@click.option("--parent", metavar="RUN", type=RUN, help="The run that it is nested in.")
@click.option("-p", "--param", "params", metavar="KEY=VALUE", multiple=True, help="A param, typed as in YAML.")
@click.option("-m", "--metric", "metrics", metavar="KEY=NUMBER[@STEP]", multiple=True, help="One value of a metric.")
@click.option("-t", "--tag", "tags", metavar="KEY=TEXT", multiple=True, help="A tag.")
@click.option("--artifact", "artifacts", metavar="FILE[:PATH]", multiple=True, help="A file or folder to keep.")
@click.option("--note", help="Notes, in Markdown; - reads them from standard input.")
@click.option(
    "--status",
    type=click.Choice(["FINISHED", "FAILED", "KILLED"], case_sensitive=False),
    metavar="[FINISHED|FAILED|KILLED]",
    help="How the run ended.  [default: FINISHED]",
)
@json_option
@pass_session
def log(
    session: Session,
    experiment: str | None,
    name: str | None,
    run_id: str | None,
    parent: str | None,
    params: Sequence[str],
    metrics: Sequence[str],
    tags: Sequence[str],
    artifacts: Sequence[str],
    note: str | None,
    status: str | None,
    form: Form,
) -> None:
    """Record a run with all it logged, and print its id; or, with --run, add to one.

    Values of params are numbers, true, false, null, or text; quotes keep a text: -p 'zip="00123"'.
    --artifact FILE:PATH keeps FILE in the folder PATH among the run's artifacts. -p, -m, -t and --artifact may be
    repeated. Where something is refused, no run is recorded.
    """
    from runstone.cli.pairs import parse_metric, parse_pairs, parse_params
    from runstone.tracking.once import Logged, add_to_run, record_run

    logged = Logged(
        params=parse_params(params),
        points=[parse_metric(text) for text in metrics],
        tags=parse_pairs(tags),
        artifacts=[_parse_artifact(text) for text in artifacts],
        note=sys.stdin.read() if note == "-" else note,
    )
    is_new = run_id is None
    if run_id is None:
        run_id = record_run(
            session.workspace,
            logged,
            experiment=experiment,
            name=name,
            parent=parent,
            status=(status or "FINISHED").upper(),
        )
    else:
        if name or parent:
            raise click.UsageError("--name and --parent are for a new run, not with --run.")
        add_to_run(session.workspace, run_id, logged, status=status.upper() if status else None)
    if form == "json":
        run = session.client.get_run(run_id)
        known = {"run_name": run.name, "experiment": run.experiment, "status": run.status}
        emit_json({"run_id": run_id, "done": "recorded" if is_new else "added to", **known})
    else:
        click.echo(run_id)


def _parse_artifact(text: str) -> tuple[Path, str]:
    """`FILE[:PATH]`; a file whose own name holds a colon wins."""
    whole = Path(text)
    if whole.exists():
        return whole, ""
    file, colon, folder = text.rpartition(":")
    path = Path(file if colon else text)
    if not path.exists():
        raise click.UsageError(f"There is no file or folder {str(path)!r}.")
    return path, folder.rstrip("/")
