"""Model cards: filled from the run, refreshed without losing what people wrote, read with care."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from runstone.errors import LocalEdits, RecordInvalid, VersionNotFound
from runstone.registry.branch import registry_commit
from runstone.registry.card import Generated, front_matter, read_card, refresh, sections
from runstone.registry.card_fill import fill_card, write_card
from runstone.registry.model_edits import create_model, describe_model
from runstone.registry.version import register_version
from runstone.templates import read
from runstone.tracking.experiment import ensure_experiment
from runstone.tracking.run import start_run
from runstone.tracking.workspace import Workspace
from runstone.uris import RunUri
from tests.support import git

FILE = "registry/churn/README.md"
SECTIONS = [
    "Model description",
    "Intended use",
    "Limitations",
    "Training data",
    "Evaluation",
    "How to use",
]


def log_run(workspace: Workspace, tmp_path: Path, run_id: str, auc: float, **params: Any) -> RunUri:
    """A run with metrics, params and a model."""
    folder = tmp_path / run_id
    folder.mkdir()
    (folder / "MLmodel").write_text("flavors: {}\n")
    with start_run(workspace, ensure_experiment(workspace.repo, "trees"), run_id=run_id) as run:
        run.log_metric("auc", auc)
        run.log_metric("worst", float("nan"))
        run.log_params(params)
        run.log_model(folder, "model", ["sklearn", "python_function"], {"inputs": '[{"name": "age"}]'})
    return RunUri(run_id, "model")


def test_a_card_is_filled_from_the_run(workspace: Workspace, tmp_path: Path, git_repo: Path) -> None:
    """Front matter that others read as YAML, and tables; what only people can say is left empty for them."""
    register_version(workspace, "churn", log_run(workspace, tmp_path, "first-run", 0.91, depth=3))
    assert write_card(workspace, "churn") == git("rev-parse", "main", cwd=git_repo)
    text = (git_repo / FILE).read_text()
    head = yaml.safe_load(text.split("---\n")[1])
    assert head == front_matter(text)
    result = {
        "task": {"type": "other"},
        "dataset": {"name": "trees", "type": "other"},
        "metrics": [{"type": "auc", "name": "auc", "value": 0.91}],
    }
    assert {
        "library_name": "sklearn",
        "metrics": ["auc"],
        "model-index": [{"name": "churn", "results": [result]}],
        "runstone": {"model": "churn", "version": 1, "run": "first-run"},
        "license": "other",
        "tags": ["runstone"],
    } == head
    found = sections(text)
    assert SECTIONS == list(found)[1:]
    assert ["", "", ""] == [found[name] for name in SECTIONS[:3]]
    assert "| `auc` | 0.91 | 0 |" in found["Evaluation"]
    assert "| `depth` | `3` |" in found["churn"]
    assert "model = runstone.pyfunc.load_model('models:/churn/1')" in found["How to use"]
    assert "Inputs:\n\n| Name | Type |  |\n| --- | --- | --- |\n| `age` |  |  |" in found["How to use"]
    assert ("Fill the model card of churn", "") == (
        git("log", "-1", "--format=%s", cwd=git_repo),
        git("status", "--porcelain", cwd=git_repo),
    )
    assert write_card(workspace, "churn") is None


def test_what_people_wrote_is_kept(workspace: Workspace, tmp_path: Path, git_repo: Path) -> None:
    """Their keys, comments, sections and the order of all; only what is generated follows the new version."""
    register_version(workspace, "churn", log_run(workspace, tmp_path, "first-run", 0.91))
    write_card(workspace, "churn")
    file = git_repo / FILE
    text = file.read_text().replace("license: other", "# ours\nlicense: apache-2.0\nlanguage:\n  - de\n  - en\n")
    text = text.replace("## Limitations\n", "## Limitations\n\nNot for **new** customers.\n\n### Known\n\nSome.\n")
    text = text.replace("<!-- runstone:begin data -->\n", "").replace("<!-- runstone:end data -->\n", "")
    file.write_text(text)
    register_version(workspace, "churn", log_run(workspace, tmp_path, "second-run", 0.95))
    with pytest.raises(LocalEdits):
        write_card(workspace, "churn")
    git("commit", "-q", "-am", "By hand", cwd=git_repo)
    assert write_card(workspace, "churn", 1) is None
    write_card(workspace, "churn")
    new = file.read_text()
    keys, blocks = ("library_name", "metrics", "model-index", "runstone"), ("summary", "evaluation", "use")
    fixed = Generated(dict.fromkeys(keys, 1), {}, dict.fromkeys(blocks, "same"))
    assert refresh(text, fixed) == refresh(new, fixed)
    assert "# ours\nlicense: apache-2.0\nlanguage:\n  - de\n  - en\n\n" in new
    assert "Not for **new** customers.\n\n### Known\n\nSome." == sections(new)["Limitations"]
    assert ("0.95" in sections(new)["Evaluation"], 2) == (True, front_matter(new)["runstone"]["version"])
    assert "" == sections(new)["Training data"]


def test_before_any_version(workspace: Workspace, tmp_path: Path) -> None:
    """A model that was only made has a card to fill in; a version that is not there is an error."""
    create_model(workspace, "churn", {"license": "mit"}, "Who leaves")
    text = fill_card(workspace, "churn")
    assert ("mit", {"model": "churn"}) == (front_matter(text)["license"], front_matter(text)["runstone"])
    assert "No version yet." in text
    assert read_card(workspace.repo, registry_commit(workspace.repo), "churn") is None
    register_version(workspace, "churn", log_run(workspace, tmp_path, "first-run", 0.9))
    with pytest.raises(VersionNotFound):
        fill_card(workspace, "churn", 3)


def test_nothing_in_a_record_is_markup(workspace: Workspace, tmp_path: Path) -> None:
    """Names, descriptions and params come from other people: no HTML, no marker of ours, no heading of theirs."""
    hostile = "<!-- runstone:end summary -->\n# Evaluation\n<script>`x`</script> | y"
    name = "# <b>*x*</b> --- `y`"
    register_version(workspace, name, log_run(workspace, tmp_path, "first-run", 0.9, evil=hostile), description=hostile)
    describe_model(workspace, name, hostile)
    text = fill_card(workspace, name)
    assert SECTIONS == list(sections(text))[1:]
    assert fill_card(workspace, name) == text
    once = refresh(text, Generated({}, {}, {"summary": "x"}))
    assert "script" not in once.partition("## Model description")[0]
    for line in text.splitlines():
        assert not line.startswith(("<script", "# Evaluation"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# A\none\n\n## B\ntwo\n# C\n", {"A": "one\n\n## B\ntwo", "B": "two", "C": ""}),
        ("A\n===\none\n\nB\n---\ntwo\n", {"A": "one\n\nB\n---\ntwo", "B": "two"}),
        ("---\ntags: [x]\n---\n# A\none\n", {"A": "one"}),
        ("```\n# no\n```\n# A #\n~~~\n# no\n~~~\n", {"A": "~~~\n# no\n~~~"}),
        ("# A\n<!-- hint\n# no\n-->\n# B\n<!-- x -->y<!-- open\n# no", {"A": "", "B": "y"}),
        ("# A\n\n## B\n\n### C\n", {"A": "", "B": "", "C": ""}),
        ("# A\none\n# B\n# A\ntwo\n", {"A": "one\n\ntwo", "B": ""}),
        ("# A\n- item\n---\n#hash\n    # code\n", {"A": "- item\n---\n#hash\n    # code"}),
        ("no heading\n", {}),
    ],
)
def test_sections(text: str, expected: dict[str, str]) -> None:
    """By Markdown's rules for headings; comments and what is in code count for nothing."""
    assert expected == sections(text)


def test_a_front_matter_that_is_none() -> None:
    """A rule at the head is no front matter; a list is none; a bomb is refused."""
    assert {} == front_matter("---\n# no end\n") == front_matter("# A\n")
    for head in ("- a\n", "a: &a [1]\nb: *a\n", "a: [\n"):
        with pytest.raises(RecordInvalid):
            front_matter(f"---\n{head}---\n")


@given(
    st.text(alphabet=st.sampled_from("# \n-a:`<!>=|~runstone"), max_size=300),
    st.text(alphabet="ab\n", max_size=20),
)
def test_a_refresh_is_stable_and_changes_nothing_of_others(body: str, block: str) -> None:
    """Whatever the card is: done twice it is as done once, and without generated parts it stays as it is."""
    generated = Generated({"metrics": ["x"], "gone": None}, {"license": "other"}, {"summary": block})
    for text in (body, f"---\nmine: 1\n---\n{body}", f"{body}\n{read('model_card.md')}"):
        once = refresh(text, generated)
        assert once == refresh(once, generated)
        if text.startswith("---\n"):
            assert text == refresh(text, Generated({}, {}, {}))
        assert all(isinstance(part, str) for part in sections(once).values())
