"""`runstone server`: MLflow's server on a repository."""

import re
import sys
from typing import TYPE_CHECKING

import click

from runstone.cli.command import command
from runstone.cli.session import Session, pass_session

if TYPE_CHECKING:
    from runstone.tracking.workspace import Workspace


@command(
    "server",
    examples="""
    runstone server                                         this repository, for this machine
    runstone server --repo /srv/churn --host 0.0.0.0 --push auto --allowed-hosts mlflow.example.org
    runstone server --workers 4 -- --static-prefix /mlflow  what follows -- is handed to `mlflow server`

    MLFLOW_TRACKING_URI=http://localhost:5000 python train.py
    """,
)
@click.option(
    "--repo", "folder", metavar="DIR", type=click.Path(file_okay=False), help="As `runstone --repo DIR server`."
)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen at; 0.0.0.0 for all.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=5000, show_default=True, help="The port; 0 for a free one."
)
@click.option("--workers", type=click.IntRange(1, 256), default=2, show_default=True, help="Processes.")
@click.option(
    "--push",
    type=click.Choice(["auto", "off"]),
    help="Whether to keep in sync with the git remote; as `push` of runstone.yaml if not given.",
)
@click.option("-r", "--remote", metavar="NAME", help="The git remote; else the branch's, origin, or the only one.")
@click.option(
    "--sync-interval",
    type=click.FloatRange(1, 86_400),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="How often to sync with --push auto.",
)
@click.option(
    "--idle",
    type=click.FloatRange(1, 86_400),
    default=300.0,
    show_default=True,
    metavar="SECONDS",
    help="When to commit what a run has logged that goes on without a word.",
)
@click.option("--allowed-hosts", metavar="NAMES", help="The names clients may use for this server; * for any.")
@click.option("--cors-allowed-origins", metavar="ORIGINS", help="The web sites whose pages may use this server.")
@click.argument("further", metavar="[-- MLFLOW-OPTION...]", nargs=-1, type=click.UNPROCESSED)
@pass_session
@click.pass_context
def server(
    ctx: click.Context,
    session: Session,
    folder: str | None,
    host: str,
    port: int,
    workers: int,
    push: str | None,
    remote: str | None,
    sync_interval: float,
    idle: float,
    allowed_hosts: str | None,
    cors_allowed_origins: str | None,
    further: tuple[str, ...],
) -> None:
    """Run MLflow's server and UI on this repository, until Ctrl-C or SIGTERM.

    Clients of any language track through it with MLflow's own client, and need neither git nor Runstone: artifacts go
    through the server, too. A run is committed when it ends; one that goes on without a word for --idle seconds is
    committed as far as it is. With --push auto, runs, artifacts and model versions are synced with the git remote
    and the DVC remote; while a remote is away the server goes on, and says so. At the end, what waits is committed,
    and synced once more.

    Whoever reaches the server may read and change all of it. Let it listen at 127.0.0.1, and put a proxy before it
    that asks who is there: see "A server for a team" in Runstone's README.
    """
    from runstone.cli.output import clean, hint
    from runstone.mlflow_plugin.server import Settings, serve

    workspace = (Session(folder) if folder is not None else session).workspace
    settings = Settings(
        host=host,
        port=port,
        workers=workers,
        push=(push or _configured(workspace)) == "auto",
        remote=remote,
        sync_every_s=sync_interval,
        idle_s=idle,
        allowed_hosts=allowed_hosts,
        cors_allowed_origins=cors_allowed_origins,
        further=further,
    )
    where = workspace.repo.work_tree or workspace.repo.common_dir

    def ready(address: str) -> None:
        click.echo(f"MLflow's server on {clean(str(where))} at {address} (stop it with Ctrl-C)")
        everywhere = re.sub(r"//(0\.0\.0\.0|\[::\]):", "//<this machine>:", address)
        hint(f"Track with it: `export MLFLOW_TRACKING_URI={everywhere}`")
        if everywhere != address and allowed_hosts is None:
            hint("MLflow refuses clients that call this machine by a name, unless told of it: `--allowed-hosts NAME`")
        sys.stdout.flush()

    def say(text: str) -> None:
        click.secho(clean(text, keep="\n"), dim=True, err=True)  # what git says has lines

    ctx.exit(serve(workspace, settings, say, ready))


def _configured(workspace: "Workspace") -> str:
    return "auto" if workspace.repo.config.push == "auto" else "off"
