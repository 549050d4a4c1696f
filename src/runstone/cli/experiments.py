"""`runstone experiments`: list, show, make, rename, delete, restore and tag experiments."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from runstone.cli.command import group
from runstone.cli.output import (
    Column,
    Form,
    emit,
    emit_facts,
    emit_json,
    format_iso,
    heading,
    hint,
    hint_more,
    json_option,
    list_options,
    split_columns,
    styled_status,
)
from runstone.cli.session import EXPERIMENT, Session, pass_session

if TYPE_CHECKING:
    from runstone.records.experiment import Experiment

_COLUMNS = {
    "id": Column("id", "id"),
    "name": Column("name"),
    "runs": Column("runs", "number"),
    "lifecycle": Column("lifecycle", "status"),
    "created": Column("created", "time"),
    "last_run": Column("last_run", "age"),
    "description": Column("description"),
}
_USUAL = ("id", "name", "runs", "last_run", "description")


@group(
    "experiments",
    examples="""
    runstone experiments list
    runstone experiments create churn --description "Who leaves, and why"
    runstone experiments rename churn churn-2026
    """,
)
def experiments() -> None:
    """List, show, make, rename, delete, restore and tag experiments.

    An EXPERIMENT is given by its name or its id.
    """


@experiments.command(
    "list",
    examples="""
    runstone experiments list
    runstone experiments list -f "name LIKE 'churn%'" -s name
    runstone experiments list --all --json
    """,
)
@click.option("--all", "with_deleted", is_flag=True, help="Deleted experiments too.")
@list_options(columns="id,name,runs,created,tags.team")
@pass_session
def list_(
    session: Session,
    with_deleted: bool,
    columns: Sequence[str],
    sort: Sequence[str],
    filter_string: str,
    limit: int | None,
    form: Form,
) -> None:
    """List experiments, the one with the newest run first. `runs` counts those that are not deleted."""
    from runstone.index.experiments import MAX_RESULTS, search_experiments

    names, is_added = split_columns(columns)
    usual = [*_USUAL[:2], "lifecycle", *_USUAL[2:]] if with_deleted else list(_USUAL)
    chosen = [*usual, *names] if is_added or not names else names
    view = "ALL" if with_deleted else "ACTIVE_ONLY"
    page = search_experiments(session.repo, view, min(limit or MAX_RESULTS, MAX_RESULTS), filter_string, list(sort))
    counts, newest = _count_runs(session)
    rows = [[_value(one, name, counts, newest) for name in chosen] for one in page]
    emit([_COLUMNS.get(name, Column(name)) for name in chosen], rows, form, empty="There are no such experiments.")
    if page.token is not None and form == "table":
        hint_more(limit)


@experiments.command(
    "show",
    examples="""
    runstone experiments show churn
    """,
)
@click.argument("experiment", type=EXPERIMENT)
@json_option
@pass_session
def show(session: Session, experiment: "Experiment", form: Form) -> None:
    """Show one experiment."""
    counts, newest = _count_runs(session)
    count, last = counts[experiment.experiment_id], newest.get(experiment.experiment_id)
    if form == "json":
        last_run = None if last is None else format_iso(last)
        emit_json({"id": experiment.experiment_id, "runs": count, "last_run": last_run} | experiment.to_document())
        return
    emit_facts(
        [
            ("experiment", experiment.name),
            ("id", experiment.experiment_id),
            ("lifecycle", styled_status(experiment.lifecycle_stage)),
            ("created", None if experiment.creation_time is None else format_iso(experiment.creation_time)),
            ("runs", str(count)),
            ("last run", None if last is None else format_iso(last)),
            ("description", experiment.description),
        ]
    )
    if experiment.tags:
        heading("tags")
        emit_facts((f"  {key}", value) for key, value in experiment.tags.items())


@experiments.command(
    "create",
    examples="""
    runstone experiments create churn
    runstone experiments create churn --description "Who leaves, and why" -t team=growth
    """,
)
@click.argument("name")
@click.option("--description", help="What it is about.")
@click.option("-t", "--tag", "tags", metavar="KEY=VALUE", multiple=True, help="A tag; may be repeated.")
@pass_session
def create(session: Session, name: str, description: str | None, tags: Sequence[str]) -> None:
    """Make an experiment and print its id. Runs make theirs themselves, so this is for descriptions and tags."""
    from runstone.cli.pairs import parse_pairs

    texts = parse_pairs(tags)
    experiment_id = session.client.create_experiment(name, tags=texts)
    if description is not None:
        session.client.set_experiment_tag(experiment_id, "mlflow.note.content", description)
    click.echo(experiment_id)
    session.say_share()


experiments.add_command(create, "new")


@experiments.command(
    "rename",
    examples="""
    runstone experiments rename churn churn-2026
    """,
)
@click.argument("experiment", type=EXPERIMENT)
@click.argument("name")
@pass_session
def rename(session: Session, experiment: "Experiment", name: str) -> None:
    """Give an experiment another name; its id, and its folder, stay."""
    session.client.rename_experiment(experiment.experiment_id, name)
    click.echo(f"renamed {experiment.experiment_id}")
    session.say_share()


@experiments.command(
    "rm",
    short_help="Delete experiments; `restore` brings them back.",
    examples="""
    runstone experiments rm churn
    runstone experiments restore churn   undo it
    """,
)
@click.argument("experiments_", metavar="EXPERIMENT...", type=EXPERIMENT, nargs=-1, required=True)
@pass_session
def rm(session: Session, experiments_: "Sequence[Experiment]") -> None:
    """Delete experiments: lists leave them and their runs out until they are restored."""
    for experiment in experiments_:
        session.client.delete_experiment(experiment.experiment_id)
        click.echo(f"deleted {experiment.experiment_id}")
    hint(f"Undo: `runstone experiments restore {' '.join(each.experiment_id for each in experiments_)}`")
    session.say_share()


@experiments.command(
    "restore",
    examples="""
    runstone experiments restore churn
    """,
)
@click.argument("experiments_", metavar="EXPERIMENT...", type=EXPERIMENT, nargs=-1, required=True)
@pass_session
def restore(session: Session, experiments_: "Sequence[Experiment]") -> None:
    """Restore deleted experiments, and with them their runs."""
    for experiment in experiments_:
        session.client.restore_experiment(experiment.experiment_id)
        click.echo(f"restored {experiment.experiment_id}")
    session.say_share()


@experiments.command(
    "tag",
    short_help="Set, delete or print tags of an experiment.",
    examples="""
    runstone experiments tag churn team=growth
    runstone experiments tag churn --delete team
    """,
)
@click.argument("experiment", type=EXPERIMENT)
@click.argument("pairs", metavar="[KEY=VALUE]...", nargs=-1)
@click.option("-d", "--delete", "deleted", metavar="KEY", multiple=True, help="Remove a tag; may be repeated.")
@pass_session
def tag(session: Session, experiment: "Experiment", pairs: Sequence[str], deleted: Sequence[str]) -> None:
    """Set tags of an experiment, or delete them; without either, print them."""
    from runstone.cli.output import clean
    from runstone.cli.pairs import parse_pairs
    from runstone.tracking.experiment import set_experiment_tags

    texts = parse_pairs(pairs)
    for key in deleted:
        session.client.delete_experiment_tag(experiment.experiment_id, key)
    if texts:
        set_experiment_tags(session.workspace.repo, experiment.experiment_id, texts)
    if not texts and not deleted:
        for key, value in experiment.tags.items():
            click.echo(f"{clean(key)}={clean(value)}")
        return
    session.say_share()


def _count_runs(session: Session) -> tuple[Counter[str], dict[str, int]]:
    """Runs an experiment, and the start of its newest one."""
    from runstone.index.search import list_runs

    counts: Counter[str] = Counter()
    newest: dict[str, int] = {}
    for experiment_id, started, lifecycle in list_runs(
        session.repo, ["experiment_id", "start_time", "lifecycle_stage"], run_view_type="ALL"
    ):
        if lifecycle == "active":
            counts[experiment_id] += 1
            newest[experiment_id] = max(started, newest.get(experiment_id, started))
    return counts, newest


def _value(experiment: "Experiment", name: str, counts: Counter[str], newest: dict[str, int]) -> object:
    if name.startswith("tags."):
        return experiment.tags.get(name.removeprefix("tags."))
    values: dict[str, object] = {
        "id": experiment.experiment_id,
        "name": experiment.name,
        "runs": counts[experiment.experiment_id],
        "lifecycle": experiment.lifecycle_stage,
        "created": experiment.creation_time,
        "last_run": newest.get(experiment.experiment_id),
        "description": experiment.description,
    }
    if name not in values:
        raise click.UsageError(f"Experiments have no column {name!r}. There are: {', '.join(values)}, tags.KEY.")
    return values[name]
