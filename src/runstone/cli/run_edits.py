"""What changes runs that are recorded: `runstone runs rm`, `restore`, `tag`, `amend` and `mv`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from runstone.cli.command import command
from runstone.cli.output import Form, clean, emit_json, hint, json_option
from runstone.cli.session import EXPERIMENT_NAME, RUN, RUN_BEFORE_EXPERIMENT, Session, pass_session

if TYPE_CHECKING:
    from runstone.tracking.amend import Change

_POINT = "Set the last value of a metric, or the one at a step; may be repeated."


@command(
    "rm",
    short_help="Delete runs; `restore` brings them back.",
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
    session.say_share()


@command(
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
    session.say_share()


@command(
    "tag",
    examples="""
    runstone runs tag brave-otter-17 team=growth reviewed=yes
    runstone runs tag brave-otter-17 --delete team
    """,
)
@click.argument("run_id", metavar="RUN", type=RUN)
@click.argument("pairs", metavar="[KEY=VALUE]...", nargs=-1)
@click.option("-d", "--delete", "deleted", metavar="KEY", multiple=True, help="Remove a tag; may be repeated.")
@json_option
@pass_session
def tag(session: Session, run_id: str, pairs: Sequence[str], deleted: Sequence[str], form: Form) -> None:
    """Set tags of a run, or delete them; without either, print them."""
    from runstone.cli.pairs import parse_pairs

    tags = parse_pairs(pairs)
    is_asked = not tags and not deleted
    if not is_asked:
        with session.client.handle(run_id):  # one commit for all
            for key in deleted:
                session.client.delete_tag(run_id, key)
            if tags:
                session.client.log_batch(run_id, tags=tags)
    if form == "json":
        now = dict(session.client.get_run(run_id).tags)
        emit_json({"run_id": run_id, "set": tags, "deleted": list(deleted), "tags": now})
    elif is_asked:
        for key, value in session.client.get_run(run_id).tags.items():
            click.echo(f"{clean(key)}={clean(value)}")
    if not is_asked:
        session.say_share()


@command(
    "amend",
    examples="""
    runstone runs amend brave-otter-17 --reason "measured with the wrong split" -m auc=0.71
    runstone runs amend brave-otter-17 --reason "typo" -p lr=0.01 --delete-param lrr
    runstone runs amend brave-otter-17 --reason "epoch 3 was cut short" -m loss=0.4@3
    """,
)
@click.argument("run_id", metavar="RUN", type=RUN)
@click.option("--reason", required=True, help="Why it was wrong; kept in the record and in the commit.")
@click.option("-p", "--param", "params", metavar="KEY=VALUE", multiple=True, help="Set a param; may be repeated.")
@click.option("-m", "--metric", "metrics", metavar="KEY=NUMBER[@STEP]", multiple=True, help=_POINT)
@click.option("-t", "--tag", "tags", metavar="KEY=TEXT", multiple=True, help="Set a tag; may be repeated.")
@click.option("--delete-param", "deleted", metavar="KEY", multiple=True, help="Take a param away; may be repeated.")
@click.option("--name", help="What people call it.")
@click.option("--note", metavar="TEXT", help="Its notes, as Markdown; - reads them from standard input.")
@json_option
@pass_session
def amend(
    session: Session,
    run_id: str,
    reason: str,
    params: Sequence[str],
    metrics: Sequence[str],
    tags: Sequence[str],
    deleted: Sequence[str],
    name: str | None,
    note: str | None,
    form: Form,
) -> None:
    """Correct an ended run, and say why.

    What it said before stays in the history of the branch, and the commit tells each value, old and new.
    """
    import sys

    from runstone.cli.pairs import parse_metric, parse_pairs, parse_params

    points = [
        (key, value, step if "@" in text else None) for text in metrics for key, value, step in [parse_metric(text)]
    ]
    changes = session.client.amend_run(
        run_id,
        reason=reason,
        params=parse_params(params),
        metrics=points,
        tags=parse_pairs(tags),
        delete=deleted,
        name=name,
        note=sys.stdin.read() if note == "-" else note,
    )
    if form == "json":
        emit_json({"run_id": run_id, "reason": reason, "changes": [_change(each) for each in changes]})
    else:
        for change in changes:
            click.echo(clean(change))
    if not changes:
        hint("All of this was so already, so nothing was changed.")
        return
    session.say_share()


@command(
    "mv",
    short_help="Put runs into another experiment.",
    examples="""
    runstone runs mv brave-otter-17 0192f3ab churn   both, to the experiment churn
    """,
)
@click.argument("run_ids", metavar="RUN...", type=RUN_BEFORE_EXPERIMENT, nargs=-1, required=True)
@click.argument("experiment", type=EXPERIMENT_NAME)
@pass_session
def mv(session: Session, run_ids: Sequence[str], experiment: str) -> None:
    """Put runs into another EXPERIMENT, by name or id; it is made if there is none, as `runstone log -e` does.

    Their ids stay, and so does all that is found by them: artifacts, model versions, parents and children.
    """
    from runstone.errors import ExperimentNotFound
    from runstone.index.experiments import find_experiment
    from runstone.tracking.experiment import ensure_experiment

    repo = session.repo
    try:
        target = find_experiment(repo, experiment)
        if target.lifecycle_stage == "deleted":
            target = ensure_experiment(repo, target.name)  # says that it is deleted, and what to do
    except ExperimentNotFound:
        target = ensure_experiment(repo, experiment)
        hint(f"Made the experiment {target.name}.")
    session.client.move_run(run_ids, target.experiment_id)
    for run_id in run_ids:
        click.echo(f"moved {run_id}")
    session.say_share()


def _change(change: "Change") -> dict[str, Any]:
    """A change with its values as they are; a long one as the text that tells its beginning."""
    return {"key": change.key, "before": _parse(change.old), "after": _parse(change.new)}


def _parse(text: str | None) -> Any:
    import json

    try:
        return None if text is None else json.loads(text)
    except ValueError:
        return text


EDITS = (rm, restore, tag, amend, mv)
"""The commands, for the group `runs`."""
