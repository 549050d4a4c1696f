"""`runstone checkout`: a past run as a folder of its own: its code, record, artifacts, inputs, environment."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runstone.cli.command import command
from runstone.cli.output import Column, Form, clean, counted, emit, emit_facts, emit_json, heading, hint, json_option
from runstone.cli.session import RUN_OR_VERSION, Session, pass_session, progress

if TYPE_CHECKING:
    from runstone.projects.checkout import Checkout

_OPTIONS_OF_MAKING = ("branch", "no_artifacts", "data", "env", "submodules", "quiet")


@command(
    "checkout",
    examples="""
    runstone checkout brave-otter-17                    beside the repository
    runstone checkout churn@champion ../champion        the run behind a model version
    runstone checkout churn/Production --env            with its Python and packages
    cd "$(runstone checkout brave-otter-17 --quiet)"
    runstone checkout --list
    runstone checkout --clean brave-otter-17            remove its checkouts
    """,
)
@click.argument("what", metavar="[RUN]", required=False, type=RUN_OR_VERSION)
@click.argument("folder", metavar="[DIR]", required=False, type=click.Path(path_type=Path))
@click.option("-b", "--branch", metavar="NAME", help="Make a branch there, to work on; else HEAD is detached.")
@click.option("--no-artifacts", is_flag=True, help="Leave the run's artifacts out.")
@click.option(
    "--data",
    type=click.Choice(["inputs", "all", "none"]),
    default="inputs",
    show_default=True,
    help="Which DVC-tracked files to place: what the run read, all of its tree, or none.",
)
@click.option("--env", is_flag=True, help="Build .runstone/venv: its Python and packages. Runs code of the packages.")
@click.option("--submodules", is_flag=True, help="Check submodules out, too.")
@click.option("-q", "--quiet", is_flag=True, help="Print the folder only.")
@click.option("--list", "list_", is_flag=True, help="List the checkouts there are.")
@click.option(
    "--clean", "clean_", is_flag=True, help="Remove checkouts: of RUN, in DIR, or all; what is ignored goes with them."
)
@click.option("--force", is_flag=True, help="With --clean: also with edits and files of your own.")
@json_option
@click.pass_context
@pass_session
def checkout(
    session: Session,
    ctx: click.Context,
    what: str | None,
    folder: Path | None,
    branch: str | None,
    no_artifacts: bool,
    data: str,
    env: bool,
    submodules: bool,
    quiet: bool,
    list_: bool,
    clean_: bool,
    force: bool,
    form: Form,
) -> None:
    """Check a past run out, exactly: its code, record, artifacts and inputs, in a folder of its own.

    RUN is a run (id, beginning of one, name) or a model version: churn@v4, churn@champion, churn/Production. DIR
    becomes a linked git work tree at the run's snapshot; what is not code lies in DIR/.runstone, which git ignores.
    """
    made_options = [name for name in _OPTIONS_OF_MAKING if _is_given(ctx, name)]
    if (list_ or clean_) and made_options:
        raise click.UsageError(f"--{made_options[0].replace('_', '-')} has no meaning with --list or --clean.")
    if list_ + clean_ > 1 or (list_ and what is not None) or (clean_ and folder is not None):
        raise click.UsageError("Give either RUN [DIR], or --list, or --clean [RUN or DIR].")
    if force and not clean_:
        raise click.UsageError("--force goes with --clean.")
    if list_:
        _print_list(session, form)
    elif clean_:
        _clean(session, what, force, form)
    elif what is None:
        raise click.UsageError("Name a run, or a model version. List runs: `runstone runs list`.")
    else:
        from runstone.projects.checkout import checkout as check_out
        from runstone.tracking.workspace import Workspace

        workspace = Workspace(session.light_repo)  # half of the start of `session.workspace`, which can log runs, too
        if env:
            hint("Building the environment can take minutes.")
        with progress("pull") as tell:
            made = check_out(
                workspace,
                what,
                folder,
                branch=branch,
                artifacts=not no_artifacts,
                data=data,
                environment=env,
                submodules=submodules,
                progress=tell,
            )
        _print(made, form, quiet)


def _is_given(ctx: click.Context, name: str) -> bool:
    return ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE


def _print(made: "Checkout", form: Form, quiet: bool) -> None:
    for text in made.warnings:
        click.secho("warning: ", fg="yellow", nl=False, err=True)
        click.echo(clean(text), err=True)
    if form == "json":
        emit_json(_document(made))
        return
    if quiet:
        click.echo(str(made.path))
        return
    inner = made.folder.name
    run = made.run
    emit_facts(
        [
            ("run", f"{run.name} ({run.id})" if made.name == run.name else f"{made.name}: {run.name} ({run.id})"),
            ("folder", str(made.path)),
            ("code", f"commit {made.snapshot[:12]}" + (f", on the new branch {made.branch}" if made.branch else "")),
            ("record", f"{inner}/run.yaml"),
            ("artifacts", f"{counted(made.artifacts, 'file')} in {inner}/artifacts" if made.artifacts else None),
            ("inputs", ", ".join(made.inputs)),
            ("environment", f"{inner}/venv" if made.python is not None else None),
            ("left out", ", ".join(f"{path} ({reason})" for path, reason in made.left_out.items())),
        ]
    )
    if made.command:
        heading("Run it again")
        click.echo(f"  {clean(_line(made))}")
    click.echo(err=True)
    hint(f"Remove it: runstone checkout --clean {_quoted(str(made.path))}")


def _line(made: "Checkout") -> str:
    """The command of the run as one pastes it."""
    place = made.path if made.directory == "." else made.path / made.directory
    steps = [f"cd {_quoted(str(place))}"]
    if made.python is not None:
        steps.append(f". {_quoted(str(made.python.with_name('activate')))}")
    return " && ".join([*steps, " ".join(map(_quoted, made.command))])


def _quoted(text: str) -> str:
    from shlex import quote

    return quote(text)


def _document(made: "Checkout") -> dict[str, Any]:
    return {
        "run": made.run.id,
        "name": made.name,
        "path": str(made.path),
        "snapshot": made.snapshot,
        "branch": made.branch,
        "folder": str(made.folder),
        "python": None if made.python is None else str(made.python),
        "command": list(made.command),
        "directory": made.directory,
        "artifacts": made.artifacts,
        "inputs": list(made.inputs),
        "left_out": dict(made.left_out),
        "warnings": list(made.warnings),
    }


def _print_list(session: Session, form: Form) -> None:
    from runstone.projects.linked import list_checkouts

    columns = [
        Column("run"),
        Column("id", "id"),
        Column("made", "age"),
        Column("branch"),
        Column("state"),
        Column("path"),
    ]
    rows = [
        (each.name, each.run_id, each.made, each.branch, "gone" if each.is_gone else "there", str(each.path))
        for each in list_checkouts(session.workspace)
    ]
    emit(columns, rows, form, empty="There are no checkouts. Make one: `runstone checkout RUN`")


def _clean(session: Session, which: str | None, force: bool, form: Form) -> None:
    from runstone.errors import CheckoutInUse
    from runstone.projects.linked import remove_checkout

    kept: CheckoutInUse | None = None
    try:
        gone: Sequence[Path] = remove_checkout(session.workspace, which, force=force)
    except CheckoutInUse as error:
        gone, kept = error.removed, error
    if form == "json":
        emit_json([str(path) for path in gone])
    else:
        for path in gone:
            click.echo(f"removed {clean(str(path))}")
    if kept is not None:
        raise kept
    if not gone and form != "json":
        hint("There are no checkouts to remove.")
