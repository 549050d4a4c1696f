"""Repositories of every odd shape are found for what they are."""

import os
from pathlib import Path

import pytest

from runstone.errors import GitFailed, NotARepository, UsageError
from runstone.git.repository import Repository, SettingUnknown
from runstone.git.runs.commit import drain
from tests.git.support import SHELF, begin, check_clean, finish, public_repository, record, recorded, run_as_other
from tests.support import git, make_repository


def test_open_from_below_and_inside(git_repo: Path) -> None:
    """From the top, a folder below, and `.git` itself, it is one repository."""
    (git_repo / "sub" / "deep").mkdir(parents=True)
    for start in (git_repo, git_repo / "sub" / "deep", git_repo / ".git", git_repo / ".git" / "refs"):
        repo = Repository.open(start)
        assert (git_repo / ".git", git_repo / ".git", git_repo) == (repo.git_dir, repo.common_dir, repo.work_tree)


def test_open_bare(bare_remote: Path) -> None:
    """A bare repository has no work tree, even if its folder is called `.git`."""
    assert Repository.open(bare_remote).work_tree is None
    moved = bare_remote.parent / "project" / ".git"
    moved.parent.mkdir()
    bare_remote.rename(moved)
    assert Repository.open(moved).work_tree is None


def test_open_linked_worktree(git_repo: Path, tmp_path: Path) -> None:
    """A linked work tree has a git directory of its own and shares the rest."""
    git("worktree", "add", "-q", tmp_path / "linked", cwd=git_repo)
    repo = Repository.open(tmp_path / "linked")
    assert git_repo / ".git" == repo.common_dir
    assert git_repo / ".git" / "worktrees" / "linked" == repo.git_dir
    assert tmp_path / "linked" == repo.work_tree
    record(repo, "from-linked")
    assert "from-linked" in git("log", "--format=%B", "runs", cwd=git_repo)


def test_open_submodule(git_repo: Path, tmp_path: Path) -> None:
    """In a submodule it is the submodule that is tracked, not what holds it."""
    outer = make_repository(tmp_path / "outer")
    git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", git_repo, "sub", cwd=outer)
    repo = Repository.open(outer / "sub")
    assert outer / ".git" / "modules" / "sub" == repo.git_dir
    record(repo, "in-submodule")
    assert "" == git("branch", "--list", "runs", cwd=outer)
    check_clean(outer / "sub")


def test_open_shallow_and_sha256(git_repo: Path, tmp_path: Path) -> None:
    """What git says of history and hashes is passed on."""
    git("commit", "-q", "--allow-empty", "-m", "second", cwd=git_repo)
    git("clone", "-q", "--depth", "1", f"file://{git_repo}", tmp_path / "shallow", cwd=tmp_path)
    assert Repository.open(tmp_path / "shallow").shallow
    assert not Repository.open(git_repo).shallow
    git("init", "-q", "--object-format=sha256", tmp_path / "long", cwd=tmp_path)
    assert "sha256" == Repository.open(tmp_path / "long").object_format


@pytest.mark.parametrize("name", ["two words", "line\nfeed", "ünï-😀", "-dash", 'it\'s "quoted" $HOME'])
def test_open_odd_path(tmp_path: Path, name: str) -> None:
    """Whatever a folder may be called, the repository in it is found and written."""
    path = make_repository(tmp_path / name)
    repo = Repository.open(path)
    assert (path, path / ".git") == (repo.work_tree, repo.common_dir)
    record(repo, "here")
    check_clean(path)


def test_open_line_feed_bare(tmp_path: Path) -> None:
    """A bare repository in a folder with a line feed has no work tree either."""
    git("init", "-q", "--bare", tmp_path / "a\nb", cwd=tmp_path)
    repo = Repository.open(tmp_path / "a\nb")
    assert (tmp_path / "a\nb", None) == (repo.git_dir, repo.work_tree)


def test_open_through_a_link(git_repo: Path, tmp_path: Path) -> None:
    """A path with symbolic links leads to the one state of the repository."""
    (tmp_path / "link").symlink_to(git_repo)
    assert Repository.open(git_repo).state_dir.resolve() == Repository.open(tmp_path / "link").state_dir.resolve()


def test_not_a_repository(tmp_path: Path) -> None:
    """The message says what to do."""
    with pytest.raises(NotARepository) as caught:
        Repository.open(tmp_path)
    text = f"{tmp_path} is not in a git repository. Make one there: `git init`; or work in one: `cd DIR`, `--repo DIR`."
    assert text == str(caught.value)


def test_git_dir_of_a_hook_does_not_hijack(git_repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """GIT_DIR and its kin, set by a hook of another repository, change nothing."""
    other = make_repository(tmp_path / "other")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git" / "index"))
    monkeypatch.setenv("GIT_OBJECT_DIRECTORY", str(other / ".git" / "objects"))
    monkeypatch.chdir(git_repo)
    repo = Repository.open()
    assert git_repo == repo.work_tree
    record(repo, "mine")
    monkeypatch.undo()
    assert "" == git("branch", "--list", "runs", cwd=other)
    check_clean(git_repo)
    check_clean(other)


def test_git_dir_where_nothing_else_is(git_repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside any repository GIT_DIR is heeded, as git would; a path that was named is not overruled by it."""
    (tmp_path / "outside").mkdir()
    monkeypatch.chdir(tmp_path / "outside")
    monkeypatch.setenv("GIT_DIR", str(git_repo / ".git"))
    assert git_repo / ".git" == Repository.open().git_dir
    with pytest.raises(NotARepository):
        Repository.open(tmp_path / "outside")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_foreign_owner_shows_gits_advice(git_repo: Path, isolated_home: Path) -> None:
    """Of a repository of somebody else git's own advice is shown, and nothing is configured behind the user's back."""
    before = (isolated_home / ".gitconfig").read_text()
    for path in (git_repo, git_repo / ".git"):
        os.chown(path, 12345, 12345)
    with pytest.raises(GitFailed, match=r"git config --global --add safe\.directory"):
        Repository.open(git_repo)
    assert before == (isolated_home / ".gitconfig").read_text()


@pytest.mark.parametrize(
    ("name", "mail", "expected"),
    [
        ("Kim <x> Example\n", " kim@example.org ", "Kim x Example <kim@example.org>"),
        ("...", "<>", "Runstone <runstone@localhost>"),
        ("Żółć 😀", "z@example.org", "Żółć 😀 <z@example.org>"),
        ('"Kim"', "kim@example.org,", "Kim <kim@example.org>"),
        ("\x07bell", "b@example.org", "bell <b@example.org>"),
    ],
)
def test_identity_fit_for_a_commit(
    git_repo: Path, monkeypatch: pytest.MonkeyPatch, name: str, mail: str, expected: str
) -> None:
    """Whatever a name holds, the commit is one that fsck accepts."""
    monkeypatch.setenv("GIT_AUTHOR_NAME", name)
    monkeypatch.setenv("GIT_AUTHOR_EMAIL", mail)
    repo = Repository.open(git_repo)
    assert expected == repo.identity("author").rsplit(" ", 2)[0]
    record(repo, "named")
    check_clean(git_repo)


def test_identity_without_any(empty_repo: Path) -> None:
    """Where git knows no name, a fallback is written."""
    git("config", "--unset", "user.name", cwd=empty_repo)
    git("config", "--unset", "user.email", cwd=empty_repo)
    repo = Repository.open(empty_repo)
    assert "Runstone <runstone@localhost>" == repo.identity().rsplit(" ", 2)[0]
    record(repo, "nameless")
    check_clean(empty_repo)


def test_signing_is_not_asked_for(git_repo: Path) -> None:
    """`commit.gpgsign` without a key stops `git commit`, and not a run."""
    git("config", "commit.gpgsign", "true", cwd=git_repo)
    git("config", "user.signingKey", "missing", cwd=git_repo)
    record(Repository.open(git_repo), "unsigned")
    check_clean(git_repo)


def test_cache_dir_named(git_repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """RUNSTONE_CACHE_DIR holds index and locks; one that cannot be made is told."""
    monkeypatch.setenv("RUNSTONE_CACHE_DIR", str(tmp_path / "cache"))
    assert tmp_path / "cache" == Repository.open(git_repo).cache_dir.parent
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RUNSTONE_CACHE_DIR", str(tmp_path / "file"))
    with pytest.raises(UsageError, match="Name a folder for the index and the locks: `RUNSTONE_CACHE_DIR=DIR`"):
        _ = Repository.open(git_repo).cache_dir


def test_read_only_checkout(tmp_path: Path) -> None:
    """A repository that may not be written can be read, and says plainly that it takes no run."""
    with public_repository() as path:
        record(Repository.open(path), "before")
        folders = [path, *(found for found in path.rglob("*") if found.is_dir())]
        for folder in folders:
            folder.chmod(0o555)
        printed = run_as_other(
            """
from runstone.errors import ReadOnlyRepository
print(recorded(repo, "before").run.status, repo.cache_dir != repo.state_dir)
for call in (lambda: begin(repo, "after"), lambda: repo.objects.write("blob", b"new")):
    try:
        call()
    except ReadOnlyRepository as error:
        print(error)
""",
            path,
            tmp_path,
        )
        for folder in folders:
            folder.chmod(0o755)
    advice = (
        "cannot be written (Permission denied), so nothing new can be tracked in it; reading works. "
        "Track in a clone: `git clone URL`, or name another repository: `--repo DIR`, RUNSTONE_REPO."
    )
    assert ["FINISHED True", f"{path / '.git'} {advice}", f"{path / '.git'} {advice}"] == printed


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be two users")
def test_journal_of_another_user_bars_nobody(tmp_path: Path) -> None:
    """A journal that waits and is another user's is left to its owner; one's own run is recorded beside it."""
    with public_repository() as path:
        git("config", "core.sharedRepository", "world", cwd=path)
        for found in [path / ".git", *(path / ".git").rglob("*")]:
            found.chmod(0o777 if found.is_dir() else 0o666)
        repo = Repository.open(path)
        record(repo, "first")
        waiting = finish(begin(repo, "of-root"))
        waiting.chmod(0o444)
        for found in (path / ".git").rglob("*"):
            if found.is_dir():
                found.chmod(0o777)
            elif "heads" in found.parts or "lock" in found.suffix:
                found.chmod(0o666)
        printed = run_as_other('print(record(repo, "of-nobody").run.status, journals(repo))', path, tmp_path)
        assert ["FINISHED ['.ended']"] == printed
        drain(repo, SHELF)
        assert "FINISHED" == recorded(repo, "of-root").run.status
        check_clean(path)


def test_a_setting_that_is_not_known_is_told(git_repo: Path) -> None:
    """A misspelt setting, or one in the wrong place, would else be passed over in silence."""
    (git_repo / "runstone.yaml").write_text("pusch: auto\nsnapshot: {require_clean: true}\n")
    told = "runstone.yaml sets `pusch`, `snapshot.require_clean`, which this Runstone does not know and does not heed."
    with pytest.warns(SettingUnknown) as caught:
        config = Repository.open(git_repo).config
    assert (False, "manual") == (config.require_clean, config.push)
    assert told == str(caught[0].message)
