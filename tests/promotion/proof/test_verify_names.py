"""A name leads to the model that had it first: who takes it is refused by the guard, fails checks, and is named."""

import subprocess
import sys
from pathlib import Path

import pytest

from runstone.errors import ModelNameShared, ModelRenamed
from runstone.git.repository import Repository
from runstone.promotion.proof.verify import verify
from runstone.promotion.rules.judgement import judge
from runstone.records import yaml
from runstone.records.model_file import ModelFile
from runstone.registry.keys import find_key
from runstone.registry.taken import Names
from runstone.tracking.sync import sync
from runstone.tracking.workspace import Workspace
from tests.promotion.support import make_versions, merge, propose, stage_file, write
from tests.sharing import Team
from tests.support import SOURCE, git

POLICY = "schema: runstone/policy/v1\nstages: {Staging: {}, Production: {approvals: {count: 1}}}\n"
CHURN = "registry/churn/model.yaml"
TAKEN = "is a name of two models"


def named(name: str | None) -> str:
    """The text of `model.yaml`."""
    return yaml.dump(ModelFile(name=name).to_document())


def faults(repo: Path, key: str | None = None) -> list[tuple[str, str]]:
    """What `verify` names, and where."""
    return [(each.why.partition(". ")[0], each.where) for each in verify(Workspace.open(repo), key).breaks]


def judged(repo: Path) -> list[str]:
    """What a check says of the last commit."""
    found = judge(Workspace.open(repo), git("rev-parse", "HEAD~1", cwd=repo), git("rev-parse", "HEAD", cwd=repo))
    return [*found.problems, *(problem for each in found.judged for problem in each.problems)]


@pytest.fixture
def ann(plain_team: Team) -> Path:
    """`churn`, of which the policy of its own alone guards anything, and a free model `evil`; all of it shared."""
    repo = plain_team.folder / "ann"
    write(repo, {"registry/churn/policy.yaml": POLICY, "runstone.yaml": "promotion: direct\n"}, "Guard")
    git("push", "-q", "origin", "main", cwd=repo)
    make_versions(repo)
    make_versions(repo, 1, "evil")
    sync(Workspace.open(repo), artifacts=False)
    return repo


def rename(repo: Path) -> None:
    """Call `churn` `customers`, with approval."""
    propose(repo, {CHURN: named("customers")}, "Rename", "rename")
    merge(repo, "rename")
    git("push", "-q", "origin", "main", cwd=repo)


def push(team: Team, *refs: str) -> str:
    """What the guard says to a push of Ann's; nothing if it takes it."""
    team.hook("pre-receive", f"PYTHONPATH='{SOURCE}' exec '{sys.executable}' -m runstone guard")
    command = ["git", "push", "origin", *refs]
    done = subprocess.run(command, cwd=team.folder / "ann", capture_output=True, text=True, check=False, timeout=60)
    return "" if done.returncode == 0 else " ".join(line.strip() for line in done.stderr.splitlines())


def test_a_renamed_models_name_is_not_taken_by_a_key_that_sorts_lower(ann: Path, plain_team: Team) -> None:
    """No look-up guesses which of the two is meant."""
    rename(ann)
    files: dict[str, str | None] = {"registry/aaa/model.yaml": named("customers")}
    where = f"commit {write(ann, files, 'Take')[:7]}"
    clash = f"'customers' {TAKEN}: `registry/aaa` and `registry/churn`"
    assert [(clash, where)] == faults(ann)
    assert [(clash, where)] == faults(ann, "churn")
    assert any("'customers' cannot be made" in problem for problem in judged(ann))
    with pytest.raises(ModelNameShared, match="`registry/aaa` and `registry/churn`"):
        find_key(Repository.open(ann), "customers")
    assert clash in push(plain_team, "main")


@pytest.mark.parametrize("tagged", [True, False])
def test_a_models_first_name_is_not_taken_before_it_is_renamed(ann: Path, plain_team: Team, tagged: bool) -> None:
    """It has no file that says its name: a policy and git tags, or git tags alone. After the rename, nothing else is
    meant by it, and the rename itself is no fault.
    """
    if tagged:
        git("rm", "-r", "-q", "registry/churn", cwd=ann)
        git("commit", "-q", "-m", "Free", cwd=ann)
    where = f"commit {write(ann, {'registry/evil/model.yaml': named('churn')}, 'Plant')[:7]}"
    first = "the git tags `churn@v…`" if tagged else "`registry/churn`"
    clash = f"'churn' {TAKEN}: {first} and `registry/evil`"
    assert (clash, where) in faults(ann)
    assert ["'churn' cannot be made" in problem for problem in judged(ann)] == [True]
    assert clash in push(plain_team, "main")
    if not tagged:
        git("checkout", "-q", "-b", "rename", cwd=ann)
        write(ann, {CHURN: named("customers")}, "Rename")
        assert [] == judged(ann)
        git("checkout", "-q", "main", cwd=ann)
        merge(ann, "rename")
        assert [(clash, where)] == faults(ann)
        with pytest.raises(ModelRenamed, match="is called 'customers' now"):
            find_key(Repository.open(ann), "churn")


def test_a_folder_of_a_name_that_a_renamed_model_has_is_named(ann: Path, plain_team: Team) -> None:
    """Under its own first name it would be looked up before the other."""
    rename(ann)
    where = f"commit {write(ann, {'registry/customers/model.yaml': named(None)}, 'Take')[:7]}"
    clash = f"'customers' {TAKEN}: `registry/churn` and `registry/customers`"
    assert [(clash, where)] == faults(ann)
    assert [clash] == [problem.partition(". ")[0] for problem in judged(ann)]
    assert clash in push(plain_team, "main")


def test_git_tags_of_a_name_that_a_renamed_model_has_are_refused_and_named(ann: Path, plain_team: Team) -> None:
    """They would make a model that is looked up before the other."""
    make_versions(ann, 1, "customers")
    rename(ann)
    said = push(plain_team, "runs", "refs/tags/customers@v1")
    assert "the model `registry/churn` is called 'customers'" in said
    assert any("the git tags `customers@v…`" in why for why, _ in faults(ann))


def test_names_that_are_given_back_are_free(ann: Path) -> None:
    """What holds is what is so at a commit, whichever was asked of before; a name of one's own is no clash."""
    repo = Repository.open(ann)
    rename(ann)
    taken = write(ann, {"registry/evil/model.yaml": named("customers")}, "Take")
    free = write(ann, {"registry/evil/model.yaml": named("evil")}, "Give back")
    names = Names(repo)
    assert [1, 0, 1, 0] == [len(names.clashes(commit)) for commit in (taken, free, taken, free)]
    assert "churn" == find_key(repo, "customers")


def test_an_approved_rename_and_a_promotion_after_it_hold(ann: Path, plain_team: Team) -> None:
    """Nothing is said of a name that nobody else has."""
    rename(ann)
    propose(ann, {"registry/churn/stages/Production.yaml": stage_file(1)}, "Promote", "promote")
    merge(ann, "promote")
    assert [] == faults(ann)
    assert "" == push(plain_team, "main")
