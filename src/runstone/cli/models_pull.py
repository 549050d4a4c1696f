"""`runstone models pull`: the files of a model version, all of them or nothing, also out of a repository elsewhere."""

from contextlib import nullcontext
from pathlib import Path

import click

from runstone.cli.command import command
from runstone.cli.model_edits import whole_uri
from runstone.cli.output import Form, emit_json, json_option
from runstone.cli.session import Session, pass_session


@command(
    "pull",
    short_help="Get a model version into a new folder DIR, whole or not at all.",
    examples="""
    runstone models pull churn@champion model
    runstone models pull churn/Production model --force       replace what is there, at once
    runstone models pull churn/3 /srv/model --repo https://host/team/churn.git
    """,
)
@click.argument("uri")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--repo", "url", metavar="URL", help="A repository elsewhere; no clone of it is made.")
@click.option("--force", is_flag=True, help="Replace the folder if it exists.")
@json_option
@pass_session
def pull(session: Session, uri: str, folder: Path, url: str | None, force: bool, form: Form) -> None:
    """Get the files of a model version, each checked by the digest that its git tag vouches for.

    URI is `NAME@ALIAS`, `NAME/VERSION`, `NAME/STAGE`, `NAME` (the latest), or a `models:/…` or `runs:/…` URI. DIR
    appears when all files are there and right; until then, and if something fails, what was there stays.

    With --repo git brings that version's tag and the registry's files alone, and DVC the bytes, from the remote that
    the repository names.
    """
    from runstone.registry.distant import distant
    from runstone.registry.pull import pull_model

    full = whole_uri(uri) if "@" in uri or uri.count("/") != 1 or ":/" in uri else f"models:/{uri}"
    target = folder.absolute()
    with nullcontext(session.workspace) if url is None else distant(url, full) as workspace:
        pulled = pull_model(workspace, full, target, force=force)
    if form == "json":
        emit_json({"uri": pulled.uri, "path": str(folder), "files": pulled.files, "size": pulled.size})
    else:
        click.echo(str(folder))
