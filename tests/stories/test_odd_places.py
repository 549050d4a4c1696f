"""Wherever git can be, one whole small workload is tracked and read back, and nothing of the user's changes.

Source: the list "Bad input and faults" of the report these tests answer to, and DESIGN, section 3, "Odd places".
"""

import json
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import runstone
from runstone.cli import main
from runstone.client import Client
from tests.support import git, make_repository, run_python

SCRIPT = Path(__file__).parent / "everything.py"

_OURS = re.compile(r"(^|/)(runstone|objects)/|(^|/)(logs/)?refs/heads/(runs|tracking)$")
"""Below a git directory, what tracking may write: its own state, objects, the branch of runs with its reflog."""


@dataclass(frozen=True)
class Place:
    """A repository that is odd in one way.

    Attributes:
        cwd: The folder the user works in.
        main_at: The work tree that has the default branch checked out, if one has.
        is_sparse: Whether that has folders left out, the registry among them.
        env: Variables of the user's environment.
        git_env: Variables that lead git itself to the repository where `env` leads it elsewhere.
        is_bare: Whether there is no work tree.
        branch: Where the runs are kept.
    """

    cwd: Path
    main_at: Path | None
    env: Mapping[str, str] = field(default_factory=dict)
    git_env: Mapping[str, str] = field(default_factory=dict)
    is_bare: bool = False
    is_sparse: bool = False
    branch: str = "runs"

    def git(self, *arguments: str, check: bool = True) -> str:
        """Run git here and return what it printed."""
        return git(*arguments, cwd=self.cwd, check=check, env=self.git_env)


def git_variables(path: Path) -> dict[str, str]:
    """What git sets in the environment of a hook."""
    return {"GIT_DIR": f"{path}/.git", "GIT_WORK_TREE": str(path), "GIT_INDEX_FILE": f"{path}/.git/index"}


def dirty(world: Path) -> Place:
    """A staged file, an edited one, a removed one, and one that git does not know."""
    path = make_repository(world / "dirty")
    (path / "gone").write_text("0")
    git("add", "gone", cwd=path)
    git("commit", "-q", "-m", "More", cwd=path)
    (path / "gone").unlink()
    (path / "staged").write_text("1")
    git("add", "staged", cwd=path)
    (path / "train.py").write_text("edited")
    (path / "unknown").write_text("2")
    return Place(path, path)


def below(world: Path) -> Place:
    """A folder below the top."""
    path = make_repository(world / "top")
    (path / "src" / "deep").mkdir(parents=True)
    return Place(path / "src" / "deep", path)


def bare(world: Path) -> Place:
    """A bare repository."""
    git("clone", "-q", "--bare", make_repository(world / "origin"), world / "bare.git", cwd=world)
    return Place(world / "bare.git", None, is_bare=True)


def no_commit(world: Path) -> Place:
    """No commit yet."""
    return Place(world / "empty", make_repository(world / "empty", commit=False))


def detached(world: Path) -> Place:
    """A detached HEAD, as CI jobs have."""
    path = make_repository(world / "detached")
    git("checkout", "-q", "--detach", cwd=path)
    return Place(path, None)


def shallow(world: Path) -> Place:
    """A clone of depth 1, with a detached HEAD and no local branch."""
    origin = make_repository(world / "origin")
    git("commit", "-q", "--allow-empty", "-m", "second", cwd=origin)
    git("clone", "-q", "--depth", "1", f"file://{origin}", world / "shallow", cwd=world)
    git("checkout", "-q", "--detach", cwd=world / "shallow")
    git("branch", "-q", "-D", "main", cwd=world / "shallow")
    return Place(world / "shallow", None)


def partial(world: Path) -> Place:
    """A clone without the blobs of old commits, with a sparse checkout."""
    origin = make_repository(world / "origin")
    git("config", "uploadpack.allowFilter", "true", cwd=origin)
    git("clone", "-q", "--filter=blob:none", "--sparse", f"file://{origin}", world / "partial", cwd=world)
    return Place(world / "partial", world / "partial", is_sparse=True)


def linked(world: Path) -> Place:
    """A linked work tree; the default branch is checked out in the main one."""
    git("worktree", "add", "-q", world / "linked", cwd=make_repository(world / "origin"))
    return Place(world / "linked", world / "origin")


def submodule(world: Path) -> Place:
    """A submodule."""
    outer, inner = make_repository(world / "outer"), make_repository(world / "inner")
    git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", inner, "sub", cwd=outer)
    return Place(outer / "sub", outer / "sub")


def sha256(world: Path) -> Place:
    """Objects named by SHA-256."""
    git("init", "-q", "-b", "main", "--object-format=sha256", world / "sha256", cwd=world)
    git("-c", "user.name=a", "-c", "user.email=b", "commit", "-q", "--allow-empty", "-m", "x", cwd=world / "sha256")
    return Place(world / "sha256", world / "sha256")


def nameless(world: Path) -> Place:
    """No user.name anywhere, and git told not to guess one."""
    path = make_repository(world / "nameless")
    git("config", "--remove-section", "user", cwd=path)
    git("config", "user.useConfigOnly", "true", cwd=path)
    return Place(path, path)


def signing(world: Path) -> Place:
    """Commits and tags are to be signed, which is asked of those of the registry, and not of those of runs."""
    path = make_repository(world / "signing")
    for key in ("commit.gpgsign", "tag.gpgsign", "tag.forceSignAnnotated"):
        git("config", key, "true", cwd=path)
    key_file = world / "signing-key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key_file], check=True)
    git("config", "gpg.format", "ssh", cwd=path)
    git("config", "user.signingKey", key_file, cwd=path)
    return Place(path, path)


def autocrlf(world: Path) -> Place:
    """Line ends are converted, and git refuses what would not survive that."""
    path = make_repository(world / "crlf")
    git("config", "core.autocrlf", "true", cwd=path)
    git("config", "core.safecrlf", "true", cwd=path)
    (path / ".gitattributes").write_bytes(b"* text=auto eol=crlf\r\n")
    git("add", ".gitattributes", cwd=path)
    git("commit", "-q", "-m", "Windows", cwd=path)
    return Place(path, path)


def git_dir(world: Path) -> Place:
    """A hook of another repository runs the training, so git's variables name that one."""
    other = make_repository(world / "other")
    mine = make_repository(world / "mine")
    return Place(mine, mine, git_variables(other), git_variables(mine))


def git_dir_alone(world: Path) -> Place:
    """A folder outside any repository, with GIT_DIR and GIT_WORK_TREE naming one."""
    path = make_repository(world / "mine")
    (world / "elsewhere").mkdir()
    return Place(world / "elsewhere", path, git_variables(path))


def hooks(world: Path) -> Place:
    """Hooks that refuse every commit and push, and leave a trace."""
    path = make_repository(world / "hooks")
    for name in ("pre-commit", "commit-msg", "post-commit", "pre-push", "post-checkout"):
        hook = path / ".git" / "hooks" / name
        hook.write_text(f"#!/bin/sh\ntouch '{world}/{name} ran'\nexit 1\n")
        hook.chmod(0o755)
    return Place(path, path)


def odd_path(world: Path) -> Place:
    """A path with spaces, quotes, Unicode, an emoji, dots and a leading `-`."""
    folder = world / 'a b\'s "c"' / "été 🚀" / "...x" / "-q"
    folder.mkdir(parents=True)
    return Place(folder / "repo%20[1]", make_repository(folder / "repo%20[1]"))


def through_a_link(world: Path) -> Place:
    """A path that leads over a symbolic link."""
    (world / "link").symlink_to(make_repository(world / "real"), target_is_directory=True)
    return Place(world / "link", world / "real")


def packed(world: Path) -> Place:
    """Everything packed, refs too, and a tag, a file and a remote that are called `runs` as well."""
    path = make_repository(world / "packed")
    (path / "runs").write_text("a file")
    git("add", "runs", cwd=path)
    git("commit", "-q", "-m", "A file called runs", cwd=path)
    git("tag", "runs", cwd=path)
    git("remote", "add", "runs", world / "nowhere", cwd=path)
    git("gc", "--quiet", cwd=path)
    return Place(path, path)


def other_branch(world: Path) -> Place:
    """A branch `runs/x` stands in the way, so runs are kept on another branch."""
    path = make_repository(world / "blocked")
    git("branch", "runs/x", cwd=path)
    (path / "runstone.yaml").write_text("schema: runstone/config/v1\nbranch: tracking\n")
    return Place(path, path, branch="tracking")


PLACES: Sequence[Callable[[Path], Place]] = (
    dirty,
    below,
    bare,
    no_commit,
    detached,
    shallow,
    partial,
    linked,
    submodule,
    sha256,
    nameless,
    signing,
    autocrlf,
    git_dir,
    git_dir_alone,
    hooks,
    odd_path,
    through_a_link,
    packed,
    other_branch,
)


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """The folder in which all the user's repositories lie."""
    (tmp_path / "world").mkdir()
    return tmp_path / "world"


def everything_in(world: Path) -> dict[str, tuple[int, bytes]]:
    """Every file of the user's, in all repositories there: work trees, indexes, configuration, refs, reflogs."""
    found = {}
    for path in sorted(world.rglob("*")):
        relative = path.relative_to(world).as_posix()
        if not path.is_dir() and not _OURS.search(relative):
            found[relative] = (path.lstat().st_mode, path.read_bytes())
    return found


def cli(*arguments: str) -> str:
    """What `runstone` prints in the current folder; it must end with 0."""
    result = CliRunner().invoke(main, arguments)
    assert 0 == result.exit_code, f"{arguments}: {result.output}"
    return result.stdout


def cli_json(*arguments: str) -> Any:
    """The same, as JSON."""
    return json.loads(cli(*arguments, "--json"))


def check_sound(place: Place) -> None:
    """`git fsck --strict` has nothing to say, `doctor` finds no failure, and every record meets its schema."""
    assert "" == place.git("fsck", "--strict", "--no-dangling", "--no-progress")
    assert [] == [found for found in cli_json("doctor") if found["state"] == "fail"]
    assert [] == cli_json("validate", "--runs")["problems"]


def read_back(place: Place, outer: str, inner: str, out: Path) -> None:
    """Search, API, CLI and plain git tell the same of the two runs, and it is what was logged."""
    found = runstone.search_runs(
        experiment_names=["Odd places/été 🚀"], filter_string="metrics.loss < 0.2", output_format="list"
    )
    assert [inner] == [run.info.run_id for run in found]
    run, child = runstone.get_run(outer), runstone.get_run(inner)
    assert ["FINISHED", "FINISHED"] == [run.status, child.status]
    assert {"lr": 0.01, "deep": {"a": [1, None]}, "text": "line\r\nline\n"} == run.params
    assert [1.0, 0.5, 1 / 3] == [point.value for point in runstone.get_metric_history(outer, "loss")]
    assert ({"team": "growth"}, outer) == (run.tags, child.parent)
    assert [("rows", "train")] == [(dataset.name, dataset.role) for dataset in run.datasets]
    assert ["model"] == [model.path for model in child.models]
    head = (not place.is_bare and place.git("rev-parse", "--verify", "-q", "HEAD", check=False)) or None
    assert [head, head] == [run.source.commit, child.source.commit]

    client = Client()
    assert "Why\r\nnot" == client.get_note(outer)
    out.mkdir()
    client.download_artifacts(outer, dst_path=out)
    files = {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert {"log/out.txt": b"one\r\ntwo\n", "plots/été 1.svg": b"<svg/>\r\n"} == files

    assert {outer, inner} == {row["id"] for row in cli_json("runs", "list")}
    assert [outer] == [row["id"] for row in cli_json("runs", "search", "params.lr = 0.01 AND tags.team = 'growth'")]
    assert (outer, 3) == (
        cli_json("runs", "show", "outer")["id"],
        cli_json("runs", "show", outer[:-1])["metrics"]["loss"]["count"],
    )
    assert ["model/MLmodel", "model/weights.bin"] == [
        row["path"] for row in cli_json("artifacts", "list", inner, "model")
    ]
    recorded = f"refs/heads/{place.branch}"
    assert 2 == len(place.git("grep", "-l", "status: FINISHED", recorded, "--", ":/").splitlines())
    assert "" == place.git("grep", "-F", str(place.cwd), recorded, "--", ":/", check=False), "no absolute path"


def register(inner: str, out: Path) -> None:
    """Make the model a version and point an alias at it; both lead back to the bytes that were logged."""
    assert "models:/odd/1\n" == cli("models", "register", "odd", f"{inner}/model")
    assert "odd@champion is version 1\n" == cli("models", "alias", "odd", "champion", "1")
    version = Client().get_model_version_by_alias("odd", "champion")
    assert (1, inner, ("champion",)) == (version.version, version.run_id, version.aliases)
    cli("models", "get", "odd@champion", str(out))
    assert [bytes(range(256))] == [path.read_bytes() for path in out.rglob("weights.bin")]


@pytest.mark.parametrize("make", PLACES, ids=lambda make: make.__name__)
def test_a_whole_workload(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], Place]
) -> None:
    """Tracked by a script, read by search, API, CLI and git, then registered; nothing of the user's changes by a byte.

    Only the alias does: it is one file on the default branch, and in the work tree that has this checked out. A sparse
    one has it in its index alone, as what `git pull` brings of a folder that is left out there.
    """
    place = make(world)
    monkeypatch.chdir(place.cwd)
    for name, value in place.env.items():
        monkeypatch.setenv(name, value)
    before = everything_in(world)

    outer, inner = run_python(SCRIPT, cwd=place.cwd).stdout.split()
    assert before == everything_in(world)
    read_back(place, outer, inner, tmp_path / "out")
    check_sound(place)
    assert before == everything_in(world)

    status = "" if place.is_bare else place.git("status", "--porcelain")
    register(inner, tmp_path / "model")
    check_sound(place)
    assert status == ("" if place.is_bare else place.git("status", "--porcelain"))
    after = everything_in(world)
    changed = {name for name in after.keys() | before.keys() if after.get(name) != before.get(name)}
    alias = "registry/odd/aliases/champion.yaml"
    expected = set()
    if place.is_sparse:
        assert f"S {alias}" == place.git("ls-files", "-t", "--", alias)
    elif place.main_at is not None:
        expected = {(place.main_at / alias).relative_to(world).as_posix()}
    assert expected == {name for name in changed if ".git/" not in name}
