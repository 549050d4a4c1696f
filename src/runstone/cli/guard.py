"""`runstone guard`: what the pre-receive hook of a shared bare repository asks before it takes a push."""

import sys

import click

from runstone.cli.command import command
from runstone.cli.output import clean
from runstone.cli.session import Session, pass_session


@command(
    "guard",
    short_help="Refuse unreviewed changes in a pre-receive hook.",
    examples="""
    runstone guard                  in hooks/pre-receive of a bare repository: git hands it the push
    runstone guard < updates.txt    lines of `<old> <new> <ref>`, to see what it would say
    """,
)
@click.option("--allow-notes", is_flag=True, help="Take notes of approvals, where only a forge's job may push them.")
@pass_session
def guard(session: Session, allow_notes: bool) -> None:
    """Judge a push before a shared bare repository takes it.

    Reads lines of `<old> <new> <ref>`, as git hands them to a pre-receive hook. Refused are: changes of guarded stages,
    aliases and policies without the approvals that the policy on the branch asks for; version tags that move, go, skip
    a number, or are on no recorded run; and pushes that take back runs or reviewed changes.

    Exit codes: 0 let it in, 1 refuse it, 2 it cannot be judged.
    """
    from runstone.git.process import admit_quarantine
    from runstone.promotion.proof.guard import judge_push, parse_updates

    admit_quarantine()
    repo = session.workspace.repo
    refusals = judge_push(repo, parse_updates(repo, sys.stdin), allow_notes=allow_notes)
    for refusal in refusals:
        click.echo(f"refused {clean(refusal.ref)}: {clean(refusal.why)}", err=True)
    if refusals:
        raise click.exceptions.Exit(1)
