"""Files of a model folder for libraries that read files: checked, and then nobody else's to change."""

import os
from pathlib import Path

import pytest

from runstone.errors import InvalidModelFolder, ModelFileChanged, UntrustedModel
from runstone.flavors.checked_files import checked, list_files
from runstone.flavors.trust import Trust
from tests.flavors.support import ALLOWED, digests_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model folder with a part of two files."""
    (tmp_path / "m" / "part" / "inner").mkdir(parents=True)
    (tmp_path / "m" / "part" / "a").write_bytes(b"a" * 3_000_000)  # more than one block
    (tmp_path / "m" / "part" / "inner" / "b").write_bytes(b"b")
    (tmp_path / "m" / "beside").write_bytes(b"c")
    return tmp_path / "m"


def test_with_digests_a_copy_is_used(folder: Path) -> None:
    """It has what git recorded and nothing else, is not changed with the folder, and is gone in the end."""
    trust = Trust(digests_of(folder))
    (folder / "part" / "new").write_bytes(b"unknown to git")
    with checked(folder, "./part", trust=trust) as place:
        assert ["a", "inner", "inner/b"] == sorted(file.relative_to(place).as_posix() for file in place.rglob("*"))
        (folder / "part" / "inner" / "b").write_bytes(b"changed")
        assert b"b" == (place / "inner" / "b").read_bytes()
        assert (folder / "part" / "a").read_bytes() == (place / "a").read_bytes()
    assert not place.exists()
    with pytest.raises(ModelFileChanged) as error, checked(folder, "part", trust=trust):
        pass
    assert "part/inner/b" == error.value.file


def test_without_digests_the_files_are_used_where_they_are(folder: Path) -> None:
    """There is nothing to hold them against, and a copy of large weights takes time."""
    with checked(folder, "part", trust=Trust()) as place:
        assert folder / "part" == place
    with checked(folder, "beside", trust=ALLOWED) as place:
        assert b"c" == place.read_bytes()


def test_a_single_file(folder: Path) -> None:
    """A file is a copy of the same name, since some libraries go by it."""
    with checked(folder, "part/a", trust=Trust(digests_of(folder))) as place:
        assert "a" == place.name
        assert 3_000_000 == place.stat().st_size


@pytest.mark.parametrize("trust", [Trust(), ALLOWED, Trust({"part/out": "0" * 32})], ids=["none", "word", "digests"])
def test_no_file_leads_out(tmp_path: Path, folder: Path, trust: Trust) -> None:
    """Neither the path nor a link among the files, whoever vouches for the folder."""
    (tmp_path / "secret").write_bytes(b"s")
    for path in ("..", "../secret", "/etc", "none"):
        with pytest.raises(InvalidModelFolder), checked(folder, path, trust=trust):
            pass
    (folder / "part" / "out").symlink_to(tmp_path / "secret")
    with pytest.raises(InvalidModelFolder) as error, checked(folder, "part", trust=trust):
        pass
    assert "`part/out` is a link that leads out of the folder" == error.value.problem


def test_what_runs_code_needs_trust(folder: Path) -> None:
    """Else it is not even looked at."""
    with pytest.raises(UntrustedModel) as error, checked(folder, "part", trust=Trust(), runs_code=True):
        pass
    assert "part" == error.value.file
    with checked(folder, "part", trust=ALLOWED, runs_code=True) as place:
        assert place.is_dir()


def test_pipes_are_no_files(folder: Path) -> None:
    """A pipe would block its reader for ever."""
    os.mkfifo(folder / "part" / "pipe")
    assert ["part/a", "part/inner/b"] == list_files(folder, "part", trust=Trust())
    with pytest.raises(InvalidModelFolder, match="the file `part/pipe` is missing"):
        Trust().copy(folder, "part/pipe", folder / "copy")
