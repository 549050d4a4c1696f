"""`runstone init`: set a repository up."""

from typing import TYPE_CHECKING

import click

from runstone.cli.command import command
from runstone.cli.output import clean, hint
from runstone.cli.session import Session, pass_session

if TYPE_CHECKING:
    from runstone.git.repository import Repository
    from runstone.promotion.ci.templates import System


@command(
    "init",
    examples="""
    runstone init                                    begin the branch of runs; nothing else is needed
    runstone init --remote s3://bucket/runs          where artifacts are pushed to
    runstone init --remote ../store --local          where this clone finds it, if its URL leads elsewhere here
    runstone init --push auto                        sync by itself when a run ends
    runstone init --review                           stages and aliases move by pull request
    runstone init --review --ci github --codeowners  and the workflows that check and register
    runstone init --guard                            in a bare repository: refuse what was not reviewed
    """,
)
@click.option("--push", type=click.Choice(["auto", "manual"]), help="Whether runs are synced when one ends.")
@click.option("--branch", metavar="NAME", help="The branch that holds the runs.")
@click.option("--review", is_flag=True, help="Stages and aliases of models move by reviewed commits only.")
@click.option("--remote", metavar="URL", help="Where artifacts are pushed to: a folder or a URL that DVC knows.")
@click.option("--local", is_flag=True, help="With --remote: in this clone alone, instead of what the others use.")
@click.option("--ci", type=click.Choice(["github", "gitlab", "jenkins"]), help="Write the files of this CI system.")
@click.option("--codeowners", is_flag=True, help="Write CODEOWNERS from the owners in registry/*/model.yaml.")
@click.option("--guard", is_flag=True, help="In a bare repository: install the pre-receive hook.")
@click.option("--force", is_flag=True, help="With --ci and --guard: write over files that differ.")
@pass_session
def init(
    session: Session,
    push: str | None,
    branch: str | None,
    review: bool,
    remote: str | None,
    local: bool,
    ci: "System | None",
    codeowners: bool,
    guard: bool,
    force: bool,
) -> None:
    """Set up this repository for tracking. Repeating it is safe, and none of it is needed to begin.

    Options are written to runstone.yaml, which is made only where one differs from what holds already; the remote goes
    to .dvc/config on the branch of runs; --ci and --codeowners write files to commit, and never over one that differs.
    The work tree is left alone otherwise.
    """
    from runstone.tracking.setup import begin, is_relative, set_local_remote
    from runstone.tracking.workspace import repository_path

    if local and remote is None:
        raise click.UsageError("--local is for --remote.")
    if force and ci is None and not guard:
        raise click.UsageError("--force is for --ci and --guard.")
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
    written = _write_files(done.repo, ci, codeowners=codeowners, guard=guard, force=force)
    if done.settings_written:
        hint("Keep the settings: `git add runstone.yaml && git commit -m 'Set up Runstone'`")
    if written:
        hint(f"Read them, then keep them: `git add {' '.join(written)} && git commit`")
    if done.branch_begun or done.remote_written:
        session.say_share()
    if remote is not None and not _has_dvc():
        hint("To send artifacts there, `dvc` is needed: `pip install 'runstone[dvc]'`")
    if done.repo.work_tree is not None:  # a bare one is where others push to
        hint("Track: `import runstone`, or from a shell: `runstone log -p lr=0.1 -m loss=0.4`")


def _has_dvc() -> bool:
    """Whether the library that artifacts are sent by is installed."""
    from importlib.util import find_spec

    return find_spec("dvc") is not None


def _write_files(repo: "Repository", ci: "System | None", *, codeowners: bool, guard: bool, force: bool) -> list[str]:
    """Write what was asked for and tell of each file; those to commit."""
    from runstone.errors import RunstoneError
    from runstone.promotion.ci.templates import write_ci, write_codeowners, write_guard

    files = write_ci(repo, ci, force=force) if ci is not None else []
    hooks = [write_guard(repo, force=force)] if guard else []
    why_none = None
    if codeowners:
        try:
            files.append(write_codeowners(repo, ci))
        except RunstoneError as error:
            if not files and not hooks:
                raise  # it was all that was asked for
            why_none = error
    for each in (*files, *hooks):
        if each.state == "differs":
            step = each.hint or "Compare, and to write over it: `--force`"
            click.echo(f"left {each.path} alone, which is there and differs. {step}")
        else:
            click.echo(f"{'wrote' if each.state == 'written' else 'as it should be:'} {each.path}")
    if why_none is not None:
        hint(f"CODEOWNERS was not written. {str(why_none).rstrip('.')}. Then: `runstone init --codeowners`")
    return [each.path for each in files if each.state == "written"]
