"""The Dockerfile: what people named cannot leave its quotes, and other parsers read what was meant."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

pytest.importorskip("dockerfile_parse", reason="the tests' own libraries are not installed")

from dockerfile_parse import DockerfileParser

from runstone.deploy.dockerfile import check_image, labels, quote, write_dockerfile
from runstone.errors import InvalidValue
from runstone.serving.packed import Packed

DIGEST = "md5:0192f3ab5c6d7e8f9a0b1c2d3e4f5a6b.dir"
HOSTILE = 'x"\nRUN ["curl", "evil"]\n#\\'


def packed(model: str = "churn", uri: str = "models:/churn@champion") -> Packed:
    """What a context serves."""
    return Packed(uri, f"models:/{model}/3", model, 3, "01a2", "4f" * 20, DIGEST, "3.12", {})


def parse(text: str, folder: Path) -> DockerfileParser:
    """The text, read by a parser that is not ours."""
    (folder / "Dockerfile").write_text(text)
    return DockerfileParser(path=str(folder))


def test_what_it_says(tmp_path: Path) -> None:
    """Its instructions in order; commands as lists, the right base, port, labels, and no build argument but pip's."""
    text = write_dockerfile(packed(), base_image=f"python:3.12-slim@sha256:{'a' * 64}", by_hash=False)
    parser = parse(text, tmp_path)
    steps = [step["instruction"] for step in parser.structure if step["instruction"] not in ("COMMENT", "LABEL")]
    first = ["ARG", "FROM", "ARG", "WORKDIR", "COPY", "COPY", "RUN", "RUN"]
    last = ["FROM", "ENV", "WORKDIR", "COPY", "COPY", "COPY", "USER", "EXPOSE", "HEALTHCHECK", "ENTRYPOINT"]
    assert first + last == steps
    values = {step["instruction"]: step["value"] for step in parser.structure}
    entrypoint = json.loads(values["ENTRYPOINT"])
    assert ["serve", "/srv/runstone", f"--digest={DIGEST}", "--host=0.0.0.0", "--port=8080"] == entrypoint[4:]
    assert "8080" == values["EXPOSE"]
    for step in parser.structure:
        if step["instruction"] == "RUN":
            assert isinstance(json.loads(step["value"]), list)
    assert labels(packed()) == parser.labels
    assert f"python:3.12-slim@sha256:{'a' * 64}" == parser.baseimage
    assert not re.search(r"@[a-z]+@", text)
    assert "\nADD " not in text
    assert ":latest" not in text


def test_with_a_wheelhouse_the_build_asks_no_index() -> None:
    """And takes no wheel but by its hash."""
    text = write_dockerfile(packed(), base_image="python:3.12-slim", by_hash=True)
    (install,) = [json.loads(line[4:]) for line in text.splitlines() if line.startswith("RUN") and "install" in line]
    assert {"--no-index", "--find-links=wheels", "--require-hashes"} <= set(install)
    assert "PIP_INDEX_URL" not in text


def unquote(word: str) -> str:
    """A word in quotes as the reference of Dockerfiles reads it: a backslash before `"`, `$` or itself is taken off."""
    assert re.fullmatch(r'"(?:[^"\\$]|\\["\\$])*"', word), word
    return re.sub(r"\\(.)", r"\1", word[1:-1])


@given(st.text())
@example(HOSTILE)
@example("${BASE_IMAGE} $HOME \\")
@example("\u2028\u0085\x0b\r\n")
@example("@labels@ @entrypoint@")
def test_a_text_stays_in_its_quotes(text: str) -> None:
    """Whatever it is, it is one word on one line, in which nothing is replaced; what cannot be shown becomes `?`."""
    word = quote(text)
    assert 1 == len(word.splitlines())
    assert "".join(c if c.isprintable() else "?" for c in text) == unquote(word)


@pytest.mark.parametrize("name", [HOSTILE, "a\\", 'a" "b"="c', "$(id) `id` ${HOME}", "@entrypoint@", "<<EOF", "Ж 模型"])
def test_a_hostile_name_changes_labels_alone(name: str, tmp_path: Path) -> None:
    """The instructions are those of a model with a plain name, in number and in words."""
    plain = parse(write_dockerfile(packed(), base_image="python:3.12-slim", by_hash=False), tmp_path).structure
    text = write_dockerfile(packed(name, f"models:/{name}/3"), base_image="python:3.12-slim", by_hash=False)
    found = parse(text, tmp_path).structure
    assert len(plain) == len(found)
    for one, other in zip(plain, found, strict=True):
        assert one["instruction"] == other["instruction"]
        assert one["value"] == other["value"] or one["instruction"] == "LABEL"


@pytest.mark.parametrize(
    "name",
    ["churn", "churn:3", "team/churn:v1.0_a-b", "registry.example.org:5000/team/churn", "localhost/a__b/c-d.e:3"],
)
def test_names_of_images(name: str) -> None:
    """With registry, port, path and tag."""
    assert name == check_image(name)


@pytest.mark.parametrize(
    "name",
    [
        *("", "-t", "--output=/etc", "Churn", "a b", "a\nb", "a:", ":3", "a/", "/a", "a//b", "a:b:c", "../a", "a:-b"),
        *("a@sha256:" + "a" * 64, "a\n", "é", "a" * 501, "a:" + "b" * 129, "$(id)", "a;b", "python\nRUN evil"),
    ],
)
def test_what_is_no_name_of_an_image(name: str) -> None:
    """Neither an option, nor what a shell or a Dockerfile would read otherwise."""
    with pytest.raises(InvalidValue, match="cannot be the name of an image"):
        check_image(name)


def test_a_base_image_by_digest() -> None:
    """Whole digests alone."""
    name = "python:3.12-slim@sha256:" + "0" * 64
    assert name == check_image(name, with_digest=True)
    for wrong in (name[:-1], f"{name}0", "python@md5:" + "0" * 32, f"{name}\nRUN x"):
        with pytest.raises(InvalidValue):
            check_image(wrong, with_digest=True)
