"""`runstone rollback`: who was in a stage before goes back into it."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from runstone.cli.command import command
from runstone.cli.output import Form, json_option
from runstone.cli.promote import BYPASS, STAGE, asking, change_options, say_outcome
from runstone.cli.session import ALIAS, MODEL, Session, pass_session

if TYPE_CHECKING:
    from runstone.promotion.proposals.propose import Options


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
@change_options
@json_option
@pass_session
def rollback(
    session: Session,
    name: str,
    stage: str | None,
    alias: str | None,
    to: str | None,
    message: str | None,
    bypass: str | None,
    make_options: "Callable[..., Options]",
    form: Form,
) -> None:
    """Put back into a stage of MODEL who was there before the present holders came, or point an alias back.

    It undoes the last change of that stage, as `git revert` does: a second rollback undoes the first. Who is displaced
    goes where the policy says (`previous`), else to Archived. It is proposed and reviewed like any promotion.
    """
    with asking() as tell:
        outcome = session.client.rollback(
            name, stage, alias=alias, to=to, message=message, bypass=bypass, options=make_options(progress=tell)
        )
    say_outcome(session, outcome, form)
