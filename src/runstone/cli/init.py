"""`runstone init`: set a repository up."""

import click

from runstone.cli.command import command
from runstone.cli.output import clean, hint
from runstone.cli.session import Session, pass_session


@command(
    "init",
    examples="""
    runstone init                                    begin the branch of runs; nothing else is needed
    runstone init --remote s3://bucket/runs          where artifacts are pushed to
    runstone init --remote ../store --local          where this clone finds it, if its URL leads elsewhere here
    runstone init --push auto                        sync by itself when a run ends
    runstone init --review                           stages and aliases move by pull request
    """,
)
@click.option("--push", type=click.Choice(["auto", "manual"]), help="Whether runs are synced when one ends.")
@click.option("--branch", metavar="NAME", help="The branch that holds the runs.")
@click.option("--review", is_flag=True, help="Stages and aliases of models move by reviewed commits only.")
@click.option("--remote", metavar="URL", help="Where artifacts are pushed to: a folder or a URL that DVC knows.")
@click.option("--local", is_flag=True, help="With --remote: in this clone alone, instead of what the others use.")
@pass_session
def init(session: Session, push: str | None, branch: str | None, review: bool, remote: str | None, local: bool) -> None:
    """Set up this repository for tracking. Repeating it is safe, and none of it is needed to begin.

    Options are written to runstone.yaml, which is made only where one differs from what holds already; the remote goes
    to .dvc/config on the branch of runs. The work tree is left alone otherwise.
    """
    from runstone.client import repository_path
    from runstone.tracking.setup import begin, is_relative, set_local_remote

    if local and remote is None:
        raise click.UsageError("--local is for --remote.")
    settings = {"push": push, "branch": branch, "promotion": "review" if review else None}
    done = begin(
        repository_path(session.path), {k: v for k, v in settings.items() if v is not None}, None if local else remote
    )
    name = done.repo.config.branch
    if done.settings_written:
        click.echo("wrote runstone.yaml")
    click.echo(f"began the branch {name}" if done.branch_begun else f"the branch {name} is there")
    if done.remote_written:
        click.echo("wrote the remote to .dvc/config on it")
    if local and remote is not None:
        click.echo(f"wrote the remote for this clone alone to {clean(str(set_local_remote(done.repo, remote)))}")
    elif remote is not None and is_relative(remote):
        hint("Its path is meant relative to each clone; one elsewhere says: `runstone init --local --remote PATH`")
    if done.settings_written:
        hint("Keep the settings: `git add runstone.yaml && git commit -m 'Set up Runstone'`")
    if done.branch_begun or done.remote_written:
        session.say_share()
    hint("Track: `import runstone`, or from a shell: `runstone log -p lr=0.1 -m loss=0.4`")
