"""`runstone models`: list and show models and versions, move aliases, get the files of a version."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from runstone.cli.command import group
from runstone.cli.model_card import card
from runstone.cli.model_edits import EDITS, whole_uri
from runstone.cli.model_history import HISTORY
from runstone.cli.model_rows import (
    MODEL_COLUMNS,
    USUAL_MODEL,
    USUAL_VERSION,
    VERSION_COLUMNS,
    chosen,
    model_document,
    model_row,
    model_values,
    print_versions,
)
from runstone.cli.model_rows import version_document as version_document
from runstone.cli.models_docker import build_docker, generate_dockerfile
from runstone.cli.models_pull import pull
from runstone.cli.output import (
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
)
from runstone.cli.register import register
from runstone.cli.session import ALIAS, MODEL, VERSION_URI, Session, pass_session

if TYPE_CHECKING:
    from runstone.registry.model import RegisteredModel


@group(
    "models",
    examples="""
    runstone models register churn brave-otter-17/model
    runstone models alias churn champion 3
    runstone models get churn@champion out
    """,
)
def models() -> None:
    """Registered models: their versions, stages, aliases, tags, cards, files and history."""


for _command in (register, *EDITS, card, pull, build_docker, generate_dockerfile, *HISTORY):
    models.add_command(_command)
for _name, _same in (("create", "new"), ("delete", "rm")):
    models.add_command(models.commands[_name], _same)


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
    names = chosen(columns, USUAL_MODEL, MODEL_COLUMNS, "Models")
    if form == "json":
        emit_json([{name: values[name] for name in names} for values in map(model_row, found)])
    else:
        rows = [[values[name] for name in names] for values in map(model_values, found)]
        emit([MODEL_COLUMNS[name] for name in names], rows, form, empty="There are no such models.")
    _say_cut(token, limit, form)
    _say_absent(session)


@models.command(
    "versions",
    short_help="List the versions of a model, or of all.",
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
    from runstone.registry.search import search_versions

    page = search_versions(session.workspace.repo, filter_string, limit or 200_000, list(sort), name=name)
    if name is not None and not page:
        session.client.get_registered_model(name)  # so that a name nobody registered is an error, not an empty list
    print_versions(page, chosen(columns, USUAL_VERSION, VERSION_COLUMNS, "Versions"), form)
    _say_cut(page.token, limit, form)
    _say_absent(session, name)


@models.command(
    "search",
    examples="""
    runstone models search "stage = 'Production'"
    runstone models search "tags.risk = 'low' AND name LIKE 'churn%'" -s "created DESC" --json
    """,
)
@click.argument("filter_", metavar="FILTER")
@list_options(columns="model,version,tags")
@pass_session
def search(
    session: Session,
    filter_: str,
    columns: Sequence[str],
    sort: Sequence[str],
    filter_string: str,
    limit: int | None,
    form: Form,
) -> None:
    """List the versions of all models that meet FILTER.

    A filter compares tags.NAME and name, version, stage, alias, run_id, description, user, created with AND, OR, NOT,
    IN, BETWEEN, LIKE, IS NULL.
    """
    both = f"({filter_}) AND ({filter_string})" if filter_string else filter_
    page = session.client.search_model_versions(both, limit or 200_000, list(sort))
    print_versions(page, chosen(columns, USUAL_VERSION, VERSION_COLUMNS, "Versions"), form)
    _say_cut(page.token, limit, form)
    _say_absent(session)


@models.command(
    "show",
    short_help="Show MODEL: its stages, aliases and versions.",
    examples="""
    runstone models show churn
    runstone models show churn/3                one version; also churn@champion
    runstone models show churn --json
    """,
)
@click.argument("name", metavar="MODEL", type=MODEL)
@json_option
@pass_session
def show(session: Session, name: str, form: Form) -> None:
    """Show a model: what is said of it, its stages and aliases, and its versions; of MODEL/VERSION, that version."""
    from runstone.cli.pairs import part_version
    from runstone.registry.version import list_versions

    name, number = part_version(session, name)
    if number is not None:
        document = version_document(session.client.get_model_version(name, number))
        if form == "json":
            emit_json(document)
        else:
            emit_facts((key, value) for key, value in document.items() if value not in ({}, []))
        return
    model = session.client.get_registered_model(name)
    found = list_versions(session.workspace.repo, name)
    if form == "json":
        emit_json(model_document(model) | {"versions": [version_document(version) for version in found]})
        _say_absent(session, name)
        return
    created = model.creation_timestamp
    stages = sorted((each.current_stage, each.version) for each in found if each.current_stage != "None")
    emit_facts(
        [
            ("model", model.name),
            ("created", None if created is None else format_iso(created)),
            ("stages", ", ".join(f"{stage} → {number}" for stage, number in stages)),
            ("aliases", ", ".join(f"{alias} → {number}" for alias, number in sorted(model.aliases.items()))),
            ("owners", ", ".join(model.owners)),
            ("description", model.description),
        ]
    )
    if model.tags:
        heading("tags")
        emit_facts((f"  {key}", value) for key, value in sorted(model.tags.items()))
    heading("versions")
    print_versions(found, [name for name in USUAL_VERSION if name != "model"], "table")
    _say_absent(session, name)


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
        session.client.remove_alias(name, alias)
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
@click.argument("uri", type=VERSION_URI)
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@pass_session
def get(session: Session, uri: str, folder: Path) -> None:
    """Copy the files of a model version into DIR, each checked by the digest that its git tag vouches for.

    URI is `models:/NAME/VERSION`, `models:/NAME@ALIAS`, `NAME/VERSION`, `NAME@ALIAS`, `NAME` (the latest), or
    `runs:/RUN/PATH`.
    """
    from runstone.registry.resolve import resolve

    resolved = resolve(session.workspace, whole_uri(uri))
    is_file = [entry.path for entry in resolved.entries] == [resolved.path]
    strip = resolved.path.rpartition("/")[0] if is_file else resolved.path
    before = {path for path in (folder, *folder.rglob("*")) if path.exists()}
    try:
        session.workspace.artifacts.fetch(resolved.entries, folder, strip=strip)
    except BaseException:  # half a model is worse than none, also where somebody pressed ctrl-C
        _take_back(folder, before)
        raise
    click.echo(str(folder))


def _take_back(folder: Path, before: set[Path]) -> None:
    """Remove what was put into a folder, and the folder itself if it was not there before."""
    for path in sorted((folder, *folder.rglob("*")), reverse=True):
        if path not in before and path.exists():
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()


def _say_absent(session: Session, name: str | None = None) -> None:
    """Say, on standard error, that a list lacks versions whose git tags are not here."""
    from runstone.cli.advice import absent_versions
    from runstone.registry.model import find_key

    repo = session.workspace.repo
    absent = absent_versions(repo, None if name is None else find_key(repo, name))
    if absent is not None:
        hint(absent)


def _say_cut(token: str | None, limit: int | None, form: Form) -> None:
    if token is not None and form == "table":
        hint_more(limit)
