"""Which files of a model folder are read, and who vouches for them."""

import hashlib
import os
from pathlib import Path

import pytest

from runstone.errors import InvalidModelFolder, ModelFileChanged, UntrustedModel
from runstone.flavors.trust import Trust, resolve

OUTSIDE = ["../secret", "/etc/passwd", "a/../../secret", "C:/x", "a\\b", "", ".", "\0", None, 7, ["x"]]


@pytest.mark.parametrize("path", OUTSIDE, ids=repr)
def test_a_path_that_leaves_the_folder_is_refused(tmp_path: Path, path: object) -> None:
    """Whatever a model folder gives as a path, nothing beside the folder is read."""
    (tmp_path / "secret").write_text("x")
    (tmp_path / "model").mkdir()
    with pytest.raises(InvalidModelFolder):
        Trust(allow_pickle=True).read(tmp_path / "model", path)


def test_a_link_that_leads_out_is_refused_and_one_that_stays_is_followed(tmp_path: Path) -> None:
    """Symbolic links are judged by where they lead."""
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "secret").write_text("x")
    (folder / "real").write_text("y")
    (folder / "out").symlink_to(tmp_path / "secret")
    (folder / "in").symlink_to("real")
    assert b"y" == Trust().read(folder, "in")
    with pytest.raises(InvalidModelFolder) as error:
        Trust().read(folder, "out")
    assert "`out` is a link that leads out of the folder" == error.value.problem


def test_a_path_that_leads_nowhere(tmp_path: Path) -> None:
    """Links in a circle, and a name longer than the system has, are errors of the folder."""
    (tmp_path / "circle").symlink_to("circle")
    for path in ("circle", "circle/x", "a" * 300, "a/" * 3000 + "b"):
        for trust in (Trust(), Trust({}), Trust(allow_pickle=True)):
            with pytest.raises(InvalidModelFolder) as error:
                trust.read(tmp_path, path)
            assert len(error.value.problem) < 200


def test_what_is_no_file_is_missing(tmp_path: Path) -> None:
    """A pipe would block the reader for ever, and a folder has no bytes."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "dir").mkdir()
    for name in ("pipe", "dir", "none"):
        with pytest.raises(InvalidModelFolder) as error:
            Trust().read(tmp_path, name)
        assert f"the file `{name}` is missing" == error.value.problem


def test_paths_are_compared_in_their_plain_form(tmp_path: Path) -> None:
    """`./a//b` is `a/b`, so a digest is found whatever the MLmodel file writes."""
    assert ("a/b", tmp_path / "a" / "b") == resolve(tmp_path, "./a//b")


def test_code_is_read_only_if_someone_vouches(tmp_path: Path) -> None:
    """Nobody, git, the caller: refused, compared, taken."""
    (tmp_path / "w").write_bytes(b"abc")
    digest = hashlib.md5(b"abc").hexdigest()
    with pytest.raises(UntrustedModel) as error:
        Trust().read_code(tmp_path, "w")
    assert (
        f"The model folder {tmp_path}: loading `w` runs code that is stored in it, and no digest in git vouches for "
        "it, so it was not loaded. Load it from where it was tracked "
        "(`runs:/<run id>/<path>`, `models:/<name>/<version>`), or, if you trust whoever made it, "
        "say so: `allow_pickle=True`, on the command line `--allow-pickle`"
    ) == str(error.value)
    assert b"abc" == Trust({"w": digest}).read_code(tmp_path, "w")
    assert b"abc" == Trust(allow_pickle=True).read_code(tmp_path, "w")


@pytest.mark.parametrize("allowed", [False, True])
def test_digests_are_held_against_the_file_whatever_the_caller_allows(tmp_path: Path, allowed: bool) -> None:
    """A file that git knows otherwise, or not at all, is never used."""
    (tmp_path / "w").write_bytes(b"abc")
    found, recorded = hashlib.md5(b"abc").hexdigest(), hashlib.md5(b"abd").hexdigest()
    with pytest.raises(ModelFileChanged) as error:
        Trust({"w": recorded}, allow_pickle=allowed).read_code(tmp_path, "w")
    assert (
        f"The model folder {tmp_path}: `w` has md5 {found}, but {recorded} was recorded, so the model was not loaded. "
        "Delete the folder and get it again: `runstone artifacts pull --all`"
    ) == str(error.value)
    with pytest.raises(ModelFileChanged) as error:
        Trust({}, allow_pickle=allowed).read_code(tmp_path, "w")
    assert (
        f"The model folder {tmp_path}: `w` is no recorded file, so the model was not loaded. "
        "Delete the folder and get it again: `runstone artifacts pull --all`"
    ) == str(error.value)
