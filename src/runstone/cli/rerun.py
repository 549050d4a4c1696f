"""`runstone rerun`: run a past run again, and say what was reproduced."""

import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runstone.cli.command import command
from runstone.cli.outcome import INTERRUPTED
from runstone.cli.output import Column, clean, counted, emit_json, format_size, format_value, heading, hint
from runstone.cli.session import RUN_OR_VERSION, Session, pass_session
from runstone.cli.table import print_table

if TYPE_CHECKING:
    from runstone.projects.checkout import Checkout
    from runstone.projects.reproduced import Item, Reproduction
    from runstone.projects.rerun import Plan, Rerun

_SHORT_ID = 10
_STATES = {
    "same": "same",
    "close": "within tolerance",
    "differs": "DIFFERS",
    "missing": "MISSING",
    "added": "added",
}


@command(
    "rerun",
    examples="""
    runstone rerun brave-otter-17                 here and now, with the Python that runs this
    runstone rerun brave-otter-17 --env           with its packages and its version of Python
    runstone rerun 0192f3ab --rtol 1e-3 --json    metrics may differ by a thousandth
    runstone rerun brave-otter-17 -- python train.py lr=0.2
    """,
)
@click.argument("what", metavar="RUN", type=RUN_OR_VERSION)
@click.argument("command_", metavar="[-- COMMAND...]", nargs=-1, type=click.UNPROCESSED)
@click.option("--env", "environment", is_flag=True, help="Rebuild its environment; that runs code of its packages.")
@click.option(
    "--data",
    type=click.Choice(["inputs", "all", "none"]),
    help="Which DVC-tracked files to have there.  [default: inputs; all if the run recorded none]",
)
@click.option("--dir", "folder", metavar="DIR", type=click.Path(path_type=Path), help="Check it out here, and keep it.")
@click.option("--keep", is_flag=True, help="Keep the checkout in any case.")
@click.option("--rtol", type=float, default=1e-9, show_default=True, help="Relative tolerance of metrics.")
@click.option("--atol", type=float, default=0.0, show_default=True, help="Absolute tolerance of metrics.")
@click.option("--strict", is_flag=True, help="Every difference counts: bytes, data, packages, Python, code.")
@click.option("--all", "show_all", is_flag=True, help="Show artifacts that are the same, too.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON; what the command prints goes to standard error.")
@click.option("--md", "as_md", is_flag=True, help="Print Markdown, likewise.")
@pass_session
@click.pass_context
def rerun(
    ctx: click.Context,
    session: Session,
    what: str,
    command_: Sequence[str],
    environment: bool,
    data: str | None,
    folder: Path | None,
    keep: bool,
    rtol: float,
    atol: float,
    strict: bool,
    show_all: bool,
    as_json: bool,
    as_md: bool,
) -> None:
    """Execute the command of RUN again in a checkout of its code, record a new run, and compare the two.

    The command is executed as it was recorded, whoever recorded it; it is shown first. The new run says which one it
    repeats (rerun_of). The checkout lies beside the repository and is removed when all went well.

    The exit code is 0 when the run was reproduced: its status, its params, its metrics within the tolerance, each with
    as many points, and all of its artifacts but logs. Else it is 1. Bytes of artifacts, datasets, packages, Python and
    code are told, and count with --strict: files of models often differ in bytes that mean nothing, as times.
    """
    from runstone.projects.checkout import remove_checkout
    from runstone.projects.reproduced import check_tolerance, compare_reproduction
    from runstone.projects.rerun import carry_out, plan_rerun, prepare

    if as_json and as_md:
        raise click.UsageError("--json and --md cannot be used together.")
    check_tolerance("rtol", rtol)
    check_tolerance("atol", atol)
    session.repo  # noqa: B018  # runs of dead processes are recorded first
    plan = plan_rerun(session.workspace, what, command_)
    _say_plan(plan)
    made = prepare(session.workspace, plan, folder, environment=environment, data=data or "likely")
    _say_place(made)
    done_well = is_gone = False
    try:
        done = carry_out(session.workspace, plan, made, show=(2 if as_json or as_md else 1, 2))
        new = session.client.get_run(done.run_id)
        if done.outcome.stopped and new.status == "KILLED":
            click.echo(f"interrupted; the new run is KILLED: {new.id}", err=True)
            ctx.exit(INTERRUPTED)
        found = compare_reproduction(session.workspace, plan.run, new, rtol=rtol, atol=atol, strict=strict)
        done_well = found.is_reproduced
    finally:
        try:
            if done_well and not keep and folder is None:
                remove_checkout(session.workspace, made.path, force=True)
                is_gone = True
        finally:
            _say_kept(made, is_gone)
    if as_json:
        emit_json(_document(found, done))
    elif as_md:
        click.echo(_markdown(found))
    else:
        _print(found, done, environment, show_all)
    if not done_well:
        ctx.exit(INTERRUPTED if done.outcome.stopped else 1)


# --- before


def _say_plan(plan: "Plan") -> None:
    run = plan.run
    hint(f"run      {run.id} {run.name} {run.status}")
    hint(f"command  {shlex.join(plan.command)}")


def _say_place(made: "Checkout") -> None:
    hint(f"snapshot {made.snapshot} in {_short(made.path)}")
    for warning in made.warnings:
        click.secho("warning: ", fg="yellow", nl=False, err=True)
        click.echo(clean(warning, keep="\n"), err=True)
    for path, reason in made.left_out.items():
        click.secho("warning: ", fg="yellow", nl=False, err=True)
        click.echo(f"The snapshot does not hold {clean(path)}: {clean(reason)}", err=True)


def _say_kept(made: "Checkout", is_gone: bool) -> None:
    if not is_gone:
        path = shlex.quote(_short(made.path))
        hint(f"The checkout is kept: {path}; remove it: `runstone checkout --clean {path}`")


def _short(path: Path) -> str:
    relative = os.path.relpath(path)
    return relative if len(relative) < len(str(path)) else str(path)


# --- after


def _print(found: "Reproduction", done: "Rerun", has_environment: bool, show_all: bool) -> None:
    from runstone.projects.reproduced import SECTIONS

    for section in SECTIONS:
        items = found.section(section)
        is_full = section in ("params", "metrics") or (section == "artifacts" and show_all)
        shown = [item for item in items if is_full or item.state != "same"]
        same = len(items) - len(shown) if section == "artifacts" else 0
        if shown or same:
            heading(section.capitalize())
        if shown:
            columns = [Column("name"), Column("before"), Column("now"), Column("outcome")]
            print_table(columns, [(item.key, *_values(item), _outcome(item)) for item in shown])
        if same:
            click.echo(f"{counted(same, 'file')} the same")
    click.echo()
    click.echo(f"{_verdict(found)} The new run: `runstone runs show {found.new.id}`")
    if done.outcome.code:
        hint(f"The command ended with {done.outcome.signal or f'exit code {done.outcome.code}'}.")
    if any(item.note == "a file of a model" for item in found.items):
        hint("Files of models may differ in bytes that mean nothing, as times and ids.")
    if not has_environment and any(item.state != "same" for item in found.section("packages")):
        hint("The packages differ; with --env they would not.")


def _verdict(found: "Reproduction") -> str:
    wrong = [item for item in found.items if item.counts]
    if not wrong:
        return "Reproduced."
    named = ", ".join(f"{item.section}: {item.key}" for item in wrong[:5])
    more = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
    return clean(f"Not reproduced: {named}{more}.")


def _outcome(item: "Item") -> str:
    return _STATES[item.state] + (f" ({item.note})" if item.note else "")


def _values(item: "Item") -> tuple[str, str]:
    texts = _show(item, item.old), _show(item, item.new)
    if texts[0] == texts[1] and item.state not in ("same", "missing", "added"):  # alike to six digits
        return repr(item.old), repr(item.new)
    return texts


def _show(item: "Item", value: Any) -> str:
    if value is None and (item.section != "params" or item.state in ("missing", "added")):
        return "-"
    if item.section == "artifacts":
        return f"{'?' if value['size'] is None else format_size(value['size'])} {value['md5'][:_SHORT_ID]}"
    if item.section == "code":
        return clean(str(value)[:_SHORT_ID])
    return format_value(value)


def _document(found: "Reproduction", done: "Rerun") -> dict[str, Any]:
    document: dict[str, Any] = {
        "reproduced": found.is_reproduced,
        "run_id": found.old.id,
        "rerun_id": found.new.id,
        "exit_code": done.outcome.code,
        "rtol": found.rtol,
        "atol": found.atol,
    }
    for item in found.items:
        entry = {"key": item.key, "state": item.state, "old": item.old, "new": item.new, "counts": item.counts}
        document.setdefault(item.section, []).append(entry | ({"note": item.note} if item.note else {}))
    return document


def _markdown(found: "Reproduction") -> str:
    lines = [f"## {_escape(_verdict(found))}", "", f"`{found.old.id}` was run again as `{found.new.id}`.", ""]
    lines += ["| what | name | before | now | outcome |", "|---|---|---|---|---|"]
    for item in found.items:
        if item.state != "same" or item.section in ("params", "metrics"):
            cells = (item.section, item.key, *_values(item), _outcome(item))
            lines.append(f"| {' | '.join(_escape(clean(cell)) for cell in cells)} |")
    return "\n".join(lines)


def _escape(text: str) -> str:
    """Records are other people's text: none of it is markup."""
    return "".join(f"&#{ord(c)};" if c in "|<>&[]`*_\\!#@" else c for c in text)
