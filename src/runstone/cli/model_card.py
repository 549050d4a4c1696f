"""`runstone models card`: the model card, filled from the run that made a version."""

import click

from runstone.cli.command import command
from runstone.cli.model_edits import PROPOSE, WHY, propose_edit, say_share
from runstone.cli.output import hint
from runstone.cli.session import MODEL, Session, pass_session


@command(
    "card",
    short_help="Print or write the model card of MODEL.",
    examples="""
    runstone models card churn                       what it would be, filled anew
    runstone models card churn --version 3 --write   commit it
    runstone models card churn --raw                 as it stands
    """,
)
@click.argument("name", metavar="MODEL", type=MODEL)
@click.option(
    "--version", "number", type=click.IntRange(min=1), metavar="N", help="Tell of this version, not the latest."
)
@click.option("--write", is_flag=True, help="Commit it to the default branch.")
@PROPOSE
@WHY
@click.option("--raw", is_flag=True, help="As it stands in the registry, with nothing filled in.")
@pass_session
def card(
    session: Session, name: str, number: int | None, write: bool, propose: bool, why: str | None, raw: bool
) -> None:
    """Print the model card of MODEL with its generated parts filled anew, or commit it: registry/MODEL/README.md.

    What people wrote is kept: only the front matter's own keys and what stands between the `runstone:` markers is
    replaced.
    """
    from runstone.registry.branch import registry_commit
    from runstone.registry.card import read_card
    from runstone.registry.card_fill import fill_card, write_card
    from runstone.registry.model import get_model

    if raw and (write or propose or number is not None):
        raise click.UsageError(
            "--raw shows the card as it stands: it goes with none of --write, --propose and --version."
        )
    workspace = session.workspace
    if propose:
        propose_edit(session, lambda: write_card(workspace, name, number), why)
    elif write:
        is_new = write_card(workspace, name, number) is not None
        click.echo(f"{'wrote' if is_new else 'unchanged:'} the card of {name}")
        if is_new:
            say_share(session)
    elif raw:
        text = read_card(workspace.repo, registry_commit(workspace.repo), get_model(workspace.repo, name).key)
        if text is None:
            raise click.ClickException(f"{name} has no card. Write one: `runstone models card {name} --write`")
        click.echo(_safe(text), nl=False)
    else:
        click.echo(_safe(fill_card(workspace, name, number)), nl=False)
        hint("Commit it: add `--write`; or have it reviewed: `--propose`")


def _safe(text: str) -> str:
    """A card as a terminal may show it: lines stay, other control characters are escaped."""
    from runstone.tracking.shown import clean

    return clean(text, keep="\n\t")
