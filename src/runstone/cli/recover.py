"""`runstone recover`: record the runs of processes that died."""

from collections.abc import Sequence

import click

from runstone.cli.command import command
from runstone.cli.output import hint
from runstone.cli.session import RUN, Session, pass_session


@command(
    "recover",
    examples="""
    runstone recover                          record what dead processes had logged
    runstone recover --force brave-otter-17   end a run whose process is on a machine that is gone
    """,
)
@click.option(
    "--force",
    "forced",
    metavar="RUN",
    type=RUN,
    multiple=True,
    help="End this run even if its process may live; may be repeated.",
)
@pass_session
def recover(session: Session, forced: Sequence[str]) -> None:
    """Record the runs of processes that died, with all they had logged, as FAILED; prints their ids.

    Other commands do this by themselves; only runs of other machines wait for --force.
    """
    for run_id in session.recovered(force=tuple(forced)):
        click.echo(run_id)
    still = session.live_runs()
    if still:
        hint(f"Still running, as far as can be known from here: {', '.join(still)}")
