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
    """Write files of the work tree."""
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
