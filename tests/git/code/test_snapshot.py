"""The code snapshot: the exact work tree as a commit, and nothing of the user's touched."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from runstone.git.code.leftout import LeftOut
from runstone.git.code.snapshot import Snapshot, take_snapshot
from runstone.git.repository import Repository
from runstone.records.config import SnapshotRules
from tests.git.support import check_clean, public_repository, run_as_other
from tests.support import git, make_repository

KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\n" + "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtz\n" * 4


def snap(folder: Path, rules: SnapshotRules | None = None) -> Snapshot:
    """The snapshot of a work tree."""
    repo = Repository.open(folder)
    try:
        return take_snapshot(repo, rules or SnapshotRules())
    finally:
        repo.close()


def files(folder: Path, commit: str | None) -> list[str]:
    """The paths that a commit holds."""
    assert commit is not None
    return git("-c", "core.quotePath=false", "ls-tree", "-r", "--name-only", commit, cwd=folder).splitlines()


def tree_of(folder: Path, commit: str | None) -> str:
    """The tree of a commit."""
    return git("rev-parse", f"{commit}^{{tree}}", cwd=folder)


def tree_by_git(folder: Path) -> str:
    """The tree that `git add -A` makes of a copy of the work tree."""
    copy = folder.with_name("copy by git")
    shutil.copytree(folder, copy, symlinks=True)
    git("-c", "core.safecrlf=false", "add", "-A", cwd=copy)
    return git("write-tree", cwd=copy)


def all_objects(folder: Path) -> str:
    """The content of every object of a repository, reachable or not."""
    command = ["git", "cat-file", "--batch-all-objects", "--batch", "--unordered"]
    return subprocess.run(command, cwd=folder, capture_output=True, check=True).stdout.decode("latin-1")


def state(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Every file of a work tree and of its git directory with its time, but for objects and Runstone's own."""
    found = {}
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and "/objects/" not in name and not name.startswith(".git/runstone/"):
            found[name] = (path.read_bytes(), path.lstat().st_mtime_ns)
    return found


def fill(folder: Path) -> None:
    """Commit some more files."""
    for name in ("a.py", "b.py", "pkg/x.py", "pkg/y.py", "sub/deep/z.py"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"# {name}\n")
    git("add", "-A", cwd=folder)
    git("commit", "-q", "-m", "More", cwd=folder)


def _edit(folder: Path) -> None:
    (folder / "a.py").write_text("edited\n")
    (folder / "b.py").write_text("staged\n")
    git("add", "b.py", cwd=folder)
    (folder / "b.py").write_text("staged, then edited\n")


def _delete(folder: Path) -> None:
    (folder / "a.py").unlink()
    git("rm", "-q", "b.py", cwd=folder)
    git("rm", "-q", "--cached", "pkg/x.py", cwd=folder)


def _file_to_folder(folder: Path) -> None:
    (folder / "a.py").unlink()
    (folder / "a.py").mkdir()
    (folder / "a.py" / "inner").write_text("x")


def _folder_to_file(folder: Path) -> None:
    shutil.rmtree(folder / "pkg")
    (folder / "pkg").write_text("now a file")


def _folder_to_link(folder: Path) -> None:
    shutil.rmtree(folder / "pkg")
    (folder / "pkg").symlink_to("sub")
    (folder / "b.py").unlink()
    (folder / "b.py").symlink_to("nowhere")


def _mode(folder: Path) -> None:
    (folder / "a.py").chmod(0o755)


def _intent_to_add(folder: Path) -> None:
    (folder / "soon.py").write_text("1\n")
    git("add", "-N", "soon.py", cwd=folder)


def _names(folder: Path) -> None:
    names = ["two words", "line\nfeed", "tab\t", "-dash", "größe", ":colon", "a\\b", '"quoted"', ".hidden", "x" * 200]
    for name in (*names, os.fsdecode(b"latin-\xe4")):
        (folder / name).write_bytes(os.fsencode(name))


def _crlf(folder: Path) -> None:
    git("config", "core.autocrlf", "true", cwd=folder)
    git("config", "core.safecrlf", "true", cwd=folder)
    (folder / "a.py").write_bytes(b"one\r\ntwo\n")
    (folder / "new.py").write_bytes(b"one\r\n")


def _racy(folder: Path) -> None:
    """The same size and time as when it was staged: git must read it, for its time is not before that of the index."""
    git("config", "core.trustctime", "false", cwd=folder)
    git("config", "core.checkStat", "minimal", cwd=folder)
    path, moment = folder / "a.py", 1_700_000_000
    path.write_text("# 1\n")
    os.utime(path, (moment, moment))
    git("add", "a.py", cwd=folder)
    path.write_text("# 2\n")
    for each in (path, folder / ".git" / "index"):
        os.utime(each, (moment, moment))


def _conflict(folder: Path) -> None:
    git("checkout", "-q", "-b", "side", cwd=folder)
    (folder / "a.py").write_text("theirs\n")
    git("rm", "-q", "b.py", cwd=folder)
    git("commit", "-q", "-a", "-m", "Side", cwd=folder)
    git("checkout", "-q", "main", cwd=folder)
    (folder / "a.py").write_text("ours\n")
    (folder / "b.py").write_text("ours\n")
    git("commit", "-q", "-a", "-m", "Main", cwd=folder)
    git("merge", "side", cwd=folder, check=False)


def _split_index(folder: Path) -> None:
    git("update-index", "--split-index", cwd=folder)
    _edit(folder)


def _no_index(folder: Path) -> None:
    (folder / ".git" / "index").unlink()
    (folder / "a.py").write_text("edited\n")


def _sparse(folder: Path) -> None:
    git("sparse-checkout", "set", "--cone", "sub", cwd=folder)
    (folder / "sub" / "new.py").write_text("new\n")
    (folder / "a.py").write_text("edited\n")


def _untracked_folders(folder: Path) -> None:
    (folder / "new" / "deep").mkdir(parents=True)
    (folder / "new" / "deep" / "file").write_text("x")
    (folder / "new" / "empty").mkdir()
    (folder / ".gitignore").write_text("*.log\n")
    (folder / "run.log").write_text("ignored")


@pytest.mark.parametrize(
    "change",
    [
        _edit,
        _delete,
        _file_to_folder,
        _folder_to_file,
        _folder_to_link,
        _mode,
        _intent_to_add,
        _names,
        _crlf,
        _racy,
        _conflict,
        _split_index,
        _no_index,
        _sparse,
        _untracked_folders,
    ],
)
def test_a_snapshot_is_what_git_add_makes_and_nothing_is_touched(
    change: Callable[[Path], None], git_repo: Path
) -> None:
    """For each kind of change the tree is that of `git add -A`; index, work tree, refs and reflog keep every byte."""
    fill(git_repo)
    change(git_repo)
    expected, before = tree_by_git(git_repo), state(git_repo)
    found = snap(git_repo)
    assert (expected, None, True) == (tree_of(git_repo, found.commit), found.failure, found.dirty)
    after = state(git_repo)
    held = f"refs/runstone/snapshots/{found.commit}"
    assert {f".git/{held}"} == after.keys() - before.keys()
    shared = [name for name in before if ".git/sharedindex." in name]  # git marks it as used whenever it reads it
    assert {n: s for n, s in before.items() if n not in shared} == {n: after[n] for n in before if n not in shared}
    assert git("rev-parse", "HEAD", cwd=git_repo) == git("rev-parse", f"{found.commit}^", cwd=git_repo)
    check_clean(git_repo)
    assert [] == list((git_repo / ".git" / "runstone" / "snapshot").iterdir())


def test_a_clean_tree_writes_nothing(git_repo: Path) -> None:
    """The snapshot of a clean tree is HEAD: no object, no ref."""
    before = sorted(path.name for path in (git_repo / ".git").rglob("*") if "runstone" not in path.as_posix())
    head = git("rev-parse", "HEAD", cwd=git_repo)
    assert Snapshot(head, "main", head, False) == snap(git_repo)
    assert before == sorted(path.name for path in (git_repo / ".git").rglob("*") if "runstone" not in path.as_posix())


def test_a_linked_work_tree_inside_is_no_part_of_it(git_repo: Path, tmp_path: Path) -> None:
    """Where somebody checked a past run out there, the tree is as clean as before; another repository is named."""
    git("worktree", "add", "-q", "--detach", "past/run", cwd=git_repo)
    taken = snap(git_repo)
    assert (False, ()) == (taken.dirty, taken.left_out)
    make_repository(git_repo / "other")
    assert ("other/",) == tuple(one.path for one in snap(git_repo).left_out)


def test_equal_trees_are_one_snapshot_in_every_clone(git_repo: Path, tmp_path: Path) -> None:
    """The commit depends on HEAD and the tree alone: not on who takes it, when, or where; another tree is another."""
    git("clone", "-q", git_repo.as_uri(), "clone", cwd=tmp_path)
    for folder in (git_repo, tmp_path / "clone"):
        (folder / "train.py").write_text("edited\n")
    first, second = snap(git_repo), snap(tmp_path / "clone")
    assert first.commit == second.commit == snap(git_repo).commit
    (git_repo / "train.py").write_text("edited again\n")
    assert first.commit != snap(git_repo).commit
    author = git("log", "-1", "--format=%an <%ae> %ad|%cn <%ce> %cd", "--date=raw", str(first.commit), cwd=git_repo)
    date = git("log", "-1", "--format=%cd", "--date=raw", "HEAD", cwd=git_repo)
    assert "|".join([f"Runstone <runstone@localhost> {date}"] * 2) == author


def test_before_the_first_commit(empty_repo: Path) -> None:
    """What there is becomes a commit without a parent; of nothing, or of nothing that may be held, there is none."""
    assert Snapshot(None, "main", None, False) == snap(empty_repo)
    (empty_repo / ".env").write_text("TOKEN=1\n")
    found = snap(empty_repo)
    assert (None, True, [".env"]) == (found.commit, found.dirty, [one.path for one in found.left_out])
    (empty_repo / "train.py").write_text("1\n")
    found = snap(empty_repo)
    assert ["train.py"] == files(empty_repo, found.commit)
    assert str(found.commit) == git("rev-list", str(found.commit), cwd=empty_repo)
    check_clean(empty_repo)


def test_a_tree_whose_changes_are_all_left_out_is_head(git_repo: Path) -> None:
    """It is dirty, but the snapshot is HEAD itself, and no ref is needed."""
    (git_repo / ".env").write_text("TOKEN=1\n")
    found = snap(git_repo)
    assert (found.head, True, 1) == (found.commit, found.dirty, len(found.left_out))
    assert "" == git("for-each-ref", "refs/runstone/", cwd=git_repo)


# --- odd repositories


def test_a_linked_work_tree_a_submodule_and_a_hook(
    git_repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has an index of its own, and what a hook's variables name is not looked at."""
    library = make_repository(tmp_path / "library")
    git("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(library), "lib", cwd=git_repo)
    git("commit", "-q", "-m", "Add a submodule", cwd=git_repo)
    git("worktree", "add", "-q", "--detach", tmp_path / "side", cwd=git_repo)
    git("commit", "-q", "--allow-empty", "-m", "Elsewhere", cwd=library)
    for folder, expected in (
        (tmp_path / "side", [".gitmodules", "lib", "new.py", "train.py"]),
        (git_repo / "lib", ["new.py", "train.py"]),
    ):
        (folder / "new.py").write_text("new\n")
        head = git("rev-parse", "HEAD", cwd=folder)
        with monkeypatch.context() as hook:
            hook.setenv("GIT_DIR", str(library / ".git"))
            hook.setenv("GIT_INDEX_FILE", str(library / ".git" / "index"))
            found = snap(folder)
        assert (head, expected) == (found.head, files(folder, found.commit))


def test_a_shallow_clone_with_a_detached_head(git_repo: Path, tmp_path: Path) -> None:
    """As in most CI jobs: the one commit there is becomes the parent."""
    git("commit", "-q", "--allow-empty", "-m", "Second", cwd=git_repo)
    git("clone", "-q", "--depth", "1", git_repo.as_uri(), "clone", cwd=tmp_path)
    clone = tmp_path / "clone"
    git("checkout", "-q", "--detach", cwd=clone)
    (clone / "new.py").write_text("new\n")
    found = snap(clone)
    assert (None, ["new.py", "train.py"]) == (found.branch, files(clone, found.commit))


def test_a_sha256_repository(tmp_path: Path) -> None:
    """Ids are longer; edits, deletions and what is put back work alike."""
    folder = tmp_path / "repo"
    git("init", "-q", "--object-format=sha256", "-b", "main", folder, cwd=tmp_path)
    git("config", "user.name", "Kim", cwd=folder)
    git("config", "user.email", "kim@example.org", cwd=folder)
    (folder / "gone.py").write_text("1\n")
    (folder / ".env").write_text("harmless\n")
    git("add", "-A", cwd=folder)
    git("commit", "-q", "-m", "Begin", cwd=folder)
    (folder / "gone.py").unlink()
    (folder / ".env").write_text("SECRET-4711\n")
    (folder / "new.py").write_text("new\n")
    found = snap(folder)
    assert (64, [".env", "new.py"]) == (len(str(found.commit)), files(folder, found.commit))
    assert "SECRET-4711" not in all_objects(folder)


# --- what is left out


def test_no_secret_is_in_any_object_afterwards(git_repo: Path) -> None:
    """Names that look like secrets, whatever their case, and private keys by their content, are in no object."""
    secrets = [".env", "conf/.ENV.local", "id_ed25519", "deploy.pem", "a/.aws/config", "Secrets.toml", "token.json"]
    for name in secrets:
        path = git_repo / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"SECRET-4711 of {name}\n")
    (git_repo / "notes.txt").write_text(f"remember SECRET-4711\n{KEY}")
    (git_repo / "robot").write_text(json.dumps({"private_key": KEY, "client_secret": "SECRET-4711"}))
    (git_repo / ".env.example").write_text("TOKEN=\n")
    (git_repo / "new.py").write_text("print('-----BEGIN PRIVATE KEY-----')\n")
    found = snap(git_repo)
    assert [".env.example", "new.py", "train.py"] == files(git_repo, found.commit)
    assert sorted([*secrets, "notes.txt", "robot"]) == sorted(one.path for one in found.left_out)
    assert {"its name looks like that of a secret", "it holds a private key"} == {one.reason for one in found.left_out}
    assert "SECRET-4711" not in all_objects(git_repo)


def test_a_staged_secret_is_not_in_the_snapshot(git_repo: Path) -> None:
    """The user's own `git add` made an object of it; the snapshot does not lead to it, however it was staged."""
    (git_repo / ".env").write_text("SECRET-1\n")
    (git_repo / "gone.pem").write_text("SECRET-2\n")
    (git_repo / "plain").write_text(KEY)
    (git_repo / "later.key").write_text("SECRET-3\n")
    git("add", ".env", "gone.pem", "plain", cwd=git_repo)
    git("add", "-N", "later.key", cwd=git_repo)
    (git_repo / "gone.pem").unlink()
    (git_repo / "new.py").write_text("new\n")
    found = snap(git_repo)
    assert ["new.py", "train.py"] == files(git_repo, found.commit)
    assert [".env", "later.key", "plain"] == sorted(one.path for one in found.left_out)
    assert "SECRET-3" not in all_objects(git_repo)


def test_edits_of_a_tracked_secret_are_left_out(git_repo: Path) -> None:
    """The snapshot keeps HEAD's version, staged or not, in conflict or not; that it was deleted is no secret."""
    for name in (".env", "staged.key", "gone.pem", "secrets.py"):
        (git_repo / name).write_text("HARMLESS\n")
    git("add", "-A", cwd=git_repo)
    git("commit", "-q", "-m", "Templates", cwd=git_repo)
    (git_repo / ".env").write_text("SECRET-1\n")
    (git_repo / "staged.key").write_text("SECRET-2\n")
    git("add", "staged.key", cwd=git_repo)
    (git_repo / "gone.pem").unlink()
    (git_repo / "secrets.py").write_text("def find_secrets(): ...\n")
    found = snap(git_repo)
    assert [".env", "secrets.py", "staged.key", "train.py"] == files(git_repo, found.commit)
    kept = [git("show", f"{found.commit}:{name}", cwd=git_repo) for name in (".env", "staged.key", "secrets.py")]
    assert ["HARMLESS", "HARMLESS", "def find_secrets(): ..."] == kept
    why = "its name looks like that of a secret; its edits are left out"
    assert [LeftOut(".env", why), LeftOut("staged.key", why)] == sorted(found.left_out, key=lambda one: one.path)
    assert "SECRET-1" not in all_objects(git_repo)


def test_a_tracked_secret_in_conflict_is_set_to_our_side(git_repo: Path) -> None:
    """The markers on disk hold both sides; the snapshot has what HEAD has."""
    (git_repo / ".env").write_text("base\n")
    git("add", "-f", ".env", cwd=git_repo)
    git("commit", "-q", "-m", "Template", cwd=git_repo)
    git("checkout", "-q", "-b", "side", cwd=git_repo)
    (git_repo / ".env").write_text("theirs\n")
    git("commit", "-q", "-a", "-m", "Side", cwd=git_repo)
    git("checkout", "-q", "main", cwd=git_repo)
    (git_repo / ".env").write_text("ours\n")
    git("commit", "-q", "-a", "-m", "Main", cwd=git_repo)
    git("merge", "side", cwd=git_repo, check=False)
    found = snap(git_repo)
    assert (found.head, True, [".env"]) == (found.commit, found.dirty, [one.path for one in found.left_out])


def test_files_too_large_and_too_many(git_repo: Path) -> None:
    """Large untracked files stay out; of the rest the smallest come in; tracked files are not measured."""
    (git_repo / "train.py").write_text("#" * 5000)
    for name, size in (("large", 1001), ("a", 10), ("b", 600), ("c", 500), ("d", 400)):
        (git_repo / name).write_text(name[0] * size)
    found = snap(git_repo, SnapshotRules(max_file=1000, max_total=1000))
    assert ["a", "c", "d", "train.py"] == files(git_repo, found.commit)
    assert [
        LeftOut("b", "all files that git does not track come to more than `snapshot.max_total`, 1,000 bytes"),
        LeftOut("large", "1,001 bytes are more than `snapshot.max_file`, 1,000"),
    ] == sorted(found.left_out, key=lambda one: one.path)
    assert "b" * 600 not in all_objects(git_repo)


def test_the_rules_of_a_project(git_repo: Path) -> None:
    """`deny` adds to what is left out, `allow` lets in what looks like a secret and is none."""
    for name in ("data/x.csv", "test.pem", "fixture"):
        (git_repo / name).parent.mkdir(exist_ok=True)
        (git_repo / name).write_text(KEY)
    found = snap(git_repo, SnapshotRules(deny=("data/",), allow=("test.pem", "fixture")))
    assert ["fixture", "test.pem", "train.py"] == files(git_repo, found.commit)
    assert (LeftOut("data/x.csv", "denied by `snapshot.deny` in runstone.yaml"),) == found.left_out


def test_repositories_inside_and_submodules(git_repo: Path, tmp_path: Path) -> None:
    """A repository inside is named; of a submodule the commit is taken, and what differs from that is named."""
    library = make_repository(tmp_path / "library")
    for name in ("lib", "other"):
        git("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(library), name, cwd=git_repo)
    git("commit", "-q", "-m", "Add submodules", cwd=git_repo)
    git("-c", "user.name=k", "-c", "user.email=k@x", "commit", "-q", "--allow-empty", "-m", "N", cwd=git_repo / "other")
    (git_repo / "lib" / "train.py").write_text("edited\n")
    (git_repo / "lib" / "new").touch()
    make_repository(git_repo / "inside")
    found = snap(git_repo)
    assert {
        LeftOut("inside/", "it is a git repository of its own"),
        LeftOut("lib", "it is a submodule with edits and files that are not tracked inside"),
        LeftOut("other", "it is a git repository of its own, at a commit that none of its remotes has"),
    } == set(found.left_out)
    moved = git("rev-parse", "HEAD", cwd=git_repo / "other")
    assert moved == git("rev-parse", f"{found.commit}:other", cwd=git_repo)


def test_what_git_cannot_hold_is_named(git_repo: Path) -> None:
    """A pipe in place of a file, names that some disk takes for `.git`, a conflict: named, and the rest is there."""
    fill(git_repo)
    _conflict(git_repo)
    (git_repo / "pkg" / "x.py").unlink()
    os.mkfifo(git_repo / "pkg" / "x.py")
    (git_repo / "git~1").write_text("x")
    (git_repo / "d" / ".GIT").mkdir(parents=True)
    (git_repo / "d" / ".GIT" / "config").write_text("x")
    found = snap(git_repo)
    assert {
        "pkg/x.py": "it is neither a file nor a link",
        "git~1": "git refuses its name",
        "d/.GIT/config": "git refuses its name",
        "a.py": "it is in conflict; it is kept as on disk, with the conflict markers",
        "b.py": "it is in conflict; it is kept as on disk, with the conflict markers",
    } == {one.path: one.reason for one in found.left_out}
    assert ["a.py", "b.py", "pkg/y.py", "sub/deep/z.py", "train.py"] == files(git_repo, found.commit)
    assert "<<<<<<<" in git("show", f"{found.commit}:a.py", cwd=git_repo)


def test_a_file_that_git_stumbles_over_is_named_and_the_rest_is_there(git_repo: Path) -> None:
    """A filter that fails for a file, as Git LFS where it is missing, costs that file only."""
    git("config", "filter.lfs.clean", "false", cwd=git_repo)
    git("config", "filter.lfs.required", "true", cwd=git_repo)
    (git_repo / ".gitattributes").write_text("*.bin filter=lfs\n")
    for name in ("a", "b.bin", "two words.bin", "z"):
        (git_repo / name).write_text(name)
    found = snap(git_repo)
    assert [".gitattributes", "a", "train.py", "z"] == files(git_repo, found.commit)
    assert ["b.bin", "two words.bin"] == sorted(one.path for one in found.left_out)
    assert {"git cannot take it in: external filter 'false' failed 1"} == {one.reason for one in found.left_out}


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    """Nothing is known of their content: HEAD's version stays, and what is new is left out."""
    code = """
from runstone.git.code.snapshot import take_snapshot
from runstone.records.config import SnapshotRules
found = take_snapshot(repo, SnapshotRules())
print(found.commit)
for one in sorted(found.left_out, key=lambda one: one.path):
    print(f"{one.path}: {one.reason}")
"""
    with public_repository() as folder:
        (folder / "train.py").write_text("edited\n")
        (folder / "new").write_text("x")
        (folder / "plain").write_text("x")
        for name in ("train.py", "new"):
            (folder / name).chmod(0)
        for path in (folder / ".git", *(folder / ".git").rglob("*")):
            path.chmod(0o777 if path.is_dir() else 0o666)
        commit, *left_out = run_as_other(code, folder, tmp_path)
        assert ["plain", "train.py"] == files(folder, commit)
        assert "print('trained')" == git("show", f"{commit}:train.py", cwd=folder)
    assert [
        "new: it cannot be read: Permission denied",
        "train.py: it cannot be read; its edits are left out",
    ] == left_out


# --- failures


def test_a_snapshot_that_cannot_be_made_is_told(git_repo: Path) -> None:
    """An index that names an object which is not there: head and branch are known, and why there is no snapshot."""
    git("update-index", "--add", "--info-only", "--cacheinfo", f"100644,{'1' * 40},x", cwd=git_repo)
    (git_repo / "x").write_text("x")
    git("update-index", "--assume-unchanged", "x", cwd=git_repo)
    found = snap(git_repo)
    head = git("rev-parse", "HEAD", cwd=git_repo)
    assert (head, "main", None, True) == (found.head, found.branch, found.commit, found.dirty)
    assert "invalid object" in str(found.failure)


def test_files_that_come_and_go_meanwhile_do_no_harm(git_repo: Path) -> None:
    """While files are made and removed all the time, every snapshot is taken, and holds what does not change."""
    (git_repo / "stays").write_text("x")
    code = (
        "import os, pathlib, time\n"
        "until = time.monotonic() + 1.5\n"
        "while time.monotonic() < until:\n"
        "    for n in range(30):\n"
        "        p = pathlib.Path(f'f{n}')\n"
        "        p.write_text(str(time.time()))\n"
        "    for n in range(30):\n"
        "        p = pathlib.Path(f'f{n}')\n"
        "        p.unlink()\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], cwd=git_repo)
    try:
        seen = []
        while process.poll() is None:
            found = snap(git_repo)
            assert found.failure is None
            seen.append(found.commit)
            assert {"stays", "train.py"} <= set(files(git_repo, found.commit))
    finally:
        process.wait()
    assert len(set(seen)) > 2


def test_what_killed_processes_left_is_removed(git_repo: Path) -> None:
    """A copy of the index that is an hour old is nobody's any more; a young one may be in use."""
    repo = Repository.open(git_repo)
    folder = repo.writable_state("snapshot")
    (folder / "index-young").touch()
    take_snapshot(repo, SnapshotRules())
    assert ["index-young"] == [path.name for path in folder.iterdir()]
    assert time.time() - (folder / "index-young").stat().st_ctime < 3600


def test_edits_that_git_overlooks_are_named_and_not_taken_in(git_repo: Path) -> None:
    """`assume-unchanged` and `skip-worktree` hide them from `git status`; often they are somebody's passwords."""
    for name in ("assumed.py", "skipped.py", "gone.py", "same.py"):
        (git_repo / name).write_text("before\n")
    git("add", "-A", cwd=git_repo)
    git("commit", "-qm", "Files", cwd=git_repo)
    git("update-index", "--assume-unchanged", "assumed.py", "gone.py", "same.py", cwd=git_repo)
    git("update-index", "--skip-worktree", "skipped.py", cwd=git_repo)
    for name in ("assumed.py", "skipped.py", "train.py"):
        (git_repo / name).write_text("hunter2\n")
    (git_repo / "gone.py").unlink()
    before = state(git_repo)
    found = snap(git_repo)
    after = {path: seen for path, seen in state(git_repo).items() if "refs/runstone" not in path}
    reason = "git was told to overlook its edits (assume-unchanged or skip-worktree); they are left out"
    assert dict.fromkeys(("assumed.py", "gone.py", "skipped.py"), reason) == {
        one.path: one.reason for one in found.left_out
    }
    assert ["train.py"] == git("diff", "--name-only", "HEAD", str(found.commit), cwd=git_repo).splitlines()
    assert before == after
    git("checkout", "-q", "train.py", cwd=git_repo)
    assert (True, found.head) == ((clean := snap(git_repo)).dirty, clean.commit)


def test_files_that_git_does_not_give_back_are_named(git_repo: Path) -> None:
    """A filter that loses something, as nbstripout, and line ends; a filter that loses nothing is no matter."""
    git("config", "filter.strip.clean", "grep -v output", cwd=git_repo)
    git("config", "filter.swap.clean", "tr a-z A-Z", cwd=git_repo)
    git("config", "filter.swap.smudge", "tr A-Z a-z", cwd=git_repo)
    (git_repo / ".gitattributes").write_text(
        "*.ipynb filter=strip\n*.swap filter=swap\n*.txt text=auto\n*.c ident\n*.u16 working-tree-encoding=UTF-16LE\n"
    )
    for name, data in {
        "n.ipynb": b"code\noutput\n",
        "line\nbreak.ipynb": b"output\n",
        "kept.ipynb": b"code\n",
        "x.swap": b"abc\n",
        "unix.txt": b"a\nb\n",
        "mixed.txt": b"a\r\nb\n",
        "id.c": b"$Id$\n",
        "good.u16": "h\u00e9\n".encode("utf-16-le"),
        "bad.u16": b"\x00\xd8\x41",
        "plain.bin": b"\r\n\n",
    }.items():
        (git_repo / name).write_bytes(data)
    lost = "git does not give back the bytes it had: "
    assert {
        "n.ipynb": f"{lost}it goes through the filter `strip`",
        "line\nbreak.ipynb": f"{lost}it goes through the filter `strip`",
        "mixed.txt": f"{lost}its line ends are converted",
        "id.c": f"{lost}the attribute `ident`",
        "bad.u16": "git cannot take it in: failed to encode 'bad.u16' from UTF-16LE to UTF-8",
    } == {one.path: one.reason for one in snap(git_repo).left_out}


def test_a_repository_that_is_nowhere_else_is_named(git_repo: Path, tmp_path: Path) -> None:
    """A staged repository, or a submodule at a commit that was not pushed: nobody else can ever check it out."""
    make_repository(git_repo / "staged")
    git("add", "staged", cwd=git_repo)
    other = make_repository(tmp_path / "other")
    git("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(other), "lib", cwd=git_repo)
    reason = "it is a git repository of its own, at a commit that none of its remotes has"
    assert [LeftOut("staged", reason)] == list(snap(git_repo).left_out)
    who = ("-c", "user.name=Kim", "-c", "user.email=kim@example.org")
    git(*who, "commit", "-q", "--allow-empty", "-m", "Local", cwd=git_repo / "lib")
    assert [LeftOut("lib", reason), LeftOut("staged", reason)] == sorted(
        snap(git_repo).left_out, key=lambda one: one.path
    )


def test_files_hidden_between_two_snapshots_are_found(git_repo: Path) -> None:
    """That git overlooks nothing is remembered of one index only: not of the one that git writes next."""
    old = time.time() - 60
    os.utime(git_repo / ".git" / "index", (old, old))
    assert () == snap(git_repo).left_out
    asked = git("rev-parse", "HEAD", cwd=git_repo)
    assert Snapshot(asked, "main", asked, False) == snap(git_repo)
    git("update-index", "--assume-unchanged", "train.py", cwd=git_repo)
    (git_repo / "train.py").write_text("print('hidden')\n")
    taken = snap(git_repo)
    assert (True, ("train.py",)) == (taken.dirty, tuple(one.path for one in taken.left_out))
