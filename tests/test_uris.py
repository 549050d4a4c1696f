"""URIs: parsed and printed."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runstone.errors import InvalidUri
from runstone.uris import ModelUri, RunUri, parse_uri


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("runs:/abc", RunUri("abc")),
        ("runs:/abc/", RunUri("abc")),
        ("runs:/abc/a/b.txt", RunUri("abc", "a/b.txt")),
        ("runs:///abc/./a//b", RunUri("abc", "a/b")),
        ("models:/churn/3", ModelUri("churn", version=3)),
        ("models:/churn@champion", ModelUri("churn", alias="champion")),
        ("models:/churn/latest", ModelUri("churn", word="latest")),
        ("models:/churn/Production", ModelUri("churn", word="Production")),
        ("models:/team/churn/3", ModelUri("team/churn", version=3)),
        ("models:/team%2Fchurn/3", ModelUri("team/churn", version=3)),
        ("models:/team/churn@champion", ModelUri("team/churn", alias="champion")),
        ("models:/a@b/3", ModelUri("a@b", version=3)),
        ("models:/a b/3", ModelUri("a b", version=3)),
    ],
)
def test_uris_name_artifacts_and_versions(uri: str, expected: RunUri | ModelUri) -> None:
    """Each form that MLflow users write is understood."""
    assert expected == parse_uri(uri)


HELP = "Write `runs:/<run id>/<path>`, `models:/<name>/<version>`, `models:/<name>@<alias>` or `models:/<name>/latest`."


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("", "its scheme is not known"),
        ("churn/3", "its scheme is not known"),
        ("s3://bucket/x", "its scheme is not known"),
        ("runs:/", "it names no run"),
        ("runs:/../x", "it names no run"),
        ("runs:/abc/../x", "its path '../x' leaves the folder of artifacts"),
        ("runs:/abc/a/../../x", "its path 'a/../../x' leaves the folder of artifacts"),
        ("runs:/abc//etc/passwd", "its path '/etc/passwd' is not a relative path with forward slashes"),
        ("runs:/abc/a\\b", "its path 'a\\\\b' is not a relative path with forward slashes"),
        ("runs:/abc/C:x", "its path 'C:x' is not a relative path with forward slashes"),
        ("models:/churn", "it names no version"),
        ("models:/churn/", "it names no version"),
        ("models:/@champion", "it names no alias"),
        ("models:/churn@", "it names no alias"),
    ],
)
def test_uris_that_name_nothing_or_climb_out_are_refused(uri: str, why: str) -> None:
    """The message says what is wrong and which forms there are."""
    with pytest.raises(InvalidUri) as error:
        parse_uri(uri)
    assert f"The URI {uri!r} cannot be read: {why}. {HELP}" == str(error.value)


names = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=20)
words = st.from_regex(r"[A-Za-z][A-Za-z0-9_-]{0,10}", fullmatch=True)
models = st.one_of(
    st.builds(lambda n, v: ModelUri(n, version=v), names, st.integers(1, 10**17)),
    st.builds(lambda n, a: ModelUri(n, alias=a), names, words),
    st.builds(lambda n, w: ModelUri(n, word=w), names, words),
)
runs = st.builds(RunUri, words, st.lists(words, max_size=3).map("/".join))


@settings(max_examples=300, deadline=None)
@given(models | runs)
def test_a_printed_uri_is_parsed_to_itself(uri: RunUri | ModelUri) -> None:
    """Names with `%`, `/`, `@` and spaces come back."""
    assert uri == parse_uri(str(uri))
