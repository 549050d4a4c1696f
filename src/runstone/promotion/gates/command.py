"""The gate that is a program of the project's own: started without a shell, in a checkout of the base commit, so that a
proposal cannot change its own judge.
"""

import os
import signal
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO

from runstone.git.process import clean_environment, run_git
from runstone.git.repository import Repository
from runstone.promotion.gates.protocol import Answer, Candidate, failed, passed, unknown
from runstone.records.document import Document

_LINES = 5
_LONGEST = 300


def command(candidate: Candidate, asks: Document) -> Answer:
    """`command`: the program ends with 0; 2 says that it cannot tell."""
    words: list[str] = asks["run"]
    told = f"`{' '.join(words)}`"
    with tempfile.TemporaryDirectory(prefix="runstone-gate-") as folder:
        tree = Path(folder, "tree")
        tree.mkdir()
        check_out(candidate.workspace.repo, candidate.base, tree, Path(folder, "index"))
        with Path(folder, "output").open("w+b") as output:
            try:
                code = _run(words, tree, _environment(candidate), output, asks["timeout"])
            except OSError as error:
                return unknown(f"{told} could not be started: {error.strerror or error}.")
            said = _last_lines(candidate, output)
    if code is None:
        return failed(f"{told} was ended after {asks['timeout']} s{said}")
    if code and candidate.workspace.repo.objects.entry(_tree(candidate), ".gitmodules") is not None:
        said = f"{said.removesuffix('.')}. Submodules are not checked out for it: their folders are empty."
    if code == 0:
        return passed(f"{told} ended with 0{said}")
    return (
        unknown(f"{told} cannot tell: it ended with 2{said}")
        if code == 2
        else failed(f"{told} ended with {code}{said}")
    )


def _tree(candidate: Candidate) -> str:
    return candidate.workspace.repo.objects.commit(candidate.base).tree


def check_out(repo: Repository, commit: str, folder: Path, index: Path) -> None:
    """Write the files of a commit into an empty folder, through an index of its own.

    Writes:
        The folder and the index; nothing in the repository.
    """
    options = [f"--git-dir={repo.git_dir}", f"--work-tree={folder}"]
    env = {"GIT_INDEX_FILE": str(index)}
    run_git([*options, "read-tree", commit], cwd=folder, env=env)
    run_git([*options, "checkout-index", "--all", "--quiet"], cwd=folder, env=env)


def _environment(candidate: Candidate) -> dict[str, str]:
    """What the program is told, on top of the environment. `GIT_DIR` and its kin, of a hook, would mislead its git."""
    repo, name = candidate.workspace.repo, candidate.state.name
    env = clean_environment() | {
        "RUNSTONE_MODEL": name,
        "RUNSTONE_VERSION": str(candidate.version.number),
        "RUNSTONE_MODEL_URI": f"models:/{name}/{candidate.version.number}",
        "RUNSTONE_REPO": str(repo.work_tree or repo.git_dir),
    }
    for key, value in (("RUNSTONE_STAGE", candidate.stage), ("RUNSTONE_ALIAS", candidate.alias)):
        env.pop(key, None)
        if value is not None:
            env[key] = value
    return env


def _run(words: list[str], cwd: Path, env: dict[str, str], output: IO[bytes], timeout_s: int) -> int | None:
    """Run a program and all that it starts; its exit code, or None if it took too long."""
    process = subprocess.Popen(
        words,
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=os.name == "posix",
    )
    try:
        return process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        return None
    finally:  # also what it left running, and also on Ctrl-C, which does not reach its group
        if os.name == "posix":
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
        elif process.poll() is None:
            process.kill()
        process.wait()


def _last_lines(candidate: Candidate, output: IO[bytes]) -> str:
    """How a program's last lines end a sentence; what looks secret in them is left out."""
    output.seek(max(0, output.seek(0, os.SEEK_END) - 8192))
    lines = [line.rstrip() for line in output.read().decode(errors="replace").splitlines() if line.strip()]
    text = " / ".join(line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…" for line in lines[-_LINES:])
    for secret in candidate.redactor.secrets((), {"output": text}):
        text = text.replace(secret, "[redacted]")
    return f", and said: {text}" if text else "."
