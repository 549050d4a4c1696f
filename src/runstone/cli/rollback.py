"""`runstone rollback`: who was in a stage before goes back into it."""

from typing import TYPE_CHECKING

import click

from runstone.cli.command import command
from runstone.cli.promote import BYPASS, STAGE, changing
from runstone.cli.session import ALIAS, MODEL, Session

if TYPE_CHECKING:
    from runstone.promotion.proposals.propose import Options, Outcome


@command(
    "rollback",
    short_help="Put back into a stage who was there before.",
    examples="""
    runstone rollback churn --stage Production
    runstone rollback churn --stage Production --to 3 --message "v4 times out"
    runstone rollback churn --alias champion
    """,
)
@click.argument("name", metavar="MODEL", type=MODEL)
@click.option("-s", "--stage", type=STAGE, help="The stage to restore.")
@click.option("-a", "--alias", type=ALIAS, help="The alias to point back.")
@click.option("--to", metavar="VERSION", help="The version to restore.  [default: who was there before]")
@BYPASS
@changing
def rollback(
    session: Session,
    name: str,
    stage: str | None,
    alias: str | None,
    to: str | None,
    message: str | None,
    bypass: str | None,
    options: "Options",
) -> "Outcome":
    """Put back into a stage of MODEL who was there before the present holders came, or point an alias back.

    It undoes the last change of that stage, as `git revert` does: a second rollback undoes the first. Who is displaced
    goes where the policy says (`previous`), else to Archived. It is proposed and reviewed like any promotion.
    """
    return session.client.rollback(name, stage, alias=alias, to=to, message=message, bypass=bypass, options=options)
