"""`runstone serve`: a model behind HTTP."""

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from runstone.cli.command import command
from runstone.cli.session import AnyType, Session, pass_session

if TYPE_CHECKING:
    from runstone.serving.resolve import Identity
    from runstone.serving.server import Settings
    from runstone.tracking.workspace import Workspace

_UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3}


class Size(AnyType):
    """Bytes, as `64M`."""

    name = "size"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number of bytes."""
        text = str(value).upper().removesuffix("B").removesuffix("I")
        unit = text[-1:] if text[-1:] in ("K", "M", "G") else ""
        number = text.removesuffix(unit) if unit else text
        if not number.isdecimal() or not int(number):
            self.fail(f"{value!r} is no size such as 500K, 32M or 1G.", param, ctx)
        return int(number) * _UNITS[unit]


@command(
    "serve",
    examples="""
    runstone serve models:/churn@champion
    runstone serve models:/churn@champion --follow --workers 4 --host 0.0.0.0 --port 8080
    runstone serve runs:/0192f3ab5c6d7e8f9a0b1c2d3e4f5a6b/model --env venv
    runstone serve ./model --allow-pickle
    runstone serve ./model --digest md5:0192f3ab5c6d7e8f9a0b1c2d3e4f5a6b.dir

    curl -H 'Content-Type: application/json' -d '{"inputs": {"a": [1.0], "b": [2.0]}}' localhost:5000/invocations
    """,
)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen at; 0.0.0.0 for all.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=5000, show_default=True, help="The port; 0 for a free one."
)
@click.option("--workers", type=click.IntRange(1, 256), default=1, show_default=True, help="Processes.")
@click.option(
    "--threads", type=click.IntRange(1, 256), default=1, show_default=True, help="Predictions at once in each."
)
@click.option(
    "--queue", type=click.IntRange(0, 100_000), default=100, show_default=True, help="How many may wait in each."
)
@click.option(
    "--timeout",
    type=click.FloatRange(0, 86_400, min_open=True),
    default=60.0,
    show_default=True,
    help="Seconds for one request.",
)
@click.option("--max-body", type=Size(), default="32M", show_default=True, help="The largest body of a request.")
@click.option(
    "--max-memory",
    type=Size(),
    help="Replace a worker that holds more; needs --workers 2 or more.",
)
@click.option(
    "--env",
    "environment",
    type=click.Choice(["local", "venv"]),
    default="local",
    show_default=True,
    help="Serve in this environment, or in one built from the model's requirements.",
)
@click.option("--no-check", is_flag=True, help="Serve though the packages here are not the model's.")
@click.option("--follow", is_flag=True, help="Take up another model when the URI comes to mean one.")
@click.option(
    "--follow-every",
    type=click.FloatRange(0.1, 86_400),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="How often to fetch from the git remote with --follow.",
)
@click.option("--no-access-log", is_flag=True, help="Write no line for each request.")
@click.option("--digest", metavar="md5:HEX.dir", help="What the model's digest must be; a folder is then trusted.")
@click.option("--allow-pickle", is_flag=True, help="You trust the folder: loading its weights may run code.")
@click.argument("uri")
@pass_session
def serve(
    session: Session,
    uri: str,
    host: str,
    port: int,
    workers: int,
    threads: int,
    queue: int,
    timeout: float,
    max_body: int,
    max_memory: int | None,
    environment: str,
    no_check: bool,
    follow: bool,
    follow_every: float,
    no_access_log: bool,
    digest: str | None,
    allow_pickle: bool,
) -> None:
    """Serve a model over HTTP, until Ctrl-C or SIGTERM.

    URI is `models:/NAME/VERSION`, `models:/NAME@ALIAS`, `models:/NAME/STAGE`, `runs:/RUN/PATH`, or a model folder. The
    server stays with what it means at the start, which GET /version tells, unless --follow is given. With --digest it
    starts only if the model's files are those that git recorded under this digest, so they need no repository.

    POST /invocations takes MLflow's scoring protocol (JSON, CSV, Parquet), POST /v2/models/NAME/infer the Open
    Inference Protocol. GET /docs describes both, with the model's own columns and an example. GET /ping tells whether
    it is well, GET /metrics is for Prometheus. Each request is a line of JSON on standard error.

    A body of more than --max-body is answered with 413, one that comes when --queue others wait with 503, and one that
    takes longer than --timeout with 504. On SIGTERM all requests that were accepted are answered first.
    """
    from runstone.errors import UsageError
    from runstone.flavors.saving import library

    if os.getpid() == 1:  # as in a container: what the first process does not handle, Linux does not deliver to it
        signal.signal(signal.SIGTERM, _leave)
    if digest is not None and follow:
        raise UsageError("`--follow` takes up other models than the one of `--digest`: give one of the two.")
    if max_memory is not None and workers == 1:
        raise UsageError("`--max-memory` needs others that serve while a worker is replaced: `--workers 2`")
    for module in ("uvicorn", "httptools", "orjson", "prometheus_client", "packaging"):
        library(module, "serve models", "'runstone[serve]'")
    from runstone.serving.address import bind
    from runstone.serving.app import Limits
    from runstone.serving.resolve import identify
    from runstone.serving.server import Settings

    is_uri = uri.startswith(("runs:/", "models:/"))
    workspace = session.workspace if is_uri else None
    identity = identify(workspace, uri, digest=digest)
    if environment == "venv":
        _go_to_environment(workspace, identity, allow_pickle)
    repo = None if workspace is None else str(workspace.repo.work_tree or workspace.repo.git_dir)
    settings = Settings(
        uri=uri,
        repo=repo,
        host=host,
        port=port,
        workers=workers,
        limits=Limits(timeout, max_body, queue, threads, max_memory),
        follow=follow and is_uri,
        follow_every_s=follow_every,
        access_log=not no_access_log,
        allow_pickle=allow_pickle,
        check=not no_check,
    )
    with bind(host, port) as bound:
        _serve(settings, workspace, identity, bound)


def _leave(number: int, frame: object) -> NoReturn:
    """End before anything is served; from then on the server itself handles the signal."""
    del frame
    sys.exit(128 + number)


def _serve(settings: "Settings", workspace: "Workspace | None", identity: "Identity", bound: object) -> None:
    import socket

    from runstone.serving.address import address_of
    from runstone.serving.server import load_checked, serve_here

    assert isinstance(bound, socket.socket)  # named `object` above, since sockets are imported only here
    address = address_of(bound)
    name = identity.pinned if identity.pinned != identity.uri else identity.uri

    def ready() -> None:
        click.echo(f"Serving {name} at {address} (see {address}/docs; stop it with Ctrl-C)")
        sys.stdout.flush()

    if settings.workers == 1:
        serve_here(settings, workspace, load_checked(settings, workspace, identity), bound, ready)
        return
    from runstone.serving.supervisor import supervise

    supervise(settings, identity, bound, ready)


def _go_to_environment(workspace: "Workspace | None", identity: "Identity", allow_pickle: bool) -> None:
    """Become this very command in the model's own environment, built first where there is none yet."""
    from runstone.serving import environment
    from runstone.serving.resolve import opened, read_needs

    with opened(workspace, identity, allow_pickle=allow_pickle) as (folder, trust):
        needs = read_needs(folder, trust)
    named = os.environ.get("RUNSTONE_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME")
    cache = (Path(named) if named else Path.home() / ".cache") / "runstone" / "environments"
    python = environment.build(needs, cache, lambda text: click.echo(text, err=True))
    arguments = _without_env(sys.argv[1:])
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}
    sys.stdout.flush()
    os.execve(python, [str(python), "-P", "-m", "runstone", *arguments], kept)


def _without_env(arguments: list[str]) -> list[str]:
    """The command line with `--env local`."""
    kept, skip = [], False
    for argument in arguments:
        if skip:
            skip = False
        elif argument == "--env":
            skip = True
        elif not argument.startswith("--env="):
            kept.append(argument)
    return kept
