"""Names: what people may write, and the paths and refs made of it."""

import subprocess
import unicodedata
from pathlib import Path

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from runstone import names
from runstone.errors import InvalidName

ODD = [
    *[
        "a b",
        "team/n",
        "..",
        "...",
        "a..b",
        ".",
        ".a",
        "a.",
        "-a",
        "@",
        "a@{b",
        "HEAD",
        "~",
        "a:b",
        "a?b",
        "a*b",
        "[a]",
    ],
    *[
        "a\\b",
        "a^b",
        "%",
        "%41",
        "a.lock",
        ".lock",
        "x.lock.lock",
        "con",
        "CON",
        "nul.txt",
        "é",
        "日本",
        "🦦",
        "a\u2028b",
    ],
    *["x" * 300, "é" * 300, "%" * 100, "." * 60, "/" * 50, "refs/heads/x", "a//b", "<a>", 'a"b', "a|b", "!", "v1", " "],
]
people = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=40) | st.sampled_from(ODD)


def test_a_new_name_is_one_that_people_can_tell_apart() -> None:
    """What nobody sees is refused, by its number; old names are read as ever."""
    for name in ("churn", "Team / Größe (2)", "日本", "🦦", "a\u3000b", "قهوة"):
        assert name == names.check_new_name("model", name)
    told = {
        "chu\u200brn": "it holds U+200B (zero width space), which nobody can see",
        "chu\u202ern": "it holds U+202E (right-to-left override), which nobody can see",
        "chu\u00adrn": "it holds U+00AD (soft hyphen), which nobody can see",
        "👩\u200d💻": "it holds U+200D (zero width joiner), which nobody can see",
        "chu\u2028rn": "it holds U+2028 (line separator), which nobody can see",
        "chu\u3164rn": "it holds U+3164 (hangul filler), which nobody can see",
        "chu\ufe0frn": "it holds U+FE0F (variation selector-16), which nobody can see",
        "chu\u0378rn": f"it holds U+0378, which is no character in Unicode {unicodedata.unidata_version}",
        "cafe\u0301": "it is not in Unicode normal form C; write 'caf\u00e9', that is 'caf\\xe9'",
    }
    for name, why in told.items():
        assert unicodedata.normalize("NFC", name) == names.check_name("model", name)
        with pytest.raises(InvalidName) as caught:
            names.check_new_name("model", name)
        assert why == caught.value.why
    for check in (names.check_alias, names.check_stage):
        for name in ("a\u3164", "cafe\u0301", "a\u200b"):
            with pytest.raises(InvalidName):
                check(name)


@pytest.mark.parametrize("name", ["x", "a b", "..", "日本 🦦", "-", "a/b", "x" * 500])
def test_people_may_name_things_as_they_like(name: str) -> None:
    """Spaces, slashes, dots and every script are fine in a name, up to 500 characters."""
    assert name == names.check_name("experiment", name)


def test_a_name_is_kept_in_normal_form() -> None:
    """The same letters typed on two systems are one name."""
    assert "caf\u00e9" == names.check_name("experiment", "cafe\u0301")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "The model '' cannot be used: it is empty."),
        (" \u3000", "The model ' \\u3000' cannot be used: it is empty."),
        (3, "The model '3' cannot be used: it is not text."),
        ("a\nb", "The model 'a\\nb' cannot be used: it holds a control character."),
        ("a\ud800", "The model 'a\\ud800' cannot be used: it holds a control character."),
        ("x" * 501, f"The model '{'x' * 77}…' cannot be used: it has 501 characters, and 500 are allowed."),
    ],
)
def test_names_that_nobody_could_read_are_refused(name: object, message: str) -> None:
    """The message says which name, and why."""
    with pytest.raises(InvalidName) as error:
        names.check_name("model", name)
    assert message == str(error.value)


@pytest.mark.parametrize("key", ["lr", "val/loss", "a b", "é", "a.b", "..a", "#", "x" * 250])
def test_keys_may_be_groups_and_words(key: str) -> None:
    """A key may hold slashes, spaces and any script."""
    assert key == names.check_key("metric", key)


@pytest.mark.parametrize(
    "key", ["", "x" * 251, "a\tb", "a\n", "/a", "a/", "../a", "a/../b", "a/./b", ".", "..", 3, "\u2028"]
)
def test_keys_that_would_be_paths_are_refused(key: object) -> None:
    """No key climbs out of a folder, and none breaks a line of metrics.tsv."""
    with pytest.raises(InvalidName):
        names.check_key("metric", key)


@pytest.mark.parametrize("run_id", ["0192f3ab5c6d7e8f9a0b1c2d3e4f5a6b", "ab", "my-run.1_x", "a" * 100, "console", "1a"])
def test_run_ids_name_folders_everywhere(run_id: str) -> None:
    """32 hex digits or a key of one's own."""
    assert run_id == names.check_run_id(run_id)


@pytest.mark.parametrize(
    "run_id",
    [
        "",
        "a",
        "A1",
        "a b",
        "a/b",
        "..",
        "a..b",
        ".a",
        "-a",
        "a.",
        "a" * 101,
        "con",
        "nul.x",
        "a.lock",
        "ab\n",
        12,
        "é1",
    ],
)
def test_run_ids_that_no_folder_could_have_are_refused(run_id: object) -> None:
    """Upper case, separators, reserved words and dots at the ends would collide or fail somewhere."""
    with pytest.raises(InvalidName):
        names.check_run_id(run_id)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("churn", "churn"),
        ("churn-v2.1_x", "churn-v2.1_x"),
        ("RandomForest Experiment", "randomforest-experiment-8e2a"),
        ("Churn", "churn-b283"),
        ("Café au lait", "cafe-au-lait-81a7"),
        ("日本", "experiment-44da"),
        ("..", "experiment-9d89"),
        ("a/../b", "a-b-b2f1"),
        ("con", "x-con-b1f6"),
        ("nul.txt", "x-nul.txt-8d8d"),
        ("a.lock", "a.lock-f620"),
        ("x" * 61, "x" * 60 + "-5482"),
    ],
)
def test_experiment_ids_are_fixed_for_ever(name: str, expected: str) -> None:
    """These ids are in people's repositories: a change of the rule would split their experiments."""
    assert expected == names.experiment_id(name)


@settings(max_examples=200, deadline=None)
@given(people)
@example("cafe\u0301")
def test_an_experiment_id_is_a_safe_folder_and_its_own_id(name: str) -> None:
    """Whatever the name, its id is a short lower-case ASCII folder name, and one id for all forms of the name."""
    found = names.experiment_id(name)
    assert found == names.experiment_id(unicodedata.normalize("NFD", name))
    assert found.isascii()
    assert found == found.lower()
    assert not set(found) - set("abcdefghijklmnopqrstuvwxyz0123456789._-")
    assert 1 <= len(found) <= 67
    assert ".." not in found
    assert found[0] not in "-._"
    assert found[-1] not in "-._"
    assert not found.endswith(".lock")
    if len(found) <= 60:
        assert found == names.experiment_id(found)


def test_names_that_differ_only_by_case_are_two_experiments() -> None:
    """`Churn` and `churn` lie in two folders, on case-insensitive disks too."""
    ids = {names.experiment_id(name).lower() for name in ("churn", "Churn", "CHURN", "churn ", " churn")}
    assert 5 == len(ids)


@settings(max_examples=300, deadline=None)
@given(people)
def test_an_encoded_name_can_be_decoded(name: str) -> None:
    """Encoding loses nothing, unless the name is so long that it is cut and marked by a digest."""
    text = names.encode_component(name)
    assert len(text.encode()) <= names.MAX_COMPONENT
    assert "/" not in text
    if len(text.encode()) <= names.MAX_COMPONENT - 11:
        assert unicodedata.normalize("NFC", name) == names.decode_component(text)


@settings(max_examples=100, deadline=None)
@given(people, people)
def test_two_names_never_share_an_encoding(one: str, other: str) -> None:
    """Different names, long ones included, are different refs."""
    assume(unicodedata.normalize("NFC", one) != unicodedata.normalize("NFC", other))
    assert names.encode_component(one) != names.encode_component(other)


@settings(max_examples=30, deadline=None)
@given(people)
@example("a.lock")
def test_git_accepts_every_encoded_name(name: str) -> None:
    """Real git takes the tag of a version, its retirement and the bare component for well-formed refs."""
    tag = names.format_version_tag(name, 3)
    for ref in (f"refs/tags/{tag}", f"refs/tags/{tag}!", f"refs/heads/promote/{names.encode_component(name)}"):
        result = subprocess.run(["git", "check-ref-format", ref], check=False)
        assert 0 == result.returncode, ref


def test_git_keeps_odd_names_apart(tmp_path: Path) -> None:
    """Tags of all the odd names live side by side in one repository, loose and packed, and read back."""
    git = ["git", "-C", str(tmp_path), "-c", "user.name=x", "-c", "user.email=x@example.org"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "x"], check=True)
    tags = {names.format_version_tag(name, 1): name for name in ODD}
    commands = "".join(f"create refs/tags/{tag} HEAD\n" for tag in tags)
    subprocess.run([*git, "update-ref", "--stdin"], input=commands.encode(), check=True)
    for _ in range(2):
        found = subprocess.run([*git, "for-each-ref", "--format=%(refname)"], capture_output=True, check=True)
        refs = [ref.removeprefix("refs/tags/") for ref in found.stdout.decode().split("\n")]
        assert set(tags) <= set(refs)
        subprocess.run([*git, "pack-refs", "--all"], check=True)
    for tag, name in tags.items():
        parsed = names.parse_version_tag(tag)
        assert parsed == (names.encode_component(name), 1, False)


@settings(max_examples=100, deadline=None)
@given(people, st.integers(1, 10**17))
def test_a_version_tag_is_parsed_as_it_was_formatted(name: str, version: int) -> None:
    """Model, number and retirement come back."""
    tag = names.format_version_tag(name, version)
    assert (names.encode_component(name), version, False) == names.parse_version_tag(tag)
    assert (names.encode_component(name), version, True) == names.parse_version_tag(f"{tag}!")


@pytest.mark.parametrize(
    "tag",
    [
        "v1.0",
        "churn",
        "@v1",
        "churn@v0",
        "churn@v01",
        "churn@v1!!",
        "churn@v",
        "a@b@v1",
        "churn@V1",
        "x@v" + "1" * 5000,
    ],
)
def test_other_tags_are_no_versions(tag: str) -> None:
    """Tags of releases and of other tools are left alone."""
    assert names.parse_version_tag(tag) is None


@pytest.mark.parametrize("alias", ["champion", "prod-eu", "a.b", "Größe", "_x", "v1x"])
def test_aliases_are_words(alias: str) -> None:
    """Letters of any script, digits, `_`, `-` and `.`."""
    assert alias == names.check_alias(alias)


@pytest.mark.parametrize(
    "alias", ["latest", "Latest", "v3", "V3", "3", "a/b", "a b", "-a", ".a", "", "x" * 256, "a@b", "Con", "nul.x", None]
)
def test_aliases_that_mean_a_version_or_a_path_are_refused(alias: object) -> None:
    """`models:/name@v3` would be read in two ways."""
    with pytest.raises(InvalidName):
        names.check_alias(alias)
