"""`runstone register`, and the same as `runstone models register`: what a run logged becomes a version of a model."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import click

from runstone.cli.command import command
from runstone.cli.output import Form, emit_json, json_option
from runstone.cli.pairs import parse_pairs
from runstone.cli.promote import asking, change_options, say_outcome
from runstone.cli.session import MODEL, RUN, Session, pass_session

if TYPE_CHECKING:
    from runstone.promotion.proposals.propose import Options


@command(
    "register",
    short_help="Make what a run logged the next version of MODEL.",
    examples="""
    runstone register churn brave-otter-17/model --description "Trained on March"
    runstone register churn --run brave-otter-17
    runstone register churn --run 0192f3ab --path model --propose
    """,
)
@click.argument("name", metavar="MODEL", type=MODEL)
@click.argument("source", metavar="[RUN_URI]", required=False)
@click.option("--run", "run_id", type=RUN, help="The run, by name or id, in place of RUN_URI.")
@click.option("--path", metavar="PATH", help="The model's folder among its artifacts.  [default: the only one]")
@click.option("--description", help="What to say of this version.")
@click.option("--tag", "tags", multiple=True, metavar="KEY=VALUE", help="A tag of this version; may be repeated.")
@change_options
@json_option
@pass_session
def register(
    session: Session,
    name: str,
    source: str | None,
    run_id: str | None,
    path: str | None,
    description: str | None,
    tags: Sequence[str],
    message: str | None,
    make_options: "Callable[..., Options]",
    form: Form,
) -> None:
    """Make a model that a run logged the next version of MODEL; prints `models:/MODEL/VERSION`.

    RUN_URI is `runs:/RUN/PATH`, or just `RUN/PATH`. The model is made if there is none. With --propose this is a
    request that somebody reviews: once it is merged, `runstone ci register` makes the version.
    """
    uri, pairs = _uri(session, source, run_id, path), parse_pairs(tags)
    with asking() as tell:
        options = make_options(progress=tell)
        if options.propose:
            outcome = session.client.propose_registration(
                name, uri, description=description, tags=pairs, message=message, options=options
            )
            say_outcome(session, outcome, form)
            return
    version = session.client.create_model_version(name, uri, description=description, tags=pairs)
    made = f"models:/{version.name}/{version.version}"
    if form == "json":
        from runstone.cli.models import version_document

        emit_json({"uri": made, "done": "registered", **version_document(version)})
    else:
        click.echo(made)
    session.say_share_tag(f"{version.key}@v{version.version}")


def _uri(session: Session, source: str | None, run_id: str | None, path: str | None) -> str:
    from runstone.uris import RunUri

    if (source is None) == (run_id is None):
        raise click.UsageError("Name the model that a run logged: RUN_URI or --run, and not both.")
    if source is not None:
        run, slash, inside = source.removeprefix("runs:/").lstrip("/").partition("/")
        if not slash or not inside or path is not None:
            raise click.UsageError(f"{source!r} must name a run and a folder of it: `runs:/RUN/PATH`.")
        return str(RunUri(session.run_id(run), inside.strip("/")))
    assert run_id is not None
    if path is None:
        models = [model.path for model in session.client.get_run(run_id).models]
        if len(models) != 1:
            have = f"logged several models: {', '.join(models)}" if models else "logged no model"
            raise click.UsageError(f"The run {run_id} {have}. Name its folder: --path PATH")
        path = models[0]
    return str(RunUri(run_id, path.strip("/")))
