"""`runstone models create`, `describe`, `tag`, `rename`, `retire`, `delete` …: one commit or git tag each."""

import functools
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from runstone.cli.command import command
from runstone.cli.output import Form, clean, emit_json, json_option
from runstone.cli.promote import asking, changing, say_outcome
from runstone.cli.session import MODEL, Session, pass_session

if TYPE_CHECKING:
    from runstone.promotion.proposals.propose import Options, Outcome

_NUMBER = click.IntRange(min=1)
PROPOSE = click.option("--propose", is_flag=True, help="Have it reviewed, as where nobody may push the branch.")
WHY = click.option("-m", "--message", "why", metavar="WHY", help="With --propose: why; it stands in the commit.")
_VERSION = click.option("--version", "number", type=_NUMBER, metavar="N", help="Of this version, not of the model.")


def _of_model(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add what every edit of a model takes: its name; and tell, once it is made, how to share it.

    The function returns what was done, in words.
    """

    @click.argument("name", metavar="MODEL", type=MODEL)
    @PROPOSE
    @WHY
    @pass_session
    @functools.wraps(function)
    def with_model(session: Session, /, *, propose: bool, why: str | None, **given: Any) -> None:
        if given["number"] is None:
            from runstone.cli.pairs import part_version

            given["name"], given["number"] = part_version(session, given["name"])
        if propose:
            propose_edit(session, lambda: function(session, **given), why)
            return
        click.echo(clean(function(session, **given)))
        say_share(session)

    return with_model


def propose_edit(session: Session, edit: "Callable[[], object]", why: str | None, form: Form = "table") -> None:
    """Propose what an edit would commit, and tell so."""
    from runstone.promotion.proposals.propose import Options

    with asking() as tell:
        outcome = session.client.propose_edit(edit, message=why, options=Options(progress=tell))
    say_outcome(session, outcome, form)


def whole_uri(text: str) -> str:
    """`churn/3`, `churn@champion`, `churn` (the latest) or a URI → the URI."""
    if ":/" in text:
        return text
    name, _, last = text.rpartition("/")
    is_whole = "@" in text or (name and (last.isdigit() or last == "latest"))  # a model may be called 7
    return f"models:/{text}" if is_whole else f"models:/{text}/latest"


@command(
    "create",
    short_help="Make a model that has no version yet.",
    examples="""
    runstone models create churn --description "Who leaves, and when"
    runstone models create churn -t risk=low --owner kim@example.org --owner @growth
    """,
)
@click.argument("name", metavar="MODEL")
@click.option("--description", help="What it is for.")
@click.option("-t", "--tag", "tags", metavar="KEY=VALUE", multiple=True, help="A tag; may be repeated.")
@click.option("--owner", "owners", multiple=True, help="Who answers for it; may be repeated.")
@PROPOSE
@WHY
@json_option
@pass_session
def create(
    session: Session,
    name: str,
    description: str | None,
    tags: Sequence[str],
    owners: Sequence[str],
    propose: bool,
    why: str | None,
    form: Form,
) -> None:
    """Make a registered model: one commit on the default branch.

    Registering a version makes its model too, so this is for descriptions, tags and owners.
    """
    from runstone.cli.model_rows import model_document
    from runstone.cli.pairs import parse_pairs
    from runstone.registry.model_edits import create_model

    pairs = parse_pairs(tags)
    if propose:
        propose_edit(
            session, lambda: create_model(session.workspace, name, pairs, description, owners=owners), why, form
        )
        return
    model = create_model(session.workspace, name, pairs, description, owners=owners)
    if form == "json":
        emit_json({"done": "created", **model_document(model)})
    else:
        click.echo(model.name)
    say_share(session)


@command(
    "describe",
    short_help="Say what MODEL, or a version of it, is.",
    examples="""
    runstone models describe churn "Who leaves, and when"
    runstone models describe churn "Trained on March" --version 3
    runstone models describe churn ""                take the description away
    """,
)
@_of_model
@click.argument("text")
@_VERSION
def describe(session: Session, name: str, text: str, number: int | None) -> str:
    """Set the description of MODEL, or of MODEL/VERSION: one commit on the default branch."""
    if number is None:
        session.client.update_registered_model(name, text)
    else:
        session.client.update_model_version(name, number, text)
    return f"described {_shown(name, number)}"


@command(
    "owners",
    short_help="Say who answers for MODEL.",
    examples="""
    runstone models owners churn kim@example.org @growth
    runstone models owners churn                     who they are
    runstone models owners churn --delete            nobody
    """,
)
@click.argument("name", metavar="MODEL", type=MODEL)
@click.argument("owners", nargs=-1)
@click.option("--delete", is_flag=True, help="Remove all of them.")
@PROPOSE
@WHY
@pass_session
def owners(session: Session, name: str, owners: Sequence[str], delete: bool, propose: bool, why: str | None) -> None:
    """Set the owners of MODEL, in place of those it has: names, mail addresses, teams. With none, print them."""
    from runstone.registry.model_edits import set_owners

    if delete and owners:
        raise click.UsageError("Name the owners, or give --delete, not both.")
    if not owners and not delete:
        for owner in session.client.get_registered_model(name).owners:
            click.echo(clean(owner))
        return
    if propose:
        propose_edit(session, lambda: set_owners(session.workspace, name, owners), why)
        return
    set_owners(session.workspace, name, owners)
    click.echo(clean(f"{name} has {len(owners)} owner{'' if len(owners) == 1 else 's'}"))
    say_share(session)


@command(
    "tag",
    short_help="Set tags of MODEL, or of a version of it.",
    examples="""
    runstone models tag churn risk=low team=growth
    runstone models tag churn/3 validated=yes        also: churn, --version 3
    """,
)
@_of_model
@click.argument("tags", metavar="KEY=VALUE...", nargs=-1, required=True)
@_VERSION
def tag(session: Session, name: str, tags: Sequence[str], number: int | None) -> str:
    """Set tags of MODEL, or of MODEL/VERSION: one commit on the default branch."""
    from runstone.cli.pairs import parse_pairs
    from runstone.registry.model_edits import set_model_tags
    from runstone.registry.notes import set_version_tags

    pairs = parse_pairs(tags)
    if number is None:
        set_model_tags(session.workspace, name, pairs)
    else:
        set_version_tags(session.workspace, name, number, pairs)
    return f"tagged {_shown(name, number)}"


@command(
    "untag",
    short_help="Remove tags of MODEL, or of a version of it.",
    examples="""
    runstone models untag churn risk
    runstone models untag churn validated --version 3
    """,
)
@_of_model
@click.argument("keys", metavar="KEY...", nargs=-1, required=True)
@_VERSION
def untag(session: Session, name: str, keys: Sequence[str], number: int | None) -> str:
    """Remove tags of MODEL, or of MODEL/VERSION: one commit on the default branch."""
    from runstone.registry.model_edits import delete_model_tags
    from runstone.registry.notes import delete_version_tags

    if number is None:
        delete_model_tags(session.workspace, name, keys)
    else:
        delete_version_tags(session.workspace, name, number, keys)
    return f"untagged {_shown(name, number)}"


@command(
    "rename",
    short_help="Give MODEL another name.",
    examples="""
    runstone models rename churn attrition
    runstone models rename churn attrition --propose --message "As the business calls it"
    """,
)
@click.argument("name", metavar="MODEL", type=MODEL)
@click.argument("new_name", metavar="NAME")
@changing
def rename(session: Session, name: str, new_name: str, message: str | None, options: "Options") -> "Outcome":
    """Give MODEL another name. Its folder and its git tags keep the first one, and its history goes on.

    The old name means nothing more, and no other model can take it. Where the project reviews promotions, this opens a
    proposal.
    """
    return session.client.rename_model(name, new_name, message=message, options=options)


@command(
    "retire",
    short_help="Retire a version of MODEL.",
    examples="""
    runstone models retire churn 3 --reason "Trained on leaked labels"
    """,
)
@click.argument("name", metavar="MODEL", type=MODEL)
@click.argument("number", metavar="VERSION", type=_NUMBER)
@click.option("--reason", help="Why.")
@pass_session
def retire(session: Session, name: str, number: int, reason: str | None) -> None:
    """Retire a version: a further git tag. It is listed no more, and its number is never given again."""
    from runstone.registry.retire import retire_version

    version = retire_version(session.workspace, name, number, reason=reason)
    click.echo(f"retired {version.name} v{version.version}")
    session.say_share_tag(f"{version.key}@v{version.version}!")
    if version.aliases or version.current_stage != "None":  # it was taken from there by a commit
        say_share(session)


@command(
    "delete",
    short_help="Delete MODEL: retire its versions, remove its files.",
    examples="""
    runstone models delete churn
    runstone models delete churn --yes               do not ask
    """,
)
@click.argument("name", metavar="MODEL", type=MODEL)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@changing
def delete(session: Session, name: str, yes: bool, message: str | None, options: "Options") -> "Outcome":
    """Delete MODEL: all of its versions are retired, and its files go. All of it stays in the history of git.

    Where the project reviews promotions, this opens a proposal that removes the files. Once that is merged, the same
    command retires the versions.
    """
    from runstone.registry.version import list_numbers

    model = session.client.get_registered_model(name)
    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError("There is nobody here to ask. With --yes the model is deleted.")
        count = len(list_numbers(session.workspace.repo, name))
        versions = f"its {count} versions" if count != 1 else "its version"
        click.confirm(f"Delete {model.name}, and retire {versions}?" if count else f"Delete {model.name}?", abort=True)
    return session.client.delete_model(name, message=message, options=options)


@command(
    "copy",
    short_help="Make a version of one model the next of another.",
    examples="""
    runstone models copy churn-dev@champion churn
    runstone models copy models:/churn-dev/4 churn
    """,
)
@click.argument("source", metavar="VERSION_URI")
@click.argument("name", metavar="MODEL", type=MODEL)
@json_option
@pass_session
def copy(session: Session, source: str, name: str, form: Form) -> None:
    """Make a version of one model the next version of MODEL; prints `models:/MODEL/VERSION`. No bytes are copied.

    VERSION_URI is `models:/NAME/VERSION`, or as `runstone models get` takes it.
    """
    from runstone.cli.model_rows import version_document
    from runstone.registry.copy import copy_version
    from runstone.uris import ModelUri

    version = copy_version(session.workspace, whole_uri(source), name)
    made = str(ModelUri(version.name, version=version.version))
    if form == "json":
        emit_json({"uri": made, "done": "copied", **version_document(version)})
    else:
        click.echo(made)
    session.say_share_tag(f"{version.key}@v{version.version}")


EDITS = (create, describe, owners, tag, untag, rename, copy, retire, delete)


def _shown(name: str, number: int | None) -> str:
    return name if number is None else f"{name} v{number}"


def say_share(session: Session) -> None:
    """Tell how a commit on the default branch is shared, and what to do where that is protected."""
    from runstone.cli.output import hint
    from runstone.git.transport import find_remote
    from runstone.promotion.proposals.direct import reviews
    from runstone.registry.branch import default_branch

    repo = session.workspace.repo
    branch = default_branch(repo)
    session.say_share(branch)
    if find_remote(repo) is not None and reviews(repo):
        hint(f"Where `{branch}` takes no pushes from you, have such an edit reviewed: the same with `--propose`")
