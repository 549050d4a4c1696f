"""The report on a proposal: what it tells, within a forge's limit, whatever the records hold."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from runstone.git.repository import Repository
from runstone.promotion.ci.check import check, write_report
from runstone.promotion.ci.context import find_context
from runstone.promotion.report.report import LIMIT, MARKER, report
from runstone.promotion.report.subject import compare_signatures
from runstone.promotion.report.text import approvals_lines
from runstone.records import yaml
from runstone.records.policy import Approvals
from runstone.records.registration import Registration
from runstone.registry.version import register_version, run_commit
from runstone.tracking.experiment import ensure_experiment
from runstone.tracking.read import need_recorded
from runstone.tracking.run import start_run
from runstone.tracking.workspace import Workspace
from runstone.uris import RunUri
from tests.promotion.support import alias_file, propose, stage_file, write
from tests.support import git

EVIL = "|`@bob` </details><script> ::error::x [a](b)"
POLICY = """\
schema: runstone/policy/v1
stages:
  Staging: {}
  Production:
    holders: 1
    previous: Archived
    gates:
    - metric: {name: auc, at_least: 0.85}
    - no_worse: {metric: loss}
    approvals: {count: 2, by: ['*@example.org'], signed: true}
  Archived: {}
metrics: {auc: higher, loss: lower, size: lower, recall: higher}
"""


def log(repo: Path, number: int, code: str, columns: str, metrics: dict[str, float], **params: object) -> RunUri:
    """A run of some code with a model of so many bytes."""
    (repo / "train.py").write_text(code)
    workspace = Workspace.open(repo)
    folder = repo.parent / f"model-{number}"
    folder.mkdir()
    (folder / "MLmodel").write_text("flavors: {}\n")
    (folder / "weights.bin").write_bytes(b"w" * 1000 * number)
    with start_run(
        workspace, ensure_experiment(workspace.repo, "trees"), run_id=f"run-{number}", name=f"n{number}"
    ) as run:
        for key, value in metrics.items():
            run.log_metric(key, value)
        run.log_params(params)
        run.log_model(folder, "model", ["sklearn"], {"inputs": columns})
    return RunUri(f"run-{number}", "model")


@pytest.fixture
def repo(git_repo: Path) -> Path:
    """Two versions of `churn`, the first in Production, the second in Staging, and a run that is none yet."""
    age, city = '{"name": "age", "type": "long"}', '{"name": "city", "type": "string"}'
    older = {"auc": 0.8, "loss": 0.5, "f1": 0.1, "recall": 0.4, "size": 3.0}
    newer = {"auc": 0.9, "loss": 0.6, "f1": 0.2, "size": 3.0, "new": 1.0}
    first = log(git_repo, 1, "print(1)\n", f"[{age}]", older, depth=3, note=EVIL)
    second = log(git_repo, 2, "print(2)\nprint(2)\n", f"[{age}, {city}]", newer, depth=4, note=f"{EVIL}!")
    log(git_repo, 3, "print(3)\n", f"[{age}]", {"auc": 0.99})
    workspace = Workspace.open(git_repo)
    for uri in (first, second):
        register_version(workspace, "churn", uri, description=EVIL)
    git("checkout", "-q", "train.py", cwd=git_repo)
    files: dict[str, str | None] = {
        "registry/policy.yaml": POLICY,
        "registry/churn/stages/Production.yaml": stage_file(1),
        "registry/churn/stages/Staging.yaml": stage_file(2),
        "registry/churn/README.md": f"# Churn\n\n```\n{EVIL}\n</details>\n  ::set-output name=x::y\n",
    }
    write(git_repo, files, "Begin the registry")
    return git_repo


def told_of(repo: Path, head: str, *, limit: int = LIMIT) -> str:
    """The report on a commit."""
    workspace = Workspace(Repository.open(repo))
    text = report(workspace, git("rev-parse", "main", cwd=repo), head, limit=limit)
    workspace.repo.close()
    return text


@pytest.fixture
def tell(repo: Path) -> Callable[..., str]:
    """The report on a branch with some files changed."""

    def told(files: dict[str, str | None]) -> str:
        head = propose(repo, files, "Change it", "proposal")
        return told_of(repo, head)

    return told


PROMOTE: dict[str, str | None] = {
    "registry/churn/stages/Production.yaml": stage_file(2),
    "registry/churn/stages/Staging.yaml": None,
    "registry/churn/stages/Archived.yaml": stage_file(1),
}


def rows(text: str, title: str) -> list[list[str]]:
    """The rows of the first table below a heading, without its head."""
    below = text.split(f"#### {title}\n", 1)[1]
    table = next(block for block in below.split("\n\n") if block.lstrip().startswith("|"))
    lines = table.strip().splitlines()[2:]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def test_a_promotion(tell: Callable[..., str]) -> None:
    """What changes and who makes room, gates, approvals, each metric by the direction that the policy declares."""
    text = tell(PROMOTE)
    assert text.startswith(f"{MARKER}\n### What this changes in the registry\n")
    assert "| `churn` | `churn v2: Staging → Production` |  |" in text
    assert "| `churn` | `churn v1: Production → Archived` | makes room |" in text
    assert "Files and gates: **fail**." in text
    own = "Needs 2 approvals, each by one of `*@example.org`, signed; the author's own does not count."
    assert own in text
    assert [["`metric`", "pass"], ["`no_worse`", "**fail**"]] == [[r[0], r[2]] for r in rows(text, "Gates")]
    assert [
        ["`auc`", "`0.8`", "`0.9`", "`+0.1`", "`+12.50%`", "better"],
        ["`loss`", "`0.5`", "`0.6`", "`+0.1`", "`+20.00%`", "**worse**"],
        ["`recall`", "`0.4`", "", "", "", "**missing**"],
        ["`size`", "`3`", "`3`", "", "", "same"],
        ["`f1`", "`0.1`", "`0.2`", "`+0.1`", "`+100.00%`", ""],
        ["`new`", "", "`1`", "", "", ""],
    ] == rows(text, "Metrics")
    assert "| metric | `v1`, present | `v2` | change | relative |  |" in text
    assert [["`+`", "`inputs.city`", "", "`string`"]] == rows(text, "Signature")
    assert ["`~`", "`depth`", "`3`", "`4`"] == rows(text, "Params")[0]
    assert ["size", "`1012 B`", "`2.0 KiB (+99%)`"] == next(row for row in rows(text, "The model") if row[0] == "size")
    assert "1 file changed, 2 insertions(+), 1 deletion(-): `runstone diff churn@v1 churn@v2 --code`" in text
    assert [["`train.py`", "+2", "−1"]] == rows(text, "Code")
    assert (
        "runstone checkout churn@v2\nrunstone models get models:/churn/2 out\nrunstone diff churn@v1 churn@v2" in text
    )
    assert "model = runstone.pyfunc.load_model('models:/churn/2')" in text
    assert 1 == text.count("<summary>Model card</summary>")


def test_nothing_of_a_record_is_markup(tell: Callable[..., str]) -> None:
    """Outside code there is no mention, no HTML but ours, no link; a card cannot leave its fence or give commands."""
    text = tell(PROMOTE)
    assert "````markdown" in text
    assert "  :\u200b:set-output" in text
    outside = re.sub(r"(?ms)^(`{3,})[a-z]*\n.*?^\1$", "", text)
    outside = re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", outside)
    for word in ("@bob", "<script", "](", "::"):
        assert word not in outside, word
    assert outside.count("<details>") == outside.count("</details>")
    assert not [line for line in text.splitlines() if re.match(r"\s*(::|##\[)", line)]


def test_it_fits(tell: Callable[..., str], repo: Path) -> None:
    """What matters least is left out first, and that is told; gates and metrics stay; at worst it is cut."""
    whole = tell(PROMOTE)
    head = git("rev-parse", "proposal", cwd=repo)
    limit = len(whole) - 200
    small = told_of(repo, head, limit=limit)
    assert len(small) <= limit
    assert "#### Gates" in small
    assert "#### Metrics" in small
    assert "How to try it</summary>" not in small
    note = r"Left out, as there is no room for it here: .*How to try it, Model card\. All of it: `runstone ci report`"
    assert re.fullmatch(note, small.splitlines()[-1])
    tiny = told_of(repo, head, limit=700)
    assert len(tiny) <= 700
    assert tiny.endswith("… cut, as there is no room here. All of it: `runstone ci report`\n")


def test_a_first_version_has_nothing_to_be_compared_with(tell: Callable[..., str]) -> None:
    """Its own metrics stand there, and what is better."""
    text = tell({"registry/churn/aliases/champion.yaml": alias_file(2)})
    assert "### `churn@champion: None → v2`\n\nNo approval is needed.\n" in text
    assert ["`auc`", "`0.9`", "higher"] == rows(text, "Metrics")[0]
    assert "#### Params" not in text
    assert "Files and gates: **pass**." in text


def test_an_alias_that_moves_is_compared_with_where_it_was(tell: Callable[..., str], repo: Path) -> None:
    """The version that it leaves is the present one."""
    write(repo, {"registry/churn/aliases/champion.yaml": alias_file(1)}, "An alias")
    text = tell({"registry/churn/aliases/champion.yaml": alias_file(2)})
    assert "### `churn@champion: v1 → v2`" in text
    assert "| metric | `v1`, present | `v2` | change | relative |  |" in text


def test_a_request_to_register(tell: Callable[..., str], repo: Path) -> None:
    """The run, its metrics and its model."""
    workspace = Workspace.open(repo)
    recorded = need_recorded(workspace, "run-3")
    wanted = Registration(
        "run-3", "model", recorded.folder, run_commit(workspace.repo, recorded.folder), recorded.run.models[0].digest
    )
    text = tell({"registry/churn/registrations/run-3.yaml": yaml.dump(wanted.to_document())})
    assert "### `churn: register run run-3`" in text
    assert [["`auc`", "`0.99`", "higher"]] == rows(text, "Metrics")
    assert ["run", "`n3 (run-3)`"] == rows(text, "The model")[0]
    assert "Files and gates: **pass**." in text


def test_other_files_are_told_as_patches(tell: Callable[..., str]) -> None:
    """The policy, notes, the model's own file; several in one proposal have a section each."""
    changed: dict[str, str | None] = {
        "registry/policy.yaml": POLICY.replace("at_least: 0.85", "at_least: 0.1"),
        "registry/churn/model.yaml": "schema: runstone/registered-model/v1\ndescription: '@bob'\n",
    }
    text = tell(changed)
    assert "### `policy changed`" in text
    assert "-    - metric: {name: auc, at_least: 0.85}\n+    - metric: {name: auc, at_least: 0.1}\n" in text
    assert "### `churn: model.yaml added`" in text
    assert "```diff\n--- before\n+++ after\n@@ -0,0 +1,2 @@\n+schema: runstone/registered-model/v1\n" in text


def test_a_demotion_and_nothing_at_all(tell: Callable[..., str], repo: Path) -> None:
    """There is no version to tell of."""
    text = tell({"registry/churn/stages/Production.yaml": None})
    assert "### `churn v1: Production → None`" in text
    assert "#### Metrics" not in text
    assert "Nothing.\n\nFiles and gates: **pass**." in told_of(repo, git("rev-parse", "main", cwd=repo))


def test_a_file_that_cannot_be_read_is_told(tell: Callable[..., str]) -> None:
    """Also where nobody checked the files before: it counts as gone, which nobody asked for."""
    text = tell({"registry/churn/stages/Production.yaml": "versions: [1"})
    assert "Files and gates: **fail**." in text
    assert "#### What is wrong\n\n- `` `registry/churn/stages/Production.yaml` at " in text


def test_what_is_wrong_with_files_stands_first(repo: Path) -> None:
    """File, line and what to do; a version that is not here is no end of the report."""
    propose(repo, {"registry/churn/stages/Production.yaml": stage_file(9)}, "v9", "nine")
    workspace = Workspace(Repository.open(repo))
    found = check(workspace, find_context(workspace.repo, base="main", head="nine", environ={}))
    text = write_report(workspace, found)
    workspace.repo.close()
    assert (
        "#### What is wrong\n\n- `registry/churn/stages/Production.yaml:3` `` there is no version 9 of 'churn'" in text
    )
    assert "The git tag of v9 is not here. Fetch it: `runstone sync`" in text


@pytest.mark.parametrize(
    ("url", "page"),
    [
        ("git@github.com:team/churn.git", "https://github.com/team/churn/compare/"),
        ("https://kim:secret@gitlab.com/team/sub/churn", "https://gitlab.com/team/sub/churn/-/compare/"),
        ("ssh://git@codeberg.org/team/churn.git", "https://codeberg.org/team/churn/compare/"),
        ("/srv/git/churn.git", None),
    ],
)
def test_code_is_linked_where_the_remote_is_a_forge(
    tell: Callable[..., str], repo: Path, url: str, page: str | None
) -> None:
    """To the page that compares the two snapshots; without credentials."""
    git("remote", "add", "origin", url, cwd=repo)
    text = tell(PROMOTE)
    assert "secret" not in text
    links = re.findall(r"\[Compare on the forge\]\((.*)\)", text)
    if page is None:
        assert [] == links
    else:
        assert re.fullmatch(re.escape(page) + r"[0-9a-f]{40}\.\.\.[0-9a-f]{40}", links[0])


def test_signatures_are_compared_column_by_column() -> None:
    """What is no list of columns is compared as a whole, and nothing hostile ends the report."""
    a = {"inputs": '[{"name": "x", "type": "long"}, {"type": "tensor", "tensor-spec": {}}]', "outputs": "not json"}
    b = {"inputs": '[{"name": "x", "type": "long", "required": false}]', "outputs": "[" * 100_000}
    found = {each.key: (each.state, each.a, each.b) for each in compare_signatures(a, b)}
    assert ("changed", "long", '{"required": false, "type": "long"}') == found["inputs.x"]
    assert ("removed", '{"tensor-spec": {}, "type": "tensor"}', None) == found["inputs.1"]
    assert "changed" == found["outputs"][0]


def test_a_rule_that_another_contains_is_not_told_beside_it() -> None:
    """Who meets the stricter one meets both; of two that differ both stand."""
    named, any_one = Approvals(count=1, by=("ada@example.org",)), Approvals(count=1)
    only = ["Needs 1 approval, each by one of `ada@example.org`; the author's own does not count."]
    assert only == approvals_lines([named, any_one])
    assert 2 == len(approvals_lines([named, Approvals(count=2)]))
    assert ["No approval is needed."] == approvals_lines([])
