"""The folder of files: the same bytes again, nothing of others touched, each file whole."""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from runstone.deploy.deployment import Deployment
from runstone.deploy.render import TARGETS, compare, format_yaml, render, write
from runstone.errors import DiskFull, OutputRefused
from tests.deploy.rendered import deployment, load_yaml

NUMBERS = "1e5 12e03 0o17 017 0x1F 1_000 1:30 .5 1. +1 .inf inf ~ yes Null on true 2026-11-23".split()
SIGNS = ["=", "<<", "a: b", "a #b", "- a", "&a", "*a", "!a", "%a", "@a", "`a", "{a}", "[a]", "---", "--- a", "..."]
SIGNS += ["'", '"', "\\", "-", "?", "k: |", ">"]


def some(target: str = "k8s") -> list[Deployment]:
    """Two models, with whatever source the target takes."""
    source = "https://host/team/churn.git" if target == "ray-serve" else None
    return [deployment("churn", source=source), deployment("fraud", source=source)]


def left(folder: Path) -> list[str]:
    """All files below a folder, hidden ones too."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("target", TARGETS)
def test_the_same_state_gives_the_same_bytes(target: str, tmp_path: Path) -> None:
    """In another process, too; a second time nothing is written, so no file gets a new date."""
    rendered = render(target, some(target), "Production")
    assert set(rendered.files) == {path for path, change in write(tmp_path, rendered).items() if change == "new"}
    assert sorted(rendered.files) == left(tmp_path)
    before = {path: (tmp_path / path).stat().st_mtime_ns for path in rendered.files}
    again = write(tmp_path, render(target, some(target), "Production"))
    assert {"same"} == set(again.values())
    assert before == {path: (tmp_path / path).stat().st_mtime_ns for path in rendered.files}
    program = (
        "import sys; from runstone.deploy.render import render; from tests.deploy.test_render_files import some; "
        f"sys.stdout.write(render({target!r}, some({target!r}), 'Production').to_stream())"
    )
    seeds = {"PYTHONHASHSEED": str(random.randrange(1, 1000))}
    done = subprocess.run([sys.executable, "-c", program], env=os.environ | seeds, capture_output=True, check=True)
    assert rendered.to_stream().encode() == done.stdout


def test_what_left_the_stage_is_removed(tmp_path: Path) -> None:
    """With its folder, if nothing else is in it; files of others stay, whatever their names."""
    write(tmp_path, render("k8s", [*some(), deployment("old"), deployment("older")], "Production"))
    (tmp_path / "old" / "ingress.yaml").write_text("kind: Ingress\n")
    (tmp_path / "patch.yaml").write_text("kind: Patch\n")
    (tmp_path / ".git").mkdir()
    kept = (tmp_path / "older" / "service.yaml").read_text()
    (tmp_path / ".git" / "service.yaml").write_text(kept)
    rendered = render("k8s", some(), "Production")
    gone = [f"{name}/{file}.yaml" for name in ("old", "older") for file in ("deployment", "kustomization", "service")]
    expected = dict.fromkeys(gone, "removed") | {"kustomization.yaml": "changed"}
    planned = compare(tmp_path, rendered)
    assert expected == {path: change for path, change in planned.items() if change != "same"}
    assert planned == write(tmp_path, rendered)
    assert sorted([*rendered.files, ".git/service.yaml", "old/ingress.yaml", "patch.yaml"]) == left(tmp_path)
    assert not (tmp_path / "older").exists()
    assert {"same"} == set(compare(tmp_path, rendered).values())


def test_another_stage_in_the_same_folder(tmp_path: Path) -> None:
    """Is refused where it would replace a file, and its files are none of ours to remove."""
    write(tmp_path, render("k8s", some(), "Production"))
    before = {path: (tmp_path / path).read_bytes() for path in left(tmp_path)}
    with pytest.raises(OutputRefused) as caught:
        write(tmp_path, render("k8s", [deployment("churn")], "Staging"))
    assert (
        f"Nothing was written to {tmp_path / 'churn/deployment.yaml'}: it is there, and has not the first line of what "
        "would be written. Render into a folder of its own, one for each stage: `-o DIR`; or take the file away."
    ) == str(caught.value)
    assert before == {path: (tmp_path / path).read_bytes() for path in left(tmp_path)}


@pytest.mark.parametrize("path", ["churn/deployment.yaml", "kustomization.yaml"])
def test_a_file_of_others_is_never_replaced(path: str, tmp_path: Path) -> None:
    """Nor is anything else written then."""
    (tmp_path / path).parent.mkdir(exist_ok=True)
    (tmp_path / path).write_text("kind: Mine\n")
    with pytest.raises(OutputRefused):
        write(tmp_path, render("k8s", some(), "Production"))
    assert [path] == left(tmp_path)
    assert "kind: Mine\n" == (tmp_path / path).read_text()


def test_links_lead_nowhere(tmp_path: Path) -> None:
    """A folder or a file that is a link could be anybody's: nothing is written through it, or removed."""
    outside, folder = tmp_path / "outside", tmp_path / "folder"
    outside.mkdir()
    folder.mkdir()
    rendered = render("k8s", some(), "Production")
    (folder / "churn").symlink_to(outside)
    with pytest.raises(OutputRefused, match="is no folder"):
        write(folder, rendered)
    (folder / "churn").unlink()
    (outside / "service.yaml").write_text(rendered.files["churn/service.yaml"])
    (folder / "kustomization.yaml").symlink_to(outside / "service.yaml")
    with pytest.raises(OutputRefused):
        write(folder, rendered)
    (folder / "kustomization.yaml").unlink()
    (folder / "elsewhere").symlink_to(outside)
    (folder / "loose.yaml").symlink_to(outside / "service.yaml")
    write(folder, rendered)
    assert ["service.yaml"] == left(outside)
    assert (folder / "loose.yaml").is_symlink()


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """Is told, and no half of a file stays."""
    (tmp_path / "file").write_text("")
    with pytest.raises(DiskFull):
        write(tmp_path / "file", render("compose", some(), "Production"))
    assert ["file"] == left(tmp_path)


def test_one_stream_for_a_pipe() -> None:
    """Every object and no list of the others: `kubectl apply -f -` knows no kustomization."""
    stream = render("k8s", some(), "Production").to_stream()
    kinds = [document["kind"] for document in yaml.safe_load_all(stream)]
    assert ["Deployment", "Service"] * 2 == kinds


@pytest.mark.parametrize("text", [*NUMBERS, *SIGNS, "", " a", "a\nb", "a\tb", "a\u2028b", "\ufeff", "\x7f", "é"])
def test_texts_stay_texts(text: str) -> None:
    """For readers of YAML 1.1 and of 1.2, as keys and as values."""
    assert {"a": text, "b": [text], text + "x": 1} == load_yaml(format_yaml({"a": text, "b": [text], text + "x": 1}))


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_any_text_stays_text(text: str) -> None:
    """Whatever somebody calls a model."""
    assert {"a": text, "b": {"c": [text, 1, True]}} == load_yaml(format_yaml({"a": text, "b": {"c": [text, 1, True]}}))


def test_what_nobody_sees_is_shown() -> None:
    """A name that turns the direction of its line reads in a review as what it is; other scripts stay as they are."""
    assert 'a: "churn\\u202E3:golatac"\n' == format_yaml({"a": "churn\u202e3:golatac"})
    assert "a: 'модель'\n" == format_yaml({"a": "модель"})


def test_numbers_and_repeated_values() -> None:
    """No anchors, which compose and clusters read differently; numbers are numbers."""
    same = {"a": 1}
    text = format_yaml({"one": same, "two": same, "number": 0.5, "is": True})
    assert "one:\n  a: 1\ntwo:\n  a: 1\nnumber: 0.5\nis: true\n" == text
