"""`runstone import`: bring in what other trackers have recorded; one command a tracker, all with one report."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runstone.cli.command import group
from runstone.cli.output import Form, clean, counted, emit_json, heading, hint, json_option
from runstone.cli.session import Session, pass_session, progress

if TYPE_CHECKING:
    from runstone.imports.intake import Intake
    from runstone.imports.report import NotCarried, Report

_SHOWN = 20


@group(
    "import",
    examples="""
    runstone import mlflow mlruns                  a folder of MLflow's, with its model registry
    runstone import mlflow sqlite:///mlflow.db     a database
    runstone import mlflow https://mlflow.team.org a server
    runstone import gto                            the git tags of gto's registry
    runstone import dvc                            DVC's experiments, and folders of DVCLive
    runstone import wandb                          what W&B left in folders, as it does offline
    runstone import tensorboard logs               event files of TensorBoard
    """,
)
def import_() -> None:
    """Bring in what other trackers have recorded: experiments, runs, metrics, artifacts, models.

    An import may be repeated: what is here is skipped, and what has grown at the source is updated. Interrupted, it
    goes on when it is called again. It ends with what was not carried, and with 1 if that is more than what Runstone
    has no place for.
    """


def take_in(
    session: Session,
    source: str,
    bring: "Callable[[Intake], None]",
    *,
    form: Form,
    dry_run: bool = False,
    with_artifacts: bool = True,
) -> None:
    """Run an import with a bar, print its report, and end with 1 where something is missing.

    Args:
        session: The session.
        source: Where it is from, without credentials.
        bring: Hands everything to the intake.
        form: How to print.
        dry_run: Write nothing.
        with_artifacts: Whether artifacts are brought.
    """
    from runstone.imports.intake import Intake

    with progress("Importing") as tell:
        options: dict[str, Any] = {"progress": tell, "dry_run": dry_run, "with_artifacts": with_artifacts}
        with Intake(session.workspace, source=source, **options) as intake:
            bring(intake)
    report = intake.report
    if form == "json":
        emit_json(report.to_document())
    else:
        print_report(report)
        if not report.is_dry and any(each.keys() - {"same"} for each in report.carried.values()):
            session.say_share()
    if not report.is_whole:
        click.get_current_context().exit(1)


def import_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that every import has: `--no-artifacts`, `--dry-run`, `--json`; see `take_in`."""
    dry = click.option("-n", "--dry-run", is_flag=True, help="Read all, write nothing, and tell what would be brought.")
    without = click.option(
        "--artifacts/--no-artifacts", "with_artifacts", default=True, help="Whether files are brought.  [default: yes]"
    )
    return without(dry(json_option(function)))


def print_report(report: "Report", *, empty: str = "There is nothing to bring.") -> None:
    """Print what was carried and what was not."""
    from runstone.cli.table import Column, print_table

    if report.is_dry:
        click.echo("Nothing was written. This would be brought:")
    rows = [
        (kind, counts.get("new", 0), counts.get("updated", 0), counts.get("same", 0), counts.get("clash", 0))
        for kind, counts in report.carried.items()
    ]
    columns = [Column("carried"), *(Column(name, "number") for name in ("new", "updated", "here already", "renamed"))]
    if rows:
        print_table(columns, rows)
    else:
        click.echo(empty)
    for given, made in list(report.clashes.items())[:_SHOWN]:
        hint(f"Run {given} is another one here, so that of the source is {made}.")
    for title, found in (
        ("Missing", [each for each in report.not_carried if each.is_loss]),
        ("Left out", [each for each in report.not_carried if not each.is_loss]),
    ):
        if found:
            heading(f"{title} ({counted(sum(each.number for each in found), 'item')})")
            _print_missing(found)
    for note in report.notes:
        hint(note)


def _print_missing(found: "Iterable[NotCarried]") -> None:
    by_kind: dict[str, list[NotCarried]] = {}
    for each in found:
        by_kind.setdefault(each.kind, []).append(each)
    for kind, items in by_kind.items():
        for each in items[:_SHOWN]:
            number = f" ({each.number:,})" if each.number > 1 else ""
            click.echo(f"  {clean(kind)}  {clean(each.what)}{number}: {clean(each.why)}")
        if len(items) > _SHOWN:
            click.echo(f"  {clean(kind)}  … and {len(items) - _SHOWN} more; all of them: --json")


@import_.command(
    "mlflow",
    examples="""
    runstone import mlflow mlruns                                 a folder
    runstone import mlflow sqlite:///mlflow.db --dry-run          what a database would bring
    runstone import mlflow postgresql://reader@db/mlflow          a database on a server
    runstone import mlflow https://mlflow.team.org -e churn       one experiment of a server
    runstone import mlflow mlflow.db --artifact-root /data/mlflow its artifacts are in another folder
    """,
)
@click.argument("uri")
@click.option("-e", "--experiment", "experiments", metavar="NAME", multiple=True, help="Only this; may be repeated.")
@click.option("--registry-uri", metavar="URI", help="Where the registered models are, if elsewhere.")
@click.option(
    "--artifact-root",
    "roots",
    metavar="PLACE",
    multiple=True,
    help="A folder or URI that artifacts may also be in, and what a server keeps them below; may be repeated.",
)
@import_options
@pass_session
def mlflow(
    session: Session,
    uri: str,
    experiments: tuple[str, ...],
    registry_uri: str | None,
    roots: tuple[str, ...],
    with_artifacts: bool,
    dry_run: bool,
    form: Form,
) -> None:
    """Bring in what MLflow 1, 2 or 3 keeps at URI.

    That is a folder `mlruns`, a database, or a tracking server. What comes:

    Experiments, runs with their ids and times, the history of metrics, artifacts, logged and registered models with the
    numbers of their versions, stages and aliases. The source is only read. A server is asked with
    MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD.
    """
    from contextlib import ExitStack

    from runstone.imports.mlflow.carry import Carrier
    from runstone.imports.mlflow.open import open_source

    with ExitStack() as stack:
        source = open_source(uri, roots=roots)
        stack.callback(source.close)
        registry = source
        if registry_uri is not None:
            registry = open_source(registry_uri, roots=roots)
            stack.callback(registry.close)
        take_in(
            session,
            source.shown,
            lambda intake: Carrier(source, registry, intake, experiments).carry(),
            form=form,
            dry_run=dry_run,
            with_artifacts=with_artifacts,
        )


def _into(default: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add `--experiment`, for trackers that have none of their own."""
    text = f"The experiment that the runs go to.  [default: {default}]"
    return click.option("-e", "--experiment", metavar="NAME", help=text)


@import_.command(
    "gto",
    short_help="Bring in the versions and stages of gto's git tags.",
    examples="""
    runstone import gto                                    the tags of this repository
    runstone import gto --stage prod=Production            where its stages go
    runstone import gto https://git.team.org/models.git -n what those of another one would bring
    """,
)
@click.argument("source", metavar="[REPOSITORY]", required=False)
@_into("gto")
@click.option(
    "--stage",
    "stages",
    metavar="GTO=STAGE",
    multiple=True,
    help="The stage here that one of gto's goes to; may be repeated. Else the one of that name, or an alias.",
)
@import_options
@pass_session
def gto(
    session: Session,
    source: str | None,
    experiment: str | None,
    stages: tuple[str, ...],
    with_artifacts: bool,
    dry_run: bool,
    form: Form,
) -> None:
    """Bring in what gto registered with git tags: of this repository, or of another one, by folder or URL.

    Versions are numbered in the order in which they were registered, and keep gto's as the tag `gto.version`. Each
    gets a run with the commit of its tag as code, and the files of its path, from git, a DVC cache or the DVC remote.
    """
    from runstone.git.stream import hide_credentials
    from runstone.imports.gto import bring

    mapping = {}
    for pair in stages:
        name, found, stage = pair.partition("=")
        if not (name and found and stage):
            text = f"{pair!r} is not of the form GTO=STAGE, as prod=Production."
            raise click.BadParameter(text, param_hint="--stage")
        mapping[name] = stage
    repo = session.workspace.repo
    place = source if source is not None else str(repo.work_tree or repo.git_dir)
    take_in(
        session,
        hide_credentials(place),
        lambda intake: bring(intake, place, experiment=experiment, stages=mapping),
        form=form,
        dry_run=dry_run,
        with_artifacts=with_artifacts,
    )


@import_.command(
    "dvc",
    short_help="Bring in DVC's experiments and DVCLive's folders.",
    examples="""
    runstone import dvc              the experiments of this repository, and its folders of DVCLive
    runstone import dvc dvclive      one folder
    runstone import dvc ../other -n  what another repository would bring
    """,
)
@click.argument("path", type=click.Path(exists=True, file_okay=False), required=False)
@_into("dvc")
@import_options
@pass_session
def dvc(
    session: Session, path: str | None, experiment: str | None, with_artifacts: bool, dry_run: bool, form: Form
) -> None:
    """Bring in DVC's experiments, and what DVCLive wrote into folders, of this repository or below PATH.

    An experiment's commit becomes the code of its run, which so outlives `dvc exp gc`. Params, metrics with their
    histories, plots and artifacts come as `dvc.yaml` and DVCLive name them.
    """
    from runstone.imports.dvc import bring

    repo = session.workspace.repo
    place = Path(path) if path is not None else repo.work_tree or repo.git_dir
    take_in(
        session,
        str(place),
        lambda intake: bring(intake, place, experiment=experiment),
        form=form,
        dry_run=dry_run,
        with_artifacts=with_artifacts,
    )


@import_.command(
    "wandb",
    short_help="Bring in runs that W&B left in folders.",
    examples="""
    runstone import wandb                          the folder `wandb` here
    runstone import wandb runs -e churn            another one, into one experiment
    runstone import wandb --follow-links           with the files that wandb.save linked
    """,
)
@click.argument("path", type=click.Path(exists=True), default="wandb")
@_into("the run's project")
@click.option("--system-metrics", is_flag=True, help="Bring what W&B measured of the machine, too, as `system/…`.")
@click.option("--follow-links", is_flag=True, help="Follow links out of a run's folder; only for folders of your own.")
@import_options
@pass_session
def wandb(
    session: Session,
    path: str,
    experiment: str | None,
    system_metrics: bool,
    follow_links: bool,
    with_artifacts: bool,
    dry_run: bool,
    form: Form,
) -> None:
    """Bring in the runs that W&B left below PATH, in folders `offline-run-…` or `run-…`. Nothing is asked of W&B.

    Config, history, summary, tags, notes, the git commit, media, saved files, and the files of logged artifacts as long
    as W&B keeps its copies of them.
    """
    from runstone.imports.wandb import bring

    take_in(
        session,
        path,
        lambda intake: bring(
            intake, Path(path), experiment=experiment, system_metrics=system_metrics, follow_links=follow_links
        ),
        form=form,
        dry_run=dry_run,
        with_artifacts=with_artifacts,
    )


@import_.command(
    "tensorboard",
    short_help="Bring in runs of TensorBoard's event files.",
    examples="""
    runstone import tensorboard runs               what is given to `tensorboard --logdir`
    runstone import tensorboard logs -e pretrain   into an experiment
    """,
)
@click.argument("path", type=click.Path(exists=True, file_okay=False))
@_into("the folder's name")
@import_options
@pass_session
def tensorboard(
    session: Session, path: str, experiment: str | None, with_artifacts: bool, dry_run: bool, form: Form
) -> None:
    """Bring in the runs of a folder of TensorBoard: each folder in it with event files is one.

    Scalars with steps and times, hyperparameters as params, texts and images as artifacts.
    """
    from runstone.imports.tensorboard import bring

    take_in(
        session,
        path,
        lambda intake: bring(intake, Path(path), experiment=experiment),
        form=form,
        dry_run=dry_run,
        with_artifacts=with_artifacts,
    )
