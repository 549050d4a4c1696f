"""The artifacts of one repository: in by path, out by digest, to and from its remote."""

import os
from pathlib import Path

import pytest

from runstone.artifacts.descriptor import Descriptor
from runstone.artifacts.store import ArtifactStore, FileInfo, TakenPaths, below, list_folder
from runstone.errors import ArtifactRefused, InvalidName, RemoteNotConfigured
from runstone.git.repository import Repository


@pytest.fixture
def store(git_repo: Path) -> ArtifactStore:
    """The artifacts of a fresh repository with no DVC set up."""
    return ArtifactStore(Repository.open(git_repo))


def entry(path: str, size: int = 1) -> Descriptor:
    """A file whose bytes do not matter."""
    return Descriptor(path, size, "0" * 32)


def test_without_dvc_the_cache_is_inside_the_git_directory(
    store: ArtifactStore, git_repo: Path, tmp_path: Path
) -> None:
    """Nothing appears in the work tree; what was kept can be read, and copied out under any part of its path."""
    (tmp_path / "a.txt").write_text("one")
    (kept,) = store.add_path(tmp_path / "a.txt", "deep/er")
    assert ("deep/er/a.txt", 3, b"one") == (kept.path, kept.size, store.read(kept))
    assert store.cache.path(kept.md5).is_relative_to(git_repo / ".git" / "runstone")
    store.fetch([kept], tmp_path / "out")
    store.fetch([kept], tmp_path / "out", strip="deep")
    assert ["one", "one"] == [(tmp_path / "out" / name).read_text() for name in ("deep/er/a.txt", "er/a.txt")]
    assert (None, ["train.py"]) == (store.remote(), [p.name for p in git_repo.iterdir() if p.name != ".git"])


def test_without_a_remote_the_error_says_how_to_add_one(store: ArtifactStore) -> None:
    """For a push, a pull, and a listing that is not here."""
    for call in (lambda: store.push([]), lambda: store.pull([]), lambda: store.listing_of("0" * 32 + ".dir")):
        with pytest.raises(RemoteNotConfigured) as caught:
            call()
        expected = (
            "No DVC remote is configured. Add one: `runstone init --remote URL`, or where DVC is set up "
            "`dvc remote add --default NAME URL`"
        )
        assert expected == str(caught.value)


def test_what_is_no_file_is_refused(store: ArtifactStore, tmp_path: Path) -> None:
    """Missing ones, and pipes, which reading would wait for."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ArtifactRefused, match="there is no such file"):
        store.add_path(tmp_path / "missing")
    with pytest.raises(ArtifactRefused, match="it is neither a file nor a folder"):
        store.add_path(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "bad\nname").write_text("x")
    with pytest.raises(InvalidName):
        store.add_path(tmp_path / "folder")


def test_a_pointer_joins_what_was_there_and_what_came(store: ArtifactStore) -> None:
    """The later file of a path wins; where two processes made a file and a folder of one name, both are kept."""
    one, two = store.cache.add_bytes(b"one"), store.cache.add_bytes(b"two")
    first = store.pointer(None, [["a", 3, one], ["b", 3, one]])
    assert first is not None
    joined = store.pointer(first.encode(), [["a", 3, two], ["b/c", 3, two], ["b.file", 3, two]])
    assert joined is not None
    found = {e.path: e.md5 for e in store.listing(joined, "artifacts.dvc")}
    assert {"a": two, "b/c": two, "b.file": two, "b.file.file": one} == found
    assert None is store.pointer(None, [])


def test_a_folder_is_listed_one_level_deep() -> None:
    """Files with their size, folders without; a file has nothing in it."""
    entries = [entry("b.txt", 5), entry("a/x.txt"), entry("a/y/z.txt"), entry("ab/x")]
    assert [FileInfo("a", True, None), FileInfo("ab", True, None), FileInfo("b.txt", False, 5)] == list_folder(entries)
    assert (
        [FileInfo("a/x.txt", False, 1), FileInfo("a/y", True, None)]
        == list_folder(entries, "a")
        == list_folder(entries, "a/")
    )
    assert [] == list_folder(entries, "b.txt")
    assert ["a/x.txt", "a/y/z.txt"] == [e.path for e in below(entries, "a")]
    assert (["b.txt"], 4, []) == (
        [e.path for e in below(entries, "b.txt")],
        len(below(entries, "")),
        below(entries, "c"),
    )


def test_a_name_is_a_file_or_a_folder() -> None:
    """Of a batch that is barred nothing is taken."""
    taken = TakenPaths()
    taken.add([entry("a/b"), entry("c")])
    for bad in ("a", "c/d"):
        with pytest.raises(ArtifactRefused, match="the run would have a file and a folder of this name"):
            taken.add([entry("new"), entry(bad)])
    assert {"a/b", "c"} == taken.files
    taken.add([entry("c"), entry("a/d")])
