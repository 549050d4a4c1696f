"""What the tests of git storage share: runs written straight to journals, and a look at what git holds."""

import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from runstone.git.repository import Repository
from runstone.git.runs import journal, layout
from runstone.git.runs.branch import Recorded, read_runs
from runstone.git.runs.commit import drain
from runstone.git.runs.journal import Writer
from tests.support import SOURCE, git, make_repository, run_python

STARTED = 1_767_225_600_000
FULL = bool(os.environ.get("RUNSTONE_TEST_FULL"))
"""Whether the slow tests run at full length."""


class NoArtifacts:
    """The shelf of runs that keep no artifacts."""

    def pointer(self, base: bytes | None, artifacts: Sequence[Sequence[Any]]) -> str | None:
        """There are none."""
        return None

    def remote_config(self) -> str | None:
        """There is no remote."""
        return None


SHELF = NoArtifacts()


def begin(repo: Repository, run_id: str, role: str = journal.START, **about: Any) -> Writer:
    """Begin a run's journal as tracking does."""
    header = {"role": role, "name": run_id, "experiment": "Default", "experiment_id": "default", "started": STARTED}
    return Writer(repo, run_id, {**header, "user": "kim", "parent": None, **about})


def finish(writer: Writer, status: str = "FINISHED") -> Path:
    """End a run's journal, or leave it if it was joined."""
    if writer.role == journal.JOIN:
        return writer.finish(journal.LEAVE, None)
    return writer.finish(journal.END, {"status": status, "ended": STARTED + 5000})


def record(repo: Repository, run_id: str, value: float = 0.5) -> Recorded:
    """Record a whole run with one metric."""
    writer = begin(repo, run_id)
    writer.metric("loss", value, STARTED, 0)
    finish(writer)
    drain(repo, SHELF)
    return recorded(repo, run_id)


def recorded(repo: Repository, run_id: str) -> Recorded:
    """A run as the branch holds it; fails if it does not."""
    found = read_runs(repo).run(layout.run_folder("default", STARTED, run_id))
    assert found is not None, f"{run_id} is not recorded"
    return found


def values(run: Recorded) -> list[float]:
    """The values of all points of a run, in order."""
    return [float(line.split("\t")[3]) for line in run.files[layout.METRICS].decode().split("\n")[2:-1]]


def journals(repo: Repository) -> list[str]:
    """The states of the journals that are left, but for those that never got their name."""
    return sorted(path.suffix for path in (repo.state_dir / "journal").glob("*.*") if path.suffix != ".new")


def check_clean(path: Path) -> None:
    """`git fsck --strict` has nothing to say, not even of dangling objects' insides."""
    assert "" == git("fsck", "--strict", "--no-dangling", "--no-progress", cwd=path)


def leave_another_boot(repo: Repository) -> list[Path]:
    """Make the log of objects look as if the machine had been started anew since; returns its files."""
    made = []
    for path in sorted(repo.object_log.folder.iterdir()):
        host = path.name.partition("-")[0]
        made.append(path.rename(path.with_name(f"{host}-00000000~{path.name.partition('~')[2]}")))
    return made


def log_moves(path: Path) -> list[Any]:
    """The moves that a file of the log of objects names."""
    moves: list[Any] = json.loads(path.read_bytes().partition(b"\n")[0])["moves"]
    return moves


_AS_NOBODY = """
import os, sys, warnings
from pathlib import Path
from runstone.git.repository import Repository
from tests.git.support import begin, finish, journals, record, recorded
record(Repository.open(sys.argv[2]), "warm")  # all that is imported late: `nobody` may not be able to read it
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
repo = Repository.open(sys.argv[1])
"""


@contextmanager
def public_repository() -> Iterator[Path]:
    """A repository that every user of this machine can reach, which those of `tmp_path` are not."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield make_repository(Path(folder).resolve() / "repo")


def run_as_other(code: str, path: Path, home: Path) -> list[str]:
    """Run code with `repo` as a user who may not write what root owns; whoever is not root stays who they are.

    Returns:
        The lines it printed.
    """
    warm = make_repository(home / "warm")
    cache = path.parent / "cache"
    cache.mkdir(mode=0o777)
    cache.chmod(0o777)
    settings = path.parent / "gitconfig"
    settings.write_text("[safe]\n\tdirectory = *\n")
    done = run_python(
        _AS_NOBODY + code,
        str(path),
        str(warm),
        cwd=SOURCE.parent,
        env={
            "HOME": str(cache),
            "XDG_CACHE_HOME": str(cache),
            "GIT_CONFIG_GLOBAL": str(settings),
            "PYTHONPATH": f"{SOURCE}{os.pathsep}{SOURCE.parent}",
        },
    )
    assert "" == done.stderr
    return done.stdout.splitlines()
