"""`runstone models`: registered models, their versions and aliases, and the files of a version."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
    hint_more,
    json_option,
    list_options,
    split_columns,
)
from runstone.cli.session import ALIAS, MODEL, Session, pass_session

if TYPE_CHECKING:
    from runstone.registry.model import RegisteredModel
    from runstone.registry.version import ModelVersion

_MODEL_COLUMNS = {
    "name": Column("name"),
    "latest": Column("latest", "number"),
    "aliases": Column("aliases"),
    "updated": Column("updated", "age"),
    "created": Column("created", "time"),
}
_VERSION_COLUMNS = {
    "model": Column("model"),
    "version": Column("version", "number"),
    "aliases": Column("aliases"),
    "created": Column("created", "age"),
    "run": Column("run", "id"),
    "path": Column("path"),
    "flavors": Column("flavors"),
    "size": Column("size", "size"),
    "user": Column("user"),
    "digest": Column("digest"),
    "commit": Column("commit"),
    "source": Column("source"),
    "description": Column("description"),
}
_USUAL_MODEL = ("name", "latest", "aliases", "updated")
_USUAL_VERSION = ("model", "version", "aliases", "created", "run", "path", "description")


@group(
    "models",
    examples="""
    runstone models register churn brave-otter-17/model
    runstone models alias churn champion 3
    runstone models get churn@champion out
    """,
)
def models() -> None:
    """Registered models: list, show, register versions, move aliases, get their files."""


@models.command(
    "list",
    examples="""
    runstone models list
    runstone models list -f "name LIKE 'churn%'" --json
    """,
)
@list_options(columns="name,latest,aliases,created")
@pass_session
def list_(
    session: Session, columns: Sequence[str], sort: Sequence[str], filter_string: str, limit: int | None, form: Form
) -> None:
    """List the registered models by name."""
    found: list[RegisteredModel] = []
    token = None
    while True:
        size = min(1000, (limit or 1000) - len(found))
        page = session.client.search_registered_models(filter_string, size, list(sort), token)
        found += page
        token = page.token
        if token is None or len(found) == limit:
            break
    chosen = _chosen(columns, _USUAL_MODEL, _MODEL_COLUMNS, "Models")
    rows = [[_model_values(model)[name] for name in chosen] for model in found]
    emit([_MODEL_COLUMNS[name] for name in chosen], rows, form, empty="There are no such models.")
    _say_cut(token, limit, form)


@models.command(
    "versions",
    examples="""
    runstone models versions churn
    runstone models versions -f "run_id = '0192f3ab5c6d7e8f9a0b1c2d3e4f5a6b'"
    """,
)
@click.argument("name", metavar="[MODEL]", type=MODEL, required=False)
@list_options(columns="version,aliases,run,digest,commit")
@pass_session
def versions(
    session: Session,
    name: str | None,
    columns: Sequence[str],
    sort: Sequence[str],
    filter_string: str,
    limit: int | None,
    form: Form,
) -> None:
    """List the versions of a model, or of all, the newest first."""
    if name is not None:
        session.client.get_registered_model(name)  # so that a name nobody registered is an error, not an empty list
        own = f"name = '{name.replace(chr(39), chr(39) * 2)}'"
        filter_string = f"{own} AND ({filter_string})" if filter_string else own
    page = session.client.search_model_versions(filter_string, limit or 200_000, list(sort))
    _print_versions(page, _chosen(columns, _USUAL_VERSION, _VERSION_COLUMNS, "Versions"), form)
    _say_cut(page.token, limit, form)


@models.command(
    "show",
    examples="""
    runstone models show churn
    runstone models show churn --json
    """,
)
@click.argument("name", metavar="MODEL", type=MODEL)
@json_option
@pass_session
def show(session: Session, name: str, form: Form) -> None:
    """Show a model: its aliases and its versions."""
    from runstone.registry.version import list_versions

    model = session.client.get_registered_model(name)
    found = list_versions(session.workspace.repo, name)
    if form == "json":
        document = {"name": model.name, "aliases": model.aliases, "versions": [_version_document(v) for v in found]}
        emit_json(document)
        return
    created = model.creation_timestamp
    emit_facts(
        [
            ("model", model.name),
            ("created", None if created is None else format_iso(created)),
            ("aliases", ", ".join(f"{alias} → {number}" for alias, number in sorted(model.aliases.items()))),
        ]
    )
    heading("versions")
    _print_versions(found, [name for name in _USUAL_VERSION if name != "model"], "table")


@models.command(
    "register",
    short_help="Make what a run logged the next version of MODEL.",
    examples="""
    runstone models register churn runs:/0192f3ab5c6d7e8f9a0b1c2d3e4f5a6b/model
    runstone models register churn brave-otter-17/model --description "Trained on March"
    """,
)
@click.argument("name", metavar="MODEL", type=MODEL)
@click.argument("source", metavar="RUN_URI")
@click.option("--description", help="What to say of this version.")
@json_option
@pass_session
def register(session: Session, name: str, source: str, description: str | None, form: Form) -> None:
    """Make a model that a run logged the next version of MODEL; prints `models:/MODEL/VERSION`.

    RUN_URI is `runs:/RUN/PATH`, or just `RUN/PATH`. The model is made if there is none.
    """
    from runstone.uris import RunUri

    run, slash, path = source.removeprefix("runs:/").lstrip("/").partition("/")
    if not slash or not path:
        raise click.UsageError(f"{source!r} must name a run and a folder of it: `runs:/RUN/PATH`.")
    uri = RunUri(session.run_id(run), path.strip("/"))
    version = session.client.create_model_version(name, str(uri), description=description)
    made = f"models:/{version.name}/{version.version}"
    if form == "json":
        emit_json({"uri": made, "done": "registered", **_version_document(version)})
    else:
        click.echo(made)
    session.say_share()


@models.command(
    "alias",
    short_help="Point ALIAS at VERSION of MODEL.",
    examples="""
    runstone models alias churn champion 3
    runstone models alias churn champion --delete
    """,
)
@click.argument("name", metavar="MODEL", type=MODEL)
@click.argument("alias", type=ALIAS)
@click.argument("version", type=click.IntRange(min=1), required=False)
@click.option("--delete", is_flag=True, help="Remove the alias.")
@pass_session
def alias(session: Session, name: str, alias: str, version: int | None, delete: bool) -> None:
    """Point ALIAS at VERSION of MODEL: one small file, one commit on the default branch."""
    if delete == (version is not None):
        raise click.UsageError(
            "Give the version, or --delete." if not delete else "Give the version or --delete, not both."
        )
    if version is None:
        session.client.delete_registered_model_alias(name, alias)
        click.echo(f"removed {name}@{alias}")
    else:
        session.client.set_registered_model_alias(name, alias, version)
        click.echo(f"{name}@{alias} is version {version}")
    from runstone.registry.branch import default_branch

    session.say_share(default_branch(session.workspace.repo))


@models.command(
    "get",
    short_help="Copy the files of a model version into DIR.",
    examples="""
    runstone models get churn@champion out      the files of the version that an alias points at
    runstone models get models:/churn/3 out
    runstone models get churn out               the latest version
    """,
)
@click.argument("uri")
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@pass_session
def get(session: Session, uri: str, folder: Path) -> None:
    """Copy the files of a model version into DIR, each checked by the digest that its git tag vouches for.

    URI is `models:/NAME/VERSION`, `models:/NAME@ALIAS`, `NAME/VERSION`, `NAME@ALIAS`, `NAME` (the latest), or
    `runs:/RUN/PATH`.
    """
    from runstone.registry.resolve import resolve

    resolved = resolve(session.workspace, _whole_uri(uri))
    is_file = [entry.path for entry in resolved.entries] == [resolved.path]
    strip = resolved.path.rpartition("/")[0] if is_file else resolved.path
    session.workspace.artifacts.fetch(resolved.entries, folder, strip=strip)
    click.echo(str(folder))


def _whole_uri(text: str) -> str:
    if ":/" in text:
        return text
    return f"models:/{text}" if "@" in text or text.rpartition("/")[2].isdigit() else f"models:/{text}/latest"


def _chosen(given: Sequence[str], usual: Sequence[str], known: dict[str, Column], noun: str) -> list[str]:
    names, is_added = split_columns(given)
    for name in names:
        if name not in known:
            raise click.UsageError(f"{noun} have no column {name!r}. There are: {', '.join(known)}.")
    return [*usual, *names] if is_added or not names else names


def _model_values(model: "RegisteredModel") -> dict[str, Any]:
    return {
        "name": model.name,
        "latest": model.latest_versions[0].version if model.latest_versions else None,
        "aliases": ", ".join(f"{alias}={number}" for alias, number in sorted(model.aliases.items())) or None,
        "updated": model.last_updated_timestamp,
        "created": model.creation_timestamp,
    }


def _version_values(version: "ModelVersion") -> dict[str, Any]:
    return {
        "model": version.name,
        "version": version.version,
        "aliases": ", ".join(sorted(version.aliases)) or None,
        "created": version.creation_timestamp,
        "run": version.run_id,
        "path": version.path,
        "flavors": ", ".join(version.flavors),
        "size": version.size,
        "user": version.user_id,
        "digest": version.digest,
        "commit": version.commit,
        "source": version.source,
        "description": version.description,
    }


def _version_document(version: "ModelVersion") -> dict[str, Any]:
    created = version.creation_timestamp
    return _version_values(version) | {
        "aliases": sorted(version.aliases),
        "flavors": list(version.flavors),
        "created": None if created is None else format_iso(created),
        "signature": version.signature,
    }


def _print_versions(found: "Sequence[ModelVersion]", chosen: Sequence[str], form: Form) -> None:
    rows = [[_version_values(version)[name] for name in chosen] for version in found]
    emit([_VERSION_COLUMNS[name] for name in chosen], rows, form, empty="There are no such versions.")


def _say_cut(token: str | None, limit: int | None, form: Form) -> None:
    if token is not None and form == "table":
        hint_more(limit)
