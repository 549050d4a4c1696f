"""`runstone gc`: remove deleted runs for good, and the bytes that nobody needs any more."""

import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from runstone.cli.command import command
from runstone.cli.output import Form, clean, counted, emit_json, format_size, hint, json_option
from runstone.cli.session import EXPERIMENT, RUN, Session, pass_session, progress

if TYPE_CHECKING:
    from runstone.records.experiment import Experiment
    from runstone.registry.removal.gc import Plan

_SHOWN = 20


@command(
    "gc",
    examples="""
    runstone gc --dry-run             what would be removed; nothing is changed
    runstone gc                       the same, then asks, then removes it
    runstone gc --older-than 7d --yes without asking, for scripts
    runstone gc --run brave-otter-17  this deleted run, however long ago it was deleted
    runstone gc --remote storage      from the DVC remote too, once all is synced
    """,
)
@click.option("-n", "--dry-run", is_flag=True, help="Only tell what would be removed.")
@click.option("--older-than", metavar="AGE", help="Only runs deleted so long ago, as 7d or 12h30m.  [default: 30d]")
@click.option("--run", "run_ids", type=RUN, metavar="RUN", multiple=True, help="Only this run; may be repeated.")
@click.option("-e", "--experiment", type=EXPERIMENT, help="Only runs of this one; a deleted one goes with all of them.")
@click.option("--remote", metavar="NAME", help="Remove objects from this DVC remote too.")
@click.option("--shared-cache", is_flag=True, help="Also from a cache outside this repository.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@json_option
@pass_session
def gc(
    session: Session,
    dry_run: bool,
    older_than: str | None,
    run_ids: Sequence[str],
    experiment: "Experiment | None",
    remote: str | None,
    shared_cache: bool,
    yes: bool,
    form: Form,
) -> None:
    """Remove deleted runs for good, and the artifacts that no run, model version, tag, branch or work tree needs.

    A run's record leaves the branch; its history keeps it. What a registered version, a child or a repetition needs
    stays, and so does what DVC files of this repository name.
    """
    from runstone.registry.removal.gc import collect, plan
    from runstone.registry.removal.removable import Wanted

    if not (dry_run or yes) and (form == "json" or not sys.stdin.isatty()):
        raise click.UsageError("There is nobody here to ask. Look first with --dry-run; then --yes removes it.")
    age = None if older_than is None else parse_age(older_than)
    wanted = Wanted(tuple(run_ids), experiment, age, remote, shared_cache)
    planned = plan(session.workspace, wanted)
    if form == "table":
        _tell(planned, "would be " if dry_run else "to be ")
    if dry_run or planned.is_empty:
        if form == "json":
            emit_json(_document(planned, dry_run=dry_run))
        return
    if not yes and not click.confirm("Remove them?"):
        hint("Nothing was removed.")
        click.get_current_context().exit(1)
    with progress("Removing") as tell:
        done = collect(session.workspace, planned, wanted, tell)
    if form == "json":
        emit_json(_document(done, dry_run=False))
        return
    click.echo(f"removed {_sum(done)}")
    if done.runs:
        session.say_share()


def parse_age(text: str) -> float:
    """`30d`, `12h30m`, `90s`: seconds; raises `click.UsageError`."""
    match = re.fullmatch(r"(?:(\d{1,6})d)?(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,6})s)?", text.strip(), re.ASCII)
    if match is None or not any(match.groups()):
        raise click.UsageError(f"{text!r} is no age such as 30d, 12h or 1d6h.")
    return sum(int(part or 0) * unit for part, unit in zip(match.groups(), (86400, 3600, 60, 1), strict=True))


def _tell(planned: "Plan", verb: str) -> None:
    for run in planned.runs[:_SHOWN]:
        click.echo(f"run {run.run_id}  {clean(run.name)}")
    if len(planned.runs) > _SHOWN:
        click.echo(f"… and {counted(len(planned.runs) - _SHOWN, 'run')} more")
    for experiment_id in planned.experiments:
        click.echo(f"experiment {clean(experiment_id)}")
    for held in planned.staying[:_SHOWN]:
        hint(f"{held.run_id} stays: {held.why}")
    for note in planned.notes:
        hint(note)
    click.echo(f"{verb}removed: {_sum(planned)}" if not planned.is_empty else "nothing to remove")


def _sum(planned: "Plan") -> str:
    objects = planned.objects or {}
    parts = [counted(len(planned.runs), "run"), f"{counted(len(objects), 'object')} ({format_size(planned.size)})"]
    if planned.remote is not None:
        parts.append(f"{counted(len(planned.remote_objects), 'object')} of the remote {planned.remote}")
    return ", ".join(parts)


def _document(planned: "Plan", *, dry_run: bool) -> dict[str, object]:
    return {
        "dry_run": dry_run,
        "runs": [run.run_id for run in planned.runs],
        "experiments": list(planned.experiments),
        "staying": {held.run_id: held.why for held in planned.staying},
        "objects": planned.objects or {},
        "size": planned.size,
        "remote": planned.remote,
        "remote_objects": list(planned.remote_objects),
        "notes": list(planned.notes),
    }
