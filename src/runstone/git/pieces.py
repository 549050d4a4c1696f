"""The output of a git process, piece by piece as it comes: for logs and patches that nobody wants to hold whole."""

import subprocess
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path

from runstone.errors import GitFailed, GitMissing
from runstone.git.process import clean_environment, nameless_file
from runstone.git.repository import Repository

_PIECE = 1 << 16

# Of the user's environment: how patches look is said by options, and no program of theirs is to run.
_UNWANTED = ("GIT_DIFF_OPTS", "GIT_EXTERNAL_DIFF")


def git_pieces(repo: Repository, arguments: Sequence[str], *, cwd: Path | None = None) -> Generator[bytes, None, None]:
    """Run git on a repository and give what it prints; git ends when the reader stops.

    Args:
        repo: The repository.
        arguments: The command line after `git`.
        cwd: Where it runs, which is what paths are relative to; the top of the work tree if None.

    Raises:
        GitFailed: It ended with another code than 0.
        GitMissing: There is no git on this machine.
    """
    options = [f"--git-dir={repo.git_dir}"]
    if repo.work_tree is not None:
        options.append(f"--work-tree={repo.work_tree}")
    env = {key: value for key, value in clean_environment().items() if key not in _UNWANTED}
    folder = cwd or repo.work_tree or repo.git_dir
    errors = nameless_file()
    with open(errors, "rb") as stderr:  # noqa: PTH123  # a descriptor, not a path
        try:
            process = subprocess.Popen(
                ["git", *options, *arguments],
                cwd=folder,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                bufsize=0,
            )
        except FileNotFoundError as error:
            if folder.is_dir():
                raise GitMissing() from error
            raise
        assert process.stdout is not None
        try:
            while piece := process.stdout.read(_PIECE):
                yield piece
        finally:
            process.stdout.close()  # of a git that has more to say, the next write fails, and it ends
            code = process.wait()
        if code:
            stderr.seek(0)
            raise GitFailed(arguments, code, stderr.read(_PIECE).decode(errors="replace"))


def split_pieces(pieces: Iterator[bytes], separator: bytes) -> Iterator[bytes]:
    """Cut a stream at a separator; what follows the last one is given too, unless it is empty."""
    rest = b""
    for piece in pieces:
        *whole, rest = (rest + piece).split(separator)
        yield from whole
    if rest:
        yield rest
