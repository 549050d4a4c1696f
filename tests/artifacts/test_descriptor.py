import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstone.artifacts.descriptor import (
    Descriptor,
    check_artifact_path,
    check_digest,
    format_listing,
    listing_digest,
    parse_listing,
)
from runstone.errors import InvalidName, RecordInvalid

MD5 = hashlib.md5(b"").hexdigest()

GOOD = ["a", "a/b.txt", "plots/roc curve.png", "ünï/😀", ".hidden", "a..b", "...", "gitignore/.gitignore", "x" * 255]
BAD = {
    "": "it is empty",
    "/a": "it is absolute; write it relative to the folder of artifacts",
    "C:/a": "it is absolute; write it relative to the folder of artifacts",
    "c:a": "it is absolute; write it relative to the folder of artifacts",
    "a\\b": "it holds a backslash; write `/`",
    "a//b": "it has an empty part",
    "a/": "it has an empty part",
    "./a": "it has an empty part",
    "..": "it leaves the folder of artifacts",
    "a/../../b": "it leaves the folder of artifacts",
    "a\0b": "it holds a control character, or bytes that are not UTF-8",
    "a\nb": "it holds a control character, or bytes that are not UTF-8",
    "a\udcffb": "it holds a control character, or bytes that are not UTF-8",
    ".git/hooks/post-checkout": "`.git` means something to git or DVC",
    "a/.GIT": "`.GIT` means something to git or DVC",
    ".dvc/config": "`.dvc` means something to git or DVC",
    "a/.dvcignore": "`.dvcignore` means something to git or DVC",
    "ü" * 128: "a part of it is longer than the 255 bytes that file systems allow",
}


@pytest.mark.parametrize("path", GOOD)
def test_a_path_that_every_system_can_hold_is_kept(path: str) -> None:
    """A relative path comes back unchanged."""
    assert path == check_artifact_path(path)


@pytest.mark.parametrize(("path", "why"), BAD.items())
def test_a_path_that_could_escape_or_harm_is_refused(path: str, why: str) -> None:
    """Each refusal says why."""
    with pytest.raises(InvalidName) as refused:
        check_artifact_path(path)
    assert why == refused.value.why


@pytest.mark.parametrize("digest", ["", "../x", MD5[:-1], MD5.upper() + "A", MD5 + ".dirx", MD5 + "\n", None, 7])
def test_a_digest_that_is_none_is_refused(digest: object) -> None:
    """What is no MD5 never becomes the name of a file."""
    with pytest.raises(InvalidName):
        check_digest(digest)


def test_a_listing_is_sorted_and_escaped_as_dvc_does() -> None:
    """The text of a listing, and the digest made from it."""
    data = format_listing([Descriptor("ü", 1, "1" * 32), Descriptor("a b", 2, "2" * 32)])
    expected = b'[{"md5": "' + b"2" * 32 + b'", "relpath": "a b"}, {"md5": "' + b"1" * 32 + b'", "relpath": "\\u00fc"}]'
    assert expected == data
    assert "d751713988987e9331980363e24189ce.dir" == listing_digest(format_listing([]))


parts = st.text(st.characters(blacklist_categories=("Cc", "Cs"), blacklist_characters="/\\:"), min_size=1, max_size=9)
paths = st.lists(parts, min_size=1, max_size=3).map("/".join)


@given(st.dictionaries(paths, st.integers(0, 2**128 - 1), max_size=6))
def test_parse_inverts_format(found: dict[str, int]) -> None:
    """Whatever can be listed is read back; what cannot is refused on writing."""
    entries = [Descriptor(path, None, f"{number:032x}") for path, number in found.items()]
    try:
        data = format_listing(entries)
    except InvalidName:
        return
    assert sorted(entries, key=lambda e: e.path) == parse_listing(data, "x")


@pytest.mark.parametrize(("one", "other"), [("a", "a"), ("a", "a/b"), ("a/b", "a/b/c/d"), ("a/b", "a/b")])
def test_two_files_that_cannot_stand_in_one_folder_are_refused(one: str, other: str) -> None:
    """A path is taken once, and nothing lies below a file; `a.b` sorts between `a` and `a/b`."""
    with pytest.raises(InvalidName):
        format_listing([Descriptor(path, 0, MD5) for path in (one, "a.b", other)])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"{}",
        b"[1]",
        b'[{"md5": "' + MD5.encode() + b'"}]',
        b'[{"md5": "x", "relpath": "a"}]',
        b'[{"md5": "' + MD5.encode() + b'", "relpath": "../a"}]',
        b"[{%s}, {%s}]" % ((b'"md5": "' + MD5.encode() + b'", "relpath": "a"',) * 2),
        b"[" * 100_000,
    ],
)
def test_a_listing_from_elsewhere_is_read_with_care(data: bytes) -> None:
    """Damaged or hostile listings raise an error that names them."""
    with pytest.raises(RecordInvalid, match=r"^`listing 7`: ") as refused:
        parse_listing(data, "listing 7")
    assert "runstone artifacts pull" in str(refused.value)


def test_sizes_that_dvc_wrote_are_kept() -> None:
    """DVC adds sizes to some listings; they are used, and anything that is no size is not."""
    data = b'[{"md5": "%s", "relpath": "a", "size": 3}, {"md5": "%s", "relpath": "b", "size": "3"}]'
    entries = parse_listing(data % ((MD5.encode(),) * 2), "x")
    assert [Descriptor("a", 3, MD5), Descriptor("b", None, MD5)] == entries
