"""`check`: the files of the registry, each by its place."""

from pathlib import Path

import pytest

from runstone.git.repository import Repository
from runstone.registry.check import check_paths, check_project
from tests.support import git

STAGE = "schema: runstone/stage/v1\nversions: [1]\n"
POLICY = "schema: runstone/policy/v1\nstages: {A: {from: [None]}}\n"
OWN = "schema: runstone/policy/v1\nstages: {A: {from: [B]}}\n"
GOOD = {
    "registry/policy.yaml": POLICY,
    "registry/churn/policy.yaml": OWN,
    "registry/churn/model.yaml": "schema: runstone/registered-model/v1\n",
    "registry/churn/stages/A.yaml": STAGE,
    "registry/churn/versions/1.yaml": "schema: runstone/version-notes/v1\n",
    "registry/churn/aliases/champion.yaml": "schema: runstone/alias/v1\nversion: 1\n",
}


def put(repo: Path, files: dict[str, str]) -> Repository:
    """Write files of the work tree, beside one git tag of a version."""
    tree = git("hash-object", "-w", "-t", "tree", "/dev/null", cwd=repo)
    git("tag", "-f", "churn@v1", git("commit-tree", tree, "-m", "A run", cwd=repo), cwd=repo)
    for path, text in files.items():
        (repo / path).parent.mkdir(parents=True, exist_ok=True)
        (repo / path).write_text(text)
    return Repository.open(repo)


def test_files_of_every_kind_are_accepted(git_repo: Path) -> None:
    """Also a model's own policy that names a stage of the project's."""
    found = check_project(put(git_repo, GOOD))
    assert (6, ()) == (found.count, found.problems)


BROKEN = [
    ("registry/churn/aliases/champion.yaml", STAGE,
     '`schema` must be runstone/alias/v1 here, but is the text "runstone/stage/v1"'),
    ("registry/churn/versions/1.yaml", "schema: runstone/alias/v1\nversion: 1\n",
     '`schema` must be runstone/version-notes/v1 here, but is the text "runstone/alias/v1"'),
    ("registry/policy.yaml", OWN, "`stages.A.from` names the stage 'B', which the policy does not have"),
    ("registry/churn/registrations/a-run.yaml", "schema: runstone/registration/v1\n", "`run` is missing"),
    ("registry/churn/stages/A.yaml", "versions: [1]\n", "`schema` must be one of "),
]  # fmt: skip


@pytest.mark.parametrize("by_path", [False, True])
@pytest.mark.parametrize(("path", "text", "problem"), BROKEN)
def test_a_file_must_be_what_its_place_says(
    git_repo: Path, monkeypatch: pytest.MonkeyPatch, path: str, text: str, problem: str, by_path: bool
) -> None:
    """Whether all files are checked or this one, from whatever folder."""
    repo = put(git_repo, {**GOOD, path: text})
    monkeypatch.chdir(git_repo / "registry")
    found = check_paths(repo, [Path("..", path)]) if by_path else check_project(repo)
    ((where, told),) = found.problems
    assert (f"../{path}" if by_path else path) == where
    assert told.startswith(f"`{where}`: {problem}")


def test_the_registry_of_a_bare_repository_is_checked_likewise(git_repo: Path, tmp_path: Path) -> None:
    """As a hook on a server does."""
    put(git_repo, {**GOOD, "registry/policy.yaml": OWN})
    git("add", "-A", cwd=git_repo)
    git("commit", "-q", "-m", "Registry", cwd=git_repo)
    git("clone", "-q", "--bare", git_repo, tmp_path / "bare.git", cwd=tmp_path)
    found = check_project(Repository.open(tmp_path / "bare.git"))
    assert (6, ["registry/policy.yaml"]) == (found.count, [where for where, _ in found.problems])


NAMED = [
    ("registry/churn/stages/A.yaml", "schema: runstone/stage/v1\nversions: [1, 44]\n",
     "version 44 is not here: there is no git tag churn@v44; if others made it: `runstone pull`"),
    ("registry/churn/aliases/old.yaml", "schema: runstone/alias/v1\nversion: 2\n",
     "version 2 is not here: there is no git tag churn@v2; if others made it: `runstone pull`"),
    ("registry/churn/stages/Prod.yaml", STAGE, "the policy has no stage Prod: it has A"),
    ("registry/churn/stages/a.yaml", STAGE, "the policy has no stage a: write it A"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "text", "problem"), NAMED)
def test_what_a_stage_or_an_alias_names_must_be_there(git_repo: Path, path: str, text: str, problem: str) -> None:
    """The git tags of its versions, and the stage in the policy of the work tree."""
    repo = put(git_repo, GOOD | {path: text})
    told = f"`{path}`: {problem}. Correct it, then: `runstone validate {path}`"
    assert ((path, told),) == check_project(repo).problems


def test_a_retired_version_is_in_no_stage(git_repo: Path) -> None:
    """Whoever edits the files by hand is told."""
    repo = put(git_repo, GOOD)
    git("tag", "churn@v1!", "churn@v1", cwd=git_repo)
    assert 2 == sum("version 1 is retired" in problem for _, problem in check_project(repo).problems)


def test_a_shallow_clone_says_nothing_of_versions(git_repo: Path, tmp_path: Path) -> None:
    """It has few of the git tags, so it cannot tell which versions there are."""
    put(git_repo, GOOD)
    git("add", "-A", cwd=git_repo)
    git("commit", "-q", "-m", "A registry", cwd=git_repo)
    git("commit", "-q", "--allow-empty", "-m", "More", cwd=git_repo)
    git("clone", "-q", "--depth", "1", git_repo.as_uri(), tmp_path / "clone", cwd=tmp_path)
    assert "" == git("tag", cwd=tmp_path / "clone")
    assert () == check_project(Repository.open(tmp_path / "clone")).problems
