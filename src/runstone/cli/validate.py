"""`runstone validate`: files and records against their formats."""

from collections.abc import Sequence
from pathlib import Path

import click

from runstone.cli.command import command
from runstone.cli.output import Form, clean, counted, emit_json, json_option
from runstone.cli.session import Session, pass_session, progress
from runstone.errors import NotARepository


@command(
    "validate",
    examples="""
    runstone validate                 runstone.yaml and the files of the registry
    runstone validate --runs          every record of the branch of runs
    runstone validate registry/churn  these files, as a pre-commit hook does
    """,
)
@click.argument("paths", metavar="[PATH]...", nargs=-1, type=click.Path(path_type=Path))
@click.option("--runs", "with_runs", is_flag=True, help="Every record of the branch of runs.")
@json_option
@click.pass_context
@pass_session
def validate(session: Session, ctx: click.Context, paths: Sequence[Path], with_runs: bool, form: Form) -> None:
    """Check files against the formats they name, and list every broken one with what is wrong; exit code 1 if any.

    A PATH that is not here may be that of a record on the branch of runs, as error messages name it.
    """
    from runstone.registry.check import check_paths, check_project, check_runs

    if with_runs:
        with progress("validate") as tell:
            found = check_runs(session.workspace.repo, tell)
    elif paths:
        try:
            repo = session.workspace.repo
        except NotARepository:
            repo = None
        found = check_paths(repo, paths)
    else:
        found = check_project(session.workspace.repo)
    if form == "json":
        problems = [{"file": where, "problem": problem} for where, problem in found.problems]
        emit_json({"files": found.count, "problems": problems})
    else:
        for _, problem in found.problems:
            click.echo(clean(problem, keep="\n"))
        click.echo(f"{counted(found.count, 'file')} checked: {len(found.problems) or 'none'} broken")
    ctx.exit(1 if found.problems else 0)
