"""`runstone sync`, and its halves `push` and `pull`: share runs through git and DVC remotes."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from runstone.cli.command import command
from runstone.cli.output import clean, counted, emit_json, format_size, hint, json_option
from runstone.cli.session import REMOTE, Session, pass_session

if TYPE_CHECKING:
    from runstone.git.stream import Progress
    from runstone.tracking.sync import Synced

_QUICK_S = 0.2
"""Work that takes less is not worth a bar."""

_REMOTE = "Which git remote; else that of the branch, `origin`, or the only one."
_ALONE = "Share the records without their artifacts, which others then cannot get."


def _options(function: Callable[..., Any]) -> Callable[..., Any]:
    function = json_option(function)
    function = click.option("-q", "--quiet", is_flag=True, help="Print nothing where all is well.")(function)
    return click.option("-r", "--remote", type=REMOTE, metavar="NAME", help=_REMOTE)(function)


@command(
    "sync",
    examples="""
    runstone sync                  send what is new, and bring what others have sent
    runstone sync -r backup        with another git remote
    runstone sync --no-artifacts   the records alone, where there is no DVC remote
    """,
)
@_options
@click.option("--no-artifacts", is_flag=True, help=_ALONE)
@click.option("--auto", is_flag=True, hidden=True, help="As the process that `push: auto` begins.")
@pass_session
def sync(session: Session, remote: str | None, quiet: bool, form: str, no_artifacts: bool, auto: bool) -> None:
    """Share runs: artifacts first, then the branch of runs, then the git tags of model versions, then the notes of who
    approved what.

    Others' runs come in the same step, and yours go on top of them; nothing is overwritten, on neither side. It may be
    cut short at any time: the next one goes on.
    """
    if auto:
        from runstone.tracking.autosync import work

        done = work(session.workspace)
        if done is not None:
            _tell(done, "json", quiet=False)
        return
    _tell(_exchange(session, remote=remote, artifacts=not no_artifacts), form, quiet=quiet)


@command(
    "push",
    examples="""
    runstone push
    runstone push -r backup
    """,
)
@_options
@click.option("--no-artifacts", is_flag=True, help=_ALONE)
@pass_session
def push(session: Session, remote: str | None, quiet: bool, form: str, no_artifacts: bool) -> None:
    """Send runs with their artifacts and model versions: `sync`, but others' model versions do not come.

    Others' runs do, as a push can only go on top of them.
    """
    _tell(_exchange(session, remote=remote, artifacts=not no_artifacts, receive=False), form, quiet=quiet)


@command(
    "pull",
    examples="""
    runstone pull
    runstone pull --artifacts      with all that the new runs have kept
    """,
)
@_options
@click.option("--artifacts", is_flag=True, help="Bring the artifacts of the runs that came, too.")
@pass_session
def pull(session: Session, remote: str | None, quiet: bool, form: str, artifacts: bool) -> None:
    """Bring the runs, model versions and notes of approvals of others; yours go on top of them, and nothing is sent.

    Artifacts come when they are used; see also `runstone artifacts pull`.
    """
    done = _exchange(session, remote=remote, send=False)
    if artifacts and done.runs_received:
        from runstone.cli.session import progress
        from runstone.tracking.push import pull_runs

        with progress("artifacts") as tell:
            moved = pull_runs(session.workspace, done.runs_received, progress=tell)
        done.objects_received, done.size_received = moved.count, moved.size
    _tell(done, form, quiet=quiet)


def _exchange(session: Session, **options: Any) -> "Synced":
    from runstone.tracking.sync import sync

    try:
        with _bars() as tell:
            done = sync(session.workspace, progress=tell, **options)
    except KeyboardInterrupt:
        hint("Nothing is lost: the next `runstone sync` goes on from here.")
        raise
    if done.runs_received:
        _tell_of_checked_out_runs(session)
    return done


def _tell_of_checked_out_runs(session: Session) -> None:
    """The branch moves on below a work tree that has it checked out, where a commit would then undo what came."""
    from shlex import quote

    from runstone.git.transport import list_worktrees

    repo = session.workspace.repo
    for tree in list_worktrees(repo):
        if tree.branch == repo.runs_ref:
            step = f"git -C {quote(str(tree.path))} checkout --detach"
            hint(
                f"`{repo.config.branch}` is checked out in {tree.path}, where what came looks deleted: commit nothing "
                f"there, and let go of it: `{step}`"
            )


def _tell(done: "Synced", form: str, *, quiet: bool) -> None:
    for note in done.notes:
        hint(note)
    for text in done.lost:
        click.secho("warning: ", fg="yellow", nl=False, err=True)
        click.echo(clean(text), err=True)
    for name in done.diverged:
        click.secho("error: ", fg="red", nl=False, err=True)
        click.echo(clean(_explain(done, name)), err=True)
    if form == "json":
        emit_json(asdict(done))
    elif not quiet:
        click.echo(clean(_summary(done)))
        if done.remote is None:
            hint("There is no git remote to share runs through. Add one: `git remote add origin URL`")
        if done.left_out:
            hint("Others cannot get those artifacts. Once there is a DVC remote: `runstone artifacts push --all`")
    if done.diverged:
        click.get_current_context().exit(1)


def _explain(done: "Synced", name: str) -> str:
    """What to do about a version that the remote has otherwise."""
    from shlex import quote

    kept = f"refs/runstone/remote-tags/{done.remote}/{name}"
    said = (
        f"The model version `{name}` is one thing here and another on `{done.remote}`; both were kept. Compare them: "
        f"`git show '{name}' '{kept}'`. "
    )
    if name in done.moved:
        step = f"`git push --force {quote(done.remote or '')} {quote(f'refs/tags/{name}')}`"
        return (
            f"{said}The one here is the one that was promoted, or that `{done.remote}` had: tell whoever keeps it, who "
            f"can put it back: {step}"
        )
    return f"{said}Give yours the next number: `runstone doctor --fix`, then `runstone sync`"


def _summary(done: "Synced") -> str:
    parts = []
    size = f"{counted(done.objects, 'object')}, {format_size(done.size)}"
    if done.runs_sent:
        parts.append(f"{counted(len(done.runs_sent), 'run')} sent" + (f" ({size})" if done.objects else ""))
    elif done.changes_sent:
        parts.append(f"{counted(done.changes_sent, 'change')} sent" + (f" ({size})" if done.objects else ""))
    elif done.objects:
        parts.append(f"{size}, sent")
    if done.left_out:
        parts.append(f"without the artifacts of {counted(len(done.left_out), 'run')}")
    if done.runs_received:
        came = f"{counted(done.objects_received, 'object')}, {format_size(done.size_received)}"
        parts.append(
            f"{counted(len(done.runs_received), 'run')} received" + (f" ({came})" if done.objects_received else "")
        )
    for names, verb in ((done.versions_sent, "sent"), (done.versions_received, "received")):
        if names:
            parts.append(f"{counted(len(names), 'model version')} {verb}")
    for number, verb in ((done.approvals_sent, "sent"), (done.approvals_received, "received")):
        if number:
            parts.append(f"{counted(number, 'approval note')} {verb}")
    if done.remote is None:
        return f"the DVC remote has all artifacts: {', '.join(parts)}" if parts else "the DVC remote has all artifacts"
    return f"synced with {done.remote}: {', '.join(parts)}" if parts else f"in sync with {done.remote}"


@contextmanager
def _bars() -> "Iterator[Progress | None]":
    """A bar on standard error for each kind of work that takes a while; none where it is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    shown: dict[str, Any] = {}
    begun: dict[str, float] = {}
    with ExitStack() as stack:

        def tell(label: str, done: int, total: int) -> None:
            if time.monotonic() - begun.setdefault(label, time.monotonic()) < _QUICK_S:
                return
            if label not in shown:
                stack.close()
                shown.clear()
                shown[label] = stack.enter_context(click.progressbar(length=total, label=clean(label), file=sys.stderr))
            shown[label].length = total
            shown[label].update(done - shown[label].pos)

        yield tell
