"""`runstone doctor`: examine the repository, and say what to do."""

from itertools import chain

import click

from runstone.cli.command import command
from runstone.cli.output import Form, clean, emit_json, json_option, styled_status
from runstone.cli.session import Session, pass_session


@command(
    "doctor",
    examples="""
    runstone doctor          examine; nothing is changed
    runstone doctor --fix    repair what can be repaired without losing anything
    runstone doctor --all    look for the artifacts of every run
    runstone doctor --json   for a report
    """,
)
@click.option("--fix", is_flag=True, help="Repair first: locks, empty objects, refs, tags, work trees, the index.")
@click.option("--all", "all_artifacts", is_flag=True, help="Look for the artifacts of all runs, not of the newest 20.")
@json_option
@click.pass_context
@pass_session
def doctor(session: Session, ctx: click.Context, fix: bool, all_artifacts: bool, form: Form) -> None:
    """Examine git, the repository, the registry, runs and artifacts, and DVC; exit code 1 if something is wrong."""
    from runstone.registry.health import examine_registry
    from runstone.tracking.doctor import examine
    from runstone.tracking.mend import mend

    if fix:
        for done in mend(session.workspace):
            click.echo(clean(done), err=True)
    findings = []
    workspace = session.workspace
    for found in chain(examine_registry(workspace.repo), examine(workspace, all_artifacts=all_artifacts)):
        findings.append(found)
        if form == "table":
            detail = _lines(found.detail)
            click.echo(f"{styled_status(found.state)}{' ' * (6 - len(found.state))}{found.name}: {detail}")
            if found.advice:
                click.echo(f"      {_lines(found.advice)}")
    if form == "json":
        emit_json([{"check": f.name, "state": f.state, "detail": f.detail, "advice": f.advice} for f in findings])
    ctx.exit(1 if any(found.state == "fail" for found in findings) else 0)


def _lines(text: str) -> str:
    """Text of several lines, as errors have it, below its check."""
    return "\n      ".join(map(clean, text.splitlines()))
