"""`runstone artifacts`: list, get, push and pull the files of runs."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from runstone.cli.command import group
from runstone.cli.output import Column, Form, counted, emit, form_options, format_size
from runstone.cli.session import RUN, Session, pass_session, progress

if TYPE_CHECKING:
    from runstone.artifacts.remote import Transfer


@group(
    "artifacts",
    examples="""
    runstone artifacts list brave-otter-17
    runstone artifacts get brave-otter-17 model out
    runstone artifacts push --all
    """,
)
def artifacts() -> None:
    """List, get, push and pull the files of runs.

    A RUN is given by its id, by an unambiguous beginning of it, or by its name.
    """


@artifacts.command(
    "list",
    examples="""
    runstone artifacts list brave-otter-17
    runstone artifacts list brave-otter-17 model --json
    """,
)
@click.argument("run_id", metavar="RUN", type=RUN)
@click.argument("path", required=False, default="")
@form_options
@pass_session
def list_(session: Session, run_id: str, path: str, form: Form) -> None:
    """List a run's artifacts, or those below PATH."""
    print_artifacts(session, run_id, path, form)


@artifacts.command(
    "get",
    short_help="Copy a run's file or folder PATH into DIR.",
    examples="""
    runstone artifacts get brave-otter-17 model/MLmodel   into this folder
    runstone artifacts get brave-otter-17 model out       the folder model, as out/model
    runstone artifacts get brave-otter-17 . out           all of them
    """,
)
@click.argument("run_id", metavar="RUN", type=RUN)
@click.argument("path")
@click.argument("folder", metavar="[DIR]", default=".", type=click.Path(file_okay=False, path_type=Path))
@click.option("--force", is_flag=True, help="Replace files there that have other content.")
@pass_session
def get(session: Session, run_id: str, path: str, folder: Path, force: bool) -> None:
    """Copy a run's file or folder PATH into DIR, each file checked by its digest; the last line says where it is.

    What is not in the cache is pulled from the DVC remote.
    """
    folder.mkdir(parents=True, exist_ok=True)
    click.echo(session.client.download_artifacts(run_id, "" if path == "." else path, folder, overwrite=force))


@artifacts.command(
    "push",
    short_help="Send the artifacts of runs to the DVC remote.",
    examples="""
    runstone artifacts push brave-otter-17
    runstone artifacts push --all
    """,
)
@click.argument("run_ids", metavar="[RUN]...", type=RUN, nargs=-1)
@click.option("--all", "all_runs", is_flag=True, help="The artifacts of every run.")
@click.option("-r", "--remote", metavar="NAME", help="Which DVC remote; the default one if not given.")
@pass_session
def push(session: Session, run_ids: Sequence[str], all_runs: bool, remote: str | None) -> None:
    """Send the artifacts of runs to the DVC remote; what it has is not sent again."""
    from runstone.tracking.push import all_run_ids, push_runs

    _need_one_choice(bool(run_ids), all_runs)
    chosen = list(run_ids) if run_ids else all_run_ids(session.workspace)
    with progress("push") as tell:
        moved = push_runs(session.workspace, chosen, remote=remote, progress=tell)
    click.echo(_summary("pushed", moved, len(chosen)))


@artifacts.command(
    "pull",
    short_help="Bring the artifacts of runs from the DVC remote.",
    examples="""
    runstone artifacts pull brave-otter-17
    runstone artifacts pull --all
    """,
)
@click.argument("run_ids", metavar="[RUN]...", type=RUN, nargs=-1)
@click.option("--all", "all_runs", is_flag=True, help="The artifacts of every run.")
@click.option("-r", "--remote", metavar="NAME", help="Which DVC remote; the default one if not given.")
@pass_session
def pull(session: Session, run_ids: Sequence[str], all_runs: bool, remote: str | None) -> None:
    """Bring the artifacts of runs from the DVC remote into the cache, each checked by its digest."""
    from runstone.tracking.push import all_run_ids, pull_runs

    _need_one_choice(bool(run_ids), all_runs)
    chosen = list(run_ids) if run_ids else all_run_ids(session.workspace)
    with progress("pull") as tell:
        moved = pull_runs(session.workspace, chosen, remote=remote, progress=tell)
    click.echo(_summary("pulled", moved, len(chosen)))


def print_artifacts(session: Session, run_id: str, path: str, form: Form) -> None:
    """Print the files of a run that are `path` or lie below it."""
    from runstone.artifacts.store import below
    from runstone.errors import ArtifactNotFound
    from runstone.tracking.read import read_artifacts

    found = below(read_artifacts(session.workspace, run_id), path)
    if path.strip("/") and not found:
        raise ArtifactNotFound(run_id, path)
    rows = [(entry.path, entry.size, entry.md5) for entry in found]
    emit([Column("path"), Column("size", "size"), Column("md5")], rows, form, empty="The run has no artifacts.")


def _need_one_choice(*choices: bool) -> None:
    if sum(choices) != 1:
        raise click.UsageError("Name runs, or give --all." if not any(choices) else "Either name runs or give --all.")


def _summary(verb: str, moved: "Transfer", runs: int) -> str:
    of = counted(runs, "run")
    if not moved.count:
        return f"nothing to move: all of {of} was there"
    return f"{verb} {counted(moved.count, 'object')}, {format_size(moved.size)}, of {of}"
