"""`runstone index`: the index that searches read. It mirrors git, and may be thrown away at any time."""

import click

from runstone.cli.command import group
from runstone.cli.output import counted, hint
from runstone.cli.session import Session, pass_session, progress


@group(
    "index",
    examples="""
    runstone index rebuild
    """,
)
def index() -> None:
    """The index that searches read: it mirrors git and keeps itself up to date."""


@index.command(
    "rebuild",
    examples="""
    runstone index rebuild
    """,
)
@pass_session
def rebuild(session: Session) -> None:
    """Throw the index away and read every record anew; always safe."""
    from runstone.index import cache

    with progress("index") as tell:
        count = cache.rebuild(session.repo, tell)
    click.echo(f"indexed {counted(count, 'run')}")
    broken = cache.broken(session.repo)
    if broken:
        hint(f"{counted(len(broken), 'record')} cannot be read. See them: `runstone validate --runs`")
