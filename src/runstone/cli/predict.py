"""`runstone predict`: score a file or a folder with a model."""

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import click

from runstone.cli.command import command
from runstone.cli.output import Form, counted, emit_json, hint, json_option
from runstone.cli.session import Session, pass_session, progress

if TYPE_CHECKING:
    from runstone.tracking.workspace import Workspace

_FORMATS = click.Choice(["csv", "jsonl", "parquet"])


@command(
    "predict",
    short_help="Score a file or a folder with a model.",
    examples="""
    runstone predict models:/churn@champion -i customers.csv -o scores.csv --id customer
    runstone predict models:/churn/3 -i data/2026-11 -o scores/2026-11 --keep     folder to folder
    runstone predict runs:/0192f3ab5c6d7e8f9a0b1c2d3e4f5a6b/model -i new.parquet -o new.scored.parquet
    cat new.jsonl | runstone predict models:/churn@champion --format jsonl > scores.jsonl
    runstone predict models:/churn@champion -i data -o scores --engine ray --address auto
    """,
)
@click.option("-i", "--input", "source", default="-", metavar="PATH", help="What to score; - reads standard input.")
@click.option("-o", "--output", "target", default="-", metavar="PATH", help="Where to; - writes standard output.")
@click.option("--format", "input_format", type=_FORMATS, help="The input's, where its name does not tell it.")
@click.option("--output-format", type=_FORMATS, help="The output's, likewise.")
@click.option("--id", "ids", metavar="COLUMN", multiple=True, help="Write this column too; may be repeated.")
@click.option("--keep", is_flag=True, help="Write all columns of the input too.")
@click.option("-p", "--param", "params", metavar="KEY=VALUE", multiple=True, help="A param of the model, as YAML.")
@click.option("--chunk-rows", type=click.IntRange(1), default=65_536, show_default=True, help="Rows at a time.")
@click.option("--force", is_flag=True, help="Replace the output if it exists.")
@click.option("--engine", type=click.Choice(["local", "ray"]), default="local", show_default=True, help="Where.")
@click.option("--address", help="The Ray cluster; auto finds it, and without it a local one is begun.")
@click.option("--experiment", metavar="NAME", help="The experiment of the run.  [default: predictions]")
@click.option("--name", help="What to call the run; made up if not given.")
@click.option("--no-run", is_flag=True, help="Record no run.")
@click.option("--allow-pickle", is_flag=True, help="You trust the folder: loading its weights may run code.")
@json_option
@click.argument("uri")
@pass_session
def predict(
    session: Session,
    uri: str,
    source: str,
    target: str,
    input_format: str | None,
    output_format: str | None,
    ids: Sequence[str],
    keep: bool,
    params: Sequence[str],
    chunk_rows: int,
    force: bool,
    engine: str,
    address: str | None,
    experiment: str | None,
    name: str | None,
    no_run: bool,
    allow_pickle: bool,
    form: Form,
) -> None:
    """Score CSV, JSON lines or Parquet, chunk by chunk, and record it as a run.

    URI is `models:/NAME/VERSION`, `models:/NAME@ALIAS`, `models:/NAME/STAGE`, `runs:/RUN/PATH`, or a model folder.

    The output has a column `prediction` (or one for each output of the model), after those of --id or --keep. It
    appears when all is scored, and not at all where something fails; only standard output is written as it comes. A
    folder is scored file by file into a folder of the same names.

    Columns are held against the model's signature before anything is predicted; those it does not need are passed over.
    """
    from runstone.cli.pairs import parse_params
    from runstone.scoring import batch
    from runstone.scoring.record import recorded
    from runstone.serving.resolve import identify

    if keep and ids:
        raise click.UsageError("--keep writes all columns: leave --id out.")
    if address is not None and engine != "ray":
        raise click.UsageError("--address goes with --engine ray.")
    if form == "json" and target == "-":
        raise click.UsageError("With --json name the output: -o FILE.")
    job = batch.Job(
        input=source,
        output=target,
        input_format=input_format,
        output_format=output_format,
        keep=None if keep else tuple(dict.fromkeys(ids)),
        params=parse_params(params),
        chunk_rows=chunk_rows,
        force=force,
    )
    planned = batch.plan(job)
    workspace = session.workspace if uri.startswith(("runs:/", "models:/")) else None
    identity = identify(workspace, uri)
    keeper = None if no_run else workspace or _workspace_or_none(session)
    with ExitStack() as stack:
        model, packed = _load(stack, workspace, identity, allow_pickle, is_carried=engine == "ray")
        unused = batch.check(model, planned)
        if unused:
            hint(f"The model does not use {counted(len(unused), 'column')}: {', '.join(unused[:10])}")
        recording = stack.enter_context(
            recorded(keeper, identity, job, engine=engine, experiment=experiment, name=name)
        )
        tell = stack.enter_context(progress("predict")) if target != "-" or not sys.stdout.isatty() else None
        if packed is not None:
            from runstone.scoring import ray

            scored = ray.score(packed, planned, address=address, progress=tell)
        else:
            scored = batch.score(model, planned, tell)
        recording.scored = scored
    if form == "json":
        emit_json(
            {
                "model": identity.to_document(),
                "input": {"path": source, "digest": scored.input_digest},
                "output": {"path": target, "digest": scored.output_digest, "columns": list(scored.columns)},
                "rows": scored.rows,
                "engine": engine,
                "run_id": recording.run_id,
            }
        )
        return
    by = f"{identity.pinned}, run {recording.run_id}" if recording.run_id else identity.pinned
    where = "" if target == "-" else f" → {target}"
    click.echo(f"scored {counted(scored.rows, 'row')} by {by}{where}", err=target == "-")


def _load(
    stack: ExitStack, workspace: "Workspace | None", identity: Any, allow_pickle: bool, *, is_carried: bool
) -> tuple[Any, Any]:
    """The model; and, for a cluster, what carries it there."""
    from runstone.flavors import pyfunc
    from runstone.serving.resolve import opened

    folder, trust = stack.enter_context(opened(workspace, identity, allow_pickle=allow_pickle))
    model = pyfunc.load(folder, trust=trust)
    if not is_carried:
        return model, None
    from runstone.scoring.packed import pack

    return model, pack(folder, trust)


def _workspace_or_none(session: Session) -> "Workspace | None":
    """Where a folder's model is used: the repository that this is done in; none outside any."""
    from runstone.errors import NotARepository

    try:
        return session.workspace
    except NotARepository:
        return None
