"""Objects written in process must be those that git itself would write."""

import os
import threading
from pathlib import Path

import pytest

from runstone.errors import ObjectMissing
from runstone.git.objects import FILE, TreeEntry, is_object_id
from runstone.git.repository import Repository
from tests.git.support import check_clean, record
from tests.support import git


@pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
def test_write_same_id_as_git(tmp_path: Path, algorithm: str) -> None:
    """A blob has the id that `git hash-object` gives it, in both kinds of repository, and git reads it back."""
    git("init", "-q", f"--object-format={algorithm}", tmp_path, cwd=tmp_path)
    (tmp_path / "file").write_bytes(b"a\r\nb\0c")
    objects = Repository.open(tmp_path).objects
    oid = objects.write("blob", b"a\r\nb\0c")
    assert git("hash-object", "--no-filters", "file", cwd=tmp_path) == oid
    assert "6" == git("cat-file", "-s", oid, cwd=tmp_path)
    assert b"a\r\nb\0c" == objects.blob(oid)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a" * 40, (True, True)),
        ("a" * 64, (True, False)),
        ("a" * 39, (False, False)),
        ("a" * 41, (False, False)),
        ("A" * 40, (False, False)),
        ("a" * 40 + "\n", (False, False)),
        ("-" + "a" * 39, (False, False)),
        ("", (False, False)),
    ],
)
def test_what_is_spelled_as_an_id(git_repo: Path, text: str, expected: tuple[bool, bool]) -> None:
    """Whole, in small letters and with nothing around it: of either hash, and of this repository's."""
    assert expected == (is_object_id(text), Repository.open(git_repo).objects.is_id(text))


def test_write_tree_order_as_git(git_repo: Path) -> None:
    """A folder sorts as if its name ended in a slash: `a.b`, `a/`, `a0`; fsck says whether that was kept."""
    objects = Repository.open(git_repo).objects
    blob = TreeEntry(FILE, objects.write("blob", b"x"))
    tree = objects.update_tree(None, {"a/x": blob, "a.b": blob, "a0": blob, "ä": blob, "z z": blob})
    assert tree is not None
    listed = git("-c", "core.quotePath=false", "ls-tree", "--name-only", tree, cwd=git_repo).split("\n")
    assert ["a.b", "a", "a0", "z z", "ä"] == listed
    check_clean(git_repo)


def test_update_tree_removes_empty_folders(git_repo: Path) -> None:
    """The last file of a folder takes the folder with it, and an empty tree is None."""
    objects = Repository.open(git_repo).objects
    blob = TreeEntry(FILE, objects.write("blob", b"x"))
    tree = objects.update_tree(None, {"a/b/c": blob, "d": blob})
    assert tree is not None
    smaller = objects.update_tree(tree, {"a/b/c": None})
    assert smaller is not None
    assert ["d"] == list(objects.tree(smaller))
    assert objects.update_tree(smaller, {"d": None}) is None


def test_empty_object_is_written_anew(git_repo: Path) -> None:
    """An empty loose object, as power loss leaves one, is healed by writing its content again."""
    objects = Repository.open(git_repo).objects
    oid = objects.write("blob", b"content")
    path = objects.path(oid)
    path.chmod(0o644)
    path.write_bytes(b"")
    with pytest.raises(ObjectMissing):
        objects.read(oid)
    assert oid == objects.write("blob", b"content")
    assert b"content" == objects.blob(oid)
    check_clean(git_repo)


def test_pruned_object_is_written_anew(git_repo: Path) -> None:
    """What `git gc --prune=now` threw away is there again when the same process writes it again."""
    objects = Repository.open(git_repo).objects
    oid = objects.write("blob", b"unreachable")
    git("gc", "--quiet", "--prune=now", cwd=git_repo)
    assert not objects.path(oid).exists()
    assert oid == objects.write("blob", b"unreachable")
    assert "blob" == git("cat-file", "-t", oid, cwd=git_repo)


def test_old_object_looks_new_when_written_again(git_repo: Path) -> None:
    """An old loose object is made young when it is needed again, so that no gc takes it before a ref names it."""
    objects = Repository.open(git_repo).objects
    oid = objects.write("blob", b"old")
    os.utime(objects.path(oid), (1, 1))
    objects.write("blob", b"old")
    git("prune", "--expire=1.hour.ago", cwd=git_repo)
    assert objects.path(oid).exists()


def test_reader_survives_repacking(git_repo: Path) -> None:
    """One long-lived reader finds objects that gc moved into a pack, and those of the pack that replaced it."""
    repo = Repository.open(git_repo)
    for number in range(3):
        run = record(repo, f"run-{number}")
        assert f"run-{number}" == run.run.id
        git("gc", "--quiet", "--prune=now", cwd=git_repo)
        repo.objects._trees.clear()
        assert run == record_read(repo, f"run-{number}")
    check_clean(git_repo)


def record_read(repo: Repository, run_id: str) -> object:
    """The run, read from git and not from what is remembered."""
    from tests.git.support import recorded

    return recorded(repo, run_id)


def test_missing_and_odd_names_are_none(git_repo: Path) -> None:
    """What names nothing is None, whatever it looks like, and the next answer is that of the next question."""
    objects = Repository.open(git_repo).objects
    head = git("rev-parse", "HEAD", cwd=git_repo)
    for name in ("", "nothing", "HEAD:a b 12", "HEAD:x blob 5", "HEAD\nHEAD", "HEAD\0x", "0" * 40, "--help", "ä" * 300):
        assert objects.find(name) is None
        assert head == objects.resolve("HEAD")


def test_large_blob_whole(git_repo: Path) -> None:
    """A blob larger than any pipe comes back byte for byte, and is synced by itself instead of being logged."""
    objects = Repository.open(git_repo).objects
    data = os.urandom(3_000_000)
    oid = objects.write("blob", data)
    assert data == objects.blob(oid)
    assert oid not in objects.unsynced()


def test_threads_share_one_reader(git_repo: Path) -> None:
    """Eight threads asking at once each get the answer to their own question."""
    objects = Repository.open(git_repo).objects
    oids = {objects.write("blob", f"{n}".encode() * n): f"{n}".encode() * n for n in range(1, 200)}
    wrong: list[str] = []

    def ask() -> None:
        wrong.extend(oid for oid, data in oids.items() if objects.blob(oid) != data)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [] == wrong


def test_read_many_in_order_and_missing(git_repo: Path) -> None:
    """Many objects come in the order asked for; one that is missing is an error that names it."""
    objects = Repository.open(git_repo).objects
    oids = [objects.write("blob", f"{n}".encode()) for n in range(500)]
    assert [f"{n}".encode() for n in range(500)] == [data for _, data in objects.read_many(oids)]
    with pytest.raises(ObjectMissing, match="1" * 40):
        list(objects.read_many([oids[0], "1" * 40]))


def test_alternates_are_read(git_repo: Path, tmp_path: Path) -> None:
    """A clone that borrows its objects (`--shared`) can record a run upon them, and stays sound."""
    clone = tmp_path / "clone"
    git("clone", "-q", "--shared", git_repo, clone, cwd=tmp_path)
    repo = Repository.open(clone)
    assert "borrowed" == record(repo, "borrowed").run.id
    check_clean(clone)


def test_shared_repository_modes(git_repo: Path) -> None:
    """With `core.sharedRepository=group` the group can read each object and write into each folder made."""
    git("gc", "-q", "--prune=now", cwd=git_repo)  # no folder is there yet that git made before it was shared
    git("config", "core.sharedRepository", "group", cwd=git_repo)
    before = os.umask(0o077)
    try:
        repo = Repository.open(git_repo)
        path = repo.objects.path(repo.objects.write("blob", b"shared by all of us"))
        record(repo, "shared")
        journal = repo.state_dir / "journal"
    finally:
        os.umask(before)
    assert 0o440 == path.stat().st_mode & 0o777
    assert 0o2770 == path.parent.stat().st_mode & 0o7777
    assert 0o2770 == journal.stat().st_mode & 0o7777


def test_a_commit_without_an_author(git_repo: Path) -> None:
    """Anybody may push one, since git takes it; it is read as any other."""
    repository = Repository.open(git_repo)
    tree = git("rev-parse", "HEAD^{tree}", cwd=git_repo)
    oid = repository.objects.write("commit", f"tree {tree}\n\nNobody\n".encode())
    commit = repository.objects.commit(oid)
    assert (tree, (), "", "Nobody\n") == (commit.tree, commit.parents, commit.author, commit.message)
