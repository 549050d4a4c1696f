import shutil
from pathlib import Path

import pytest

from runstone.artifacts.cache import Cache
from runstone.artifacts.pointer import Pointer, format_pointer, parse_pointer
from runstone.errors import RecordInvalid

from .conftest import Dvc, add_tree, read_files, write_files

DIGEST = "dac10d5629e4d4b166db94122795c94e.dir"
TEXT = f"outs:\n- md5: {DIGEST}\n  size: 6\n  nfiles: 3\n  hash: md5\n  path: artifacts\n"


@pytest.mark.dvc
def test_pointer_listing_and_cache_are_what_dvc_add_makes(git_repo: Path, dvc: Dvc, cache: Cache) -> None:
    """Nested folders, Unicode names, empty and equal files, and an empty folder: every byte and mode is DVC's."""
    dvc("init", "-q", cwd=git_repo)
    artifacts = write_files(git_repo / "artifacts")
    (git_repo / "empty" / "below").mkdir(parents=True)
    dvc("add", "-q", "artifacts", "empty", cwd=git_repo)

    assert (git_repo / "artifacts.dvc").read_text() == format_pointer(Pointer(*add_tree(cache, artifacts)))
    empty = format_pointer(Pointer(*cache.add_dir([])))
    assert (git_repo / "empty.dvc").read_text() == empty.replace("path: artifacts", "path: empty")

    theirs, ours = git_repo / ".dvc" / "cache" / "files", cache.root / "files"
    assert read_files(theirs) == read_files(ours)
    modes = [{p.relative_to(root): p.stat().st_mode for p in root.rglob("*")} for root in (theirs, ours)]
    assert modes[0] == modes[1]


@pytest.mark.dvc
def test_dvc_checks_out_what_we_stored(git_repo: Path, dvc: Dvc, tree: Path) -> None:
    """Real `dvc checkout` and `dvc status` accept a cache and a pointer that only we wrote."""
    dvc("init", "-q", cwd=git_repo)
    (git_repo / "artifacts.dvc").write_text(
        format_pointer(Pointer(*add_tree(Cache(git_repo / ".dvc" / "cache"), tree)))
    )
    dvc("checkout", "-q", cwd=git_repo)
    assert read_files(tree) == read_files(git_repo / "artifacts")
    shutil.rmtree(git_repo / ".dvc" / "tmp")
    assert "Data and pipelines are up to date.\n" == dvc("status", cwd=git_repo)


def test_parse_inverts_format() -> None:
    """The text we write is read back, as text and as bytes."""
    pointer = Pointer(DIGEST, 6, 3)
    assert TEXT == format_pointer(pointer)
    assert pointer == parse_pointer(TEXT, "x")
    assert pointer == parse_pointer(TEXT.encode(), "x")


@pytest.mark.parametrize("md5", ["0" * 32, "1" * 31 + "e", "12345678e" + "0" * 23])
def test_our_own_form_means_what_yaml_says(md5: str) -> None:
    """Read with and without the YAML library it is the same, also where digits could be taken for a number."""
    text = format_pointer(Pointer(f"{md5}.dir", 10**15, 0))
    assert parse_pointer(f"{text}# by YAML\n", "x") == parse_pointer(text, "x") == Pointer(f"{md5}.dir", 10**15, 0)


def test_a_pointer_in_another_form_is_read() -> None:
    """Order, comments and keys of DVC's that we do not write make no difference."""
    text = f"# x\nmeta: {{}}\nouts:\n  - path: artifacts\n    nfiles: 3\n    size: 6\n    md5: {DIGEST}\n    push: on\n"
    assert Pointer(DIGEST, 6, 3) == parse_pointer(text, "x")


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (TEXT, "", "`p`: must have `outs:` with exactly one entry."),
        (TEXT, "x" * 20_000, "`p`: must be a DVC pointer, but has 20000 characters."),
        ("outs:", "outs:\n- md5: x", "`p`: must have `outs:` with exactly one entry."),
        (".dir", "", f"`p`: `outs[0].md5` must be the digest of a folder, `….dir`, but is '{DIGEST[:-4]}'."),
        ("hash: md5", "hash: etag", "`p`: `outs[0].hash` must be md5, but is 'etag'."),
        ("size: 6", "size: -6", "`p`: `outs[0].size` must be a whole number of 0 or more, but is -6."),
        ("nfiles: 3", "nfiles: true", "`p`: `outs[0].nfiles` must be a whole number of 0 or more, but is True."),
        (DIGEST, "../../x.dir", "`p`: `outs[0].md5`: The digest '../../x.dir' cannot be used: it must be 32 hex"),
        ("size: 6", "size: &a 6", "`p`: "),
    ],
)
def test_a_pointer_that_is_none_is_refused(old: str, new: str, problem: str) -> None:
    """Pointers come from other people's pushes: each refusal names the file and the key."""
    with pytest.raises(RecordInvalid) as refused:
        parse_pointer(TEXT.replace(old, new), "p")
    assert str(refused.value).startswith(problem)
